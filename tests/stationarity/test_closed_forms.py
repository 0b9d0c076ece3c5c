"""SGLD and SGHMC against the exact second moments of their discretised equations on U = k w^2 / 2."""
import mxnet as mx
import numpy as np
import pytest

from .harness import Walk, assert_agrees
from .theory import Moments, kinetic, sghmc_variance, sgld_variance

WALKERS = 20000


class Polynomial(mx.lr_scheduler.LRScheduler):
    def __call__(self, t):
        return self.base_lr * (1 + t) ** -0.55


def test_the_closed_forms_themselves():
    """The numbers everybody quotes, so that a slip in theory.py cannot bend the checks."""
    assert sgld_variance(0.2) == pytest.approx(1.0526, abs=5e-5)
    assert sghmc_variance(0.01, 0.05, V=4) == pytest.approx(1.4036, abs=5e-5)
    assert sghmc_variance(0.01, 0.05, V=4, b=0.02) == pytest.approx(1.0026, abs=5e-5)
    for k in (1.0, 3.0):
        m = Moments(0.3, 0.01, k=k)
        for _ in range(1500):
            m.step(0.01, 0.05, V=4.0)
        assert m.S == pytest.approx(sghmc_variance(0.01, 0.05, V=4, k=k), rel=1e-6)
        assert m.P / 0.01 == pytest.approx(kinetic(0.01, 0.05, V=4, k=k), rel=1e-6)


@pytest.mark.parametrize("N, batch", [(1, 1), (10, 4), (1000, 1), (60000, 500)])
@pytest.mark.parametrize("eta", [0.02, 0.2, 0.8])
def test_sgld(eta, N, batch):
    walk = Walk("sgld", [(WALKERS,)], eta, N=N, batch=batch).step(60)
    assert_agrees(walk.averages(60, every=3), {"w2": _sgld_after(walk, 60, 60, 3)})


def _sgld_after(walk, skipped, steps, every):
    """Mean of the exact variance over the steps that ``averages`` looks at."""
    eta, T, k = walk.eta, walk.T, walk.k
    S, seen = T / k, []
    for _ in range(skipped + steps):
        S = (1 - eta * k / 2) ** 2 * S + eta * T + eta ** 2 * walk.V / 4
        seen.append(S)
    assert abs(seen[-1] / sgld_variance(eta, T, walk.V, k) - 1) < (1 - eta * k / 2) ** (2 * skipped) + 1e-12
    return np.mean(seen[skipped + every - 1::every])


@pytest.mark.parametrize("T", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("data, prior", [(0.5, 0.5), (0.0, 2.0), (3.0, 0.0)])
def test_sgld_at_every_temperature(T, data, prior):
    walk = Walk("sgld", [(WALKERS,)], 0.2, T=T, data=data, prior=prior, V=2.0).step(60)
    assert_agrees(walk.averages(60, every=3), {"w2": sgld_variance(0.2, T, 2.0, data + prior)})


def test_sgld_annealed_follows_the_exact_variance():
    """Polynomial steps eps_t = (1 + t)^-.55: never in equilibrium, yet exact at every step."""
    schedule = Polynomial(base_lr=10.0)
    walk = Walk("sgld", [(WALKERS,)], 1.0, V=1.0, start=2.0)
    walk.optimizer.lr_scheduler = schedule
    S, mean = 0.0, 2.0
    for t in range(1, 101):
        eta = schedule(t) / walk.N
        S, mean = (1 - eta / 2) ** 2 * S + eta + eta ** 2 / 4, (1 - eta / 2) * mean
        walk.step()
        if t in (1, 3, 10, 30, 100):
            assert_agrees({**walk.now(), "w": walk.weights[0].asnumpy()}, {"w2": S + mean ** 2, "w": mean})


SGHMC = [   # eta, a, V, gradient_noise, what is taken out
    (0.01, 0.05, 0.0, None, 0.0),
    (0.01, 0.05, 4.0, None, 0.0),
    (0.01, 0.05, 4.0, 4.0, 0.02),
    (0.01, 0.05, 4.0, 2.0, 0.01),
    (0.01, 0.05, 10.0, 10.0, 0.05),
    (0.04, 0.5, 0.0, None, 0.0),
    (0.25, 0.3, 0.5, 0.5, 0.0625),
    (0.09, 1.0, 0.0, None, 0.0),
]


@pytest.mark.parametrize("eta, a, V, gradient_noise, b", SGHMC)
def test_sghmc(eta, a, V, gradient_noise, b):
    walk = Walk("sghmc", [(WALKERS,)], eta, V=V, friction=a, gradient_noise=gradient_noise).step(300)
    assert_agrees(walk.averages(200, every=4), {"w2": sghmc_variance(eta, a, 1.0, V, b),
                                                "kinetic": kinetic(eta, a, 1.0, V, b)})


@pytest.mark.parametrize("N, batch", [(1, 1), (1000, 7)])
def test_sghmc_that_estimates_the_noise(N, batch):
    """The estimate is unbiased, so the exact variance is that of the true V, once no estimate exceeds a."""
    walk = Walk("sghmc", [(8000,)], 0.01, N=N, batch=batch, V=4.0, friction=0.05, gradient_noise="estimate").step(300)
    assert_agrees(walk.averages(200, every=4), {"w2": sghmc_variance(0.01, 0.05, 1.0, 4.0, 0.02),
                                                "kinetic": kinetic(0.01, 0.05, 1.0, 4.0, 0.02)})
    variance = walk.updater.states[0][2].asnumpy() * N ** 2
    assert abs(variance.mean() - 4.0) < 5 * variance.std() / variance.size ** 0.5 + 0.01   # + (grad's own change)^2 / 2
    assert 0.05 < variance.std() / 4.0 < 0.12       # sqrt(2 * 3/2 / 500) = .077: it averages over the whole past


@pytest.mark.parametrize("T", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("data, prior", [(0.5, 0.5), (0.0, 2.0), (3.0, 0.0)])
def test_sghmc_at_every_temperature(T, data, prior):
    k = data + prior
    walk = Walk("sghmc", [(WALKERS,)], 0.01, T=T, data=data, prior=prior, V=2.0, friction=0.1, gradient_noise=0.5)
    b = 0.01 * 0.5 / (2 * T)
    assert_agrees(walk.step(200).averages(200, every=4), {"w2": sghmc_variance(0.01, 0.1, T, 2.0, b, k),
                                                          "kinetic": kinetic(0.01, 0.1, T, 2.0, b, k)})


def test_sghmc_is_exact_on_the_way_to_equilibrium():
    """From w = 0 and the drawn momentum, the variance follows its recursion at every step, the first included."""
    walk, exact = Walk("sghmc", [(WALKERS,)], 0.01, V=3.0, friction=0.05, start=0.0), Moments(0.0, 0.01)
    for t in range(1, 151):
        walk.step()
        exact.step(0.01, 0.05, V=3.0)
        if t in (1, 2, 5, 20, 50, 100, 150):
            assert_agrees(walk.now(), {"w2": exact.S, "kinetic": exact.P / 0.01})


def test_sghmc_that_resamples_its_momentum():
    """Every k-th step starts from a fresh momentum: the recursion with C = 0 and P = eta T put in."""
    walk = Walk("sghmc", [(WALKERS,)], 0.04, V=3.0, friction=0.1, resample_momentum=7, start=0.0)
    exact = Moments(0.0, 0.04)
    for t in range(1, 121):
        if t > 1 and (t - 1) % 7 == 0:
            exact.C, exact.P = 0.0, 0.04
        walk.step()
        exact.step(0.04, 0.1, V=3.0)
        if t in (1, 7, 8, 9, 70, 71, 120):
            assert_agrees(walk.now(), {"w2": exact.S, "kinetic": exact.P / 0.04})


@pytest.mark.parametrize("name, options", [("sgld", {}), ("sghmc", {"friction": 0.1})])
def test_configurational_temperature(name, options):
    """<w grad U> / d = T: to first order, for the discretised law has its own variance."""
    walk = Walk(name, [(WALKERS,)], 0.01, data=1.5, T=0.5, **options).step(200)
    observed = walk.averages(200, every=4)
    exact = sgld_variance(0.01, 0.5, k=2.0) if name == "sgld" else sghmc_variance(0.01, 0.1, 0.5, k=2.0)
    assert_agrees({"configurational": 2.0 * observed["w2"]}, {"configurational": 2.0 * exact})
    assert 2.0 * exact == pytest.approx(0.5, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name, eta, options", [("sgld", 0.2, {}), ("sghmc", 0.01, {"gradient_noise": 4.0})])
def test_to_a_thousandth(name, eta, options):
    """The same with a hundred times the walkers and steps: an error of two thousandths of the variance would show."""
    walk = Walk(name, [(200000,)], eta, V=4.0, **({"friction": 0.05, **options} if name == "sghmc" else options))
    observed = walk.step(300).averages(2000, every=5)
    exact = sgld_variance(eta, V=4.0) if name == "sgld" else sghmc_variance(eta, 0.05, 1.0, 4.0, 0.02)
    assert_agrees(observed, {"w2": exact})
    assert observed["w2"].std() / 200000 ** 0.5 < 4e-4 * exact
