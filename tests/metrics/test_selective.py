"""The risk-coverage curve by hand; ties against the mean over orders drawn by chance."""
import numpy as np
import pytest

from sgmcmc_mx import metrics

PROBS = np.array([[.9, .1], [.2, .8], [.7, .3], [.4, .6]])      # surest first, second, third, fourth
LABELS = np.array([0, 1, 1, 0])


def test_by_hand():
    curve = metrics.risk_coverage(PROBS, LABELS)
    assert curve.coverage.tolist() == [.25, .5, .75, 1]
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve.confidence.tolist() == [.9, .8, .7, .6]
    assert metrics.aurc(PROBS, LABELS) == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert metrics.risk_coverage(PROBS, LABELS, [1, 2, 3, 4]).risk == pytest.approx([1, 1, 2 / 3, 1 / 2])


def test_a_confidence_that_tells_nothing_has_the_error():
    assert metrics.aurc(PROBS, LABELS, np.zeros(4)) == 1 - metrics.accuracy(PROBS, LABELS)


def test_ties_are_the_mean_over_orders():
    rng = np.random.RandomState(0)
    probs, labels = rng.dirichlet(np.ones(3), 40), rng.randint(0, 3, 40)
    tied = np.round(probs.max(axis=1), 1)
    orders = [metrics.risk_coverage(probs, labels, tied + 1e-6 * rng.rand(40)).risk for _ in range(4000)]
    error = np.std(orders, axis=0) / np.sqrt(4000)
    off = np.mean(orders, axis=0) - metrics.risk_coverage(probs, labels, tied).risk
    assert (np.abs(off) <= 5 * error + 1e-12).all()


def test_the_whole_curve_ends_at_the_error():
    rng = np.random.RandomState(1)
    probs, labels = rng.dirichlet(np.ones(5), 100), rng.randint(0, 5, 100)
    curve = metrics.risk_coverage(probs, labels, -metrics.entropy(probs))
    assert curve.risk[-1] == pytest.approx(1 - metrics.accuracy(probs, labels))
    assert (np.diff(curve.confidence) <= 0).all()


@pytest.mark.parametrize("confidence, message", [([1, 2], r"confidence: .*shape \(4,\), got \(2,\)"),
                                                 ([1, 2, 3, np.nan], "confidence: 1 of 4 are NaN")])
def test_bad_confidence(confidence, message):
    with pytest.raises(ValueError, match=message):
        metrics.aurc(PROBS, LABELS, confidence)
