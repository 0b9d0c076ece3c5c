"""SGNHT's discretised law on U = k w^2 / 2: the weights, their temperature, and the thermostat itself.

A thermostat hides wrong noise in alpha, so alpha is part of every check.
"""
import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

from .harness import Walk, assert_agrees, batch_means
from .theory import (
    Moments,
    second_moments,
    shared_thermostat_mean,
    simulate_sgnht,
    thermostat_mean,
    thermostat_spread,
)


def law(eta, a, T=1.0, V=0.0, k=1.0):
    """What a thermostat of very many weights settles at."""
    alpha = thermostat_mean(eta, a, T, V, k)
    return {"w2": T * (1 - alpha / 2) / k, "kinetic": T, "alpha": alpha}


def test_the_closed_forms_themselves():
    assert law(0.01, 0.1)["w2"] == pytest.approx(0.9471, abs=5e-5)
    assert law(0.01, 0.1)["alpha"] / 0.1 == pytest.approx(1.059, abs=5e-4)
    same = shared_thermostat_mean([(7, 0.01, 4.0, 1.0), (2, 0.01, 4.0, 1.0)], 0.1, 2.0)
    assert same == pytest.approx(thermostat_mean(0.01, 0.1, 2.0, 4.0))
    assert thermostat_spread(1e-6, 0.001, 2.0, 50, T=3.0) == pytest.approx(1e-6 * 3.0 / (2.0 * 50), rel=0.01)
    exact = Moments(0.2, 0.01, T=2.0, k=0.7, alpha=0.1, mass=3.0)
    for _ in range(3000):
        exact.step(0.01, 0.1, V=5.0)
    expected = law(0.01, 0.1, 2.0, 5.0, 0.7)
    assert (exact.S, exact.P / 0.01, exact.alpha) == pytest.approx(tuple(expected.values()), rel=1e-6)


@pytest.mark.parametrize("eta, a, V, T, N, batch", [
    pytest.param(*law, *scale, marks=() if i % 2 == j else pytest.mark.slow)
    for i, law in enumerate([(0.01, 0.1, 0.0, 1.0), (0.01, 0.1, 4.0, 1.0), (0.0025, 0.03, 20.0, 2.0),
                             (0.04, 0.2, 0.0, 0.1)])
    for j, scale in enumerate([(1, 1), (1000, 20)])])
def test_global(eta, a, V, T, N, batch):
    """One alpha for three tensors of 5,000 weights; one chain, so the error comes from stretches of time.

    (The mass is light, for stretches much longer than the some ten steps in which it answers.)
    """
    walk = Walk("sgnht", [(3000,), (19, 100), (1, 100)], eta, N=N, batch=batch, V=V, T=T, friction=a,
                thermal_mass=10 * eta * T / a)
    assert_agrees(batch_means(walk.step(300).series(1600), 20), law(eta, a, T, V))


@pytest.mark.parametrize("T", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("thermostat", ["tensor", "element"])
def test_the_variance_is_linear_in_the_temperature(thermostat, T):
    """As alpha is the same at every T (V = 0), so is w / sqrt(T), number for number: the noise is the same."""
    def run(T):
        walk = Walk("sgnht", [(1000,)], 0.01, T=T, start=0.0, thermostat=thermostat).step(200)
        return walk.weights[0].asnumpy(), walk.updater.states[0][1].asnumpy()

    (w, alpha), (w1, alpha1) = run(T), run(1.0)
    np.testing.assert_allclose(alpha, alpha1, rtol=2e-4)
    np.testing.assert_allclose(w, w1 * T ** 0.5, rtol=2e-3, atol=2e-3 * T ** 0.5)


@pytest.mark.parametrize("data, prior", [(0.0, 2.0), (3.0, 0.0)])
@pytest.mark.parametrize("T", [0.1, 7.0])
def test_tensor_at_every_temperature(T, data, prior):
    walk = Walk("sgnht", [(1000,)] * 8, 0.01, T=T, V=3.0 * T, data=data, prior=prior, thermostat="tensor",
                gradient_noise=3.0 * T)
    observed = walk.step(300).averages(600, every=5, unit="tensor")
    expected = law(0.01, 0.1, T, 3.0 * T, data + prior)
    assert_agrees(observed, expected)
    configurational = (data + prior) * observed["w2"]
    assert_agrees({"configurational": configurational}, {"configurational": T * (1 - expected["alpha"] / 2)})


@pytest.mark.parametrize("d, tensors", [(50, 12), (5000, 6)])
@pytest.mark.parametrize("thermal_mass", [None, 1.0])
def test_tensor_and_its_fluctuation(d, tensors, thermal_mass):
    """The variance of alpha is eta T / (mu d) to leading order: xi's T / (mu d)."""
    eta, a, V = 0.01, 0.1, 4.0
    mass = thermal_mass or eta * max(100 / a, 9 / (d * a * a))
    walk = Walk("sgnht", [(d,)] * tensors, eta, V=V, friction=a, gradient_noise=V, thermostat="tensor",
                thermal_mass=thermal_mass)
    walk.center = thermostat_mean(eta, a, V=V)
    observed = walk.step(300).averages(1200, every=4, unit="tensor")
    spread = thermostat_spread(eta, a, mass, d, V=V)
    assert spread == pytest.approx(eta / (mass * d), rel=0.05)
    if d == 5000:
        assert_agrees(observed, {**law(eta, a, V=V), "spread": spread})
    else:       # 1/d is visible in the mean of alpha: the simulation is the judge
        other = simulate_sgnht(100, d, 1800, 300, eta, a, mass, V=V, center=walk.center)
        assert_agrees(observed, other)
        assert_agrees(observed, {"spread": spread})


@pytest.mark.parametrize("a, V, thermal_mass", [(0.1, 0.0, 1.0), (0.1, 0.0, None), (0.1, 4.0, 1.0), (0.05, 4.0, None)])
def test_element(a, V, thermal_mass):
    """d = 1 has no closed form: against NumPy, and the numbers that others found (variance .957, E[xi] 1.014)."""
    eta = 0.01
    mass = thermal_mass or eta * max(100 / a, 9 / (a * a))
    walk = Walk("sgnht", [(80, 50)], eta, V=V, friction=a, thermostat="element", thermal_mass=thermal_mass)
    walk.center = thermostat_mean(eta, a, V=V)
    other = simulate_sgnht(4000, 1, 3000, 1500, eta, a, mass, V=V, center=walk.center)
    observed = walk.step(1500).averages(1500, every=3)
    assert_agrees(observed, other)
    if (a, V, thermal_mass) == (0.1, 0.0, 1.0):
        assert other["w2"].mean() == pytest.approx(0.957, abs=0.006)
        assert other["alpha"].mean() / 0.1 == pytest.approx(1.014, abs=0.008)
        assert_agrees(observed, {"w2": 0.957, "alpha": 0.1015})


def test_learning_rate_multiplier_is_a_preconditioner():
    """Its own step size, hence speed, for a tensor; the law is the same up to the order of the steps."""
    etas, ds, a, V = (0.01, 0.0025, 0.02), (2000, 3000, 1000), 0.1, 2.0
    walk = Walk("sgnht", [(d,) for d in ds], 0.01, V=V, friction=a, thermal_mass=1.0)
    walk.optimizer.set_lr_mult({1: 0.25, 2: 2.0})
    alpha = shared_thermostat_mean([(d, eta, V, 1.0) for d, eta in zip(ds, etas)], a)
    walk.step(400)
    for i in range(3):
        exact = second_moments(alpha, etas[i], 2 * a * etas[i] + etas[i] ** 2 * V)
        walk.watched = [i]
        assert_agrees(batch_means(walk.series(1000), 12), {"w2": exact[0], "kinetic": exact[2] / 0.01, "alpha": alpha})


@pytest.mark.parametrize("integrator", ["euler", "aboba", "badodab"])
@pytest.mark.parametrize("thermostat", ["tensor", "element"])
def test_a_tensor_with_a_multiplier_moves_as_alone_at_the_step_multiplied(thermostat, integrator):
    """Start of the thermostat, its default mass, noise and drift: number by number, along a changing schedule."""
    ends = []
    for lr, mult in ((0.2, 0.25), (0.05, 1.0)):
        o = mx.optimizer.create("sgnht", num_data=10, thermostat=thermostat, integrator=integrator, seed=4, wd=2.0,
                                gradient_noise=30.0, temperature=0.8, friction=0.05, param_idx2name={0: "a", 1: "b"},
                                lr_scheduler=mx.lr_scheduler.FactorScheduler(5, 0.7, base_lr=lr))
        o.set_lr_mult({"b": mult})
        updater, w = mx.optimizer.get_updater(o), [nd.ones((3, 4)), nd.ones((2, 5)) * 0.5]
        for _ in range(20):
            updater([0, 1], [0.1 * w[0], 0.3 * w[1]], w)
        ends.append([w[1].asnumpy(), updater.states[1][1].asnumpy()])
    for a, b in zip(*ends):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class TestDefaultMass:
    """The papers' mass of 1 never answers on a network; the default does, and the law is the same (above)."""

    eta, a, d = 0.1 / 60000, 0.1, 1000      # MNIST at learning rate .1

    def walk(self, V, thermal_mass=None, **more):
        return Walk("sgnht", [(self.d,)] * 3, self.eta, N=60000, batch=100, V=V, friction=self.a, thermostat="tensor",
                    thermal_mass=thermal_mass, **more)

    def temperature(self, walk, steps):
        return walk.averages(steps, unit="tensor")["kinetic"].mean()

    def test_answers_within_some_hundred_steps(self):
        """Minibatches double the heat: alpha must double, and does; so it follows the mean field all the way."""
        V = 2 * self.a / self.eta
        walk = self.walk(V)
        mass = walk.optimizer._mass(walk.optimizer.base_learning_rate, self.d)
        exact = Moments(1.0, self.eta, alpha=self.a, mass=mass)
        assert self.temperature(walk, 20) > 1.5
        walk.step(580)
        for _ in range(600):
            exact.step(self.eta, self.a, V=V)
        goal = thermostat_mean(self.eta, self.a, V=V)
        alphas = np.array([walk.alpha(i).asscalar() for i in range(3)])
        spread = (self.eta / (mass * self.d)) ** 0.5
        assert abs(exact.alpha / goal - 1) < 0.05
        assert abs(alphas.mean() - exact.alpha) < 5 * spread / 3 ** 0.5
        assert self.temperature(walk, 50) == pytest.approx(1.0, abs=0.1)

    def test_mass_1_is_inert(self):
        V = 2 * self.a / self.eta
        walk = self.walk(V, thermal_mass=1.0).step(600)
        assert walk.alpha(0).asscalar() == pytest.approx(self.a, rel=0.02)
        assert self.temperature(walk, 50) == pytest.approx(2.0, abs=0.25)

    def test_starts_where_a_known_noise_says(self):
        V = 2 * self.a / self.eta
        walk = self.walk(V, thermal_mass=1.0, gradient_noise=V)
        walk.step(50)
        assert walk.alpha(0).asscalar() == pytest.approx(2 * self.a, rel=0.02)

    @pytest.mark.parametrize("start", [0.0, 6.0])
    def test_comes_back_from_cold_and_hot_starts(self, start):
        """On U = w^2 / 2 with everything at 0 or at 6 sigma: the mean field, then the law, in some hundred steps."""
        walk = Walk("sgnht", [(1000,)] * 8, 0.01, thermostat="tensor", start=start)
        mass = walk.optimizer._mass(walk.optimizer.base_learning_rate, 1000)
        exact = Moments(start ** 2, 0.01, alpha=0.1, mass=mass)
        for t in range(1, 801):
            walk.step()
            exact.step(0.01, 0.1)
            if t in (1, 10, 50, 200, 500):
                found = walk.now()
                for name, value in {"w2": exact.S, "kinetic": exact.P / 0.01, "alpha": exact.alpha}.items():
                    assert found[name].mean() == pytest.approx(value, rel=0.06, abs=0.005), (t, name)
        assert_agrees(walk.averages(400, every=4, unit="tensor"), law(0.01, 0.1))

    def test_the_lightest_that_does_not_rattle(self):
        """A thermostat of one weight keeps its own fluctuation below a third of the friction (a = .01: 900 steps)."""
        walk = Walk("sgnht", [(4000,)], 1e-4, friction=0.01, thermostat="element").step(3000)
        alpha = walk.updater.states[0][1].asnumpy()
        assert 0.002 < alpha.std() < 0.0045
        assert alpha.min() > -0.01
