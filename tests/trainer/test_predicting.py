"""What prediction does with the samples of a trainer."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from trainers import D, K, N, build, make, run, softmax

import sgmcmc_mx as sg


@pytest.mark.parametrize("activation, by_hand", [
    ("softmax", softmax), ("identity", lambda z: z), ("sigmoid", lambda z: 1 / (1 + np.exp(-z))),
    (lambda z: z ** 2, lambda z: z ** 2), (None, softmax)])
def test_predict_is_the_mean_over_samples_of_the_transformed_outputs(data, activation, by_hand):
    net = build()
    trainer = run(make(net, thin=4), data, 12)
    own = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    got = trainer.predict(data[0], activation)
    every = trainer.predict(data[0], activation, samples=True)
    for n, p in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(p.data().asnumpy(), own[n])
    expected = []
    other = build()
    for sample in trainer.samples:
        for n, p in other._collect_params_with_prefix().items():
            p.set_data(sample[n])
        expected.append(by_hand(other(nd.array(data[0])).asnumpy()))
    assert isinstance(got, np.ndarray) and got.shape == (N, K) and every.shape == (3, N, K)
    np.testing.assert_allclose(every, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(got, np.mean(expected, 0), rtol=2e-5, atol=1e-6)


def test_every_kind_of_data_gives_the_same_prediction(data):
    trainer = run(make(build()), data, 3)
    x = data[0]
    expected = trainer.predict(x)
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(x, data[1]), batch_size=7)
    only_x = gluon.data.DataLoader(gluon.data.SimpleDataset(list(x)), batch_size=7)
    iterator = mx.io.NDArrayIter(x, data[1], batch_size=7, last_batch_handle="pad")
    for other in (nd.array(x), x.astype("float64"), loader, only_x, iterator, iterator):
        np.testing.assert_allclose(trainer.predict(other), expected, atol=1e-6)
    np.testing.assert_allclose(trainer.predict(x, batch_size=11), expected, atol=1e-6)


def test_a_shuffling_loader_does_not_mix_rows_of_different_samples(data):
    trainer = run(make(build()), data, 6)
    table = trainer.predict(data[0])
    seen = []

    class Noting(gluon.data.DataLoader):
        def __iter__(self):
            for x, y in super().__iter__():
                seen.extend(y.asnumpy().tolist())
                yield x, y

    loader = Noting(gluon.data.ArrayDataset(data[0], np.arange(N)), batch_size=8, shuffle=True)
    got = trainer.predict(loader)
    np.testing.assert_allclose(got, table[seen], atol=1e-6)
    assert seen != list(range(N)) and sorted(seen) == list(range(N))    # and it was read once


def test_memory_is_bounded_chunks_do_not_change_the_answer(data, monkeypatch):
    trainer = run(make(build()), data, 4)
    expected = trainer.predict(data[0], batch_size=9), trainer.predict(data[0], samples=True)
    monkeypatch.setattr(sg.prediction.chunks, "CHUNK_BYTES", 200)
    np.testing.assert_allclose(trainer.predict(data[0], batch_size=9), expected[0], atol=1e-6)
    np.testing.assert_allclose(trainer.predict(data[0], samples=True), expected[1], atol=1e-6)


def test_weights_are_restored_when_prediction_fails(data):
    net = build()
    trainer = run(make(net), data, 3)
    own = net[0].weight.data().asnumpy()

    def broken(z):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        trainer.predict(data[0], broken)
    with pytest.raises(Exception):  # noqa: B017  MXNet's own error for a wrong input width
        trainer.predict(np.zeros((3, D + 1), "float32"))
        nd.waitall()
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), own)


def test_predicting_leaves_the_chain_alone(data):
    def chain(peek):
        net = build()
        for i, p in enumerate(net.collect_params().values()):
            p.set_data(nd.array(np.random.RandomState(i).normal(size=p.shape)))
        trainer = make(net, update_on_kvstore=True, kvstore=mx.kv.create("local"))
        for _ in range(3):
            run(trainer, data, 2)
            if peek:
                trainer.predict(data[0])
        return trainer.samples[-1]["0.weight"].asnumpy()

    np.testing.assert_array_equal(chain(True), chain(False))


@pytest.mark.parametrize("sampler, power", [("sgld", 1.0), ("sghmc", 0.5), ("sgnht", 0.5)])
def test_changing_steps_weight_the_average(data, sampler, power):
    schedule = mx.lr_scheduler.FactorScheduler(step=2, factor=0.25, base_lr=0.05)
    net = build()
    trainer = sg.BayesianTrainer(net, sampler, {"lr_scheduler": schedule, "num_data": N},
                                 sg.likelihoods.Categorical(), seed=0)
    run(trainer, data, 4)
    lr = np.array([0.05, 0.05, 0.0125, 0.0125])
    np.testing.assert_allclose(trainer.samples.weights, lr ** power / (lr ** power).sum(), rtol=1e-6)
    every = trainer.predict(data[0], samples=True)
    np.testing.assert_allclose(trainer.predict(data[0]), np.tensordot(trainer.samples.weights, every, 1), atol=1e-6)


def test_regression_splits_the_standard_deviation_and_finds_quantiles(data):
    y = (data[0][:, :2] @ np.array([[1.0, 0.0], [0.5, -1.0]])).astype("float32")
    trainer = make(build(units=2), likelihood=sg.likelihoods.Gaussian(sigma=[0.5, 2.0]), thin=3)
    run(trainer, (data[0], y), 30)
    r = trainer.predict(data[0], quantiles=(0.05, 0.5, 0.95))
    outputs = trainer.predict(data[0], "identity", samples=True).astype("float64")
    np.testing.assert_allclose(r.mean, outputs.mean(0), atol=1e-5)
    np.testing.assert_allclose(r.weight_std, outputs.std(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(r.noise_std, np.broadcast_to([0.5, 2.0], r.mean.shape), rtol=1e-6)
    np.testing.assert_allclose(r.std ** 2, r.noise_std ** 2 + r.weight_std ** 2, rtol=1e-6)
    stats = pytest.importorskip("scipy.stats")
    for q, value in zip((0.05, 0.5, 0.95), r.quantiles):
        mass = stats.norm.cdf(value, outputs, [0.5, 2.0]).mean(0)
        np.testing.assert_allclose(mass, q, atol=1e-6)


def test_quantiles_of_counts_are_whole_numbers_and_exact(data):
    stats = pytest.importorskip("scipy.stats")
    y = np.random.RandomState(1).poisson(3.0, (N, 1)).astype("float32")
    trainer = run(make(build(units=1), likelihood=sg.likelihoods.Poisson(), burn_in=5, thin=3), (data[0], y), 30)
    r = trainer.predict(data[0], quantiles=(0.1, 0.9))
    rates = np.exp(trainer.predict(data[0], "identity", samples=True).astype("float64"))
    for q, value in zip((0.1, 0.9), r.quantiles):
        assert (value == np.round(value)).all()
        assert (stats.poisson.cdf(value, rates).mean(0) >= q).all()
        assert (stats.poisson.cdf(value - 1, rates).mean(0) < q).all()
    np.testing.assert_allclose(r.mean, rates.mean(0), rtol=1e-5)
    np.testing.assert_allclose(r.std ** 2, rates.mean(0) + rates.var(0), rtol=1e-4)


def test_numpy_interface_networks(data):
    mx.npx.set_np()
    try:
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(8, in_units=D, activation="relu"), gluon.nn.Dense(K, in_units=8))
        net.initialize()
        loss_fn = gluon.loss.SoftmaxCrossEntropyLoss()
        trainer = sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.05, "num_data": N}, loss_fn, seed=0)
        for _ in range(3):
            with autograd.record():
                loss = loss_fn(net(mx.np.array(data[0])), mx.np.array(data[1]))
            loss.backward()
            trainer.step(N)
        probs = trainer.predict(data[0], "softmax")
        assert trainer.samples[-1].potential > 0
    finally:
        mx.npx.reset_np()
    assert isinstance(probs, np.ndarray) and probs.shape == (N, K)
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)
