"""The averaged predictor in files: plain MXNet gives what sg.predict gives."""
import json
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from drawn_samples import drawn, mlp
from mxnet import gluon

import sgmcmc_mx as sg

L = sg.likelihoods
X = np.random.RandomState(0).randn(9, 4).astype(np.float32)


def read(exported, *inputs):
    """What the files give, by the outputs' names."""
    block = gluon.SymbolBlock.imports(exported.symbol, exported.inputs, exported.params)
    found = block(*map(mx.nd.array, inputs))
    return dict(zip(exported.outputs, [a.asnumpy() for a in (found if isinstance(found, list) else [found])]))


def close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


CLASSES = [("softmax", 3), ("sigmoid", 2), (L.Categorical(label_noise=0.2), 3), (L.Bernoulli(), 1),
           (L.NoisyDirichlet(0.1), 3), (L.Ordinal([-1.0, 0.5, 2.0]), 1), (L.Ordinal(), 4)]


@pytest.mark.parametrize("activation, units", CLASSES, ids=lambda v: str(v))
def test_of_classes(activation, units, tmp_path):
    """Samples count by their weights, and it is their probabilities that are averaged, not their outputs."""
    net = mlp(units)
    samples = drawn(net, 5, scale=2.0)
    exported = sg.export(samples, net, tmp_path / "model", activation, members=True)
    found = read(exported, X)
    assert exported.outputs == ["probabilities", "members"] and exported.samples == 5
    close(found["probabilities"], sg.predict(net, samples, X, activation))
    close(found["members"], sg.predict(net, samples, X, activation, samples=True))
    alike = sg.predict(net, [s.with_weight(1.0) for s in samples], X, activation)
    assert np.abs(found["probabilities"] - alike).max() > 1e-3      # the weights make a difference here


REGRESSIONS = [(L.Gaussian(0.3), 2, ()), (L.Gaussian([0.3, 2.0]), 2, ()), (L.Gaussian("learned"), 4, ()),
               (L.Gaussian("learned", link="softplus"), 4, ()),
               (L.Gaussian("global"), 2, (sg.nn.LogSigma,)), (L.StudentT(5.0, 0.3), 1, ()), (L.Poisson(), 2, ()),
               (L.NegativeBinomial(3.0), 1, ()), (L.NegativeBinomial(), 4, ())]


@pytest.mark.parametrize("likelihood, units, last", REGRESSIONS, ids=lambda v: str(v))
def test_of_regressions(likelihood, units, last, tmp_path):
    net = mlp(units, *[layer() for layer in last])
    samples = drawn(net, 5)
    asked = (0.05, 0.5, 0.95) if isinstance(likelihood, L.Gaussian) else ()
    exported = sg.export(samples, net, tmp_path / "model", likelihood, quantiles=asked, members=True)
    found, expected = read(exported, X), sg.predict(net, samples, X, likelihood, quantiles=asked)
    for name in ("mean", "std", "noise_std", "weight_std", *(["quantiles"] if asked else [])):
        close(found[name], getattr(expected, name))
    weights, means, stds = samples_weights(samples), found["members"], found["member_stds"]
    close(np.tensordot(weights, means, 1), expected.mean)
    close(np.tensordot(weights, stds ** 2 + means ** 2, 1) - expected.mean ** 2, expected.std ** 2)


def samples_weights(samples):
    return sg.MemoryStore(samples).weights


def test_noise_that_came_with_labels(tmp_path):
    net, likelihood = mlp(1), L.Gaussian("label")
    samples = drawn(net, 3)
    with pytest.raises(TypeError, match="noise_std must be a number, got None"):
        sg.export(samples, net, tmp_path / "model", likelihood)
    found = read(sg.export(samples, net, tmp_path / "model", likelihood, noise_std=0.7), X)
    close(found["std"], sg.predict(net, samples, X, likelihood, noise_std=0.7).std)


FRESH = """
import sys
sys.modules["sgmcmc_mx"] = None          # an import of it fails
import numpy as np
for name in ("bool", "int"):             # MXNet 1.9.1 by itself needs them of a newer NumPy
    if name not in np.__dict__:
        setattr(np, name, getattr(__builtins__, name))
import json
import mxnet as mx
for name, inputs in json.loads(sys.argv[1]).items():
    block = mx.gluon.SymbolBlock.imports(f"{name}-symbol.json", inputs, f"{name}-0000.params")
    given = np.load(f"{name}.npz")
    found = block(*[mx.nd.array(given[i]) for i in inputs])
    np.savez(f"{name}-found.npz", *[a.asnumpy() for a in (found if isinstance(found, list) else [found])])
assert not [m for m in sys.modules if m.startswith("sgmcmc_mx") and sys.modules[m]]
"""


class TwoInputs(gluon.HybridBlock):
    """Which of the inputs is which matters."""

    def __init__(self):
        super().__init__()
        self.left, self.right = gluon.nn.Dense(3, in_units=4), gluon.nn.Dense(3, in_units=2)

    def hybrid_forward(self, F, a, b):
        return F.tanh(self.right(b)) - self.left(a)


def convolutional():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(3, 3, in_channels=1, activation="relu"), gluon.nn.BatchNorm(in_channels=3),
            gluon.nn.Dropout(0.5), gluon.nn.Dense(3, in_units=48))
    net.initialize()
    return net


def test_a_process_that_has_no_such_package(tmp_path):
    """Classes, a regression, images with running statistics that differ between samples, and two inputs."""
    rng = np.random.RandomState(1)
    images, pair = rng.randn(5, 1, 6, 6).astype("f"), (X, rng.randn(9, 2).astype("f"))
    two = TwoInputs()
    two.initialize()
    cases = {"classes": (mlp(3), X, "softmax"), "curve": (mlp(2), X, L.Gaussian("learned")),
             "images": (convolutional(), images, "softmax"), "two": (two, pair, "softmax")}
    asked = {}
    for name, (net, x, activation) in cases.items():
        exported = sg.export(drawn(net, 4), net, tmp_path / name, activation, data=x)
        np.savez(tmp_path / f"{name}.npz", **dict(zip(exported.inputs, x if isinstance(x, tuple) else [x])))
        asked[name] = exported.inputs
    done = subprocess.run([sys.executable, "-c", FRESH, json.dumps(asked)], cwd=str(tmp_path), capture_output=True,
                          text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    for name, (net, x, activation) in cases.items():
        found = list(np.load(tmp_path / f"{name}-found.npz").values())
        expected = sg.predict(net, drawn(net, 4), x, activation)
        for one, other in zip(found, expected[:4] if isinstance(expected, sg.Regression) else [expected]):
            close(one, other)


def test_what_does_not_move_is_there_once(tmp_path):
    """Weights that all samples have, and what is computed from them alone."""
    net = mlp(3)
    samples = drawn(net, 6, still=["0."])
    exported = sg.export(samples, net, tmp_path / "model", "softmax")
    close(read(exported, X)["probabilities"], sg.predict(net, samples, X, "softmax"))
    nodes = [node["op"] for node in json.load(open(exported.symbol))["nodes"]]
    assert nodes.count("Activation") == 1 and nodes.count("FullyConnected") == 1 + 6
    assert exported.bytes == 4 * (6 * 5 + 6 * 3 * 7 + 6)


def test_a_hybridized_network_of_another_name_and_one_that_was_imported(tmp_path):
    net = mlp(3)
    net.hybridize()
    net(mx.nd.array(X))
    first = sg.export(drawn(net, 3), net, tmp_path / "first", "softmax")
    close(read(first, X)["probabilities"], sg.predict(net, drawn(net, 3), X, "softmax"))
    net.export(str(tmp_path / "net"))
    block = gluon.SymbolBlock.imports(str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params"))
    again = sg.export(drawn(block, 3), block, tmp_path / "again", "softmax")
    close(read(again, X)["probabilities"], sg.predict(block, drawn(block, 3), X, "softmax"))


def test_one_output_of_several_and_classes_of_pixels(tmp_path):
    class Heads(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.body = gluon.nn.Conv2D(3, 1, in_channels=2)

        def hybrid_forward(self, F, x):
            out = self.body(x)
            return out, 2.0 * out
    net = Heads()
    net.initialize()
    samples, x = drawn(net, 3), np.random.RandomState(2).randn(2, 2, 3, 4).astype("f")
    with pytest.raises(ValueError, match="returns 2 outputs.*write output=0"):
        sg.export(samples, net, tmp_path / "model", "softmax", axis=1)
    exported = sg.export(samples, net, tmp_path / "model", "softmax", axis=1, output=1, data=x)
    close(read(exported, x)["probabilities"], sg.predict(net, samples, x, "softmax", axis=1, output=1))


def test_what_is_read_back_is_compared(tmp_path):
    """A network that computes something else where it is called with arrays than as a graph."""
    class Odd(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.body = gluon.nn.Dense(2, in_units=4)

        def hybrid_forward(self, F, x):
            out = self.body(x)
            return out if F is mx.sym else 3.0 * out
    net = Odd()
    net.initialize()
    with pytest.raises(ValueError, match="gives probabilities that is .* from what sgmcmc_mx.predict gives"):
        sg.export(drawn(net, 2), net, tmp_path / "model", "softmax", data=X)


class Own(L.Gaussian):
    def predictive(self, output):
        return 2.0 * super().predictive(output)


class NoGraph(gluon.Block):
    def __init__(self):
        super().__init__()
        self.body = gluon.nn.Dense(2, in_units=4)

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize("options, error, said", [
    ({}, ValueError, "activation is not given"),
    ({"activation": np.tanh}, ValueError, "cannot be written into a graph"),
    ({"activation": Own()}, ValueError, "predicts by a function of its own"),
    ({"activation": "sigmoid", "axis": 1}, ValueError, "axis: got 1 beside 'sigmoid'"),
    ({"activation": L.Gaussian(), "noise_std": 1.0}, ValueError, "knows its own"),
    ({"activation": "softmax", "quantiles": [0.5]}, ValueError, "quantiles can be written into a graph for"),
    ({"activation": L.Poisson(), "quantiles": [0.5]}, ValueError, "write members=True"),
    ({"activation": L.Gaussian(), "quantiles": [1.5]}, ValueError, "strictly between 0 and 1, got 1.5"),
    ({"activation": "softmax", "onnx": True}, ValueError, "needs the shapes of inputs"),
    ({"activation": "softmax", "members": 1}, TypeError, "members must be True or False"),
    ({"activation": "softmax", "output": 3}, ValueError, "output must be in"),
    ({"activation": "softmax", "data": (X, X)}, ValueError, "data has 2 arrays, and the network takes 1"),
])
def test_bad_input(options, error, said, tmp_path):
    net = mlp(2)
    with pytest.raises(error, match=said):
        sg.export(drawn(net, 2), net, tmp_path / "model", **options)


class OfNumPy(gluon.HybridBlock):
    """Operators of mx.np, an array without axes among them."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(4, 3))

    def hybrid_forward(self, F, x, weight):
        hidden = F.np.dot(x, weight)
        both = F.np.concatenate([F.npx.relu(hidden), F.np.tanh(hidden)], axis=-1)
        return both[:, 1:4] - F.np.mean(weight)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("make, likelihood", [
    (lambda: mlp(3), L.Categorical()), (lambda: mlp(2), L.Gaussian("learned")), (lambda: mlp(1), L.Gaussian(0.3)),
    (OfNumPy, L.Categorical())], ids=["classes", "learned", "curve", "operators"])
def test_a_network_of_mx_np(make, likelihood, compiled, tmp_path):
    """Its symbols have [0] mean the first row: every example was once told what is said of the first of its batch."""
    with mx.util.np_shape(True), mx.util.np_array(True):
        net = make()
        net.initialize(mx.init.Xavier(), force_reinit=True)
        if compiled:
            net.hybridize()
        net(mx.np.array(X))
        samples = [sg.Sample({n: a.as_np_ndarray() for n, a in s.items()}, step=s.step, weight=s.weight)
                   for s in drawn(net, 4)]
        exported = sg.export(samples, net, tmp_path / "model", likelihood)      # without data it is not looked at
        expected = sg.predict(net, samples, X, likelihood)
    found = read(exported, X)
    for name, value in (expected._asdict() if isinstance(expected, sg.Regression) else {"probabilities": expected}
                        ).items():
        if value is not None:
            close(found[name], value)
