"""What every sampler shares: the one place that forms the gradient of U, and the check of every knob.

A process that only serves parameters unpickles these classes while MXNet is half imported, so this module
and the samplers import nothing of MXNet but ``ndarray`` and ``optimizer``.
"""
from __future__ import annotations

import contextlib
import copy
import logging
import math
import numbers
import os
from typing import Optional

from mxnet.optimizer import Optimizer

from .. import kernels
from .._check import integer, number, unknown_option, warn
from ..kernels.seeds import draw_seed
from ..priors import Gamma, as_prior
from ._device import Call, Device, check_state, same_arrays, unchanged
from ._hyper import Hyper
from ._options import base_lr, check_mxnet_options, half_refused, learning_rate_of, options, places

__all__ = ["Sampler"]

_log = logging.getLogger("sgmcmc_mx")

_N_HELP = ("num_data=N says how many examples the full data set has, so that the minibatch mean gradient stands "
           "for the whole; write num_data=len(dataset)")


class Sampler(Optimizer):
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
        Precision by parameter, where one number is not enough; see :mod:`sgmcmc_mx.priors`.
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

    def __init__(self, *, learning_rate: Optional[float] = None, num_data: Optional[int] = None, wd: float = 1.0,
                 prior=None, temperature: float = 1.0, seed: Optional[int] = None,
                 clip_gradient: Optional[float] = None, lr_scheduler=None, **kwargs):
        kernels.backend()       # a wrong SGMCMC_MX_BACKEND is told here, not at the first step
        name = type(self).__name__.lower()
        unknown_option(name, kwargs, options(type(self)))
        check_mxnet_options(kwargs)
        learning_rate = learning_rate_of(learning_rate, lr_scheduler)
        self.base_learning_rate = base_lr(lr_scheduler) if learning_rate is None else learning_rate
        wd = number("wd", wd, "wd is the prior precision 1 / variance, wd=1.0 by default", low=0.0)
        if clip_gradient is not None:
            clip_gradient = number("clip_gradient", clip_gradient, "leave it out not to clip", low=0.0, open_low=True)
            warn(f"clip_gradient={clip_gradient:g} changes the gradient wherever it is larger, so {name} no longer "
                 "samples the posterior exactly; a smaller learning_rate keeps the law")
        self.temperature = number("temperature", temperature, "temperature=1.0 is the posterior", low=0.0)
        if num_data is None:
            warn(f"{name} without num_data takes N = 1: the loss itself is U, the temperature is that of a single "
                 f"example. {_N_HELP}")
            num_data = 1
        self.num_data = integer("num_data", num_data, _N_HELP, low=1)
        self.prior = None if prior is None else as_prior(prior)
        self._hyper = Hyper(self.prior) if isinstance(self.prior, Gamma) else None
        if self._hyper is not None and self.temperature == 0.0:
            raise ValueError("prior=Gamma(...) needs temperature > 0, got 0.0: at temperature 0 every precision would "
                             "be infinite; write a fixed prior or a small temperature")
        self.seed = draw_seed() if seed is None else integer(
            "seed", seed, "write a whole number below 2**64, or leave it out", low=0, high=2 ** 64 - 1)
        self._rounds = 0        # how often a trainer announced a step
        self._calls = 0         # how often an update was carried out
        self._lost = False      # whether a warning of lost states was given
        self._failure = None    # what went wrong in a call whose caller may not have seen it
        self._param_dict, self._aliases = {}, {}
        self._ordinals = {}
        self._loaded_counts = {}    # update counts that came with an unpickled sampler
        self._created = set()       # indices whose state was made here, None once a warning was given
        self._devices, self._template = {}, self._new_device()
        super().__init__(learning_rate=learning_rate, wd=wd, clip_gradient=clip_gradient,
                         lr_scheduler=lr_scheduler, **kwargs)
        if self.prior is not None and self.idx2name:
            self.prior.check([(n,) for n in dict.fromkeys(self.idx2name.values())])
        self.allow_np_array = True
        self.aggregate_num = 2 ** 30    # all tensors of a step in one call, wherever MXNet has a choice

    # ---------------------------------------------------------------- what a sampler defines

    def _coefficients(self, t, index, device, eta: float, lr: float) -> None:
        """Fill in what the step of this sampler needs of tensor ``t``."""
        raise NotImplementedError

    def _prepare(self, t, state, index, device) -> None:
        """Hand the arrays of ``state`` to tensor ``t``."""

    def _adapt(self, call) -> None:
        """Bring preconditioners up to date, right before a step."""

    def _steady(self, t) -> bool:
        """Whether the coefficients of ``t`` would be the same at the next step, if no setting changed."""
        return t.ratio == 1.0 and t.alpha_ratio == 1.0

    # ---------------------------------------------------------------- the optimizer protocol

    @property
    def rescale_grad(self) -> float:
        """What the gradient is multiplied by to be the minibatch mean. A trainer sets it at each step's begin."""
        return self._rescale_grad

    @rescale_grad.setter
    def rescale_grad(self, value):
        self._rescale_grad = number("rescale_grad", value, "a trainer divides it by the batch size: give step() "
                                    "the number of examples in the batch (1.0 by default)", low=0.0, open_low=True)
        self._rounds += 1
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._refuse_overflow_on_kvstore()

    def set_learning_rate(self, lr):
        """As in MXNet; at 0 the chain stands still."""
        super().set_learning_rate(number("learning_rate", lr, "a step size such as learning_rate=0.1", low=0.0))

    @property
    def param_dict(self) -> dict:
        """Gluon's parameters by index; what cannot be sampled is refused when they are set."""
        return self._param_dict

    @param_dict.setter
    def param_dict(self, params):
        mine = self._param_dict
        if mine and params and (len(mine) != len(params) or any(params.get(i) is not p for i, p in mine.items())):
            raise ValueError(f"this {type(self).__name__.lower()} already moves the parameters of another trainer, and "
                             "two chains cannot share momentum and noise; make a sampler for each trainer")
        for p in params.values():
            if getattr(p, "_stype", "default") != "default":
                raise ValueError(f"parameter {p.name} has stype={p._stype!r}; every row of a sampled weight moves at "
                                 "every step, so build it dense (sparse gradients are welcome: sparse_grad=True)")
            if str(p.dtype) in ("float16", "<class 'numpy.float16'>") and not self.multi_precision:
                raise ValueError(half_refused(p.name))
        # A BayesianTrainer knows the structural names too, which a prior's patterns may mean.
        trainer = next((getattr(p, "_trainer", None) for p in params.values()), None)
        self._aliases = {}
        for name, p in getattr(trainer, "_named", {}).items():
            self._aliases.setdefault(p.name, name)
        if self.prior is not None and params:
            self.prior.check([self._names(p.name) for p in params.values()])
        self._param_dict = params
        if params:
            self._ordinals = places([params[i].name for i in sorted(params)])

    def set_wd_mult(self, args_wd_mult):
        """As in MXNet, but biases keep their multiplier of 1: at 0 their prior would be improper."""
        attributes, names = self.sym_info or ({}, ())
        given = {n: float(attributes[n]["__wd_mult__"]) for n in names if "__wd_mult__" in attributes.get(n, {})}
        self.wd_mult = {**given, **args_wd_mult}

    def create_state_multi_precision(self, index, weight):
        """State of one parameter; a float16 one gets a float32 master copy."""
        with self._reporting(index):
            return self._create_state(index, weight)

    def _create_state(self, index, weight):
        if self._index_update_count.get(index, self.begin_num_update) > self.begin_num_update:
            self._warn_of_lost_state(index)
        if self._created is not None:
            self._created.add(index)
        if weight.dtype.__name__ == "float16":
            if not self.multi_precision:
                raise ValueError(half_refused(self._name(index)))
            master = weight.astype("float32")
            return master, self.create_state(index, master)
        return self.create_state(index, weight)

    def update(self, index, weight, grad, state) -> None:
        """One step of one parameter, or of a list of them."""
        if isinstance(index, (tuple, list)):
            self._guarded(index, weight, grad, state)
        else:
            self._guarded((index,), (weight,), (grad,), (state,))

    def update_multi_precision(self, index, weight, grad, state) -> None:
        """As :meth:`update`; float16 weights move through their float32 master copies."""
        if not isinstance(index, (tuple, list)):
            index, weight, grad, state = (index,), (weight,), (grad,), (state,)
        if self.multi_precision and weight[0].dtype.__name__ == "float16":
            self._guarded(index, [s[0] for s in state], grad, [s[1] for s in state], weight)
        else:
            self._guarded(index, weight, grad, state)

    def __getstate__(self):
        state = self.__dict__.copy()
        state.pop("_param_dict", None)
        state["_failure"] = None
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._param_dict, self._aliases = {}, {}
        # The run may go on with other contexts, or on a kvstore: each starts where these were, which were all equal.
        self._loaded_counts = {}
        for counts in (*self._all_index_update_counts.values(), self._index_update_count):
            for index, count in counts.items():
                self._loaded_counts[index] = max(count, self._loaded_counts.get(index, 0))
        self._all_index_update_counts, self._index_update_count = {}, dict(self._loaded_counts)
        self._template, self._devices = next(iter(self._devices.values()), self._template), {}

    def _set_current_context(self, device_id):
        if device_id not in self._all_index_update_counts:
            self._all_index_update_counts[device_id] = dict(self._loaded_counts)
        self._index_update_count = self._all_index_update_counts[device_id]

    # ---------------------------------------------------------------- the step

    @contextlib.contextmanager
    def _reporting(self, index):
        # MXNet drops an exception raised inside a kvstore's update: it is raised again when the next step begins.
        try:
            yield
        except Exception as e:
            if self._on_kvstore(index):
                self._failure = e
            raise

    def _guarded(self, indices, weights, grads, states, halves=()) -> None:
        try:
            with self._reporting(indices[0]):
                self._step(indices, weights, grads, states, halves)
        except Exception:
            if os.environ.get("DMLC_ROLE") == "server":     # the weights are all that its workers see of it
                _log.error("an update failed on the server, which sets the weights to NaN so that its workers notice",
                           exc_info=True)
                for w in weights:
                    w[:] = math.nan
            raise

    def _on_kvstore(self, index) -> bool:
        """Whether the update of this parameter is called by a kvstore, one parameter at a time."""
        trainer = getattr(self._param_dict.get(index), "_trainer", None)
        return isinstance(index, str) or bool(getattr(trainer, "_update_on_kvstore", False))    # a name: Module's

    def _refuse_overflow_on_kvstore(self) -> None:
        """Refuse mixed precision (AMP) with updates on a kvstore.

        A trainer looks for an overflow after the kvstore has moved the weights. Nothing tells the sampler when
        AMP or the kvstore is set up, so it looks when a step begins.
        """
        trainer = next((getattr(p, "_trainer", None) for p in self._param_dict.values()), None)
        if getattr(trainer, "_amp_loss_scaler", None) is None:
            return
        if not trainer._kv_initialized:
            trainer._init_kvstore()     # as the trainer does next; it decides where updates happen
        if trainer._update_on_kvstore:
            raise ValueError("with update_on_kvstore=True MXNet moves the weights before AMP looks for an overflow, so "
                             "a step that AMP means to skip would be taken with an infinite gradient; write "
                             "gluon.Trainer(..., update_on_kvstore=False)")

    def _step(self, indices, weights, grads, states, halves) -> None:
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
            self._adapt(call)
            kernels.step(job)
            device.collect(shared)

    def _gather(self, device, indices, weights, grads, states, halves):
        """The arrays of a call, made ready."""
        call = Call(self, indices, weights, grads, states, halves)
        for index, w, g, half, state in zip(indices, weights, grads, halves or [None] * len(indices), states):
            check_state(state, w, self._name(index))
            t = device.tensor(index)
            if g.stype != "default":
                g, call.lasting = g.tostype("default"), False
            t.weight, t.grad, t.half, t.ordinal = w, g, half, self._ordinal(index)
            call.tensors.append(t)
            call.shapes.append(w.shape)
            t.size = math.prod(call.shapes[-1])
        return call

    def _fill(self, call, device, lr: float) -> bool:
        """Fill in the coefficients of a call; returns whether they will be the same at the next step."""
        lasting, moving, first = True, {}, None
        for k, (index, t, shape, state) in enumerate(zip(call.indices, call.tensors, call.shapes, call.states)):
            mult = self._multiplier("lr_mult", index)
            if mult == 0.0 or t.size == 0:
                continue
            t.prior = self.precision(index, shape) / self.num_data
            self._prepare(t, state, index, device)
            self._coefficients(t, index, device, lr * mult / self.num_data, lr * mult)
            lasting = lasting and self._steady(t)
            moving[index], first = t, k if first is None else first
        if call.job is None or moving != call.moving:
            call.job = kernels.Job(list(moving.values()), self.seed, self.rescale_grad, integrator=self.integrator)
        call.moving, call.first = moving, first
        return lasting and call.lasting

    def _settings(self, call, lr: float):
        """All that coefficients depend on besides the update count; None where it cannot be told."""
        if self.prior is not None and self._hyper is None:
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

    def _update_count(self, index):
        counts, start, latest = self._index_update_count, self.begin_num_update, self.num_update
        for i in index if isinstance(index, (list, tuple)) else (index,):
            count = counts[i] = counts.get(i, start) + 1
            if count > latest:
                latest = count
        self.num_update = latest

    def _draw_precisions(self, device, indices) -> None:
        """Draw the prior precisions given the weights as the last step, of these indices, has left them."""
        members = []
        for index in indices:
            weight, param = device.tensor(index).weight, self._param_dict.get(index)
            if weight is None and param is not None:    # a kvstore has not brought it since states were loaded
                weight = param.list_data()[0]
            if weight is not None:
                members.append((self._ordinal(index), self._names(self._name(index)),
                                self._multiplier("wd_mult", index), weight))
        self._hyper.draw(members, self.seed, self.num_update, self.temperature)

    def _warn_of_lost_count(self) -> None:
        self._created = None
        warn("states were loaded that do not say how many steps they are from, as Module's do not, so the noise of "
             "the first steps is drawn again unless the seed is another; write begin_num_update=<steps taken>")

    def _warn_of_lost_state(self, index) -> None:
        if not self._lost:
            self._lost = True
            warn(f"the state of parameter {self._name(index)} is made anew after step {self.num_update}: the kvstore "
                 "was rebuilt, as set_data() does where updates happen on it, and momentum and thermostat are lost; "
                 "write update_on_kvstore=False, or change weights before the first step")

    def _current_learning_rate(self) -> float:
        lr = self.learning_rate
        if not (lr >= 0.0 and math.isfinite(lr)):
            raise ValueError(f"learning_rate is {lr!r} at step {self.num_update}; it must be finite and not negative: "
                             "look at the lr_scheduler or at what was given to set_learning_rate")
        return lr

    def _device(self, context, index):
        # A kvstore keeps one replica, whose parameters it may spread over the contexts.
        key = "kvstore" if self._on_kvstore(index) else (context.device_typeid, context.device_id)
        if key not in self._devices:
            self._devices[key] = copy.deepcopy(self._template)
        return self._devices[key]

    def _new_device(self):
        return Device()

    @property
    def hyper(self) -> Optional[dict]:
        """Prior precisions as last drawn, by group; None without ``prior=Gamma(...)``."""
        return None if self._hyper is None else dict(self._hyper.precisions)

    def thermostats(self):
        """(name, array) of every friction that adjusts itself, as it stands."""
        return iter(())

    # ---------------------------------------------------------------- looked up by index

    def precision(self, index, shape) -> float:
        """Prior precision of the parameter with this index: ``prior`` or ``wd``, times ``wd_mult``."""
        value = None
        if self.prior is not None:
            names = self._names(self._name(index))
            value = self.prior.precision(names, shape) if self._hyper is None else self._hyper.precision(names)
            if value is not None and not 0.0 <= value < math.inf:
                raise ValueError(f"prior gives parameter {self._name(index)} the precision {value!r}; a precision is "
                                 "1 / variance, finite and not negative")
        return (self.wd if value is None else value) * self._multiplier("wd_mult", index)

    def _multiplier(self, kind: str, index) -> float:
        param, table = self._param_dict.get(index), getattr(self, kind)
        if param is not None:
            value = getattr(param, kind)
        elif index in table:
            value = table[index]
        else:
            value = table.get(self.idx2name.get(index), 1.0)
        if not isinstance(value, numbers.Real) or not 0.0 <= value < math.inf:
            raise ValueError(f"{kind} of parameter {self._name(index)} is {value!r}; it must be finite and not "
                             "negative")
        return value

    def _names(self, name: str) -> tuple:
        alias = self._aliases.get(name)
        return (name,) if alias is None else (name, alias)

    def _name(self, index) -> str:
        param = self._param_dict.get(index)
        return param.name if param is not None else str(self.idx2name.get(index, index))

    def _ordinal(self, index) -> int:
        """Place of the parameter in its trainer: the same on every device and along every road.

        Module's index is a name on a kvstore, and index * devices + device off it.
        """
        if not self._ordinals and self.idx2name:
            names = dict.fromkeys(self.idx2name[i] for i in sorted(self.idx2name))
            places = {n: i for i, n in enumerate(names)}
            self._ordinals = {**places, **{i: places[n] for i, n in self.idx2name.items()}}
        return int(self._ordinals.get(index, index))
