"""What no sample moves is run once, and gives the same numbers."""
import numpy as np
import pytest
from mxnet import gluon, nd
from mxnet.gluon import nn
from random_chains import initialised

import sgmcmc_mx as sg

SAMPLES, ROWS = 6, 25


class Pair(gluon.HybridBlock):
    """As in MXNet's model zoo."""

    def __init__(self, features, output, between=lambda h: h):
        super().__init__()
        self.features, self.output, self._between = features, output, between

    def hybrid_forward(self, F, x):
        return self.output(self._between(self.features(x)))


class Own(gluon.Block):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Dense(8, in_units=5, activation="tanh"), nn.Dense(3, in_units=8)

    def forward(self, x):
        return self.head(self.encoder(x))


def layers(*sizes, kind=nn.HybridSequential):
    net = kind()
    for i, o in zip(sizes[:-1], sizes[1:]):
        net.add(nn.Dense(o, in_units=i, activation="tanh"))
    return net


def sequential():
    return layers(5, 8, 8, 3)


def nested():
    net = nn.Sequential()
    net.add(layers(5, 8, 8), nn.Dense(3, in_units=8))
    return net


def pair():
    return Pair(layers(5, 8, 8), nn.Dense(3, in_units=8))


def partly_moving(net, fixed, changed_at=None):
    """Samples that share the arrays of the parameters whose names begin so; from one on they share others."""
    net(nd.zeros((2, 5)))
    rng, taken = np.random.RandomState(0), sg.MemoryStore()
    named = net._collect_params_with_prefix()
    shared = {}
    for step in range(SAMPLES):
        if step in (0, changed_at):
            shared = {n: nd.array(rng.normal(size=p.shape)) for n, p in named.items() if n.startswith(fixed)}
        moved = {n: nd.array(rng.normal(size=p.shape)) for n, p in named.items() if n not in shared}
        taken.append(sg.Sample({**shared, **moved}, step, 1.0 + step))
    return taken


def apart(chain):
    """The same samples, of which none shares an array with another."""
    return sg.MemoryStore([sg.Sample({n: a.copy() for n, a in s.items()}, s.step, s.weight) for s in chain])


def counted(block):
    calls = []
    block.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("build, fixed, trunk", [
    (sequential, ("0.", "1."), lambda net: net[0]), (nested, ("0.0",), lambda net: net[0][0]),
    (pair, ("features.",), lambda net: net.features[0]), (pair, ("features.0",), lambda net: net.features[0]),
], ids=["Sequential", "nested", "features and output", "part of the features"])
def test_the_trunk_runs_once_for_all_samples(build, fixed, trunk, hybridize):
    net = initialised(build())
    if hybridize:
        net.hybridize()
    chain, x = partly_moving(net, fixed), np.random.RandomState(1).normal(size=(ROWS, 5))
    own = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    right = sg.predict(net, apart(chain), x, "softmax", batch_size=10)
    calls = counted(trunk(net))
    got = sg.predict(net, chain, x, "softmax", batch_size=10)
    np.testing.assert_allclose(got, right, rtol=1e-6)
    # Of three batches; and to see whether the network is such a chain, where its forward is not MXNet's for each.
    # (Of a compiled network nobody hears what runs within.)
    assert len(calls) == 3 + (0 if hybridize else 3 if isinstance(net, Pair) else 1)
    for name, p in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(p.data().asnumpy(), own[name])


@pytest.mark.parametrize("changed_at", [1, 3])
def test_a_trunk_that_was_changed_in_between_is_run_again(changed_at):
    net = initialised(sequential())
    chain, x = partly_moving(net, ("0.", "1."), changed_at), np.random.RandomState(1).normal(size=(ROWS, 5))
    np.testing.assert_allclose(sg.predict(net, chain, x, "softmax", samples=True),
                               sg.predict(net, apart(chain), x, "softmax", samples=True), rtol=1e-6)


def test_a_network_that_only_looks_like_a_chain_is_run_as_it_is():
    net = initialised(Pair(layers(5, 8, 8), nn.Dense(3, in_units=8), lambda h: h * 2))
    chain, x = partly_moving(net, ("features.",)), np.random.RandomState(1).normal(size=(ROWS, 5))
    np.testing.assert_allclose(sg.predict(net, chain, x, "softmax"), sg.predict(net, apart(chain), x, "softmax"),
                               rtol=1e-6)


class Around(gluon.Block):
    """Nothing goes around the features where the inputs are 0, as padding is."""

    def __init__(self):
        super().__init__()
        self.features, self.output = nn.Dense(5, in_units=5), nn.Dense(3, in_units=5)

    def forward(self, x):
        return self.output(self.features(x) + 3 * x)


class Doubling(nn.HybridSequential):
    def hybrid_forward(self, F, x):
        return self[1](self[0](x) + 3 * x)


def doubling():
    net = Doubling()
    net.add(nn.Dense(5, in_units=5), nn.Dense(3, in_units=5))
    return net


def held(build):
    net = nn.Sequential()
    net.add(build())
    return net


@pytest.mark.parametrize("build, fixed", [(Around, "features."), (lambda: held(Around), "0.features."),
                                          (doubling, "0."), (lambda: held(doubling), "0.0.")])
def test_a_batch_that_looks_like_a_chain_does_not_speak_for_the_others(build, fixed):
    net = initialised(build())
    chain, x = partly_moving(net, (fixed,)), np.random.RandomState(1).normal(size=(ROWS, 5))
    x[:10] = 0.0
    for batch_size in (10, 5):
        np.testing.assert_allclose(sg.predict(net, chain, x, "softmax", batch_size=batch_size),
                                   sg.predict(net, apart(chain), x, "softmax", batch_size=batch_size), rtol=1e-6)


def test_the_user_says_where_to_cut():
    net = initialised(Own())
    chain, x = partly_moving(net, ("encoder.",)), np.random.RandomState(1).normal(size=(ROWS, 5))
    right = sg.predict(net, apart(chain), x, "softmax")
    calls = counted(net.encoder)
    np.testing.assert_allclose(sg.predict(net, chain, x, "softmax"), right, rtol=1e-6)
    assert len(calls) == SAMPLES
    del calls[:]
    np.testing.assert_allclose(sg.predict(net, chain, x, "softmax", stages=(net.encoder, net.head)), right, rtol=1e-6)
    assert len(calls) == 2      # for all samples, and to see that the stages are the network


@pytest.mark.parametrize("stages, error, message", [
    (lambda net: (net.encoder,), ValueError, "differ in the parameter"),
    (lambda net: net.encoder, TypeError, "write stages="),
    (lambda net: (), TypeError, "write stages="),
    (lambda net: (net.encoder, nn.Activation("relu"), net.head), ValueError, "the network gives something else"),
])
def test_stages_that_are_not_the_network_are_refused(stages, error, message):
    net = initialised(Own())
    chain = partly_moving(net, ("encoder.",))
    with pytest.raises(error, match=message):
        sg.predict(net, chain, np.ones((4, 5)), "softmax", stages=stages(net))


def test_large_arrays_are_gone_through_in_chunks(monkeypatch):
    net = initialised(sequential())
    chain, x = partly_moving(net, ("0.",)), np.random.RandomState(1).normal(size=(ROWS, 5))
    right = sg.predict(net, apart(chain), x, "softmax")
    monkeypatch.setattr("sgmcmc_mx.prediction.chunks.CHUNK_BYTES", 200)
    np.testing.assert_allclose(sg.predict(net, chain, x, "softmax", batch_size=4), right, rtol=1e-6)
    np.testing.assert_allclose(sg.predict(net, apart(chain), x, "softmax", batch_size=4), right, rtol=1e-6)
