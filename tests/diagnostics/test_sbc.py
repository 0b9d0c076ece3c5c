"""Simulation-based calibration: what is right passes, by exact draws and by chains; each planted fault is seen."""
import functools

import numpy as np
import pytest
from mxnet import gluon, nd
from scipy import stats

import sgmcmc_mx as sg
from sgmcmc_mx.diagnostics import Calibration, sbc
from sgmcmc_mx.diagnostics.simulating import PriorDraws, labels_of
from sgmcmc_mx.likelihoods import Bernoulli, Categorical, Gaussian, NegativeBinomial, Ordinal, Poisson, StudentT

ALPHA = 1e-4        # of a table; seeds are nobody's choice
X = np.random.RandomState(0).uniform(-1, 1, (8, 2)).astype("float32")


def dense(outputs, inputs=2, **options):
    net = gluon.nn.Dense(outputs, in_units=inputs, **options)
    net.initialize()
    return net


NET = dense(1, use_bias=False)

# ---------------------------------------------------------------- exact draws of a linear regression

SIGMA, PRECISION, DRAWS = 2.0, 1.0, 24
WEAK = 6.0          # noise beside which the prior says nearly all


def exact(net, labels, seed, precision=PRECISION, power=1.0, temperature=1.0, shift=0.0, draws=DRAWS, sigma=SIGMA,
          x=X[:4]):
    """Draws of the posterior, whose prior has another precision and whose labels count ``power`` times."""
    inverse = power * x.T @ x / sigma**2 + precision * np.eye(2)
    mean = np.linalg.solve(inverse, power * x.T @ labels[:, 0] / sigma**2)
    random = np.random.default_rng(seed)
    w = random.multivariate_normal(mean, temperature * np.linalg.inv(inverse), draws)
    return [sg.Sample({"weight": nd.array(row[None] + shift)}, step=k) for k, row in enumerate(w)]


def of_exact(seed, simulations=100, sigma=SIGMA, **fault):
    return sbc(functools.partial(exact, sigma=sigma, **fault), NET, X[:4], Gaussian(sigma), wd=PRECISION,
               simulations=simulations, alpha=ALPHA, seed=seed)


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_posterior_itself_is_calibrated(seed):
    found = of_exact(seed)
    assert found.verdict == "calibrated", str(found)
    assert found.ranks.shape == (100, len(found.quantities)) and found.ranks.max() <= found.draws
    assert found.quantities == ["log likelihood", "weight[0]", "weight[1]", "projection 0", "projection 1"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault, said", [
    ({"precision": 2 * PRECISION, "sigma": WEAK}, "too narrow"),
    pytest.param({"shift": 0.7}, "off centre", marks=pytest.mark.slow),
    pytest.param({"temperature": 0.5}, "too narrow", marks=pytest.mark.slow),
    pytest.param({"precision": PRECISION / 2, "sigma": WEAK}, "too wide", marks=pytest.mark.slow)], ids=str)
def test_a_planted_fault_is_seen(fault, said, seed):
    """A variance that is wrong by a factor of 2 spreads the ranks by 6 standard deviations in the mean."""
    found = of_exact(seed, simulations=300 if said == "too wide" else 200, **fault)
    assert found.verdict == said, str(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_draws_of_the_prior_are_seen_by_the_log_likelihood_alone(seed):
    """A sampler that never looks at the data, which say much here: every weight's rank is uniform all the same."""
    found = of_exact(seed, sigma=0.3, power=0.0)
    assert found["log likelihood"].verdict == "off centre"
    assert {row.verdict for row in found if row.name != "log likelihood"} == {"calibrated"}, str(found)


# ---------------------------------------------------------------- chains, one model of each likelihood

# outputs, likelihood, prior precision, eta, and what is known of the noise
MODELS = {
    "categorical": (3, Categorical(), 1.0, 0.04, None),
    "bernoulli": (1, Bernoulli(), 1.0, 0.04, None),
    "poisson": (1, Poisson(), 10.0, 0.01, None),
    "gaussian": (1, Gaussian(0.7), 1.0, 0.02, None),
    "gaussian-per-output": (2, Gaussian([0.7, 1.5]), 1.0, 0.02, None),
    "gaussian-learned": (2, Gaussian("learned"), 15.0, 0.008, None),
    "gaussian-label": (1, Gaussian("label"), 1.0, 0.02, np.linspace(0.7, 2.0, 8)[:, None]),
}


def and_own(outputs, units):
    """A layer, and parameters that no input moves."""
    net = gluon.nn.HybridSequential()
    net.add(dense(outputs), sg.nn.LogSigma(units))
    net[1].initialize()
    net.hybridize()
    return net


# Those without a native gradient, whose chains take their time.
SLOW_MODELS = {
    "gaussian-global": (lambda: and_own(1, 1), Gaussian("global"), 15.0, 0.008, None),
    "student": (1, StudentT(4.0, 0.7), 1.0, 0.02, None),
    "negative-binomial": (1, NegativeBinomial(2.0), 10.0, 0.01, None),
    "negative-binomial-learned": (lambda: and_own(1, 1), NegativeBinomial(), 15.0, 0.008, None),
    "categorical-noisy": (3, Categorical(label_noise=0.2), 1.0, 0.04, None),
    "ordinal": (1, Ordinal([-1.0, 0.5, 1.5]), 1.0, 0.04, None),
    "ordinal-learned": (lambda: and_own(1, 3), Ordinal(), 4.0, 0.01, None),
}
ALL_MODELS = {**MODELS, **SLOW_MODELS}
QUICK_ONES = ("categorical", "gaussian-learned")


def of_chains(name, simulations, seed=0, steps=700, burn_in=60, draws=None, **options):
    outputs, likelihood, wd, eta, noise_std = ALL_MODELS[name]
    options = {"learning_rate": eta * len(X), "friction": 0.3, "num_data": len(X), "wd": wd, **options}

    def sample(net, labels, seed):
        trainer = sg.BayesianTrainer(net, "sghmc", options, likelihood, burn_in=burn_in, thin=16, check_every=10**6,
                                     seed=seed)
        data = sg.data.ArrayLoader(X, labels, batch_size=len(X), shuffle=False)
        return trainer.sample(data, steps).samples
    net = outputs() if callable(outputs) else dense(outputs)
    return sbc(sample, net, X, likelihood, wd=wd, simulations=simulations, draws=draws, alpha=ALPHA,
               noise_std=noise_std, seed=seed)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=() if name in QUICK_ONES else pytest.mark.slow) for name in ALL_MODELS])
def test_chains_of_each_likelihood_are_calibrated(name):
    found = of_chains(name, 30)
    assert found.verdict == "calibrated", str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_MODELS)
def test_many_chains_of_each_likelihood_are_calibrated(name):
    found = of_chains(name, 300, seed=1)
    assert found.verdict == "calibrated", str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_MODELS)
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_another_temperature_is_seen_with_each_likelihood(name, temperature):
    assert of_chains(name, 200, seed=2, temperature=temperature).verdict not in ("calibrated", "too few draws")


def test_a_chain_that_is_too_short_is_seen():
    """It has not left the place where it began; and where that is forgotten there are too few draws."""
    found = of_chains("gaussian", 60, steps=128, burn_in=0, draws=8, learning_rate=1e-4 * len(X))
    assert found.verdict not in ("calibrated", "too few draws"), str(found)
    assert found["draws"].verdict == "too few draws"


# ---------------------------------------------------------------- what is drawn, and what may be given


def test_prior_draws_have_the_precision_of_each_parameter():
    net = dense(40, 50)
    draw = PriorDraws(net, {"weight": 4.0}, 0.25)
    w = draw(np.random.default_rng(0))
    for name, std in (("weight", 0.5), ("bias", 2.0)):
        values = w[name].asnumpy()
        assert abs(values.std() / std - 1) < 5 / np.sqrt(2 * values.size)
    assert not np.array_equal(draw(np.random.default_rng(1))["weight"].asnumpy(), w["weight"].asnumpy())


def test_a_gamma_hyperprior_draws_its_precision_once_for_all_that_share_it():
    draw = PriorDraws(dense(40, 50), sg.priors.Gamma(3.0, 2.0, by="global"), 1.0)
    random = np.random.default_rng(0)
    drawn = [draw(random) for _ in range(400)]
    found = [[s[name].asnumpy().std()**-2 for name in ("weight", "bias")] for s in drawn]
    ratio = np.array([a / b for a, b in found])
    assert 0.7 < np.median(ratio) < 1.4                                     # one for both
    z = (np.mean([a for a, _ in found]) - 1.5) / (0.75**0.5 / 20)           # mean and variance of Gamma(3, 2)
    assert abs(z) < 5


def test_what_does_not_move_stays_and_a_shared_parameter_is_one():
    net = gluon.nn.HybridSequential()
    first = gluon.nn.Dense(2, in_units=2)
    net.add(first, gluon.nn.Dense(2, in_units=2, params=first.params))
    net.initialize()
    first.bias.grad_req = "null"
    w = PriorDraws(net, None, 1.0)(np.random.default_rng(0))
    np.testing.assert_array_equal(w["0.weight"].asnumpy(), w["1.weight"].asnumpy())
    assert not w["0.bias"].asnumpy().any()


def test_labels_that_bring_their_noise_have_it_behind_them():
    net, noise = dense(1), np.linspace(0.5, 2, 8)[:, None]
    weights = PriorDraws(net, None, 1.0)(np.random.default_rng(0))
    labels = labels_of(net, weights, X, Gaussian("label"), np.random.default_rng(0), noise)
    assert labels.shape == (8, 2) and labels.dtype == np.float32
    np.testing.assert_allclose(labels[:, 1:], noise, rtol=1e-6)


def test_the_same_seed_gives_the_same_ranks_and_the_network_its_weights_back():
    net = dense(1, use_bias=False)
    before, numpys = net.weight.data().asnumpy(), np.random.get_state()[1].copy()
    seen = []

    def sample(its, labels, seed):
        seen.append((labels.copy(), its.weight.data().asnumpy(), np.random.rand()))
        return exact(its, labels, seed)
    found = [sbc(sample, net, X[:4], Gaussian(SIGMA), simulations=20, seed=5) for _ in range(2)]
    np.testing.assert_array_equal(found[0].ranks, found[1].ranks)
    for (a, b, c), (d, e, f) in zip(seen[:20], seen[20:]):
        np.testing.assert_array_equal(a, d), np.testing.assert_array_equal(b, e)
        assert c == f
    np.testing.assert_array_equal(net.weight.data().asnumpy(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpys)


def test_several_chains_are_taken_together_and_ties_fall_by_chance():
    def still(net, labels, seed):       # two chains that stay where they begin
        w = net.weight.data().copy()
        return [[sg.Sample({"weight": w}, step=k) for k in range(10)] for _ in range(2)]
    found = sbc(still, NET, X[:4], Gaussian(SIGMA), simulations=20)
    assert found.draws == 1 and found["draws"].number == 1 and found.verdict == "too few draws"
    found = sbc(still, NET, X[:4], Gaussian(SIGMA), simulations=20, draws=20)
    assert set(found.ranks.ravel()) == {0, 20} and found.verdict == "too narrow"
    # where the prior is a point, all draws equal the truth
    found = sbc(still, NET, X[:4], Gaussian(SIGMA), simulations=60,
                prior=lambda generator: {"weight": np.ones((1, 2))})
    assert found.draws == 10 and found.verdict == "calibrated"
    assert all(len(set(column)) > 8 for column in found.ranks.T)


def test_the_table():
    found = sbc(exact, NET, X[:4], Gaussian(SIGMA), simulations=20, weights={"weight": [1]}, draws=12)
    assert isinstance(found, Calibration) and found.draws == 12
    assert found.quantities == ["log likelihood", "weight[1]", "projection 0", "projection 1"]
    assert found.names == [*found.quantities, "draws"]
    assert "20 simulations, ranks among 12 draws: calibrated" in str(found) and "<table>" in found._repr_html_()
    assert list(found.to_frame().index) == found.names and repr(found).startswith("Calibration(")
    for name, column, p in zip(found.quantities, found.ranks.T, found.p_values):
        assert found[name].number == p == sg.metrics.uniformity(column, 12)


def test_hmc_with_a_gamma_hyperprior():
    """The hyperprior's own draws are part of the model: a chain that gets it is calibrated."""
    net, likelihood, prior = dense(1, use_bias=False), Gaussian(1.0), sg.priors.Gamma(4.0, 4.0, every=1)

    def sample(its, labels, seed):
        chain = sg.HMC(its, likelihood, (X[:3], labels), prior=prior, seed=seed, step_size=0.7, num_leapfrog=3)
        return chain.run(15, burn_in=3, adapt=False)
    found = sbc(lambda *args: sample(*args).samples, net, X[:3], likelihood, prior=prior, simulations=20, alpha=ALPHA)
    assert found.verdict in ("calibrated", "too few draws"), str(found)
    with pytest.raises(TypeError, match="returned HMC in simulation 0.*return its .samples"):
        sbc(sample, net, X[:3], likelihood, prior=prior, simulations=20)


@pytest.mark.parametrize("change, error, said", [
    ({"sample": dense(1)}, TypeError, "sample must be a function"),
    ({"sample": lambda net, labels, seed: None}, TypeError, "returned NoneType .* end it with return"),
    ({"sample": lambda net, labels, seed: exact(net, labels, seed, draws=5)}, ValueError,
     "simulation 0: chain 0 has 5 samples"),
    ({"sample": lambda net, labels, seed: exact(net, labels, seed, draws=10 + seed % 7)}, ValueError,
     "return as many every time"),
    ({"net": "net"}, TypeError, "net must be a gluon.Block"),
    ({"net": gluon.nn.Dense(1)}, ValueError, "is not initialised, or waits for its shape"),
    ({"likelihood": gluon.loss.L2Loss()}, TypeError, "likelihood must be one of sgmcmc_mx.likelihoods"),
    ({"likelihood": Gaussian("label")}, ValueError, "noise_std is not given"),
    ({"noise_std": 1.0}, ValueError, "noise_std=1.0 is given beside"),
    ({"simulations": 5}, ValueError, "simulations must be at least 20"),
    ({"draws": 0}, ValueError, "draws must be at least 1"),
    ({"draws": 100}, ValueError, "draws=100 are more than the 24 samples"),
    ({"weights": "wieght"}, ValueError, "did you mean 'weight'"),
    ({"weights": {"weight": [2]}}, ValueError, "weights: weight has 2 numbers"),
    ({"projections": -1}, ValueError, "projections must be at least 0"),
    ({"alpha": 0}, ValueError, "alpha must lie in"),
    ({"seed": -1}, ValueError, "seed must be in"),
    ({"progress": 1}, TypeError, "progress must be True or False"),
    ({"wd": 0.0}, ValueError, "from which no weights can be drawn"),
    ({"prior": "fan-in"}, ValueError, "prior got the word 'fan-in'"),
    ({"prior": {"wieght": 1.0}}, ValueError, "matches no parameter"),
    ({"prior": lambda generator: 1.0}, TypeError, "prior must return arrays"),
    ({"prior": lambda generator: {"weight": np.zeros(2)}}, ValueError, r"prior: its draw has shape \(2,\) for weight"),
    ({"prior": lambda generator: {}}, ValueError, "prior: its draw has nothing for weight"),
])
def test_what_cannot_be_calibrated_is_said(change, error, said):
    ran = []

    def sample(net, labels, seed):
        ran.append(seed)
        return exact(net, labels, seed)
    given = {"sample": sample, "net": NET, "data": X[:4], "likelihood": Gaussian(SIGMA), "simulations": 20, **change}
    with pytest.raises(error, match=said):
        sbc(**given)
    assert len(ran) <= ("draws" in change), "it was told after a chain had run"


def test_a_prior_that_is_not_gaussian_is_drawn_from_itself():
    """Ten thousand draws have the law of Student's t, and not that of a Gaussian which stands for it."""
    net = gluon.nn.Dense(100, in_units=100, use_bias=False)
    net.initialize()
    drawn = PriorDraws(net, sg.priors.StudentT(3, 1.0), 1.0)(np.random.default_rng(0))["weight"].asnumpy()
    assert stats.kstest(drawn.ravel(), stats.t(3).cdf).pvalue > 1e-6
    assert stats.kstest(drawn.ravel(), stats.norm(scale=drawn.std()).cdf).pvalue < 1e-6
