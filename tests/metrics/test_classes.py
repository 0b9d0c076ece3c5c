"""Every number against another library or a sum done by hand; every refusal by the argument it names."""
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from sgmcmc_mx import metrics


@pytest.fixture
def multi():
    rng = np.random.RandomState(0)
    return rng.dirichlet(np.ones(7) * 0.5, size=400), rng.randint(0, 7, 400)


@pytest.fixture
def binary():
    rng = np.random.RandomState(1)
    return rng.uniform(0.01, 0.99, 300), rng.randint(0, 2, 300)


# ---------------------------------------------------------------- values

def test_multiclass_scores_equal_scikit_learn(multi):
    probs, labels = multi
    assert metrics.accuracy(probs, labels) == pytest.approx(sk.accuracy_score(labels, probs.argmax(1)), abs=1e-15)
    assert metrics.nll(probs, labels) == pytest.approx(sk.log_loss(labels, probs, labels=range(7)), rel=1e-9)
    assert metrics.brier(probs, labels) == pytest.approx(np.mean(np.sum((probs - np.eye(7)[labels]) ** 2, axis=1)))


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_binary_scores_equal_scikit_learn(binary, shape):
    p, labels = binary
    probs = p.reshape(shape)
    assert metrics.accuracy(probs, labels) == pytest.approx(sk.accuracy_score(labels, p > 0.5), abs=1e-15)
    assert metrics.nll(probs, labels) == pytest.approx(sk.log_loss(labels, p), rel=1e-9)
    # scikit-learn scores one of the two classes; the sum over both is twice that.
    assert metrics.brier(probs, labels) == pytest.approx(2 * sk.brier_score_loss(labels, p), rel=1e-12)


@pytest.mark.parametrize("score", [metrics.accuracy, metrics.nll, metrics.brier, metrics.ece])
def test_one_column_equals_two_columns(binary, score):
    p, labels = binary
    assert score(p, labels) == pytest.approx(score(np.stack([1 - p, p], 1), labels), rel=1e-12)


@pytest.mark.parametrize("score", [metrics.accuracy, metrics.nll, metrics.brier, metrics.ece])
def test_scores_are_python_floats_and_leave_their_arguments_alone(multi, score):
    probs, labels = multi
    kept = probs.copy(), labels.copy()
    assert type(score(probs, labels)) is float
    assert np.array_equal(probs, kept[0]) and np.array_equal(labels, kept[1])


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_labels_of_any_whole_kind_are_read_alike(multi, dtype, shape):
    probs, labels = multi
    assert metrics.nll(probs, labels.astype(dtype).reshape(shape)) == metrics.nll(probs, labels)


def test_perfect_prediction():
    probs, labels = np.eye(3), np.arange(3)
    scores = [f(probs, labels) for f in (metrics.accuracy, metrics.nll, metrics.brier, metrics.ece)]
    assert scores == [1.0, 0.0, 0.0, 0.0]
    assert not np.signbit(scores[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nll_of_zero_is_the_smallest_number_of_the_dtype(dtype):
    probs = np.array([[1, 0]], dtype=dtype)
    least = float(np.nextafter(dtype(0), dtype(1)))
    assert metrics.nll(probs, [1]) == pytest.approx(-np.log(least))
    # That very number is left as it is, and so is every larger one.
    assert metrics.nll(np.array([[1, least]], dtype=dtype), [1]) == pytest.approx(-np.log(least))


def test_nll_of_a_saturated_binary_probability():
    one = np.ones(1, dtype=np.float32)
    assert metrics.nll(one, [0]) == pytest.approx(-np.log(np.finfo(np.float32).epsneg))
    assert metrics.nll(0 * one, [1]) == pytest.approx(103.28, abs=0.01)
    assert metrics.nll(one, [1]) == 0.0


def test_ece_by_hand():
    # Bins (0, .5] and (.5, 1]. Confidences .5 | .6 .8 .9, correct 1 | 1 0 1.
    probs = np.array([[.5, .3, .2], [.4, .6, 0], [.8, .2, 0], [.05, .05, .9]])
    labels = np.array([0, 1, 1, 2])
    expected = (1 * abs(1 - .5) + 3 * abs(2 / 3 - (.6 + .8 + .9) / 3)) / 4
    assert metrics.ece(probs, labels, bins=2) == pytest.approx(expected)
    diagram = metrics.reliability(probs, labels, bins=2)
    assert diagram.edges.tolist() == [0, .5, 1]
    assert diagram.count.tolist() == [1, 3]
    assert diagram.confidence == pytest.approx([.5, 2.3 / 3])
    assert diagram.accuracy == pytest.approx([1, 2 / 3])


def test_ece_against_a_loop_over_bins(multi):
    probs, labels = multi
    confidence, correct, total = probs.max(1), probs.argmax(1) == labels, 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert metrics.ece(probs, labels) == pytest.approx(total, rel=1e-12)


def test_bins_are_closed_on_the_right_and_empty_ones_are_nan():
    diagram = metrics.reliability(np.array([[.5, .5], [.75, .25], [1., 0.]]), [0, 0, 0], bins=4)
    assert diagram.count.tolist() == [0, 1, 1, 1]
    assert np.isnan(diagram.confidence[0]) and np.isnan(diagram.accuracy[0])
    assert metrics.ece(np.array([[.75, .25]]), [0], bins=1) == pytest.approx(.25)


@pytest.mark.parametrize("n, c", [(12, 0.7), (300, 0.95)])
def test_ece_of_right_probabilities_in_one_bin(n, c):
    """Right ones are Binomial(n, c): mean and variance of |k - n c| / n by its law."""
    law = stats.binom(n, c)
    mean, square = law.expect(lambda k: np.abs(k - n * c) / n), law.var() / n ** 2
    found = metrics.ece_if_calibrated(np.full((n, 2), [c, 1.0 - c]), draws=20000)
    z = (found.mean() - mean) / np.sqrt((square - mean ** 2) / len(found))
    assert found.shape == (20000,) and abs(z) < 5.0
    assert found.var() == pytest.approx(square - mean ** 2, rel=0.05)


@pytest.mark.parametrize("bins", [5, 15])
def test_ece_of_labels_from_the_probabilities_is_one_of_those_if_calibrated(multi, bins):
    """Among 100 of them the rank of one more is uniform; of probabilities that are too sure it is the highest."""
    probs, rng, ranks = multi[0], np.random.RandomState(2), []
    for k in range(300):
        labels = (rng.uniform(size=(len(probs), 1)) > probs.cumsum(axis=1)).sum(axis=1)
        drawn = metrics.ece_if_calibrated(probs, bins, draws=100, seed=k)
        ranks.append((drawn < metrics.ece(probs, labels, bins)).sum())
    assert metrics.uniformity(ranks, 100) > 1e-4
    sure = probs ** 3 / (probs ** 3).sum(axis=1, keepdims=True)
    assert metrics.ece(sure, labels, bins) > metrics.ece_if_calibrated(sure, bins, draws=100).max()
    assert np.array_equal(drawn, metrics.ece_if_calibrated(probs, bins, draws=100, seed=k))


def test_classwise_ece_by_hand():
    # Class 0: bins (0, .5] with .2 .4 (outcomes 0 1) and (.5, 1] with .6 .9 (outcomes 1 1); class 1 is its mirror.
    probs = np.array([[.2, .8], [.4, .6], [.6, .4], [.9, .1]])
    expected = (2 * abs(.5 - .3) + 2 * abs(1 - .75)) / 4
    assert metrics.classwise_ece(probs, [1, 0, 0, 0], bins=2) == pytest.approx(expected)


def test_classwise_ece_against_a_loop_over_bins(multi):
    probs, labels = multi
    total = 0.0
    for k in range(7):
        for m in range(15):
            inside = (probs[:, k] > m / 15) & (probs[:, k] <= (m + 1) / 15)
            if inside.any():
                total += inside.mean() * abs((labels == k)[inside].mean() - probs[inside, k].mean()) / 7
    assert metrics.classwise_ece(probs, labels) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 15, 1000])
def test_the_parts_of_a_brier_score_are_all_of_it(multi, bins):
    probs, labels = multi
    parts = metrics.brier_parts(probs, labels, bins)
    assert parts.reliability - parts.resolution + parts.uncertainty + parts.within == pytest.approx(
        metrics.brier(probs, labels), rel=1e-12)
    rates = np.bincount(labels, minlength=7) / len(labels)
    assert parts.uncertainty == pytest.approx(np.sum(rates * (1 - rates)))
    assert parts.resolution >= 0 and parts.reliability >= 0


def test_the_parts_of_a_brier_score_by_hand():
    # Two forecasts: .25 with outcomes 0 0 0 1, and .75 with outcomes 1 1.
    p, labels = np.array([.25, .25, .25, .25, .75, .75]), [0, 0, 0, 1, 1, 1]
    parts = metrics.brier_parts(p, labels, bins=2)
    assert parts.reliability == pytest.approx(2 * 2 / 6 * .25**2)       # for both classes
    assert parts.resolution == pytest.approx(2 * (4 / 6 * .25**2 + 2 / 6 * .5**2))
    assert parts.uncertainty == .5 and parts.within == pytest.approx(0, abs=1e-15)


def test_entropy_equals_scipy(multi):
    probs, _ = multi
    assert metrics.entropy(probs) == pytest.approx(stats.entropy(probs, axis=1), rel=1e-10)
    assert metrics.entropy(np.array([[0., 1.], [.5, .5]])) == pytest.approx([0, np.log(2)])
    assert metrics.entropy(np.array([.5, 1.])) == pytest.approx([np.log(2), 0])


@pytest.mark.parametrize("weights", [None, [1, 2, 3, 4]])
def test_mutual_information_is_the_mean_divergence_from_the_mean(weights):
    samples = np.random.RandomState(2).dirichlet(np.ones(5), size=(4, 30))
    mean = np.average(samples, axis=0, weights=weights)
    divergences = [stats.entropy(p, mean, axis=1) for p in samples]
    assert metrics.mutual_information(samples, weights) == pytest.approx(
        np.average(divergences, axis=0, weights=weights), rel=1e-9)


def test_mutual_information_limits():
    same = np.broadcast_to(np.random.RandomState(3).dirichlet(np.ones(3), size=6).astype(np.float32), (9, 6, 3))
    disagree = np.array([[[1., 0.]], [[0., 1.]]])
    assert metrics.mutual_information(same) == pytest.approx(np.zeros(6), abs=1e-12)
    assert (metrics.mutual_information(same) >= 0).all()
    assert metrics.mutual_information(disagree) == pytest.approx([np.log(2)])
    assert metrics.mutual_information(disagree[..., 1:]) == pytest.approx([np.log(2)])  # P(y = 1) alone
    assert metrics.mutual_information(disagree, weights=[1, 0]) == pytest.approx([0])


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_auroc_equals_scikit_learn_with_and_without_ties(decimals):
    rng = np.random.RandomState(4)
    labels = rng.randint(0, 2, 500)
    scores = np.round(rng.randn(500) + labels, decimals)
    assert metrics.auroc(scores, labels) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)
    assert metrics.auroc(scores[:, None], labels == 1) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)


def test_auroc_by_hand():
    assert metrics.auroc([0, 1, 2, 3], [0, 0, 1, 1]) == 1.0
    assert metrics.auroc([3, 2, 1, 0], [0, 0, 1, 1]) == 0.0
    assert metrics.auroc([7, 7, 7], [0, 1, 1]) == 0.5
    assert metrics.auroc([1, 2, 2], [0, 1, 0]) == 0.75


# ---------------------------------------------------------------- refusals

GOOD = np.array([[.2, .8], [.6, .4]])


@pytest.mark.parametrize("probs, message", [
    ([[.2, np.nan], [.6, .4]], "probs: 1 of 4 are NaN"),
    ([[.2, np.inf], [.6, .4]], "probs: 1 of 4 are NaN or infinite"),
    ([[-.1, 1.1], [.6, .4]], r"probs: the smallest is -0\.1.*activation='softmax'"),
    ([[.2, .8], [3., 4.]], r"probs: row 1 sums to 7.*activation='softmax'"),
    ([[.2, .8], [.6, .402]], r"probs: row 1 sums to 1\.002"),
    ([.3, 1.5], r"probs: the largest P\(y = 1\) is 1\.5.*activation='sigmoid'"),
    (np.empty((0, 3)), r"probs: .*got \(0, 3\)"),
    (np.full((3, 2, 2), .5), r"probs: .*got \(3, 2, 2\).*mean\(axis=0\)"),
    (np.float64(.5), r"probs: .*got \(\)"),
])
def test_bad_probs(probs, message):
    for call in (lambda: metrics.nll(probs, [0, 1]), lambda: metrics.ece(probs, [0, 1]),
                 lambda: metrics.entropy(probs)):
        with pytest.raises(ValueError, match=message):
            call()


def test_rows_may_miss_one_by_the_tolerance():
    assert metrics.entropy([[.2, .8009]]).shape == (1,)


@pytest.mark.parametrize("labels, message", [
    ([0, 2], r"labels: 2 at position 1 is outside 0 \.\. 1"),
    ([-1, 1], "labels: -1 at position 0 is outside"),
    ([0, .5], r"labels: 0\.5 is not an integer"),
    ([0, np.nan], "labels: nan is not an integer"),
    ([0, 1, 1], r"labels: .*shape \(2,\), got \(3,\)"),
    ([], r"labels: .*got \(0,\)"),
    (1, r"labels: .*got \(\)"),
    ([[1, 0], [0, 1]], r"labels: .*got \(2, 2\).*argmax\(axis=1\)"),
])
@pytest.mark.parametrize("score", [metrics.accuracy, metrics.nll, metrics.brier, metrics.ece, metrics.reliability])
def test_bad_labels(score, labels, message):
    with pytest.raises(ValueError, match=message):
        score(GOOD, labels)


@pytest.mark.parametrize("bins, error", [(0, ValueError), (-3, ValueError), (True, ValueError), (2.5, TypeError),
                                         ("ten", TypeError), (None, TypeError)])
def test_bad_bins(bins, error):
    for score in (metrics.ece, metrics.reliability):
        with pytest.raises(error, match=r"bins: need .*got .*bins=15"):
            score(GOOD, [1, 0], bins=bins)


@pytest.mark.parametrize("scores, labels, message", [
    ([1, 2], [1, 1], "labels: all are 1"),
    ([1, 2], [0, 0], "labels: all are 0"),
    ([1, 2], [0, 2], "labels: 2 at position 1"),
    ([1, 2, 3], [0, 1], "labels: "),
    ([1, np.nan], [0, 1], "scores: 1 of 2 are NaN"),
    ([], [], "scores: "),
    (GOOD, [0, 1], r"scores: .*got \(2, 2\).*probs\[:, 1\]"),
])
def test_bad_auroc(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.auroc(scores, labels)


@pytest.mark.parametrize("samples, weights, message", [
    (GOOD, None, r"samples: .*got \(2, 2\).*np\.newaxis"),
    (np.empty((0, 2, 2)), None, r"samples: .*got \(0, 2, 2\)"),
    (np.array([GOOD, GOOD + 1]), None, r"samples\[1\]: row 0 sums to 3"),
    (np.array([GOOD, GOOD]), [1, 2, 3], r"weights: .*shape \(2,\), got \(3,\)"),
    (np.array([GOOD, GOOD]), [1, -1], "weights: need finite"),
    (np.array([GOOD, GOOD]), [0, 0], "weights: need finite"),
    (np.array([GOOD, GOOD]), [np.nan, 1], "weights: need finite"),
])
def test_bad_samples(samples, weights, message):
    with pytest.raises(ValueError, match=message):
        metrics.mutual_information(samples, weights)


def test_an_ndarray_is_refused_with_the_remedy():
    mx = pytest.importorskip("mxnet")
    array = mx.nd.array(GOOD)
    calls = {"probs": lambda: metrics.nll(array, [0, 1]),
             "labels": lambda: metrics.accuracy(GOOD, mx.nd.array([0, 1])),
             "scores": lambda: metrics.auroc(mx.nd.array([0, 1]), [0, 1]),
             "samples": lambda: metrics.mutual_information([array, array]),
             "weights": lambda: metrics.mutual_information([GOOD, GOOD], mx.np.array([1, 1]))}
    for name, call in calls.items():
        with pytest.raises(TypeError, match=rf"^{name}: got an MXNet .*{name}\.asnumpy\(\)"):
            call()


@pytest.mark.parametrize("value", ["many", ["a", "b"], None, [1j, 2], {"a": 1}])
def test_what_is_no_array_of_numbers_is_refused(value):
    with pytest.raises(TypeError, match="probs: need an array of real numbers"):
        metrics.nll(value, [0, 1])
