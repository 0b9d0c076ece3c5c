"""What each draw says of held-out examples: -log p by the likelihood itself, probabilities or means, and new labels."""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd

from .._check import warn
from .._network import check_block, check_likelihood
from ..batches.arrays import classic
from ..batches.batch import Batch
from ..batches.labelled import Labelled
from ..likelihoods import Bernoulli, Categorical
from ..prediction.chunks import Placing
from ..prediction.forward import forward
from ..prediction.networks import Places
from ..prediction.selection import Selection
from .posterior import Array

__all__ = ["Predictions", "labelled"]

MOST = 1 << 28      # numbers of a variable: 1 GiB


def labelled(data: Any, labels: Any) -> Any:
    """Inputs and labels as one; without ``labels`` the data bring them."""
    if labels is None:
        return data
    return (*data, labels) if isinstance(data, tuple) else (data, labels)


class Predictions:
    """Runs the network with the weights of one draw after another; :meth:`restore` brings back its own."""

    def __init__(self, net: Optional[gluon.Block], likelihood: Any, data: Any, sample: Any, shape: Tuple[int, int],
                 seed: int, batch_size: int) -> None:
        if net is None:
            raise ValueError("net is not given, and these samples know no network; write "
                             "sg.to_inference_data(runs, x, y, net=net, likelihood=loss_fn)")
        check_block(net)
        _check(likelihood)
        self._net, self._likelihood, self._seed, self._shape = net, likelihood, seed, shape
        self._places = _places(net, sample)     # first, for it gives layers that wait for it their shape
        self._batches, self._select = _batches(net, data, batch_size)
        self.labels = np.concatenate([_numpy(batch.label) for batch in self._batches])
        self._log = np.empty((*shape, len(self.labels)))
        self._of_y = Labels(likelihood, self.labels)
        self._found: Dict[str, np.ndarray] = {}
        self._dims: Dict[str, tuple] = {}

    def restore(self) -> None:
        """Give the network the weights it had."""
        self._places.restore()

    def take(self, chain: int, draw: int, sample: Any) -> None:
        """What the network says with the weights of a draw."""
        self._places.put(sample)
        losses, outputs = [], []
        with autograd.pause(train_mode=False):
            for batch in self._batches:
                out = self._select(forward(self._net, *batch.inputs), batch.size)[0]
                losses.append(self._likelihood(out, batch.label))
                outputs.append(out)
        self._log[chain, draw] = -np.concatenate([_numpy(loss) for loss in losses])
        out = np.concatenate([_numpy(o) for o in outputs])
        for name, (dims, values) in self._of_y(out, (self._seed, chain, draw)).items():
            if name not in self._dims:
                self._begin(name, dims, values)
            if name in self._found:
                self._found[name][chain, draw] = values

    def _begin(self, name: str, dims: tuple, values: np.ndarray) -> None:
        self._dims[name] = dims
        chains, draws = self._shape
        numbers = chains * draws * values.size
        if numbers > MOST:
            warn(f"{name} of posterior_predictive would be {numbers:.3g} numbers and is left out; give fewer examples, "
                 "or every k-th sample: [chain[::10] for chain in runs]")
            return
        self._found[name] = np.empty((chains, draws, *values.shape), values.dtype)

    def log_likelihood(self) -> Dict[str, Array]:
        """log p(y | x, w) of every example, (chain, draw, example)."""
        return {"y": Array(("example",), self._log)}

    def predictive(self) -> Dict[str, Array]:
        """Labels drawn from each draw's p(y | x, w), and its probabilities or means."""
        return {name: Array(self._dims[name], values) for name, values in self._found.items()}

    def observed(self) -> Dict[str, Array]:
        """The labels."""
        y = self._of_y.observed
        return {"y": Array(_dims(y), y)}


class Labels:
    """Predictive distributions of one kind of likelihood, and labels drawn from them."""

    def __init__(self, likelihood: Any, labels: np.ndarray) -> None:
        self._likelihood, self._sigma = likelihood, None
        if getattr(likelihood, "noise_in_label", False):
            labels, self._sigma = np.split(labels, 2, axis=-1)
        whole = getattr(likelihood, "discrete", False) or isinstance(likelihood, (Categorical, Bernoulli))
        self.observed = _single(labels.astype(np.int64) if whole else labels)

    def __call__(self, out: np.ndarray, key: tuple) -> Dict[str, Tuple[tuple, np.ndarray]]:
        """By name: dimensions after (chain, draw), and numbers."""
        try:
            predictive = np.asarray(self._likelihood.predictive(out))
        except (AttributeError, NotImplementedError):   # a loss of the user's own that knows no more than -log p
            return {}
        found = {}
        y = self._drawn(np.random.Generator(np.random.PCG64(key)), predictive.shape, out)
        if y is not None:
            y = y.reshape(self.observed.shape)
            found["y"] = _dims(y), y
        if isinstance(self._likelihood, Categorical):
            axis = self._likelihood.axis % predictive.ndim
            names = [f"position_{k}" for k in range(predictive.ndim - 2)]
            names.insert(axis - 1, "class")
            found["probability"] = ("example", *names), predictive
        else:
            predictive = _single(predictive)
            name = "mean" if getattr(self._likelihood, "kind", "") == "regression" else "probability"
            found[name] = _dims(predictive), predictive
        return found

    def _drawn(self, generator: np.random.Generator, shape: tuple, out: np.ndarray) -> Optional[np.ndarray]:
        given = {} if self._sigma is None else {"noise_std": self._sigma.reshape(shape)}
        try:
            return self._likelihood.draw(out, generator, **given)
        except (AttributeError, NotImplementedError):   # one of the user's own that cannot draw
            return None


def _batches(net: gluon.Block, data: Any, batch_size: int) -> Tuple[List[Batch], Selection]:
    context = next(iter(net.collect_params().values())).list_ctx()[0]
    place = Placing(net, context)
    source = Labelled(net, data, batch_size, context, place.as_np, place.dtype)
    batches = list(source)
    if not batches:
        raise ValueError("data is empty; give at least one held-out example")
    return batches, Selection(None, source.splitter.layout)


def _places(net: gluon.Block, sample: Any) -> Places:
    places = Places(net, sample)
    odd = [*places.own, *places.unused]
    if odd:
        raise ValueError(f"samples and network differ in {', '.join(sorted(odd)[:4])}: the samples were drawn from "
                         "another network; build the same one")
    places.keep()
    return places


def _check(likelihood: Any) -> None:
    """Raise unless this gives log p with all its constants."""
    if likelihood is None:
        raise ValueError("likelihood is not given, and these samples know none; write likelihood="
                         "sg.likelihoods.Categorical(), as the chains were run with")
    check_likelihood(likelihood)
    if type(likelihood).__module__.startswith("mxnet"):
        raise ValueError(f"likelihood is Gluon's {type(likelihood).__name__}, which need not be -log p with its "
                         "constants; write likelihood=sg.likelihoods.Categorical(), Bernoulli(), Gaussian(sigma) or "
                         "Poisson()")


def _numpy(a: nd.NDArray) -> np.ndarray:
    return classic(a).asnumpy()


def _single(values: np.ndarray) -> np.ndarray:
    """Without the axis of a single output."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _dims(values: np.ndarray) -> tuple:
    more = ["output"] if values.ndim == 2 else [f"position_{k}" for k in range(values.ndim - 1)]
    return ("example", *more)
