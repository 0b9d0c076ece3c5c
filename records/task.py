"""What every method is given: data, a network to build, and how many gradients it may take."""
from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, TypeVar

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx
import numpy as np
from mxnet import gluon

from sgmcmc_mx.gradients.backward import Gradients
from sgmcmc_mx.gradients.batches_of import BatchesOf
from sgmcmc_mx.gradients.native import NativeGradient, fitting_stack

__all__ = ["Method", "Outcome", "Outputs", "Predictor", "Setting", "Task", "averaged", "go_on", "in_pieces",
           "initialised", "loader", "softmax", "timed"]

Setting = Dict[str, Any]
Predictor = Callable[[np.ndarray], np.ndarray]      # inputs to class probabilities
Outputs = Callable[[np.ndarray], Iterator[np.ndarray]]       # inputs to what each network says

PIECE = 1000        # examples a forward pass
Found = TypeVar("Found")


class Task(NamedTuple):
    """What is to be learnt: classes, where the likelihood is not said.

    x, y : training inputs and labels.
    build : makes a network; ``build(dropout=.2)`` one that drops a share of its hidden units.
    budget : gradients of minibatches that a method may take, all its networks and chains together.
    batch_size : examples in a minibatch.
    likelihood : what the network's outputs mean.
    """

    x: np.ndarray
    y: np.ndarray
    build: Callable[..., gluon.nn.HybridSequential]
    budget: int
    batch_size: int = 100
    likelihood: sg.likelihoods.Likelihood = sg.likelihoods.Categorical()


class Outcome(NamedTuple):
    """What a method has made of a task.

    predict : class probabilities.
    gradients : how many it took.
    outputs : what each of the networks that it averages says; of chains this is not kept.
    """

    predict: Predictor
    gradients: int
    outputs: Optional[Outputs] = None


class Method(NamedTuple):
    """A way to a prediction.

    title : what the tables call it.
    fit : from a task, a setting and a seed to an outcome.
    grid : the settings that are tried on held-out training data.
    """

    title: str
    fit: Callable[[Task, Setting, int], Outcome]
    grid: List[Setting]


def averaged(outputs: Outputs, gradients: int) -> Outcome:
    """Of a method whose prediction is the mean of what its networks say."""

    def predict(x: np.ndarray) -> np.ndarray:
        total, count = np.zeros(()), 0
        for one in outputs(x):
            total, count = total + softmax(one.astype(np.float64)), count + 1
        return total / count

    return Outcome(predict, gradients, outputs)


def initialised(task: Task, seed: int, **options: Any) -> gluon.nn.HybridSequential:
    """A network of the task with initial weights that follow from the seed."""
    mx.random.seed(seed)
    np.random.seed(seed % 2 ** 32)
    net = task.build(**options)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(mx.nd.array(task.x[:2]))
    return net


def in_pieces(x: np.ndarray) -> Iterator[mx.nd.NDArray]:
    """The inputs, so many at a time."""
    for start in range(0, len(x), PIECE):
        yield mx.nd.array(x[start:start + PIECE])


def loader(task: Task, seed: int) -> sg.data.ArrayLoader:
    """Minibatches of the task, reshuffled every epoch."""
    return sg.data.ArrayLoader(task.x, task.y, batch_size=task.batch_size, seed=seed)


def go_on(net: gluon.Block, trainer: gluon.Trainer, loss_fn: Any, batches: sg.data.ArrayLoader, steps: int) -> None:
    """So many steps of a Gluon loop, whatever the optimizer; by native gradients where there are."""
    stack = fitting_stack(net, loss_fn, batches)
    if not isinstance(stack, str):
        gradient = NativeGradient.on(stack, batches)
        for _ in range(steps):
            rows, sizes = batches.take(1)
            gradient.run(rows)
            trainer.step(int(sizes[0]))
        mx.nd.waitall()
        return
    gradients, source, done = Gradients("record", net, loss_fn), BatchesOf(net, batches, mx.cpu(), None), 0
    while done < steps:
        for batch in source.of(batches):
            gradients.run(batch)
            trainer.step(batch.size)
            done += 1
            if done == steps:
                break
    mx.nd.waitall()


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Class probabilities of outputs, whose last axis is that of classes."""
    e = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def timed(fit: Callable[..., Found], *arguments: Any) -> Tuple[Found, float]:
    """What it returns, and the seconds that all cores together took."""
    start = time.process_time()
    found = fit(*arguments)
    return found, time.process_time() - start
