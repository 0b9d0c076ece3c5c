"""The laws of priors: densities against SciPy, gradients against autograd, draws, scales, names, and bad input."""
import pickle

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from scipy import integrate, stats

from sgmcmc_mx import priors
from sgmcmc_mx.priors import (
    ByName,
    Cauchy,
    FanIn,
    GeneralizedNormal,
    Laplace,
    Mixture,
    Normal,
    StudentT,
)

WEIGHT, BIAS = (30, 20), (30,)


class TwoNormals:
    """SciPy's interface, as far as it is used here."""

    def __init__(self, pi, a, b):
        self.parts = [(pi, stats.norm(scale=a)), (1 - pi, stats.norm(scale=b))]

    def pdf(self, x):
        return sum(share * part.pdf(x) for share, part in self.parts)

    def logpdf(self, x):
        return np.log(self.pdf(x))

    def cdf(self, x):
        return sum(share * part.cdf(x) for share, part in self.parts)


DENSITIES = {
    "normal": (Normal(0.3), stats.norm(scale=0.3)),
    "laplace": (Laplace(0.3), stats.laplace(scale=0.3)),
    "student": (StudentT(3.5, 0.3), stats.t(3.5, scale=0.3)),
    "cauchy": (Cauchy(0.3), stats.cauchy(scale=0.3)),
    "power": (GeneralizedNormal(1.5, 0.3), stats.gennorm(1.5, scale=0.3)),
    "box": (GeneralizedNormal(8, 0.3), stats.gennorm(8, scale=0.3)),
    "mixture": (Mixture(0.3, 0.6, 0.05), TwoNormals(0.3, 0.6, 0.05)),
    "mixture, the narrow one first": (Mixture(0.3, 0.05, 0.6), TwoNormals(0.3, 0.05, 0.6)),
}
X = np.concatenate([np.linspace(-3, 3, 501), [1e-4, -1e-4]])


@pytest.mark.parametrize("name", DENSITIES)
def test_energy_is_minus_the_logarithm_of_the_density(name):
    prior, exact = DENSITIES[name]
    law = prior.law(["a"], (1,))
    found = np.array([float(law.energy(nd.array([x], dtype="float64")).asscalar()) for x in X])
    expected = exact.logpdf(0.0) - exact.logpdf(X)
    near = expected < 500       # beyond, SciPy's own density of a mixture is 0
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", DENSITIES)
def test_slope_is_the_gradient_of_the_energy(name):
    law = DENSITIES[name][0].law(["a"], X.shape)
    w = nd.array(X, dtype="float64")
    w.attach_grad()
    with autograd.record():
        energy = law.energy(w)
    energy.backward()
    off = X != 0    # at a corner autograd may say what it likes
    np.testing.assert_allclose(law.slope(w).asnumpy()[off], w.grad.asnumpy()[off], rtol=1e-9, atol=1e-9)
    assert float(law.slope(nd.zeros((1,))).asscalar()) == 0.0


@pytest.mark.parametrize("name", DENSITIES)
def test_draws_have_the_density(name):
    prior, exact = DENSITIES[name]
    drawn = prior.law(["a"], (20_000,)).draw(np.random.default_rng(1), (20_000,))
    assert stats.kstest(drawn, exact.cdf).pvalue > 1e-6


@pytest.mark.parametrize("name", DENSITIES)
def test_precision_is_the_mean_curvature(name):
    """E[(d log p / dw)^2], by SciPy's quadrature of differences of its logarithm."""
    prior, exact = DENSITIES[name]

    def integrand(x, h=1e-6):
        return exact.pdf(x) * ((exact.logpdf(x + h) - exact.logpdf(x - h)) / (2 * h)) ** 2

    points = [0.0, 0.02, 0.1, 0.3, 0.5, 1.0, 2.0, 8.0]
    value = 2 * sum(integrate.quad(integrand, a, b, limit=200)[0] for a, b in zip(points, points[1:]))
    if name in ("student", "cauchy"):
        value += 2 * integrate.quad(integrand, points[-1], np.inf)[0]
    assert prior.precision(["a"], (1,)) == pytest.approx(value, rel=2e-4)


@pytest.mark.parametrize("prior", [
    Normal(variance=0.2), Laplace(variance=0.2), StudentT(4.5, variance=0.2), GeneralizedNormal(1.5, variance=0.2),
    GeneralizedNormal(4, variance=0.2), StudentT(4.5, variance=FanIn(4.0)), Laplace(variance=FanIn(4.0)),
    StudentT(4.5, variance=np.full(WEIGHT, 0.2))])
def test_a_variance_is_that_of_the_law(prior):
    law, rng = prior.law(["a"], WEIGHT), np.random.default_rng(1)
    assert np.mean([law.draw(rng, WEIGHT).var() for _ in range(600)]) == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("prior, names, shape, scale", [
    (Laplace(0.3), ["a"], BIAS, 0.3),
    (Laplace("fan_in"), ["a"], WEIGHT, 20 ** -0.5),
    (Laplace(FanIn(8.0)), ["a"], WEIGHT, (8 / 20) ** 0.5),
    (Laplace(FanIn(8.0)), ["a"], BIAS, None),                       # has none: wd holds
    (StudentT(3, variance=FanIn(32.0)), ["a"], WEIGHT, (32 / 20 / 3) ** 0.5),
    (Mixture(0.5, FanIn(8.0), FanIn(0.5)), ["a"], WEIGHT, (8 / 20) ** 0.5),
    (Mixture(0.5, FanIn(8.0), FanIn(0.5)), ["a"], BIAS, None),
    (ByName({".*bias": Cauchy(2.0), ".*": "fan_in"}), ["a_bias"], BIAS, 2.0),
])
def test_scale(prior, names, shape, scale):
    law = prior.law(names, shape)
    assert law is None if scale is None else 1 / law.inverse == pytest.approx(scale)


def test_by_name_mixes_laws_and_precisions():
    prior = priors.as_prior({".*weight": StudentT(3, "fan_in"), ".*bias": 4.0})
    assert prior.law(["a_weight"], WEIGHT).kind == "student" and prior.law(["a_bias"], BIAS).precision == 4.0
    assert prior.law(["a_gamma"], BIAS) is None


def test_a_scale_by_element():
    scale = np.random.RandomState(0).uniform(0.1, 2.0, WEIGHT)
    law, w = Laplace(nd.array(scale)).law(["a"], WEIGHT), nd.random.normal(shape=WEIGHT)
    np.testing.assert_allclose(law.slope(w).asnumpy(), np.sign(w.asnumpy()) / scale.astype("float32"), rtol=1e-6)
    assert law.energy(w).asscalar() == pytest.approx(np.abs(w.asnumpy() / scale).sum(), rel=1e-6)
    assert law.precision == pytest.approx((scale ** -2).mean(), rel=1e-6)
    with pytest.raises(ValueError, match=r"parameter b has shape \(30, 20\), the parameter \(30,\)"):
        Laplace(scale).law(["b"], BIAS)


@pytest.mark.parametrize("mult", [0.25, 4.0])
def test_wd_mult_multiplies_the_precision(mult):
    """Of every law: its scale is sqrt(mult) times smaller."""
    for prior, _ in DENSITIES.values():
        law = prior.law(["a"], (1,))
        assert law.tightened(mult).precision == pytest.approx(mult * law.precision, rel=1e-9)
        assert law.tightened(0.0).is_plain and law.tightened(0.0).precision == 0.0


def test_what_is_shown_tells_priors_apart():
    assert repr(StudentT(3, variance=FanIn(32))) == "StudentT(df=3.0, variance=FanIn(scale=32.0))"
    assert repr(ByName({".*": Mixture(0.5, 1, 0.1)})) == "ByName({'.*': Mixture(pi=0.5, sigma1=1.0, sigma2=0.1)})"
    assert repr(priors.Constant(3)) == "Constant(precision=3.0)" and "every=100" in repr(priors.Gamma())
    some, same, others = (repr(Laplace(np.full(3, x))) for x in (1.0, 1.0, 1.1))
    assert some == same != others


@pytest.mark.parametrize("name", DENSITIES)
def test_a_pickled_prior_is_the_same(name):
    prior = DENSITIES[name][0]
    assert repr(pickle.loads(pickle.dumps(prior))) == repr(prior)


# ---------------------------------------------------------------- one of the user's own


class Own(priors.Prior):
    def log_density(self, w):
        return -nd.square(nd.square(w))


def test_own_by_autograd():
    law, w = Own().law(["a"], (3,)), nd.array([1.0, -2.0, 0.0])
    np.testing.assert_allclose(law.slope(w).asnumpy(), [4.0, -32.0, 0.0])
    assert law.energy(w).asscalar() == 17.0 and w.grad is None
    assert law.tightened(3.0).energy(w).asscalar() == 51.0
    with pytest.raises(NotImplementedError, match="Own has no precision"):
        print(law.precision)


@pytest.mark.parametrize("method, value, error, said", [
    ("log_density", lambda w: 1.0, TypeError, "Own.log_density must give an NDArray, got float"),
    ("gradient", lambda w: w.asnumpy(), TypeError, "Own.gradient must give an NDArray, got ndarray"),
    ("gradient", lambda w: w[:2], ValueError, r"gives shape \(2,\) for a parameter of shape \(3,\)"),
])
def test_own_that_is_wrong(monkeypatch, method, value, error, said):
    monkeypatch.setattr(Own, method, lambda self, w: value(w))
    law = Own().law(["a"], (3,))
    with pytest.raises(error, match=said):
        (law.energy if method == "log_density" else law.slope)(nd.zeros((3,)))


@pytest.mark.parametrize("make, error, said", [
    (lambda: Laplace(), ValueError, "Laplace needs either scale or variance, got scale=None"),
    (lambda: Laplace(1.0, 1.0), ValueError, "either scale or variance, got scale=1.0, variance=1.0"),
    (lambda: Laplace(0), ValueError, "scale must lie in .*got 0; write a number above 0, 'fan_in'"),
    (lambda: Laplace("fan"), ValueError, "scale got the word 'fan', the one it knows is 'fan_in'"),
    (lambda: Laplace([1.0]), TypeError, r"scale must be a number, got \[1.0\]"),
    (lambda: Laplace(np.array([1.0, -1.0])), ValueError, "scale must be above 0 in every element"),
    (lambda: Laplace(np.array([1.0, np.nan])), ValueError, "scale must be an array of finite numbers"),
    (lambda: StudentT(0, 1.0), ValueError, "df must lie in"),
    (lambda: StudentT(2, variance=1.0), ValueError, "Student's t with df=2 has none .*write scale"),
    (lambda: GeneralizedNormal(0.5, 1.0), ValueError, "beta must lie in .*no bound at 0"),
    (lambda: Mixture(1.0, 1.0, 1.0), ValueError, "pi must lie in"),
    (lambda: Mixture(0.5, 1.0, 0.0), ValueError, "sigma2 must lie in"),
    (lambda: Mixture(0.5, FanIn(), 1.0), TypeError, "both be numbers or both FanIn"),
    (lambda: priors.Constant(0).law(["a"], (2,)).draw(np.random.default_rng(0), (2,)), ValueError, "flat prior"),
])
def test_bad_input(make, error, said):
    with pytest.raises(error, match=said):
        make()


# ---------------------------------------------------------------- in a sampler


def test_a_sampler_knows_it():
    o = mx.optimizer.create("sgld", num_data=10, seed=1, wd=3.0, prior={".*weight": StudentT(3, "fan_in")},
                            param_idx2name={0: "a_weight", 1: "a_bias"})
    o.set_wd_mult({"a_weight": 4.0})
    assert 1 / o.law(0, WEIGHT).inverse == pytest.approx(0.5 * 20 ** -0.5) and o.law(1, BIAS).precision == 3.0
    assert o.precision(0, WEIGHT) == pytest.approx(4 * 20 * 4 / 6)


@pytest.mark.parametrize("prior", [Laplace(0.5), Own(), Laplace(np.full((3, 4), 0.5))],
                         ids=["laplace", "own", "array"])
def test_what_it_pulls_by(prior):
    """At temperature 0 and without a gradient a step of SGLD is w <- w - learning_rate / (2 N) (-log p)'(w)."""
    optimizer = mx.optimizer.create("sgld", num_data=10, seed=1, prior=prior, temperature=0.0, learning_rate=0.5)
    w = nd.array(np.linspace(-1, 1, 12).reshape(3, 4))
    update, start = mx.optimizer.get_updater(optimizer), w.copy()
    update(0, nd.zeros((3, 4)), w)
    slope = prior.law(["0"], (3, 4)).slope(start)
    np.testing.assert_allclose(w.asnumpy(), (start - 0.025 * slope).asnumpy(), rtol=1e-6, atol=1e-7)
    update(0, nd.zeros((3, 4)), w)      # formed anew at every step
    again = (start - 0.025 * slope)
    again = again - 0.025 * prior.law(["0"], (3, 4)).slope(again)
    np.testing.assert_allclose(w.asnumpy(), again.asnumpy(), rtol=1e-6, atol=1e-7)


def test_scales_that_are_learned_see_the_prior():
    """SASGHMC learns from g + the prior's part: here from that alone, which is the same said in three ways."""
    class Gaussian(priors.Prior):
        def log_density(self, w):
            return -2.0 * nd.square(w)

    found = []
    for prior in (4.0, Normal(0.5), Gaussian()):
        o = mx.optimizer.create("sasghmc", num_data=10, seed=1, burn_in=5, prior=prior, learning_rate=0.01)
        w = nd.array(np.linspace(-1, 1, 12).reshape(3, 4))
        update = mx.optimizer.get_updater(o)
        for _ in range(4):
            update(0, nd.zeros((3, 4)), w)
        found.append(update.states[0][1].asnumpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-3)
