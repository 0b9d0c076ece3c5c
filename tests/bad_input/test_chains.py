"""HMC, MetropolisHastings, ControlVariates and suggest (tests/test_full_data.py and its neighbours have more)."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx import likelihoods

from .harness import INF, NAN, check, dense, rows

PAIR, MASS, FINITE = "write a pair (x, y) of arrays", "write mass=10.0, or mass={'.*weight': 100.0", "look at the data"
STEP, NUMBERS, SEED = "such as 0.01, or None", "write np.asarray(..., dtype='float32')", "a whole number below 2**64"
FLOATS, PRIOR = "x.astype('float32')", "write prior=10.0, prior='fan_in'"


def with_label(world, label):
    """The data with one label out of range."""
    y = world.y.astype(np.float32)
    y[7] = label
    return world.x, y


def with_input(world, value):
    x = world.x.copy()
    x[3, 1] = value
    return x, world.y


def chain(kind, data=None, run=None, likelihood=None, net=None, **options):
    """A call that makes a chain of the shared network (or of ``net()``) and, with ``run``, runs it."""
    def call(world):
        given = world.data if data is None else data(world)
        net_of = world.net if net is None else net()
        loss = likelihoods.Categorical() if likelihood is None else likelihood
        made = kind(net_of, loss, given, **{"step_size": 0.01, "seed": 0, **options})
        if run is not None:
            made.run(**{"num_samples": 1, **run})
    return call


def hmc(data=None, run=None, **options):
    return chain(sg.HMC, data, run, **options)


def walk(data=None, run=None, **options):
    return chain(sg.MetropolisHastings, data, run, **options)


def _before_any(world):
    sg.HMC(world.net, likelihoods.Categorical(), world.data, seed=0).predict(world.x)


def _uninitialised():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(3, in_units=4))
    return net


FULL_DATA = [
    # what it is made of
    ("no network", lambda w: sg.HMC(None, likelihoods.Categorical(), w.data), TypeError, "net", "NoneType",
     "give the network itself"),
    ("uninitialised", hmc(net=_uninitialised), RuntimeError, "parameter", "is not initialised",
     "call net.initialize()"),
    ("no likelihood", lambda w: sg.HMC(w.net, None, w.data), TypeError, "likelihood", "got None", "Categorical()"),
    ("class of likelihood", walk(likelihood=likelihoods.Gaussian), TypeError, "likelihood", "<class", "Categorical()"),
    ("mean loss", hmc(run={}, likelihood=lambda z, y: likelihoods.Categorical()(z, y).mean()), ValueError, "likelihood",
     "got (1,)", "leave out .mean()"),
    # data
    ("no data", hmc(lambda w: None), TypeError, "data", "got None", PAIR),
    ("x alone", walk(lambda w: w.x), TypeError, "data", "ndarray", PAIR),
    ("dictionary", hmc(lambda w: {"x": w.x, "y": w.y}), ValueError, "data", "'x', 'y'", "BatchLayout(label='y')"),
    ("word", hmc(lambda w: "mnist"), TypeError, "data", "'mnist'", PAIR),
    ("generator", hmc(lambda w: (b for b in [w.data])), TypeError, "data", "a generator", PAIR),
    ("lists of numbers", hmc(lambda w: [[1, 2], [3, 4]], run={}), TypeError, "data", "batch of type list", PAIR),
    ("triples", hmc(lambda w: [(w.x, w.y, w.y)], run={}), TypeError, "data", "batch of type tuple", PAIR),
    ("numbers for arrays", hmc(lambda w: (np.ones(()), np.ones(()))), ValueError, "data", "shapes () and ()",
     "must count the same examples"),
    ("labels too few", walk(lambda w: (w.x, w.y[:5])), ValueError, "data", "(5,)", "must count the same examples"),
    ("labels too few in a batch", hmc(lambda w: [w.data, (w.x, w.y[:5])], run={}), ValueError, "label", "got (5,)",
     "Pass one class number per example"),
    ("empty", walk(lambda w: (w.x[:0], w.y[:0]), run={}), ValueError, "data", "is empty", "write the training data"),
    ("no batches", hmc(lambda w: [], run={}), ValueError, "data", "is empty", "write the training data"),
    ("too wide", hmc(lambda w: (w.x[:, :3], w.y), run={}), ValueError, "data", "(20, 3)", FLOATS),
    ("whole numbers", walk(lambda w: (w.x.astype(int), w.y), run={}), ValueError, "data", "int64", FLOATS),
    ("words for numbers", hmc(lambda w: (np.full((20, 4), "a"), w.y)), TypeError, "data", "dtype <U1", NUMBERS),
    ("words for labels", hmc(lambda w: (w.x, np.full(20, "a"))), TypeError, "data", "dtype <U1", NUMBERS),
    ("objects for labels", walk(lambda w: (w.x, np.full(20, None))), TypeError, "data", "dtype object", NUMBERS),
    ("one-hot labels", hmc(lambda w: (w.x, np.eye(3, dtype="f")[w.y]), run={}), ValueError, "label", "got (20, 3)",
     "label.argmax(axis=-1)"),
    ("class 99", hmc(lambda w: with_label(w, 99), run={}), ValueError, "data", "is inf", "labels out of range"),
    ("class -1", walk(lambda w: with_label(w, -1), run={}), ValueError, "data", "is inf", "labels out of range"),
    ("class 1.5", hmc(lambda w: with_label(w, 1.5), run={}), ValueError, "data", "is inf", "labels out of range"),
    ("NaN label", walk(lambda w: with_label(w, NAN), run={}), ValueError, "data", "is inf", "labels out of range"),
    ("NaN input", hmc(lambda w: with_input(w, NAN), run={}), ValueError, "data", "is nan", FINITE),
    ("infinite input", walk(lambda w: with_input(w, INF), run={}), ValueError, "data", "is ", FINITE),
    # settings
    ("word for the step", hmc(step_size="a"), TypeError, "step_size", "'a'", STEP),
    ("NaN step", walk(step_size=NAN), ValueError, "step_size", "got nan", STEP),
    ("step 0", hmc(step_size=0), ValueError, "step_size", "got 0", STEP),
    ("infinite step", walk(step_size=INF), ValueError, "step_size", "got inf", STEP),
    ("NaN leapfrogs", hmc(num_leapfrog=NAN), ValueError, "num_leapfrog", "got nan", "leapfrog steps of a trajectory"),
    ("word for leapfrogs", hmc(num_leapfrog="10"), TypeError, "num_leapfrog", "'10'", "leapfrog steps of a trajectory"),
    ("half a leapfrog", hmc(num_leapfrog=2.5), ValueError, "num_leapfrog", "got 2.5", "leapfrog steps"),
    ("leapfrogs and time", hmc(num_leapfrog=3, integration_time=1.0), ValueError, "num_leapfrog=3",
     "integration_time=1.0", "write one of them"),
    ("leapfrogs of a walk", walk(num_leapfrog=3), TypeError, "MetropolisHastings", "'num_leapfrog'",
     "options: batch_size"),
    ("NaN time", hmc(integration_time=NAN), ValueError, "integration_time", "got nan", "step_size times its steps"),
    ("infinite time", hmc(integration_time=INF), ValueError, "integration_time", "got inf",
     "step_size times its steps"),
    ("negative jitter", hmc(jitter=-0.1), ValueError, "jitter", "got -0.1", "0.1 varies the step size by a tenth"),
    ("no jitter", hmc(jitter=None), TypeError, "jitter", "got None", "0 not at all"),
    ("target 0", hmc(target_acceptance=0), ValueError, "target_acceptance", "got 0", "the optimum is 0.651"),
    ("NaN target", walk(target_acceptance=NAN), ValueError, "target_acceptance", "got nan", "the optimum is 0.234"),
    ("per cent target", walk(target_acceptance=23.4), ValueError, "target_acceptance", "23.4", "the optimum is 0.234"),
    ("NaN temperature", hmc(temperature=NAN), ValueError, "temperature", "got nan", "temperature=1.0 is the posterior"),
    ("negative temperature", walk(temperature=-1), ValueError, "temperature", "got -1", "temperature=1.0"),
    ("batch_size 0", hmc(batch_size=0), ValueError, "batch_size", "got 0", "examples in a batch"),
    ("word for batch_size", walk(batch_size="all"), TypeError, "batch_size", "'all'", "examples in a batch"),
    ("word for a seed", hmc(seed="a"), TypeError, "seed", "'a'", SEED),
    ("word for wd", hmc(wd="a"), TypeError, "wd", "'a'", "wd=1.0 by default"),
    ("infinite wd", walk(wd=INF), ValueError, "wd", "got inf", "wd=1.0 by default"),
    ("word for a prior", hmc(prior="gamma"), ValueError, "prior", "'gamma'", PRIOR),
    ("class of a prior", walk(prior=sg.priors.FanIn), TypeError, "prior", "class FanIn", "write FanIn(...)"),
    ("rate of a gradient sampler", hmc(learning_rate=0.1), TypeError, "HMC", "'learning_rate'", "options: batch_size"),
    ("mistyped step", walk(stepsize=1), TypeError, "MetropolisHastings", "'stepsize'", "did you mean 'step_size'?"),
    # the mass
    ("NaN mass", hmc(mass=NAN), ValueError, "mass", "got nan", MASS),
    ("list mass", hmc(mass=[1.0]), TypeError, "mass", "[1.0] of type list", MASS),
    ("no patterns", hmc(mass={}), ValueError, "mass", "an empty dictionary", MASS),
    ("number for a pattern", hmc(mass={3: 1.0}), TypeError, "mass has the key", "3 of type int", MASS),
    ("no expression", hmc(mass={"(": 1.0}), ValueError, "mass has the key", "'('", MASS),
    ("word for a mass", hmc(mass={"0.weight": "a"}), TypeError, "mass", "'a'", MASS),
    ("NaN in a mass", hmc(mass={"0.weight": np.full((3, 4), NAN)}), ValueError, "mass of parameter",
     "finite and above 0", MASS),
    ("shape of a mass", hmc(mass={"0.weight": np.ones((4, 3))}), ValueError, "mass of parameter", "(4, 3)", MASS),
    ("pattern of no parameter", hmc(mass={"9.weight": 2.0}), ValueError, "mass", "'9.weight'", "the parameters are"),
    # running
    ("word for the number", hmc(run={"num_samples": "a"}), TypeError, "num_samples", "'a'", "a number of samples"),
    ("no number", walk(run={"num_samples": None}), TypeError, "num_samples", "got None", "a number of samples"),
    ("NaN samples", hmc(run={"num_samples": NAN}), ValueError, "num_samples", "got nan", "a number of samples"),
    ("half a sample", walk(run={"num_samples": 1.5}), ValueError, "num_samples", "got 1.5", "a number of samples"),
    ("fewer than no samples", hmc(run={"num_samples": -1}), ValueError, "num_samples", "got -1", "a number of samples"),
    ("negative burn_in", hmc(run={"burn_in": -1}), ValueError, "burn_in", "got -1", "transitions before the first"),
    ("NaN thin", walk(run={"thin": NAN}), ValueError, "thin", "got nan", "transitions for a sample"),
    ("word for thin", hmc(run={"thin": "a"}), TypeError, "thin", "'a'", "transitions for a sample"),
    ("word for adapt", hmc(run={"adapt": "no"}), TypeError, "adapt", "got 'no'", "True tunes the step size"),
    ("number for progress", walk(run={"progress": 5}), TypeError, "progress", "got 5", "True shows a progress bar"),
    ("word for adapt in a step", lambda w: sg.HMC(w.net, likelihoods.Categorical(), w.data, seed=0).step("a"),
     TypeError, "adapt", "got 'a'", "True tunes the step size"),
    ("prediction of no samples", _before_any, ValueError, "no samples yet", "0 steps", "write run(100)"),
]


def cv(data=None, loss=None, then=None, **options):
    """A call that makes control variates of the shared network and, with ``then``, does something with them."""
    def call(world):
        made = sg.ControlVariates(world.net, likelihoods.Categorical() if loss is None else loss,
                                  world.data if data is None else data(world), **options)
        if then is not None:
            then(made, world)
    return call


CONTROL_VARIATES = [
    ("NaN update_every", cv(update_every=NAN), ValueError, "update_every", "got nan", "None to leave it"),
    ("word for update_every", cv(update_every="a"), TypeError, "update_every", "'a'", "None to leave it"),
    ("NaN batch_size", cv(batch_size=NAN), ValueError, "batch_size", "got nan", "examples in a batch"),
    ("no data", cv(lambda w: None), TypeError, "data", "got None", PAIR),
    ("no batches", cv(lambda w: []), ValueError, "data", "is empty", "needs at least one example"),
    ("number for a loss", cv(loss=3), TypeError, "loss", "got 3", "Categorical()"),
    ("class 99", cv(lambda w: with_label(w, 99)), ValueError, "data", "not finite", "labels out of range"),
    ("NaN input", cv(lambda w: with_input(w, NAN)), ValueError, "data", "not finite", "labels out of range and NaN"),
    ("too wide", cv(lambda w: (w.x[:, :3], w.y)), ValueError, "data", "(20, 3)", FLOATS),
    ("words for numbers", cv(lambda w: (np.full((20, 4), "a"), w.y)), TypeError, "data", "dtype <U1", NUMBERS),
    ("no batch", cv(then=lambda c, w: c.backward(None, None)), TypeError, "x and y", "NoneType",
     "write mx.nd.array(x)"),
    ("NumPy batch", cv(then=lambda c, w: c.backward(w.x, w.y)), TypeError, "x and y", "ndarray",
     "write mx.nd.array(x)"),
    ("empty batch", cv(then=lambda c, w: c.backward(nd.array(w.x)[:0], nd.array(w.y)[:0])), ValueError, "x and y",
     "(0, 4)", "leave it out"),
    ("too wide a batch", cv(then=lambda c, w: c.backward(nd.ones((2, 5)), nd.ones(2))), ValueError, "data", "(2, 5)",
     FLOATS),
    ("labels too few", cv(then=lambda c, w: c.backward(nd.array(w.x), nd.array(w.y[:3]))), ValueError, "labels", "(3,)",
     "write gluon.utils.split_and_load"),
]


def ask(*args, data=None, loss=None, **options):
    """A call that asks for a suggestion, of few small batches."""
    def call(world):
        given = world.data if data is None else data(world)
        loss_of = likelihoods.Categorical() if loss is None else loss
        return sg.suggest(world.net, loss_of, given, *args, **{"pilot": 0, "batches": 4, "batch_size": 5, **options})
    return call


SUGGEST = [
    ("no optimizer", ask(None), ValueError, "optimizer", "got None", "one of 'sgnht', 'sghmc', 'sgld'"),
    ("another sampler", ask("adam"), ValueError, "optimizer", "got 'adam'", "one of 'sgnht', 'sghmc', 'sgld'"),
    ("list of options", ask("sgld", [1]), TypeError, "optimizer_params", "got [1]", "write {'wd': 3.0}"),
    ("word for options", ask("sgld", "wd"), TypeError, "optimizer_params", "got 'wd'", "write {'wd': 3.0}"),
    ("number for an option", ask("sgld", {3: 4}), TypeError, "optimizer_params", "{3: 4}", "write {'wd': 3.0}"),
    ("friction of sgld", ask("sgld", {"friction": 0.1}), TypeError, "sgld", "'friction'", "options: begin_num_update"),
    ("negative rate", ask("sgld", {"learning_rate": -1}), ValueError, "learning_rate", "got -1", "learning_rate=0.1"),
    ("no data set", ask("sgld", {"num_data": 0}), ValueError, "num_data", "got 0", "write num_data=len(dataset)"),
    ("negative seed", ask("sgld", {"seed": -1}), ValueError, "seed", "got -1", SEED),
    ("NaN steps", ask(steps=NAN), ValueError, "steps", "got nan", "the length of the run, or None"),
    ("word for steps", ask(steps="a"), TypeError, "steps", "'a'", "the length of the run, or None"),
    ("NaN batches", ask(batches=NAN), ValueError, "batches", "got nan", "batches that the noise is measured on"),
    ("half a pilot", ask(pilot=1.5), ValueError, "pilot", "got 1.5", "0 for none"),
    ("negative batch_size", ask(batch_size=-1), ValueError, "batch_size", "got -1", "examples in a batch"),
    ("word for the network", lambda w: sg.suggest("net", likelihoods.Categorical(), w.data), TypeError, "net",
     "got str", "give the network itself"),
    ("word for the loss", ask(loss="loss"), TypeError, "loss", "got 'loss'", "Categorical()"),
    ("mean loss", ask(loss=lambda z, y: likelihoods.Categorical()(z, y).mean()), ValueError, "loss", "got (1,)",
     "leave out .mean()"),
    ("class 99", ask(data=lambda w: with_label(w, 99)), RuntimeError, "the loss", "not finite", "labels out of range"),
    ("NaN input", ask(data=lambda w: with_input(w, NAN)), RuntimeError, "the loss", "not finite", "at the data"),
    ("empty", ask(data=lambda w: (w.x[:0], w.y[:0])), ValueError, "data", "is empty", "write the training data"),
    ("no batch", ask(data=lambda w: []), ValueError, "data", "is empty", "write the training data"),
    ("labels too few", ask(data=lambda w: (w.x, w.y[:3])), ValueError, "data", "(3,)", "must count the same examples"),
    ("iterator of unknown length", ask(data=lambda w: mx.io.NDArrayIter(w.x, w.y, 5)), ValueError, "how many examples",
     "NDArrayIter", "write optimizer_params={'num_data': N}"),
    ("too wide", ask(data=lambda w: (w.x[:, :3], w.y)), ValueError, "data", "(20, 3)", FLOATS),
    ("half network", lambda w: sg.suggest(_half(), likelihoods.Categorical(), w.data), ValueError, "parameter",
     "is float16", "call suggest before net.cast"),
]


def _half():
    net = dense(3)
    net.cast("float16")
    return net


@pytest.mark.parametrize("row", rows(FULL_DATA))
def test_chains_that_see_all_data(world, row):
    check(world, row)


@pytest.mark.parametrize("row", rows(CONTROL_VARIATES))
def test_control_variates(world, row):
    check(world, row)


@pytest.mark.parametrize("row", rows(SUGGEST))
def test_suggest(world, row):
    check(world, row)
