"""What chains that see all data at every step share: the wiring around a transition that accepts or rejects."""
from __future__ import annotations

import inspect
import math
import os
from typing import Any, Iterable, Optional, Union

import numpy as np
from mxnet import gluon
from mxnet import ndarray as nd
from mxnet.context import Context

from .._check import flag, integer, number, unknown_option
from .._network import Loss, check_likelihood, check_net
from ..batches.labelled import LabelledData
from ..batches.layout import BatchLayout
from ..checkpoint.keeper import Keeper
from ..kernels import noise
from ..kernels.lists import shaped
from ..kernels.seeds import as_seed
from ..priors import PriorLike
from ..samplers import metropolis
from ..samplers._adapt import DualAveraging, first_step_size
from ..samplers._horseshoe import hyper_of
from ..store import FolderStore
from ..trainer.collecting import Collecting, as_store
from ..trainer.progress import Progress
from . import state as states
from .potential import Potential

__all__ = ["FullDataSampler"]

_ADAPT = "True tunes the step size to target_acceptance"


class FullDataSampler(Collecting):
    """Base of :class:`~sgmcmc_mx.MetropolisHastings` and :class:`~sgmcmc_mx.HMC`: the wiring around a transition.

    A transition evaluates the potential over the whole data set, a minibatch at a time, and accepts or rejects, so it
    is no optimizer and needs no trainer. What it leaves behind is the same as a :class:`~sgmcmc_mx.BayesianTrainer`'s:
    ``samples``, and :meth:`predict`. The network's weights are those of the chain. If they are changed between
    transitions (a file is loaded, another trainer moves them), the chain goes on from there.
    """

    _target: float      # the acceptance probability that burn-in tunes to
    _exponent: float    # the step size at that probability goes with the number of weights to this power
    _step_size: Any     # a number, or None while it is not found
    _state: Any         # a metropolis.State, or None before the first transition
    _kept: Any          # the state that was last kept, and the copies made of it
    _tuning: Any        # the DualAveraging of a burn-in under way, or None
    _plan: Any          # of the run under way, and how far it has come; a dictionary, or None

    def __init__(self, net: gluon.Block, likelihood: Loss, data: LabelledData, *, step_size: Optional[float] = None,
                 wd: float = 1.0, prior: Optional[PriorLike] = None, temperature: float = 1.0,
                 target_acceptance: Optional[float] = None, batch_size: int = 1000, seed: Optional[int] = None,
                 store: Union[None, str, os.PathLike, FolderStore] = None, checkpoint_every: int = 1000,
                 layout: Optional[BatchLayout] = None, **unknown: Any) -> None:
        unknown_option(type(self).__name__, unknown, _options(type(self)))
        check_net(net)
        check_likelihood(likelihood)
        self._begin(net, likelihood)
        self.temperature = number("temperature", temperature, "temperature=1.0 is the posterior; at 0 nothing is left "
                                  "to accept or reject by chance", low=0.0, open_low=True)
        self.target_acceptance = self._target if target_acceptance is None else number(
            "target_acceptance", target_acceptance, f"the optimum is {self._target}", low=0.0, high=1.0, open_low=True,
            open_high=True)
        self._step_size = None if step_size is None else number(
            "step_size", step_size, "a step in the weights' own unit such as 0.01, or None to have it found", low=0.0,
            open_low=True)
        self.seed = as_seed(seed)
        self._potential = Potential(net, likelihood, data, batch_size, wd, prior, layout)
        self._hyper = hyper_of(self._potential.prior)
        self._state, self._kept = None, None
        self._tuning = self._plan = None
        self._made_with = {"step_size": step_size, "wd": wd, "prior": prior, "temperature": temperature,
                           "target_acceptance": target_acceptance, "batch_size": batch_size, "seed": self.seed,
                           "checkpoint_every": checkpoint_every}
        self._forget_counts()
        checkpoint_every = integer("checkpoint_every", checkpoint_every, "transitions between checkpoints", low=1)
        if store is not None:
            self.samples = folder = as_store(store, sampler=type(self).__name__.lower())
            self._keeper = Keeper(folder, checkpoint_every, None, self.seed)
            self._keeper.begin(self)

    @classmethod
    def resume(cls, path: Union[str, os.PathLike], net: gluon.Block, data: LabelledData,
               **given: Any) -> FullDataSampler:
        """Go on with a chain from its last checkpoint, bit for bit; :meth:`finish` does what is left of its run.

        Parameters
        ----------
        path : str or os.PathLike
            The folder that was given as ``store``.
        net : gluon.Block
            The network as it was built for the chain, initialised or not; its weights are set.
        data
            As it was given to the chain.
        likelihood, prior : optional
            What was an object of a class of your own, and is not kept.
        checkpoint : int or 'previous', optional
            The checkpoint to go on from. Default: the newest.
        ctx : mxnet.Context, optional
            Where the network is initialised, if it is not.
        layout : BatchLayout, optional
            As it was given to the chain, if it was.
        """
        return states.resume(cls, path, net, data, **given)

    @classmethod
    def begin_or_resume(cls, net: gluon.Block, likelihood: Loss, data: LabelledData, *, store: Union[str, os.PathLike],
                        store_options: Optional[dict] = None, **options: Any) -> FullDataSampler:
        """The chain of a folder: gone on with if it is there, begun if not, with what the chain itself takes.

        Of a chain that is there the options must be those it was begun with. ``chain.num_steps`` says which it was:
        write ``chain.finish()`` where it is above 0, and ``chain.run(...)`` where it is not.

        Parameters
        ----------
        net, likelihood, data, **options
            As for the chain.
        store : str or os.PathLike
            The folder.
        store_options : dict, optional
            ``keep_last``, ``dtype``, ``inputs`` and ``signals`` of :class:`~sgmcmc_mx.FolderStore`.
        """
        return states.begin_or_resume(cls, net, likelihood, data, store, store_options, options)

    def take(self, _: object) -> tuple:
        """All that the next transition depends on, as tree and arrays."""
        return states.take(self)

    # ---------------------------------------------------------------- what a sampler defines

    def _evaluate(self, position: metropolis.Position) -> metropolis.State:
        """The state at a position."""
        raise NotImplementedError

    def _transition(self, state: metropolis.State, step: int) -> tuple:
        """The next state and the outcome, with the noise of this step."""
        raise NotImplementedError

    def _probe(self, state: metropolis.State, step_size: float) -> float:
        """Acceptance probability of a single step that is not taken, for a first guess of the step size."""
        raise NotImplementedError

    # ---------------------------------------------------------------- running

    def run(self, num_samples: int, burn_in: int = 0, thin: int = 1, *, adapt: bool = True,
            progress: bool = False) -> FullDataSampler:
        """``burn_in`` transitions that are not kept, then ``num_samples`` samples, one every ``thin`` transitions.

        Call it again for more: the chain goes on; without ``burn_in`` at the same step size, with it tuning once more.

        Parameters
        ----------
        num_samples : int
        burn_in : int, default 0
            Transitions before the first sample. They tune the step size to ``target_acceptance``; afterwards it stays.
        thin : int, default 1
            Transitions for a sample. A rejected proposal is a transition: the old weights are kept once more.
        adapt : bool, default True
            Whether burn-in tunes the step size.
        progress : bool, default False
            Show a progress bar.

        Returns
        -------
        The sampler itself, so that ``sg.HMC(...).run(500, burn_in=200).predict(x)`` reads in one line.
        """
        num_samples = integer("num_samples", num_samples, "a number of samples", low=0)
        burn_in = integer("burn_in", burn_in, "transitions before the first sample", low=0)
        thin = integer("thin", thin, "transitions for a sample", low=1)
        adapt, progress = flag("adapt", adapt, _ADAPT), flag("progress", progress, "True shows a progress bar")
        self._plan = {"done": 0, "total": burn_in + num_samples * thin, "burn_in": burn_in, "thin": thin,
                      "adapt": adapt}
        return self.finish(progress)

    def finish(self, progress: bool = False) -> FullDataSampler:
        """What is left of a :meth:`run` that was interrupted; nothing where none was. Returns the sampler itself."""
        plan, progress = self._plan, flag("progress", progress, "True shows a progress bar")
        if plan is None:
            return self
        bar = Progress(plan["total"] - plan["done"]) if progress and plan["done"] < plan["total"] else None
        self._arrive()
        try:
            while plan["done"] < plan["total"]:
                i = plan["done"] + 1
                self._move(plan["adapt"] and i <= plan["burn_in"])
                plan["done"] = i
                keep = i > plan["burn_in"] and (i - plan["burn_in"]) % plan["thin"] == 0
                if keep:
                    self._record()
                self._after_move(keep)
                if bar is not None:
                    bar.update(self)
        finally:
            if bar is not None:
                bar.close()
        self._plan = None
        self._warn_of_counts()
        return self

    def _after_move(self, kept: bool) -> None:
        if self._keeper is not None:
            self._keeper.after_step(self, kept)

    def step(self, adapt: bool = False) -> metropolis.Outcome:
        """One transition: propose, and accept or reject. Nothing is kept; :meth:`collect` does that.

        With ``adapt`` the step size is tuned on; the first transition without it takes the tuned one, for good.

        Returns
        -------
        :class:`~sgmcmc_mx.samplers.metropolis.Outcome` : accepted, probability, and change (of U, or of H).
        """
        adapt = flag("adapt", adapt, _ADAPT)
        self._arrive()
        outcome = self._move(adapt)
        self._after_move(False)
        return outcome

    def collect(self) -> None:
        """Keep the present weights as a sample."""
        self._arrive()
        self._record()
        self._after_move(True)

    def _move(self, adapt: bool) -> metropolis.Outcome:
        if self._keeper is not None:
            self._keeper.before_step()
        try:
            self._draw_precisions(self.num_steps + 1)
            self._tune(adapt)
            self._state, outcome = self._transition(self._state, self.num_steps + 1)
        finally:    # the network has the chain's weights, whatever happened to the proposal
            self._potential.bring(self._state.position)
        self.num_steps += 1
        if adapt:
            self._tuning.update(outcome.probability)
        else:
            self._count(outcome)
        return outcome

    def _draw_precisions(self, step: int) -> None:
        """The Gibbs step of a hyperprior: precisions given the weights, and U with them."""
        if self._hyper is None or not self._hyper.due(step):
            return
        potential, position = self._potential, self._state.position
        members = [(i, names, p.wd_mult, w) for i, (p, names, w) in
                   enumerate(zip(potential.params, potential.names, position))]
        self._hyper.draw(members, self.seed, step, self.temperature)
        potential.take_draws(self._hyper)
        self._state = self._evaluate(position)

    def _record(self) -> None:
        if self._kept is None or self._kept[0] is not self._state:
            self._kept = self._state, self._copies()
        # Of a rejection the same arrays once more.
        self._keep(self._kept[1], potential=self._state.potential, hyper=self.hyper)

    def _arrive(self) -> None:
        """Make sure of the state: it is evaluated anew where the network's weights are no longer the chain's."""
        now = self._potential.position()
        if self._state is not None and _equal(now, self._state.position):
            return
        state = self._evaluate(now)
        if not math.isfinite(state.potential):
            raise ValueError(f"the potential at the network's weights is {state.potential}, so no chain can start "
                             "there; look at the data for labels out of range and NaN, and initialise the network with "
                             "smaller weights")
        if self._state is None:
            self._potential.check_again(state.position, state.potential, self.temperature)
        self._state = state

    def _tune(self, adapt: bool) -> None:
        """Set the step size of the next transition."""
        if self._step_size is None:
            size = sum(w.size for w in self._state.position)
            self._step_size = first_step_size(lambda h: self._probe(self._state, h), size ** self._exponent)
        if adapt:
            if self._tuning is None:
                self._tuning = DualAveraging(self._step_size, self.target_acceptance)
                self._forget_counts()
            self._step_size = self._tuning.step_size
        elif self._tuning is not None:
            self._step_size, self._tuning = self._tuning.settled, None

    def _normals(self, step: int, stream: int) -> list:
        position = self._state.position
        drawn = noise.normals([w.size for w in position], self.seed, step, range(len(position)), stream)
        if len({w.dtype for w in position}) == 1 and all(w.size for w in position):
            return shaped(np.concatenate(drawn), position)
        return [nd.array(n.reshape(w.shape), ctx=w.context, dtype=w.dtype) for n, w in zip(drawn, position)]

    # ---------------------------------------------------------------- readings

    @property
    def step_size(self) -> Optional[float]:
        """The step size in force; None while it is not found yet."""
        return self._step_size if self._tuning is None else self._tuning.settled

    @property
    def potential(self) -> Optional[float]:
        """U of the present weights, over all data; None before the first transition."""
        return None if self._state is None else self._state.potential

    @property
    def hyper(self) -> Optional[dict]:
        """Prior precisions as last drawn, by group; None without a hyperprior."""
        return None if self._hyper is None else dict(self._hyper.precisions)

    @property
    def acceptance_rate(self) -> Optional[float]:
        """Fraction of proposals accepted since the step size was last tuned; None before any."""
        return self._accepted / self._transitions if self._transitions else None

    @property
    def num_passes(self) -> int:
        """Passes over the data so far, with or without the gradient."""
        return self._potential.passes

    def _readings(self) -> dict:
        return {"potential": self.potential, "acceptance": self.acceptance_rate, "step_size": self.step_size}

    def _forget_counts(self) -> None:
        self._transitions = self._accepted = self.num_nonfinite = 0

    def _count(self, outcome: metropolis.Outcome) -> None:
        self._transitions += 1
        self._accepted += outcome.accepted
        self.num_nonfinite += not math.isfinite(outcome.change)

    def _warn_of_counts(self) -> None:
        if self._transitions >= 100 and self._accepted < 0.01 * self._transitions:
            self._warn_once("stuck", f"{self._accepted} of {self._transitions} proposals were accepted, so the samples "
                            f"are nearly all the same; write a step_size below {self.step_size:.3g}, or a longer "
                            "burn_in to have it tuned")

    def _context(self) -> Context:
        return self._potential.context

    @property
    def _contexts(self) -> list:
        return [self._potential.context]

    @property
    def _inputs_seen(self) -> Optional[int]:  # type: ignore[override]  # the trainer's is told by its network
        return self._potential.inputs

    def _usual_layout(self) -> BatchLayout:
        told = self._potential.layout
        return BatchLayout(batch_axis=told.batch_axes, output_axis=told.output_axis)

    def _when(self) -> str:
        return "and step() keeps nothing; write run(100), or collect() after a step"


def _equal(some: Iterable[nd.NDArray], others: Iterable[nd.NDArray]) -> bool:
    differing = sum((a != b).sum() for a, b in zip(some, others))
    return float(differing.asscalar()) == 0.0


def _options(cls: type) -> set:
    names = set()
    for c in cls.__mro__:
        if issubclass(c, FullDataSampler) and "__init__" in vars(c):
            names |= set(inspect.signature(c.__init__).parameters)
    return names - {"self", "kwargs", "unknown"}
