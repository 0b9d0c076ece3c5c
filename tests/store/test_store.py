"""What a folder of samples holds, who can read it, and that it is the sequence that memory is."""
import contextlib
import hashlib
import json
import re

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd
from runs import STEPS, X, go, loader, network, options, step, trainer

import sgmcmc_mx as sg
from sgmcmc_mx.store.manifest import parse


class Tied(gluon.nn.HybridBlock):
    """Two layers that share a weight."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.first = gluon.nn.Dense(4, in_units=4)
            self.second = gluon.nn.Dense(4, in_units=4, params=self.first.params)

    def hybrid_forward(self, F, x):
        return self.second(F.tanh(self.first(x)))


def bare():
    return gluon.nn.Dense(3, in_units=4)


def two_layers():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(4, in_units=4), gluon.nn.Dense(2, in_units=4))
    return net


def normalised():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(4, in_units=4), gluon.nn.BatchNorm(in_channels=4), gluon.nn.Dense(2, in_units=4))
    return net


def doubles():
    net = gluon.nn.Dense(2, in_units=4)
    net.cast("float64")
    return net


@pytest.fixture
def with_numpy():
    mx.npx.set_np()
    yield
    mx.npx.reset_np()


def check_files(make, folder, array):
    """Each file is what net.load_parameters takes, and has the sample's numbers."""
    net = make()
    net.initialize()
    loss = gluon.loss.L2Loss()
    dtype = next(iter(net.collect_params().values())).dtype
    x = array(np.ones((3, 4)), dtype=dtype)
    with sg.BayesianTrainer(net, "sgnht", {"num_data": 3}, loss, seed=0, store=folder) as tr:
        for _ in range(3):
            with mx.autograd.record():
                value = loss(net(x), array(np.zeros((3, net(x).shape[1])), dtype=dtype))
            value.backward()
            tr.step(3)
    found = sg.load(folder)
    other = make()
    for entry, sample in zip(found._entries, found):
        other.load_parameters(str(folder / entry.file))
        for name, p in other._collect_params_with_prefix().items():
            np.testing.assert_array_equal(p.data().asnumpy(), sample[name].asnumpy())
            assert p.data().dtype == sample[name].dtype
    np.testing.assert_array_equal(other(x).asnumpy(), net(x).asnumpy())     # the last sample is where the chain stands


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", [bare, Tied, normalised, doubles])
def test_a_network_loads_the_files(make, tmp_path):
    check_files(make, tmp_path / "run", nd.array)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_network_of_numpy_arrays_loads_them(with_numpy, tmp_path):
    check_files(two_layers, tmp_path / "run", mx.np.array)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("started", [True, False])
def test_a_network_of_numpy_arrays_goes_on(with_numpy, tmp_path, started):
    check_files(two_layers, tmp_path / "run", mx.np.array)
    net = two_layers()
    if started:
        net.initialize()
    with sg.BayesianTrainer.resume(tmp_path / "run", net, likelihood=gluon.loss.L2Loss()) as tr:
        assert tr.num_steps == 3
        np.testing.assert_array_equal(net[0].weight.data().asnumpy(), tr.samples[-1]["0.weight"].asnumpy())
        assert tr.predict(np.ones((2, 4)), "identity").shape == (2, 2)


KINDS = ("float16", "float32", "float64", "uint8", "int8", "int32", "int64", "bool")


def test_every_type_and_arrays_without_numbers(tmp_path):
    given = {k: nd.array(np.arange(6).reshape(2, 3) % 2, dtype=k) for k in KINDS}
    with mx.util.np_shape(True):
        given["none"], given["one"] = nd.zeros((0, 3)), nd.array(np.float32(2).reshape(()))
    with contextlib.closing(sg.FolderStore(tmp_path / "a")) as store:
        store.append(sg.Sample(given, 1))
    file = str(tmp_path / "a" / "sample-000000001.params")
    with mx.util.np_shape(True):    # which MXNet wants for arrays without numbers
        theirs = mx.nd.load(file)
    for read in (theirs, sg.load(tmp_path / "a")[0]):
        assert list(read) == list(given)
        for name, a in given.items():
            assert read[name].shape == a.shape and read[name].dtype == a.dtype, name
            np.testing.assert_array_equal(read[name].asnumpy(), a.asnumpy())


def test_the_manifest(tmp_path):
    folder, data, net = tmp_path / "run", loader(), network()
    params = {"prior": sg.priors.Gamma(every=3), "learning_rate": 0.01}
    with trainer(net, "sgnht", params, folder, data) as tr:
        go(net, tr, data, STEPS)
        kept = list(tr.samples)
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    header, samples = lines[0]["header"], [line["sample"] for line in lines[1:]]
    assert header["format"] == 2 and header["sampler"] == "sgnht"
    assert header["package"] == f"sgmcmc_mx {sg.__version__}" and header["keep_last"] is header["dtype"] is None
    assert header["options"]["num_data"] == 44 and header["options"]["learning_rate"] == 0.01
    assert header["parameters"] == {n: {"shape": list(p.shape), "dtype": "float32"}
                                    for n, p in net._collect_params_with_prefix().items()}
    assert [s["step"] for s in samples] == [7, 11, 15, 19, 23] == [s.step for s in kept]
    for line, sample in zip(samples, kept):
        data = (folder / line["file"]).read_bytes()
        assert line["bytes"] == len(data) and line["sha256"] == hashlib.sha256(data).hexdigest()
        for name in ("potential", "temperature", "friction", "hyper", "weight"):
            assert line[name] == getattr(sample, name)
        assert line["potential"] > 0 and line["temperature"] > 0 and line["hyper"]


def pair(tmp_path, **store_options):
    """The same run in memory and in a folder."""
    found = []
    for store in (None, sg.FolderStore(tmp_path / "run", **store_options)):
        data, net = loader(), network()
        tr = trainer(net, "sgnht", {}, store, data, thin=2)
        go(net, tr, data, STEPS)
        found.append((net, tr))
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_memory_and_folder_are_the_same_sequence(tmp_path):
    (net, memory), (_, stored) = pair(tmp_path)
    read = sg.load(tmp_path / "run")
    stored.samples.flush()
    for samples in (stored.samples, sg.load(tmp_path / "run")):
        assert len(samples) == len(memory.samples) == 10
        np.testing.assert_array_equal(samples.weights, memory.samples.weights)
        for part in (slice(None), slice(2, 8, 3), slice(-3, None), slice(None, None, -1), slice(5, 5)):
            same(memory.samples[part], samples[part])
        for i in (0, 9, -1, -10):
            same([memory.samples[i]], [samples[i]])
        for i in (10, -11):
            with pytest.raises(IndexError):
                samples[i]
        np.testing.assert_array_equal(sg.predict(net, samples, X, "softmax"), memory.predict(X))
        np.testing.assert_array_equal(sg.predict(net, samples[3:7], X, "softmax"),
                                      sg.predict(net, memory.samples[3:7], X, "softmax"))
        assert re.fullmatch(r"\w+\('.*run', 10 samples, steps 5 to 23\)", repr(samples))
    assert len(read) <= 10      # those that were there when it was made
    with pytest.raises(KeyError, match="has|Dense|'nothing'"):
        stored.samples[0]["nothing"]
    stored.close()
    assert len(list(stored.samples)) == 10      # reading goes on


def same(some, others):
    assert len(some) == len(others)
    for a, b in zip(some, others):
        assert list(a) == list(b) and a.readings[2:] == b.readings[2:]
        assert (a.step, a.weight, a.potential, a.temperature, a.friction, a.hyper) == (
            b.step, b.weight, b.potential, b.temperature, b.friction, b.hyper)
        for name in a:
            np.testing.assert_array_equal(a[name].asnumpy(), b[name].asnumpy())
            assert a[name].dtype == b[name].dtype


def test_read_while_it_runs(tmp_path):
    """Whoever looks sees whole samples, more as time goes on, and the same ones."""
    data, net = loader(), network()
    seen = {}
    with trainer(net, "sgnht", {}, tmp_path / "run", data, burn_in=0, thin=1) as tr:
        for upto in range(1, STEPS):
            go(net, tr, data, upto)
            assert len(tr.samples) == upto
            for samples in ((tr.samples, sg.load(tmp_path / "run")) if upto % 4 == 0 else (tr.samples[-2:],)):
                for s in samples:
                    total = sum(float(a.sum().asscalar()) for a in s.values())
                    assert seen.setdefault(s.step, total) == total
    assert sorted(seen) == list(range(1, STEPS))


def test_halves(tmp_path):
    """They take half the room and come back as what they were; a variance beyond a half's range stays whole."""
    big = np.array([1.0, 70000.0, 1e-3], "float32")
    given = {"weight": nd.array(np.linspace(-3, 3, 999)), "running_var": nd.array(big),
             "count": nd.array([1, 2], dtype="int32"), "double": nd.array([1 / 3], dtype="float64")}
    store = sg.FolderStore(tmp_path / "a", dtype="float16")
    store.append(sg.Sample(given, 1))
    store.close()
    read = mx.nd.load(str(tmp_path / "a" / "sample-000000001.params"))
    assert {n: np.dtype(a.dtype).name for n, a in read.items()} == {
        "weight": "float16", "running_var": "float32", "count": "int32", "double": "float16"}
    for samples in (store, sg.load(tmp_path / "a")):
        sample = samples[0]
        assert {n: a.dtype for n, a in sample.items()} == {n: a.dtype for n, a in given.items()}
        np.testing.assert_array_equal(sample["running_var"].asnumpy(), big)
        np.testing.assert_allclose(sample["weight"].asnumpy(), given["weight"].asnumpy(), rtol=2 ** -11, atol=1e-7)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("likelihood", [sg.likelihoods.Categorical(), sg.likelihoods.Gaussian()])
def test_function_samples(tmp_path, likelihood):
    """Predictions instead of weights: the same averages on just the inputs they were made on, resumed or not."""
    inputs, found = X[:9], []
    for store in (None, "whole", "parts"):
        data, net = loader(), network()
        given = None if store is None else sg.FolderStore(tmp_path / store, inputs=inputs)
        tr = sg.BayesianTrainer(net, "sgnht", options(), likelihood, seed=11, store=given, data=data, burn_in=3,
                                thin=4, checkpoint_every=5)
        for upto in (13, STEPS):
            while tr.num_steps < upto:
                for x, y in data:
                    step(net, tr, x, y if likelihood.__class__.__name__ == "Categorical" else nd.one_hot(y, 3))
                    if tr.num_steps >= upto:
                        break
            if store == "parts" and upto == 13:
                tr.close()
                net, data = network(), loader()
                tr = sg.BayesianTrainer.resume(tmp_path / store, net, data=data)
        found.append(np.array(tr.predict(inputs)[:4] if tr.likelihood.kind == "regression" else tr.predict(inputs)))
        if store:
            assert list(tr.samples[0]) == ["output"]
            with pytest.raises(ValueError, match="the inputs that the store was made with.*samples.inputs"):
                tr.predict(X)
            tr.close()
            loaded = sg.load(tmp_path / store)
            np.testing.assert_array_equal(loaded.inputs, inputs)
            again = sg.predict(net, loaded, nd.array(inputs), likelihood)
            np.testing.assert_array_equal(again[:4] if likelihood.kind == "regression" else again, found[-1])
    for f in found[1:]:
        np.testing.assert_allclose(f, found[0], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(found[1], found[2])


def test_the_manifest_reads_itself(tmp_path):
    store = sg.FolderStore(tmp_path / "a")
    for step_ in (3, 5):
        store.append(sg.Sample({"w": nd.ones((2,))}, step_, 0.5, potential=float("nan"), hyper={"0.weight": 2.0}))
    store.note(kind="halved", step=3)
    store.close()
    data = (tmp_path / "a" / "manifest.jsonl").read_bytes()
    found = parse(data, "here")
    assert [e.step for e in found.entries] == [3, 5] and found.events == [{"kind": "halved", "step": 3}]
    assert found.end == len(data) and found.lines == 4 and found.entries[0].potential is None
