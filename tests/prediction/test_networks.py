"""Samples as networks: which array goes where, and the old weights are back whatever happens."""
import gc
import itertools

import mxnet as mx
import numpy as np
import pytest
import trainers
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

import sgmcmc_mx as sg
from sgmcmc_mx.prediction.networks import Places

DATA = np.random.RandomState(0).randn(trainers.N, trainers.D).astype("float32"), np.arange(trainers.N) % trainers.K
X = nd.array(DATA[0])


def dense(*widths, prefix=None):
    """A Sequential of Dense layers, initialised."""
    net = nn.HybridSequential(prefix=prefix)
    for n, m in zip(widths, widths[1:]):
        net.add(nn.Dense(m, in_units=n))
    net.initialize()
    return net


def weights(net):
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}


def arrays(net, value=None):
    """As a sample of the network: other numbers of the same shapes."""
    return {name: nd.random.normal(shape=p.shape) if value is None else nd.full(p.shape, value)
            for name, p in net._collect_params_with_prefix().items()}


def assert_weights(net, expected):
    found = weights(net)
    assert list(found) == list(expected)
    for name in found:
        np.testing.assert_array_equal(found[name], getattr(expected[name], "asnumpy", lambda n=name: expected[n])())


class Around(gluon.HybridBlock):
    """A Block that contains a network, with a layer of its own or without."""

    def __init__(self, net, own=None):
        super().__init__()
        with self.name_scope():
            self.model = net
            if own is not None:
                self.own = own

    def hybrid_forward(self, F, x):
        return self.model(x)


# ---------------------------------------------------------------- which array goes where

def test_the_network_itself():
    net = dense(4, 3, 2)
    before, sample = weights(net), arrays(net)
    with sg.using(net, sample) as given:
        assert given is net
        assert_weights(net, sample)
        expected = nd.dot(nd.dot(X, sample["0.weight"].T) + sample["0.bias"], sample["1.weight"].T) + sample["1.bias"]
        np.testing.assert_allclose(net(X).asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-5)
    assert_weights(net, before)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_block_around_it(depth):
    net, sample = dense(4, 3, 2), arrays(dense(4, 3, 2))
    block = net
    for _ in range(depth):
        block = Around(block)
    with sg.using(block, sample):
        assert_weights(net, sample)


def test_what_a_block_around_it_has_beside_stays():
    net, own = dense(4, 3, 2), dense(5, 5)
    sample, stays = arrays(net), weights(own)
    with sg.using(Around(net, own), sample):
        assert_weights(net, sample)
        assert_weights(own, stays)


def test_samples_of_a_block_around_it():
    """The training network holds the model and more; a part, or another Block around the same model, gets its share."""
    trained = Around(dense(4, 3, 2), dense(5, 5))
    sample = arrays(trained)
    for block in (dense(4, 3, 2), Around(dense(4, 3, 2))):
        with sg.using(block, sample):
            found = weights(block)
        assert len(found) == 4
        for name, a in found.items():
            np.testing.assert_array_equal(a, sample["model." + name.replace("model.", "")].asnumpy())


def test_blocks_around_by_other_names():
    """All of the sample's names begin with one word, and all of the Block's with another."""
    class Other(gluon.Block):
        def __init__(self, net):
            super().__init__()
            self.net = net
    block, sample = Other(dense(4, 3, 2)), arrays(Around(dense(4, 3, 2)))
    with sg.using(block, sample):
        for name, a in weights(block).items():
            np.testing.assert_array_equal(a, sample[name.replace("net.", "model.")].asnumpy())


def test_a_part_that_is_one_layer():
    """Shapes tell which, where names do not."""
    sample = arrays(dense(4, 3, 2))
    for k, layer in enumerate((nn.Dense(3, in_units=4), nn.Dense(2, in_units=3))):
        layer.initialize()
        with sg.using(layer, sample):
            np.testing.assert_array_equal(layer.weight.data().asnumpy(), sample[f"{k}.weight"].asnumpy())


def test_a_part_that_could_be_two():
    net = dense(3, 3, 3)
    sample, before = arrays(net), weights(net)
    with pytest.raises(ValueError, match=r"fit the network in 2 ways, \* as 0\.\* or \* as 1\.\*; write of=net"):
        with sg.using(net[1], sample):
            raise AssertionError("entered")
    with sg.using(net[1], sample, of=net):
        np.testing.assert_array_equal(net[1].weight.data().asnumpy(), sample["1.weight"].asnumpy())
        np.testing.assert_array_equal(net[0].weight.data().asnumpy(), before["0.weight"])
    assert_weights(net, before)


def test_a_block_around_two_of_them():
    class Two(gluon.Block):
        def __init__(self, a, b):
            super().__init__()
            self.a, self.b = a, b
    net, other = dense(4, 3), dense(4, 3)
    sample, stays = arrays(net), weights(other)
    with pytest.raises(ValueError, match=r"in 2 ways, a\.\* as \* or b\.\* as \*"):
        with sg.using(Two(net, other), sample):
            raise AssertionError("entered")
    with sg.using(Two(net, other), sample, of=net):
        assert_weights(net, sample)
        assert_weights(other, stays)
    with sg.using(Two(net, net), sample):       # the same one twice is one
        assert_weights(net, sample)


def test_by_shared_parameters_whatever_the_names():
    """A Block that has a layer of the network under another name, and more."""
    net = dense(4, 3, 3)
    head = nn.Dense(3, in_units=3, params=net[1].collect_params())
    block = nn.HybridSequential()
    block.add(nn.Dense(3, in_units=7), head)
    block.initialize()
    sample, before = arrays(net), weights(block)
    with sg.using(block, {n: sample[n] for n in sample}, of=net):
        np.testing.assert_array_equal(head.weight.data().asnumpy(), sample["1.weight"].asnumpy())
        np.testing.assert_array_equal(block[0].weight.data().asnumpy(), before["0.weight"])
    assert_weights(block, before)


def test_some_shared_and_some_of_its_own():
    """What is in the samples and is not reached would be wrong without a word."""
    net = dense(4, 3, 3)
    block = nn.HybridSequential()
    block.add(nn.Dense(3, in_units=4), nn.Dense(3, in_units=3, params=net[1].collect_params()))
    block.initialize()
    with pytest.raises(ValueError, match=r"shares 1\.weight, 1\.bias.*has 0\.weight, 0\.bias of its own"):
        with sg.using(block, arrays(net), of=net):
            raise AssertionError("entered")


def test_a_sample_of_a_tied_network():
    net = dense(3, 3, prefix="tied_")
    net.add(nn.Dense(3, in_units=3, params=net[0].collect_params()))
    sample = arrays(net)
    with pytest.raises(ValueError, match=r"0\.weight and 1\.weight are one parameter in the network, and differ"):
        with sg.using(net, sample):
            raise AssertionError("entered")
    sample["1.weight"], sample["1.bias"] = sample["0.weight"].copy(), sample["0.bias"]
    before = weights(net)
    with sg.using(net, sample):
        assert_weights(net, sample)
    assert_weights(net, before)


def shifted():
    """The same layers at other places of a Sequential."""
    net = nn.HybridSequential()
    net.add(nn.Activation("relu"), nn.Activation("relu"), nn.Dense(3, in_units=4), nn.Dense(2, in_units=3))
    return net


@pytest.mark.parametrize("other, message", [
    (shifted, "(2.weight, 2.bias, 3.weight, 3.bias in the network only; 0.weight, 0.bias, 1.weight, 1.bias in the "),
    (lambda: dense(4, 3, 2, 2, 2), None),       # a Block around the network, as far as names tell
    (lambda: dense(4, 5, 2), "0.weight has shape (3, 4) in the samples, and (5, 4) in the network: they were drawn"),
    (lambda: nn.Activation("relu"), "parameters (0.weight, 0.bias, 1.weight, 1.bias in the samples only)"),
    (lambda: nn.BatchNorm(in_channels=3), "(gamma, beta, running_mean, running_var in the network only")])
def test_another_network_is_told_what_is_missing(other, message):
    net, sample = other(), arrays(dense(4, 3, 2))
    net.initialize()
    before = weights(net)
    if message is None:
        with sg.using(net, sample):
            assert_weights(net, {**before, **sample})
    else:
        with pytest.raises(ValueError) as e:
            with sg.using(net, sample):
                raise AssertionError("entered")
        assert message in str(e.value) and "another network" in str(e.value)
    assert_weights(net, before)


# ---------------------------------------------------------------- how it gets there

@pytest.mark.parametrize("static", [False, True])
def test_a_hybridized_network_computes_with_them(static):
    net, sample = dense(4, 3, 2), arrays(dense(4, 3, 2), 0.5)
    expected_before = net(X).asnumpy()
    net.hybridize(static_alloc=static, static_shape=static)
    for _ in range(3):
        np.testing.assert_allclose(net(X).asnumpy(), expected_before, rtol=1e-5)
        with sg.using(net, sample):
            np.testing.assert_allclose(net(X).asnumpy(), ((X.sum(1) * 0.5 + 0.5) * 1.5 + 0.5).asnumpy()[:, None]
                                       * np.ones(2), rtol=1e-4, atol=1e-5)


def test_all_contexts():
    net, contexts = dense(4, 3), [mx.cpu(0), mx.cpu(1)]
    net.collect_params().reset_ctx(contexts)
    net[0].weight.list_data()[1][:] = 7.0       # replicas may differ, as running statistics do
    sample = arrays(net)
    with sg.using(net, sample):
        for c in contexts:
            np.testing.assert_array_equal(net[0].weight.data(c).asnumpy(), sample["0.weight"].asnumpy())
    assert (net[0].weight.data(contexts[1]) == 7).asnumpy().all()
    assert not (net[0].weight.data(contexts[0]) == 7).asnumpy().any()


@pytest.mark.parametrize("mine, its", itertools.product(("float16", "float32", "float64"), repeat=2))
def test_casts(mine, its):
    net = dense(4, 3)
    net.cast(mine)
    before = weights(net)
    sample = {name: a.astype(its) for name, a in arrays(net).items()}
    with sg.using(net, sample):
        for name, p in net._collect_params_with_prefix().items():
            assert p.data().dtype == np.dtype(mine)
            np.testing.assert_array_equal(p.data().asnumpy(), sample[name].asnumpy().astype(mine))
    assert_weights(net, before)


def test_whole_numbers_are_no_weights():
    net = dense(4, 3)
    with pytest.raises(ValueError, match=r"0\.weight is int32 in a sample, and float32 in the network"):
        with sg.using(net, {name: a.astype("int32") for name, a in arrays(net).items()}):
            raise AssertionError("entered")


def test_arrays_of_numpy_and_of_mx_np():
    mx.npx.set_np()
    try:
        net = nn.Dense(3, in_units=4)
        net.initialize()
        before = net.weight.data().asnumpy()
        for make in (np.ones, mx.np.ones, lambda shape: mx.nd.ones(shape)):
            with sg.using(net, {"weight": make((3, 4)), "bias": make((3,))}):
                assert (net.weight.data().asnumpy() == 1).all() and isinstance(net.weight.data(), mx.np.ndarray)
            np.testing.assert_array_equal(net.weight.data().asnumpy(), before)
    finally:
        mx.npx.reset_np()


def test_a_network_that_waits_for_its_shapes():
    net = nn.Dense(3)
    net.initialize()
    sample = arrays(nn.Dense(3, in_units=4))
    with sg.using(net, sample):
        np.testing.assert_array_equal(net.weight.data().asnumpy(), sample["weight"].asnumpy())
    assert net.weight.shape == (3, 4) and np.isfinite(net(X).asnumpy()).all()
    assert np.abs(net.weight.data().asnumpy()).max() <= 0.07        # as the initialiser draws them
    with pytest.raises(ValueError, match=r"dense\d+_weight of the network is not initialised.*net\.initialize"):
        with sg.using(nn.Dense(3), sample):
            raise AssertionError("entered")


def test_within_record():
    net = dense(4, 3)
    before, sample = weights(net), arrays(net, 1.0)
    with autograd.record():
        with sg.using(net, sample):
            loss = net(X).sum()
        loss.backward()
    assert_weights(net, before)
    np.testing.assert_allclose(net[0].weight.grad().asnumpy(), np.tile(DATA[0].sum(0), (3, 1)), rtol=1e-4, atol=1e-4)


def test_only_what_has_moved():
    net = dense(4, 3, 2)
    before, sample = weights(net), arrays(net)
    places = Places(net, sample)
    places.keep()
    places.put(sample, {"1.weight", "1.bias"})
    assert_weights(net, {n: sample[n] if n.startswith("1") else a for n, a in before.items()})
    places.restore()
    assert_weights(net, before)
    assert (places.own, places.unused) == ([], [])
    assert Places(Around(net, dense(1, 1)), sample).own == ["own.0.weight", "own.0.bias"]
    assert Places(net[1], sample).unused == ["0.weight", "0.bias"]


# ---------------------------------------------------------------- and back

class Odd(Exception):
    pass


def test_back_after_an_error_and_nested():
    net = dense(4, 3)
    before, one, two = weights(net), arrays(net), arrays(net)
    with pytest.raises(Odd):
        with sg.using(net, one):
            with pytest.raises(Odd):
                with sg.using(net, two):
                    assert_weights(net, two)
                    raise Odd
            assert_weights(net, one)
            raise Odd
    assert_weights(net, before)


def test_back_where_a_later_sample_does_not_fit():
    net = dense(4, 3)
    before, seen = weights(net), 0
    good, bad = arrays(net), arrays(dense(4, 5))
    less = {"0.weight": good["0.weight"]}
    for third, message in ((bad, r"shape \(5, 4\) in a sample"), (less, "not all samples are of the same network")):
        with pytest.raises(ValueError, match=message):
            for _ in sg.networks(net, [good, arrays(net), third]):
                seen += 1
        assert_weights(net, before)
    assert seen == 4


def test_back_after_break_error_and_close():
    net = dense(4, 3)
    before, samples = weights(net), [arrays(net) for _ in range(4)]
    for n, sample in zip(sg.networks(net, samples), samples):
        assert_weights(n, sample)
    assert_weights(net, before)
    for _ in sg.networks(net, samples):
        break
    assert_weights(net, before)
    with pytest.raises(Odd):
        for k, _ in enumerate(sg.networks(net, samples)):
            if k == 2:
                raise Odd
    assert_weights(net, before)
    it = sg.networks(net, samples)
    assert_weights(next(it), samples[0])
    it.close()
    assert_weights(net, before)

    def answers():
        for n in sg.networks(net, samples):
            yield n(X).asnumpy()
    some = answers()
    next(some)
    del some
    gc.collect()
    assert_weights(net, before)


def test_back_bit_for_bit_after_a_chain_has_sampled():
    """A chain that is looked at goes on as one that is not: neither weights nor states nor kvstore have changed."""
    outcomes = []
    for looks in (False, True):
        mx.random.seed(1)
        net = trainers.build()
        tr = trainers.make(net, thin=2)
        trainers.run(tr, DATA, 6)
        if looks:
            expected = sg.predict(net, tr.samples, DATA[0], "identity", samples=True)
            seen = [n(X).asnumpy() for n in tr.networks()]
            np.testing.assert_allclose(seen, expected, rtol=1e-6, atol=1e-6)
            part = [n(X).asnumpy() for n in tr.networks(net[0])]
            np.testing.assert_allclose(part[-1], np.maximum(0, DATA[0] @ tr.samples[-1]["0.weight"].asnumpy().T
                                                            + tr.samples[-1]["0.bias"].asnumpy()), rtol=1e-4, atol=1e-5)
        trainers.run(tr, DATA, 6)
        outcomes.append(weights(net))
    for name in outcomes[0]:
        np.testing.assert_array_equal(outcomes[0][name], outcomes[1][name])


def test_samples_of_a_folder(tmp_path):
    net = trainers.build()
    with trainers.make(net, store=tmp_path / "run") as tr:
        trainers.run(tr, DATA, 4)
        assert len(list(tr.networks())) == 4
    samples = sg.load(tmp_path / "run")
    outs = [n(X).asnumpy() for n in sg.networks(Around(trainers.build()), samples)]
    np.testing.assert_allclose(outs, sg.predict(net, samples, DATA[0], "identity", samples=True), rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------- wrong calls

def test_wrong_calls(tmp_path):
    net = dense(4, 3)
    sample = arrays(net)
    tr = trainers.make(trainers.build())
    with pytest.raises(TypeError, match="net must be a gluon.Block"):
        sg.networks(net.collect_params(), [sample])
    with pytest.raises(TypeError, match="sample must be one of trainer.samples.*got list"):
        with sg.using(net, [sample]):
            pass
    with pytest.raises(TypeError, match=r"got dict; write .*using\(net, sample\)"):
        sg.networks(net, sample)
    with pytest.raises(TypeError, match="samples must be a sequence of samples, got int"):
        sg.networks(net, 3)
    with pytest.raises(ValueError, match="there are no samples"):
        sg.networks(net, [])
    with pytest.raises(ValueError, match="there are no samples yet: 0 steps were taken"):
        tr.networks()
    with trainers.make(trainers.build(), store=sg.FolderStore(tmp_path / "run", inputs=DATA[0])) as outputs:
        trainers.run(outputs, DATA, 2)
        with pytest.raises(ValueError, match=r"are a network's outputs \(FolderStore\(inputs=...\)\)"):
            next(outputs.networks())
