"""pSGLD and scale-adapted SGHMC: their laws on Gaussians of unlike scale, and what Gamma is for."""
import math
import pickle

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

from .harness import LIMIT, Walk, assert_agrees, worst, z_scores
from .theory import second_moments, sgld_variance

W = np.linspace(-10, 10, 400001)


def moment(density):
    p = density(W)
    return (W ** 2 * p).sum() / p.sum()


# ---------------------------------------------------------------- pSGLD

def test_psgld_step_by_step(each_backend):
    """Against its equations in float64, with the package's own noise."""
    from sgmcmc_mx.kernels import noise

    N, n, lr, beta, eps, T, wd = 50, 4, 0.02, 0.9, 0.1, 0.7, 3.0
    for gamma in (None, 1.5, "fisher"):
        o = mx.optimizer.create("psgld", learning_rate=lr, num_data=N, wd=wd, temperature=T, beta=beta, epsilon=eps,
                                seed=9, rescale_grad=1 / n, gamma=gamma)
        rng = np.random.RandomState(0)
        w = rng.randn(3, 5)
        ours, V, state = nd.array(w), None, None
        for t in range(1, 9):
            sums = rng.randn(3, 5).astype(np.float32)
            state = o.create_state_multi_precision(0, ours) if state is None else state
            o.update_multi_precision([0], [ours], [nd.array(sums)], [state])
            g = sums.astype(float) / n
            V = g * g if V is None else beta * V + (1 - beta) * g * g
            G = 1 / (eps + np.sqrt(V))
            h = {None: 0.0, 1.5: 1.5, "fisher": n * V}[gamma]
            Gamma = -(1 - beta) * G ** 2 * g * h / np.sqrt(V)
            w += (-0.5 * lr / N * (G * (N * g + wd * w) - T * Gamma)
                  + np.sqrt(lr / N * T * G) * noise.normal(15, 9, t, 0).reshape(3, 5))
            np.testing.assert_allclose(ours.asnumpy(), w, atol=2e-5)


@pytest.mark.parametrize("data", [0.5, pytest.param(20.0, marks=pytest.mark.slow)])
def test_psgld_where_the_preconditioner_is_settled(data):
    """V averages over so many gradients that G is a number: SGLD at the step G eta."""
    V, N, beta, eps = 40.0, 10, 0.999, 3.0
    k = data + 0.5
    walk = Walk("psgld", [(20000,)], 0.05 / k, N=N, data=data, V=V, beta=beta, epsilon=eps)
    walk.step(1500)
    observed = walk.averages(200, every=10)
    G = walk.updater.states[0][1].asnumpy().astype(float)
    expected = np.mean(sgld_variance(0.05 / k * G, 1.0, V, k))
    assert G.std() / G.mean() < 0.03
    assert_agrees(observed, {"w2": expected})


def gamma_scores(gamma, *densities):
    """beta = 0 and no noise: G is a function of w, and the law is known with Gamma and without."""
    walk = Walk("psgld", [(8000,)], 0.02, N=1, batch=1, data=1.0, prior=0.0, beta=0.0, epsilon=0.5, gamma=gamma)
    walk.weights[0] *= 1.1
    observed = walk.step(800).averages(400, every=100)
    return [z_scores(observed, {"w2": moment(density)}) for density in densities]


def exact(w):
    return np.exp(-w ** 2 / 2)


def without(w):
    """The stationary density of dw = -G grad U / 2 dt + sqrt(G) dB: exp(-U) / G."""
    return (0.5 + np.abs(w)) * np.exp(-w ** 2 / 2)


@pytest.mark.slow
def test_gamma_makes_the_law_exact():
    (right,), (plain, mistaken), (opposite,) = (
        gamma_scores(1.0, exact), gamma_scores(None, without, exact), gamma_scores(-1.0, exact))
    assert worst(right) < LIMIT and worst(plain) < LIMIT, (right, plain)
    assert worst(mistaken) > LIMIT and worst(opposite) > LIMIT, (mistaken, opposite)


# ---------------------------------------------------------------- scale-adapted SGHMC

@pytest.mark.parametrize("subtract_noise", [True, False])
def test_sasghmc_step_by_step(subtract_noise, each_backend):
    """Against its equations in float64, with the package's own noise, while the scales are learned and after."""
    from sgmcmc_mx.kernels import noise

    N, n, lr, a, eps, T, wd, burn_in = 50, 4, 0.005, 0.1, 0.01, 0.7, 3.0, 6
    eta, rng = lr / N, np.random.RandomState(0)
    o = mx.optimizer.create("sasghmc", learning_rate=lr, num_data=N, wd=wd, temperature=T, friction=a, epsilon=eps,
                            burn_in=burn_in, subtract_noise=subtract_noise, seed=9, rescale_grad=1 / n)
    w = rng.randn(3, 5)
    ours, tau, m, V, M = nd.array(w), 0.0, 0.0, 0.0, 1.0
    state = o.create_state_multi_precision(0, ours)
    v = math.sqrt(eta * T) * noise.normal(15, 9, 0, 0, noise.MOMENTUM).reshape(3, 5)
    for t in range(1, 11):
        sums = (rng.randn(3, 5) + 0.5).astype(np.float32)
        o.update_multi_precision([0], [ours], [nd.array(sums)], [state])
        g = sums.astype(float) / n + wd / N * w
        if t <= burn_in:
            r, before = 1.0 / (tau + 1.0), M
            m = m + r * (g - m)
            V = V + r * (g * g - V)
            tau = tau * (1.0 - m * m / V) + 1.0
            M = 1.0 / (np.sqrt(V) + eps)
            v = v * np.sqrt(M / before)
        s2 = np.maximum(2 * a * eta * T * M - (lr * lr if subtract_noise else 0.0), 0.0)
        v = (1 - a) * v - eta * M * N * g + np.sqrt(s2) * noise.normal(15, 9, t, 0).reshape(3, 5)
        w = w + v
        np.testing.assert_allclose(ours.asnumpy(), w, atol=1e-5)
    np.testing.assert_allclose(state[1].asnumpy(), M, rtol=1e-4)


def anisotropic(name="sasghmc", seed=1, V=(30.0, 3000.0), **options):
    """Two tensors of unlike curvature and gradient noise."""
    walk = Walk(name, [(4000,), (4000,)], 0.05, N=100, batch=4, data=0.0, prior=1.0, seed=seed, burn_in=300,
                friction=0.1, **options)
    curvature = [1.0, 100.0]

    def gradient_sums(w):
        return np.concatenate([
            w * np.float32((c - 1.0) * walk.batch / walk.N)
            + walk.rng.standard_normal(w.shape, dtype=np.float32) * np.float32(walk.batch * math.sqrt(v) / walk.N)
            for w, c, v in zip(np.split(w, 2), curvature, V)])

    walk.gradient_sums, walk.V = gradient_sums, max(V)
    walk.weights[1] *= 0.1
    return walk, curvature, V


def check_scale_adapted(change=None, **options):
    walk, curvature, V = anisotropic(**options)
    walk.step(300)
    before = [walk.updater.states[i][1].asnumpy() for i in (0, 1)]
    if change is not None:
        change(walk)
    walk.step(600)
    totals = [0.0, 0.0]
    for _ in range(40):
        walk.step(10)
        for i in (0, 1):
            totals[i] = totals[i] + walk.weights[i].asnumpy().astype(float) ** 2 / 40
    a, eta, lr, scores = 0.1, walk.eta, walk.eta * walk.N, {}
    for i in (0, 1):
        M = before[i].astype(float)
        s2 = np.maximum(2 * a * eta * M - (lr * lr if walk.optimizer.subtract_noise else 0.0), 0.0)
        expected = np.array([second_moments(a, eta * m, q, curvature[i])[0]
                             for m, q in zip(M, s2 + (eta * M) ** 2 * V[i])])
        scores[f"w2 of {i}"] = z_scores({"r": totals[i] / expected}, {"r": 1.0})["r"]
    return scores, before, walk


@pytest.mark.parametrize("subtract_noise", [True, False])
def test_scale_adapted_sghmc(subtract_noise):
    scores, before, walk = check_scale_adapted(subtract_noise=subtract_noise)
    assert worst(scores) < LIMIT, scores
    for i in (0, 1):    # adaptation has stopped, and the scale is that of the gradients
        np.testing.assert_array_equal(walk.updater.states[i][1].asnumpy(), before[i])
    ratio = before[0].mean() / before[1].mean()
    assert ratio == pytest.approx(math.sqrt((3000.0 + 100.0 * 100) / (30.0 + 1.0)), rel=0.5)


def test_the_kinetic_temperature_of_scale_adapted_sghmc_is_that_of_its_scaled_momentum():
    """v ~ N(0, eta T M), and what step and gradient noise add, by the chain of second moments."""
    T = 0.4
    walk = Walk("sasghmc", [(4000,), (4000,)], 0.0003, N=100, batch=4, data=50.0, prior=0.0, V=4.0, T=T, seed=1,
                burn_in=100, friction=0.1, subtract_noise=False)
    walk.step(300)
    found, hot = [], []
    for _ in range(40):
        walk.step(40)
        found.append(walk.optimizer.kinetic_temperature.asscalar())
    for i in (0, 1):
        M = walk.updater.states[i][1].asnumpy().astype(float)
        s2 = 2 * 0.1 * walk.eta * T * M + (walk.eta * M) ** 2 * 4.0
        hot.append(np.mean([second_moments(0.1, walk.eta * m, q, 50.0)[2] / (walk.eta * m)
                            for m, q in zip(M, s2)]))
    assert_agrees({"temperature": found}, {"temperature": np.mean(hot)})
    assert np.mean(hot) > 1.2 * T


@pytest.mark.slow
def test_scale_adapted_sghmc_mutants():
    def twice(walk):
        for i in (0, 1):
            walk.updater.states[i][1][:] = walk.updater.states[i][1] * 1.5

    def friction(walk):
        walk.optimizer.friction = 0.13

    for change in (twice, friction):
        assert worst(check_scale_adapted(change)[0]) > LIMIT


def test_states_are_saved_while_scales_are_learned():
    walk, _, _ = anisotropic()
    walk.step(20)
    states = pickle.loads(walk.updater.get_states(dump_optimizer=True))
    assert len(states) == 2
    walk.step(300)
    pickle.loads(walk.updater.get_states(dump_optimizer=True))


@pytest.mark.parametrize("name, options", [("psgld", {}), ("sasghmc", {"burn_in": 5})])
def test_the_default_step_is_that_of_a_scaled_gradient(name, options):
    """SGD's .01 would be RMSprop's: steps of a hundredth in every weight."""
    assert mx.optimizer.create(name, num_data=5, **options).base_learning_rate == 0.001
    assert mx.optimizer.create(name, num_data=5, learning_rate=0.1, **options).base_learning_rate == 0.1
    o = mx.optimizer.create(name, num_data=5, lr_scheduler=mx.lr_scheduler.FactorScheduler(5, base_lr=0.2), **options)
    assert o.base_learning_rate == 0.2


def test_burn_in_has_no_default():
    with pytest.raises(TypeError, match="burn_in"):
        mx.optimizer.create("sasghmc", num_data=5)
