"""BatchNorms replaced where they stand, at any depth; all other weights as they were."""
import warnings

import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

import sgmcmc_mx as sg
from sgmcmc_mx._network import descendants, normalising, normalising_blocks
from sgmcmc_mx.nn import FilterResponseNorm, GroupNorm, convert_batchnorm

X = nd.random.normal(shape=(2, 3, 32, 32))


def resnet(first_pass=True):
    net = gluon.model_zoo.vision.resnet18_v1(classes=10, thumbnail=True)
    net.initialize()
    if first_pass:
        net(X)
    return net


def others(net):
    """Weights of layers that normalise nothing, read when no pass over them is under way."""
    nd.waitall()
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()
            if name.endswith((".weight", ".bias"))}


def kinds(net):
    return [type(b).__name__ for b in descendants(net)]


@pytest.mark.parametrize("to, hybrid", [("frn", True), ("group", False), ("global", True), *(
    pytest.param(*one, marks=pytest.mark.slow) for one in (("frn", False), ("group", True), ("global", False)))])
def test_a_residual_network(to, hybrid):
    net = resnet()
    net.hybridize(hybrid)
    before, predicted, count = others(net), net(X).asnumpy(), len(normalising_blocks(net))
    gammas = [b.gamma.data().asnumpy() for b in normalising_blocks(net)]
    assert count == 19 and convert_batchnorm(net, to) is net
    assert not normalising(net) and "BatchNorm" not in kinds(net) or to == "global"
    new = [b for b in descendants(net) if isinstance(b, (FilterResponseNorm, GroupNorm, nn.BatchNorm))]
    assert len(new) == count and all((b.gamma.data().asnumpy() == g).all() for b, g in zip(new, gammas))
    assert before.keys() == others(net).keys()
    assert all((others(net)[name] == a).all() for name, a in before.items())
    with autograd.record():     # examples are independent, in training too
        both = net(X)
        alone = net(X[:1])
        loss = both.sum()
    loss.backward()
    np.testing.assert_allclose(alone.asnumpy(), both.asnumpy()[:1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(net(X).asnumpy(), both.asnumpy(), rtol=1e-4, atol=1e-5)
    assert (np.abs(net(X).asnumpy() - predicted).max() < 1e-5) == (to == "global")
    assert all(np.abs(p.grad().asnumpy()).sum() > 0 for b in new for p in (b.gamma, b.beta))
    names = net.collect_params().keys()
    assert len(set(names)) == len(names) and (to == "global") == any("running_mean" in name for name in names)


def test_a_network_that_waits_for_its_shapes():
    net = resnet(first_pass=False)
    with pytest.raises(ValueError, match="does not know its channels yet.*predict a batch before, or write to='frn'"):
        convert_batchnorm(net, "group")
    assert len(normalising_blocks(net)) == 19       # none was replaced
    convert_batchnorm(net, "frn")
    assert net(X).shape == (2, 10) and not normalising(net)


class Holder(gluon.Block):
    """BatchNorm as an attribute, in a list, a tuple and a dictionary, and one layer in two places."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm(in_channels=3)
        self.several, self.pair = [nn.BatchNorm(in_channels=3)], (nn.BatchNorm(in_channels=3), self.norm)
        self.named = {"a": nn.BatchNorm(in_channels=3)}
        for block in (self.several[0], self.pair[0], self.named["a"]):
            self.register_child(block)
        self.inner = nn.Sequential()
        self.inner.add(self.norm, nn.BatchNormReLU(in_channels=3))

    def forward(self, x):
        for layer in (self.norm, *self.several, *self.pair, *self.named.values(), self.inner):
            x = layer(x)
        return x


@pytest.mark.parametrize("to", ["frn", "group"])
def test_wherever_a_block_holds_it(to):
    net, x = Holder(), nd.random.normal(shape=(2, 3, 4, 4))
    net.initialize()
    net(x)
    several, named = net.several, net.named
    convert_batchnorm(net, to, num_groups=3)
    kind = FilterResponseNorm if to == "frn" else GroupNorm
    held = [net.norm, net.several[0], net.pair[0], net.named["a"]]
    assert all(type(layer) is kind for layer in held) and len({id(layer) for layer in held}) == 4
    assert net.norm is net.pair[1] is net.inner[0] and net.several is several and net.named is named
    assert {id(b) for b in held} <= {id(b) for b in net._children.values()}
    assert net(x).asnumpy().min() >= 0 and (net(x).asnumpy() == 0).any()       # BatchNormReLU kept its ReLU
    if to == "group":
        assert net.norm._groups == 3


def test_what_is_known_of_a_layer_goes_over():
    net = nn.HybridSequential()
    net.add(nn.Dense(4, in_units=2), nn.BatchNorm(in_channels=4, axis=-1, scale=False),
            nn.BatchNorm(in_channels=4, center=False, gamma_initializer="zeros"))
    net.cast("float64")
    net.initialize()
    net[0].bias.set_data(nd.arange(4, dtype="float64"))
    net[1].beta.set_data(nd.arange(4, dtype="float64"))
    net[1].gamma.set_data(nd.zeros(4, dtype="float64"))     # which counts as 1: scale is False
    net[2].gamma.lr_mult = 0.5
    convert_batchnorm(net, "group")
    first, second = net[1], net[2]
    assert first._axis == -1 and first.gamma.data().asnumpy().tolist() == [1] * 4 and first.gamma.grad_req == "null"
    assert first.beta.data().asnumpy().tolist() == [0, 1, 2, 3] and first.beta.data().dtype == np.float64
    assert second.gamma.data().asnumpy().tolist() == [0] * 4 and second.gamma.lr_mult == 0.5
    assert second.beta.grad_req == "null"


def test_initialisers_go_over_to_a_layer_that_waits():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 1), nn.BatchNorm(gamma_initializer="zeros"))
    convert_batchnorm(net)
    net.initialize()
    assert not net(X).asnumpy().any() and net[1].gamma.shape == (4,)


def test_the_warning_of_a_chain_names_it():
    net = nn.HybridSequential()
    net.add(nn.Dense(4, in_units=2), nn.BatchNorm(in_channels=4), nn.Dense(2, in_units=4))
    net.initialize()
    x, y = nd.random.normal(shape=(20, 2)), nd.array(np.arange(20) % 2)

    def predicted():
        trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 20, "learning_rate": 0.001},
                                     sg.likelihoods.Categorical())
        trainer.sample(sg.data.ArrayLoader(x, y, batch_size=20), 3)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            trainer.predict(x)
        return " ".join(str(w.message) for w in told)
    assert "sg.nn.convert_batchnorm(net)" in predicted()
    convert_batchnorm(net, "group")
    assert "statistics" not in predicted()


class Operator(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm(in_channels=3)
        for name in ("gamma", "beta", "mean", "var"):
            setattr(self, name, self.params.get(name, shape=(3,), init="ones"))

    def hybrid_forward(self, F, x, gamma, beta, mean, var):
        return F.BatchNorm(self.norm(x), gamma, beta, mean, var)


def test_an_operator_cannot_be_replaced_and_is_told():
    net = Operator()
    net.initialize()
    with pytest.warns(UserWarning, match="BatchNorm in .* is an operator in a forward pass and cannot be replaced"):
        convert_batchnorm(net)
    assert type(net.norm) is FilterResponseNorm


@pytest.mark.parametrize("call, error, said", [
    (lambda: convert_batchnorm(nn.Dense(1)), ValueError, "net has no BatchNorm on batch statistics"),
    (lambda: convert_batchnorm(nn.BatchNorm()), ValueError, "net is a BatchNorm itself"),
    (lambda: convert_batchnorm(Holder(), "layer"), ValueError, "to must be one of 'frn', 'group', 'global'"),
    (lambda: convert_batchnorm(Holder(), "group", 0), ValueError, "num_groups must be at least 1"),
    (lambda: convert_batchnorm({}), TypeError, "net must be a gluon.Block"),
])
def test_wrong_arguments(call, error, said):
    with pytest.raises(error, match=said):
        call()
