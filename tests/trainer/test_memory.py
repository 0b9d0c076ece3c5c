"""Samples in memory: a word with numbers before there are too many, and never more than there may be."""
import os
import warnings

import mxnet as mx
import numpy as np
import pytest
from trainers import build, make, run

from sgmcmc_mx.trainer.memory import GIB, Memory, available_memory

SIZE = 4 * (4 * 8 + 8 + 8 * 3 + 3)      # bytes of a sample of the helpers' network


def chain(available, **options):
    trainer = make(build(), optimizer="sgld", **options)
    trainer._memory = Memory(available)
    return trainer


def told(trainer, data, steps):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(trainer, data, steps)
    return [str(w.message) for w in caught if w.category is UserWarning]


def test_one_word_before_half_of_what_may_be(data):
    trainer = chain(40 * SIZE)
    assert not told(trainer, data, 9)
    said = told(trainer, data, 8)
    assert len(said) == 1 and "10 samples of 268 B in memory make 2.68 kB" in said[0]
    assert "at 5.36 kB, half of the memory that was free" in said[0]
    assert "larger thin, max_samples=100, or store='runs/a'" in said[0]


def test_what_is_left_spans_the_chain(data):
    """The same samples as from a larger thin, and so is the average."""
    bounded = chain(40 * SIZE)
    with pytest.warns(UserWarning, match="in memory make"):
        run(bounded, data, 100)
    assert [s.step for s in bounded.samples] == list(range(8, 101, 8)) and bounded._taken == 12
    thinned = make_again(data)
    np.testing.assert_array_equal(bounded.samples[3]["0.weight"].asnumpy(), thinned.samples[3]["0.weight"].asnumpy())


def make_again(data):
    mx.random.seed(0)
    return run(make(build(), optimizer="sgld", thin=8), data, 100)


def test_so_many_as_are_planned(data):
    said = told(chain(40 * SIZE, max_samples=21), data, 1)
    assert len(said) == 1 and "1 sample of 268 B in memory make 268 B, and 21 would make 5.63 kB" in said[0]
    assert not told(chain(40 * SIZE, max_samples=19), data, 30)


def test_ordinary_runs_hear_nothing(data, tmp_path):
    assert not told(make(build(), optimizer="sgld"), data, 50)
    with make(build(), optimizer="sgld", store=tmp_path / "run") as stored:
        stored._memory = Memory(4 * SIZE)
        assert not told(stored, data, 10) and len(stored.samples) == 10


def test_a_gib_is_worth_a_word():
    m = Memory(1000 * GIB)
    m._size = 1_900_000
    assert m.word(565, None) is None and "566 samples of 1.9 MB in memory make 1.08 GB" in m.word(566, None)
    unknown = Memory(0)
    unknown.limit = None
    unknown._size = GIB
    assert "half" not in unknown.word(1, None)


def test_what_is_available():
    found = available_memory()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < found <= total


def test_what_stands_still_is_there_once(data):
    net = build()
    net[0].collect_params().setattr("grad_req", "null")
    trainer = make(net, optimizer="sgld")
    trainer._memory = Memory(40 * 4 * (8 * 3 + 3))
    assert not told(trainer, data, 9)
    assert "of 108 B in memory" in told(trainer, data, 8)[0]
