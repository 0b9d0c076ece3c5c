"""N, the batch size and the prior: the same posterior whatever N and n, by every way to scale a loss; the prior once.

Everything here goes through ``gluon.Trainer``.
"""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

from sgmcmc_mx.priors import FanIn

from .harness import LIMIT, Walk, assert_agrees, batch_means, z_scores
from .theory import (
    Moments,
    second_moments,
    sghmc_variance,
    sgld_variance,
    shared_thermostat_mean,
    thermostat_mean,
)

SAMPLERS = [("sgld", {}), ("sghmc", {"friction": 0.1}), ("sgnht", {"friction": 0.1, "thermostat": "global"}),
            ("sgnht", {"friction": 0.1, "thermostat": "element"})]


def _parameters(shapes, start=0.0):
    """Gluon parameters by name, with their values."""
    params = gluon.ParameterDict("net_")
    for name, shape in shapes.items():
        p = params.get(name, shape=shape)
        p.initialize(ctx=mx.cpu())
        p.set_data(nd.array(np.broadcast_to(start[name] if isinstance(start, dict) else start, shape)))
    return params


# ------------------------------------------------------------------- a Gaussian's mean, from minibatches of data

class GaussianMean:
    """y_i ~ N(w, 1) for i = 1 .. N, prior w ~ N(0, 1/precision). Walkers draw their own batches, with replacement."""

    def __init__(self, N, batch, precision=2.0, walkers=2000, seed=0):
        self.rng = np.random.default_rng(seed)
        self.y = self.rng.normal(1.0, 1.0, N)
        self.N, self.batch, self.precision, self.walkers = N, batch, precision, walkers
        self.k = N + precision                              # precision of the posterior
        self.mean = self.y.sum() / self.k
        self.V = N ** 2 / batch * self.y.var()              # variance of grad U due to the batch, at every w

    def chain(self, name, eta, loss_of=lambda losses: losses, step_of=lambda n: n, **options):
        """A trainer and its weights, started in the posterior; ``run`` moves them."""
        start = self.rng.normal(self.mean, self.k ** -0.5, self.walkers)
        self.params = _parameters({"w": (self.walkers,)}, start)
        self.w = self.params.get("w")
        self.trainer = gluon.Trainer(self.params, name, {
            "learning_rate": eta * self.N, "num_data": self.N, "wd": self.precision, "seed": 3, **options})
        self.loss_of, self.step_of = loss_of, step_of
        return self

    def run(self, steps):
        for _ in range(steps):
            y = nd.array(self.y[self.rng.integers(0, self.N, (self.batch, self.walkers))])
            with autograd.record():
                losses = (0.5 * (self.w.data() - y) ** 2).sum(axis=1)   # an example's -log p, over all walkers
                loss = self.loss_of(losses)
            loss.backward()
            self.trainer.step(self.step_of(self.batch))
        return self

    def deviations(self):
        return self.w.data().asnumpy().astype(float) - self.mean

    def averages(self, steps, every=5):
        rows = [self.run(every).deviations() for _ in range(steps // every)]
        return {"mean": np.mean(rows, axis=0), "variance": np.mean(np.square(rows), axis=0)}


@pytest.mark.parametrize("N, batch", [(3, 1), (10, 10), (100, 7), (2000, 12)])
def test_sgld_and_sghmc_have_the_conjugate_posterior(N, batch):
    model = GaussianMean(N, batch)
    eta = min(0.02 / model.k, 0.1 / model.V)
    observed = model.chain("sgld", eta).run(150).averages(150)
    assert_agrees(observed, {"mean": 0.0, "variance": sgld_variance(eta, 1.0, model.V, model.k)})
    observed = model.chain("sghmc", eta, friction=0.1, gradient_noise=model.V).run(100).averages(150)
    b = eta * model.V / 2
    exact = sghmc_variance(eta, 0.1, 1.0, model.V, b, model.k)
    assert_agrees(observed, {"mean": 0.0, "variance": exact})
    assert exact * model.k == pytest.approx(1.0, abs=0.015)      # and that is the posterior


@pytest.mark.parametrize("N, batch", [(3, 1), (2000, 12)])
def test_sgnht_has_the_conjugate_posterior(N, batch):
    """The thermostat's alpha takes up the noise of the batches, which it is not told."""
    model = GaussianMean(N, batch)
    eta = min(0.005 / model.k, 0.1 / model.V)
    model.chain("sgnht", eta, friction=0.1, thermal_mass=60 * eta).run(250)     # answers in about ten steps
    series = {"variance": [], "alpha": []}
    for _ in range(400):
        series["variance"].append((model.run(3).deviations() ** 2).mean())
        series["alpha"].append(model.trainer.optimizer.thermostat.asscalar())
    alpha = thermostat_mean(eta, 0.1, 1.0, model.V, model.k)
    assert_agrees(batch_means({name: np.array(x) for name, x in series.items()}),
                  {"variance": (1 - alpha / 2) / model.k, "alpha": alpha})


@pytest.mark.parametrize("name, options", SAMPLERS)
def test_every_way_to_scale_a_loss_is_the_same_chain(name, options):
    """A loss an example, or their sum, with step(n); the mean with step(1)."""
    def path(loss_of, step_of):
        chain = GaussianMean(50, 8, walkers=200).chain(name, 0.001, loss_of, step_of, **options)
        return np.array([chain.run(1).deviations() for _ in range(20)])

    losses = path(lambda x: x, lambda n: n)
    np.testing.assert_allclose(path(lambda x: x.sum(), lambda n: n), losses, rtol=0, atol=1e-5)
    np.testing.assert_allclose(path(lambda x: x.mean(), lambda n: 1), losses, rtol=0, atol=1e-5)
    assert np.abs(path(lambda x: x.mean(), lambda n: n) - losses).max() > 0.01      # the trap: scaled by n twice


@pytest.mark.parametrize("name, options", SAMPLERS)
def test_how_U_is_split_into_N_parts_is_nothing(name, options):
    """The same U and eta, called the mean of 1, of 7 or of 60,000 examples: the same chain."""
    def path(N, batch):
        walk = Walk(name, [(40,), (2, 30)], 0.01, N=N, batch=batch, data=0.7, prior=0.6, T=0.8, **options).step(60)
        return np.concatenate([w.asnumpy().ravel() for w in walk.weights])

    one = path(1, 1)
    for N, batch in ((7, 3), (60000, 512)):
        np.testing.assert_allclose(path(N, batch), one, rtol=0, atol=2e-4)


# ------------------------------------------------------------------------------------------ the prior, from no data

SHAPES = {"dense0_weight": (100, 40), "dense0_bias": (3000,), "out_weight": (50, 8, 10)}
PRIORS = {      # options, wd_mult by name -> precision by name
    "wd": ({"wd": 4.0}, {}, (4.0, 4.0, 4.0)),
    "default": ({}, {}, (1.0, 1.0, 1.0)),
    "number": ({"wd": 4.0, "prior": 7.0}, {}, (7.0, 7.0, 7.0)),
    "fan-in": ({"wd": 3.0, "prior": "fan_in"}, {}, (40.0, 3.0, 80.0)),
    "scaled": ({"wd": 3.0, "prior": FanIn(scale=2.0)}, {}, (20.0, 3.0, 40.0)),
    "pattern": ({"wd": 5.0, "prior": {".*bias": 0.5, ".*out": "fan_in"}}, {}, (5.0, 0.5, 80.0)),
    "first-match": ({"prior": {".*dense0": 2.0, ".*weight": 9.0}}, {}, (2.0, 2.0, 9.0)),
    "wd-mult": ({"wd": 2.0}, {"dense0_bias": 0.25, "out_weight": 10.0}, (2.0, 0.5, 20.0)),
    "both": ({"wd": 2.0, "prior": {".*weight": "fan_in"}}, {"dense0_bias": 3.0, "out_weight": 0.5}, (40.0, 6.0, 40.0)),
}


class NoData:
    """Parameters under a loss that is always 0, moved by a trainer."""

    def __init__(self, name, prior, N, batch, eta, T=1.0, seed=7, **options):
        given, mults, self.precision = PRIORS[prior]
        self.precision = dict(zip(SHAPES, self.precision))
        rng = np.random.default_rng(seed)
        self.params = _parameters(SHAPES, {n: rng.normal(0, (T / self.precision[n]) ** 0.5, s)
                                           for n, s in SHAPES.items()})
        for n, mult in mults.items():
            self.params.get(n).wd_mult = mult
        self.batch, self.eta = batch, eta
        self.trainer = gluon.Trainer(self.params, name, {"learning_rate": eta * N, "num_data": N, "temperature": T,
                                                         "seed": seed, **given, **options})

    def run(self, steps):
        for _ in range(steps):
            with autograd.record():
                loss = sum(p.data().sum() for p in self.params.values()) * nd.zeros((self.batch,))
            loss.backward()
            self.trainer.step(self.batch)
        return self

    def squares(self):
        return {n: self.params.get(n).data().asnumpy().astype(float).ravel() ** 2 for n in SHAPES}


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("N, batch", [(1, 1), (60000, 128)])
def test_the_prior_comes_back_from_no_data(prior, N, batch):
    chain = NoData("sgld", prior, N, batch, eta=0.01).run(60)
    for name, squares in chain.squares().items():
        k, S = chain.precision[name], 1 / chain.precision[name]
        for _ in range(60):
            S = (1 - 0.01 * k / 2) ** 2 * S + 0.01
        assert abs(z_scores({"w2": squares}, {"w2": S})["w2"]) < LIMIT, name
        assert S == pytest.approx(1 / k, rel=0.01 * k / 2)


@pytest.mark.parametrize("prior", ["pattern", "both"])
@pytest.mark.parametrize("T", [1.0, 0.25])
def test_the_prior_comes_back_from_sghmc(prior, T):
    chain = NoData("sghmc", prior, 1000, 10, 0.004, T=T, friction=0.2).run(120)
    for name, squares in chain.squares().items():
        k = chain.precision[name]
        exact = Moments(T / k, 0.004, T=T, k=k)
        for _ in range(120):
            exact.step(0.004, 0.2)
        assert abs(z_scores({"w2": squares}, {"w2": exact.S})["w2"]) < LIMIT, name


@pytest.mark.parametrize("thermostat", ["global", "tensor"])
def test_the_prior_comes_back_from_sgnht(thermostat):
    """A thermostat for each, or one that all share: the exact second moments at the alpha that it settles at."""
    eta, a = 0.004, 0.1
    chain = NoData("sgnht", "pattern", 1000, 10, eta, friction=a, thermostat=thermostat).run(400)
    rows = [chain.run(5).squares() for _ in range(200)]
    shared = shared_thermostat_mean([(np.prod(SHAPES[n]), eta, 0.0, k) for n, k in chain.precision.items()], a)
    for name, k in chain.precision.items():
        alpha = shared if thermostat == "global" else thermostat_mean(eta, a, k=k)
        S = second_moments(alpha, eta, 2 * a * eta, k)[0]
        assert_agrees(batch_means({"w2": np.array([r[name].mean() for r in rows])}, batches=10), {"w2": S})
        assert S == pytest.approx(1 / k, rel=0.1)


@pytest.mark.parametrize("name, options", SAMPLERS)
@pytest.mark.parametrize("prior", ["wd", "both"])
def test_the_prior_does_not_know_N_or_the_batch(name, options, prior):
    """No data, so the chain is the same number for number: a prior scaled by N or n would show at once."""
    def path(N, batch):
        return np.concatenate([x.data().asnumpy().ravel()
                               for x in NoData(name, prior, N, batch, 0.004, **options).run(40).params.values()])

    one = path(1, 1)
    for N, batch in ((1, 64), (60000, 1), (60000, 64)):
        np.testing.assert_allclose(path(N, batch), one, rtol=0, atol=2e-5)


def test_wd_mult_by_name_without_gluon():
    """The older road: multipliers set on the optimizer, found by the names of ``param_idx2name``."""
    optimizer = mx.optimizer.create("sgld", learning_rate=0.3, num_data=10, wd=2.0, seed=1,
                                    param_idx2name={0: "a_weight", 1: "b_bias"})
    optimizer.set_wd_mult({"a_weight": 5.0})
    updater, rng = mx.optimizer.get_updater(optimizer), np.random.default_rng(1)
    weights = [nd.array(rng.normal(0, k ** -0.5, 8000)) for k in (10.0, 2.0)]
    for _ in range(60):
        updater([0, 1], [nd.zeros(8000)] * 2, weights)
    for w, k in zip(weights, (10.0, 2.0)):
        S = 1 / k
        for _ in range(60):
            S = (1 - 0.03 * k / 2) ** 2 * S + 0.03
        assert_agrees({"w2": w.asnumpy() ** 2}, {"w2": S})
