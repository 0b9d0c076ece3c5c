"""What holds for every schedule and every metric, on inputs that hypothesis makes up (the same ones every time)."""
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sgmcmc_mx import metrics
from sgmcmc_mx.schedules import CyclicalScheduler, PolynomialScheduler

tried = settings(derandomize=True, max_examples=80, deadline=None, database=None)

rates = st.floats(1e-8, 1e3)
steps = st.integers(0, 10 ** 9)
cycles = st.integers(1, 10 ** 6)
shares = st.one_of(st.decimals("0.01", "0.99", places=2), st.decimals("0.001", "0.999", places=3))


# ---------------------------------------------------------------- schedules

@tried
@given(rates, st.floats(1e-3, 1e9), st.floats(1e-3, 1.0), steps, steps)
def test_polynomial_only_falls(base, offset, gamma, t, later):
    schedule = PolynomialScheduler(base, offset, gamma)
    t, later = sorted((t, t + later))
    assert 0.0 < schedule(later) <= schedule(t) <= schedule(0) == base
    if later > t + 1e-3 * (t + offset) and gamma > 0.01:
        assert schedule(later) < schedule(t)


@tried
@given(rates, st.floats(1e-6, 0.999), st.integers(1, 10 ** 8), st.floats(0.1, 1.0), st.floats(0.0, 1.0))
def test_polynomial_between_has_its_ends(first, share, length, gamma, part):
    last = first * share
    schedule = PolynomialScheduler.between(first, last, length, gamma)
    assert schedule(0) == first
    assert schedule(length) == pytest.approx(last, rel=1e-9)
    assert last * (1 - 1e-9) <= schedule(int(part * length)) <= first


@tried
@given(rates, st.floats(0.1, 1.0), st.floats(1e-3, 1e6), st.floats(1e-3, 1e3), steps)
def test_polynomial_has_no_unit_of_its_own(base, gamma, offset, factor, t):
    """Twice the base is twice the step; time counts in offsets."""
    assert PolynomialScheduler(base * factor, offset, gamma)(t) == pytest.approx(
        factor * PolynomialScheduler(base, offset, gamma)(t), rel=1e-12)
    assert PolynomialScheduler(base, 2.0 * offset, gamma)(2 * t) == pytest.approx(
        PolynomialScheduler(base, offset, gamma)(t), rel=1e-12)


@tried
@given(rates, cycles, steps, st.integers(0, 1000))
def test_cyclical_repeats_exactly(base, cycle, t, turns):
    schedule = CyclicalScheduler(base, cycle)
    assert schedule(t + 1 + turns * cycle) == schedule(t + 1)
    assert 0.0 < schedule(t + 1) <= base
    assert schedule(1 + turns * cycle) == base


@tried
@given(rates, st.integers(2, 10 ** 6), st.data())
def test_cyclical_falls_and_is_odd_about_its_middle(base, cycle, data):
    schedule, k = CyclicalScheduler(base, cycle), data.draw(st.integers(1, cycle - 1))
    assert schedule(k + 1) < schedule(k) or cycle > 10 ** 4     # flat at its top, where a cosine rounds to 1
    assert schedule(k + 1) <= schedule(k)
    assert schedule(1 + k) + schedule(1 + cycle - k) == pytest.approx(base, rel=1e-9)


@tried
@given(rates, st.integers(1, 2000))
def test_mean_of_a_cycle(base, cycle):
    """The sum of cos(pi k / c) over k < c is 1."""
    schedule = CyclicalScheduler(base, cycle)
    assert np.mean([schedule(t) for t in range(1, cycle + 1)]) == pytest.approx(base / 2 * (1 + 1 / cycle), rel=1e-9)


@tried
@given(st.one_of(st.integers(2, 3000), st.integers(1, 30).map(lambda k: 100 * k)), shares, st.integers(0, 50))
def test_collecting_is_the_end_of_every_cycle(cycle, exploration, turn):
    explored = math.ceil(Fraction(exploration) * cycle)
    assume(explored < cycle)
    schedule, plain = CyclicalScheduler(0.1, cycle, float(exploration)), CyclicalScheduler(0.1, cycle)
    says = [schedule.collects(turn * cycle + t) for t in range(1, cycle + 1)]
    assert says == [False] * explored + [True] * (cycle - explored)
    assert plain.collects(turn * cycle + 1) is None and plain(turn + 1) == schedule(turn + 1)


@tried
@given(st.integers(1, 900), st.data())
def test_exploration_that_leaves_nothing_is_refused(cycle, data):
    thousandths = data.draw(st.integers(1000 * (cycle - 1) // cycle + 1, 999))
    with pytest.raises(ValueError, match="leaves none"):
        CyclicalScheduler(0.1, cycle, thousandths / 1000)


# ---------------------------------------------------------------- metrics

@st.composite
def predictions(draw, classes=None, dtype=None):
    """(probs, labels): from nearly uniform to nearly certain, right more often than not or not."""
    random = np.random.RandomState(draw(st.integers(0, 2 ** 32 - 1)))
    n, c = draw(st.integers(1, 60)), classes or draw(st.integers(2, 7))
    raw = random.dirichlet(np.full(c, draw(st.sampled_from([0.1, 1.0, 20.0]))), n) + 1e-6
    probs = (raw / raw.sum(axis=1, keepdims=True)).astype(dtype or draw(st.sampled_from(["float32", "float64"])))
    labels = np.where(random.rand(n) < draw(st.floats(0, 1)), probs.argmax(axis=1), random.randint(0, c, n))
    return probs, labels


SCORES = [metrics.accuracy, metrics.nll, metrics.brier, metrics.ece]


@tried
@given(predictions())
def test_against_scikit_learn(pair):
    probs, labels = pair
    classes = np.arange(probs.shape[1])
    assert metrics.accuracy(probs, labels) == sklearn.metrics.accuracy_score(labels, probs.argmax(axis=1))
    exact = probs.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    log_loss = sklearn.metrics.log_loss(labels, exact, labels=classes)
    assert metrics.nll(probs, labels) == pytest.approx(log_loss, abs=1e-5)
    np.testing.assert_allclose(metrics.entropy(probs), scipy.stats.entropy(exact, axis=1), atol=1e-5)


@tried
@given(predictions(classes=2, dtype="float64"))
def test_two_classes_against_scikit_learn(pair):
    probs, labels = pair
    one = probs[:, 1]
    assert metrics.brier(one, labels) == pytest.approx(2 * np.mean((one - labels) ** 2), abs=1e-12)
    for score in SCORES:
        assert score(one, labels) == pytest.approx(score(probs, labels), abs=1e-9)
        assert score(one[:, np.newaxis], labels[:, np.newaxis]) == score(one, labels)
    if 0 < labels.sum() < len(labels):
        assert metrics.auroc(one, labels) == pytest.approx(sklearn.metrics.roc_auc_score(labels, one), abs=1e-12)


@tried
@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=80))
def test_auroc_with_ties(rows):
    scores, labels = np.array([s for s, _ in rows], float), np.array([y for _, y in rows])
    assume(0 < labels.sum() < len(labels))
    value = metrics.auroc(scores, labels)
    assert value == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores), abs=1e-12)
    assert metrics.auroc(np.exp(scores) - 7.0, labels) == value
    assert metrics.auroc(-scores, labels) == pytest.approx(1.0 - value, abs=1e-12)
    assert metrics.auroc(scores, ~labels) == pytest.approx(1.0 - value, abs=1e-12)


@tried
@given(predictions(), st.integers(0, 2 ** 32 - 1))
def test_order_of_examples_and_classes_does_not_count(pair, seed):
    probs, labels = pair
    random = np.random.RandomState(seed)
    rows, columns = random.permutation(len(labels)), random.permutation(probs.shape[1])
    renumbered = np.argsort(columns)[labels]
    for score in SCORES:
        assert score(probs[rows], labels[rows]) == pytest.approx(score(probs, labels), abs=1e-12)
        assert score(probs[:, columns], renumbered) == pytest.approx(score(probs, labels), abs=1e-12)
    np.testing.assert_allclose(metrics.entropy(probs[:, columns]), metrics.entropy(probs), atol=1e-12)


@tried
@given(predictions(), predictions())
def test_scores_are_means_over_examples(one, other):
    assume(one[0].shape[1] == other[0].shape[1] and one[0].dtype == other[0].dtype)
    both = tuple(np.concatenate(parts) for parts in zip(one, other))
    n, m = len(one[1]), len(other[1])
    for score in (metrics.accuracy, metrics.nll, metrics.brier):
        assert score(*both) == pytest.approx((n * score(*one) + m * score(*other)) / (n + m), abs=1e-12)


@tried
@given(predictions())
def test_ranges(pair):
    probs, labels = pair
    c = probs.shape[1]
    assert 0.0 <= metrics.accuracy(probs, labels) <= 1.0 and 0.0 <= metrics.ece(probs, labels) <= 1.0
    assert 0.0 <= metrics.brier(probs, labels) <= 2.0 and metrics.nll(probs, labels) >= -1e-6
    entropy = metrics.entropy(probs)
    assert (entropy >= -1e-6).all() and (entropy <= math.log(c) + 1e-6).all()


@tried
@given(predictions(), st.integers(1, 40))
def test_reliability_counts_everyone(pair, bins):
    """And one bin is the gap of the means; a finer division cannot hide a gap (the triangle inequality)."""
    probs, labels = pair
    diagram = metrics.reliability(probs, labels, bins)
    filled = diagram.count > 0
    confidence, right = probs.max(axis=1).astype(np.float64), probs.argmax(axis=1) == labels
    assert diagram.count.sum() == len(labels)
    np.testing.assert_allclose(diagram.edges, np.arange(bins + 1) / bins, atol=1e-15)
    assert (diagram.count * diagram.confidence)[filled].sum() == pytest.approx(confidence.sum(), rel=1e-6)
    assert (diagram.count * diagram.accuracy)[filled].sum() == pytest.approx(right.sum(), rel=1e-12)
    assert (diagram.edges[:-1][filled] <= diagram.confidence[filled] + 1e-6).all()
    assert (diagram.confidence[filled] <= diagram.edges[1:][filled] + 1e-6).all()
    assert metrics.ece(probs, labels, 1) == pytest.approx(abs(right.mean() - confidence.mean()), abs=1e-6)
    assert metrics.ece(probs, labels, 2 * bins) >= metrics.ece(probs, labels, bins) - 1e-12


@tried
@given(predictions(), st.integers(1, 6))
def test_certain_and_uniform_predictions(pair, classes):
    _, labels = pair
    c = max(classes, labels.max()) + 1
    said = (labels + np.arange(len(labels)) % 2) % c        # every other one is wrong
    certain = np.eye(c)[said]
    wrong = float(np.mean(said != labels))
    assert metrics.brier(certain, labels) == pytest.approx(2 * wrong, abs=1e-12)
    assert metrics.ece(certain, labels) == pytest.approx(wrong, abs=1e-12)
    assert metrics.entropy(certain).max() == 0.0
    uniform = np.full((len(labels), c), 1.0 / c)
    assert metrics.nll(uniform, labels) == pytest.approx(math.log(c), rel=1e-12)
    assert metrics.brier(uniform, labels) == pytest.approx(1.0 - 1.0 / c, abs=1e-12)


@tried
@given(st.integers(1, 5), predictions(dtype="float64"), st.data())
def test_mutual_information(count, pair, data):
    probs, _ = pair
    n, c = probs.shape
    random = np.random.RandomState(data.draw(st.integers(0, 2 ** 32 - 1)))
    samples = random.dirichlet(np.full(c, 0.5), (count, n))
    weights = random.randint(1, 4, count)
    value = metrics.mutual_information(samples, weights)
    assert value.shape == (n,) and (value >= 0.0).all()
    assert (value <= min(math.log(c), math.log(count)) + 1e-12).all()
    order = random.permutation(count)
    np.testing.assert_allclose(metrics.mutual_information(samples[order], 7.0 * weights[order]), value, atol=1e-12)
    # A weight of 2 is two samples, and samples that agree say nothing.
    np.testing.assert_allclose(metrics.mutual_information(np.repeat(samples, weights, axis=0)), value, atol=1e-12)
    assert metrics.mutual_information(np.stack([probs] * count)).max() <= 1e-12
