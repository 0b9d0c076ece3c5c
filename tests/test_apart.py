"""Which process gets which tests."""
import random
from types import SimpleNamespace

import pytest
from folders import ROOT

apart = pytest.importorskip("apart", reason="pytest-xdist is not here")


class Node:
    """A process as the scheduler sees it."""

    def __init__(self, name, scheduler):
        self.gateway, self.scheduler = SimpleNamespace(id=name), scheduler
        self.waiting, self.made, self.shutting_down = [], [], False

    def send_runtest_some(self, indices):
        assert not self.shutting_down
        self.waiting += indices

    def send_steal(self, indices):
        self.asked = indices

    def shutdown(self):
        self.shutting_down = True

    def go_on(self):
        """Give back what was asked for, or make a test if there is another to go on with, or none will come."""
        asked, self.asked = getattr(self, "asked", None), None
        if asked is not None:
            back = [i for i in asked if i in self.waiting]
            self.waiting = [i for i in self.waiting if i not in back]
            self.scheduler.remove_pending_tests_from_node(self, back)
        elif len(self.waiting) > 1 or (self.waiting and self.shutting_down):
            self.made.append(self.waiting.pop(0))
            self.scheduler.mark_test_complete(self, self.made[-1], 0.0)


@pytest.mark.parametrize("laws, others", [(60, 200), (200, 60), (0, 30), (30, 0), (1, 1)])
def test_the_last_process_makes_laws_and_nothing_else(laws, others):
    """And every test is made once, in whatever order the processes go on."""
    names = [f"{apart.LAWS[i % len(apart.LAWS)]}test_a.py::test[{i}]" for i in range(laws)]
    names += [f"tests/store/test_b.py::test[{i}]" for i in range(others)]
    draw = random.Random(1)
    draw.shuffle(names)
    scheduler = apart.Apart(SimpleNamespace(getvalue=lambda name: ["3*popen"]))
    nodes = [Node(f"gw{k}", scheduler) for k in range(3)]
    for node in nodes:
        scheduler.add_node(node)
        scheduler.add_node_collection(node, names)
    scheduler.schedule()
    for _ in range(100 * len(names)):
        draw.choices(nodes, [1, 1, 3])[0].go_on()
    made = sorted(i for node in nodes for i in node.made)
    assert made == list(range(len(names))) and scheduler.tests_finished
    assert all(names[i].startswith(apart.LAWS) for i in nodes[2].made)
    assert len(nodes[2].made) >= laws / 4


def test_the_places_of_laws_are_there():
    assert all((ROOT / place).exists() for place in apart.LAWS)
