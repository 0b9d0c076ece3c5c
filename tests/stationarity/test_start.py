"""Where a chain starts and what it is without noise: the momentum's law, SGD at T = 0, MXNet's own SGLD."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from scipy import stats

from sgmcmc_mx.kernels import noise

from .harness import Walk, assert_agrees, z_scores
from .theory import Moments, thermostat_mean

MOMENTUM = [("sghmc", {}), ("sgnht", {"thermostat": "global"}), ("sgnht", {"thermostat": "tensor"}),
            ("sgnht", {"thermostat": "element"})]


@pytest.mark.parametrize("name, options", MOMENTUM)
@pytest.mark.parametrize("N, T", [(1, 1.0), (50000, 1.0), (7, 0.04), (7, 9.0)])
def test_the_momentum_starts_in_its_law(name, options, N, T):
    """After one step without a force E[v^2] = eta T ((1 - a)^2 + 2 a), whatever N is: T = 1/N would be off by N."""
    a, walk = 0.1, Walk(name, [(40000,)], 0.01, N=N, T=T, data=0.0, prior=0.0, start=0.0, friction=0.1, **options)
    walk.step()
    expected = T * ((1 - a) ** 2 + 2 * a)
    w = walk.weights[0].asnumpy().astype(float)
    assert_agrees({"v": w, "kinetic": w ** 2 / 0.01}, {"v": 0.0, "kinetic": expected})
    assert stats.kstest(w / (0.01 * expected) ** 0.5, "norm").pvalue > 1e-6
    assert walk.optimizer.kinetic_temperature.asscalar() == pytest.approx((w ** 2).mean() / 0.01, rel=1e-4)


@pytest.mark.parametrize("name, options", MOMENTUM)
def test_the_first_momentum_is_independent_of_the_first_noise(name, options):
    """v_1 = (1 - a) v_0 + s n_1: both parts are found again, in their streams."""
    walk = Walk(name, [(2000,)], 0.01, data=0.0, prior=0.0, start=0.0, seed=5, friction=0.1, **options).step()
    v0 = 0.1 * noise.normal(2000, 5, 0, 0, noise.MOMENTUM)
    n1 = noise.normal(2000, 5, 1, 0, noise.STEP)
    np.testing.assert_allclose(walk.weights[0].asnumpy(), 0.9 * v0 + (0.2 * 0.01) ** 0.5 * n1, rtol=1e-4, atol=1e-6)
    assert abs(np.corrcoef(v0, n1)[0, 1]) < 5 / 2000 ** 0.5


@pytest.mark.parametrize("name, options", MOMENTUM)
def test_a_chain_that_starts_in_its_law_stays_there(name, options):
    """Neither a burst nor a lull at the beginning: temperature and variance move by O(h) at most, at every step."""
    walk = Walk(name, [(20000,)], 0.0025, friction=0.05, **options)
    for _ in range(60):
        walk.step()
        now = walk.now()
        assert now["kinetic"].mean() == pytest.approx(1.0, abs=0.05 + 5 * (2 / 20000) ** 0.5)
        assert now["w2"].mean() == pytest.approx(1.0, abs=0.05 + 5 * (2 / 20000) ** 0.5)


def test_the_thermostat_starts_at_its_mean_for_a_known_noise():
    """a + eta V / (2 T), the fixed point to first order, and not a, from where it takes long."""
    walk = Walk("sgnht", [(5000,)], 0.0001, V=200.0, T=2.0, friction=0.01, gradient_noise=200.0).step()
    assert walk.optimizer.thermostat.asscalar() == pytest.approx(0.01 + 0.0001 * 200 / 4, rel=0.01)
    assert walk.optimizer.thermostat.asscalar() == pytest.approx(thermostat_mean(0.0001, 0.01, 2.0, 200.0), rel=0.02)


def _same_path(ours, theirs, steps=40, shape=(6, 7)):
    """Both optimizers on the same noisy gradients; returns the two trajectories."""
    rng, paths = np.random.RandomState(0), []
    start, grads = rng.normal(0, 1, shape), rng.normal(0, 1, (steps,) + shape)
    for optimizer in (ours, theirs):
        updater, w, path = mx.optimizer.get_updater(optimizer), nd.array(start), []
        for g in grads:
            updater(0, nd.array(g) + 0.3 * w, w)
            path.append(w.asnumpy())
        paths.append(np.array(path))
    return paths


@pytest.mark.parametrize("N, wd", [(1, 0.5), (100, 3.0)])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sghmc_at_temperature_0_is_sgd_with_momentum(N, wd, momentum):
    ours, theirs = _same_path(
        mx.optimizer.create("sghmc", learning_rate=0.1, num_data=N, wd=wd, momentum=momentum, temperature=0.0, seed=1),
        mx.optimizer.SGD(learning_rate=0.1, wd=wd / N, momentum=momentum))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize("N, wd", [(1, 0.5), (100, 3.0)])
def test_sgld_at_temperature_0_is_sgd_at_half_the_rate(N, wd):
    ours, theirs = _same_path(
        mx.optimizer.create("sgld", learning_rate=0.1, num_data=N, wd=wd, temperature=0.0, seed=1),
        mx.optimizer.SGD(learning_rate=0.05, wd=wd / N))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize("steps", [1, 5, 40])
def test_sgld_has_the_law_of_the_one_it_replaces(steps):
    """With N = 1 and the same wd: the same mean, variance and shape after any number of steps."""
    def run(optimizer):
        updater, w = mx.optimizer.get_updater(optimizer), nd.full((30000,), 2.0)
        for _ in range(steps):
            updater(0, 0.7 * w + 0.3, w)
        return w.asnumpy().astype(float)

    mx.random.seed(3)
    ours = run(mx.optimizer.create("sgld", learning_rate=0.3, num_data=1, wd=0.4, seed=3))
    built_in = run(mx.optimizer.SGLD(learning_rate=0.3, wd=0.4))
    assert type(mx.optimizer.create("sgld", num_data=1)) is not mx.optimizer.SGLD
    mean = built_in.mean()
    scores = z_scores({"mean": ours, "variance": (ours - mean) ** 2},
                      {"mean": built_in, "variance": (built_in - mean) ** 2})
    assert max(map(abs, scores.values())) < 5, scores
    assert stats.ks_2samp(ours, built_in).pvalue > 1e-6


def test_resampling_draws_from_the_law():
    """With a fresh momentum at every step: the recursion with C = 0 and P = eta T put in each time."""
    walk = Walk("sghmc", [(30000,)], 0.04, T=2.0, friction=0.3, resample_momentum=1, start=0.0)
    exact = Moments(0.0, 0.04, T=2.0)
    for t in range(1, 31):
        exact.C, exact.P = 0.0, 0.04 * 2.0
        walk.step()
        exact.step(0.04, 0.3)
        if t in (1, 2, 10, 30):
            assert_agrees(walk.now(), {"w2": exact.S, "kinetic": exact.P / 0.04})
