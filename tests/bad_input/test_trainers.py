"""BayesianTrainer, its steps and predict (tests/test_trainer.py has more)."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx import likelihoods

from .harness import INF, NAN, check, dense, rows, step

SAMPLERS, WITH = "write 'sgld', 'sghmc' or 'sgnht'", "give step() the number of examples in the batch"
ARRAY, FLOATS = "for a Dataset write gluon.data.DataLoader(dataset, 1000)", "x.astype('float32')"
NUMBERS, QUANTILES = "write np.asarray(..., dtype='float32')", "write (0.05, 0.5, 0.95)"
CHAIN, WORDS = "such as batch_size=1000", "['identity', 'sigmoid', 'softmax'], a likelihood such as Categorical()"


def make(optimizer="sgnht", params=None, **options):
    """A call that makes a trainer of the shared network."""
    given = {"num_data": 20, **(params or {})}
    return lambda w: sg.BayesianTrainer(w.net, optimizer, given, **{"seed": 0, **options})


def first_step(change, batch_size=20):
    """A call that takes the first step of a network of its own, after a change."""
    def call(world):
        trainer = sg.BayesianTrainer(dense(3), "sgld", {"num_data": 20}, likelihoods.Categorical(), seed=0)
        change(trainer.net[0].weight)
        before = [p.data().asnumpy() for p in trainer.net.collect_params().values()]
        try:
            step(world, trainer, batch_size)
        finally:
            for p, was in zip(trainer.net.collect_params().values(), before):
                np.testing.assert_array_equal(p.data().asnumpy(), was)
    return call


TRAINERS = [
    ("no network", lambda w: sg.BayesianTrainer(None, "sgld"), TypeError, "net must be a gluon.Block", "NoneType",
     "give the network itself"),
    ("parameters", lambda w: sg.BayesianTrainer(w.net.collect_params(), "sgld"), TypeError, "net", "ParameterDict",
     "give the network itself, not its parameters"),
    ("function", lambda w: sg.BayesianTrainer(lambda x: x, "sgld"), TypeError, "net", "function", "the network itself"),
    ("no optimizer", make(None), TypeError, "optimizer", "got None", SAMPLERS),
    ("number for a sampler", make(3), TypeError, "optimizer", "got 3", SAMPLERS),
    ("mistyped sampler", make("sghcm"), ValueError, "optimizer", "'sghcm'", "did you mean 'sghmc'?"),
    ("mistyped option", make(params={"learning_rat": 1}), TypeError, "sgnht", "'learning_rat'",
     "mean 'learning_rate'?"),
    ("list of options", lambda w: sg.BayesianTrainer(w.net, "sgld", [0.1]), TypeError, "optimizer_params", "got [0.1]",
     "write {'learning_rate': 0.1"),
    ("number for a loss", make(likelihood=3), TypeError, "likelihood", "got 3", "sgmcmc_mx.likelihoods.Categorical()"),
    ("NaN burn_in", make(burn_in=NAN), ValueError, "burn_in", "got nan", "steps before the first sample"),
    ("NDArray burn_in", make(burn_in=nd.array([2])), TypeError, "burn_in", "NDArray", "steps before the first sample"),
    ("a limit of what has no heat", make("sgld", max_temperature=3.0), ValueError, "max_temperature=3", "SGLD",
     "leave it out"),
    ("a limit that is no number", make(max_temperature=NAN), ValueError, "max_temperature", "(0, inf)",
     "write max_temperature=3.0"),
    ("a limit below T", make(max_temperature=1.0), ValueError, "max_temperature", "got 1", "write 3"),
    ("no thin", make(thin=None), TypeError, "thin", "got None", "steps between samples"),
    ("NaN thin", make(thin=NAN), ValueError, "thin", "got nan", "steps between samples"),
    ("True thin", make(thin=True), TypeError, "thin", "True of type bool", "steps between samples"),
    ("infinitely many samples", make(max_samples=INF), ValueError, "max_samples", "got inf", "None for no limit"),
    ("word for max_samples", make(max_samples="10"), TypeError, "max_samples", "'10' of type", "None for no limit"),
    ("negative seed", make(seed=-1), ValueError, "seed", "got -1", "write a whole number below 2**64"),
    ("word for a seed", make(seed="a"), TypeError, "seed", "'a' of type str", "write a whole number below 2**64"),
    ("list of weights", make(weights=[1]), ValueError, "weights", "got [1]", "one of 'step', 'equal'"),
    ("progress 0", make(progress=0), ValueError, "progress", "got 0", "True, False or the number of steps"),
    ("NaN progress", make(progress=NAN), ValueError, "progress", "got nan", "True, False or the number of steps"),
    ("prior of no parameter", make(params={"prior": {"7.weight": 2.0}}), ValueError, "prior", "'7.weight'",
     "the parameters are"),
    ("hyperprior of no parameter", make(params={"prior": sg.priors.Gamma(select="conv")}), ValueError, "select",
     "'conv'", "the parameters are"),
    ("sampler of another trainer", lambda w: sg.BayesianTrainer(dense(3), w.trainer.optimizer), ValueError, "sgnht",
     "another trainer", "make a sampler for each trainer"),
    ("rate of a running chain", lambda w: w.trainer.set_learning_rate(None), TypeError, "learning_rate", "got None",
     "such as learning_rate=0.1"),
    ("negative rate of a running chain", lambda w: w.trainer.set_learning_rate(-1), ValueError, "learning_rate",
     "got -1", "such as learning_rate=0.1"),
]

STEPS = [
    ("infinite batch", first_step(lambda p: None, INF), ValueError, "rescale_grad", "got 0.0", WITH),
    ("NaN batch", first_step(lambda p: None, NAN), ValueError, "rescale_grad", "got nan", WITH),
    ("negative batch", first_step(lambda p: None, -20), ValueError, "rescale_grad", "got -0.05", WITH),
    ("negative wd_mult", first_step(lambda p: setattr(p, "wd_mult", -1.0)), ValueError, "wd_mult of parameter", "-1.0",
     "it must be finite and not negative"),
    ("word for wd_mult", first_step(lambda p: setattr(p, "wd_mult", "a")), ValueError, "wd_mult of parameter", "'a'",
     "it must be finite and not negative"),
    ("no lr_mult", first_step(lambda p: setattr(p, "lr_mult", None)), ValueError, "lr_mult of parameter", "None",
     "it must be finite and not negative"),
    ("NaN lr_mult", first_step(lambda p: setattr(p, "lr_mult", NAN)), ValueError, "lr_mult of parameter", "nan",
     "it must be finite and not negative"),
]


MEASURED = likelihoods.Gaussian("label")


class TwoOutputs(gluon.Block):
    """A network that predicts two things."""

    def __init__(self):
        super().__init__()
        self.layer = gluon.nn.Dense(3, in_units=4)

    def forward(self, x):
        return self.layer(x), self.layer(x)


def _two_outputs(world):
    net = TwoOutputs()
    net.initialize()
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 20}, seed=0)
    with autograd.record():
        loss = likelihoods.Categorical()(net(nd.array(world.x))[0], nd.array(world.y))
    loss.backward()
    trainer.step(20)
    trainer.predict(world.x, "softmax")


def _compiled(world):
    net = dense(3)
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 20}, likelihoods.Categorical(), seed=0)
    step(world, trainer)
    trainer.predict(world.x[:, :3])


PREDICTIONS = [
    # data
    ("nothing", lambda w: w.trainer.predict(None), TypeError, "data", "got None", ARRAY),
    ("dictionary", lambda w: w.trainer.predict({"a": w.x}), ValueError, "data", "'a'", "inputs={'x': 'a'}"),
    ("word", lambda w: w.trainer.predict("mnist"), TypeError, "data", "'mnist'", ARRAY),
    ("data set", lambda w: w.trainer.predict(gluon.data.ArrayDataset(w.x)), TypeError, "data", "ArrayDataset", ARRAY),
    ("list of words", lambda w: w.trainer.predict(["a"]), TypeError, "data", "batch of type str", "write a DataLoader"),
    ("symbol", lambda w: w.trainer.predict(mx.sym.var("x")), TypeError, "data", "type Symbol", "write a DataLoader"),
    ("empty array", lambda w: w.trainer.predict(w.x[:0]), ValueError, "data", "is empty", "at least one example"),
    ("exhausted iterator", lambda w: w.trainer.predict(iter([])), ValueError, "data", "is empty",
     "at least one example"),
    ("number", lambda w: w.trainer.predict(np.ones(())), ValueError, "data", "a single number", "write an array"),
    ("array of words", lambda w: w.trainer.predict(np.full((2, 4), "a")), TypeError, "data", "dtype <U1", NUMBERS),
    ("array of objects", lambda w: w.trainer.predict(np.full((2, 4), None)), TypeError, "data", "dtype object",
     NUMBERS),
    ("complex array", lambda w: w.trainer.predict(np.ones((2, 4), complex)), TypeError, "data", "complex128", NUMBERS),
    ("dates", lambda w: w.trainer.predict(np.zeros((2, 4), "M8[s]")), TypeError, "data", "datetime64", NUMBERS),
    ("too wide", lambda w: w.trainer.predict(w.x[:, :3]), ValueError, "data", "(20, 3)", FLOATS),
    ("one axis too few", lambda w: w.trainer.predict(w.x[0]), ValueError, "data", "(4,)", "along the first axis"),
    ("one axis too many", lambda w: w.trainer.predict(np.ones((2, 3, 4), "f")), ValueError, "data", "(2, 3, 4)",
     FLOATS),
    ("whole numbers", lambda w: w.trainer.predict(np.ones((2, 4), int)), ValueError, "data", "int64", FLOATS),
    ("yes and no", lambda w: w.trainer.predict(np.ones((2, 4), bool)), ValueError, "data", "bool", FLOATS),
    ("batches of one width too many", lambda w: w.trainer.predict([nd.ones((2, 4)), nd.ones((2, 5))]), ValueError,
     "data", "(2, 5)", FLOATS),
    ("too wide for a compiled network", _compiled, ValueError, "data", "(20, 3)", FLOATS),
    ("two outputs", _two_outputs, ValueError, "the network returns", "2 outputs", "wrap it in a Block"),
    # batch_size
    ("word for batch_size", lambda w: w.trainer.predict(w.x, batch_size="a"), TypeError, "batch_size", "'a'", CHAIN),
    ("NaN batch_size", lambda w: w.trainer.predict(w.x, batch_size=NAN), ValueError, "batch_size", "got nan", CHAIN),
    ("no batch_size", lambda w: w.trainer.predict(w.x, batch_size=None), TypeError, "batch_size", "got None", CHAIN),
    ("batch_size 0", lambda w: w.trainer.predict(w.x, batch_size=0), ValueError, "batch_size", "got 0", CHAIN),
    ("half a batch", lambda w: w.trainer.predict(w.x, batch_size=0.5), ValueError, "batch_size", "got 0.5", CHAIN),
    ("batch_size beside a loader", lambda w: w.trainer.predict([nd.array(w.x)], batch_size=-1), ValueError,
     "batch_size", "got -1", CHAIN),
    # activation, samples, quantiles
    ("number for activation", lambda w: w.trainer.predict(w.x, 3), ValueError, "activation", "got 3", WORDS),
    ("loss for activation", lambda w: w.trainer.predict(w.x, gluon.loss.L2Loss()), ValueError, "activation", "L2Loss",
     WORDS),
    ("class for activation", lambda w: w.trainer.predict(w.x, likelihoods.Poisson), ValueError, "activation", "Poisson",
     WORDS),
    ("capital letters", lambda w: w.trainer.predict(w.x, "Softmax"), ValueError, "activation", "got 'Softmax'", WORDS),
    ("activation of MXNet", lambda w: w.trainer.predict(w.x, lambda z: nd.array(z)), TypeError, "activation", "NDArray",
     ".asnumpy()"),
    ("activation that loses rows", lambda w: w.trainer.predict(w.x, lambda z: z[:1]), ValueError, "activation",
     "(1, 3)", "it must keep the first axis"),
    ("no activation", lambda w: w.unknown.predict(w.x), ValueError, "activation", "is not given",
     "write activation='softmax'"),
    ("no yes or no", lambda w: w.trainer.predict(w.x, samples=None), TypeError, "samples", "got None", "True or False"),
    ("number of samples", lambda w: w.trainer.predict(w.x, samples=5), TypeError, "samples", "got 5",
     "cut trainer.samples"),
    ("quantile 0", lambda w: w.regression.predict(w.x, quantiles=[0.0]), ValueError, "quantiles", "got 0.0", QUANTILES),
    ("quantile above 1", lambda w: w.counts.predict(w.x, quantiles=[1.5]), ValueError, "quantiles", "got 1.5",
     QUANTILES),
    ("NaN quantile", lambda w: w.regression.predict(w.x, quantiles=[NAN]), ValueError, "quantiles", "nan", QUANTILES),
    ("per cent", lambda w: w.counts.predict(w.x, quantiles=(5, 95)), ValueError, "quantiles", "got 5", QUANTILES),
    ("word for quantiles", lambda w: w.regression.predict(w.x, quantiles="0.5"), ValueError, "quantiles", "'0.5'",
     QUANTILES),
    ("no quantiles", lambda w: w.regression.predict(w.x, quantiles=None), ValueError, "quantiles", "None", QUANTILES),
    ("quantiles of classes", lambda w: w.trainer.predict(w.x, quantiles=[0.5]), ValueError, "quantiles",
     "need a regression likelihood", "use samples=True and numpy.quantile"),
    ("quantiles of samples", lambda w: w.regression.predict(w.x, samples=True, quantiles=[0.5]), ValueError,
     "quantiles", "samples=False", "numpy.quantile"),
    # axis, noise_std
    ("axis of examples", lambda w: w.trainer.predict(w.x, "softmax", axis=0), ValueError, "axis", "got 0", "axis=-1"),
    ("axis that is not there", lambda w: w.trainer.predict(w.x, "softmax", axis=2), ValueError, "axis", "(20, 3)",
     "axis=-1"),
    ("word for axis", lambda w: w.trainer.predict(w.x, "softmax", axis="C"), TypeError, "axis", "got 'C'", "axis=-1"),
    ("axis of yes and no", lambda w: w.trainer.predict(w.x, "sigmoid", axis=1), ValueError, "axis", "'sigmoid'",
     "Leave axis out"),
    ("axis of a function", lambda w: w.trainer.predict(w.x, np.tanh, axis=1), ValueError, "axis", "got 1",
     "choose the axis in the function"),
    ("axis beside a likelihood", lambda w: w.trainer.predict(w.x, axis=1), ValueError, "axis", "beside Categorical()",
     "write Categorical(axis=1)"),
    ("noise that nobody knows", lambda w: w.regression.predict(w.x, MEASURED), ValueError, "noise_std", "is not given",
     "write noise_std=0.1"),
    ("noise that is known", lambda w: w.regression.predict(w.x, noise_std=1.0), ValueError, "noise_std",
     "Gaussian(sigma=1.0)", "leave it out"),
    ("noise of classes", lambda w: w.trainer.predict(w.x, noise_std=1.0), ValueError, "noise_std", "Categorical()",
     "leave it out"),
    ("noise of samples", lambda w: w.regression.predict(w.x, MEASURED, samples=True, noise_std=1.0), ValueError,
     "noise_std", "where none are asked for", "leave it out"),
    ("negative noise", lambda w: w.regression.predict(w.x, MEASURED, noise_std=[-1.0]), ValueError, "noise_std",
     "got -1.0", "write standard deviations"),
    ("NaN noise", lambda w: w.regression.predict(w.x, MEASURED, noise_std=NAN), ValueError, "noise_std", "got nan",
     "write standard deviations"),
    ("word for noise", lambda w: w.regression.predict(w.x, MEASURED, noise_std="1"), TypeError, "noise_std", "got str",
     "dtype=float"),
    ("NDArray of noise", lambda w: w.regression.predict(w.x, MEASURED, noise_std=nd.ones(20)), TypeError, "noise_std",
     "NDArray", "Write noise_std.asnumpy()"),
    ("noise of fewer", lambda w: w.regression.predict(w.x, MEASURED, noise_std=np.ones((7, 1))), ValueError,
     "noise_std", "has 7 rows", "one row for each"),
    ("row of noise of fewer", lambda w: w.regression.predict(w.x, MEASURED, noise_std=np.ones(7)), ValueError,
     "noise_std", "has 7 rows", "one row for each"),
    ("noise of three axes", lambda w: w.regression.predict(w.x, MEASURED, noise_std=np.ones((20, 1, 2))), ValueError,
     "noise_std", "(20, 1, 2)", "Pass one value per example"),
]


@pytest.mark.parametrize("row", rows(TRAINERS))
def test_trainers(world, row):
    check(world, row)


@pytest.mark.parametrize("row", rows(STEPS))
def test_steps(world, row):
    check(world, row)


@pytest.mark.parametrize("row", rows(PREDICTIONS))
def test_predictions(world, row):
    check(world, row)


def test_weights_can_be_set_after_a_trainer_that_was_refused():
    """Gluon tells the parameters of a trainer before it looks at the options."""
    net = gluon.nn.Dense(2, in_units=3)
    net.initialize()
    with pytest.raises(ValueError, match="temperature"):
        sg.BayesianTrainer(net, "sgld", {"num_data": 5, "temperature": -1.0})
    net.weight.set_data(net.weight.data() * 2)
