"""Scores of the average as metrics of MXNet."""
import mxnet as mx
import numpy as np
import pytest

import sgmcmc_mx as sg

rng = np.random.RandomState(0)
PROBS = rng.dirichlet(np.ones(4), 60)
LABELS = rng.randint(4, size=60)
Y = rng.randn(60, 2)
CURVE = sg.Regression(rng.randn(60, 2), *(0.5 + rng.rand(60, 2) for _ in range(3)), None)
Metric = sg.estimator.AverageMetric


@pytest.mark.parametrize("score", ["accuracy", "nll", "brier", "ece", "classwise_ece"])
def test_in_batches_it_is_the_score_of_all(score):
    """A calibration error is no mean of those of batches."""
    metric = Metric(score)
    assert isinstance(metric, mx.metric.EvalMetric) and np.isnan(metric.get()[1])
    metric.update(LABELS[:10], PROBS[:10])
    metric.update([mx.nd.array(LABELS[10:30]), LABELS[30:]], [PROBS[10:30], PROBS[30:]])
    name, value = metric.get()
    assert name == f"average {score}" and value == pytest.approx(getattr(sg.metrics, score)(PROBS, LABELS))
    metric.reset()
    assert np.isnan(metric.get()[1])


def test_of_a_regression():
    cut = sg.Regression(*(a[:20] for a in CURVE[:4]), None), sg.Regression(*(a[20:] for a in CURVE[:4]), None)
    one = Y, CURVE.mean[None], CURVE.std[None]      # a mixture of one normal law
    expected = {"rmse": np.sqrt(np.mean((CURVE.mean - Y) ** 2)),
                "log_predictive_density": sg.metrics.log_predictive_density(*one).mean(),
                "crps": sg.metrics.crps(*one).mean()}
    for score, value in expected.items():
        metric = Metric(score, name="mine")
        metric.update([Y[:20], Y[20:]], list(cut))
        assert metric.get() == ("mine", pytest.approx(value))


def test_a_function_and_mxnets_composite():
    both = mx.metric.CompositeEvalMetric([Metric("nll"), Metric(lambda found, labels: found.shape[1], name="classes")])
    both.update(LABELS, PROBS)
    assert both.get() == (["average nll", "classes"], [pytest.approx(sg.metrics.nll(PROBS, LABELS)), 4.0])


@pytest.mark.parametrize("score, labels, found, said", [
    ("nll", LABELS[:5], PROBS, "there are 5, and predictions of 60 examples"),
    ("rmse", LABELS, PROBS, "score='rmse' is of a regression"), ("nll", Y, CURVE, "score='nll' is of class prob"),
    ("nll", [LABELS], [PROBS, PROBS], "there are 1 batches of them, and 2 of predictions"),
    ("acc", LABELS, PROBS, "score must be one of")])
def test_bad_input(score, labels, found, said):
    with pytest.raises(ValueError, match=said):
        Metric(score).update(labels, found)
