"""The step that every sampler shares: the one place that forms the gradient of U."""
from __future__ import annotations

import copy
import math
from typing import Any, Dict, Iterable, Iterator, Optional, Sequence, Tuple

from mxnet.context import Context
from mxnet.ndarray import NDArray

from .. import kernels
from .._check import warn
from ._device import Call, Device, check_state, same_arrays, unchanged
from ._options import Arrays, Index
from ._pull import hand_over
from ._roads import Roads

__all__ = ["Sampler"]


class Sampler(Roads):
    r"""A Markov chain whose step is an optimizer's update.

    The target is the posterior of a loss that is one negative log likelihood an example, ::

        U(w) = sum_i -log p(y_i | x_i, w) - log p(w),     stationary density ~ exp(-U / T)

    with the prior w ~ N(0, 1/wd). From the minibatch mean gradient g (what ``trainer.step(batch_size)`` forms)
    a step uses  grad U = N g + wd w  at the step size  eta = learning_rate / N.

    Parameters
    ----------
    learning_rate : float, optional
        Step size l on the scale of SGD's; eta = l / N. Default 0.01, or what ``lr_scheduler`` says.
    lr_scheduler : mxnet.lr_scheduler.LRScheduler, optional
        Any MXNet schedule. Momentum, friction and thermostat follow a changing step. At step size 0 the chain
        stands still.
    num_data : int, optional
        N, the number of examples in the data set. Left out, N = 1: the loss itself is U, and a warning says so.
    wd : float, default 1.0
        Prior precision of every parameter, biases too (MXNet's own ``wd`` is this number divided by N).
        ``wd_mult`` of a parameter multiplies it.
    prior : float, 'fan_in', dict or sgmcmc_mx.priors.Prior, optional
        Precision by parameter where one number is not enough, or another law; see :mod:`sgmcmc_mx.priors`.
    temperature : float, default 1.0
        T. Below 1 the posterior is sharpened ("cold"), at 0 the sampler is an optimizer.
    seed : int, optional
        Key of the noise, 0 <= seed < 2^64. Left out, it is drawn from MXNet's generator, so that
        ``mx.random.seed`` makes a script repeatable. Samplers that run side by side need different seeds.
    clip_gradient : float, optional
        Clips the minibatch mean gradient elementwise, as in MXNet. The law is then no longer exact; a warning
        says so.
    **kwargs
        The rest of :class:`mxnet.optimizer.Optimizer`: ``rescale_grad``, ``multi_precision``,
        ``begin_num_update``, ``param_dict``, ``param_idx2name``, ``sym``.

    Raises
    ------
    TypeError, ValueError
        For every wrong argument, naming it, the value and what to write instead.

    Notes
    -----
    Along every road of MXNet (contexts, kvstores, ``step`` or ``allreduce_grads`` and ``update``, Module) a seed
    gives the same chain. Two things are MXNet's: with updates on a kvstore it applies every gradient, the stale
    ones too, so ``ignore_stale_grad`` needs ``update_on_kvstore=False``; and an error inside a kvstore's update is
    dropped, so it is raised when a Gluon trainer's next step begins (Module prints it and goes on). AMP needs
    ``update_on_kvstore=False``.
    """

    integrator = "euler"
    second_order = False    # whether a step has a momentum: samples are then weighted by sqrt(step size)
    learns_from_gradients = False   # whether the numbers of a step depend on its gradient
    _told_of_steepness = False      # whether a warning of a prior too steep for the step was given

    def _remember_nothing(self) -> None:
        super()._remember_nothing()
        self._calls = 0         # how often an update was carried out
        self._devices, self._template = {}, self._new_device()

    # ---------------------------------------------------------------- what a sampler defines

    def _coefficients(self, t: kernels.Tensor, index: Index, device: Any, eta: float, lr: float) -> None:
        """Fill in what the step of this sampler needs of tensor ``t``."""
        raise NotImplementedError

    def _prepare(self, t: kernels.Tensor, state: Any, index: Index, device: Any) -> None:
        """Hand the arrays of ``state`` to tensor ``t``."""

    def _adapt(self, call: Call) -> None:
        """Bring preconditioners up to date, right before a step."""

    def acts(self, step: int) -> bool:
        """Whether something of the state is drawn anew before the step of this number."""
        return self._hyper is not None and self._hyper.due(step)

    def _steady(self, t: kernels.Tensor) -> bool:
        """Whether the coefficients of ``t`` would be the same at the next step, if no setting changed."""
        return t.ratio == 1.0 and t.alpha_ratio == 1.0

    def _new_device(self) -> Device:
        return Device()

    def thermostats(self) -> Iterator[Tuple[str, NDArray]]:
        """(name, array) of every friction that adjusts itself, as it stands."""
        return iter(())

    # ---------------------------------------------------------------- the step

    def _step(self, indices: Sequence[Index], weights: Arrays, grads: Arrays, states: Sequence[Any],
              halves: Arrays) -> None:
        self._look_about()
        self._update_count(indices)     # first: the schedule must see this step's number
        self._calls += 1
        lr = self._current_learning_rate()
        if lr == 0.0:
            return
        device = self._device(weights[0].context, indices[0])
        before = device.moved
        device.begin(self, indices)
        device.lr = lr
        call = device.calls.get(indices[0])
        if call is None or not call.same(self, indices, weights, grads, states, halves):
            call = device.calls[indices[0]] = self._gather(device, indices, weights, grads, states, halves)
        counts = self._index_update_count
        for t, index in zip(call.tensors, call.indices):
            t.count = counts[index]
            if t.count == 1 and self._created is not None and index not in self._created:
                self._warn_of_lost_count()
        if self._hyper is not None and before is not device.moved and self._hyper.due(self.num_update):
            self._draw_precisions(device, before)
        settings = self._settings(call, lr)
        if not unchanged(settings, call.settings):
            call.settings = settings if self._fill(call, device, lr) else None
        elif call.first is not None:    # the device's thermostat is that of the states, which may have been loaded
            self._prepare(call.tensors[call.first], call.states[call.first], call.indices[call.first], device)
        device.moved.update(call.moving)
        job = call.job
        if job.tensors:
            shared = device.shared(self, lr, job.tensors)
            if not same_arrays(shared, job.shared):
                job.plan = None
            job.shared, job.seed, job.rescale, job.clip = shared, self.seed, self.rescale_grad, self.clip_gradient
            for t, law in call.by_operators:
                t.unit[:] = law.slope(t.weight).reshape((-1,))
            self._adapt(call)
            kernels.step(job)
            device.collect(shared)

    def _gather(self, device: Device, indices: Sequence[Index], weights: Arrays, grads: Arrays, states: Sequence[Any],
                halves: Arrays) -> Call:
        """The arrays of a call, made ready."""
        call = Call(self, indices, weights, grads, states, halves)
        for index, w, g, half, state in zip(indices, weights, grads, halves or [None] * len(indices), states):
            check_state(state, w, self._name(index))
            t = device.tensor(index)
            if g.stype != "default":
                self._warn_of_rows(index)
                g, call.lasting = g.tostype("default"), False
            t.weight, t.grad, t.half, t.ordinal = w, g, half, self._ordinal(index)
            call.tensors.append(t)
            call.shapes.append(w.shape)
            t.size = math.prod(call.shapes[-1])
        return call

    def is_steady(self) -> bool:
        """Whether the coefficients of the last step would be those of the next one, if no setting changed."""
        return all(call.settings is not None for device in self._devices.values() for call in device.calls.values())

    def skip(self, steps: int) -> None:
        """Count steps that were carried out elsewhere."""
        for index in self._index_update_count:
            self._index_update_count[index] += steps
        self.num_update += steps
        self._calls += steps

    def _fill(self, call: Call, device: Device, lr: float) -> bool:
        """Fill in the coefficients of a call; returns whether they will be the same at the next step."""
        moving: Dict[Index, kernels.Tensor] = {}
        lasting, first, others, by_operators = True, None, False, []
        for k, (index, t, shape, state) in enumerate(zip(call.indices, call.tensors, call.shapes, call.states)):
            mult = self._multiplier("lr_mult", index)
            if mult == 0.0 or t.size == 0:
                continue
            law = self.law(index, shape)
            others = hand_over(law, t, self.num_data) or others
            if law.needs_operators:
                by_operators.append((t, law))
            self._prepare(t, state, index, device)
            self._coefficients(t, index, device, lr * mult / self.num_data, lr * mult)
            lasting = lasting and self._steady(t)
            moving[index], first = t, k if first is None else first
        if call.job is None or moving != call.moving:
            call.job = kernels.Job(list(moving.values()), self.seed, self.rescale_grad, integrator=self.integrator)
        elif others:
            call.job.plan = None
        call.moving, call.first, call.by_operators = moving, first, by_operators
        return lasting and call.lasting

    def _settings(self, call: Call, lr: float) -> Optional[list]:
        """All that coefficients depend on besides the update count; None where it cannot be told."""
        if self.prior is not None and not self.prior.is_fixed():
            return None
        values = [lr, *(() if self._hyper is None else self._hyper.precisions.values())]
        values += [value for name, value in vars(self).items() if name[0] != "_" and name != "num_update"]
        for p in call.params:
            if p is not None:
                values += (p.lr_mult, p.wd_mult)
        for table in (self.lr_mult, self.wd_mult):
            for item in table.items():
                values += item
        return values

    def _draw_precisions(self, device: Device, indices: Iterable[Index]) -> None:
        """Draw the prior precisions given the weights as the last step, of these indices, has left them."""
        members = []
        for index in indices:
            weight, param = device.tensor(index).weight, self._param_dict.get(index)
            if weight is None and param is not None:    # a kvstore has not brought it since states were loaded
                weight = param.list_data()[0]
            if weight is not None:
                members.append((self._ordinal(index), self._names(self._name(index)),
                                self._multiplier("wd_mult", index), weight))
        hyper: Any = self._hyper
        hyper.draw(members, self.seed, self.num_update, self.temperature)
        steep = self._current_learning_rate() / self.num_data * hyper.steepest()
        if steep > 2.0 and not self._told_of_steepness:
            self._told_of_steepness = True
            warn(f"the prior holds some weights so tightly that eta times their precision is {steep:.2g}, and no chain "
                 f"is stable above about 4: write learning_rate={self._current_learning_rate() / steep:.2g}, or a "
                 "larger narrowest in the prior")

    def _current_learning_rate(self) -> float:
        lr = self.learning_rate
        if not (lr >= 0.0 and math.isfinite(lr)):
            raise ValueError(f"learning_rate is {lr!r} at step {self.num_update}; it must be finite and not negative: "
                             "look at the lr_scheduler or at what was given to set_learning_rate")
        return lr

    def _device(self, context: Context, index: Index) -> Any:
        # A kvstore keeps one replica, whose parameters it may spread over the contexts.
        key = "kvstore" if self._on_kvstore(index) else (context.device_typeid, context.device_id)
        if key not in self._devices:
            self._devices[key] = copy.deepcopy(self._template)
        return self._devices[key]
