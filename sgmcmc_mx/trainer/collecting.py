"""What every chain of networks shares, however it moves: it keeps samples, and predicts with their average."""
from __future__ import annotations

import copy
import os
from typing import Any, Iterator, Optional, Sequence, Set, Tuple, TypeVar, Union

import mxnet as mx
import numpy as np
from mxnet import cpu, gluon
from mxnet import ndarray as nd
from numpy.typing import ArrayLike

from .._check import not_both, warn
from .._network import Loss, normalising_layers
from .._version import __version__
from ..batches.arrays import classic
from ..batches.inputs import Inputs
from ..batches.layout import BatchLayout
from ..likelihoods import Categorical
from ..likelihoods.activations import Activation
from ..prediction.averaging import Prediction, predict
from ..prediction.forward import outputs_on
from ..prediction.networks import networks
from ..prediction.selection import Output
from ..store import FolderStore, MemoryStore, Sample

__all__ = ["Collecting", "as_store"]

Chain = TypeVar("Chain", bound="Collecting")


class Collecting:
    """Base of :class:`~sgmcmc_mx.BayesianTrainer` and of the samplers that accept and reject.

    A subclass calls :meth:`_begin`, counts its steps in ``num_steps``, and says ``_context``, the device to predict on,
    and ``_when``, how samples come about.
    """

    net: gluon.Block
    likelihood: Optional[Loss]
    samples: Union[MemoryStore, FolderStore]
    num_steps: int
    _inputs_seen: Optional[int] = None      # how many inputs the network was called with in training, if known
    _keeper: Any = None     # a checkpoint.keeper.Keeper, with a store
    _progress: Any = None   # a Progress, where it is shown

    def _context(self) -> mx.Context:
        raise NotImplementedError

    def _when(self) -> str:
        raise NotImplementedError

    def _begin(self, net: gluon.Block, likelihood: Optional[Loss]) -> None:
        self.net, self.likelihood, self.samples, self.num_steps = net, likelihood, MemoryStore(), 0
        self._named = net._collect_params_with_prefix()
        self._warned: Set[str] = set()

    def _copies(self) -> dict:
        """All parameters as they are, by structural name, on the host; one shared by two layers is copied once.

        Of a store that keeps predictions: the network's outputs on its inputs.
        """
        inputs = getattr(self.samples, "inputs", None)
        if inputs is not None:
            return {"output": outputs_on(self.net, inputs, self._context())}
        copies = {}
        for p in self._named.values():
            if p.name not in copies:
                copies[p.name] = _host_copy(p.list_data()[0])
        return {name: copies[p.name] for name, p in self._named.items()}

    def describe(self) -> dict:
        """Shape and type of every parameter, by structural name."""
        return {name: {"shape": list(p.shape), "dtype": np.dtype(p.dtype).name} for name, p in self._named.items()}

    def _keep(self, arrays: dict, weight: float = 1.0, **readings: Any) -> None:
        self.samples.append(Sample(arrays, self.num_steps, weight, **readings), self._still())

    def _still(self) -> Set[str]:
        """Names of the parameters that are not meant to move. A store holds them to it, sample by sample.

        Running statistics stay where a trunk is run as for prediction, and only then: beside others they are named.
        """
        still = {name for name, p in self._named.items() if p.grad_req == "null" or p.lr_mult == 0}
        statistics = tuple(f"{name}_running_" for name in normalising_layers(self.net))
        return still if any(not self._named[name].name.startswith(statistics) for name in still) else set()

    def close(self) -> None:
        """Write what is left of the samples, and a checkpoint of the last step, and let other runs into the store.

        The samples can still be read. There is no checkpoint of a step that failed or diverged; and none where the
        network has drawn from MXNet's generator (dropout) since the one before, for its state cannot be kept.
        """
        if self._progress is not None:
            self._progress.close()
        if self._keeper is not None:
            self._keeper.close(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        name = type(self).__name__
        raise TypeError(f"a {name} holds a network, an engine's arrays and a thread, and can be neither pickled nor "
                        f"copied; write pickle.dumps(trainer.samples), or store='runs/a' and {name}.resume('runs/a', "
                        "net) in the other process")

    def __enter__(self: Chain) -> Chain:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def predict(self, data: Inputs, activation: Union[None, Activation, Sequence[Activation]] = None, *,
                axis: Optional[int] = None, samples: bool = False, stats: Union[None, str, Sequence[str]] = None,
                quantiles: Sequence[float] = (), noise_std: Optional[ArrayLike] = None, output: Output = None,
                layout: Optional[BatchLayout] = None, batch_axis: Optional[int] = None,
                stages: Optional[Sequence[gluon.Block]] = None, batch_size: int = 1000) -> Prediction:
        """The Bayesian model average  p(y | x) = sum_s w_s p(y | x, w_s)  over the collected samples.

        Parameters
        ----------
        activation : 'softmax', 'sigmoid', 'identity', callable or likelihood, optional
            What makes a prediction of the network's output. Default: what the chain's likelihood knows.
        data, axis, samples, stats, quantiles, noise_std, output, layout, batch_axis, stages, batch_size
            As for :func:`sgmcmc_mx.predict`. The number of inputs is that of the network's calls in training.

        Returns
        -------
        As of :func:`sgmcmc_mx.predict`. The network's weights are what they were, whatever happens.
        """
        self._check_samples()
        if axis is None and output is None and activation == "softmax" and isinstance(self.likelihood, Categorical):
            axis = self.likelihood.axis
        activation = self._activation(activation)
        for key, message in self._unsound():
            self._warn_once(key, message)
        return predict(self.net, self.samples, data, activation, axis=axis, samples=samples, stats=stats,
                       quantiles=quantiles, noise_std=noise_std, output=output,
                       layout=self._layout(layout, batch_axis), stages=stages, batch_size=batch_size,
                       context=self._context())

    def networks(self, block: Optional[gluon.Block] = None) -> Iterator[gluon.Block]:
        """The network with the weights of one sample after another, for what :meth:`predict` does not know.

        Its own weights are back after the loop, also after ``break`` and an error. See :func:`sgmcmc_mx.networks`.

        Parameters
        ----------
        block : gluon.Block, optional
            Another Block that has the weights: a part of the network, or one that contains it or shares its parameters.

        Examples
        --------
        >>> answers = [beam_search(net, question) for net in trainer.networks()]
        """
        self._check_samples()
        return networks(self.net if block is None else block, self.samples, self.net)

    def _check_samples(self) -> None:
        if not len(self.samples):
            raise ValueError(f"there are no samples yet: {self.num_steps} steps were taken, {self._when()}")

    def _layout(self, layout: Optional[BatchLayout], batch_axis: Optional[int]) -> BatchLayout:
        not_both("batch_axis", batch_axis, "layout", layout, "both say where the examples lie")
        if layout is None:
            layout = self._usual_layout() if batch_axis is None else BatchLayout(batch_axis=batch_axis)
        elif isinstance(layout, BatchLayout):
            layout = copy.copy(layout)
        else:
            return layout       # which predict refuses
        layout.seen = self._inputs_seen
        return layout

    def _usual_layout(self) -> BatchLayout:
        """How inputs lie where nothing is said; their names and places are another matter."""
        return BatchLayout()

    def _activation(self, activation: Any) -> Any:
        known: Any = self.likelihood if hasattr(self.likelihood, "predictive") else None
        activation = known if activation is None else activation
        if activation is None:
            raise ValueError("activation is not given and no likelihood knows it; write activation='softmax', "
                             f"'sigmoid', 'identity' or a callable, or give {type(self).__name__} a likelihood")
        return activation

    def _unsound(self) -> Iterator[Tuple[str, str]]:
        """What makes an average over the samples unsound, as (key, message)."""
        return iter(())

    def _warn_once(self, key: str, message: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            warn(message)


def as_store(store: Union[str, os.PathLike, FolderStore], **about: Any) -> FolderStore:
    """The folder that was meant by a path, or a store, with what its manifest says of the run."""
    store = store if isinstance(store, FolderStore) else FolderStore(store)
    store.begin(package=f"sgmcmc_mx {__version__}", **about)
    return store


def _host_copy(array: nd.NDArray) -> nd.NDArray:
    array = classic(array)
    return array.copyto(cpu()) if array.context.device_type != "cpu" else array.copy()
