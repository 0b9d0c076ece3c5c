"""Transitions of MetropolisHastings and HMC: seeds, interruptions, what is not finite, and step sizes."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from full_data_chains import BOTH, build, by_hand, flat, hamiltonian, metropolis, weights
from mxnet import gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg
from sgmcmc_mx.full_data.potential import Potential

# ---------------------------------------------------------------- the chain

@BOTH
def test_at_a_high_temperature_everything_is_accepted(make, data):
    chain = make(data, temperature=1e9, step_size=1e-2).run(60)
    assert chain.acceptance_rate == 1.0
    assert metropolis(data, temperature=1e-9, step_size=0.3).run(60).acceptance_rate < 0.5


@BOTH
def test_a_seed_decides_the_chain_however_it_is_run(make, data):
    def chain(runs, **options):
        mx.random.seed(5)
        sampler = make(data, **options)
        for samples, burn_in in runs:
            sampler.run(samples, burn_in=burn_in)
        return np.stack([flat(s) for s in sampler.samples])

    one = chain([(5, 4)])
    np.testing.assert_array_equal(chain([(2, 4), (0, 0), (3, 0)]), one)
    assert np.abs(chain([(5, 4)], seed=1) - one).max() > 0
    drawn = chain([(5, 4)], seed=None)
    np.testing.assert_array_equal(chain([(5, 4)], seed=None), drawn)      # from MXNet's generator
    assert np.abs(drawn - one).max() > 0


def test_the_two_samplers_share_no_noise(data):
    a, b = metropolis(data), hamiltonian(data)
    for chain in (a, b):
        chain.step()
    drawn = [c._normals(1, s)[0].asnumpy() for c, s in ((a, sg.kernels.noise.PROPOSAL), (b, sg.kernels.noise.MOMENTUM))]
    assert np.abs(drawn[0] - drawn[1]).min() > 0
    streams = {sg.kernels.noise.uniform(0, 1, s) for s in range(5)}
    assert len(streams) == 5 and all(0 < u < 1 for u in streams)


def test_a_step_size_varies_by_numbers_of_its_own(data, monkeypatch):
    """Not by those that accept: a short trajectory would then be accepted for its shortness."""
    streams, real = [], sg.kernels.noise.uniform
    monkeypatch.setattr(sg.kernels.noise, "uniform", lambda *key: streams.append(key[-1]) or real(*key))
    hamiltonian(data).step()
    assert sorted(streams) == [sg.kernels.noise.ACCEPT, sg.kernels.noise.JITTER]


def test_uniforms_are_the_upper_bits_of_their_words_and_uniform():
    """On (0, 1) with ends excluded, whatever the words; 4,000 of them by mean and variance."""
    high, low = (int(w[0]) for w in sg.kernels.noise.words(0, 1, 9, 2 ** 40 + 3, 0, sg.kernels.noise.ACCEPT)[:2])
    u = sg.kernels.noise.uniform(9, 2 ** 40 + 3, sg.kernels.noise.ACCEPT)
    assert u == pytest.approx(high / 2 ** 32 + low / 2 ** 64, abs=2 ** -50) and 0.5 * 2.0 ** -52 < u
    assert (2 ** 52 - 1 + 0.5) * 2.0 ** -52 < 1.0
    many = np.array([sg.kernels.noise.uniform(0, step, sg.kernels.noise.ACCEPT) for step in range(4000)])
    assert abs(many.mean() - 0.5) < 5 / (12 * 4000) ** 0.5
    assert abs(many.var() - 1 / 12) < 5 * (1 / 180 / 4000) ** 0.5


def test_an_interrupted_first_guess_leaves_the_weights(data, monkeypatch):
    net = build()
    net(nd.array(data[0]))
    chain, before = hamiltonian(data, net, step_size=None), weights(net)
    calls, real = [], Potential.slope

    def interrupted(self, place):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, place)

    monkeypatch.setattr(Potential, "slope", interrupted)
    with pytest.raises(KeyboardInterrupt):
        chain.run(1)
    for name, value in weights(net).items():
        np.testing.assert_array_equal(value, before[name])


@BOTH
def test_the_chain_goes_on_from_where_the_network_is(make, data):
    net = build()
    chain = make(data, net).run(3)
    for p in net.collect_params().values():
        p.set_data(p.data() * 0)
    U = by_hand(net, data)
    assert chain.potential != pytest.approx(U)
    chain.collect()
    assert chain.samples[-1].potential == pytest.approx(U, rel=1e-5)
    assert np.abs(flat(chain.samples[-1])).max() == 0


@BOTH
def test_an_interrupted_transition_leaves_the_old_weights(make, data, monkeypatch):
    net = build()
    chain = make(data, net).run(2)
    before, real = weights(net), Potential._per_example

    def interrupted(self, batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(Potential, "_per_example", interrupted)
    with pytest.raises(KeyboardInterrupt):
        chain.run(5)
    for name, value in weights(net).items():
        np.testing.assert_array_equal(value, before[name])
    monkeypatch.setattr(Potential, "_per_example", real)
    assert len(chain.run(1).samples) == 3 and chain.num_steps == 3


@BOTH
def test_the_chain_goes_on_where_the_network_is_initialised_anew(make, data):
    """The parameters then have other arrays."""
    net = build()
    chain = make(data, net).run(3)
    net.initialize(mx.init.Normal(0.3), force_reinit=True)
    U = by_hand(net, data)
    chain.collect()
    assert chain.samples[-1].potential == pytest.approx(U, rel=1e-5)
    chain.run(20)
    assert np.abs(flat(chain.samples[-1]) - flat(chain.samples[3])).max() > 0
    assert chain.potential == pytest.approx(by_hand(net, data), rel=1e-5)


@BOTH
def test_a_potential_under_a_hyperprior_is_that_of_the_last_draw(make, data):
    """By hand, with a parameter whose wd_mult multiplies the precision drawn."""
    net = build()
    net(nd.array(data[0]))
    net[1].weight.wd_mult = 4.0
    chain = make(data, net, prior=sg.priors.Gamma(2.0, 1.0, every=1), temperature=0.7).run(3)
    assert set(chain.hyper) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    squares = {n: (w.astype(float) ** 2).sum() * (4.0 if n == "1.weight" else 1.0) for n, w in weights(net).items()}
    U = by_hand(net, data, 0.0) + 0.5 * sum(chain.hyper[n] * square for n, square in squares.items())
    assert chain.samples[-1].potential == pytest.approx(U, rel=1e-5)


@pytest.mark.parametrize("change, T, diverged", [(50.0, 0.01, 1), (50.0, 1.0, 0), (1500.0, 1.0, 1), (1500.0, 2.0, 0),
                                                 (float("nan"), 1.0, 1), (-5000.0, 1.0, 0)])
def test_a_divergence_is_a_rise_by_a_thousand_temperatures(data, change, T, diverged):
    chain = hamiltonian(data, temperature=T)
    chain._count(sg.samplers.metropolis.Outcome(False, 0.0, change))
    assert chain.num_divergences == diverged


@pytest.mark.parametrize("last_batch", ["keep", "discard"])
def test_a_resumable_loader_is_predicted_whole_in_the_order_of_its_data(data, last_batch):
    """Not in that of the epoch under way, nor what is left of it, and the training loop goes on where it was."""
    loader = sg.data.ResumableLoader(gluon.data.ArrayDataset(*data), 7, last_batch=last_batch, seed=0)
    next(iter(loader))
    chain = hamiltonian(data).run(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        np.testing.assert_allclose(chain.predict(loader), chain.predict(data[0]), rtol=1e-5, atol=1e-6)
    assert (loader.epoch, loader.index) == (0, 1)


def test_acceptance_is_tuned_to_what_theory_says(data):
    assert metropolis(data).target_acceptance == 0.234 and hamiltonian(data).target_acceptance == 0.651


@BOTH
def test_data_that_change_from_pass_to_pass_are_refused(make, data):
    pairs, rng = gluon.data.ArrayDataset(*data), np.random.RandomState(0)

    def moved(x):
        return x + rng.normal(size=x.shape).astype("float32")

    with pytest.raises(ValueError, match="data differs from pass to pass"):
        make(gluon.data.DataLoader(pairs.transform_first(moved), 7)).run(1)
    chain = make(gluon.data.DataLoader(pairs, 7, shuffle=True)).run(3)
    assert len(chain.samples) == 3


def test_trajectories_have_the_length_asked_for(data):
    chain = hamiltonian(data, num_leapfrog=4).run(3)
    assert chain.num_passes == 1 + 3 * 4
    chain = hamiltonian(data, num_leapfrog=None, integration_time=0.6, step_size=0.2).run(3)
    assert chain.num_passes == 1 + 3 * 3
    assert hamiltonian(data, num_leapfrog=None).num_leapfrog == 10
    assert metropolis(data).run(7).num_passes == 1 + 7


def test_a_trajectory_that_comes_back_needs_jitter():
    """Flat data and one weight: U = w^2 / 2, whose period at h = 1 is six steps exactly (cos = 1/2)."""
    def spread(jitter):
        net = gluon.nn.Dense(1, use_bias=False, in_units=1)
        net.initialize()
        net.weight.set_data(nd.array([[1.3]]))
        chain = sg.HMC(net, sg.likelihoods.Gaussian(), (np.zeros((1, 1)), np.zeros((1, 1))), step_size=1.0, seed=0,
                       num_leapfrog=6, jitter=jitter).run(30)
        return np.ptp([flat(s)[0] for s in chain.samples])

    assert spread(0.0) < 1e-4 and spread(0.1) > 1.0


def test_mass_is_a_change_of_the_weights_unit(data):
    """Mass m is the chain of weights sqrt(m) times as large: the same as step_size / sqrt(m) for all."""
    net = build()
    net(nd.array(data[0]))
    start = {n: p.data().copy() for n, p in net._collect_params_with_prefix().items()}
    arrays = {n: np.full(p.shape, 4.0) for n, p in start.items()}
    ends = []
    for mass, step in ((4.0, 0.2), ({".*": 4.0}, 0.2), (arrays, 0.2), (None, 0.1)):
        for n, p in net._collect_params_with_prefix().items():
            p.set_data(start[n])
        ends.append(flat(hamiltonian(data, net, mass=mass, step_size=step).run(3).samples[-1]))
        np.testing.assert_allclose(ends[-1], ends[0], atol=1e-5)
    heavy = hamiltonian(data, net, mass={"0.weight": 1e12})
    before = weights(net)
    heavy.run(3)
    assert np.abs(weights(net)["0.weight"] - before["0.weight"]).max() < 1e-5
    assert np.abs(weights(net)["1.weight"] - before["1.weight"]).max() > 1e-3


# ---------------------------------------------------------------- what is not finite

class Bounded(sg.likelihoods.Categorical):
    """Infinite or undefined where the first output is above a bound."""

    def __init__(self, bound, value):
        super().__init__()
        self.bound, self.value = bound, value

    def _nll(self, F, output, label):
        over = F.max(output) > self.bound
        return super()._nll(F, output, label) + F.where(over, F.ones_like(over) * self.value, F.zeros_like(over))


@BOTH
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf")])
def test_a_potential_that_is_not_finite_is_never_accepted(make, data, value):
    net = build()
    net(nd.array(data[0]))
    bound = net(nd.array(data[0])).max().asscalar() + 0.05
    sampler, options = (sg.MetropolisHastings, {"step_size": 0.05}) if make is metropolis else (
        sg.HMC, {"step_size": 0.025, "num_leapfrog": 4})
    chain = sampler(net, Bounded(bound, value), data, seed=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chain.run(40)
    assert all(np.isfinite(s.potential) for s in chain.samples)
    assert 0 < chain.num_nonfinite < 40 and chain.acceptance_rate <= 1 - chain.num_nonfinite / 40
    for p in net.collect_params().values():
        p.set_data(nd.ones_like(p.data()) * 9)
    with pytest.raises(ValueError, match="no chain can start"):
        chain.run(1)


def test_divergences_are_counted_and_told(data):
    chain = hamiltonian(data, step_size=3.0, num_leapfrog=10)
    with pytest.warns(UserWarning, match=r"transitions diverged and were rejected.*step_size below 3"):
        chain.run(30)
    assert 0 < chain.num_divergences <= 30
    assert hamiltonian(data, step_size=0.05).run(30).num_divergences == 0


def test_a_chain_that_does_not_move_says_so(data):
    with pytest.warns(UserWarning, match="0 of 100 proposals were accepted.*step_size below 50"):
        metropolis(data, step_size=50.0).run(100)


# ---------------------------------------------------------------- step sizes

@BOTH
def test_a_step_size_is_found_and_tuned_in_burn_in_alone(make, data):
    chain = make(data, step_size=None)
    assert chain.step_size is None and chain.acceptance_rate is None
    chain.run(5)
    found = chain.step_size
    assert 1e-3 < found < 10
    chain.run(0, burn_in=30)
    tuned = chain.step_size
    assert tuned != found and chain.run(20).step_size == tuned
    assert chain.run(0, burn_in=10, adapt=False).step_size == tuned
    assert chain.run(0, burn_in=10).step_size != tuned
