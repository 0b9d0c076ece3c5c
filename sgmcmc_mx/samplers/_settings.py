"""What a sampler is told: its options, the prior, and what the parameters of its trainer are called.

A process that only serves parameters unpickles samplers while MXNet is half imported, so this module and those beside
it import nothing of MXNet but ``ndarray`` and ``optimizer``.
"""
from __future__ import annotations

import itertools
import math
import numbers
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from mxnet.optimizer import Optimizer

from .. import kernels
from .._check import integer, number, unknown_option, warn
from ..kernels.seeds import as_seed
from ..priors import Law, PriorLike, as_prior
from ._horseshoe import hyper_of
from ._options import Index, base_lr, check_mxnet_options, half_refused, learning_rate_of, options, places

if TYPE_CHECKING:       # not there on a parameter server, halfway through MXNet's import
    from mxnet.gluon import Parameter
    from mxnet.lr_scheduler import LRScheduler

__all__ = ["Settings"]

_N_HELP = ("num_data=N says how many examples the full data set has, so that the minibatch mean gradient stands "
           "for the whole; write num_data=len(dataset)")


class Settings(Optimizer):
    """The options that all samplers share, checked; and the prior precision, multipliers and place of a parameter."""

    # What MXNet's Optimizer keeps.
    num_update: int
    begin_num_update: int
    idx2name: Dict[Index, str]
    _index_update_count: Dict[Index, int]
    _all_index_update_counts: Dict[int, Dict[Index, int]]

    _seed_is_drawn = False      # whether other workers may have drawn another; no checkpoint of old says it

    def __init__(self, *, learning_rate: Optional[float] = None, num_data: Optional[int] = None, wd: float = 1.0,
                 prior: Optional[PriorLike] = None, temperature: float = 1.0, seed: Optional[int] = None,
                 clip_gradient: Optional[float] = None, lr_scheduler: Optional[LRScheduler] = None,
                 **kwargs: Any) -> None:
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
        self._hyper = hyper_of(self.prior)
        if self._hyper is not None and self.temperature == 0.0:
            raise ValueError(f"prior={type(self.prior).__name__}(...) needs temperature > 0, got 0.0: at temperature 0 "
                             "every precision would be infinite; write a fixed prior or a small temperature")
        self.seed, self._seed_is_drawn = as_seed(seed), seed is None
        self._remember_nothing()
        super().__init__(learning_rate=learning_rate, wd=wd, clip_gradient=clip_gradient,
                         lr_scheduler=lr_scheduler, **kwargs)
        if self.prior is not None and self.idx2name:
            self.prior.check([(n,) for n in dict.fromkeys(self.idx2name.values())])
        self.allow_np_array = True
        self.aggregate_num = 2 ** 30    # all tensors of a step in one call, wherever MXNet has a choice

    def _remember_nothing(self) -> None:
        """Begin what is remembered from step to step."""
        self._param_dict: Dict[Index, Parameter] = {}
        self._aliases: Dict[str, str] = {}
        self._ordinals: Dict[Index, int] = {}

    def set_learning_rate(self, lr: float) -> None:
        """As in MXNet; at 0 the chain stands still."""
        super().set_learning_rate(number("learning_rate", lr, "a step size such as learning_rate=0.1", low=0.0))

    @property
    def param_dict(self) -> dict:
        """Gluon's parameters by index; what cannot be sampled is refused when they are set."""
        return self._param_dict

    @param_dict.setter
    def param_dict(self, params: Dict[Index, Parameter]) -> None:
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

    def set_wd_mult(self, args_wd_mult: Dict[Index, float]) -> None:
        """As in MXNet, but biases keep their multiplier of 1: at 0 their prior would be improper."""
        attributes, names = self.sym_info or ({}, ())
        given = {n: float(attributes[n]["__wd_mult__"]) for n in names if "__wd_mult__" in attributes.get(n, {})}
        self.wd_mult = {**given, **args_wd_mult}

    @property
    def hyper(self) -> Optional[dict]:
        """Prior precisions as last drawn, by group; None without a hyperprior."""
        return None if self._hyper is None else dict(self._hyper.precisions)

    # ---------------------------------------------------------------- looked up by index

    def law(self, index: Index, shape: Tuple[int, ...]) -> Law:
        """Prior of the parameter with this index: ``prior`` or N(0, 1/``wd``), tightened by ``wd_mult``."""
        law = None
        if self.prior is not None:
            names = self._names(self._name(index))
            law = self.prior.law(names, shape) if self._hyper is None else self._hyper.law(names, shape)
        if law is None:
            law = Law.plain(self.wd)
        return law.tightened(self._multiplier("wd_mult", index))

    def precision(self, index: Index, shape: Tuple[int, ...]) -> float:
        """Prior precision of the parameter with this index; see :meth:`~sgmcmc_mx.priors.Prior.precision`."""
        return self.law(index, shape).precision

    def _multiplier(self, kind: str, index: Index) -> float:
        param, table = self._param_dict.get(index), getattr(self, kind)
        if param is not None:
            value = getattr(param, kind)
        elif index in table:
            value = table[index]
        else:
            value = table.get(self.idx2name.get(index), 1.0)
        real = isinstance(value, numbers.Real)
        if not real or not 0.0 <= value < math.inf:
            raise ValueError(f"{kind} of parameter {self._name(index)} is {value!r}; it must be finite and not "
                             "negative")
        return value

    def _names(self, name: str) -> tuple:
        alias = self._aliases.get(name)
        return (name,) if alias is None else (name, alias)

    def _name(self, index: Index) -> str:
        param = self._param_dict.get(index)
        return param.name if param is not None else str(self.idx2name.get(index, index))

    def _ordinal(self, index: Index) -> int:
        """Place of the parameter in its trainer: the same on every device and along every road.

        Module's index is a name on a kvstore, and index * devices + device off it. Who drives an updater by hand may
        give names that nobody has told: they are numbered as they come.
        """
        if not self._ordinals and self.idx2name:
            names = dict.fromkeys(self.idx2name[i] for i in sorted(self.idx2name))
            places: Dict[Index, int] = {n: i for i, n in enumerate(names)}
            self._ordinals = dict(places)
            self._ordinals.update((i, places[n]) for i, n in self.idx2name.items())
        if isinstance(index, str) and index not in self._ordinals:
            taken = {*self._ordinals.values(), *(i for i in self._index_update_count if isinstance(i, int))}
            self._ordinals[index] = next(i for i in itertools.count() if i not in taken)
        return int(self._ordinals.get(index, index))
