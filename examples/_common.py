"""What the examples share: a network, minibatches from arrays in memory, ordinary training, and a table."""
from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before MXNet: its idle threads leave the cores to others

import sgmcmc_mx as sg  # noqa: E402  isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402
from mxnet import autograd, gluon  # noqa: E402

from sgmcmc_mx import plot  # noqa: E402


def mlp(inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu") -> gluon.nn.HybridSequential:
    """A multilayer perceptron; ``mx.random.seed`` decides its initial weights."""
    net = gluon.nn.HybridSequential()
    for units in hidden:
        net.add(gluon.nn.Dense(units, activation=activation, in_units=inputs))
        inputs = units
    net.add(gluon.nn.Dense(outputs, in_units=inputs))
    scale = 2.0 if activation == "relu" else 1.0
    net.initialize(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=scale))
    net.hybridize(static_alloc=True)
    return net


def smoothed(data: sg.datasets.Dataset, lengthscale: float = 1.0) -> sg.datasets.Dataset:
    """Images as a network sees them under a prior by which neighbouring pixels have like weights in the first layer.

    Their mean square stays as it was, for that is a matter of the prior's width.
    """
    prior = sg.priors.CorrelatedInputs.smooth((28, 28), lengthscale)
    train, test = prior.transform(data.x_train), prior.transform(data.x_test)
    scale = np.float32(np.sqrt(np.square(data.x_train).mean() / np.square(train).mean()))
    return data._replace(x_train=scale * train, x_test=scale * test)


class Batches:
    """Minibatches from arrays in memory, every example once an epoch, in an order that the seed decides."""

    def __init__(self, x: np.ndarray, y: np.ndarray, size: int, seed: int = 0):
        self.x, self.y, self.size = mx.nd.array(x), mx.nd.array(y), size
        self._order = np.random.RandomState(seed)

    def __len__(self) -> int:
        return -(-len(self.x) // self.size)

    def __iter__(self) -> Iterator[Tuple[mx.nd.NDArray, mx.nd.NDArray]]:
        order = mx.nd.array(self._order.permutation(len(self.x)), dtype="int32")
        for i in range(0, len(self.x), self.size):
            chosen = order[i:i + self.size]
            yield mx.nd.take(self.x, chosen), mx.nd.take(self.y, chosen)

    def forever(self) -> Iterator[Tuple[mx.nd.NDArray, mx.nd.NDArray]]:
        """One epoch after another."""
        while True:
            yield from self


def gradient(net, loss_fn, x, y) -> None:
    """Forward and backward: leaves the gradient of the batch's summed loss in the parameters."""
    with autograd.record():
        loss = loss_fn(net(x), y)
    loss.backward()


def train_sgd(net, loss_fn, batches: Batches, epochs: int, learning_rate: float = 0.1, momentum: float = 0.9,
              weight_decay: float = 0.0, cosine: bool = True) -> float:
    """Ordinary training: SGD with a step that falls to zero as a cosine, or stays; returns the seconds it took."""
    steps = epochs * len(batches)
    step_size = {"learning_rate": learning_rate}    # also beside a schedule: SGD's default of 0.01 would overrule it
    if cosine:
        step_size["lr_scheduler"] = mx.lr_scheduler.CosineScheduler(steps, base_lr=learning_rate)
    settings = {"momentum": momentum, "wd": weight_decay, **step_size}
    trainer = gluon.Trainer(net.collect_params(), "sgd", settings, kvstore=None)
    start = time.perf_counter()
    for _ in range(epochs):
        for x, y in batches:
            gradient(net, loss_fn, x, y)
            trainer.step(len(x))
    mx.nd.waitall()
    return time.perf_counter() - start


class Trace:
    """Temperature and friction of a chain every so many steps, read without holding it up."""

    def __init__(self, every: int):
        self.every, self.steps, self._readings = max(1, every), [], []

    def note(self, step: int, temperature, friction) -> None:
        """What the sampler reads after this step."""
        if step % self.every == 0 and temperature is not None:
            self.steps.append(step)
            self._readings.append((temperature, friction))

    def values(self) -> np.ndarray:
        """Shape (2, readings): temperatures and frictions."""
        return np.array([[float(v if isinstance(v, float) else v.asscalar()) for v in pair]
                         for pair in self._readings]).reshape(-1, 2).T


def sample(trainer: sg.BayesianTrainer, loss_fn, batches: Batches, steps: int) -> Tuple[Trace, float]:
    """Run the chain; returns its trace and the seconds it took."""
    trace = Trace(steps // 500)
    start = time.perf_counter()
    for x, y in itertools.islice(batches.forever(), steps):
        gradient(trainer.net, loss_fn, x, y)
        trainer.step(len(x))
        trace.note(trainer.num_steps, trainer.temperature, trainer.friction)
    mx.nd.waitall()
    return trace, time.perf_counter() - start


def probabilities(net, x: np.ndarray, size: int = 1000) -> np.ndarray:
    """Class probabilities of the network as it is, shape (n, classes)."""
    return np.concatenate([mx.nd.softmax(net(mx.nd.array(x[i:i + size]))).asnumpy() for i in range(0, len(x), size)])


class Row(NamedTuple):
    """A line of the table."""

    name: str
    error: float        # percent
    nll: float          # nats an example
    ece: float
    seconds: Optional[float]


def score(name: str, probs: np.ndarray, labels: np.ndarray, seconds: Optional[float] = None) -> Row:
    """How good these predictions are."""
    m = sg.metrics
    return Row(name, 100.0 * (1.0 - m.accuracy(probs, labels)), m.nll(probs, labels), m.ece(probs, labels), seconds)


def print_table(rows: Sequence[Row]) -> None:
    """The rows under a heading."""
    width = max(len(r.name) for r in rows)
    print(f"\n{'':{width}}   error %     NLL     ECE   seconds")
    for r in rows:
        seconds = "" if r.seconds is None else f"{r.seconds:9.1f}"
        print(f"{r.name:{width}}   {r.error:7.2f}  {r.nll:6.4f}  {r.ece:6.4f} {seconds}".rstrip())
    print()


class Averages(NamedTuple):
    """The average over the first k samples, for every k, and each sample alone."""

    probs: np.ndarray               # of the average over all samples, (n, classes)
    curve: Dict[str, np.ndarray]    # 'error' (percent), 'nll', 'ece' of the average by number of samples
    single: Dict[str, np.ndarray]   # the same for each sample alone


def averages(each: np.ndarray, labels: np.ndarray, weights: Optional[np.ndarray] = None) -> Averages:
    """Scores of the average by number of samples, in one pass over ``each`` of shape (samples, n, classes)."""
    weights = np.ones(len(each)) if weights is None else weights
    total, count, together, alone = 0.0, 0.0, [], []
    for weight, probs in zip(weights, each):
        total, count = total + weight * probs, count + weight
        together.append(score("", total / count, labels))
        alone.append(score("", probs, labels))
    curves = [{k: np.array([getattr(r, k) for r in rows]) for k in ("error", "nll", "ece")}
              for rows in (together, alone)]
    return Averages(total / count, *curves)


def picture_folder(out: Optional[str], example: str) -> Path:
    """``out``, or pictures/<example> in the current directory; made if need be."""
    folder = Path(out) if out else Path("pictures") / example
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(axes, folder: Path, name: str) -> None:
    """The figure that these axes belong to as folder/name.png."""
    from matplotlib import pyplot as plt

    figure = np.ravel(axes)[0].figure
    figure.savefig(str(folder / f"{name}.png"), dpi=120, bbox_inches="tight")
    plt.close(figure)
    print(f"wrote {folder / name}.png")


def draw(folder: Path, data: sg.datasets.Dataset, sgd: np.ndarray, each: np.ndarray, result: Averages) -> None:
    """The pictures of a classifier: calibration, worth of averaging, and the images it is least sure of."""
    ax = plot.reliability(sgd, data.y_test, label="SGD network")
    save(plot.reliability(result.probs, data.y_test, ax=ax, label="Bayesian average"), folder, "reliability")
    for key, what in (("error", "test error (%)"), ("nll", "negative log likelihood (nats an image)")):
        baseline = {"SGD network": getattr(score("", sgd, data.y_test), key)}
        average, single = result.curve[key], result.single[key]
        ax = plot.error_by_samples(average, single, baseline, ylabel=what, log=single.max() > 5 * average.min() > 0)
        save(ax, folder, f"{key}_by_samples")
    save(plot.uncertain_images(data.x_test, each, data.y_test, count=9), folder, "least_sure")


def draw_trace(folder: Path, trace: Trace, temperature: float, friction: Optional[float] = None) -> None:
    """Temperature and friction over time, one above the other."""
    from matplotlib import pyplot as plt

    if not trace.steps:     # SGLD has neither
        return
    _, axes = plt.subplots(2, 1, figsize=(7, 5), sharex=True, constrained_layout=True)
    kinetic, alpha = trace.values()
    plot.trace(trace.steps, kinetic, temperature, axes[0], "temperature", "kinetic temperature", "asked for")
    plot.trace(trace.steps, alpha, friction, axes[1], "friction (per step)", "friction in force",
                  "balances the injected noise")
    axes[0].set_xlabel("")
    save(axes, folder, "trace")
