"""Laws, verdicts and advice are tested in a process of their own, with MXNet's plainest engine.

Their tests are some hundred thousand steps of tiny arrays, and up to half of their time went to a thread that is told
of one operator and waits for the next. Which numbers come out is no matter of that thread. So the last of three
processes or more has ``MXNET_ENGINE_TYPE=NaiveEngine`` (``tests/conftest.py``) and runs these tests and nothing else.
The others, with the engine that users have, run all the rest, and take of these when they have nothing else to do. In
one process, in two, and where the environment names an engine (``scripts/test --slow``), all tests have the same.
"""
from xdist.scheduler import WorkStealingScheduling
from xdist.workermanage import parse_tx_spec_config

# Where they are. What tests/tuning/test_threads.py asks is the engine itself.
LAWS = ("tests/stationarity/", "tests/diagnostics/", *(f"tests/tuning/test_{name}.py" for name in (
    "advice", "hottest", "native_pilot", "scaled_samplers", "suggest")))
ENOUGH = 2      # tests of a process; with fewer, xdist looks for more


def last(config):
    """The name of the process that is to make the tests of laws, the last of three or more; None of fewer."""
    count = len(parse_tx_spec_config(config))
    return f"gw{count - 1}" if count > 2 else None


class Apart(WorkStealingScheduling):
    """The last process has the tests of laws. The others share the rest, and take from each other and from it."""

    given = False       # whether the last process has its tests

    def check_schedule(self):
        own = [node for node in self.node2pending if node.gateway.id == last(self.config)]
        if own and not self.given:
            laws = [i for i in self.pending if self.collection[i].startswith(LAWS)]
            others = [i for i in self.pending if not self.collection[i].startswith(LAWS)]
            self.pending[:] = laws + others
            self._send_tests(own[0], len(laws))
            self.given = True
        if own and len(self.node2pending[own[0]]) < ENOUGH and not own[0].shutting_down:
            own[0].shutdown()       # it makes what it has; nothing else is for it
        super().check_schedule()
