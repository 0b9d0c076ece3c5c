"""The step of a chain on all rows, by the largest curvature; and chains that go ahead before they sample."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon

import sgmcmc_mx as sg
from sgmcmc_mx.fitting.arrays import parted
from sgmcmc_mx.fitting.call import SPARSE
from sgmcmc_mx.fitting.network import Maker
from sgmcmc_mx.fitting.stepping import RIGHT, sharpest
from sgmcmc_mx.fitting.training import trained

SIGMA = 0.5
RNG = np.random.RandomState(0)
X = (RNG.randn(300, 3) * [3.0, 1.0, 0.3]).astype("float32")
Y = (X @ [1.0, -1.0, 0.5] + SIGMA * RNG.randn(300)).astype("float32")[:, np.newaxis]


def _found():
    data = parted(X, Y, 0.0, 0)
    maker = Maker(lambda: gluon.nn.Dense(1, in_units=3), sg.likelihoods.Gaussian(SIGMA), data, 100, None)
    return trained(maker, None, 0, 0, mx.cpu()), maker


def _largest(shown):
    a = np.hstack([shown, np.ones((len(shown), 1))]).astype("float64")
    return np.linalg.eigvalsh(a.T @ a / SIGMA**2)[-1]


def test_the_largest_curvature_is_that_of_a_linear_model():
    found, maker = _found()
    before = [p.data().asnumpy() for p in found.setup.net.collect_params().values()]
    step = sharpest(found, maker, {"wd": 0.0}, 0.1)
    assert step.curvature == pytest.approx(_largest(X), rel=0.02)
    assert step.learning_rate == pytest.approx(0.1 * 300 / step.curvature, rel=0.01)
    for old, p in zip(before, found.setup.net.collect_params().values()):
        np.testing.assert_array_equal(p.data().asnumpy(), old)


@pytest.mark.parametrize("params, more", [
    ({}, 1.0), ({"wd": 2000.0}, 2000.0), ({"prior": 3000.0}, 3000.0),
    ({"prior": {"weight": 4000.0, "bias": 1.0}}, 4000.0),
    ({"prior": sg.priors.FanIn(0.001)}, 3000.0),
    ({"prior": sg.priors.StudentT(3.0, 0.03)}, 4.0 / 3.0 / 0.03**2),     # (df + 1) / (df s^2), near 0
    ({"prior": sg.priors.Laplace(0.02)}, 1.0 / 0.02**2)])                # no kink, but E[(d log p / dw)^2]
def test_the_prior_is_a_part_of_it(params, more):
    """Along x's first column, where U is steepest, and the weight is near 0."""
    found, maker = _found()
    for p in found.setup.net.collect_params().values():
        p.set_data(mx.nd.zeros(p.shape))
    assert sharpest(found, maker, params, 0.1).curvature == pytest.approx(_largest(X) + more, rel=0.02)


def test_without_curvature_there_is_no_step():
    """Where the training has left the finite numbers."""
    found, maker = _found()
    for p in found.setup.net.collect_params().values():
        p.set_data(mx.nd.full(p.shape, np.inf))
    assert np.isnan(sharpest(found, maker, {}, 0.1).curvature)


def test_a_fit_goes_far_and_then_samples_with_a_step_that_curvature_allows():
    fit = sg.fit(gluon.nn.Dense(1, in_units=3), sg.likelihoods.Gaussian(SIGMA), X, Y, budget="200 steps", chains=2,
                 samples=10, prior=1.0, warm_start=None)
    shown = fit._running.maker.data.shown[0]
    chosen = fit.chosen
    assert chosen.optimizer_params["learning_rate"] == pytest.approx(RIGHT * len(shown) / _largest(shown), rel=0.03)
    assert "after 145 steps" in chosen.reasons["learning_rate"] and fit.runs.steps == [200, 200]
    # Where chains begin is no longer where the network was initialised: it has gone to the data.
    starts = [mx.nd.load(str(fit._running.folder.start(k))) for k in range(2)]
    weights = [np.concatenate([a.asnumpy().ravel() for a in start.values()]) for start in starts]
    assert all(np.abs(np.sort(w)[-1] - 1.0) < 0.2 and np.sort(w)[0] == pytest.approx(-1.0, abs=0.2) for w in weights)
    assert np.abs(weights[0] - weights[1]).max() > 1e-4


def test_where_u_is_a_saddle_the_curvature_is_the_larger_of_both_signs():
    """As of a network that is not trained: of each sign there are curvatures of nearly the same size, and a direction
    that is between them has none."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(1, in_units=3, use_bias=False), gluon.nn.Dense(1, in_units=1, use_bias=False))
    net.initialize(mx.init.Zero())
    maker = Maker(net, sg.likelihoods.Gaussian(1.0), parted(X, Y, 0.0, 0), 100, None)
    found = trained(maker, None, 0, 0, mx.cpu())
    # U = sum (y - v w.x)^2 / 2 has at w = v = 0 the second derivatives -sum y x of v and w, and no others.
    expected = np.linalg.norm(Y[:, 0].astype("float64") @ X)
    assert sharpest(found, maker, {"wd": 0.0}, 0.1).curvature == pytest.approx(expected, rel=0.01)


def test_a_fit_of_hardly_any_time_can_be_gone_on_with_for_long():
    """A sample at every step would be thousands of them, each to be read and asked whenever something is predicted."""
    fit = sg.fit(gluon.nn.Dense(1, in_units=3), sg.likelihoods.Gaussian(SIGMA), X, Y, budget=0.001, chains=2,
                 prior=1.0, warm_start=None)
    assert fit.chosen.batch_size == len(X) and fit.chosen.thin == SPARSE and len(fit.runs[0]) >= 8
    before, steps = len(fit.runs[0]), fit.runs.steps[0]
    fit.resume("200 steps")
    assert fit.runs.steps[0] == steps + 200 and len(fit.runs[0]) == before + 200 // SPARSE
