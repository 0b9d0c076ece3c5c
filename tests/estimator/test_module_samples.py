"""A callback of Module.fit that keeps samples."""
import mxnet as mx
import numpy as np
import pytest

import sgmcmc_mx as sg

X = np.random.RandomState(0).randn(40, 4).astype(np.float32)
Y = X[:, :3].argmax(axis=1).astype(np.float32)
OPTIONS = {"learning_rate": 0.05, "num_data": 40, "seed": 3}


def scores():
    hidden = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=5, name="fc1"), act_type="tanh")
    return mx.sym.FullyConnected(hidden, num_hidden=3, name="fc2")


def fitted(epochs=4, sampler="sgnht", **callbacks):
    mx.random.seed(0)
    module = mx.mod.Module(mx.sym.SoftmaxOutput(scores(), name="softmax"), context=mx.cpu())
    module.fit(mx.io.NDArrayIter(X, Y, batch_size=10), optimizer=sampler, optimizer_params=OPTIONS, num_epoch=epochs,
               initializer=mx.init.Xavier(), **callbacks)
    return module


def weights(module):
    return {name: a.asnumpy() for part in module.get_params() for name, a in part.items()}


def same(sample, expected):
    assert set(sample) == set(expected)
    for name, a in sample.items():
        np.testing.assert_array_equal(a.asnumpy(), expected[name])


def test_batches():
    """Samples are copies of the weights as they were, and the last is where the module stands."""
    keep = sg.estimator.ModuleSamples(burn_in=4, thin=3)
    module = fitted(batch_end_callback=keep)
    assert keep.count == 16 and [s.step for s in keep.samples] == [7, 10, 13, 16]
    same(keep.samples[-1], weights(module))
    assert keep.samples[-1].friction > 0 and keep.samples[-1].temperature > 0
    after_two = sg.estimator.ModuleSamples(thin=8)
    fitted(2, batch_end_callback=after_two)
    early = sg.estimator.ModuleSamples(thin=8)
    fitted(4, batch_end_callback=early)
    same(early.samples[0], {name: a.asnumpy() for name, a in after_two.samples[0].items()})
    assert not np.array_equal(early.samples[0]["fc1_weight"].asnumpy(), early.samples[1]["fc1_weight"].asnumpy())


def test_epochs():
    keep = sg.estimator.ModuleSamples(burn_in=1)
    module = fitted(epoch_end_callback=keep)
    assert [s.step for s in keep.samples] == [2, 3, 4]
    same(keep.samples[-1], weights(module))


def test_predicted_exported_and_kept(tmp_path):
    keep = sg.estimator.ModuleSamples(burn_in=4, thin=3, store=tmp_path / "run")
    module = fitted(batch_end_callback=keep)
    keep.close()
    net = keep.network(scores())
    samples = sg.load(tmp_path / "run")
    probs = sg.predict(net, samples, X, "softmax")
    last = sg.predict(net, samples[-1:], X, "softmax")
    np.testing.assert_allclose(last, module.predict(mx.io.NDArrayIter(X, batch_size=10)).asnumpy(), atol=1e-6)
    assert np.abs(probs - last).max() > 1e-3
    sg.export(samples, net, tmp_path / "model", "softmax", data=X)


def test_scalars_and_bad_input():
    class Writer:
        seen = []

        def add_scalar(self, tag, value, global_step):
            self.seen.append((tag, global_step))
    keep = sg.estimator.ModuleSamples(thin=2, scalars=sg.estimator.Scalars(Writer(), every=4))
    fitted(2, "sghmc", batch_end_callback=keep)
    tags = {tag for tag, _ in Writer.seen}
    assert {"chain/temperature", "chain/friction", "chain/samples"} <= tags and "chain/potential" not in tags
    assert {step for _, step in Writer.seen} == {4, 8}
    with pytest.raises(TypeError, match="called with 2 arguments"):
        keep(1, 2)
    with pytest.raises(ValueError, match="thin must be at least 1"):
        sg.estimator.ModuleSamples(thin=0)
    with pytest.raises(TypeError, match="scalars must be a Scalars"):
        sg.estimator.ModuleSamples(scalars=print)
