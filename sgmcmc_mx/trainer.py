"""BayesianTrainer: a ``gluon.Trainer`` that collects samples and predicts with their average."""
from __future__ import annotations

import logging
import weakref
from typing import Optional, Sequence, Union

import numpy as np
from mxnet import autograd, cpu, gluon
from mxnet import ndarray as nd
from mxnet import optimizer as opt

from . import predictive
from ._check import closest, integer, unknown_option, warn
from .likelihoods import as_predictive
from .progress import Progress
from .samplers import Sampler
from .soundness import unsound, warn_of_order
from .store import MemoryStore, Sample

__all__ = ["BayesianTrainer"]

_log = logging.getLogger("sgmcmc_mx")


class BayesianTrainer(gluon.Trainer):
    """A trainer whose steps sample a network's posterior, and that averages predictions over the samples.

    After ``burn_in`` steps it copies all parameters every ``thin`` steps, after the update, by whichever road the
    update came (``step``, or ``allreduce_grads`` and ``update``). A step that AMP skips is no step.

    Parameters
    ----------
    net : gluon.Block
        The network. All its parameters go into a sample, also those that are not trained (running statistics).
    optimizer : str or mxnet.optimizer.Optimizer
        ``'sgld'``, ``'sghmc'``, ``'sgnht'``, or an instance.
    optimizer_params : dict, optional
        The sampler's arguments; ``num_data`` should be among them.
    likelihood : gluon.loss.Loss, optional
        The loss used in training. One of :mod:`sgmcmc_mx.likelihoods` knows its predictive, so that ``predict``
        needs no activation; any other makes the potential known to the progress bar and to the samples.
    burn_in : int, default 0
        Steps before the first sample can be taken.
    thin : int, default 1
        A sample is kept at steps burn_in + thin, burn_in + 2 thin, ...
    max_samples : int, optional
        Stop collecting after so many; the chain goes on.
    seed : int, optional
        The sampler's seed (the same as in ``optimizer_params``).
    progress : bool or int, default False
        Show a progress bar; a number is the number of steps expected.
    **trainer_kwargs
        ``kvstore``, ``compression_params``, ``update_on_kvstore``.

    Examples
    --------
    >>> trainer = sg.BayesianTrainer(net, 'sgnht', {'learning_rate': 0.1, 'num_data': len(x)},
    ...                              burn_in=1000, thin=100, seed=0)
    >>> for x, y in batches:
    ...     with autograd.record():
    ...         loss = loss_fn(net(x), y)
    ...     loss.backward()
    ...     trainer.step(len(x))
    >>> probs = trainer.predict(x_test, activation='softmax')
    """

    def __init__(self, net, optimizer: Union[str, opt.Optimizer], optimizer_params: Optional[dict] = None,
                 likelihood=None, burn_in: int = 0, thin: int = 1, max_samples: Optional[int] = None,
                 seed: Optional[int] = None, progress: Union[bool, int] = False, **trainer_kwargs):
        if not isinstance(net, gluon.Block):
            raise TypeError(f"net must be a gluon.Block, got {type(net).__name__}; give the network itself, not its "
                            "parameters")
        if likelihood is not None and (isinstance(likelihood, type) or not callable(likelihood)):
            raise TypeError("likelihood must be a loss such as sgmcmc_mx.likelihoods.Categorical(), an object, not a "
                            f"class or name, got {likelihood!r}")
        unknown_option("BayesianTrainer", trainer_kwargs, _OWN + _PASSED_ON)
        if progress is not False and progress is not True:
            progress = integer("progress", progress, "True, False or the number of steps expected", low=1)
        self.burn_in = integer("burn_in", burn_in, "steps before the first sample", low=0)
        self.thin = integer("thin", thin, "steps between samples", low=1)
        self.max_samples = None if max_samples is None else integer(
            "max_samples", max_samples, "a number of samples, or None for no limit", low=1)
        self._named = net._collect_params_with_prefix()
        params = net.collect_params()
        if not params.keys():
            raise ValueError("net has no parameters to sample; add its layers before the trainer is made")
        _check_initialized(params)
        optimizer_params = _checked_params(optimizer, optimizer_params, seed)
        super().__init__(params, optimizer, optimizer_params, **trainer_kwargs)
        self.net, self.likelihood, self.samples = net, likelihood, MemoryStore()
        self.num_steps = 0
        self._seen = self._updates_done()
        self._loss, self._warned = None, set()
        self._ran = False       # whether the network was run under record since the last step
        if isinstance(likelihood, gluon.Block):
            for block, note in ((net, _note_run), (likelihood, _note_loss)):
                handle = block.register_forward_hook(_Hook(weakref.ref(self), note))
                weakref.finalize(self, handle.detach)
        if not isinstance(self._optimizer, Sampler):
            warn(f"{type(self._optimizer).__name__} is no sampler: the average over its iterates is not a posterior "
                 "average; write 'sgld', 'sghmc' or 'sgnht'")
        self._progress = Progress(progress) if progress else None

    # ---------------------------------------------------------------- collecting

    def _update(self, ignore_stale_grad=False):
        # Both step() and update() end here, and it returns early where AMP skips the step.
        self._ran = False
        super()._update(ignore_stale_grad)
        failure = getattr(self._optimizer, "_failure", None)
        if failure is not None:     # swallowed by the kvstore a moment ago
            self._optimizer._failure = None
            raise failure
        done = self._updates_done()
        if done == self._seen and not self._distributed:
            return
        self._seen = done
        self.num_steps += 1
        since = self.num_steps - self.burn_in
        if since > 0 and since % self.thin == 0:
            self._collect()
        if self._progress is not None:
            self._progress.update(self)

    def _updates_done(self) -> int:
        return getattr(self._optimizer, "_calls", self._optimizer.num_update)

    def _collect(self) -> None:
        if self._optimizer.learning_rate == 0.0:    # the chain stands still: another copy is no sample
            return
        if self.max_samples is not None and len(self.samples) >= self.max_samples:
            if "max_samples" not in self._warned:
                self._warned.add("max_samples")
                _log.info("max_samples=%d samples are collected; the chain goes on without collecting",
                          self.max_samples)
            return
        copies = {}     # a parameter shared by two layers is copied once
        for p in self._named.values():
            if p.name not in copies:
                copies[p.name] = _host_copy(p.list_data()[0])
        self.samples.append(Sample({name: copies[p.name] for name, p in self._named.items()}, self.num_steps,
                                   self._sample_weight(), self.potential, self.temperature, self.friction))

    def _sample_weight(self) -> float:
        """The step's length in the chain's own time, relative to the base step: eta, or sqrt(eta) with momentum."""
        o = self._optimizer
        if not isinstance(o, Sampler):
            return 1.0
        relative = o.learning_rate / o.base_learning_rate
        return relative ** 0.5 if o.second_order else relative

    # ---------------------------------------------------------------- readings, none of which waits

    @property
    def potential(self):
        """U(w) estimated from the last minibatch's loss, as an NDArray of one element; None without a loss seen."""
        o = self._optimizer
        if self._loss is None or not isinstance(o, Sampler):
            return None
        total = predictive.classic(self._loss).detach().astype("float32").mean() * o.num_data
        for i, p in enumerate(self._params):
            if p.grad_req != "null":
                flat = predictive.classic(p.list_data()[0]).reshape((-1,)).astype("float32")
                total = total + nd.dot(flat, flat).as_in_context(total.context) * (0.5 * o.precision(i, p.shape))
        return total

    @property
    def temperature(self):
        """Kinetic temperature after the last step, as an NDArray of one element; None for SGLD."""
        return getattr(self._optimizer, "kinetic_temperature", None)

    @property
    def friction(self):
        """Friction in force: the thermostat (its mean over groups), or the sampler's constant; None for SGLD."""
        thermostat = getattr(self._optimizer, "thermostat", None)
        if isinstance(thermostat, dict):
            total = sum(a.sum().astype("float32") for a in thermostat.values())
            return total / sum(a.size for a in thermostat.values())
        return getattr(self._optimizer, "friction", None) if thermostat is None else thermostat

    # ---------------------------------------------------------------- predicting

    def predict(self, data, activation=None, *, samples: bool = False, quantiles: Sequence[float] = (),
                batch_size: int = 1000):
        """The Bayesian model average  p(y | x) = sum_s w_s p(y | x, w_s)  over the collected samples.

        Parameters
        ----------
        data : NDArray, numpy.ndarray, DataLoader or DataIter
            Inputs; of a batch that is a list the first entry is taken. Read once, in the order it comes.
        activation : 'softmax', 'sigmoid', 'identity', callable or likelihood, optional
            What makes a prediction of the network's output. Default: what the trainer's likelihood knows.
        samples : bool, default False
            Return the prediction of every sample, shape (samples, n, ...).
        quantiles : sequence of float, optional
            Quantiles of y to compute, for a regression likelihood.
        batch_size : int, default 1000
            Rows in a forward pass, where ``data`` is an array.

        Returns
        -------
        numpy.ndarray of shape (n, classes), or with ``samples`` (samples, n, classes); for a regression likelihood
        a :class:`~sgmcmc_mx.predictive.Regression` (mean, std, noise_std, weight_std, quantiles). The network's
        weights are what they were, whatever happens.
        """
        if not len(self.samples):
            raise ValueError(f"there are no samples yet: {self.num_steps} steps were taken, the first sample comes at "
                             f"step {self.burn_in + self.thin} (burn_in + thin); take more steps or lower burn_in")
        if activation is None:
            activation = self.likelihood if hasattr(self.likelihood, "predictive") else None
            if activation is None:
                raise ValueError("activation is not given and no likelihood knows it; write activation='softmax', "
                                 "'sigmoid', 'identity' or a callable, or give BayesianTrainer a likelihood")
        if not isinstance(samples, (bool, np.bool_)):
            raise TypeError(f"samples must be True or False, got {samples!r}; to average over some of the samples cut "
                            "trainer.samples")
        regression = getattr(activation, "kind", None) == "regression" and not samples
        quantiles = _checked_quantiles(quantiles, regression)
        transform = as_predictive(activation)
        warn_of_order(data)
        self._warn_unsound()
        net, kept, context = self.net, self.samples, self._contexts[0]
        if samples:
            result = predictive.every_sample(net, kept, data, transform, context, batch_size)
        elif regression:
            result = predictive.regression(net, kept, kept.weights, data, activation, context, batch_size, quantiles)
        else:
            result = predictive.average(net, kept, kept.weights, data, transform, context, batch_size)
        if not np.isfinite(result.mean if regression else result).all():
            warn("the prediction is not finite everywhere: the chain diverged before its last sample; write a smaller "
                 "learning_rate")
        return result

    def _warn_unsound(self) -> None:
        size = sum(p.data(self._contexts[0]).size for p in self._params if p.grad_req != "null")
        for key, message in unsound(self.net, self.samples, getattr(self._optimizer, "temperature", None), size):
            if key not in self._warned:
                self._warned.add(key)
                warn(message)


_OWN = ("net", "optimizer", "optimizer_params", "likelihood", "burn_in", "thin", "max_samples", "seed", "progress")
_PASSED_ON = ("kvstore", "compression_params", "update_on_kvstore")


def _checked_params(optimizer, params, seed) -> dict:
    """The sampler's arguments with the seed among them."""
    if params is not None and not isinstance(params, dict):
        raise TypeError(f"optimizer_params must be a dictionary, got {params!r}; write {{'learning_rate': 0.1, "
                        "'num_data': len(dataset)}")
    params = dict(params or {})
    if isinstance(optimizer, opt.Optimizer):
        if params or seed is not None:
            extra = f"optimizer_params={params!r}" if params else f"seed={seed!r}"
            raise ValueError(f"{extra} is given beside an optimizer instance; write it in the instance: "
                             "SGNHT(..., seed=0)")
        return params
    known = opt.Optimizer.opt_registry
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer must be a name or an instance, got {optimizer!r}; write 'sgld', 'sghmc' or 'sgnht'")
    if optimizer.lower() not in known:
        raise ValueError(f"optimizer {optimizer!r} is not known; {closest(optimizer.lower(), known)}The samplers are "
                         "'sgld', 'sghmc' and 'sgnht'")
    if seed is not None:
        if not issubclass(known[optimizer.lower()], Sampler):
            raise ValueError(f"seed={seed!r} is for samplers, and {optimizer!r} is none; leave it out")
        if params.get("seed") not in (None, seed):
            raise ValueError(f"seed={seed!r} and optimizer_params['seed']={params['seed']!r} differ; write one")
        params["seed"] = seed
    return params


def _checked_quantiles(quantiles, regression: bool) -> list:
    asked = list(np.atleast_1d(quantiles))
    if asked and not regression:
        raise ValueError("quantiles need a regression likelihood (Gaussian, Poisson) and samples=False; for class "
                         "probabilities use samples=True and numpy.quantile")
    for q in asked:
        if not (isinstance(q, (float, np.floating)) and 0.0 < q < 1.0):
            raise ValueError(f"quantiles must lie strictly between 0 and 1, got {q!r}; write (0.05, 0.5, 0.95)")
    return [float(q) for q in asked]


class _Hook:
    """A forward hook that does not keep the trainer alive, nor is saved with the block."""

    def __init__(self, trainer, note):
        self.trainer, self.note = trainer, note

    def __call__(self, block, inputs, output):
        trainer = self.trainer and self.trainer()
        if trainer is not None and autograd.is_recording():
            self.note(trainer, output)

    def __reduce__(self):
        return _Hook, (None, None)


def _note_run(trainer, output) -> None:
    trainer._ran = True


def _note_loss(trainer, output) -> None:
    # A loss that several trainers use belongs to the one whose network has just been run.
    if trainer._ran and isinstance(output, nd.NDArray):
        trainer._loss = output


def _host_copy(array):
    array = predictive.classic(array)
    return array.copyto(cpu()) if array.context.device_type != "cpu" else array.copy()


def _check_initialized(params) -> None:
    for p in params.values():
        if p._data is None and not p._deferred_init:
            raise RuntimeError(f"parameter {p.name} is not initialised; call net.initialize() before the trainer is "
                               "made")
