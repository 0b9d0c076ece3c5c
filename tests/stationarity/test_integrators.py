"""The splitting integrators: their laws on U = k w^2 / 2, their parts, and their order on another target."""
import math

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

from sgmcmc_mx import kernels
from sgmcmc_mx.kernels import noise

from .harness import LIMIT, Walk, altered, assert_agrees, batch_means, worst, z_scores
from .theory import sghmc_variance, splitting, splitting_thermostat, thermostat_mean

SPLITTINGS = ("aboba", "badodab")


def test_the_closed_forms_themselves():
    for eta, a in ((0.01, 0.1), (0.09, 0.5), (0.25, 0.3)):
        alpha, _ = splitting_thermostat("badodab", eta, a, 1.0)
        assert splitting("badodab", eta, alpha, a)[0] == pytest.approx(1.0, abs=1e-9) and alpha == pytest.approx(a)
        alpha, _ = splitting_thermostat("aboba", eta, a, 1.0)
        assert splitting("aboba", eta, alpha, a)[0] == pytest.approx(math.cosh(alpha / 2), rel=1e-9)


@pytest.mark.parametrize("integrator, eta, a, V, b, T, k", [
    pytest.param(integrator, *law, *target, marks=() if (i + j) % 2 == k else pytest.mark.slow)
    for i, integrator in enumerate(SPLITTINGS)
    for j, law in enumerate([(0.01, 0.05, 0.0, 0.0), (0.01, 0.05, 4.0, 0.0), (0.01, 0.05, 4.0, 0.02),
                             (0.25, 0.3, 0.5, 0.0625), (0.09, 1.0, 0.0, 0.0)])
    for k, target in enumerate([(1.0, 1.0), (0.3, 2.0)])])
def test_sghmc(integrator, eta, a, V, b, T, k):
    """Every law by both integrators, each at one of two targets; the others if slow."""
    walk = Walk("sghmc", [(20000,)], eta, V=V * T, T=T, data=k - 0.5, friction=a, integrator=integrator,
                gradient_noise=2 * T * b / eta).step(300)
    assert_agrees(walk.averages(200, every=4), {"w2": splitting(integrator, eta, a, T=T, V=V * T, b=b, k=k)[0]})


@pytest.mark.parametrize("integrator", SPLITTINGS)
@pytest.mark.parametrize("eta, a, V, T", [(0.01, 0.1, 0.0, 1.0), (0.01, 0.1, 8.0, 1.0), (0.04, 0.6, 0.0, 0.5),
                                          (0.04, 0.2, 4.0, 0.7)])
def test_sgnht(integrator, eta, a, V, T):
    """One thermostat for two tensors, which is not told V: the weights, and the alpha it finds."""
    walk = Walk("sgnht", [(1600,), (4, 100)], eta, V=V, T=T, friction=a, integrator=integrator, thermal_mass=0.5)
    alpha, seen = splitting_thermostat(integrator, eta, a, 0.5, T, V)
    observed = batch_means(walk.step(500).series(2000, every=4), 20)
    assert_agrees(observed, {"w2": splitting(integrator, eta, alpha, a, T, V)[0], "alpha": seen})


@pytest.mark.parametrize("thermostat", ["tensor", "element"])
@pytest.mark.parametrize("integrator", SPLITTINGS)
def test_smaller_thermostats(integrator, thermostat):
    """Their alphas fluctuate: the law is that of many weights only to O(h^2), where Euler's is off by far more."""
    eta, a, V = 0.01, 0.1, 8.0
    shapes = [(4000,)] if thermostat == "element" else [(20,)] * 12
    walk = Walk("sgnht", shapes, eta, V=V, friction=a, integrator=integrator, thermostat=thermostat,
                thermal_mass=1.0 if thermostat == "element" else 0.5)
    walk.step(1000)
    observed = walk.averages(2000, every=10, unit="walker" if thermostat == "element" else "tensor")
    euler = 1 - thermostat_mean(eta, a, 1.0, V) / 2
    w2 = observed["w2"].mean()
    assert abs(w2 - 1.0) < 0.25 * (1 - euler) + 5 * observed["w2"].std() / len(observed["w2"]) ** 0.5
    assert observed["alpha"].mean() == pytest.approx(a + eta * V / 2, rel=0.05)


def test_the_fluctuation_alone_is_the_exact_ornstein_uhlenbeck_law():
    """Without drift a step of 'badodab' is v <- OU(v) for the time of a step, at any friction, alpha = 0 included."""
    walkers, heat = 200000, 0.3
    for a in (1e-12, 1e-3, 0.5, 4.0, -0.2):
        t = kernels.Tensor(nd.zeros((walkers,)), nd.zeros((walkers,)), 0, 1, drift=0.0, prior=0.0,
                           noise=math.sqrt(2 * abs(a) * heat))
        start = 1.7 if a > 1e-6 or a < 0 else 0.0       # a millionth of it would be lost in float32
        t.momentum, t.friction = nd.full((walkers,), start), a
        kernels.step(kernels.Job([t], 5, 1.0, integrator="badodab"))
        v = t.momentum.asnumpy().astype(float)
        variance = heat * abs(math.expm1(-2 * a))
        mean = start * math.exp(-a)
        assert_agrees({"v": v, "v2": (v - mean) ** 2 - variance}, {"v": mean, "v2": 0.0})
        np.testing.assert_allclose(t.weight.asnumpy(), (start + v) / 2, rtol=2e-6, atol=3e-7)


@pytest.mark.parametrize("groups", ["global", "element"])
def test_a_thermostat_at_rest_gives_no_nan(each_backend, groups):
    """alpha exactly 0, where (1 - exp(-2 alpha)) / (2 alpha) is 0/0."""
    t = kernels.Tensor(nd.ones((6,)), nd.ones((6,)), 0, 1, drift=0.1, prior=0.0, noise=0.1)
    t.momentum, t.inverse_mass, t.heat = nd.ones((6,)), 0.0, 0.1
    shared = None
    if groups == "element":
        t.alpha = nd.zeros((6,))
    else:
        shared = kernels.Shared(nd.zeros((1,)), nd.zeros((1,)))
    kernels.step(kernels.Job([t], 5, 1.0, None, shared, "badodab"))
    n = noise.normal(6, 5, 1, 0)
    np.testing.assert_allclose(t.momentum.asnumpy(), 0.9 + 0.1 * n, rtol=1e-5)


# ---------------------------------------------------------------- order

class Wavy(Walk):
    """U = w^2 / 2 + cos(2 w), on which no integrator is exact."""

    def gradient_sums(self, w):
        return super().gradient_sums(w) - np.float32(2 * self.batch / self.N) * np.sin(2 * w)


def wavy_moment():
    w = np.linspace(-9, 9, 200001)
    p = np.exp(-w ** 2 / 2 - np.cos(2 * w))
    return (np.cos(2 * w) * p).sum() / p.sum()


def bias(name, integrator, h, walkers=100000, means=120):
    """Of E[cos(2 w)] at the step h with A = 1, and its standard error."""
    walk = Wavy(name, [(walkers,)], h * h, prior=0.0, data=1.0, friction=h, integrator=integrator,
                **({"thermal_mass": 1.0} if name == "sgnht" else {})).step(round(12.0 / h))
    every = max(1, round(1.0 / h))
    rows = np.array([np.cos(2 * walk.step(every).weights[0].asnumpy()).mean(dtype=float) for _ in range(means)])
    groups = rows.reshape(12, -1).mean(1)
    return groups.mean() - wavy_moment(), groups.std(ddof=1) / 12 ** 0.5


@pytest.mark.parametrize("name, integrator, h, order", [
    ("sgnht", "euler", 0.16, 1), ("sgnht", "badodab", 0.36, 2), ("sghmc", "aboba", 0.36, 2),
    *(pytest.param(*one, marks=pytest.mark.slow) for one in (
        ("sgnht", "aboba", 0.36, 2), ("sghmc", "euler", 0.28, 2), ("sghmc", "badodab", 0.36, 2)))])
def test_order(name, integrator, h, order):
    """The bias falls as h^order: closer to that than to any other whole power, between h and h/2."""
    (large, e1), (small, e2) = (bias(name, integrator, x) for x in (h, h / 2))
    slope, error = math.log2(abs(large / small)), math.hypot(e1 / large, e2 / small) / math.log(2)
    assert abs(slope - order) < 0.5 and error < 0.2, (large, e1, small, e2, slope, error)


# ---------------------------------------------------------------- mutants

def check_badodab():
    eta, a, V, T = 0.09, 0.4, 3.0, 0.7
    walk = Walk("sgnht", [(1600,), (4, 100)], eta, V=V, T=T, friction=a, integrator="badodab", thermal_mass=1.0)
    alpha, seen = splitting_thermostat("badodab", eta, a, 1.0, T, V)
    return z_scores(batch_means(walk.step(200).series(1000, every=4), 20),
                    {"w2": splitting("badodab", eta, alpha, a, T, V)[0], "alpha": seen})


def assign(**factors):
    def before(job):
        for t in job.tensors:
            for name, factor in factors.items():
                setattr(t, name, getattr(t, name) * factor)
    return before


def exchange(integrator):
    def before(job):
        job.integrator = integrator
        if integrator != "badodab":     # their account, in place of the gain
            job.shared.settle = (1.0, job.shared.gain)
    return before


def no_spread(job):
    alpha = job.shared.alpha.asscalar()
    for t in job.tensors:
        t.noise /= math.sqrt(-math.expm1(-2 * alpha) / (2 * alpha))


def test_badodab_with_one_thermostat_step_by_step(each_backend):
    """Against its equations in float64, with the package's own noise: two tensors, one of which has a multiplier."""
    N, n, lr, a, mu, T, wd = 10, 4, 0.3, 0.2, 0.7, 0.6, 2.0
    o = mx.optimizer.create("sgnht", learning_rate=lr, num_data=N, wd=wd, temperature=T, friction=a, thermal_mass=mu,
                            integrator="badodab", seed=9, rescale_grad=1 / n, param_idx2name={0: "a", 1: "b"})
    o.set_lr_mult({"b": 0.5})
    rng, etas, shapes = np.random.RandomState(0), (lr / N, 0.5 * lr / N), [(3, 2), (4,)]
    w = [rng.randn(*s) for s in shapes]
    ours = [nd.array(x) for x in w]
    states = [o.create_state_multi_precision(i, x) for i, x in enumerate(ours)]
    v = [math.sqrt(eta * T) * noise.normal(x.size, 9, 0, i, noise.MOMENTUM).reshape(x.shape)
         for i, (eta, x) in enumerate(zip(etas, w))]
    alpha = a

    def excess():       # of both tensors, at the step of the first
        return sum(((x ** 2).sum() - x.size * eta * T) * etas[0] / eta for x, eta in zip(v, etas)) / (mu * 10)

    for t in range(1, 7):
        sums = [rng.randn(*s).astype(np.float32) for s in shapes]
        o.update_multi_precision([0, 1], ours, [nd.array(g) for g in sums], states)
        v = [x - eta * (N * g / n + wd * y) for x, eta, g, y in zip(v, etas, sums, w)]
        w = [y + x / 2 for y, x in zip(w, v)]
        alpha += excess() / 2
        spread = math.sqrt(-math.expm1(-2 * alpha) / (2 * alpha))
        v = [math.exp(-alpha) * x + math.sqrt(2 * a * eta * T) * spread * noise.normal(x.size, 9, t, i).reshape(x.shape)
             for i, (x, eta) in enumerate(zip(v, etas))]
        w = [y + x / 2 for y, x in zip(w, v)]
        alpha += excess() / 2
        for x, y in zip(ours, w):
            np.testing.assert_allclose(x.asnumpy(), y, atol=1e-5)
        assert o.thermostat.asscalar() == pytest.approx(alpha, abs=1e-5)


MUTANTS = {
    "Euler in its place": exchange("euler"),
    "ABOBA in its place": exchange("aboba"),
    "noise 1.1 times as large": assign(noise=1.1),
    "noise of the plain O step": no_spread,
    "drift twice": assign(drift=2.0),
    "T missing in the thermostat": assign(heat=1 / 0.7),
    "momentum ages by 2 %": assign(ratio=0.98),
}


def test_badodab_is_accepted():
    scores = check_badodab()
    assert worst(scores) < LIMIT, scores


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_of_badodab_is_rejected(mutant, monkeypatch):
    monkeypatch.setattr(kernels, "step", altered(kernels.step, MUTANTS[mutant]))
    scores = check_badodab()
    assert worst(scores) > LIMIT, scores


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what MXNet makes of the error
def test_a_global_thermostat_in_the_middle_of_a_step_is_refused_on_a_kvstore():
    net = gluon.nn.Dense(3, in_units=2)
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    trainer = gluon.Trainer(net.collect_params(), "sgnht", {"num_data": 5, "integrator": "badodab"},
                            update_on_kvstore=True)
    before = None
    with pytest.raises(ValueError, match="update_on_kvstore=False"):
        for _ in range(2):      # MXNet drops the error of a kvstore's update; it comes at the next step
            with autograd.record():
                losses = [net(nd.ones((4, 2), ctx=mx.cpu(i))).sum() for i in (0, 1)]
            autograd.backward(losses)
            before = net.weight.data(mx.cpu(0)).asnumpy() if before is None else before
            trainer.step(4)
    np.testing.assert_array_equal(net.weight.data(mx.cpu(0)).asnumpy(), before)


def test_sghmc_by_euler_and_by_splitting_differ():
    assert abs(sghmc_variance(0.25, 0.3) - splitting("badodab", 0.25, 0.3)[0]) > 0.01
