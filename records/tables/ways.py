"""The methods: this package's chains with chosen settings, sg.fit as it is, bde, and those they stand beside."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, cast

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..band.problems import classes
from ..methods import METHODS
from ..networks import mlp
from ..task import Outputs, Setting, Task, go_on
from .data import CACHE, PEER, Table
from .scores import Mixture, Predictive

__all__ = ["BATCH_SIZE", "MEMBERS", "WAYS", "Found", "Size", "Way"]

HIDDEN = (16, 16, 16, 16)
BATCH_SIZE = 100
MANY = 1_000            # rows, from which on long training and small minibatches are tried for chains
FEW, LARGE_BATCH = 2_000, 500       # rows, up to which chains see all of them at every step; else so many
MEMBERS = 10            # chains, or networks of an ensemble
WARM_LR = 0.005         # of Adam, which falls along half a cosine
FIRST = 0.5             # share of a chain's steps with a longer step, of which nothing is kept
BURN_IN = 0.3           # share of the others
SAMPLES = 40            # of each chain
LENGTHS = (0.3, 1.0, 3.0, 10.0)     # of training, times the size's
LONGER = 4.5            # times the budget: what bde takes on airfoil


class Size(NamedTuple):
    """How long everything is.

    budget : gradients of minibatches that a method may take, all its networks together.
    training : of these so many for the training of a chain's network; others try multiples of it.
    seconds : that sg.fit gets.
    quick : whether bde is run so short that nothing of it is true.
    members : chains of the posterior, and networks of an ensemble.
    """

    budget: int
    training: int
    seconds: float
    quick: bool = False
    members: int = MEMBERS


class Found(NamedTuple):
    """Predictions of the rows to test on, how many gradients of minibatches it took, seconds if not this process's."""

    predictive: Predictive
    gradients: int
    seconds: float = 0.0


class Way(NamedTuple):
    """A way to a prediction: what the page calls it, how it is done, the settings to try, and for which tables."""

    title: str
    fit: Callable[[Table, Setting, Size, int], Found]
    grid: List[Setting]
    regressions: bool = True
    classes: bool = True

    def tries(self, rows: int) -> List[Setting]:
        """The settings that are tried on a table of so many rows to learn from."""
        return [setting for setting in self.grid if rows >= MANY or "warm" not in setting]


def network(table: Table, activation: str) -> gluon.HybridSequential:
    """Four hidden layers of 16; a mean and what sigma is, or a number for each class."""
    net, width = gluon.nn.HybridSequential(), table.x.shape[1]
    for units in HIDDEN:
        net.add(gluon.nn.Dense(units, activation, in_units=width))
        width = units
    net.add(gluon.nn.Dense(table.classes or 2, in_units=width))
    return net


def likelihood(table: Table) -> sg.likelihoods.Likelihood:
    """Sigma grows with what the network says of it and no faster: exp of that was infinite on some test rows."""
    return sg.likelihoods.Categorical() if table.classes else sg.likelihoods.Gaussian("learned", link="softplus")


def trained(table: Table, activation: str, steps: int, precision: float, seed: int) -> gluon.HybridSequential:
    """A network from initial weights of its own, after so many steps of Adam towards the mode under N(0, 1/precision).
    """
    mx.random.seed(seed)
    np.random.seed(seed % 2 ** 32)
    net = network(table, activation)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    schedule = mx.lr_scheduler.CosineScheduler(max_update=steps, base_lr=WARM_LR)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": WARM_LR, "wd": precision / len(table.x),
                                                           "lr_scheduler": schedule}, kvstore=None)
    batches = sg.data.ArrayLoader(table.x, table.y, batch_size=BATCH_SIZE, seed=seed)
    go_on(net, trainer, likelihood(table), batches, steps)
    return net


def predictive(table: Table, outputs: np.ndarray) -> Predictive:
    """From what networks say, (networks, rows, outputs)."""
    return classes(outputs) if table.classes else mixture(likelihood(table), outputs)


def mixture(normal: Any, outputs: np.ndarray) -> Mixture:
    """The normal distributions that networks with this likelihood say, of one y."""
    outputs = outputs.astype(np.float64)
    return Mixture(normal.predictive(outputs)[..., 0], np.sqrt(normal.noise_variance(outputs)[..., 0]))


def ensemble(members: int) -> Callable[[Table, Setting, Size, int], Found]:
    """Networks from initial weights of their own, averaged; no more of them than chains."""

    def fit(table: Table, setting: Setting, size: Size, seed: int) -> Found:
        count, steps = min(members, size.members), round(setting["length"] * size.training)
        nets = [trained(table, setting["activation"], steps, setting["precision"], 1000 * seed + k)
                for k in range(count)]
        outputs = np.stack([net(mx.nd.array(table.x_test)).asnumpy() for net in nets])
        return Found(predictive(table, outputs), count * steps)

    return fit


def _chain(chain: sg.Chain, table: Table, setting: Setting, lr: float, options: Dict[str, Any]) -> sg.ChainSetup:
    net = network(table, setting["activation"])
    net.initialize(mx.init.Xavier())
    params = {"learning_rate": lr, "friction": setting["friction"], "integrator": "badodab",
              "temperature": setting.get("temperature", 1.0),
              "prior": {"0.weight": 1.0 / setting["first"], "0.bias": 1.0 / setting["first"],
                        ".*weight": sg.priors.FanIn(setting["variance"]), ".*bias": 1.0}}
    data = sg.data.ArrayLoader(table.x, table.y, batch_size=_rows(table, setting))
    return sg.ChainSetup(net, likelihood(table), data, "sgnht", params, on_divergence="halve", **options)


def _rows(table: Table, setting: Setting) -> int:
    """In a minibatch of the chains; None in the setting: all, where they are few."""
    return min(setting["batch"] or (len(table.x) if len(table.x) <= FEW else LARGE_BATCH), len(table.x))


def posterior(table: Table, setting: Setting, size: Size, seed: int) -> Found:
    """Chains side by side, each from a network of its own that Adam has trained; T = 1 where the setting has none.

    A long step crosses much, and is hot by its error, which grows with the step squared. So chains go with ``lr_first``
    for a share of their steps, of which nothing is kept, and from there on with the ``lr`` that samples are drawn with.
    """
    one = -(-_rows(table, setting) // BATCH_SIZE)      # what a gradient counts
    each = size.budget // size.members // one
    training = round(setting["warm"] * each) if "warm" in setting else min(size.training, each // 20)
    first = round(FIRST * (each - training))
    steps = each - training - first
    schedule = mx.lr_scheduler.CosineScheduler(training, base_lr=WARM_LR)
    start = sg.WarmStart("adam", {"learning_rate": WARM_LR, "wd": 1.0 / len(table.x), "lr_scheduler": schedule},
                         steps=training)
    build = partial(_chain, table=table, setting=setting)
    options = {"executor": "vectorized", "seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        ahead = partial(build, lr=setting["lr_first"], options={"burn_in": first - 1, "thin": 1})
        ends = sg.sample_chains(ahead, size.members, steps=first, warm_start=start, **options)
        files = [_saved(ends.setup.net, run[-1], Path(folder) / f"{k}.params") for k, run in enumerate(ends)]
        burn_in = round(BURN_IN * steps)
        last = partial(build, lr=setting["lr"],
                       options={"burn_in": burn_in, "thin": max(1, (steps - burn_in) // SAMPLES)})
        runs = sg.sample_chains(last, size.members, steps=steps, warm_start=files, **options)
    outputs = [sg.predict(runs.setup.net, run, table.x_test, "identity", samples=True) for run in runs if len(run)]
    return Found(predictive(table, np.concatenate(outputs)), size.members * each * one)


def long_posterior(table: Table, setting: Setting, size: Size, seed: int) -> Found:
    """The same with about as many gradients as bde takes."""
    return posterior(table, setting, size._replace(budget=round(LONGER * size.budget)), seed)


def _saved(net: gluon.Block, sample: sg.Sample, path: Path) -> str:
    """A sample as a file that a chain can begin with."""
    with sg.using(net, sample):
        net.save_parameters(str(path))
    return str(path)


def five_lines(table: Table, setting: Setting, size: Size, seed: int) -> Found:
    """BayesianRegressor or BayesianClassifier with nothing said but the seconds; or that labels are certain (alpha)."""
    estimator = sg.BayesianClassifier if table.classes else sg.BayesianRegressor
    sure = {"likelihood": sg.likelihoods.NoisyDirichlet(setting["alpha"])} if setting else {}
    model = estimator(budget=size.seconds, seed=seed, **sure).fit(table.x, table.y.ravel())
    fit = model.fit_
    outputs = np.asarray(fit.predict(model._rows(table.x_test), samples=True, activation="identity"))
    steps = sum(fit.chosen.warm_start) + sum(fit.runs.steps) * -(-fit.chosen.batch_size // BATCH_SIZE)
    if table.classes:
        return Found(classes(outputs), steps)
    mean, sigma = mixture(fit.runs.setup.likelihood, outputs)     # y was standardised once more
    return Found(Mixture(mean * model.y_scale_ + model.y_mean_, sigma * model.y_scale_), steps)


def bde(table: Table, setting: Setting, size: Size, seed: int) -> Found:
    """bde as its authors ran it, in an environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        task, out = Path(folder) / "task.npz", Path(folder) / "outputs.npz"
        np.savez(task, x=table.x, y=table.y, x_test=table.x_test)
        subprocess.run([str(_peer_python()), str(Path(__file__).parent / "peer.py"), str(task), str(out),
                        "--seed", str(seed), *(["--quick"] if size.quick else [])], check=True)
        with np.load(out) as file:
            found = {name: file[name] for name in file.files}
    gradients = int(found["gradients"]) * -(-len(table.x) // BATCH_SIZE)
    made = predictive(table, found["logits"]) if table.classes else Mixture(found["mean"], found["sigma"])
    return Found(made, gradients, float(found["seconds"]))


def _peer_python() -> Path:
    """Of the environment of bde and JAX, which is made where it is not there; $SGMCMC_MX_BDE names one that is."""
    given = os.environ.get("SGMCMC_MX_BDE")
    python = Path(given) if given else CACHE / "bde" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parent.parent)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEER], check=True)
    return python


def of_others(name: str, **own: Sequence[Any]) -> Way:
    """A method of the other records, which averages what networks say, with tanh; ``own`` is what is tried."""
    method = METHODS[name]

    def fit(table: Table, setting: Setting, size: Size, seed: int) -> Found:
        def build(dropout: float = 0.0) -> gluon.HybridSequential:
            return mlp(dropout, hidden=HIDDEN, outputs=table.classes or 2, activation=setting["activation"])

        task = Task(table.x, table.y, build, round(setting["length"] * size.training), min(BATCH_SIZE, len(table.x)),
                    likelihood(table))
        outcome = method.fit(task, {**setting, "share": 1.0, "wd": 1.0 / len(table.x)}, seed)
        outputs = cast(Outputs, outcome.outputs)(table.x_test)
        return Found(predictive(table, np.stack(list(outputs))), outcome.gradients)

    return Way(method.title, fit, _settings(activation=("tanh",), **own))


def _settings(**options: Sequence[Any]) -> List[Setting]:
    """All combinations."""
    found: List[Setting] = [{}]
    for name, values in options.items():
        found = [{**one, name: value} for one in found for value in values]
    return found


# Longer training and small minibatches, which were tried when the other rows had been seen.
LATE: List[Setting] = [{"activation": "relu", "first": 1.0, "variance": 4.0, "lr_first": lr_first, "lr": lr,
                        "friction": 0.003, "batch": BATCH_SIZE, "warm": 0.3}
                       for lr_first, lr in ((4e-4, 1e-4), (1e-3, 2e-4))]
WAYS: Dict[str, Way] = {
    "sgd": Way("one network, Adam", ensemble(1),
               _settings(activation=("tanh",), length=LENGTHS, precision=(0.1, 1.0))),
    "dropout": of_others("dropout", length=(1.0, 10.0), lr=(0.01,), dropout=(0.01, 0.05, 0.2)),
    "laplace": of_others("laplace", length=(0.3, 1.0, 3.0, 10.0), lr=(0.01,), precision=(1.0, 10.0, 100.0)),
    "swag": of_others("swag", length=(1.0, 3.0, 10.0), train_lr=(0.01,), lr=(0.003, 0.01)),
    "ensemble": Way(f"deep ensemble of {MEMBERS}", ensemble(MEMBERS),
                    _settings(activation=("tanh",), length=LENGTHS, precision=(0.1, 1.0))),
    "fit": Way("sg.fit, nothing chosen", five_lines, [{}]),
    "sure": Way("sg.fit, noisy Dirichlet", five_lines, [{"alpha": alpha} for alpha in (1e-2, 1e-3)], regressions=False),
    "posterior": Way("posterior, T = 1", posterior,
                     [{"activation": activation, "first": first, "variance": variance, "lr_first": lr_first, "lr": lr,
                       "friction": 0.003, "batch": None}
                      for activation, first, variance, lr_first, lr in (
                          ("tanh", 4.0, 4.0, 7e-4, 1e-4), ("tanh", 4.0, 4.0, 2e-3, 2e-4),
                          ("tanh", 16.0, 4.0, 7e-4, 1e-4), ("tanh", 1.0, 1.0, 2e-3, 3e-4),
                          ("tanh", 0.1, 0.5, 2e-3, 1e-3), ("relu", 1.0, 4.0, 4e-4, 1e-4))] + LATE),
    "long": Way(f"posterior, T = 1, {LONGER} times as long", long_posterior,
                [{"activation": "tanh", "first": 4.0, "variance": 4.0, "lr_first": 7e-4, "lr": 1e-4, "friction": 0.003,
                  "batch": None}]),
    "cold": Way("cold, T < 1", posterior,
                [{"activation": activation, "first": first, "variance": variance, "lr_first": lr_first, "lr": lr,
                  "friction": 0.003, "batch": None, "temperature": temperature}
                 for activation, first, variance, lr_first, lr in (
                     ("tanh", 4.0, 4.0, 7e-4, 1e-4), ("tanh", 1.0, 1.0, 2e-3, 3e-4),
                     ("tanh", 0.1, 0.5, 2e-3, 1e-3), ("relu", 1.0, 4.0, 4e-4, 1e-4))
                 for temperature in (0.3, 0.1)]
                + [{**LATE[0], "temperature": temperature} for temperature in (0.3, 0.1)]),
    "bde": Way("bde 1.0.2", bde, [{}]),
}
