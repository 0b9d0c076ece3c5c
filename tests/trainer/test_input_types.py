"""Batches of a type that the network cannot take, and layers that a batch never reaches."""
import warnings

import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

import sgmcmc_mx as sg

CLASSES = 3


def trainer_of(net, **more):
    net.initialize()
    return sg.BayesianTrainer(net, "sgld", {"num_data": 40, "learning_rate": 0.01, **more},
                              sg.likelihoods.Categorical(), seed=0)


def train(trainer, x, steps=2):
    for _ in range(steps):
        with autograd.record():
            loss = trainer.likelihood(trainer.net(x), nd.zeros(len(x)))
        loss.backward()
        trainer.step(len(x))
    return trainer


def sequential(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


@pytest.mark.parametrize("hybridized", [False, True])
@pytest.mark.parametrize("in_units", [0, 4])
def test_float64_from_a_loader(hybridized, in_units):
    """As Gluon's loaders give it where the arrays are NumPy's."""
    net = sequential(nn.Dense(5, in_units=in_units), nn.Dense(CLASSES, in_units=5))
    net.hybridize(hybridized)
    trainer = trainer_of(net)
    data = gluon.data.ArrayDataset(np.random.normal(size=(8, 4)), np.zeros(8))
    x, _ = next(iter(gluon.data.DataLoader(data, 8)))
    for _ in range(2):
        with pytest.raises(TypeError, match=r"float64, as NumPy's arrays are by default; write x.astype\('float32'\)"):
            train(trainer, x)
    assert train(trainer, x.astype("float32")).num_steps == 2


def test_a_numpy_array():
    trainer = trainer_of(sequential(nn.Dense(CLASSES, in_units=4)))
    with pytest.raises(TypeError, match=r"NumPy array of type float64; write mx.nd.array\(x.astype\('float32'\)\)"):
        trainer.net(np.ones((2, 4)))


class Casting(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.out = nn.Dense(CLASSES, in_units=4)

    def hybrid_forward(self, F, x):
        return self.out(F.cast(x, dtype="float32"))


def float64_network():
    net = nn.Dense(CLASSES, in_units=4)
    net.cast("float64")
    return net


@pytest.mark.parametrize("make, x", [
    (Casting, np.ones((8, 4))),
    (float64_network, np.ones((8, 4))),
    (lambda: sequential(nn.Embedding(5, 4), nn.Dense(CLASSES, in_units=8)), np.ones((8, 2)))],
    ids=["casts", "float64", "indices"])
def test_float64_that_fits(make, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert train(trainer_of(make()), nd.array(x, dtype="float64")).num_steps == 2


def test_another_error_is_mxnets():
    trainer = trainer_of(sequential(nn.Dense(CLASSES, in_units=4)))
    with pytest.raises(Exception, match="hape inconsistent|hape"):
        train(trainer, nd.ones((8, 5), dtype="float64"))


class WithMore(gluon.Block):
    """A network with a layer that no batch reaches."""

    def __init__(self, **more):
        super().__init__()
        self.used, self.unused = nn.Dense(CLASSES, in_units=4), nn.Dense(2, **more)

    def forward(self, x):
        return self.used(x)


def test_a_layer_that_is_never_called_is_refused_where_its_shape_is_not_known():
    for grad_req in ("null", "write"):
        net = WithMore()
        net.unused.collect_params().setattr("grad_req", grad_req)
        trainer = trainer_of(net)
        with pytest.raises(RuntimeError, match="dense.*_weight is not known at the first step: its layer is never"):
            train(trainer, nd.ones((8, 4)))


def test_one_whose_shape_is_known_is_kept_as_it_is(tmp_path):
    net = WithMore(in_units=7)
    net.unused.collect_params().setattr("grad_req", "null")
    trainer = train(trainer_of(net), nd.ones((8, 4)), 3)
    first, last = trainer.samples[0], trainer.samples[-1]
    np.testing.assert_array_equal(first["unused.weight"].asnumpy(), last["unused.weight"].asnumpy())
    assert trainer.predict(np.ones((2, 4), "float32")).shape == (2, CLASSES)


@pytest.mark.parametrize("make", [
    lambda net, data: sg.ControlVariates(net, sg.likelihoods.Categorical(), data),
    lambda net, data: sg.HMC(net, sg.likelihoods.Categorical(), data, seed=0),
    lambda net, data: sg.suggest(net, sg.likelihoods.Categorical(), data)], ids=["ControlVariates", "HMC", "suggest"])
def test_who_needs_all_shapes_refuses_it_too(make):
    net = WithMore()
    net.initialize()
    net.unused.collect_params().setattr("grad_req", "null")
    data = nd.ones((8, 4)), nd.zeros(8)
    net(data[0])
    with pytest.raises(RuntimeError, match="shape of parameter dense.* is not known.*no batch reaches"):
        make(net, data)
