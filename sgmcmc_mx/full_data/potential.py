"""The potential of a network's posterior over a whole data set, and its gradient, a minibatch at a time."""
from __future__ import annotations

from typing import Iterable, Iterator, List, Optional, Sequence, Tuple

import mxnet as mx
from mxnet import autograd, gluon
from mxnet import ndarray as nd

from .._network import Loss
from ..batches.batch import Batch
from ..batches.labelled import Labelled, LabelledData
from ..batches.layout import BatchLayout
from ..kernels.lists import Adding, as_mxnet_reads, copies, sums_of_squares
from ..likelihoods import Likelihood
from ..prediction.forward import forward
from ..priors import PriorLike, as_prior
from ..priors.names import names_of, prior_laws
from ..samplers._hyper import Hyper
from .losses import Losses, settle
from .place import Place

__all__ = ["Potential"]


class Potential:
    r"""The potential of a posterior, over all data. ::

        U(w) = sum_i -log p(y_i | x_i, w) + sum_j precision_j w_j^2 / 2,     or another prior's -log p(w)

    Calling it with a position (one array for each parameter that moves) loads that position into the network and gives
    U, summed in float64; :meth:`with_gradient` gives (U, grad U). The network runs in predict mode, for a U that draws
    units at random or depends on how examples are batched has no posterior: dropout is off, BatchNorm uses its running
    statistics. The prior's normalising constant is left out.

    Parameters
    ----------
    net, likelihood, data, batch_size, wd, prior, layout
        As for :class:`~sgmcmc_mx.HMC`.

    Attributes
    ----------
    params : list of gluon.Parameter
        What moves, in the order of ``net.save_parameters``: all but those with ``grad_req='null'`` or ``lr_mult=0``.
    names : list of tuple of str
        What each goes by: Gluon's own name, then the structural ones.
    laws : list of sgmcmc_mx.priors.Law
        Their priors.
    num_data : int or None
        Examples in ``data``, known after the first pass.
    passes : int
        Passes over the data so far, with or without the gradient.
    """

    def __init__(self, net: gluon.Block, likelihood: Loss, data: LabelledData, batch_size: int = 1000, wd: float = 1.0,
                 prior: Optional[PriorLike] = None, layout: Optional[BatchLayout] = None) -> None:
        self.net, self.likelihood = net, likelihood
        named = net._collect_params_with_prefix()
        everything = list(dict.fromkeys(named.values()))    # a parameter shared by two layers is one
        _check_parameters(everything)
        self.params = [p for p in everything if p.grad_req != "null" and p.lr_mult != 0.0]
        if not self.params:
            raise ValueError("net has no parameter to sample: each has grad_req='null' or lr_mult=0")
        self.context = self.params[0].list_ctx()[0]
        self.num_data: Optional[int] = None
        self.passes = 0
        self._place: Optional[Place] = None
        self._at: Optional[Sequence[nd.NDArray]] = None
        self._some: Optional[Sequence[Batch]] = None     # in the place of all data, for a while
        self.layout = layout or BatchLayout()
        self.inputs: Optional[int] = None       # that the network takes, once it has been called
        self._data = self._labelled(data, batch_size, layout)
        self._finish_initialization(everything)
        self.names = names_of(net, self.params)
        self.prior = None if prior is None else as_prior(prior)
        self.laws = prior_laws(self.params, self.names, wd, self.prior)

    def take_draws(self, hyper: Hyper) -> None:
        """Let the parameters under a hyperprior have the precisions last drawn."""
        for i, (p, names) in enumerate(zip(self.params, self.names)):
            law = hyper.law(names, p.shape)
            if law is not None:
                self.laws[i] = law.tightened(p.wd_mult)

    def place(self) -> Place:
        """The network's own weights and gradients, as :meth:`look` found them."""
        if self._place is None:
            self._place = Place(self.params, self.context)
        return self._place

    def look(self) -> None:
        """Take nothing of the network for granted: its weights may be others, and in other arrays."""
        self._place, self._at = None, None

    def arrive(self, position: Sequence[nd.NDArray]) -> None:
        """The network is known to be at this position."""
        self._at = position

    def bring(self, position: Sequence[nd.NDArray]) -> None:
        """Have the network at a position, without a write if it is known to be there."""
        if position is not self._at:
            self.load(position)

    def leave(self) -> None:
        """The network is going to move by itself."""
        self._at = None

    def position(self) -> List[nd.NDArray]:
        """The network's weights, copied."""
        self.look()
        return copies(self.place())

    def load(self, position: Sequence[nd.NDArray]) -> None:
        """Write a position into the network, in place."""
        self._at = None
        for value, w in zip(position, self.place()):
            value.copyto(w)
        self._at = position

    def __call__(self, position: Sequence[nd.NDArray]) -> float:
        """U at a position."""
        self.look()
        self.load(position)
        losses = Losses()
        with autograd.pause(train_mode=False):
            for batch in self._batches():
                losses.add(self._per_example(batch), self._fresh)
        return settle([losses])[0] + self.prior_energy(position)

    def with_gradient(self, position: Sequence[nd.NDArray]) -> Tuple[float, List[nd.NDArray]]:
        """U and its gradient at a position."""
        self.look()
        self.load(position)
        losses, gradient = self.slope(self.place())
        return settle([losses])[0] + self.prior_energy(position), copies(gradient)

    def estimated(self, position: Sequence[nd.NDArray], some: Sequence[Batch],
                  num_data: int) -> Tuple[float, List[nd.NDArray]]:
        """The same from some examples, whose part of U is multiplied to that of all ``num_data``: without bias."""
        self._some = some
        try:
            energy, gradient = self.with_gradient(position)
        finally:
            self._some = None
        of_prior = [nd.zeros_like(g) for g in gradient]
        self.place().add_prior(of_prior, self.laws)
        factor, prior = num_data / sum(batch.size for batch in some), self.prior_energy(position)
        return (factor * (energy - prior) + prior,
                [(g - p) * factor + p for g, p in zip(gradient, of_prior)])

    def slope(self, place: Place) -> Tuple[Losses, List[nd.NDArray]]:
        """The losses of all data, and the gradient of U (the prior's too), where the network is.

        The gradient is the sum of prior, first batch, second batch and so on, in this order. Its arrays may be the
        network's own, which the next backward pass writes to.
        """
        losses = Losses()
        gradient: List[nd.NDArray] = []
        for batch in self._batches():
            if gradient is place.gradient:      # which the next batch is going to write to
                gradient = copies(gradient)
            loss = self._backward(batch, place)
            if gradient:
                Adding(gradient, place.dense_gradient())(1.0)
            else:
                gradient = place.dense_gradient()
                place.add_prior(gradient, self.laws)
            losses.add(loss, self._fresh)
        return losses, gradient

    def prior_energy(self, position: Sequence[nd.NDArray]) -> float:
        """The prior's part of U."""
        plain = [w for w, law in zip(position, self.laws) if law.is_plain]
        precisions = [law.precision for law in self.laws if law.is_plain]
        others = [law.energy(w) for w, law in zip(position, self.laws) if not law.is_plain]
        squares = sums_of_squares(plain) if plain else []
        return (sum(square * as_mxnet_reads(0.5 * precision) for square, precision in zip(squares, precisions))
                + sum(energy.asscalar() for energy in others))

    def _backward(self, batch: Batch, place: Place) -> nd.NDArray:
        """Leave the gradient of a batch's loss in the network; returns the loss of each example."""
        # What a batch does not use is left as it was by backward. A compiled network uses the same of every batch.
        compiled = getattr(self.net, "_active", False)
        if not (compiled and place.all_written):
            place.clear_gradient()
        with autograd.record(train_mode=False):
            loss = self._per_example(batch)
        loss.backward(train_mode=False)
        if compiled and place.all_written is None:
            place.see_what_was_written()
        return loss

    @property
    def _fresh(self) -> bool:
        """Whether each loss is an array of its own; a loss that is compiled with static memory gives one again."""
        return isinstance(self.likelihood, Likelihood) and self.likelihood.by_itself

    def check_again(self, position: Sequence[nd.NDArray], value: float, temperature: float) -> None:
        """Raise unless one more pass gives U the same value, where ``data`` is read anew at every pass."""
        if self._data.every is not None:
            return
        again = self(position)
        if not abs(again - value) <= 0.01 * temperature + 1e-5 * abs(value):    # float32 forward is far more exact
            raise ValueError(f"the potential of the same weights is {value:.6g} in one pass over data and {again:.6g} "
                             "in the next, so data differs from pass to pass (examples changed at random?); a chain "
                             "that accepts or rejects needs the same examples every time: write a pair of arrays")

    # ---------------------------------------------------------------- parts

    def _per_example(self, batch: Batch) -> nd.NDArray:
        self.inputs = len(batch.inputs)
        n, loss = batch.size, self.likelihood(forward(self.net, *batch.inputs), *batch.loss_arguments)
        if not isinstance(loss, nd.NDArray) or loss.shape[:1] != (n,):
            raise ValueError(f"likelihood must give one -log p an example, shape ({n},) for a batch of {n}, "
                             f"got {getattr(loss, 'shape', type(loss).__name__)}; leave out .mean() or .sum(), or take "
                             "one of sgmcmc_mx.likelihoods")
        return loss

    def _batches(self) -> Iterator[Batch]:
        if self._some is not None:
            yield from self._some
            return
        count = 0
        for batch in self._data:
            count += batch.size
            yield batch
        if self.num_data is None:
            self.num_data = count
        if not count:
            raise ValueError(_EMPTY)
        if count != self.num_data:
            raise ValueError(f"data gave {count} examples in this pass and {self.num_data} before; U needs the same "
                             "ones every time: write a DataLoader without a random sampler of its own, or arrays")
        self.passes += 1

    def _labelled(self, data: LabelledData, batch_size: int, layout: Optional[BatchLayout]) -> Labelled:
        arrays = [p.data(self.context) for p in self.params if p._data is not None]
        as_np = any(isinstance(a, mx.np.ndarray) for a in arrays) or mx.util.is_np_array()
        batches = Labelled(self.net, data, batch_size, self.context, as_np, self.params[0].dtype, layout=layout)
        if batches.every is not None:     # to the device once, not at every pass
            batches.every = batches.place(batches.every)
        return batches

    def _finish_initialization(self, params: Iterable[gluon.Parameter]) -> None:
        if all(p._data is not None for p in params):
            return
        batch = next(iter(self._data), None)
        if batch is None:
            raise ValueError(_EMPTY)
        with autograd.pause(train_mode=False):
            forward(self.net, *batch.inputs)
        waiting = [p.name for p in params if p._data is None]
        if waiting:
            raise RuntimeError(f"the shape of parameter {waiting[0]} is not known: it is of a layer that no batch "
                               "reaches. Take it out of the network, or say its shape (in_units=10)")


_EMPTY = "data is empty: a chain needs at least one example; write the training data"


def _check_parameters(params: Iterable[gluon.Parameter]) -> None:
    for p in params:
        if p._data is None and not p._deferred_init:
            raise RuntimeError(f"parameter {p.name} is not initialised; call net.initialize() first")
        if len(p.list_ctx()) > 1:
            raise ValueError(f"parameter {p.name} is on {len(p.list_ctx())} contexts, and a transition runs on one; "
                             "write net.collect_params().reset_ctx(mx.cpu())")
        if getattr(p, "_stype", "default") != "default":
            raise ValueError(f"parameter {p.name} has stype={p._stype!r}; every row of a sampled weight moves at "
                             "every step, so build it dense")
        if "float16" in str(p.dtype):
            raise ValueError(f"parameter {p.name} is float16, in which most proposals would be rounded away; write "
                             "net.cast('float32')")
