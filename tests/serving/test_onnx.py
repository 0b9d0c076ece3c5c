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
    (lambda: dense(1), ROWS, L.Poisson()), (lambda: dense(2), ROWS, L.NegativeBinomial())],
    ids=["classes", "images", "yes or no", "curve", "noise learned", "counts", "scattered counts"])
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


def test_it_says_which_operators_it_is_written_in(tmp_path):
    """The newest version that the package onnx knows is not the one that MXNet wrote."""
    net = dense(3)
    exported = sg.export(drawn(net, 2), net, tmp_path / "model", "softmax", data=ROWS, onnx=True)
    model = onnx.load(exported.onnx)
    assert [s.version for s in model.opset_import] == [13] and onnx.defs.onnx_opset_version() > 13
    assert [value.name for value in model.graph.input] == ["data"]


@pytest.mark.parametrize("build, x, options", [
    (lambda: dense(1), ROWS, {"activation": L.Gaussian(), "quantiles": [0.5]}),
    (lambda: dense(4), ROWS, {"activation": L.Ordinal()}),
    (grouped, IMAGES, {"activation": "softmax"})], ids=["erf of quantiles", "cumsum of cuts", "GroupNorm"])
def test_what_it_cannot_write_is_named(build, x, options, tmp_path):
    net = build()
    net(mx.nd.array(x))     # GroupNorm waits for its shape
    with pytest.raises(ValueError, match="ONNX converter does not know an operator of this model .*op type"):
        sg.export(drawn(net, 2), net, tmp_path / "model", data=x, onnx=True, **options)
    assert (tmp_path / "model-0000.params").exists() and not (tmp_path / "model.onnx").exists()
