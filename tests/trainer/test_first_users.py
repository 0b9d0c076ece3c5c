"""What a first user tripped over, what a trainer warns of, and what it refuses."""
import gc
import warnings
import weakref

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from trainers import D, N, build, make, run

import sgmcmc_mx as sg
from sgmcmc_mx.batches.inputs import warn_of_order

# ---------------------------------------------------------------- what a first user tripped over

def test_one_prior_serves_two_trainers_and_loaded_states(data, tmp_path):
    prior = sg.priors.ByName({"0.weight": 100.0})
    trainers = [sg.BayesianTrainer(build(), "sgnht", {"num_data": N, "prior": prior}, sg.likelihoods.Categorical(),
                                   seed=0) for _ in range(2)]
    for t in trainers:
        found = {p.name: t.optimizer.precision(i, p.shape) for i, p in enumerate(t._params)}
        assert found == {p.name: 100.0 if name == "0.weight" else 1.0 for name, p in t._named.items()}
    run(trainers[0], data, 2).save_states(str(tmp_path / "states"))
    run(trainers[1], data, 1)
    trainers[1].load_states(str(tmp_path / "states"))
    run(trainers[1], data, 1)
    i = trainers[1]._params.index(trainers[1].net[0].weight)
    assert trainers[1].optimizer.precision(i, (8, D)) == 100.0


@pytest.mark.parametrize("kwargs", [{"samples": True}, {}])
def test_weights_are_restored_while_the_exception_is_still_held(data, kwargs):
    net = build(units=1)
    trainer = run(make(net, likelihood=sg.likelihoods.Gaussian(0.5)), (data[0], data[0][:, :1]), 3)
    own = net[0].weight.data().asnumpy()
    wrong = sg.likelihoods.Gaussian("learned") if not kwargs else lambda z: 1 / 0
    with pytest.raises((ValueError, ZeroDivisionError)) as held:
        trainer.predict(data[0], wrong, **kwargs)
    assert held is not None     # as IPython holds it
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), own)


def test_a_loss_shared_by_two_trainers_tells_each_its_own_and_keeps_neither_alive(data):
    loss_fn = sg.likelihoods.Categorical()
    first = run(make(build(), likelihood=loss_fn), data, 2)
    potential = first.potential.asscalar()
    second = run(make(build(), likelihood=loss_fn), (data[0] * 100, data[1]), 2)
    assert first.potential.asscalar() == potential != second.potential.asscalar()
    gone = weakref.ref(second)
    del second
    gc.collect()
    assert gone() is None and len(loss_fn._forward_hooks) == 1


def test_a_diverged_chain_says_so(data):
    trainer = sg.BayesianTrainer(build(), "sgld", {"learning_rate": 1e8, "num_data": N},
                                 sg.likelihoods.Categorical(), seed=0)
    run(trainer, data, 30)
    with pytest.warns(UserWarning, match="has diverged|diverged before"):
        trainer.predict(data[0])


def test_a_chain_that_stands_still_is_not_sampled(data):
    trainer = run(make(build()), data, 2)
    trainer.set_learning_rate(0.0)
    run(trainer, data, 3)
    assert len(trainer.samples) == 2 and trainer.num_steps == 5
    assert np.isfinite(trainer.predict(data[0])).all()


def test_data_whose_rows_go_astray_is_told(data):
    trainer = run(make(build()), data, 2)
    dataset = gluon.data.ArrayDataset(data[0], data[1])
    with pytest.warns(UserWarning, match="data is shuffled"):
        trainer.predict(gluon.data.DataLoader(dataset, batch_size=8, shuffle=True))
    with pytest.warns(UserWarning, match="drops rows"):
        assert len(trainer.predict(gluon.data.DataLoader(dataset, batch_size=8, last_batch="discard"))) == 56
    with pytest.warns(UserWarning, match="data is shuffled"):       # it reshuffles at every reset
        warn_of_order(mx.rnn.BucketSentenceIter([[1, 2, 3]] * 4, 2, buckets=[3]))


def test_float64_networks_predict_from_numpy(data):
    net = build()
    net.cast("float64")
    loss_fn = sg.likelihoods.Categorical()
    trainer = make(net, likelihood=loss_fn)
    x = nd.array(data[0], dtype="float64")
    with autograd.record():
        loss = loss_fn(net(x), nd.array(data[1]))
    loss.backward()
    trainer.step(N)
    np.testing.assert_allclose(trainer.predict(data[0], batch_size=7), trainer.predict(x), atol=1e-12)


# ---------------------------------------------------------------- warnings

def test_a_sound_chain_predicts_without_a_warning(data):
    trainer = run(make(build(), burn_in=100, thin=10), data, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer.predict(data[0])


def test_dropout_left_on_warns_once(data):
    trainer = run(make(build(gluon.nn.Dropout(0.5))), data, 3)
    with pytest.warns(UserWarning, match="drops units"):
        trainer.predict(data[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*drops units")
        trainer.predict(data[0])


def test_a_hot_chain_warns_with_numbers(data):
    net = build()
    trainer = sg.BayesianTrainer(net, "sghmc", {"learning_rate": 3.0, "num_data": N, "friction": 0.01},
                                 sg.likelihoods.Categorical(), burn_in=50, seed=0)
    run(trainer, data, 100, batch=5)
    with pytest.warns(UserWarning, match="kinetic temperature over 50 samples is .*not T = 1"):
        trainer.predict(data[0])


def test_an_optimizer_that_is_no_sampler_warns(data):
    with pytest.warns(UserWarning, match="SGD is no sampler"):
        trainer = sg.BayesianTrainer(build(), "sgd", {"learning_rate": 0.1}, sg.likelihoods.Categorical())
    assert len(run(trainer, data, 2).samples) == 2


def test_progress_bar_shows_the_chain(data, capsys):
    run(make(build(), progress=3), data, 3)
    shown = capsys.readouterr().err
    assert "3/3" in shown and "samples=3" in shown


# ---------------------------------------------------------------- bad input

def _after(data, **kwargs):
    return run(make(build(), **kwargs), data, 2)


BAD = [
    ("net", lambda d: sg.BayesianTrainer(build().collect_params(), "sgnht"), TypeError, "net must be a gluon.Block"),
    ("no parameters", lambda d: sg.BayesianTrainer(gluon.nn.HybridSequential(), "sgnht"), ValueError, "no parameters"),
    ("uninitialised", lambda d: sg.BayesianTrainer(gluon.nn.Dense(3), "sgnht"), RuntimeError, "net.initialize()"),
    ("burn_in", lambda d: make(build(), burn_in=-1), ValueError, "burn_in must be at least 0, got -1"),
    ("burn_in type", lambda d: make(build(), burn_in="many"), TypeError, "burn_in must be a whole number, got 'many'"),
    ("thin", lambda d: make(build(), thin=0), ValueError, "thin must be at least 1, got 0"),
    ("thin half", lambda d: make(build(), thin=1.5), ValueError, "thin must be a whole number, got 1.5"),
    ("max_samples", lambda d: make(build(), max_samples=0), ValueError, "max_samples must be at least 1, got 0"),
    ("likelihood", lambda d: make(build(), likelihood="softmax"), TypeError, "likelihood must be a loss"),
    ("seed twice", lambda d: sg.BayesianTrainer(build(), "sgld", {"seed": 1, "num_data": 5}, seed=2), ValueError,
     "seed=2 and optimizer_params['seed']=1 differ"),
    ("seed of an instance", lambda d: sg.BayesianTrainer(build(), sg.SGLD(num_data=5), seed=2), ValueError,
     "write it in the instance"),
    ("prior pattern", lambda d: sg.BayesianTrainer(build(), "sgld", {"num_data": 5, "prior": {"7.weight": 1.0}}),
     ValueError, "matches no parameter"),
    ("no samples yet", lambda d: _after(d, burn_in=10).predict(d[0]), ValueError, "the first sample comes at step 11"),
    ("no activation", lambda d: _no_activation(d), ValueError, "activation is not given"),
    ("activation", lambda d: _after(d).predict(d[0], "softmaxx"), ValueError, "activation"),
    ("data type", lambda d: _after(d).predict("mnist"), TypeError, "data must be an NDArray"),
    ("data empty", lambda d: _after(d).predict(np.zeros((0, D), "float32")), ValueError, "data is empty"),
    ("data list", lambda d: _after(d).predict([[1.0, 2.0, 3.0, 4.0]]), TypeError, "batch of type list"),
    ("data scalar", lambda d: _after(d).predict(np.ones(())), ValueError, "single number"),
    ("batch_size", lambda d: _after(d).predict(d[0], batch_size=0), ValueError, "batch_size must be at least 1"),
    ("likelihood class", lambda d: sg.BayesianTrainer(build(), "sgld", {"num_data": 5}, sg.likelihoods.Categorical),
     TypeError, "an object, not a class"),
    ("optimizer name", lambda d: sg.BayesianTrainer(build(), "sgnth", {"num_data": 5}), ValueError,
     "did you mean 'sgnht'?"),
    ("optimizer class", lambda d: sg.BayesianTrainer(build(), sg.SGNHT, {"num_data": 5}), TypeError,
     "must be a name or an instance"),
    ("optimizer_params", lambda d: sg.BayesianTrainer(build(), "sgld", 5), TypeError, "must be a dictionary, got 5"),
    ("params of an instance", lambda d: sg.BayesianTrainer(build(), sg.SGLD(num_data=5), {"wd": 1}), ValueError,
     "beside an optimizer instance"),
    ("unknown option", lambda d: make(build(), burnin=4), TypeError, "did you mean 'burn_in'?"),
    ("seed of no sampler", lambda d: sg.BayesianTrainer(build(), "sgd", seed=0), ValueError, "is for samplers"),
    ("progress", lambda d: make(build(), progress="yes"), TypeError, "progress must be a whole number, got 'yes'"),
    ("progress sign", lambda d: make(build(), progress=-5), ValueError, "progress must be at least 1, got -5"),
    ("weights", lambda d: make(build(), weights="time"), ValueError, "weights must be one of 'step', 'equal', got"),
    ("samples", lambda d: _after(d).predict(d[0], samples=2), TypeError, "samples must be True or False, got 2"),
    ("batch size of a step", lambda d: run(make(build()), d, 1, step=lambda t, b: t.step(-40)), ValueError,
     "give step() the number of examples"),
    ("NaN batch size", lambda d: run(make(build()), d, 1, step=lambda t, b: t.step(float("nan"))), ValueError,
     "give step() the number of examples"),
    ("activation's shape", lambda d: _after(d).predict(d[0], lambda z: z.sum()), (ValueError, TypeError),
     "activation"),
    ("a dataset", lambda d: _after(d).predict(gluon.data.ArrayDataset(d[0], d[1])), TypeError, "DataLoader(dataset"),
    ("patterns", lambda d: sg.priors.ByName([1]), TypeError, "patterns must be a dictionary"),
    ("prior class", lambda d: sg.SGLD(num_data=5, prior=sg.priors.FanIn), TypeError, "write FanIn(...)"),
    ("quantiles", lambda d: _after(d).predict(d[0], quantiles=(0.5,)), ValueError, "quantiles need a regression"),
]


def _no_activation(d):
    trainer = sg.BayesianTrainer(build(), "sgld", {"num_data": N}, gluon.loss.SoftmaxCrossEntropyLoss(), seed=0)
    run(trainer, d, 1)
    return trainer.predict(d[0])


@pytest.mark.parametrize("call, error, message", [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_named(data, call, error, message):
    with pytest.raises(error) as e:
        call(data)
    assert message in str(e.value)


def test_the_number_of_networks_before_changes_nothing():
    """Gluon's names sort as text: between dense99 and dense100 the order of the parameters would turn."""
    found = []
    for first in (3, 9):
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(7, in_units=5, activation="tanh", prefix=f"dense{first}_"),
                gluon.nn.Dense(2, in_units=7, prefix=f"dense{first + 1}_"))
        net.initialize()
        for i, p in enumerate(net._collect_params_with_prefix().values()):
            p.set_data(nd.array(np.random.RandomState(i).normal(size=p.shape)))
        loss_fn = sg.likelihoods.Gaussian()
        trainer = sg.BayesianTrainer(net, "sgnht", {"num_data": 20, "learning_rate": 0.05}, loss_fn, seed=1)
        for k in range(12):
            x = nd.array(np.random.RandomState(k).normal(size=(5, 5)))
            with autograd.record():
                loss = loss_fn(net(x), x[:, :2])
            loss.backward()
            trainer.step(5)
        found.append([(s.potential, s.friction, s.temperature) for s in trainer.samples])
        order = [p.name.split("_")[0] for p in trainer._params]
        assert order == [f"dense{first}"] * 2 + [f"dense{first + 1}"] * 2
    assert found[0] == found[1]
