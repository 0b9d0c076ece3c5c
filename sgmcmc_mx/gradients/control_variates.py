"""Minibatch gradients with less noise: control variates at a fixed centre, and SVRG, whose centre moves."""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Union

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet import ndarray as nd

from .._check import integer, warn
from .._network import Loss, dropping, normalising
from ..batches.batch import Batch, leaves
from ..batches.labelled import Labelled, LabelledData
from ..batches.layout import BatchLayout
from .backward import Gradients, as_type, kept, load

__all__ = ["ControlVariates"]

Array = Union[nd.NDArray, Sequence[nd.NDArray]]     # on several contexts one for each
Inputs = Union[Array, Sequence[Sequence[nd.NDArray]]]


class ControlVariates:
    r"""The gradient of a minibatch, less the deviation that the same minibatch has at a centre w*. ::

        G(w) = sum over the batch [grad l_i(w) - grad l_i(w*)] + n grad L(w*),     L = mean of l_i over the data

    with l_i = -log p(y_i | x_i, w) and n the batch size: what ``loss.backward()`` leaves, with the same mean (n times
    the mean gradient over the data) and, near w*, little of its variance; at w = w* none. Any sampler takes it in
    place of the plain gradient: its step, its prior (which has no noise) and the rest of the loop stay as they are.
    Less noise means less heat: where one thermostat for all weights, or SGHMC without ``gradient_noise``, is biased by
    noise that differs between weights, this removes the cause. A step costs one more forward and backward pass.

    With the centre at a mode, found by SGD beforehand, and left there: the control variates of Baker et al. 2019
    (SGLD-CV). With ``update_every=m`` the centre moves to the present weights every m steps and the full gradient is
    formed anew, a pass over the data each time: the SVRG of Dubey et al. 2016.

    This pays where the posterior is narrow about its mode: on a linear regression with 1,000 points a 160th of the
    gradient's variance is left. A network at temperature 1 leaves its mode for good: on MNIST (784-100-10 and
    784-400-400-10, steps as :func:`sgmcmc_mx.suggest` proposes them) nothing was gained beyond 100 steps from the mode,
    nor beyond 5 to 20 steps from a moving centre; further away the difference of the two gradients is up to twice as
    noisy as one. There larger batches are the better use of the time.

    Parameters
    ----------
    net : gluon.Block
        The network. The centre is where its weights are now.
    loss : callable
        ``loss(net(x), y)`` gives one -log p an example, shape (batch,), as :mod:`sgmcmc_mx.likelihoods` do.
    data : (x, y), DataLoader, DataIter or list of (x, y)
        The full data set, every example once: a pair of arrays whose first axis counts examples, or batches.
        Read when the centre is set, a batch at a time.
    batch_size : int, default 1000
        Examples in a batch of that pass, where ``data`` is a pair of arrays.
    update_every : int, optional
        m, steps between moves of the centre. Default None: it stays.
    layout : BatchLayout, optional
        Which entries of a batch of ``data`` are inputs, label and weights, where the network does not say so.

    Attributes
    ----------
    num_data : int
        Examples in ``data``; the sampler's ``num_data`` should be the same.
    center, full_gradient : dict
        w* and the mean gradient over the data there, by structural name (``0.weight``), as copies.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        For every wrong argument, naming it and what to write instead: weights not initialised, ``grad_req='add'``,
        sparse gradients, a loss that is averaged over the batch, AMP's loss scaling.

    Notes
    -----
    Running statistics, frozen parameters (``grad_req='null'``) and, where the centre is set, gradients are not changed
    by the additional passes. BatchNorm on batch statistics and dropout are warned of: the gradient of a batch is then
    no sum over independent examples, and the two passes drop different units. If frozen parameters or the weights are
    changed by hand (a loaded file), call :meth:`recenter`.

    References
    ----------
    Baker, Fearnhead, Fox & Nemeth 2019, "Control variates for stochastic gradient MCMC", Statistics and Computing 29,
    arXiv 1706.05439 (SGLD-CV). Dubey, Reddi, Williamson, Poczos, Smola & Xing 2016, "Variance reduction in stochastic
    gradient Langevin dynamics", NIPS (SVRG-LD).

    Examples
    --------
    >>> cv = sg.ControlVariates(net, loss_fn, (x_train, y_train))      # after SGD
    >>> for x, y in batches:
    ...     loss = cv.backward(x, y)        # in place of autograd.record() and loss.backward()
    ...     trainer.step(len(x))

    Without a loop of one's own, and resumable where the trainer has a store and ``data=[loader, cv]``; chains of
    :func:`sgmcmc_mx.sample_chains` have theirs by ``ChainSetup(..., control_variates=True)``:

    >>> trainer.sample(loader, steps=5000, control_variates=cv)
    """

    def __init__(self, net: gluon.Block, loss: Loss, data: LabelledData, batch_size: int = 1000,
                 update_every: Optional[int] = None, layout: Optional[BatchLayout] = None) -> None:
        self.update_every = None if update_every is None else integer(
            "update_every", update_every, "steps between moves of the centre, or None to leave it", low=1)
        self._gradients = g = Gradients("ControlVariates", net, loss)
        first = g.trained[0].data(g.contexts[0])
        self._data = Labelled(net, data, batch_size, g.contexts[0], isinstance(first, mx.np.ndarray), first.dtype,
                              layout=layout)
        self._splitter = self._data.splitter
        self._checked_trainer = None
        self._steps = 0
        _warn_of_randomness(net)
        self.recenter()

    # ---------------------------------------------------------------- the centre

    def recenter(self) -> None:
        """Move the centre to the present weights, and form the full gradient there: one pass over the data."""
        g = self._gradients
        mean, self.num_data = g.mean(self._data)
        if not all(np.isfinite(m.sum().asscalar()) for m in mean):
            raise ValueError("the gradient over the full data set is not finite at these weights; look at the data for "
                             "labels out of range and NaN. Else the network has diverged, or in float16 the sum over a "
                             "batch overflows: write a smaller batch_size")
        self._center = [[w.copy() for w in weights] for weights in g.weights]
        self._full = [[m.as_in_context(context) for m in mean] for context in g.contexts]

    @property
    def center(self) -> Dict[str, nd.NDArray]:
        """w*, by structural name."""
        return {name: a.copy() for name, a in zip(self._gradients.names, self._center[0])}

    @property
    def full_gradient(self) -> Dict[str, nd.NDArray]:
        """grad L(w*), by structural name."""
        return {name: a.copy() for name, a in zip(self._gradients.names, self._full[0])}

    def state_dict(self) -> dict:
        """Centre, full gradient there, and the steps since it was first set: part of a checkpoint, if this object is
        given to the trainer as ``data`` (alone or in a list). The arrays are the object's own, for it is asked at every
        step: they are not written to here, and must not be elsewhere."""
        g = self._gradients
        return {"steps": self._steps, "center": dict(zip(g.names, self._center[0])),
                "full_gradient": dict(zip(g.names, self._full[0]))}

    def load_state_dict(self, state: dict) -> None:
        """Go to the centre of a state. Raises ValueError where the parameters are others."""
        g = self._gradients
        found = {}
        for what, mine in (("center", self._center[0]), ("full_gradient", self._full[0])):
            arrays = state.get(what) if isinstance(state, dict) else None
            shapes = {n: a.shape for n, a in zip(g.names, mine)}
            if not isinstance(arrays, dict) or {n: a.shape for n, a in arrays.items()} != shapes:
                raise ValueError(f"state has no {what} of this network's parameters, {', '.join(shapes)[:80]}; give "
                                 "what state_dict() gave")
            found[what] = [arrays[n] for n in g.names]
        steps = integer("steps", state.get("steps"), "what state_dict() gave", low=0)
        self._steps = steps
        self._center = [[a.as_in_context(c).copy() for a in found["center"]] for c in g.contexts]
        self._full = [[a.as_in_context(c).copy() for a in found["full_gradient"]] for c in g.contexts]

    # ---------------------------------------------------------------- the step

    def backward(self, x: Inputs, y: Array, weight: Optional[Array] = None) -> Union[nd.NDArray, List[nd.NDArray]]:
        """Leave the corrected gradient of a batch, summed over its examples, in the parameters.

        Parameters
        ----------
        x, y : NDArray, or list of NDArray
            A batch of inputs and labels; on several contexts lists, one batch a context, as
            ``gluon.utils.split_and_load`` gives. A network that takes several inputs is given them as a tuple, on
            several contexts as a list of tuples.
        weight : NDArray, or list of NDArray, optional
            Weights of the examples, for the loss.

        Returns
        -------
        NDArray, or list of NDArray
            The loss at the present weights, one value an example (a list of them on several contexts). Then
            ``trainer.step(batch_size)`` as ever.
        """
        if autograd.is_recording():
            raise RuntimeError("backward records its two passes itself: write loss = cv.backward(x, y) outside of "
                               "autograd.record(), and leave out loss.backward()")
        losses = self._run(self._parts(x, y, weight))
        return losses if isinstance(y, (list, tuple)) else losses[0]

    def run(self, batch: Batch) -> nd.NDArray:
        """The same of a batch that lies where the network does, in the place of ``Gradients.run``."""
        return self._run([batch])[0]

    def is_of(self, net: gluon.Block) -> bool:
        """Whether it corrects the gradients of this network."""
        return self._gradients.net is net

    def _run(self, parts: Sequence[Batch]) -> List[nd.NDArray]:
        """Of one batch a context."""
        self._check_trainer()
        g = self._gradients
        if self.update_every and self._steps and self._steps % self.update_every == 0:
            self.recenter()
        self._steps += 1
        # The centre first: the last loss seen by a trainer is then the one at the present weights.
        corrections = [self._correction(k, part) for k, part in enumerate(parts)]
        losses = [g.run(part) for part in parts]
        for grads, correction in zip(g.grads, corrections):
            for here, c in zip(grads, correction):
                _add(here, c)
        return losses

    def _correction(self, k: int, batch: Batch) -> List[nd.NDArray]:
        """n grad L(w*) - the batch's gradient at w*, in float32, on context k."""
        self._pass_at_center(k, batch)
        n = batch.size
        return [full * n - as_type(there, full.dtype) for full, there in zip(self._full[k], self._gradients.grads[k])]

    def _pass_at_center(self, k: int, batch: Batch) -> None:
        g = self._gradients
        with kept(g.weights[k] + g.others[k]):
            load(g.weights[k], self._center[k])
            g.run(batch)

    def _parts(self, x: Inputs, y: Array, weight: Optional[Array]) -> List[Batch]:
        contexts, several = self._gradients.contexts, isinstance(y, (list, tuple))
        xs: Any = x if several else [x]
        ys: Any = y if several else [y]
        weights: Any = (weight if several else [weight]) if weight is not None else [None] * len(ys)
        given = list(leaves([xs, ys, weights]))
        absent = x is None or y is None or several and not isinstance(x, (list, tuple))
        if absent or not all(isinstance(a, nd.NDArray) for a in given):
            raise TypeError(f"x and y must be NDArrays, or lists of them, got {type(x).__name__} and "
                            f"{type(y).__name__}; write mx.nd.array(x)")
        parts = [self._splitter.of(*part) for part in zip(xs, ys, weights)]
        at = [next(leaves(batch.inputs)).context for batch in parts]
        odd = any(self._splitter.size(batch.inputs) != batch.size for batch in parts)
        if at != contexts or odd or len({len(xs), len(ys), len(weights)}) > 1:
            got = [(str(c), *(a.shape for a in leaves([batch.inputs, batch.label]))) for c, batch in zip(at, parts)]
            raise ValueError(f"the network is on {', '.join(map(str, contexts))}, and each context needs its batch of "
                             f"inputs and as many labels, got {got}; write gluon.utils.split_and_load(x, contexts), "
                             "and the same for y")
        if not all(batch.size for batch in parts):
            shape = next(leaves(parts[0].inputs)).shape
            raise ValueError(f"x and y are an empty batch, of shape {shape}; leave it out")
        return parts

    def _check_trainer(self) -> None:
        trainer = getattr(self._gradients.trained[0], "_trainer", None)
        if getattr(trainer, "_amp_loss_scaler", None) is not None:
            raise ValueError("AMP scales the loss, and ControlVariates forms gradients of the loss as it is; leave out "
                             "amp.init_trainer, or write multi_precision=True with a float16 network")
        if trainer is None or trainer is self._checked_trainer:
            return
        self._checked_trainer = trainer
        # A trainer that could not be made has no optimizer, but parameters remember it.
        told = getattr(getattr(trainer, "_optimizer", None), "num_data", self.num_data)
        if told != self.num_data:
            warn(f"the sampler's num_data is {told}, but the data set given to ControlVariates has {self.num_data} "
                 "examples; both should be the data that batches are drawn from")


def _add(gradient: nd.NDArray, correction: nd.NDArray) -> None:
    if gradient.dtype == correction.dtype:
        gradient += correction
    else:
        nd.cast(gradient.astype(correction.dtype) + correction, dtype=gradient.dtype, out=gradient)


def _warn_of_randomness(net: gluon.Block) -> None:
    drops, norms = dropping(net), normalising(net)
    if drops:
        warn(f"{drops[0]} drops units while training, other ones in each of the two passes: control variates then "
             "remove little noise or add some; remove it or set its rate to 0")
    if norms:
        warn(f"{norms[0]} normalises by the statistics of a batch while training, so the gradient of a batch is no "
             "sum over examples and the correction is biased; use_global_stats=True, LayerNorm or GroupNorm is sound, "
             "and sg.nn.convert_batchnorm(net) puts a sound layer in place of each")
