"""Scores of the average of the first samples of the first chains: by hand, and their errors against repeated chains."""
import numpy as np
import pytest
from mxnet import nd
from planted_chains import Classifier, Line, network
from scipy import special, stats

import sgmcmc_mx as sg
from sgmcmc_mx import diagnostics, metrics


def weights_of(runs):
    return np.array([[s["weight"].asnumpy() for s in chain] for chain in runs], np.float64)


def test_classes_by_hand():
    model = Classifier(0, examples=80, inputs=5, classes=4)
    runs = model.good(3, 23)
    found = diagnostics.convergence(runs, model.x, model.y, net=model.net, likelihood="softmax", parts=4)
    assert found.samples.tolist() == [5, 10, 15, 20]
    p = special.softmax(np.einsum("cdki,ni->cdnk", weights_of(runs), model.x), axis=-1)[:, 3:]
    for c, k in [(0, 0), (1, 2), (2, 3)]:
        average = p[:c + 1, :5 * (k + 1)].mean(axis=(0, 1))
        for name in ("nll", "ece"):
            assert getattr(found, name).value[c, k] == pytest.approx(getattr(metrics, name)(average, model.y), rel=1e-4)
        assert found.error.value[c, k] == pytest.approx(1 - metrics.accuracy(average, model.y))
    np.testing.assert_allclose(found.lppd.value, -80 * found.nll.value)
    row = found.rows()[7]
    assert (row["chains"], row["samples"], row["nll"]) == (2, 20, found.nll.value[1, 3]) and len(found.rows()) == 12


def test_a_regression_by_hand():
    line = Line(0)
    runs = line.good(2, 30)
    found = diagnostics.convergence(runs, line.x, line.y, net=line.net, likelihood=line.likelihood, parts=3)
    means = np.einsum("cdi,ni->cdn", weights_of(runs)[:, :, 0], line.x)
    density = stats.norm.pdf(line.y, means, line.sigma)[:, :20].mean(axis=(0, 1))
    assert found.nll.value[1, 1] == pytest.approx(-np.log(density).mean(), rel=1e-5)
    assert found.error.value[1, 1] == pytest.approx(np.sqrt(np.mean((means[:, :20].mean(axis=(0, 1)) - line.y)**2)),
                                                    rel=1e-5)
    assert found.ece is None and "ece" not in found.rows()[0]


def test_noise_that_comes_with_the_label_or_is_learned():
    line = Line(0)
    runs = line.good(2, 30)
    plain = diagnostics.convergence(runs, line.x, line.y, net=line.net, likelihood=line.likelihood, parts=3)
    labels = np.stack([line.y, np.full(len(line.y), line.sigma)], axis=1)
    told = diagnostics.convergence(runs, line.x, labels, net=line.net, likelihood=sg.likelihoods.Gaussian("label"),
                                   parts=3)
    np.testing.assert_allclose(told.nll.value, plain.nll.value, rtol=1e-5)
    np.testing.assert_allclose(told.error.value, plain.error.value, rtol=1e-5)
    # A second input that is 1 everywhere carries log sigma.
    x = np.concatenate([line.x, np.ones((len(line.x), 1), np.float32)], axis=1)
    row = np.array([[0, 0, 0, np.log(line.sigma)]])
    two = [[sg.Sample({"weight": nd.array(np.concatenate([np.pad(s["weight"].asnumpy(), [(0, 0), (0, 1)]), row]))},
                      step=s.step) for s in chain] for chain in runs]
    learned = diagnostics.convergence(two, x, line.y, net=network(2, 4), parts=3,
                                      likelihood=sg.likelihoods.Gaussian("learned"))
    np.testing.assert_allclose(learned.nll.value, plain.nll.value, rtol=1e-5)
    np.testing.assert_allclose(learned.error.value, plain.error.value, rtol=1e-5)


def test_the_error_is_that_of_repeated_chains():
    line = Line(1)
    found = [diagnostics.convergence(line.good(2, 40), line.x, line.y, net=line.net, likelihood=line.likelihood,
                                     parts=5) for _ in range(40)]
    for c, k in [(0, 4), (1, 4)]:
        told = np.sqrt(np.mean([f.nll.mcse[c, k]**2 for f in found]))
        scatter = np.std([f.nll.value[c, k] for f in found], ddof=1)
        assert abs(told / scatter - 1) < 5 / np.sqrt(2 * 39)
    assert np.isnan(found[0].nll.mcse[0, 0])


def test_longer_averages_are_better():
    model = Classifier(2, examples=200, std=1.0)
    found = diagnostics.convergence(model.good(4, 40), model.x, model.y, net=model.net, likelihood="softmax", parts=8)
    nll, mcse = found.nll
    assert nll[0, 0] > nll[0, -1] > nll[3, -1] and mcse[3, -1] < mcse[0, -1]


@pytest.mark.parametrize("parts, error", [(0, ValueError), (41, ValueError), ("ten", TypeError)])
def test_wrong_parts(parts, error):
    line = Line(0)
    with pytest.raises(error, match="parts must be"):
        diagnostics.convergence(line.good(2, 40), line.x, line.y, net=line.net, likelihood=line.likelihood, parts=parts)
