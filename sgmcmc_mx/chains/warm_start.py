"""Ordinary training of a chain's network before its first step as a sampler."""
from __future__ import annotations

import copy
import os
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Union

import numpy as np
from mxnet import autograd, gluon
from mxnet import optimizer as opt

from .._check import closest, integer, number
from .._network import Loss
from ..data import ArrayLoader, ResumableLoader
from ..errors import DivergenceError
from ..gradients.backward import Gradients
from ..gradients.batches_of import BatchesOf
from ..gradients.native import NativeGradient, fitting_stack
from ..prediction.forward import forward
from .setup import Chain

__all__ = ["Start", "WarmStart", "checked_start", "described", "warm"]

_HOW = "write sg.WarmStart('adam', epochs=20), the path of a .params file, or a list of them, one a chain"


@dataclass(frozen=True)
class WarmStart:
    """Train each chain's network from its own initial weights, so that chains begin in places of their own.

    The loss is the chain's likelihood, or one that is given here, summed over a batch and divided by the batch's size;
    ``wd`` of the optimizer is what MXNet means by it. Batches are those of the chain's data, which is put back to its
    place afterwards.

    Parameters
    ----------
    optimizer : str, default 'adam'
        One of MXNet's.
    optimizer_params : dict, optional
        Its arguments, an ``lr_scheduler`` among them.
    epochs : int, optional
        How often all data are gone through. Default: 10, where ``steps`` is not given.
    steps : int, optional
        Steps of the optimizer, in place of epochs.
    held_out : float, default 0
        The fraction of examples that the training is not shown, drawn by the chain's seed. The mean −log p of these
        is looked at after every epoch, and the weights at which it was least are kept. The sampler sees all examples.
        Needs data in a :class:`~sgmcmc_mx.data.ResumableLoader`.
    patience : int, optional
        End the training after so many epochs in a row that were not better on the part held out. Default: never.
    likelihood : callable, optional
        The loss of the training, where another one than the chain's finds a good place sooner: softmax, say, before a
        chain under :class:`~sgmcmc_mx.likelihoods.NoisyDirichlet`. One -log p an example, of output and label.

    Examples
    --------
    >>> schedule = mx.lr_scheduler.CosineScheduler(2000, base_lr=0.1)
    >>> sg.WarmStart('sgd', {'momentum': 0.9, 'learning_rate': 0.1, 'lr_scheduler': schedule}, steps=2000)
    >>> sg.WarmStart('adam', epochs=100, held_out=0.1, patience=3)
    """

    optimizer: str = "adam"
    optimizer_params: Optional[Mapping[str, Any]] = None
    epochs: Optional[int] = None
    steps: Optional[int] = None
    held_out: float = 0.0
    patience: Optional[int] = None
    likelihood: Optional[Loss] = field(default=None, repr=False)     # see described

    def __post_init__(self) -> None:
        known = opt.Optimizer.opt_registry
        if not isinstance(self.optimizer, str) or self.optimizer.lower() not in known:
            near = closest(self.optimizer.lower(), known) if isinstance(self.optimizer, str) else ""
            raise ValueError(f"optimizer must be the name of one of MXNet's, got {self.optimizer!r:.80}; {near}write "
                             "'adam' or 'sgd'")
        if self.optimizer_params is not None and not isinstance(self.optimizer_params, Mapping):
            raise TypeError(f"optimizer_params must be a dictionary, got {self.optimizer_params!r:.200}; write "
                            "{'learning_rate': 0.001}")
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"epochs={self.epochs!r} and steps={self.steps!r} both say how long; write one of them")
        for name in ("epochs", "steps", "patience"):
            value = getattr(self, name)
            if value is not None:
                integer(name, value, f"write {name}=10, or leave it out", low=1)
        number("held_out", self.held_out, "write the fraction of examples to hold out, such as 0.1", low=0.0, high=1.0,
               open_high=True)
        if self.patience is not None and not self.held_out:
            raise ValueError(f"patience={self.patience!r} waits for a part that is held out to become better, and "
                             "held_out is 0; write held_out=0.1")
        if self.likelihood is not None and not callable(self.likelihood):
            raise TypeError(f"likelihood must be a loss of output and label, got {self.likelihood!r:.200}; write "
                            "sg.likelihoods.Categorical(), or leave it out")


Start = Union[None, WarmStart, str, os.PathLike, Sequence[Union[str, os.PathLike]]]


def checked_start(start: Any, chains: int) -> List[Any]:
    """For each chain what it starts with: None, a WarmStart, or the path of a file that is there."""
    if start is None or isinstance(start, WarmStart):
        return [start] * chains
    paths = [start] * chains if isinstance(start, (str, os.PathLike)) else start
    if not isinstance(paths, (list, tuple)) or not all(isinstance(p, (str, os.PathLike)) for p in paths):
        raise TypeError(f"warm_start must be a WarmStart or files, got {start!r:.200}; {_HOW}")
    if len(paths) != chains:
        raise ValueError(f"warm_start is a list of {len(paths)} files for chains={chains}; write one file for all, or "
                         "one for each chain")
    for path in paths:
        if not os.path.isfile(path):
            raise ValueError(f"warm_start={os.fspath(path)!r} is no file; {_HOW}")
    return [os.path.abspath(path) for path in paths]


def described(start: Any) -> str:
    """As the folder of the chains keeps it. Files are left out: where each chain began is in its own store."""
    if start is None:
        return "none"
    if not isinstance(start, WarmStart):
        return "files"
    loss = "" if start.likelihood is None else f" by {start.likelihood!r}"     # folders of before know of none
    return re.sub(r" at 0x[0-9a-f]+", "", repr(start) + loss)


def warm(start: Union[WarmStart, str], net: gluon.Block, likelihood: Loss, data: Any, batches: BatchesOf,
         chain: Chain, gradients: str, look: Callable[[int], Optional[bool]]) -> None:
    """Take a network to where its chain begins. ``look`` is called with the number of each step, and may raise; where
    it returns True the training ends there."""
    if isinstance(start, str):
        net.load_parameters(start, ctx=chain.context)
        return
    place = data.state_dict()
    try:
        _Training(start, net, likelihood, data, batches, chain, gradients).run(look)
    finally:
        data.load_state_dict(place)


class _Training:
    """The loop of an ordinary training."""

    def __init__(self, start: WarmStart, net: gluon.Block, likelihood: Loss, data: Any, batches: BatchesOf,
                 chain: Chain, gradients: str) -> None:
        likelihood = likelihood if start.likelihood is None else start.likelihood
        self._start, self._net, self._likelihood, self._batches = start, net, likelihood, batches
        self._data, self._held_out = (data, None) if not start.held_out else _parted(data, start.held_out, chain.seed)
        self._gradients = Gradients("warm_start", net, likelihood)
        self._native = None if gradients == "mxnet" else self._native_gradient()
        params = copy.deepcopy(dict(start.optimizer_params or {}))      # a schedule counts
        self._trainer = gluon.Trainer(net.collect_params(), start.optimizer, params, kvstore=None)

    def run(self, look: Callable[[int], Optional[bool]]) -> None:
        start = self._start
        epochs = start.epochs if start.steps is None else None
        epochs = 10 if epochs is None and start.steps is None else epochs
        step = epoch = waited = 0
        over: Optional[bool] = False
        least, best = np.inf, None
        while True:
            for size in self._epoch():
                self._trainer.step(size)
                step += 1
                over = look(step)
                if step == start.steps or over:
                    break
            epoch += 1
            if self._held_out is not None:
                now = self._loss_held_out()
                waited = 0 if now < least else waited + 1
                if now < least:
                    least, best = now, self._weights()
            if step == start.steps or epoch == epochs or waited == start.patience or over:
                break
        if best is not None:
            for p, value in best:
                p.set_data(value)
        elif self._held_out is not None or not self._is_finite():
            raise DivergenceError(f"the warm start diverged: after {step} steps of {start.optimizer!r} the weights are "
                                  "not finite; write a smaller learning_rate in its optimizer_params")

    def _native_gradient(self) -> Optional[NativeGradient]:
        stack = fitting_stack(self._net, self._likelihood, self._data)
        if isinstance(stack, str):
            return None
        native = NativeGradient.on(stack, self._data)
        return None if native.differs(self._gradients, self._batches, self._data) else native

    def _epoch(self) -> Iterator[int]:
        """Form the gradient of one minibatch after another, of what is left of an epoch; yields how many examples."""
        if self._native is None:
            for batch in self._batches.of(self._data):
                self._gradients.run(batch)
                yield batch.size
            return
        epoch = self._data.epoch
        while self._data.epoch == epoch:
            rows, _ = self._data.take(1)
            self._native.run(rows)
            yield len(rows)

    def _loss_held_out(self) -> float:
        """Mean −log p of an example that was held out."""
        total, count = 0.0, 0
        with autograd.pause(train_mode=False):
            for batch in self._batches.of(self._held_out):
                loss = self._likelihood(forward(self._net, *batch.inputs), *batch.loss_arguments)
                total, count = total + float(loss.sum().asscalar()), count + batch.size
        return total / count

    def _weights(self) -> list:
        return [(p, p.data().copy()) for p in self._net.collect_params().values()]

    def _is_finite(self) -> bool:
        return all(np.isfinite(value.asnumpy()).all() for _, value in self._weights())


def _parted(data: Any, fraction: float, seed: int) -> tuple:
    """Loaders of what the training is shown, and of what is held out."""
    if not isinstance(data, ResumableLoader):
        raise TypeError(f"held_out={fraction!r} parts the data set of a sgmcmc_mx.data.ResumableLoader, and the "
                        f"chain's data is a {type(data).__name__}; leave held_out out, or give such a loader")
    dataset, place = data._dataset, data.place
    out = round(fraction * len(dataset))
    if not 0 < out < len(dataset):
        raise ValueError(f"held_out={fraction!r} of {len(dataset)} examples is {out}; write a fraction that leaves "
                         "some for both parts")
    order = np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(len(dataset))
    batch_size = min(place.batch_size, len(dataset) - out)
    if isinstance(data, ArrayLoader):
        return (ArrayLoader(*(a[order[out:]] for a in data.arrays), batch_size=batch_size, shuffle=place.shuffle,
                            seed=seed),
                ArrayLoader(*(a[order[:out]] for a in data.arrays), batch_size=place.batch_size, shuffle=False, seed=0))
    shown = ResumableLoader(_Part(dataset, order[out:]), batch_size, place.shuffle,
                            seed=seed, batchify_fn=data._batchify_fn)
    kept = gluon.data.DataLoader(_Part(dataset, order[:out]), place.batch_size, batchify_fn=data._batchify_fn)
    return shown, kept


class _Part:
    """Some of the examples of a data set."""

    def __init__(self, dataset: Any, chosen: np.ndarray) -> None:
        self._dataset, self._chosen = dataset, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Any:
        return self._dataset[int(self._chosen[index])]
