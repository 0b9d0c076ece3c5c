"""MetropolisHastings and HMC: what is kept of a chain, what it predicts, and what its user may get wrong."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from full_data_chains import BOTH, D, K, N, build, by_hand, flat, hamiltonian, metropolis, weights
from mxnet import gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg

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
