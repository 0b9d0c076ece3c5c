"""NumPy's and Python's generators stand where they stood after what draws from them; a seed sets all three."""
import random

import mxnet as mx
import numpy as np
import pytest

from sgmcmc_mx._generators import generators_kept, seed_generators


def drawn():
    return np.random.rand(), random.random(), float(mx.nd.random.uniform().asscalar())


def test_they_stand_where_they_stood_whatever_happens():
    seed_generators(3)
    expected = drawn()
    seed_generators(3)
    with pytest.raises(KeyError), generators_kept():
        np.random.rand(5), random.random()
        raise KeyError
    assert drawn() == expected


def test_a_seed_sets_all_three():
    seed_generators(7)
    first = drawn()
    seed_generators(7)
    assert drawn() == first
    seed_generators(8)
    assert all(a != b for a, b in zip(drawn(), first))
