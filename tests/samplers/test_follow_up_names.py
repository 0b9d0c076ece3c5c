"""The names of the follow-up's author mean what they say."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

from sgmcmc_mx.priors import Gamma


def run(name, **options):
    o = mx.optimizer.create(name, num_data=10, learning_rate=0.1, seed=3, **options)
    w = nd.ones((6, 5))
    state = o.create_state_multi_precision(0, w)
    for _ in range(7):
        o.update_multi_precision([0], [w], [nd.ones((6, 5)) * 0.1], [state])
    return w.asnumpy()


@pytest.mark.parametrize("name, options", [
    ("sgnhtp", {"prior": Gamma()}),
    ("msgnht", {"thermostat": "element"}),
    ("msgnht_s_aboba", {"thermostat": "element", "integrator": "aboba"}),
    ("msgnht_s_badodab", {"thermostat": "element", "integrator": "badodab"}),
    ("msgnhtp_s_badodab", {"thermostat": "element", "integrator": "badodab", "prior": Gamma()}),
])
def test_names(name, options):
    ours = run(name, a=0.03)
    np.testing.assert_array_equal(ours, run("sgnht", friction=0.03, **options))
    assert not np.array_equal(ours, run("sgnht", friction=0.04, **options))


def test_a_given_prior_stands():
    np.testing.assert_array_equal(run("sgnhtp", prior=Gamma(5.0, 2.0)), run("sgnht", prior=Gamma(5.0, 2.0)))
    np.testing.assert_array_equal(run("sgnhtp", prior=3.0), run("sgnht", prior=3.0))


@pytest.mark.parametrize("a, error", [(-1.0, ValueError), (2.0, ValueError), ("x", TypeError)])
def test_a_wrong_a_is_told_by_the_name_that_it_was_given_by(a, error):
    with pytest.raises(error, match="^a must .* a=0.1"):
        mx.optimizer.create("msgnht", num_data=10, a=a)
