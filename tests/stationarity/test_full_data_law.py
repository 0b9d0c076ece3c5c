"""The samplers that accept and reject have the law exp(-U/T), exactly, whatever the step: no error of a discretisation
to allow for. Transitions alone on a Gaussian; the whole wiring on a conjugate regression; and mutants of both, the
mistakes that such samplers are made with, which the same checks must reject.
"""
import math

import numpy as np
import pytest
from mxnet import gluon, nd
from scipy.stats import norm

import sgmcmc_mx as sg
from sgmcmc_mx.full_data.chain import FullDataSampler
from sgmcmc_mx.full_data.potential import Potential
from sgmcmc_mx.kernels import noise
from sgmcmc_mx.samplers import hmc, metropolis
from sgmcmc_mx.samplers._adapt import DualAveraging, first_step_size

from .harness import LIMIT, assert_agrees, batch_means, worst, z_scores

T = 3.0


# ------------------------------------------------------------------------------- transitions, on a Gaussian

class Gaussian:
    """U = w^T H w / 2 of three weights in one or two arrays, in float64; the law of w at T is N(0, T H^-1).

    With ``plain`` the one array is NumPy's: a walk is the same to it, and MXNet would be called for three numbers.
    """

    H = np.array([[1.6, 0.6, 0.2], [0.6, 1.2, -0.3], [0.2, -0.3, 0.8]])

    def __init__(self, arrays=1, plain=False):
        self.arrays, self.shapes = arrays, [(3,)] if arrays == 1 else [(2,), (1, 1)]
        self.array = np.array if plain else nd.array
        self._H = self.array(self.H, dtype="float64")
        self.covariance = T * np.linalg.inv(self.H)

    def split(self, w):
        return [w] if self.arrays == 1 else [w[:2], w[2:].reshape((1, 1))]

    def with_gradient(self, position):
        w = position[0] if self.arrays == 1 else nd.concat(position[0], position[1].reshape((1,)), dim=0)
        dot = np.dot if self.array is np.array else nd.dot
        g = dot(self._H, w)
        return 0.5 * _numpy(dot(w, g)).item(), self.split(g)

    def __call__(self, position):
        return self.with_gradient(position)[0]

    def moments(self, states):
        """Means, products and U over time, as series, and what they should be."""
        w = np.array(states)
        found = {f"w{i}": w[:, i] for i in range(3)}
        expected = dict.fromkeys(found, 0.0)
        for i in range(3):
            for j in range(i + 1):
                found[f"w{i}w{j}"], expected[f"w{i}w{j}"] = w[:, i] * w[:, j], self.covariance[i, j]
        found["U"], expected["U"] = 0.5 * np.einsum("ni,ij,nj->n", w, self.H, w), 1.5 * T
        return found, expected

    def chain(self, move, transitions, seed):
        """z-scores of a chain that starts in its law. ``move`` takes a state, normals and a uniform."""
        rng = np.random.default_rng(seed)
        start = self.split(self.array(rng.multivariate_normal(np.zeros(3), self.covariance), dtype="float64"))
        state = metropolis.State(start, *self.with_gradient(start))
        blocks = [self.array(rng.standard_normal((transitions,) + s), dtype="float64") for s in self.shapes]
        states, changes = [], []
        for i, u in enumerate(rng.random(transitions)):
            state, outcome = move(state, [b[i] for b in blocks], u)
            states.append(np.concatenate([_numpy(x).ravel() for x in state.position]))
            changes.append(outcome.change / T)
        found, expected = self.moments(states)
        # The change x of a proposal that is its own inverse and keeps volume: E f(x) = E f(-x) exp(-x); f = [x < 0].
        x = np.array(changes)
        found["balance"], expected["balance"] = (x < 0) - np.exp(-np.maximum(x, 0)) * (x > 0), 0.0
        return z_scores(batch_means(found), expected)


def _numpy(x):
    return x.asnumpy() if isinstance(x, nd.NDArray) else np.asarray(x)


def check_walk(transitions=2000, seed=1, step=2.0, arrays=1):
    target = Gaussian(arrays, plain=arrays == 1)
    return target.chain(lambda s, n, u: metropolis.transition(s, target, step, T, n, u), transitions, seed)


def check_hmc(transitions=1500, seed=1, step=1.0, steps=1, mass=None, arrays=1):
    target = Gaussian(arrays)
    return target.chain(lambda s, n, u: hmc.transition(s, target.with_gradient, step, steps, T, n, u, mass),
                        transitions, seed)


@pytest.mark.parametrize("seed, arrays", [(1, 1), (2, 1), (3, 2)])
def test_the_walk_has_its_law(seed, arrays):
    scores = check_walk(4000, seed, arrays=arrays)
    assert worst(scores) < LIMIT, scores


MASS = [nd.array([2.0, 0.7], dtype="float64"), 0.4]


# Lengths at which no direction comes back to where it was: there a trajectory of fixed length stands still.
@pytest.mark.parametrize("steps, step, mass, arrays", [(1, 1.0, None, 1), (2, 0.8, None, 2), (3, 0.9, MASS, 2)])
def test_hmc_has_its_law(steps, step, mass, arrays):
    scores = check_hmc(1000, 1, step, steps, mass, arrays)
    assert worst(scores) < LIMIT, scores


def full_first_kick(real):
    def leapfrog(state, p, potential_and_gradient, h, steps, mass=None):
        return real(state, [p - 0.5 * h * g for p, g in zip(p, state.gradient)], potential_and_gradient, h, steps, mass)
    return leapfrog


def no_last_kick(real):
    def leapfrog(state, p, potential_and_gradient, h, steps, mass=None):
        end, p = real(state, p, potential_and_gradient, h, steps, mass)
        return end, [p + 0.5 * h * g for p, g in zip(p, end.gradient)]
    return leapfrog


def deciding(rule):
    """``decide`` by the rule (change, T, u) -> accepted."""
    return "decide", lambda real: lambda change, T, u: real(change, T, u)._replace(accepted=rule(change, T, u))


DECISIONS = {
    "T missing": deciding(lambda change, T, u: u < math.exp(-max(change, 0))),
    "T upside down": deciding(lambda change, T, u: u < math.exp(-max(change * T, 0))),
    "the wrong way": deciding(lambda change, T, u: u < math.exp(min(change / T, 0))),
    "all accepted": deciding(lambda change, T, u: True),
    "only improvements": deciding(lambda change, T, u: change < 0),
    "a chance that is none": deciding(lambda change, T, u: change < T),
    "twice as willing": deciding(lambda change, T, u: u < 2 * math.exp(-max(change / T, 0))),
}
ROLLS = {
    **{name: DECISIONS[name] for name in ("T missing", "all accepted")},
    "a whole first kick": ("leapfrog", full_first_kick),
    "no last half kick": ("leapfrog", no_last_kick),
    "no kinetic energy in H": ("kinetic_energy", lambda real: lambda p, mass=None: 0.0),
    "kinetic energy: 1/2 missing": ("kinetic_energy", lambda real: lambda p, mass=None: 2 * real(p, mass)),
    "momentum of T = 1": ("transition", lambda real: lambda s, f, h, L, T_, n, u, m=None: real(
        s, f, h, L, T_, [x / math.sqrt(T_) for x in n], u, m)),
    "the same momentum for ever": ("transition", lambda real: lambda s, f, h, L, T_, n, u, m=None: real(
        s, f, h, L, T_, [x * 0 + 1.0 for x in n], u, m)),
}


@pytest.mark.parametrize("mutant", DECISIONS)
def test_a_wrong_walk_is_rejected(mutant, monkeypatch):
    name, make = DECISIONS[mutant]
    monkeypatch.setattr(metropolis, name, make(getattr(metropolis, name)))
    assert worst(check_walk()) > LIMIT


# Those whose law is far off, which fewer transitions show.
FAR_OFF = ("all accepted", "no kinetic energy in H", "momentum of T = 1", "the same momentum for ever")


@pytest.mark.parametrize("mutant", [pytest.param(mutant, marks=() if mutant in FAR_OFF else pytest.mark.slow)
                                    for mutant in ROLLS])
def test_a_wrong_roll_is_rejected(mutant, monkeypatch):
    name, make = ROLLS[mutant]
    monkeypatch.setattr(hmc, name, make(getattr(hmc, name)))
    assert worst(check_hmc(600 if mutant in FAR_OFF else 1500)) > LIMIT


def test_a_walk_whose_rejections_are_not_recorded_is_rejected():
    """Its samples lie too far out, here by 37 % of |w|^2: accepted are those who come from where few proposals are."""
    rng, every, accepted = np.random.default_rng(7), [], []
    state = metropolis.State([np.ones(3)], 1.5)         # on N(0, I)
    for n, u in zip(rng.standard_normal((12000, 3)), rng.random(12000)):
        state, outcome = metropolis.transition(state, _parabola, 2.9, 1.0, [n], u)
        every.append(2 * state.potential)
        if outcome.accepted:
            accepted.append(every[-1])
    scores = [z_scores(batch_means({"w2": np.array(x)}), {"w2": 3.0})["w2"] for x in (every, accepted)]
    assert abs(scores[0]) < LIMIT < scores[1], scores


def _parabola(position):
    return 0.5 * float(np.dot(position[0], position[0]))


@pytest.mark.parametrize("accepted", [True, False])
def test_the_new_state_knows_its_own_potential_and_gradient(accepted):
    target = Gaussian(2)
    w = target.split(nd.array([0.05, -0.1, 0.2], dtype="float64"))     # near the minimum: a proposal lies higher
    state = metropolis.State(w, *target.with_gradient(w))
    normals = target.split(nd.array([1.0, 0.3, -0.7], dtype="float64"))
    for move in (lambda u: metropolis.transition(state, target, 0.5, T, normals, u),
                 lambda u: hmc.transition(state, target.with_gradient, 1.2, 2, T, normals, u)):
        new, outcome = move(0.0 if accepted else 1.0 - 1e-16)
        assert outcome.accepted == accepted == (new is not state)
        U, gradient = target.with_gradient(new.position)
        assert new.potential == U
        if new.gradient is not None:
            np.testing.assert_array_equal(new.gradient[0].asnumpy(), gradient[0].asnumpy())


@pytest.mark.parametrize("step", [0.5, 2.4, 8.0])
def test_acceptance_of_a_walk_on_one_weight(step):
    """(2 / pi) arctan(2 / s) on N(0, 1): over independent starts in the law."""
    rng = np.random.default_rng(3)
    probabilities = []
    for w, n in rng.standard_normal((2000, 2)):
        state = metropolis.State([np.array([w])], 0.5 * w * w)
        _, outcome = metropolis.transition(state, _parabola, step, 1.0, [np.array([n])], 0.5)
        probabilities.append(outcome.probability)
    assert_agrees({"acceptance": probabilities}, {"acceptance": 2 / math.pi * math.atan(2 / step)})


@pytest.mark.parametrize("d", [50, 400])
def test_acceptance_of_a_walk_on_many_weights(d):
    """2 Phi(-l/2) at s = l / sqrt(d) (Roberts, Gelman & Gilks 1997): the step shrinks as d^(-1/2), not faster."""
    rng = np.random.default_rng(4)
    probabilities = []
    for _ in range(600):
        w = [rng.standard_normal(d)]
        _, outcome = metropolis.transition(metropolis.State(w, _parabola(w)), _parabola, 2.38 / math.sqrt(d), 1.0,
                                           [rng.standard_normal(d)], 0.5)
        probabilities.append(outcome.probability)
    assert np.mean(probabilities) == pytest.approx(2 * norm.cdf(-1.19), abs=5 * 0.3 / 600 ** 0.5)


# ------------------------------------------------------------------------------------------ leapfrog, on a curved U

class Curved:
    """U = sum w^4 / 4 + w^2 / 2, and a product that couples neighbours; float64."""

    def __call__(self, position):
        w = position[0]
        neighbour = nd.concat(w[1:], w[:1], dim=0)
        before = nd.concat(w[-1:], w[:-1], dim=0)
        U = (w ** 4 / 4 + w ** 2 / 2 + 0.3 * w * neighbour).sum()
        return float(U.asscalar()), [w ** 3 + w + 0.3 * (neighbour + before)]


def _roll(w, p, h, steps, mass=None):
    """(w, p) after the leapfrog steps, as arrays, and the change of H."""
    w, p = nd.array(w, dtype="float64"), [nd.array(p, dtype="float64")]
    state = metropolis.State([w], *Curved()([w]))
    end, q = hmc.leapfrog(state, p, Curved(), h, steps, mass)
    change = end.potential - state.potential + hmc.kinetic_energy(q, mass) - hmc.kinetic_energy(p, mass)
    return end.position[0].asnumpy(), q[0].asnumpy(), change


START = np.random.default_rng(5).standard_normal((2, 4))
MASSES = [None, [nd.array([0.5, 2.0, 1.0, 3.0], dtype="float64")]]


def _slope():
    """log2 of what halving h does to the root mean square energy error over a fixed time."""
    starts = np.random.default_rng(6).standard_normal((6, 2, 4))
    errors = [np.sqrt(np.mean([_roll(w, p, 1.6 / steps, steps)[2] ** 2 for w, p in starts])) for steps in (16, 32, 64)]
    return np.log2(errors[0] / errors[1]), np.log2(errors[1] / errors[2])


def test_energy_error_is_of_second_order():
    assert _slope() == pytest.approx((2.0, 2.0), abs=0.1)


@pytest.mark.parametrize("mutant", [full_first_kick, no_last_kick])
def test_energy_error_gives_a_missing_half_kick_away(mutant, monkeypatch):
    monkeypatch.setattr(hmc, "leapfrog", mutant(hmc.leapfrog))
    assert max(_slope()) < 1.5


@pytest.mark.parametrize("mass", MASSES)
def test_rolling_back_comes_back(mass):
    w, p, _ = _roll(*START, 0.2, 15, mass)
    assert np.abs(w - START[0]).max() > 0.3
    w, p, _ = _roll(w, -p, 0.2, 15, mass)
    np.testing.assert_allclose((w, -p), START, atol=1e-12)


def test_rolling_back_gives_a_missing_half_kick_away(monkeypatch):
    monkeypatch.setattr(hmc, "leapfrog", full_first_kick(hmc.leapfrog))
    w, p, _ = _roll(*START, 0.2, 15)
    w, p, _ = _roll(w, -p, 0.2, 15)
    assert np.abs(w - START[0]).max() > 1e-3


@pytest.mark.parametrize("mass", MASSES)
def test_rolling_keeps_volume(mass):
    """The determinant of the derivative of (w', p') by (w, p), by central differences."""
    columns = []
    for e in np.eye(8) * 1e-5:
        ends = [np.concatenate(_roll(*(START + sign * e.reshape(2, 4)), 0.3, 5, mass)[:2]) for sign in (1, -1)]
        columns.append((ends[0] - ends[1]) / 2e-5)
    assert np.linalg.det(np.array(columns)) == pytest.approx(1.0, abs=1e-7)
    assert np.abs(np.array(columns) - np.eye(8)).max() > 0.5


# ------------------------------------------------------------------- the wiring, on a conjugate regression

N, D, PRIOR, SIGMA, BATCH = 10, 3, 6.0, 0.7, 6


class Regression:
    """y = X w + SIGMA n, prior w ~ N(0, 1/PRIOR), at the temperature T: conjugate. The last batch is short."""

    def __init__(self, dtype="float32"):
        rng = np.random.default_rng(8)
        self.X = rng.standard_normal((N, D)).astype("float32")
        self.y = (self.X @ rng.normal(0, 0.7, (D, 1)) + SIGMA * rng.standard_normal((N, 1))).astype("float32")
        X, y = self.X.astype(float), self.y[:, 0].astype(float)
        self.H = X.T @ X / SIGMA ** 2 + PRIOR * np.eye(D)
        self.covariance = T * np.linalg.inv(self.H)
        self.mean = np.linalg.solve(self.H, X.T @ y / SIGMA ** 2)
        self.least = 0.5 * ((y - X @ self.mean) ** 2).sum() / SIGMA ** 2 + 0.5 * PRIOR * self.mean @ self.mean + \
            N * math.log(SIGMA * math.sqrt(2 * math.pi))
        self.dtype = dtype

    def build(self, sampler, **options):
        net = gluon.nn.Dense(1, use_bias=False, in_units=D)
        net.initialize()
        net.cast(self.dtype)
        start = np.random.default_rng(9).multivariate_normal(self.mean, self.covariance)
        net.weight.set_data(nd.array(start[None]))
        net.hybridize()
        likelihood = sg.likelihoods.Gaussian(SIGMA)
        likelihood.hybridize()
        return sampler(net, likelihood, (self.X, self.y), wd=PRIOR, temperature=T, batch_size=BATCH, seed=1, **options)

    def scores(self, chain):
        """z-scores of the samples' moments, and of their recorded potential."""
        w = np.stack([s["weight"].asnumpy().ravel() for s in chain.samples]).astype(float) - self.mean
        found, expected = {}, {}
        for i in range(D):
            found[f"w{i}"], expected[f"w{i}"] = w[:, i], 0.0
            for j in range(i + 1):
                found[f"w{i}w{j}"], expected[f"w{i}w{j}"] = w[:, i] * w[:, j], self.covariance[i, j]
        found["U"] = np.array([s.potential for s in chain.samples]) - self.least
        expected["U"] = 0.5 * D * T
        return z_scores(batch_means(found), expected)


def check_metropolis(num_samples=300, step_size=0.5):
    problem = Regression()
    return problem.scores(problem.build(sg.MetropolisHastings, step_size=step_size).run(num_samples))


def test_metropolis_hastings_has_the_conjugate_posterior():
    scores = check_metropolis(600)
    assert worst(scores) < LIMIT, scores


def test_hmc_has_the_conjugate_posterior():
    problem = Regression()
    scores = problem.scores(problem.build(sg.HMC, step_size=0.3, num_leapfrog=2).run(300))
    assert worst(scores) < LIMIT, scores


def last_batch_dropped(real):
    return lambda self: (batch for batch in self._data if len(batch[1]) == BATCH)


WRONG = {
    "the prior's sign": (Potential, "prior_energy", lambda real: lambda self, w: -real(self, w)),
    "the prior twice": (Potential, "prior_energy", lambda real: lambda self, w: 2 * real(self, w)),
    "no prior": (Potential, "prior_energy", lambda real: lambda self, w: 0.0),
    "the last batch dropped": (Potential, "_batches", last_batch_dropped),
    "T missing": (metropolis, "decide", lambda real: lambda change, T_, u: real(change, 1.0, u)),
    "the same proposal for ever": (noise, "normals", lambda real: lambda sizes, seed, step, i, s: real(
        sizes, seed, 7, i, s)),
}


@pytest.mark.parametrize("mutant", WRONG)
def test_a_wrong_wiring_is_rejected(mutant, monkeypatch):
    owner, name, make = WRONG[mutant]
    monkeypatch.setattr(owner, name, make(getattr(owner, name)))
    assert worst(check_metropolis()) > LIMIT


# --------------------------------------------------------------------------------------------------- step sizes

@pytest.mark.parametrize("sampler, target, options", [
    (sg.MetropolisHastings, 0.234, {}), (sg.HMC, 0.651, {"num_leapfrog": 1, "jitter": 0.0})])
def test_burn_in_tunes_to_the_optimum_and_then_stops(sampler, target, options):
    problem = Regression()
    chain = problem.build(sampler, **options).run(0, burn_in=300)
    tuned, steps = chain.step_size, set()
    assert chain.acceptance_rate is None
    for _ in range(300):
        chain.step()
        steps.add(chain.step_size)
    assert steps == {chain.step_size} and chain.step_size == tuned
    assert chain.acceptance_rate == pytest.approx(target, abs=0.1)


@pytest.mark.parametrize("sampler, options", [(sg.MetropolisHastings, {}), (sg.HMC, {"num_leapfrog": 1})])
def test_tuning_that_goes_on_after_burn_in_is_seen(sampler, options, monkeypatch):
    """The step size is the same at every transition that gives a sample; in a chain that tunes on it is not."""
    def step_sizes():
        chain, seen = Regression().build(sampler, **options).run(0, burn_in=30), set()
        real = type(chain)._transition
        monkeypatch.setattr(sampler, "_transition", lambda self, *args: seen.add(self._step_size) or real(self, *args))
        chain.run(10, thin=2)
        monkeypatch.setattr(sampler, "_transition", real)
        return seen

    assert len(step_sizes()) == 1
    move = FullDataSampler._move
    monkeypatch.setattr(FullDataSampler, "_move", lambda self, adapt: move(self, True))
    assert len(step_sizes()) == 20


def test_dual_averaging_finds_a_known_answer():
    """Acceptance 2 Phi(-h/2) with noise: .651 at h = .9045, .234 at h = 2.380, from far away in both directions."""
    rng = np.random.default_rng(10)
    for target in (0.234, 0.651):
        exact = -2 * norm.ppf(target / 2)
        for start in (1e-3, 50.0):
            tuning = DualAveraging(start, target)
            for _ in range(4000):
                tuning.update(float(rng.random() < 2 * norm.cdf(-tuning.step_size / 2)))
            assert tuning.settled == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("start", [1e-4, 1.0, 3e3])
def test_the_first_step_size_is_where_acceptance_crosses_one_half(start):
    found = first_step_size(lambda h: 2 * norm.cdf(-h / 2), start)
    assert 1.3 / 2 <= found <= 1.4 * 2      # 2 Phi(-h/2) = 1/2 at 1.349, and within a factor of 2 of it


def test_double_precision_networks():
    problem = Regression("float64")
    chain = problem.build(sg.HMC, step_size=0.28, num_leapfrog=2).run(2)
    assert chain.samples[0]["weight"].dtype == np.float64
    w = chain.samples[1]["weight"].asnumpy().ravel() - problem.mean
    assert chain.potential == pytest.approx(problem.least + 0.5 * w @ problem.H @ w, rel=1e-12)
