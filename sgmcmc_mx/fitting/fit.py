"""sg.fit: hold out, train, ask for advice, run chains, till the budget is spent."""
from __future__ import annotations

import concurrent.futures as futures
import math
import os
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import mxnet as mx

from .._check import choice, flag, integer
from .._network import Loss
from ..batches.layout import BatchLayout
from ..chains import WarmStart
from ..chains.arguments import VECTORIZED
from ..kernels.seeds import checked_seed
from ..priors import PriorLike
from ..samplers import Sampler
from ..tuning.arguments import AUTO, check_free
from .arrays import Validation, parted
from .budget import Budget, Clock, Given, checked_budget
from .choosing import (
    BATCH_SIZE,
    ON_ALL,
    OPTIMIZER,
    SUGGEST,
    WHY_ALL,
    Params,
    Settings,
    by_curvature,
    chosen_settings,
    collecting,
    given_params,
    little_friction,
    on_all_rows,
    usual_pilot,
)
from .fitted import Chosen, Fit
from .folder import Folder
from .network import Maker, Network, candidates
from .running import Running, halvings, seconds_a_step, usual_executor
from .stepping import RIGHT, sharpest
from .training import SHARE, Start, Trained, held_out_log_p, keep, trained, usual_start
from .walking import PIECES, walked
from .walking import SHARE as WALK

__all__ = ["fit"]

TRIAL = 0.02        # of a budget in seconds, for each trial of a step
SHORTEST = 200      # steps of a chain whose time is over before it begins


def fit(net: Union[Network, Mapping[str, Network]], likelihood: Loss, x: Any, y: Any = None, *,
        validation: Validation = 0.1, chains: int = 4, budget: Given = 60, samples: int = 100,
        store: Union[None, str, os.PathLike] = None, seed: int = 0, prior: Union[None, PriorLike] = SUGGEST,
        optimizer: Optional[str] = None, optimizer_params: Optional[Mapping[str, Any]] = None,
        batch_size: Optional[int] = None,
        warm_start: Union[None, str, WarmStart] = AUTO, pilot: Optional[int] = None,
        executor: Union[None, str, futures.Executor] = None, context: Optional[mx.Context] = None,
        layout: Optional[BatchLayout] = None, progress: bool = False) -> Fit:
    """From a network and its data to chains and their predictions, in one call.

    A part of the data is held out. Each chain's network is trained, with early stopping; at the first one's weights
    :func:`sgmcmc_mx.suggest` proposes step and prior; then :func:`sgmcmc_mx.sample_chains` samples till the budget
    is spent. ``docs/five_lines.md`` shows it.

    Parameters
    ----------
    net : gluon.Block, callable, or dictionary of them
        The network, which stays as it is: chains have copies. Where it is initialised they begin at its weights, else
        each chain draws its own. Or a function without arguments that returns a network; if it stands at the top of a
        module, chains may run in processes of their own. Of several by name the one is taken that predicts the
        held-out part best after its training.
    likelihood : Likelihood or gluon.loss.Loss
        -log p, one value an example.
    x, y : arrays
        Examples along the first axis. A network of several inputs takes a tuple of arrays as x. Without y the last
        array of x has the labels.
    validation : float or tuple of arrays, default 0.1
        The fraction that is held out, drawn by the seed, or the examples themselves, ``(x_val, y_val)``. No chain sees
        them. 0: none, and then nothing can be chosen by them.
    chains : int, default 4
    budget : float or str, default 60
        Seconds for all of it, the training included; or ``'2 min'``; or ``'5000 steps'`` of each chain, burn-in
        included and training not: then the same seed gives the same samples. However short the time, each chain makes
        some 60 steps; and ``suggest``, which has three tenths of it, looks at six places at least, so that on a busy
        machine a short budget is overrun.
    samples : int, default 100
        Of each chain; :meth:`Fit.resume` adds to them.
    store : str or os.PathLike, optional
        A folder for the chains. The same call goes on with what is there: to as many steps as the budget says, or for
        as many seconds more. ``sg.load`` reads it. Default: a temporary one.
    seed : int, default 0
    prior : 'suggest', None or what a sampler takes, default 'suggest'
        ``'suggest'``: the precision of a Gaussian by what short chains predict of the held-out part; it costs some
        thousand steps by MXNet's operators. A number, ``'fan_in'``, an object of :mod:`sgmcmc_mx.priors`. None: the
        sampler's ``wd``.
    optimizer, optimizer_params : optional
        The sampler, and those of its arguments that are settled. ``suggest`` is not asked where they have a
        ``learning_rate``, and the prior is given. Default: where nothing of these is said, nor ``batch_size``, and the
        network is a stack of dense layers of at most three million weights times examples, ``sgnht`` on all data at
        every step, whose friction can then be small; half of the steps, which are not kept, with a long step. Else
        ``sgnht`` on minibatches. ``'auto'``: sampler, size of the batches and control variates as
        :func:`sgmcmc_mx.suggest` chooses them; where minibatch noise is correlated that keeps widths right at a
        fraction of the passes over the data, and where it is not the choice is ``sgnht``, as a rule.
    batch_size : int, optional
        At most. Default: all, where that is said above, else 100. Training has batches of 100 at most by default.
        With ``optimizer='auto'`` the smallest: 4 and 16 times as many are compared.
    warm_start : 'auto', WarmStart or None, default 'auto'
        ``'auto'``: Adam at .005, at most 10,000 steps and three tenths of the seconds for all networks, until the
        likelihood of a tenth of what the chain sees has not grown for 1,000 steps; the best weights are taken. None: no
        training.
    pilot : int, optional
        As for :func:`sgmcmc_mx.suggest`. Default: 300; of a budget in seconds 2 a second, at least 30.
    executor : optional
        As for :func:`sgmcmc_mx.sample_chains`. Default: side by side in this process, where the network is a stack of
        dense layers, or is a Block that no other process could build; else processes.
    context : mxnet.Context, optional
        Default: ``mx.cpu()``.
    layout : BatchLayout, optional
        Which entries are inputs, where the network does not say so.
    progress : bool, default False
        Show a bar while chains run.

    Returns
    -------
    Fit
        ``.predict(x, interval=.9)``, ``.summary()``, ``.runs``, ``.chosen``, ``.resume('2 min')``.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong, or the store holds another fit.

    Examples
    --------
    >>> net = gluon.nn.HybridSequential()
    >>> net.add(gluon.nn.Dense(50, 'relu'), gluon.nn.Dense(10))
    >>> found = sg.fit(net, sg.likelihoods.Categorical(), x, y, budget=60)
    >>> probs = found.predict(x_test)
    """
    clock, limit = Clock(), checked_budget(budget)
    chains = integer("chains", chains, "a number of chains, such as chains=4", low=1)
    samples = integer("samples", samples, "samples of each chain, such as samples=100", low=1)
    if batch_size is not None:
        batch_size = integer("batch_size", batch_size, "examples in a batch, such as batch_size=100", low=1)
    if optimizer is not None:
        choice("optimizer", optimizer, [*(name for name, its in mx.optimizer.Optimizer.opt_registry.items()
                                          if issubclass(its, Sampler)), AUTO])
    flag("progress", progress, "True shows one bar for all chains")
    if context is not None and not isinstance(context, mx.Context):
        raise TypeError(f"context must be a context of MXNet, got {context!r:.80}; write mx.gpu(0)")
    if warm_start is not None and warm_start != AUTO and not isinstance(warm_start, WarmStart):
        raise TypeError(f"warm_start must be 'auto', a WarmStart or None, got {warm_start!r:.80}; write "
                        "sg.WarmStart('adam', epochs=20)")
    seed = checked_seed(seed)
    given, suggest_prior = given_params(optimizer_params, prior)
    data = parted(x, y, validation, seed)
    is_free = optimizer is None and batch_size is None and not optimizer_params
    makers = {name: Maker(one, likelihood, data, batch_size or BATCH_SIZE, layout)
              for name, one in candidates(net).items()}
    call = _Call(makers, Folder(store), chains, seed, context or mx.cpu(), limit, clock)
    pilot = usual_pilot(limit.seconds) if pilot is None else pilot
    if optimizer == AUTO:
        check_free(given, pilot)
    kept = call.folder.read()
    if kept is None:
        kept = call.begin(optimizer or OPTIMIZER, is_free, given, suggest_prior, warm_start, pilot, samples, executor)
    if (batch_size is None or optimizer == AUTO) and kept["network"] in makers:
        makers[kept["network"]].batch_size = kept["batch_size"]
    return call.go_on(kept, kept["optimizer"] if optimizer in (None, AUTO) else optimizer, given, executor, progress)


class _Call:
    """One call of :func:`fit`, whose arguments are right."""

    def __init__(self, makers: Dict[str, Maker], folder: Folder, chains: int, seed: int, context: mx.Context,
                 budget: Budget, clock: Clock) -> None:
        self._makers, self.folder, self._chains, self._seed = makers, folder, chains, seed
        self._context, self._budget, self._clock = context, budget, clock
        self._forecast = 0.0        # seconds that a step of all chains takes, once that was measured

    def begin(self, optimizer: str, is_free: bool, given: Params, suggest_prior: bool, warm_start: Any, pilot: int,
              samples: int, executor: Any) -> Dict[str, Any]:
        """Train all chains' networks and choose the settings; what is chosen is kept in the folder."""
        self.folder.begin()
        seconds = self._seconds_each() if warm_start == AUTO else None
        name, found, start = self._best_network(warm_start, seconds)
        maker = self._makers[name]
        keep(found, self.folder.start(0))
        steps = [found.steps] + [self._trained(maker, start, k, seconds) for k in range(1, self._chains)]
        usual: Params = {}
        if is_free and on_all_rows(found, maker):
            usual, maker.batch_size = ON_ALL, len(maker.data)
        quick = by_curvature(found, maker, optimizer, {**usual, **given}) if usual and not suggest_prior else None
        settings = quick or chosen_settings(found, maker, optimizer, {**usual, **given}, suggest_prior, pilot,
                                            self._seed, self._budget.seconds)
        settings.reasons.update(WHY_ALL if usual else {})
        maker.batch_size = settings.batch_size
        maker.settings = {"optimizer": settings.optimizer, "optimizer_params": settings.params,
                          "control_variates": settings.control_variates}
        self._shortened(maker, found, settings, given)
        length = self._budget.steps or self._steps_in_time(maker, found, executor)
        if usual:
            length = self._walked(maker, found, settings, length)
        burn_in, thin = collecting(length, samples)
        kept = {**self._about(maker), "network": name, "link": getattr(maker.likelihood, "link", "log"),
                "optimizer": settings.optimizer, "control_variates": settings.control_variates, "burn_in": burn_in,
                "thin": thin,
                "params": {key: value for key, value in settings.params.items() if key not in given},
                "warm_start": steps, "reasons": settings.reasons}
        self.folder.write(kept)
        return kept

    def go_on(self, kept: Dict[str, Any], optimizer: str, given: Params, executor: Any, progress: bool) -> Fit:
        """Run the chains."""
        maker = self._makers.get(kept["network"])
        mine = {**self._about(maker or next(iter(self._makers.values()))), "optimizer": optimizer}
        for name, value in mine.items():
            if kept[name] != value:
                raise ValueError(f"{name}={value!r} is given, and the fit in {self.folder.path} was begun with {name}="
                                 f"{kept[name]!r}; write that, or another store")
        if maker is None:
            raise ValueError(f"net has no network {kept['network']!r}, which the fit in {self.folder.path} has chosen; "
                             "give the same ones, or write to another store")
        params, controlled = {**kept["params"], **given}, kept.get("control_variates", False)
        maker.settings = {"optimizer": optimizer, "optimizer_params": params, "burn_in": kept["burn_in"],
                          "thin": kept["thin"], "control_variates": controlled}
        first = trained(maker, str(self.folder.start(0)), self._seed, 0, self._context)
        executor = usual_executor(maker, first) if executor is None else executor
        running = Running(maker, self.folder, self._chains, self._seed, executor, self._context, progress)
        if self._budget.steps is None:
            running.seconds = self._forecast or self._seconds_a_step(maker, first, executor)
            running.go(self._budget, self._clock)
        else:
            running.go(Budget(steps=max(0, self._budget.steps - running.steps)), self._clock)
        held_out = 0 if maker.data.held_out is None else len(maker.data.held_out[0])
        return Fit(running, Chosen(kept["network"], optimizer, params, kept["burn_in"], kept["thin"], maker.batch_size,
                                   len(maker.data), held_out, kept["warm_start"], kept["reasons"], controlled),
                   self._budget)

    def _about(self, maker: Maker) -> Dict[str, Any]:
        """What a fit that goes on has to have in common with the one that began."""
        return {"examples": len(maker.data), "batch_size": maker.batch_size, "seed": self._seed,
                "data": maker.data.fingerprint()}

    def _best_network(self, warm_start: Any, seconds: Optional[float]) -> Tuple[str, Trained, Start]:
        """Of several the one that predicts the held-out part best, and the training that all chains have."""
        found: List[Tuple[float, str, Trained, Start]] = []
        for name, maker in self._makers.items():
            start = usual_start(maker) if warm_start == AUTO else warm_start
            its = trained(maker, start, self._seed, 0, self._context, seconds)
            if len(self._makers) == 1:
                return name, its, start
            if maker.data.held_out is None:
                raise ValueError("net is several networks, of which one is chosen by what is held out, and validation "
                                 "is 0; write validation=0.1, or one network")
            density = held_out_log_p(its, maker.data.held_out, self._context, maker.batch_size)
            found.append((density, name, its, start))
        return max(found, key=lambda each: each[0])[1:]

    def _seconds_each(self) -> Optional[float]:
        """For each training; no limit where the budget is steps."""
        trainings = self._chains + len(self._makers) - 1
        return None if self._budget.seconds is None else SHARE * self._budget.seconds / trainings

    def _trained(self, maker: Maker, start: Start, index: int, seconds: Optional[float]) -> int:
        found = trained(maker, start, self._seed, index, self._context, seconds)
        keep(found, self.folder.start(index))
        return found.steps

    def _shortened(self, maker: Maker, found: Trained, settings: Settings, given: Params) -> None:
        """Halve a step that was chosen, and not given, until a chain holds."""
        if "learning_rate" in given or "learning_rate" not in settings.params:
            return
        seconds = math.inf if self._budget.seconds is None else TRIAL * self._budget.seconds
        times = halvings(maker, found, seconds, self._seed)
        if times:
            settings.params["learning_rate"] /= 2 ** times
            settings.reasons["learning_rate"] = (f"halved {times} times, for a chain blew up at more: "
                                                 f"{settings.reasons.get('learning_rate', '')}")

    def _walked(self, maker: Maker, found: Trained, settings: Settings, length: int) -> int:
        """Have chains go ahead with the step that was chosen, and take a shorter one; returns the steps that are left.
        """
        params, done = settings.params, 0
        params["friction"], far = little_friction(length), params["learning_rate"]
        began = self._clock()
        until = began + WALK * ((self._budget.seconds or 0.0) - began)
        pieces, took = (1 if self._budget.steps else PIECES), 0.0
        while not done or (pieces > 1 and self._clock() + took < until):
            before, steps = self._clock(), max(1, int(WALK * length / pieces))
            # With noise of its own: the chains that sample have that of the seed.
            walked(maker, self.folder, self._chains, steps, (self._seed + 1 + done) % 2**32, self._context)
            done, took = done + steps, self._clock() - before
        found.setup.net.load_parameters(str(self.folder.start(0)), ctx=self._context)
        step = sharpest(found, maker, RIGHT)
        if not math.isnan(step.curvature):
            params["learning_rate"] = min(far, step.learning_rate)
            settings.reasons["learning_rate"] = f"{step.reason}, after {done} steps with {far:.3g} that went far"
        return self._budget.steps or max(SHORTEST, self._steps_in_time(maker, found, VECTORIZED))

    def _steps_in_time(self, maker: Maker, found: Trained, executor: Any) -> int:
        executor = usual_executor(maker, found) if executor is None else executor
        left = max(0.0, (self._budget.seconds or 0.0) - self._clock())
        self._forecast = self._seconds_a_step(maker, found, executor)
        return max(SHORTEST, int(left / self._forecast))

    def _seconds_a_step(self, maker: Maker, found: Trained, executor: Any) -> float:
        starts = [str(self.folder.start(k)) for k in range(self._chains)]
        return seconds_a_step(maker, found, starts, executor, self._context, TRIAL * (self._budget.seconds or 0.0))
