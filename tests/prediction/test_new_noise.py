"""Predictions of a regression whose labels bring their sigma: that of new points is given, or nobody knows it."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from scipy import optimize, special

import sgmcmc_mx as sg

N, D = 8, 3
SAMPLES = 5
LEVELS = (0.05, 0.5, 0.9)


def chain_of(outputs):
    """A linear network of so many outputs, and samples of it that differ."""
    rng = np.random.RandomState(outputs)
    x, y = rng.randn(N, D).astype("float32"), rng.randn(N, outputs)
    label = nd.array(np.concatenate([y, rng.gamma(2.0, 0.5, (N, outputs))], axis=1))
    net, loss = gluon.nn.Dense(outputs, in_units=D), sg.likelihoods.Gaussian("label")
    net.initialize(mx.init.Normal(0.5))
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": N, "learning_rate": 0.2}, loss, seed=1)
    for _ in range(SAMPLES):
        with autograd.record():
            value = loss(net(nd.array(x)), label)
        value.backward()
        trainer.step(N)
    return trainer, x


@pytest.fixture(scope="module")
def two():
    return chain_of(2)


def exact(trainer, x, sigma):
    """Mean, standard deviations and quantiles of the mixture, by SciPy."""
    means = trainer.predict(x, "identity", samples=True).astype("float64")
    w = np.asarray(trainer.samples.weights)[:, None, None]
    mean = (w * means).sum(axis=0)
    spread = (w * (means - mean) ** 2).sum(axis=0)
    sigma = np.broadcast_to(sigma, mean.shape)
    quantiles = np.empty((len(LEVELS),) + mean.shape)
    for index in np.ndindex(mean.shape):
        for i, q in enumerate(LEVELS):
            m, s = means[(slice(None),) + index], sigma[index]
            quantiles[(i,) + index] = optimize.brentq(
                lambda y: (w.ravel() * special.ndtr((y - m) / s)).sum() - q, -60, 60, xtol=1e-13)  # noqa: B023
    return mean, np.sqrt(sigma ** 2 + spread), sigma, np.sqrt(spread), quantiles


SIGMA = np.random.RandomState(9).gamma(2.0, 0.5, (N, 2))


@pytest.mark.parametrize("held", ["at once", pytest.param("by turns", marks=pytest.mark.slow)])
@pytest.mark.parametrize("sigma", [0.7, SIGMA[0], SIGMA[:1], SIGMA[:, :1], SIGMA, 2], ids=np.shape)
def test_spread_and_quantiles_equal_scipys(two, sigma, held, monkeypatch):
    trainer, x = two
    if held == "by turns":      # no two batches fit into memory together
        monkeypatch.setattr("sgmcmc_mx.prediction.chunks.CHUNK_BYTES", 40)
    truth = exact(trainer, x, sigma)
    assert truth[3].min() > 0.01
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(x), batch_size=3)
    for data, more in ((x, {}), (x, {"batch_size": 3, "quantiles": LEVELS}), (loader, {})):
        got = trainer.predict(data, noise_std=sigma, **more)
        for found, wanted in zip(got[:4], truth):
            assert found.shape == (N, 2)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        if more:
            np.testing.assert_allclose(got.quantiles, truth[4], rtol=1e-5, atol=1e-6)
    by_hand = sg.predict(trainer.net, trainer.samples, x, sg.likelihoods.Gaussian("label"), noise_std=sigma)
    np.testing.assert_array_equal(by_hand.std, trainer.predict(x, noise_std=sigma).std)


@pytest.mark.parametrize("outputs", [1, 40])
def test_quantiles_of_samples_taken_together(two, outputs, monkeypatch):
    """A few outputs in a call of the likelihood, in place of all; the last call has fewer samples."""
    trainer, x = two
    together = trainer.predict(x, noise_std=SIGMA, quantiles=LEVELS).quantiles
    monkeypatch.setattr("sgmcmc_mx.prediction.regression.BLOCK", outputs)
    np.testing.assert_allclose(trainer.predict(x, noise_std=SIGMA, quantiles=LEVELS).quantiles, together, rtol=1e-12)


def test_with_one_output_a_row_of_numbers_is_one_an_example():
    trainer, x = chain_of(1)
    sigma = SIGMA[:, 0]
    truth = exact(trainer, x, sigma[:, None])
    got = trainer.predict(x, noise_std=sigma, quantiles=LEVELS, batch_size=3)
    for found, wanted in zip(got, truth):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_without_noise_it_is_the_curve_itself(two):
    trainer, x = two
    got = trainer.predict(x, noise_std=0, quantiles=LEVELS)
    assert (got.noise_std == 0).all()
    np.testing.assert_array_equal(got.std, got.weight_std)
    means, w = trainer.predict(x, "identity", samples=True), trainer.samples.weights
    order = np.argsort(means, axis=0)
    below = np.cumsum(np.asarray(w)[order], axis=0)
    for q, found in zip(LEVELS, got.quantiles):
        at = (below < q).sum(axis=0)[None]      # the first of the samples' means that reaches the level
        np.testing.assert_allclose(found, np.take_along_axis(np.sort(means, axis=0), at, 0)[0], rtol=1e-6, atol=1e-9)


def test_it_has_to_be_given_for_a_spread_and_for_nothing_else(two):
    trainer, x = two
    with pytest.raises(ValueError, match="noise_std is not given.*noise_std=0.1.*noise_std=0 for the curve itself"):
        trainer.predict(x)
    assert trainer.predict(x, samples=True).shape == (SAMPLES, N, 2)


@pytest.mark.parametrize("rows", [5, 7, 9])
def test_another_number_of_rows(two, rows):
    trainer, x = two
    before = trainer.net.weight.data().asnumpy()
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(x), batch_size=3)
    for data in (x, loader):
        with pytest.raises(ValueError, match=f"noise_std has {rows} rows.*write one row for each"):
            trainer.predict(data, noise_std=np.ones((rows, 1)))
    with pytest.raises(ValueError, match=rf"noise_std: shape \({rows},\) does not fit"):
        trainer.predict(x, noise_std=np.ones(rows))
    np.testing.assert_array_equal(trainer.net.weight.data().asnumpy(), before)


def sequences(batches):
    """A chain on sequences, one number at every time."""
    net = gluon.nn.Dense(1, in_units=D, flatten=False)
    net.initialize(mx.init.Normal(0.5))
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 4, "learning_rate": 0.2}, sg.likelihoods.Gaussian("label"))
    for _ in range(3):
        with autograd.record():
            value = net(batches[0]).square().sum(axis=(1, 2))
        value.backward()
        trainer.step(4)
    return trainer


def test_batches_of_different_length_have_an_array_each():
    rng = np.random.RandomState(0)
    batches = [nd.array(rng.randn(4, length, D)) for length in (5, 9, 9, 5)]
    sigmas = [rng.gamma(2.0, 0.5, (4, length, 1)) for length in (5, 9, 9, 5)]
    trainer = sequences(batches)
    got = trainer.predict(batches, noise_std=sigmas)
    for found, sigma in zip(got, sigmas):
        np.testing.assert_allclose(found.noise_std, sigma, rtol=1e-12)
        np.testing.assert_allclose(found.std, np.sqrt(sigma ** 2 + found.weight_std ** 2), rtol=1e-12)
    for wrong, said in ((sigmas[:3], "one array of that kind for each batch"), (sigmas[::-1] + sigmas[:1], "5 arrays"),
                        ([sigmas[1], *sigmas[1:]], "one array of that kind")):
        with pytest.raises(ValueError, match=said):
            trainer.predict(batches, noise_std=wrong)


def test_rows_are_counted_along_the_axis_of_examples():
    rng = np.random.RandomState(0)
    x, sigma = nd.array(rng.randn(6, 4, D)), rng.gamma(2.0, 0.5, (4, 6, 1))     # time first; means have examples first
    got = sequences([x]).predict(x, noise_std=sigma, batch_axis=1, batch_size=3)
    np.testing.assert_allclose(got.noise_std, sigma, rtol=1e-12)
