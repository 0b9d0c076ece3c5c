"""Average precision and FPR95 against scikit-learn, and by hand."""
import numpy as np
import pytest
from sklearn import metrics as sk

from sgmcmc_mx import metrics


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_both_equal_scikit_learn_with_and_without_ties(decimals, share):
    rng = np.random.RandomState(4)
    labels = (rng.rand(500) < share).astype(int)
    scores = np.round(rng.randn(500) + labels, decimals)
    assert metrics.aupr(scores, labels) == pytest.approx(sk.average_precision_score(labels, scores), rel=1e-12)
    false, true, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
    for recall in (0.5, 0.95, 1.0):
        assert metrics.fpr95(scores, labels, recall) == pytest.approx(false[np.argmax(true >= recall)], abs=1e-12)
    assert metrics.fpr95(scores, labels) == metrics.fpr95(scores[:, None], labels == 1, 0.95)


def test_by_hand():
    assert metrics.aupr([0, 1, 2, 3], [0, 0, 1, 1]) == 1.0 and metrics.fpr95([0, 1, 2, 3], [0, 0, 1, 1]) == 0.0
    assert metrics.aupr([3, 2, 1], [0, 1, 0]) == 0.5 and metrics.fpr95([3, 2, 1], [0, 1, 0]) == 0.5
    assert metrics.aupr([7, 7, 7, 7], [0, 1, 0, 0]) == 0.25 and metrics.fpr95([7, 7], [0, 1]) == 1.0


@pytest.mark.parametrize("score", [metrics.aupr, metrics.fpr95])
@pytest.mark.parametrize("scores, labels, message", [
    ([1, 2], [1, 1], "labels: all are 1"),
    ([1, np.nan], [0, 1], "scores: 1 of 2 are NaN"),
    ([], [], "scores: "),
    ([1, 2, 3], [0, 1], "labels: "),
])
def test_bad_scores(score, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        score(scores, labels)


@pytest.mark.parametrize("recall", [0.0, 1.1, float("nan")])
def test_bad_recall(recall):
    with pytest.raises(ValueError, match="recall must lie in"):
        metrics.fpr95([1, 2], [0, 1], recall)
