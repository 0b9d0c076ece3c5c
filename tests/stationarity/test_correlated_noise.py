"""Minibatch noise that has the correlations of the data, and what it does to directions that it does not heat.

Two inputs of correlation .98, N = 400, Gaussian(1), wd 1, batches of 20 drawn with replacement. The noise of a batch is
large along the steep direction (both weights together) and small along the flat one (their difference). Both weights
are alike, so that no treatment weight by weight can tell the directions apart: along the flat one the chain freezes.

The chains are held to the covariance that laws.py foretells, whatever that is; what is true of the posterior is
asserted beside it, so that the bias is neither hidden nor forgotten.
"""
import math

import numpy as np
import pytest

from sgmcmc_mx import kernels

from .harness import LIMIT, altered, assert_agrees, worst, z_scores
from .laws import Linear, ratios
from .test_regression import Chains, Regression
from .theory import second_moments, sgld_variance, shared_thermostat_mean, splitting, splitting_thermostat

EACH = [[0], [1]]


class Correlated(Regression):
    """The example; its weights are at home along the eigenvectors ``U`` of the Hessian, from flat to steep."""

    N, D, batch = 400, 2, 20

    def __init__(self, correlation=0.98):
        rng = np.random.default_rng(0)
        self.X = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], self.N)
        self.y = self.X @ [1, -1] + rng.normal(0, 1, self.N)
        self.H = self.X.T @ self.X + np.eye(2)
        self.covariance = np.linalg.inv(self.H)
        self.mean = self.covariance @ self.X.T @ self.y
        self.sd = np.sqrt(np.diag(self.covariance))
        self.X32, self.y32 = self.X.astype(np.float32), self.y.astype(np.float32)
        self.curvature, self.U = np.linalg.eigh(self.H)
        self.law = Linear(self.H, self.noise)

    def controlled(self, S):
        """The noise that is left with control variates whose centre is the mode."""
        r2 = np.einsum("ni,ij,nj->n", self.X, S, self.X)
        A = self.X.T @ self.X / self.N
        return self.N ** 2 / self.batch * ((self.X * r2[:, None]).T @ self.X / self.N - A @ S @ A)


class Full(Correlated):
    """All data at every step."""

    def noise(self, S):
        return np.zeros((2, 2))

    def gradient_sum(self, w, rng):
        return self.batch / self.N * ((w - self.mean.astype(np.float32)) @ (self.H - np.eye(2)) - self.mean)


class Reshuffled(Correlated):
    """Every walker goes through the data in an order of its own, anew in every epoch."""

    def __init__(self):
        super().__init__()
        self.at = 0

    def gradient_sum(self, w, rng):
        if self.at % self.N == 0:
            self.order = rng.permuted(np.tile(np.arange(self.N), (len(w), 1)), axis=1)
            self.at = 0
        i = self.order[:, self.at:self.at + self.batch]
        self.at += self.batch
        x = self.X32.take(i, axis=0)
        return np.einsum("wnd,wn->wd", x, np.einsum("wnd,wd->wn", x, w) - self.y32.take(i))


class Controlled(Correlated):
    """With control variates about the mode."""

    def noise(self, S):
        return self.controlled(S)

    def gradient_sum(self, w, rng):
        mean = np.broadcast_to(self.mean.astype(np.float32), w.shape)
        i = rng.integers(0, self.N, (len(w), self.batch))
        x = self.X32.take(i, axis=0)
        return np.einsum("wnd,wn->wd", x, np.einsum("wnd,wd->wn", x, w - mean)) - self.batch / self.N * self.mean


@pytest.fixture(scope="module")
def problem():
    return Correlated()


def averages(problem, exact, optimizer, rate, burn, steps, walkers=600, groups=1, **options):
    """Averages over time of walkers that start in the law itself: if it is another one, they leave it while they burn
    in.
    """
    chains = Chains(problem, optimizer, rate, walkers=walkers, groups=groups, **options)
    for w in chains.w:
        w[:] = chains.rng.multivariate_normal(problem.mean, exact, walkers)
    return chains.run(burn).averages(steps, every=10)


def at_rest(problem, alpha, rate, friction):
    """The V at which a thermostat starts at this friction: it would take some thousand steps to come there."""
    return float(2 * (np.mean(alpha) - friction) * problem.N / rate)


def scores(found, exact, problem, groups=False):
    """z of the variances along the eigenvectors, of what lies between them, and of the means."""
    def units(x):
        return x.mean(axis=1) if groups else x.reshape((-1,) + x.shape[2:])

    U, means, products = problem.U, units(found["mean"]), units(found["products"])
    turned, expected = U.T @ products @ U, U.T @ exact @ U
    names = {"flat": (0, 0), "steep": (1, 1), "between": (0, 1)}
    observed = {name: turned[:, i, j] for name, (i, j) in names.items()}
    wanted = {name: expected[i, j] for name, (i, j) in names.items()}
    for i, name in enumerate(("mean, flat", "mean, steep")):
        observed[name], wanted[name] = (means @ U)[:, i], 0.0
    return z_scores(observed, wanted)


def assert_lawful(found, exact, problem, groups=False):
    z = scores(found, exact, problem, groups)
    assert worst(z) < LIMIT, z


# ---------------------------------------------------------------------------------------------------- the laws alone

def test_the_laws_are_those_of_one_weight_where_there_is_one():
    """Against theory.py's closed forms and recursions, which were found another way."""
    eta, a, V, T, k = 0.02, 0.1, 3.0, 0.7, 1.3
    one = Linear([[k]], [[V]], T)
    assert one.sgld(eta)[0, 0] == pytest.approx(sgld_variance(eta, T, V, k), rel=1e-10)
    q = 2 * a * eta * T + eta ** 2 * V
    assert one.sghmc(eta, a)[0, 0] == pytest.approx(second_moments(a, eta, q, k)[0], rel=1e-10)
    alpha, S = one.sgnht(eta, a)
    assert alpha[0] == pytest.approx(shared_thermostat_mean([(1, eta, V, k)], a, T), rel=1e-7)
    assert S[0, 0] == pytest.approx(second_moments(alpha[0], eta, q, k)[0], rel=1e-7)
    for integrator in ("aboba", "badodab"):
        assert one.sghmc(eta, a, told=V, integrator=integrator)[0, 0] == pytest.approx(
            splitting(integrator, eta, a, T=T, V=V, b=eta * V / (2 * T), k=k)[0], rel=1e-10)
        alpha, S = one.sgnht(eta, a, integrator=integrator)
        assert alpha[0] == pytest.approx(splitting_thermostat(integrator, eta, a, 1.0, T, V, k)[0], rel=1e-6)


def test_the_laws_are_those_of_the_regression_with_unequal_scales():
    problem = Regression()
    law = Linear(problem.H, problem.noise)
    for found, exact in ((law.sgld(2e-5), problem.sgld(2e-5)),
                         (law.sghmc(1e-6, 0.05), problem.momentum(1e-6, 0.05, 0.05)[:5, :5]),
                         (law.sgnht(1e-6, 0.05)[1], problem.shared(1e-6, 0.05)[1]),
                         (law.sgnht(1e-6, 0.05, [[i] for i in range(5)])[1], problem.separate(1e-6, 0.05)[1])):
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-7 * np.abs(exact).max())


def test_epochs_of_batches_that_do_not_cancel_are_batches_with_replacement(problem):
    """The sum over a period, with the errors of its batches made independent, gives what the plain recursion gives."""
    V = problem.noise(problem.covariance)
    law = Linear(problem.H, V)
    plain = law.sghmc(5e-5, 0.1)
    np.testing.assert_allclose(law.epochs(5e-5, 0.1, 0.1, 20, cancel=False)[:2, :2], plain, rtol=1e-9)


# ---------------------------------------------------------------------------------------------------- the chains

@pytest.mark.parametrize("friction, rate", [(0.05, 0.026), pytest.param(0.2, 0.026, marks=pytest.mark.slow)])
def test_one_thermostat(problem, friction, rate):
    alpha, exact = problem.law.sgnht(rate / problem.N, friction)
    found = averages(problem, exact, "sgnht", rate, 800, 1200, walkers=60, groups=15, friction=friction,
                     thermostat="tensor", gradient_noise=at_rest(problem, alpha, rate, friction))
    assert_lawful(found, exact, problem, groups=True)
    assert_agrees({"alpha": found["alpha"].ravel()}, {"alpha": alpha[0]})
    flat, steep = ratios(exact, problem.H)
    assert flat < 0.6 and steep > 1.0


def test_a_thermostat_for_each_weight_freezes_as_much(problem):
    """Both weights are alike, and so are their frictions: by symmetry nothing is gained."""
    rate, friction = 0.026, 0.05
    alpha, exact = problem.law.sgnht(rate / problem.N, friction, EACH)
    found = averages(problem, exact, "sgnht", rate, 1000, 1500, friction=friction, thermostat="element",
                     gradient_noise=at_rest(problem, alpha, rate, friction))
    assert_lawful(found, exact, problem)
    _, shared = problem.law.sgnht(rate / problem.N, friction)
    np.testing.assert_allclose(ratios(exact, problem.H), ratios(shared, problem.H), rtol=0.01)


@pytest.mark.parametrize("rate, friction", [pytest.param(0.026, 0.05, marks=pytest.mark.slow), (0.005, 0.1)])
def test_sghmc_that_takes_nothing_out(problem, rate, friction):
    """Right where it is flat, hot where it is steep."""
    exact = problem.law.sghmc(rate / problem.N, friction)
    assert_lawful(averages(problem, exact, "sghmc", rate, 1000, 1500, friction=friction), exact, problem)
    flat, steep = ratios(exact, problem.H)
    assert 0.95 < flat < 1.1 and steep > 1.3


@pytest.mark.parametrize("rate, friction", [(0.005, 0.1)])
def test_sghmc_that_is_told_the_mean(problem, rate, friction):
    V = float(np.trace(problem.noise(problem.covariance)) / 2)
    exact = problem.law.sghmc(rate / problem.N, friction, V)
    found = averages(problem, exact, "sghmc", rate, 1000, 1500, friction=friction, gradient_noise=V)
    assert_lawful(found, exact, problem)
    assert ratios(exact, problem.H)[0] < 0.8


@pytest.mark.parametrize("rate, friction", [pytest.param(0.026, 0.05, marks=pytest.mark.slow), (0.005, 0.1)])
def test_sghmc_that_estimates(problem, rate, friction):
    exact = problem.law.estimating(rate / problem.N, friction)
    found = averages(problem, exact, "sghmc", rate, 2000, 1500, friction=friction, gradient_noise="estimate")
    assert_lawful(found, exact, problem)
    assert ratios(exact, problem.H)[0] < 0.8


def test_sgld(problem):
    exact = problem.law.sgld(0.1 / problem.N)
    assert_lawful(averages(problem, exact, "sgld", 0.1, 800, 1500), exact, problem)
    flat, steep = ratios(exact, problem.H)
    assert 0.99 < flat < 1.1 and steep > 1.3


@pytest.mark.parametrize("kind, atol", [(Full, 0.03), (Controlled, 0.06)])
def test_one_thermostat_is_right_on_all_data_and_with_control_variates(kind, atol):
    problem = kind()
    alpha, exact = problem.law.sgnht(0.026 / problem.N, 0.05)
    found = averages(problem, exact, "sgnht", 0.026, 600, 900, walkers=60, groups=12, friction=0.05,
                     thermostat="tensor", gradient_noise=at_rest(problem, alpha, 0.026, 0.05))
    assert_lawful(found, exact, problem, groups=True)
    np.testing.assert_allclose(ratios(exact, problem.H), 1.0, atol=atol)


@pytest.mark.parametrize("optimizer, friction", [
    pytest.param("sghmc", 0.2, marks=pytest.mark.slow), ("sgnht", 0.2)])
def test_reshuffled_epochs(optimizer, friction):
    """Their errors cancel along directions slower than an epoch, which a thermostat then freezes all the more.

    The law leaves out that each batch has a Hessian of its own: 3 % of a variance here.
    """
    problem, rate = Reshuffled(), 0.01
    V = problem.noise(problem.covariance) * (problem.N - problem.batch) / (problem.N - 1)
    law, eta = Linear(problem.H, V), rate / problem.N
    options = {"thermostat": "tensor", "gradient_noise": float(np.trace(V) / 2)} if optimizer == "sgnht" else {}
    chains = Chains(problem, optimizer, rate, walkers=60, groups=12, friction=friction, **options)
    found = chains.run(2000).averages(2000, every=7)
    alpha = found["alpha"].mean() if optimizer == "sgnht" else friction
    exact = law.epochs(eta, friction, alpha, problem.N // problem.batch)[:2, :2]
    turned = problem.U.T @ found["products"].mean(axis=(0, 1)) @ problem.U
    np.testing.assert_allclose(np.diag(turned) / np.diag(problem.U.T @ exact @ problem.U), 1.0, atol=0.08)


# ---------------------------------------------------------------------------------------------------- the mutants

MUTANTS = {
    "step 1.1 times as long": lambda t: setattr(t, "drift", 1.1 * t.drift),
    "noise 1.1 times as large": lambda t: setattr(t, "noise", 1.1 * t.noise),
    "friction 1.1 times as large": lambda t: setattr(t, "friction", 1.1 * t.friction),
    "friction twice": lambda t: setattr(t, "friction", 1 - (1 - t.friction) ** 2),
    "all minibatch noise taken out": lambda t: setattr(t, "noise", t.noise * math.sqrt(0.8)),
}


@pytest.mark.parametrize("mutant", [m if i < 3 else pytest.param(m, marks=pytest.mark.slow)
                                    for i, m in enumerate(MUTANTS)])
def test_the_laws_reject(mutant, problem, monkeypatch):
    def change(job):
        for t in job.tensors:
            MUTANTS[mutant](t)

    monkeypatch.setattr(kernels, "step", altered(kernels.step, change))
    z = check(problem)
    assert worst(z) > LIMIT, z


def check(problem):
    rate, friction = 0.026, 0.2
    exact = problem.law.sghmc(rate / problem.N, friction)
    found = averages(problem, exact, "sghmc", rate, 600, 600, walkers=1500, friction=friction)
    return scores(found, exact, problem)


def test_what_the_mutants_fail_the_sampler_passes(problem):
    assert worst(check(problem)) < LIMIT


def test_a_law_of_single_weights_is_rejected(problem):
    """The diagonal of V in place of V: what was believed before. It is far off along either direction."""
    diagonal = Linear(problem.H, lambda S: np.diag(np.diag(problem.noise(S))))
    rate, friction = 0.005, 0.1
    exact = diagonal.sghmc(rate / problem.N, friction)
    z = scores(averages(problem, exact, "sghmc", rate, 1500, 1000, friction=friction), exact, problem)
    assert abs(z["flat"]) > LIMIT and abs(z["steep"]) > LIMIT, z
