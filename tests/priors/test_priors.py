"""Gaussian priors: which precision a parameter gets. (That the sampler then has that law: stationarity/.)"""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

from sgmcmc_mx.priors import ByName, Constant, FanIn, Prior, as_prior

WEIGHT, BIAS, KERNEL = (30, 20), (30,), (8, 3, 5, 5)


@pytest.mark.parametrize("prior, names, shape, precision", [
    (Constant(3.0), ["a"], WEIGHT, 3.0),
    (Constant(0), ["a"], BIAS, 0.0),                                # flat
    (FanIn(), ["a"], WEIGHT, 20.0),
    (FanIn(), ["a"], KERNEL, 75.0),
    (FanIn(2.0), ["a"], KERNEL, 37.5),
    (FanIn(), ["a"], BIAS, None),                                   # has none: wd holds
    (FanIn(), ["a"], (), None),
    (ByName({".*bias": 2.0}), ["net_bias"], BIAS, 2.0),
    (ByName({".*bias": 2.0}), ["net_weight"], WEIGHT, None),
    (ByName({"bias": 2.0}), ["net_bias"], BIAS, None),              # from the start of the name, as in Gluon
    (ByName({".*a": 1.0, ".*b": 2.0}), ["b_a"], BIAS, 1.0),         # the first that matches
    (ByName({".*b": 2.0, ".*a": 1.0}), ["a_b"], BIAS, 2.0),
    (ByName({r"0\.weight": 5.0}), ["dense7_weight", "0.weight"], WEIGHT, 5.0),      # by any of its names
    (ByName({".*weight": "fan_in"}), ["dense7_weight"], KERNEL, 75.0),
    (ByName({".*": "fan_in", "z": 4.0}), ["z"], BIAS, None),        # the first decides, even if it has no say
    (ByName({".*": {".*weight": FanIn(0.5), ".*": 9.0}}), ["x_weight"], WEIGHT, 40.0),
])
def test_precision(prior, names, shape, precision):
    assert prior.precision(names, shape) == precision


@pytest.mark.parametrize("value, kind", [(2, Constant), (0.5, Constant), (np.float32(2), Constant), ("fan_in", FanIn),
                                         ({".*": 1.0}, ByName), (FanIn(3.0), FanIn), (Constant(1.0), Constant)])
def test_what_a_user_may_write(value, kind):
    assert type(as_prior(value)) is kind
    assert not isinstance(value, Prior) or as_prior(value) is value


def test_a_pattern_must_match_something():
    prior = ByName({".*weight": 1.0, ".*gamma": 2.0})
    prior.check([("a_weight", "0.weight"), ("a_gamma", "1.gamma")])
    prior.check([])             # nothing is known yet
    with pytest.raises(ValueError, match=r"'\.\*gamma', which matches no parameter.* a_weight/0\.weight"):
        prior.check([("a_weight", "0.weight")])


def _optimizer(names, **options):
    return mx.optimizer.create("sgld", num_data=10, seed=1, param_idx2name=dict(enumerate(names)), **options)


@pytest.mark.parametrize("options, mults, expected", [
    ({}, {}, (1.0, 1.0)),
    ({"wd": 3.0}, {}, (3.0, 3.0)),
    ({"wd": 0.0}, {}, (0.0, 0.0)),
    ({"wd": 3.0, "prior": 7.0}, {}, (7.0, 7.0)),
    ({"wd": 3.0, "prior": "fan_in"}, {}, (20.0, 3.0)),
    ({"wd": 3.0, "prior": {".*bias": 0.5}}, {}, (3.0, 0.5)),
    ({"wd": 3.0}, {"a_weight": 2.0}, (6.0, 3.0)),
    ({"wd": 3.0, "prior": {".*bias": 0.5}}, {"a_weight": 2.0, "a_bias": 4.0}, (6.0, 2.0)),
    ({"wd": 3.0}, {"a_bias": 0.0}, (3.0, 0.0)),
])
def test_precision_of_a_sampler(options, mults, expected):
    """prior where it has a say, else wd; times wd_mult. Biases keep a prior, unlike in MXNet."""
    optimizer = _optimizer(["a_weight", "a_bias"], **options)
    optimizer.set_wd_mult(mults)
    assert (optimizer.precision(0, WEIGHT), optimizer.precision(1, BIAS)) == expected


def test_precision_of_a_networks_parameters():
    """By Gluon's names and the parameters' own multipliers, with the shapes that are known after the first batch."""
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(nn.Dense(4), nn.BatchNorm(), nn.Dense(2))
    net.initialize()
    net[2].bias.wd_mult = 5.0
    trainer = gluon.Trainer(net.collect_params(), "sgld", {
        "num_data": 10, "wd": 3.0, "seed": 1, "prior": {".*dense.*weight": "fan_in", ".*gamma": 2.0}})
    with autograd.record():
        loss = net(nd.ones((6, 7))).sum(axis=1)
    loss.backward()
    trainer.step(6)
    found = {p.name: trainer.optimizer.precision(i, p.shape) for i, p in enumerate(trainer._params)}
    assert found == {"net_dense0_weight": 7.0, "net_dense0_bias": 3.0, "net_batchnorm0_gamma": 2.0,
                     "net_batchnorm0_beta": 3.0, "net_dense1_weight": 4.0, "net_dense1_bias": 15.0,
                     "net_batchnorm0_running_mean": 3.0, "net_batchnorm0_running_var": 3.0}


def test_a_prior_of_the_users_own():
    class Narrow(Prior):
        def precision(self, names, shape):
            return 100.0 if len(shape) > 1 else None

    optimizer = _optimizer(["a_weight", "a_bias"], wd=2.0, prior=Narrow())
    assert (optimizer.precision(0, WEIGHT), optimizer.precision(1, BIAS)) == (100.0, 2.0)


@pytest.mark.parametrize("prior", [Constant(4.0), FanIn(), ByName({".*": 4.0})])
def test_what_it_pulls_by(prior):
    """At temperature 0 and with no gradient a step is w <- w (1 - eta precision / 2), with eta = learning_rate / N."""
    optimizer = _optimizer(["a"], prior=prior, temperature=0.0, learning_rate=0.5)
    w = nd.ones((3, 4))
    mx.optimizer.get_updater(optimizer)(0, nd.zeros((3, 4)), w)
    np.testing.assert_allclose(w.asnumpy(), 1 - 0.5 / 10 * 4.0 / 2, rtol=1e-6)
