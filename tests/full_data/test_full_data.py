"""MetropolisHastings and HMC: the potential over all data, what is kept of a chain, and what its user may get wrong."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg
from sgmcmc_mx.full_data.potential import Potential

N, D, K = 23, 4, 3


@pytest.fixture
def data():
    r = np.random.RandomState(0)
    return r.normal(size=(N, D)).astype("float32"), r.randint(0, K, N).astype("int32")


def build(*extra, dtype="float32", units=K, in_units=D):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(5, in_units=in_units, activation="tanh"), *extra, gluon.nn.Dense(units))
    net.initialize(mx.init.Xavier())
    net.cast(dtype)
    return net


def metropolis(data, net=None, **options):
    options = {"seed": 0, "step_size": 0.1, **options}
    return sg.MetropolisHastings(build() if net is None else net, sg.likelihoods.Categorical(), data, **options)


def hamiltonian(data, net=None, **options):
    options = {"seed": 0, "step_size": 0.1, "num_leapfrog": 3, **options}
    return sg.HMC(build() if net is None else net, sg.likelihoods.Categorical(), data, **options)


BOTH = pytest.mark.parametrize("make", [metropolis, hamiltonian])


def weights(net):
    return {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}


def flat(sample):
    return np.concatenate([sample[n].asnumpy().ravel() for n in sorted(sample)])


def by_hand(net, data, precision=1.0):
    """U by the formula, in float64."""
    z = net(nd.array(data[0], dtype=net[0].weight.dtype)).asnumpy().astype(float)
    log_p = z[np.arange(len(z)), data[1]] - np.log(np.exp(z).sum(1))
    return -log_p.sum() + 0.5 * precision * sum((w.astype(float) ** 2).sum() for w in weights(net).values())


# ---------------------------------------------------------------- the potential

def kinds_of_data(x, y):
    pairs = gluon.data.ArrayDataset(x, y)
    return {
        "arrays": (x, y), "NDArrays": [nd.array(x), nd.array(y)], "float64": (x.astype("float64"), y.astype("int64")),
        "a loader": gluon.data.DataLoader(pairs, 7),
        "a shuffling loader": gluon.data.DataLoader(pairs, 7, shuffle=True),
        "a resumable loader": _begun(sg.data.ResumableLoader(pairs, 7, seed=0)),
        "a list": [(x[:10], y[:10]), (x[10:], y[10:])],
        "an iterator": mx.io.NDArrayIter(x, y, 7, last_batch_handle="pad")}


def _begun(loader):
    next(iter(loader))
    return loader


def test_every_kind_of_data_gives_the_potential_and_its_gradient(data):
    net = build()
    net(nd.array(data[0]))
    found = []
    for kind, given in kinds_of_data(*data).items():
        U = Potential(net, sg.likelihoods.Categorical(), given, batch_size=6, wd=2.0)
        position = U.position()
        value, gradient = U.with_gradient(position)
        assert U(position) == pytest.approx(value, rel=1e-7) == pytest.approx(by_hand(net, data, 2.0), rel=1e-6), kind
        assert U.num_data == N and U.passes == 2
        found.append(np.concatenate([g.asnumpy().ravel() for g in gradient]))
        np.testing.assert_allclose(found[-1], found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hybrid", [None, {}, {"static_alloc": True}, {"static_alloc": True, "static_shape": True}])
def test_gradient_is_that_of_the_potential_in_predict_mode(data, hybrid):
    """By central differences, with layers that behave otherwise in training; batches of two sizes."""
    net = build(gluon.nn.BatchNorm(), gluon.nn.Dropout(0.5), dtype="float64")
    x = nd.array(data[0], dtype="float64")
    with autograd.record():     # running statistics that are not 0 and 1
        net(3.0 * x + 1.0)
    if hybrid is not None:
        net.hybridize(**hybrid)
    U = Potential(net, sg.likelihoods.Categorical(), data, batch_size=9, prior={".*bias": 0.5}, wd=3.0)
    before = {n: w for n, w in weights(net).items() if "running" in n}
    position, rng = U.position(), np.random.RandomState(1)
    _, gradient = U.with_gradient(position)
    for _ in range(3):
        direction = [nd.array(rng.normal(size=w.shape), dtype="float64") for w in position]
        up, down = (U([w + h * v for w, v in zip(position, direction)]) for h in (1e-5, -1e-5))
        slope = sum(float((g * v).sum().asscalar()) for g, v in zip(gradient, direction))
        assert slope == pytest.approx((up - down) / 2e-5, rel=1e-6)
    assert U(position) == U(position)
    for name, value in before.items():
        np.testing.assert_array_equal(weights(net)[name], value)


def test_gradients_of_any_grad_req_and_of_sparse_rows(data):
    """What was in the gradient buffers before is nothing to them."""
    labels = data[1]
    found = []
    for req, sparse in (("write", False), ("add", False), ("write", True)):
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Embedding(6, 4, sparse_grad=sparse), gluon.nn.Dense(K, in_units=4))
        net.initialize()
        for i, p in enumerate(net.collect_params().values()):
            p.set_data(nd.array(np.random.RandomState(i).normal(size=p.shape)))
            p.grad_req = req
        U = Potential(net, sg.likelihoods.Categorical(), (np.arange(N) % 5, labels), batch_size=8)
        for _ in range(2):
            _, gradient = U.with_gradient(U.position())
        found.append(np.concatenate([g.asnumpy().ravel() for g in gradient]))
        np.testing.assert_allclose(found[-1], found[0], rtol=1e-5, atol=1e-6)


def test_priors_go_by_name_fan_in_and_wd_mult(data):
    net = build()
    net(nd.array(data[0]))
    net[1].bias.wd_mult = 4.0
    U = Potential(net, sg.likelihoods.Categorical(), data, wd=3.0, prior={"0.weight": 7.0, ".*weight": "fan_in"})
    known = dict(zip(("0.weight", "0.bias", "1.weight", "1.bias"), U.precisions))
    assert known == {"0.weight": 7.0, "0.bias": 3.0, "1.weight": 5.0, "1.bias": 12.0}
    zero = [w * 0 for w in U.position()]
    only = [w if i == 3 else z for i, (w, z) in enumerate(zip(U.position(), zero))]
    only[3][:] = 1.0
    assert U._prior(only) == pytest.approx(0.5 * 12.0 * K)


# ---------------------------------------------------------------- collecting

@BOTH
def test_samples_come_after_burn_in_every_thin_transitions(make, data):
    chain = make(data).run(3, burn_in=5, thin=2)
    assert [s.step for s in chain.samples] == [7, 9, 11] and chain.num_steps == 11
    chain.run(2)
    assert [s.step for s in chain.samples] == [7, 9, 11, 12, 13]
    np.testing.assert_array_equal(chain.samples.weights, np.full(5, 0.2))


@pytest.mark.parametrize("make, step_size", [(metropolis, 0.15), (hamiltonian, 0.35)])
def test_a_rejected_proposal_records_the_old_weights_again(make, step_size, data):
    """And an accepted one the new weights, which are then those of the network."""
    net = build()
    chain = make(data, net, step_size=step_size)
    chain.collect()
    outcomes = []
    for _ in range(40):
        outcomes.append(chain.step().accepted)
        chain.collect()
        now = weights(net)
        for name, value in chain.samples[-1].items():
            np.testing.assert_array_equal(value.asnumpy(), now[name])
    assert len(chain.samples) == 41 and 3 < sum(outcomes) < 37
    moved = [np.abs(flat(a) - flat(b)).max() > 0 for a, b in zip(chain.samples, chain.samples[1:])]
    assert moved == outcomes
    assert chain.acceptance_rate == np.mean(outcomes)


@BOTH
def test_a_sample_knows_its_potential_over_all_data(make, data):
    net = build()
    chain = make(data, net, batch_size=10).run(4)
    for sample in chain.samples:
        for n, p in net._collect_params_with_prefix().items():
            p.set_data(sample[n])
        assert sample.potential == pytest.approx(by_hand(net, data), rel=1e-5)
        assert sample.weight == 1.0 and sample.temperature is None and sample.friction is None


@BOTH
def test_what_is_frozen_stays_and_is_kept(make, data):
    net = build(gluon.nn.BatchNorm())
    net(nd.array(data[0]))
    net[0].weight.grad_req = "null"
    net[2].bias.lr_mult = 0.0
    before = weights(net)
    chain = make(data, net, temperature=50.0).run(3)
    assert set(chain.samples[0]) == set(before)
    for name, value in chain.samples[-1].items():
        still = name in ("0.weight", "2.bias", "1.running_mean", "1.running_var")
        assert np.array_equal(value.asnumpy(), before[name]) == still, name


@BOTH
def test_shared_parameters_move_once(make, data):
    net = gluon.nn.HybridSequential()
    first = gluon.nn.Dense(4, in_units=D)
    net.add(first, gluon.nn.Dense(4, in_units=4, params=first.params), gluon.nn.Dense(K, in_units=4))
    net.initialize()
    chain = make(data, net).run(2)
    assert len(chain._potential.params) == 4
    assert chain.samples[0]["0.weight"] is chain.samples[0]["1.weight"]


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
    calls, real = [], Potential.with_gradient

    def interrupted(self, position):
        calls.append(1)
        if len(calls) == 4:
            self.load(position)
            raise KeyboardInterrupt
        return real(self, position)

    monkeypatch.setattr(Potential, "with_gradient", interrupted)
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

    def interrupted(self, x, y):
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
    sampler, step = (sg.MetropolisHastings, 0.05) if make is metropolis else (sg.HMC, 0.01)
    chain = sampler(net, Bounded(bound, value), data, seed=0, step_size=step)
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


# ---------------------------------------------------------------- predicting

@BOTH
def test_predict_is_that_of_a_trainer_with_the_same_samples(make, data):
    net = build()
    net(nd.array(data[0]))
    chain = make(data, net).run(5, thin=2)
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": N}, sg.likelihoods.Categorical(), seed=0)
    trainer.samples = chain.samples
    own = weights(net)
    np.testing.assert_array_equal(chain.predict(data[0]), trainer.predict(data[0]))
    assert chain.predict(data[0], samples=True).shape == (5, N, K)
    assert chain.predict(data[0], "identity").shape == (N, K)
    for name, value in weights(net).items():
        np.testing.assert_array_equal(value, own[name])


def test_regression_with_quantiles(data):
    chain = sg.HMC(build(units=1), sg.likelihoods.Gaussian(0.5), (data[0], data[0][:, :1]), step_size=0.02, seed=0)
    r = chain.run(10).predict(data[0], quantiles=(0.05, 0.95))
    assert r.mean.shape == (N, 1) and (r.quantiles[0] < r.quantiles[1]).all() and (r.weight_std > 0).all()


def test_layers_that_only_training_changes_are_sound_here(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        metropolis(data, build(gluon.nn.BatchNorm(), gluon.nn.Dropout(0.5))).run(3).predict(data[0])


def test_numpy_interface_networks(data):
    mx.npx.set_np()
    try:
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(8, in_units=D, activation="relu"), gluon.nn.Dense(K, in_units=8))
        net.initialize()
        for sampler in (sg.MetropolisHastings, sg.HMC):
            chain = sampler(net, sg.likelihoods.Categorical(), data, step_size=0.05, batch_size=10, seed=0).run(4)
            probs = chain.predict(data[0])
            assert chain.acceptance_rate > 0
    finally:
        mx.npx.reset_np()
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)


def test_gluons_own_losses_serve_where_they_are_a_log_likelihood(data):
    net = build()
    chain = sg.HMC(net, gluon.loss.SoftmaxCrossEntropyLoss(), data, step_size=0.05, seed=0).run(2)
    assert chain.potential == pytest.approx(by_hand(net, data), rel=1e-6)
    assert chain.predict(data[0], "softmax").shape == (N, K)


def test_progress_bar_shows_the_chain(data, capsys):
    metropolis(data).run(3, burn_in=2, progress=True)
    shown = capsys.readouterr().err
    assert "5/5" in shown and "samples=3" in shown


# ---------------------------------------------------------------- bad input

def _two_contexts():
    net = gluon.nn.Dense(K, in_units=D)
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    return net


def _frozen():
    net = build()
    for p in net.collect_params().values():
        p.grad_req = "null"
    return net


def _changing(d):
    class Changing:
        count = 0

        def __iter__(self):
            self.count += 1
            yield d[0][self.count:], d[1][self.count:]

    return hamiltonian(Changing()).run(3)


BAD = [
    ("net", lambda d: metropolis(d, build().collect_params()), TypeError, "net must be a gluon.Block"),
    ("no parameters", lambda d: metropolis(d, gluon.nn.HybridSequential()), ValueError, "no parameters"),
    ("uninitialised", lambda d: metropolis(d, gluon.nn.Dense(3)), RuntimeError, "net.initialize()"),
    ("frozen", lambda d: metropolis(d, _frozen()), ValueError, "no parameter to sample"),
    ("contexts", lambda d: metropolis(d, _two_contexts()), ValueError, "reset_ctx"),
    ("float16", lambda d: metropolis(d, build(dtype="float16")), ValueError, "net.cast('float32')"),
    ("likelihood", lambda d: sg.HMC(build(), "softmax", d), TypeError, "likelihood must be a loss"),
    ("likelihood class", lambda d: sg.HMC(build(), sg.likelihoods.Categorical, d), TypeError, "not a class"),
    ("a mean loss", lambda d: sg.HMC(build(), lambda z, y: z.mean(), d, step_size=1).run(1), ValueError,
     "leave out .mean()"),
    ("temperature", lambda d: metropolis(d, temperature=0), ValueError, "temperature must lie in (0, inf)"),
    ("step size", lambda d: metropolis(d, step_size=-1), ValueError, "step_size must lie in"),
    ("target", lambda d: metropolis(d, target_acceptance=1.0), ValueError, "target_acceptance must lie in (0, 1)"),
    ("seed", lambda d: metropolis(d, seed=-1), ValueError, "seed must be in"),
    ("wd", lambda d: metropolis(d, wd=-1), ValueError, "wd must lie in"),
    ("prior", lambda d: metropolis(d, prior={"7.weight": 1.0}), ValueError, "matches no parameter"),
    ("unknown", lambda d: hamiltonian(d, stepsize=1), TypeError, "did you mean 'step_size'?"),
    ("learning rate", lambda d: metropolis(d, learning_rate=1), TypeError, "unknown option 'learning_rate'"),
    ("leapfrog", lambda d: hamiltonian(d, num_leapfrog=0), ValueError, "num_leapfrog must be at least 1"),
    ("two lengths", lambda d: hamiltonian(d, integration_time=1.0), ValueError, "write one of them"),
    ("time", lambda d: hamiltonian(d, num_leapfrog=None, integration_time=0), ValueError, "integration_time must"),
    ("jitter", lambda d: hamiltonian(d, jitter=1.0), ValueError, "jitter must lie in [0, 1)"),
    ("mass", lambda d: hamiltonian(d, mass=0), ValueError, "mass must lie in"),
    ("mass type", lambda d: hamiltonian(d, mass="fan_in"), TypeError, "mass must be a number"),
    ("mass shape", lambda d: hamiltonian(d, mass={"0.weight": np.ones(3)}), ValueError, "has shape (3,)"),
    ("mass sign", lambda d: hamiltonian(d, mass={"0.bias": -np.ones(5)}), ValueError, "above 0 everywhere"),
    ("mass pattern", lambda d: hamiltonian(d, mass={"9.weight": 2.0}), ValueError, "decides for no parameter"),
    ("num_samples", lambda d: metropolis(d).run(-1), ValueError, "num_samples must be at least 0"),
    ("burn_in", lambda d: metropolis(d).run(1, burn_in="many"), TypeError, "burn_in must be a whole number"),
    ("thin", lambda d: metropolis(d).run(1, thin=0), ValueError, "thin must be at least 1"),
    ("no samples", lambda d: _stepped(d).predict(d[0]), ValueError, "1 steps were taken, and step() keeps nothing"),
    ("data type", lambda d: metropolis("mnist"), TypeError, "data must be inputs and labels"),
    ("data lengths", lambda d: metropolis((d[0], d[1][:-1])), ValueError, "first axes must"),
    ("a generator", lambda d: metropolis(b for b in [d]), TypeError, "read once only"),
    ("dropped rows", lambda d: metropolis(gluon.data.DataLoader(gluon.data.ArrayDataset(*d), 7, last_batch="discard")),
     ValueError, "drops rows"),
    ("empty", lambda d: metropolis((d[0][:0], d[1][:0]), build()).run(1), ValueError, "data is empty"),
    ("changing data", _changing, ValueError, "U needs the same"),
]


def _stepped(d):
    chain = metropolis(d)
    chain.step()
    return chain


@pytest.mark.parametrize("call, error, message", [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_named(data, call, error, message):
    with pytest.raises(error) as e:
        call(data)
    assert message in str(e.value)
