"""The same model in ONNX's format, by MXNet's converter, run by onnxruntime."""
import mxnet as mx
import numpy as np
import pytest
from drawn_samples import drawn
from mxnet import gluon

import sgmcmc_mx as sg

onnx = pytest.importorskip("onnx", reason="needs the package onnx, below 1.19 (pip install 'onnx<1.19' onnxruntime)")
pytest.importorskip("onnx.mapping", reason="needs onnx below 1.19: MXNet's converter reads onnx.mapping")
runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

L = sg.likelihoods
rng = np.random.RandomState(0)
ROWS, IMAGES = rng.randn(9, 4).astype("f"), rng.randn(5, 1, 8, 8).astype("f")


def dense(units, *last):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(6, activation="relu", in_units=4), gluon.nn.Dense(units, in_units=6), *last)
    net.initialize(mx.init.Xavier())
    return net


def lenet():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(3, 3, in_channels=1, activation="relu"), gluon.nn.MaxPool2D(2),
            gluon.nn.BatchNorm(in_channels=3), gluon.nn.Dropout(0.5), gluon.nn.Dense(3, in_units=27))
    net.initialize()
    return net


def grouped():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(4, 3, in_channels=1), gluon.nn.GroupNorm(num_groups=2), gluon.nn.Dense(3, in_units=144))
    net.initialize()
    return net


def run(exported, x):
    session = runtime.InferenceSession(exported.onnx, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert given.name == "data"
    return dict(zip((out.name for out in session.get_outputs()), session.run(None, {"data": x})))


@pytest.mark.parametrize("build, x, activation", [
    (lambda: dense(3), ROWS, "softmax"), (lenet, IMAGES, L.Categorical()), (lambda: dense(2), ROWS, "sigmoid"),
    (lambda: dense(2), ROWS, L.Gaussian([0.3, 2.0])), (lambda: dense(4), ROWS, L.Gaussian("learned")),
    (lambda: dense(4), ROWS, L.Gaussian("learned", link="softplus")),
    (lambda: dense(2, sg.nn.LogSigma()), ROWS, L.Gaussian("global")),
    (lambda: dense(2), ROWS, L.StudentT(5.0, "learned", link="softplus")), (lambda: dense(1), ROWS, L.Bernoulli()),
    (lambda: dense(3), ROWS, L.NoisyDirichlet(0.1)), (lambda: dense(1), ROWS, L.Ordinal([-1.0, 0.5, 2.0])),
    (lambda: dense(1), ROWS, L.Poisson()), (lambda: dense(2), ROWS, L.NegativeBinomial())],
    ids=["classes", "images", "yes or no", "curve", "noise learned", "softplus", "one noise", "wide tails", "Bernoulli",
         "Dirichlet", "grades", "counts", "scattered counts"])
def test_it_gives_the_same(build, x, activation, tmp_path):
    """The model was converted with three examples, and is asked about more."""
    net = build()
    samples = drawn(net, 4)
    exported = sg.export(samples, net, tmp_path / "model", activation, data=x[:3], onnx=True)
    found, expected = run(exported, x), sg.predict(net, samples, x, activation)
    wanted = expected._asdict() if isinstance(expected, sg.Regression) else {"probabilities": expected}
    for name, value in wanted.items():
        if value is not None:
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


def test_a_softplus_far_below_0_is_no_0(tmp_path):
    """Neither is it infinite far above."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(2, in_units=1, use_bias=False))
    net.initialize()
    said = np.array([[-20.0], [-12.0], [-1e-3], [0.0], [3.0], [40.0], [1e6]], "f")
    samples = [sg.Sample({"0.weight": mx.nd.array([[0.0], [1.0]])}, step=1)]
    exported = sg.export(samples, net, tmp_path / "model", L.Gaussian("learned", link="softplus"), data=said, onnx=True)
    exact = np.logaddexp(0.0, said.astype(np.float64))
    np.testing.assert_allclose(run(exported, said)["noise_std"], exact, rtol=1e-5)


def test_it_says_which_operators_it_is_written_in(tmp_path):
    """The newest version that the package onnx knows is not the one that MXNet wrote."""
    net = dense(3)
    exported = sg.export(drawn(net, 2), net, tmp_path / "model", "softmax", data=ROWS, onnx=True)
    model = onnx.load(exported.onnx)
    assert [s.version for s in model.opset_import] == [13] and onnx.defs.onnx_opset_version() > 13
    assert [value.name for value in model.graph.input] == ["data"]


def normed(axis=-1):
    """A LayerNorm behind rows, or along the channels of images."""
    net = gluon.nn.HybridSequential()
    if axis == -1:
        net.add(gluon.nn.Dense(6, in_units=4), gluon.nn.LayerNorm(in_channels=6), gluon.nn.Dense(3, in_units=6))
    else:
        net.add(gluon.nn.Conv2D(4, 3, in_channels=1), gluon.nn.LayerNorm(axis=axis, in_channels=4),
                gluon.nn.Dense(3, in_units=144))
    net.initialize(mx.init.Xavier())
    return net


@pytest.mark.parametrize("of_numpy", [False, True], ids=["mx.nd", "mx.np"])
@pytest.mark.parametrize("build, x", [(normed, ROWS), (lambda: normed(1), IMAGES)], ids=["rows", "channels"])
def test_layer_norm(build, x, of_numpy, tmp_path):
    """Its mean over an axis is written otherwise since opset 18, and the converter was checked by the newest."""
    before = dict(onnx.checker.DEFAULT_CONTEXT.opset_imports)
    with mx.util.np_shape(of_numpy), mx.util.np_array(of_numpy):
        net = build()
        net((mx.np if of_numpy else mx.nd).array(x))
        samples = [sg.Sample({n: a.as_np_ndarray() if of_numpy else a for n, a in s.items()}, step=s.step,
                             weight=s.weight) for s in drawn(net, 3)]
        exported = sg.export(samples, net, tmp_path / "model", "softmax", data=x[:3], onnx=True)
        expected = sg.predict(net, samples, x, "softmax")
    np.testing.assert_allclose(run(exported, x)["probabilities"], expected, rtol=1e-5, atol=1e-5)
    assert onnx.checker.DEFAULT_CONTEXT.opset_imports == before


class Centred(gluon.HybridBlock):
    """A layer of mx.np's own operators."""

    def hybrid_forward(self, F, x):
        return x - F.np.mean(x, axis=-1, keepdims=True)


def test_operators_of_mx_np_are_named_with_their_layer(tmp_path):
    with mx.util.np_shape(True), mx.util.np_array(True):
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(6, in_units=4), Centred(prefix="centred_"), gluon.nn.Dense(3, in_units=6))
        net.initialize()
        net(mx.np.array(ROWS))
        samples = [sg.Sample({n: a.as_np_ndarray() for n, a in s.items()}, step=s.step) for s in drawn(net, 2)]
        with pytest.raises(ValueError, match=r"does not know _npi_mean \(in centred_.*of mx.nd or mx.npx, or serve"):
            sg.export(samples, net, tmp_path / "model", "softmax", data=ROWS, onnx=True)


@pytest.mark.parametrize("build, x, options, named", [
    (lambda: dense(1), ROWS, {"activation": L.Gaussian(), "quantiles": [0.5]}, "erf"),
    (lambda: dense(4), ROWS, {"activation": L.Ordinal()}, "cumsum.* expm1"),
    (grouped, IMAGES, {"activation": "softmax"}, r"GroupNorm \(in groupnorm\d+_\w+\)")],
    ids=["erf of quantiles", "cumsum of cuts", "GroupNorm"])
def test_what_it_cannot_write_is_named(build, x, options, named, tmp_path):
    net = build()
    net(mx.nd.array(x))     # GroupNorm waits for its shape
    with pytest.raises(ValueError, match=f"ONNX converter does not know .*{named}.*; serve the symbol and params"):
        sg.export(drawn(net, 2), net, tmp_path / "model", data=x, onnx=True, **options)
    assert (tmp_path / "model-0000.params").exists() and not (tmp_path / "model.onnx").exists()
