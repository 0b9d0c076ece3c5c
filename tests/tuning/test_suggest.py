"""suggest: what it measures against exact values, what it predicts against chains, what it leaves as it was."""
import math

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from stationarity.laws import Linear, ratios
from stationarity.test_correlated_noise import EACH, Correlated
from stationarity.test_regression import Chains, D, N, Regression
from stationarity.theory import second_moments

import sgmcmc_mx as sg
from sgmcmc_mx.samplers.sgnht import default_thermal_mass
from sgmcmc_mx.tuning import rules
from sgmcmc_mx.tuning.directions import lanczos
from sgmcmc_mx.tuning.rules import Noise, Step, variance_ratio

Gaussian = sg.likelihoods.Gaussian


@pytest.fixture(scope="module")
def problem():
    return Regression()


def at_the_mode(problem):
    """The regression as a network whose weights are the posterior's mean."""
    net = gluon.nn.Dense(1, in_units=problem.D, use_bias=False)
    net.initialize()
    net.weight.set_data(nd.array(problem.mean[None]))
    return net


def drawn(problem, count, seed=3):
    """Batches drawn with replacement, as the exact theory has them."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, problem.N, (count, problem.batch))
    return [(nd.array(problem.X[i]), nd.array(problem.y[i, None])) for i in rows]


def advice(problem, optimizer, params=None, batches=400, **kwargs):
    return sg.suggest(at_the_mode(problem), Gaussian(), drawn(problem, batches), optimizer,
                      {"num_data": problem.N, **(params or {})}, batches=batches, pilot=0, **kwargs)


def classifier(*extra):
    r = np.random.RandomState(0)
    x, y = r.normal(size=(200, 6)).astype("float32"), r.randint(0, 3, 200)
    x[np.arange(200), y] += 2.0
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(10, in_units=6, activation="relu"), *extra, gluon.nn.Dense(3, in_units=10))
    net.initialize(mx.init.Xavier())
    return net, (x, y.astype("int32"))


# ---------------------------------------------------------------- measured

def test_noise_and_curvature_are_those_of_the_regression(problem):
    """V of 400 batches has the relative standard error sqrt(2/399); all data are in the Hessian where there are few."""
    s = advice(problem, "sgnht")
    exact = np.diag(problem.noise(np.zeros((D, D))))
    assert (np.abs(s.noise / exact - 1) < 5 * math.sqrt(2 / 399)).all()
    net, few = at_the_mode(problem), (problem.X32[:400], problem.y32[:400, None])
    s = sg.suggest(net, Gaussian(), few, pilot=0)
    k = np.linalg.eigvalsh(few[0].T.astype(float) @ few[0] + np.eye(D))
    assert s.curvature == pytest.approx((k[0], k[-1]), rel=2e-3)


def test_the_prior_is_part_of_the_curvature():
    """Inputs that are zero leave a weight to its prior alone."""
    x = np.random.RandomState(0).normal(size=(50, 3)).astype("float32") * [1, 1, 0]
    net = gluon.nn.Dense(1, in_units=3, use_bias=False)
    net.initialize()
    k = np.linalg.eigvalsh(x.T @ x)
    for params, precision in (({"wd": 7.0}, 7.0), ({"prior": {"weight": 5.0}}, 5.0), ({"prior": "fan_in"}, 3.0)):
        s = sg.suggest(net, Gaussian(), (x, x[:, :1]), "sghmc", params, pilot=0)
        assert s.curvature == pytest.approx((precision, k[-1] + precision), rel=2e-3)


def fitted_exactly(seed, inputs=30, examples=500, batch=50):
    """A regression without noise in y, at the weights that fit it: (network, data, V in the posterior).

    No example has a residual there, so no two batches differ. In the posterior w is away by a covariance S, and a batch
    drawn without replacement has the noise that the fourth moments of the inputs give.
    """
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((examples, inputs)).astype("float32"), rng.standard_normal(inputs)
    y = (x @ w)[:, None].astype("float32")
    net = gluon.nn.Dense(1, in_units=inputs, use_bias=False)
    net.initialize()
    net.weight.set_data(nd.array(w[None]))
    X = x.astype(float)
    A, S = X.T @ X / examples, np.linalg.inv(X.T @ X + np.eye(inputs))
    away = S @ w                        # the prior's pull on the mode
    M = S + np.outer(away, away)
    drawn = examples ** 2 / batch * (examples - batch) / (examples - 1)
    V = drawn * (((X ** 2).T @ np.einsum("ni,ij,nj->n", X, M, X)) / examples - np.diag(A @ M @ A))
    return net, (x, y), V.mean()


def test_a_pilot_leaves_the_mode():
    """Where the data are fitted minibatches agree; a pilot measures the noise that they have in the posterior.

    It ends in one draw of the posterior, whose noise is off by a third or so: over four problems, within a factor of 2.
    """
    def ratio(seed, pilot):
        net, data, exact = fitted_exactly(seed)
        s = sg.suggest(net, Gaussian(), data, "sgnht", batch_size=50, batches=20, pilot=pilot)
        return s.noise.mean() / exact

    assert ratio(0, pilot=0) < 1e-6
    ratios = [ratio(seed, pilot=60) for seed in range(4)]
    assert 0.5 < np.exp(np.mean(np.log(ratios))) < 2.0, ratios


def test_estimates_are_drawn_together_by_what_chance_spread_them():
    rng, batches = np.random.default_rng(0), 20
    for spread in (0.0, 0.5, 3.0):
        true = np.exp(spread * rng.normal(size=20000))
        found = rules.shrunk(true * rng.chisquare(batches - 1, true.size) / (batches - 1), batches)
        assert found.mean() == pytest.approx(true.mean(), rel=0.1 if spread == 3 else 0.02)
        low, high = np.quantile(np.log(found), (0.05, 0.95)) - np.quantile(np.log(true), (0.05, 0.95))
        assert abs(low) < 0.06 and abs(high) < 0.06
    np.testing.assert_array_equal(rules.shrunk(np.array([0.0, 0.0, 3.0]), 20), [0.0, 0.0, 3.0])


# ---------------------------------------------------------------- along directions

@pytest.fixture(scope="module")
def correlated():
    return Correlated()


GIVEN = {"learning_rate": 0.026, "friction": 0.05}


@pytest.mark.parametrize("optimizer, params, law", [
    ("sgnht", {**GIVEN, "thermostat": "global"}, lambda law, eta: law.sgnht(eta, 0.05)[1]),
    ("sgnht", {**GIVEN, "thermostat": "element"}, lambda law, eta: law.sgnht(eta, 0.05, EACH)[1]),
    ("sgnht", {"learning_rate": 0.026, "friction": 0.2}, lambda law, eta: law.sgnht(eta, 0.2)[1]),
    ("sghmc", {"learning_rate": 0.001, "friction": 0.05, "gradient_noise": "estimate"},
     lambda law, eta: law.estimating(eta, 0.05)),
    ("sghmc", {"learning_rate": 0.001, "friction": 0.05, "gradient_noise": None},
     lambda law, eta: law.sghmc(eta, 0.05)),
    ("sgld", {"learning_rate": 0.026}, lambda law, eta: law.sgld(eta))])
def test_correlated_weights_are_foretold(correlated, optimizer, params, law):
    """Single weights say .92 where the chain has .40 along the difference of the two; directions say .40."""
    s = advice(correlated, optimizer, params)
    exact = ratios(law(correlated.law, params["learning_rate"] / correlated.N), correlated.H)
    assert (s.coldest, s.bias[2]) == pytest.approx((exact.min(), exact.max()), rel=0.12)
    assert ("BIASED" in str(s)) == (exact.min() < 0.87 or exact.max() > 1.13)
    assert ("freeze" in str(s)) == (exact.min() < 0.87)


@pytest.mark.parametrize("optimizer, params", [("sgnht", {}), ("sgnht", {"thermostat": "global"}), ("sghmc", {}),
                                               ("sghmc", {"gradient_noise": None}), ("sgld", {})])
def test_what_is_proposed_holds_along_every_direction(correlated, optimizer, params):
    """By the law of the chain that would follow, which the chains of test_correlated_noise.py have."""
    s = advice(correlated, optimizer, params)
    eta, a, law = s.learning_rate / correlated.N, s.friction, correlated.law
    S = {"langevin": lambda: law.sgld(eta), "none": lambda: law.sghmc(eta, a),
         "estimate": lambda: law.estimating(eta, a), "mean": lambda: law.sghmc(eta, a, s._V.mean),
         "global": lambda: law.sgnht(eta, a)[1], "element": lambda: law.sgnht(eta, a, EACH)[1]}[s._step.treatment]()
    assert np.abs(ratios(S, correlated.H) - 1.0).max() < 0.13
    assert 0.88 < s.coldest and s.bias[2] < 1.12 and "BIASED" not in str(s)


def test_control_variates_are_spoken_of_and_turned_on(correlated):
    """With them the noise is a hundredth: the step grows, and holds by the law of the noise that they leave."""
    def ask(**kwargs):
        return sg.suggest(at_the_mode(correlated), Gaussian(), drawn(correlated, 60), "sgnht",
                          {"num_data": correlated.N}, pilot=60, **kwargs)

    plain, on = ask(), ask(control_variates=True)
    assert "sg.ControlVariates" in plain.reasons["thermostat"] and "control_variates=True" in str(plain)
    assert not plain.control_variates and on.control_variates and "take them" in str(on)
    assert on.learning_rate > 10 * plain.learning_rate and 2 * on.relaxation < plain.relaxation / 3
    _, S = Linear(correlated.H, correlated.controlled).sgnht(on.learning_rate / correlated.N, on.friction)
    assert np.abs(ratios(S, correlated.H) - 1.0).max() < 0.13


@pytest.mark.parametrize("name, integrator", [("msgnht", "euler"), ("msgnht_s_aboba", "aboba"),
                                              ("msgnht_s_badodab", "badodab"), ("sgnhtp", "euler"),
                                              ("msgnhtp_s_badodab", "badodab")])
def test_the_follow_ups_names_are_samplers_too(name, integrator):
    net, data = classifier()
    s = sg.suggest(net, sg.likelihoods.Categorical(), data, name, {"a": 0.1}, batch_size=50, batches=6, pilot=0)
    assert s.optimizer == name and s.friction == 0.1 and "friction" not in s.optimizer_params
    assert s._step.split == (integrator != "euler")
    assert name == "sgnhtp" or s.thermostat == "element"
    sampler = mx.optimizer.create(s.optimizer, **s.optimizer_params)
    assert sampler.friction == 0.1 and sampler.integrator == integrator


def test_an_unstable_step_is_not_answered_with_a_burn_in_for_ever():
    net, data = classifier()
    s = sg.suggest(net, sg.likelihoods.Categorical(), data, "sgnht", {"learning_rate": 300.0}, batch_size=50, batches=5,
                   pilot=0)
    assert s.burn_in < 1e6 and "no burn-in helps" in s.reasons["burn_in"] and "blows up" in s.reasons["learning_rate"]


@pytest.mark.parametrize("size, spread", [(6, 6.0), (300, 5.0)])
def test_lanczos_finds_extremes_and_shares(size, spread):
    """All directions where there are few; of many the extremes, and a quadrature of how they are spread."""
    rng = np.random.default_rng(0)
    k = np.sort(np.exp(rng.uniform(0, spread, size)))
    U = np.linalg.qr(rng.normal(size=(size, size)))[0]
    H = (U * k) @ U.T
    found = lanczos(lambda u, steepest: (H @ u).astype(np.float32), size, 24)
    assert found.weights.sum() == pytest.approx(1.0) and len(found.curvatures) == min(24, size)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(len(found.vectors)), atol=1e-5)
    assert found.curvatures[-1] == pytest.approx(k[-1], rel=1e-3)
    if size == 6:
        np.testing.assert_allclose(found.curvatures, k, rtol=1e-3)
        np.testing.assert_allclose(found.weights, 1 / 6)
    else:
        assert found.weights @ np.log(np.maximum(found.curvatures, 0.1)) == pytest.approx(np.log(k).mean(), rel=0.1)


def test_lanczos_goes_on_where_a_space_is_exhausted():
    """Curvatures that are alike, as the prior's are, leave a vector with nothing new."""
    k = np.array([1.0, 1.0, 1.0, 5.0])
    found = lanczos(lambda u, steepest: (k * u).astype(np.float32), 4, 24)
    np.testing.assert_allclose(found.curvatures, k, rtol=1e-5)


def test_quantiles_of_directions_count_what_each_stands_for():
    values = np.array([3.0, 1.0, 2.0])
    assert rules.ends(values, np.array([0.02, 0.02, 0.96])) == (2.0, 2.0)
    assert rules.ends(values, np.full(3, 1 / 3)) == rules.ends(values) == (1.0, 3.0)
    low, high = rules.ends(values, np.array([0.05, 0.05, 0.9]))     # half of the levels lie within the ends
    assert 1.3 < low < 1.7 and 2.3 < high < 2.7


# ---------------------------------------------------------------- predicted

def test_the_bias_of_one_thermostat(problem):
    """Against the exact law, which chains of test_regression.py follow: .849 to 1.210 at this step."""
    s = advice(problem, "sgnht", {"learning_rate": 0.001, "friction": 0.05, "thermostat": "global"})
    _, exact = problem.shared(1e-6, 0.05)
    factors = np.sqrt(np.diag(exact)) / problem.sd
    assert (s.bias[0], s.bias[2]) == pytest.approx((factors.min(), factors.max()), abs=0.03)
    text = str(s)
    assert "BIASED" in text and "thermostat='element'" in text and "sg.ControlVariates" in text
    assert s.optimizer_params == {"num_data": N, "learning_rate": 0.001, "friction": 0.05, "thermostat": "global"}


@pytest.mark.parametrize("optimizer, params, exact", [
    ("sghmc", {"learning_rate": 0.001, "friction": 0.1, "gradient_noise": None},
     lambda p: p.momentum(1e-6, 0.1, 0.1)[:D, :D]),
    ("sghmc", {"learning_rate": 0.001, "friction": 0.1, "gradient_noise": "estimate"},
     lambda p: p.momentum(1e-6, 0.1, 0.1, subtracted=True)[:D, :D]),
    ("sgnht", {"learning_rate": 0.001, "friction": 0.05, "thermostat": "element"},
     lambda p: p.separate(1e-6, 0.05)[1]),
    ("sgld", {"learning_rate": 0.02}, lambda p: p.sgld(0.02 / N))], ids=["sghmc", "estimate", "element", "sgld"])
def test_other_biases(problem, optimizer, params, exact):
    s = advice(problem, optimizer, params)
    factors = np.sqrt(np.diag(exact(problem))) / problem.sd
    assert (s.bias[0], s.bias[2]) == pytest.approx((factors.min(), factors.max()), abs=0.03)


@pytest.mark.parametrize("optimizer", ["sgnht", "sghmc"])
def test_a_chain_that_follows_the_advice_has_the_spread_it_promises(problem, optimizer):
    s = advice(problem, optimizer)
    assert s.thermostat == "element" if optimizer == "sgnht" else s.gradient_noise == "estimate"
    params = {k: v for k, v in s.optimizer_params.items() if k not in ("num_data", "learning_rate")}
    chains = Chains(problem, optimizer, s.learning_rate, walkers=60, **params).run(2500)
    products = chains.averages(1500)["products"].reshape(-1, D, D)
    factors = ratios(products.mean(axis=0), problem.H)      # along the directions that promises are made for
    promised = np.sqrt(variance_ratio(s._step, s._V, 1.0))
    np.testing.assert_allclose(factors, promised, atol=0.04)
    assert 0.9 < factors.min() and factors.max() < 1.1


def test_relaxation_is_the_slowest_eigenvalue():
    for eta, friction, k in ((1e-5, 0.05, 100.0), (1e-5, 0.05, 1.0), (1e-4, 0.2, 3000.0)):
        M = np.array([[1 - eta * k, 1 - friction], [-eta * k, 1 - friction]])
        expected = -1 / math.log(np.abs(np.linalg.eigvals(M)).max())
        assert rules.relaxation(eta, friction, k) == pytest.approx(expected, rel=1e-9)
    assert rules.relaxation(1e-5, 0.05, 1.0) == pytest.approx(0.05 / 1e-5, rel=0.05)
    assert rules.relaxation(1e-5, 0.0, 1.0) == pytest.approx(2 / 1e-5, rel=0.01)
    assert rules.relaxation(1e-5, 0.05, 0.0) == math.inf


def test_what_is_chosen_keeps_to_the_limits():
    """Whatever the noise: nine standard deviations in ten within 10 %, a fixed point, a step the curvature allows."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        scale, spread, k, T = 10 ** rng.uniform(0, 6), rng.uniform(0, 4), 10 ** rng.uniform(1, 6), rng.choice([1, 0.1])
        spread *= rng.random() > 0.2
        variances = scale * np.exp(spread * rng.normal(size=400)) * (rng.random(400) > 0.2)
        noise = Noise(variances, [100, 300])
        for optimizer in ("sgnht", "sghmc", "sgld"):
            step = rules.choose(optimizer, noise, k, T)
            assert 0 < step.eta <= rules.STIFF / k * (1 + 1e-9)
            low, high = rules.ends(np.sqrt(variance_ratio(step, noise, T)))
            assert 0.88 < low and high < 1.11, (optimizer, step, low, high)
            if optimizer == "sgnht":
                assert 2 * (step.friction + step.eta * noise.mean / (2 * T)) < 0.7
            if step.treatment == "mean":    # SGHMC refuses to take out more heat than its friction carries
                assert step.eta * noise.mean / (2 * T) <= 0.9 * step.friction * (1 + 1e-9)


@pytest.mark.parametrize("params", [{}, {"friction": 0.03}, {"temperature": 0.1}, {"gradient_noise": 9000.0}])
def test_noise_that_is_alike_in_all_weights_is_no_more_than_friction_carries(params):
    """Four inputs alike: SGHMC takes the mean out, and the sampler accepts what is proposed."""
    rng = np.random.RandomState(0)
    x = rng.randn(400, 4).astype("float32")
    y = (x.sum(1, keepdims=True) + 0.5 * rng.randn(400, 1)).astype("float32")
    net = gluon.nn.Dense(1, in_units=4, use_bias=False)
    net.initialize()
    s = sg.suggest(net, sg.likelihoods.Gaussian(0.5), (x, y), "sghmc", params, pilot=10)
    assert s._step.treatment == "mean" and "more than it can carry" not in str(s)
    mx.optimizer.create(s.optimizer, **s.optimizer_params)


def test_no_noise_at_all():
    noise = Noise(np.zeros(10), [10])
    for optimizer in ("sgnht", "sghmc", "sgld"):
        step = rules.choose(optimizer, noise, 100.0, 1.0)
        assert step.eta == pytest.approx(rules.STIFF / 100.0)
        np.testing.assert_allclose(variance_ratio(step, noise, 1.0), 1.0, atol=0.03)


def test_noise_of_few_batches_is_unbiased():
    """Four batches and no more, by hand: N^2 times the sample variance (4 - 1 below) of their mean gradients."""
    net, (x, y) = classifier()
    batches = [(nd.array(x[i:i + 50]), nd.array(y[i:i + 50])) for i in range(0, 200, 50)]
    found = sg.suggest(net, sg.likelihoods.Categorical(), batches, pilot=0, batches=4)
    means = []
    for a, b in batches:
        with autograd.record():
            loss = sg.likelihoods.Categorical()(net(a), b).mean()
        loss.backward()
        means.append(np.concatenate([p.grad().asnumpy().ravel() for p in net.collect_params().values()]))
    assert found._V.mean == pytest.approx(200 ** 2 * np.var(means, axis=0, ddof=1).mean(), rel=1e-4)


def test_the_slowest_thermostat_is_that_of_the_smallest_group():
    """mu alpha / (eta T), mu by the number of weights that share a thermostat."""
    net, data = classifier()
    sizes = [p.data().size for p in net.collect_params().values()]
    for thermostat, size in (("global", sum(sizes)), ("tensor", min(sizes)), ("element", 1)):
        s = sg.suggest(net, sg.likelihoods.Categorical(), data, "sgnht", {"thermostat": thermostat, "friction": 0.01},
                       batch_size=50, batches=5, pilot=0)
        eta = s.learning_rate / 200
        mass = default_thermal_mass(eta, 0.01, 1.0, size)
        load = 0.01 + eta * (s._V.most if thermostat == "element" else s._V.mean) / 2
        assert s._answer == pytest.approx(mass * load / eta, rel=1e-6)
        assert s.burn_in >= 3 * s._answer - 1


def test_samples_are_no_closer_than_the_momentum_remembers():
    net, data = classifier()
    for steps, memory in ((2000, True), (200, False)):      # of a short run ten are wanted first
        s = sg.suggest(net, sg.likelihoods.Categorical(), data, "sgnht", {"friction": 0.05}, batch_size=50, batches=5,
                       pilot=0, steps=steps)
        assert s.thin == (math.ceil(2 / s._alpha) if memory else (steps - s.burn_in) // 10)


def reshuffled_chain(step, V, k, length, steps, walkers=3000):
    """w^2 of walkers on U = k w^2 / 2 whose gradient errors are drawn without replacement, epoch by epoch."""
    rng = np.random.default_rng(3)
    errors = rng.standard_normal(length)
    errors = (errors - errors.mean()) / errors.std() * math.sqrt(V)
    b = step.eta * V / 2
    alpha, injected = {"global": (step.friction + b, step.friction), "mean": (step.friction, step.friction - b),
                       "none": (step.friction, step.friction)}[step.treatment]
    w, v, seen = rng.standard_normal(walkers) / math.sqrt(k), np.zeros(walkers), []
    for t in range(steps):
        if t % length == 0:
            epoch = rng.permuted(np.tile(errors, (walkers, 1)), axis=1)
        v = (1 - alpha) * v - step.eta * (k * w + epoch[:, t % length]) + math.sqrt(
            2 * injected * step.eta) * rng.standard_normal(walkers)
        w = w + v
        if t > steps // 2 and t % 50 == 0:
            seen.append((w ** 2).mean())
    return np.mean(seen)


@pytest.mark.parametrize("treatment", ["global", "mean", "none"])
def test_reshuffled_epochs_cool_slow_directions(treatment):
    """By a chain that needs 15 epochs or more to relax."""
    eta, V, k = 1e-4, 1.2e3, 3.0
    step, noise = Step(eta, 0.1, treatment), Noise(np.array([V]), [1])
    found = reshuffled_chain(step, V, k, length=20, steps=2000) * k
    expected, = rules.slow_variance_ratio(step, noise, 1.0)
    assert found == pytest.approx(expected, rel=0.06)
    assert treatment == "none" or expected < 0.7


@pytest.mark.slow
def test_a_loader_that_reshuffles_is_told_where_it_matters():
    rng = np.random.RandomState(0)
    x = rng.randn(400, 4).astype("float32") * np.array([1.0, 1.0, 1.0, 0.02], dtype="float32")
    y = (x.sum(1, keepdims=True) + 0.5 * rng.randn(400, 1)).astype("float32")
    dataset = gluon.data.ArrayDataset(x, y)

    def advice(data):
        net = gluon.nn.Dense(1, in_units=4, use_bias=False)
        net.initialize()
        return str(sg.suggest(net, sg.likelihoods.Gaussian(0.5), data, "sgnht",
                              {"thermostat": "global", "friction": 0.05, "learning_rate": 0.004}, batch_size=100,
                              batches=8, pilot=8))

    told = "reshuffled epoch's batches cancel over its 4 steps"
    assert told in advice(gluon.data.DataLoader(dataset, 100, shuffle=True))
    assert told in advice(sg.data.ResumableLoader(dataset, 100))
    assert told not in advice(gluon.data.DataLoader(dataset, 100)) and told not in advice((x, y))


# ---------------------------------------------------------------- used

@pytest.mark.parametrize("optimizer", ["sgnht", "sghmc", "sgld"])
def test_the_trainer_takes_it(optimizer):
    net, data = classifier()
    loss = sg.likelihoods.Categorical()
    s = sg.suggest(net, loss, data, optimizer, {"wd": 2.0}, batch_size=50, steps=40, batches=8, pilot=5)
    trainer = sg.BayesianTrainer(net, s.optimizer, s.optimizer_params, loss, seed=0, **s.trainer_params)
    assert trainer.optimizer.num_data == 200 and trainer.optimizer.wd == 2.0
    for i in range(40):
        rows = slice(20 * (i % 10), 20 * (i % 10) + 20)
        with autograd.record():
            out = loss(net(nd.array(data[0][rows])), nd.array(data[1][rows]))
        out.backward()
        trainer.step(20)
    assert len(trainer.samples) >= 10
    lines = str(s).splitlines()
    assert lines[0].startswith(f"{optimizer}, N = 200, batches of 50, T = 1")
    names = [line.split()[0] for line in lines[1:]]
    assert names == list(s.reasons) and {"learning_rate", "burn_in", "thin"} <= set(names)
    assert all(len(reason) > 20 for reason in s.reasons.values())
    assert s.optimizer in repr(s)


def test_nothing_of_the_network_is_changed():
    net, data = classifier(gluon.nn.BatchNorm(in_channels=10))
    x, y = nd.array(data[0][:20]), nd.array(data[1][:20])
    with autograd.record():
        out = sg.likelihoods.Categorical()(net(x), y)
    out.backward()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.01}, kvstore=None)
    net[0].bias.data()._fresh_grad = False

    def state():
        params = list(net.collect_params().values())
        return ([p.data().asnumpy() for p in params], [p.grad().asnumpy() for p in params if p.grad_req != "null"],
                [p.data()._fresh_grad for p in params])

    before, mxnets = state(), None
    mx.random.seed(7)
    mxnets = nd.random.uniform(shape=3).asnumpy()
    mx.random.seed(7)
    sg.suggest(net, sg.likelihoods.Categorical(), data, batch_size=50, batches=5, pilot=5)
    np.testing.assert_array_equal(nd.random.uniform(shape=3).asnumpy(), mxnets)
    for a, b in zip(before[:2], state()[:2]):
        for u, v in zip(a, b):
            np.testing.assert_array_equal(u, v)
    assert before[2] == state()[2]
    assert trainer.optimizer.num_update == 0


def test_what_is_given_is_kept_and_judged():
    net, data = classifier()

    def ask(optimizer, **params):
        return sg.suggest(net, sg.likelihoods.Categorical(), data, optimizer, params, batch_size=50, batches=8, pilot=0)

    s = ask("sgnht", learning_rate=300.0, friction=0.3, thermostat="tensor")
    assert (s.learning_rate, s.friction, s.thermostat) == (300.0, 0.3, "tensor")
    assert "blows up" in s.reasons["learning_rate"] and s.reasons["friction"].startswith("(given)")
    s = ask("sghmc", momentum=0.8, lr_scheduler=mx.lr_scheduler.FactorScheduler(100, base_lr=0.02))
    assert s.learning_rate == 0.02 and s.friction == pytest.approx(0.2)
    assert "friction" not in s.optimizer_params and "learning_rate" not in s.optimizer_params
    s = ask("sghmc", gradient_noise=5.0, learning_rate=1.0, friction=0.1)
    assert s.optimizer_params["gradient_noise"] == 5.0
    assert s.bias[1] > 1.2 and "V = 5 is taken out" in s.reasons["gradient_noise"]     # less than there is
    s = ask("sgnht", learning_rate=0.01, friction=0.2, integrator="badodab", thermostat="global")
    assert s.bias[1] == pytest.approx(1.0, abs=0.2)
    assert ask("sgnht", temperature=0.1).learning_rate <= 1.1 * ask("sgnht").learning_rate


@pytest.mark.slow
def test_the_same_advice_every_time():
    net, data = classifier()
    one, two = (sg.suggest(net, sg.likelihoods.Categorical(), data, batch_size=50, batches=5, pilot=5)
                for _ in range(2))
    for s in (one, two):
        s.reasons.pop("seconds")        # which the machine decides
    assert str(one) == str(two)


def test_kinds_of_data():
    net, (x, y) = classifier()
    dataset = gluon.data.ArrayDataset(x, y)
    for data in (gluon.data.DataLoader(dataset, 50, shuffle=True, last_batch="discard"), (nd.array(x), nd.array(y)),
                 [(nd.array(x[i:i + 50]), nd.array(y[i:i + 50])) for i in range(0, 200, 50)]):
        s = sg.suggest(net, sg.likelihoods.Categorical(), data, batch_size=50, batches=8, pilot=0)
        assert s.optimizer_params["num_data"] == 200
    iterator = mx.io.NDArrayIter(x, y, 50)
    s = sg.suggest(net, sg.likelihoods.Categorical(), iterator, optimizer_params={"num_data": 200}, pilot=0)
    assert "batches of 50" in str(s)


def test_the_public_name_is_the_function_whatever_is_imported():
    import importlib
    import pkgutil

    import sgmcmc_mx.tuning

    names = [m.name for m in pkgutil.iter_modules(sgmcmc_mx.tuning.__path__)]
    assert "suggest" not in names       # a module of that name would take its place
    for name in names:
        importlib.import_module(f"sgmcmc_mx.tuning.{name}")
    assert sg.suggest is sgmcmc_mx.tuning.suggest and callable(sg.suggest)
    assert sg.Suggestion is sgmcmc_mx.tuning.Suggestion
    assert importlib.util.find_spec("sgmcmc_mx.suggest") is None


# ---------------------------------------------------------------- bad input

def _half(net, data):
    net.cast("float16")
    return sg.suggest(net, sg.likelihoods.Categorical(), data)


def _not_finite(net, data):
    return sg.suggest(net, lambda out, label: sg.likelihoods.Categorical()(out, label) * math.nan, data, pilot=20)


BAD = [
    ("optimizer", lambda n, d: _ask(n, d, "adam"), ValueError, "optimizer must be one of 'sgnht', 'sghmc', 'sgld'"),
    ("option", lambda n, d: _ask(n, d, "sgnht", {"thermostatt": 1}), TypeError, "did you mean 'thermostat'?"),
    ("value", lambda n, d: _ask(n, d, "sgnht", {"friction": 2}), ValueError, "friction"),
    ("prior", lambda n, d: _ask(n, d, "sgnht", {"prior": {"9.weight": 1.0}}), ValueError, "matches no parameter"),
    ("temperature", lambda n, d: _ask(n, d, "sghmc", {"temperature": 0}), ValueError, "temperature is 0"),
    ("no prior", lambda n, d: _ask(n, d, "sgld", {"wd": 0.0}, pilot=0), ValueError, "write wd=1.0"),
    ("steps", lambda n, d: _ask(n, d, steps=1), ValueError, "steps must be at least 10"),
    ("batches", lambda n, d: _ask(n, d, batches=1), ValueError, "batches must be at least 4"),
    ("pilot", lambda n, d: _ask(n, d, pilot=-1), ValueError, "pilot must be at least 0"),
    ("seconds", lambda n, d: _ask(n, d, seconds=0), ValueError, "seconds must lie in (0, inf), got 0; how long"),
    ("batch_size", lambda n, d: _ask(n, d, batch_size=0), ValueError, "batch_size must be at least 1"),
    ("control variates at their centre", lambda n, d: _ask(n, d, control_variates=True, pilot=0), ValueError,
     "needs a pilot"),
    ("a word for control variates", lambda n, d: _ask(n, d, control_variates="yes"), TypeError,
     "True or False, got 'yes'"),
    ("unknown size", lambda n, d: _ask(n, mx.io.NDArrayIter(*d, 20)), ValueError, "'num_data': N"),
    ("empty", lambda n, d: _ask(n, (d[0][:0], d[1][:0]), "sgld", {"num_data": 5}), ValueError, "data is empty"),
    ("x alone", lambda n, d: _ask(n, d[0]), TypeError, "data must be inputs and labels"),
    ("float16", _half, ValueError, "before net.cast"),
    ("nan", _not_finite, RuntimeError, "the loss is not finite"),
]


def _ask(net, data, *args, **kwargs):
    return sg.suggest(net, sg.likelihoods.Categorical(), data, *args, **kwargs)


@pytest.mark.parametrize("call, error, message", [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error) as e:
        call(*classifier())
    assert message in str(e.value)


@pytest.mark.parametrize("treatment, told, taken_out", [("none", None, 0.0), ("mean", None, 2e4), ("mean", 5e3, 5e3)])
def test_what_sghmc_takes_out_of_all_weights_is_left_in_none(treatment, told, taken_out):
    """Against the second moments of the chain, whatever the step where the curvature is small."""
    noise, eta, a, T = Noise(np.array([0.5, 1.0, 4.5]) * 1e4, [3]), 4e-6, 0.1, 0.8
    ratio = variance_ratio(Step(eta, a, treatment, told=told), noise, T)
    q = 2 * a * eta * T + eta ** 2 * (noise.variances - taken_out)
    k = 1e-3
    assert ratio == pytest.approx([second_moments(a, eta, each, k)[0] * k / T for each in q], rel=1e-5)


def test_a_step_is_what_its_parts_say():
    """SGNHT with a thermostat a tensor: each tensor's mean heat is taken out of it."""
    noise = Noise(np.array([1.0, 3.0, 10.0, 10.0]) * 1e4, [2, 2])
    ratio = variance_ratio(Step(1e-6, 0.05, "tensor"), noise, 1.0)
    alpha = 1 - math.sqrt(1 - 2 * 0.06)
    assert ratio[:2] == pytest.approx(np.array([0.055, 0.065]) / 0.06 * (1 - alpha / 2), rel=1e-9)


@pytest.mark.parametrize("optimizer, friction, low, high", [
    ("sgld", None, 1.04, 1.05), ("sghmc", None, 1.04, 1.05), ("sgnht", None, 0.95, 0.96), ("sgnht", 0.1, 0.922, 0.935)])
def test_the_mean_variance_stays_within_a_twentieth(optimizer, friction, low, high):
    """It is the configurational temperature. Nine directions in ten may be .81 to 1.21, all of them on one side.

    The step is no shorter than it must be, either. The friction .1 alone makes it 1 - .1056 / 2 = .947, which no step
    mends: noise may add half of a twentieth to that.
    """
    noise = Noise(np.full(50, 40.0), [50])
    step = rules.choose(optimizer, noise, 1e-3, 1.0, friction=friction,
                        treatment="none" if optimizer == "sghmc" else None)
    variances = variance_ratio(step, noise, 1.0)
    assert rules.heat_of(step, noise, 1.0) == pytest.approx(variances.mean())
    assert low - 1e-9 <= variances.mean() <= high + 1e-9
