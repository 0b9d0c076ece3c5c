"""Metropolis-Hastings and Hamiltonian Monte Carlo on a network: chains that see all data at every step."""
from __future__ import annotations

from typing import Any, Optional, Tuple

from mxnet import gluon

from .._check import integer, not_both, number
from .._network import Loss
from ..batches.labelled import LabelledData
from ..kernels import noise
from ..samplers import hmc, metropolis
from ..samplers.metropolis import Outcome, Position, State
from .chain import FullDataSampler
from .mass import MassLike, as_mass
from .rolling import InNetwork

__all__ = ["HMC", "MetropolisHastings"]

DIVERGED = 1000.0   # a change of H, in units of T, that only an unstable trajectory makes
LONGEST = 1000      # leapfrog steps, where a time is given


class MetropolisHastings(FullDataSampler):
    r"""Random-walk Metropolis-Hastings on a network's weights (Metropolis et al. 1953; Hastings 1970). ::

        w' = w + s n,    n ~ N(0, I);    w <- w' with probability min(1, exp(-(U(w') - U(w)) / T))

    Stationary density exp(-U/T) at every step size s, without the error of a discretisation or of minibatches. A
    transition is one pass over the data, forward only. The step at which a chain gets on best has an acceptance rate
    near .234 (Roberts, Gelman & Gilks 1997), and shrinks as d^(-1/2) with d weights, so that a chain needs of the order
    of d passes for an independent sample.

    Parameters
    ----------
    net : gluon.Block
        The network, initialised: the chain starts at its weights. Parameters with ``grad_req='null'`` or ``lr_mult=0``
        do not move, but go into a sample. It runs in predict mode: dropout is off, BatchNorm uses its running
        statistics.
    likelihood : gluon.loss.Loss
        One of :mod:`sgmcmc_mx.likelihoods`, or any loss that gives one -log p an example.
    data : (x, y), DataLoader, DataIter or list of (x, y)
        The full data set, every example once: a pair of arrays whose first axis counts examples (copied to the
        weights' device once), or batches, read anew at every pass, of which only one need fit (and which must be
        the same examples every time: a chain begins with a pass that makes sure of it).
    step_size : float, optional
        s, in the weights' own unit, where burn-in starts, and what is used without one. Default: found by doubling.
    wd : float, default 1.0
        Prior precision of every parameter, biases too; ``wd_mult`` of a parameter multiplies it.
    prior : float, 'fan_in', dict or sgmcmc_mx.priors.Prior, optional
        Precision by parameter where one number is not enough, or another law; see :mod:`sgmcmc_mx.priors`.
    temperature : float, default 1.0
        T > 0.
    target_acceptance : float, default 0.234
        Acceptance probability that burn-in tunes the step size to, by dual averaging.
    batch_size : int, default 1000
        Examples in a forward pass, where ``data`` is a pair of arrays.
    seed : int, optional
        Key of the noise, 0 <= seed < 2^64. Left out, it is drawn from MXNet's generator.
    store : str, os.PathLike or FolderStore, optional
        A folder to keep the samples in, and checkpoints, from which :meth:`resume` goes on; see
        :class:`~sgmcmc_mx.FolderStore`. Default: in memory.
    checkpoint_every : int, default 1000
        Transitions between checkpoints, with a store; there is one at each sample too.
    layout : BatchLayout, optional
        Which entries of a batch are inputs, label and weights, where the network does not say so.

    Attributes
    ----------
    samples : MemoryStore or FolderStore
        One :class:`~sgmcmc_mx.Sample` for every ``thin`` transitions, with its potential over all data.
    num_nonfinite : int
        Proposals since the last tuning whose potential was not finite; they were rejected.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        For every wrong argument, naming it, the value and what to write instead.

    Examples
    --------
    >>> chain = sg.MetropolisHastings(net, sg.likelihoods.Categorical(), (x, y), seed=0)
    >>> chain.run(num_samples=1000, burn_in=2000, thin=50)
    >>> probs = chain.predict(x_test)
    """

    _target, _exponent = 0.234, -0.5

    def _evaluate(self, position: Position) -> State:
        return State(position, self._potential(position))

    def _transition(self, state: State, step: int) -> Tuple[State, Outcome]:
        return self._walk(state, self._step_size, step)

    def _probe(self, state: State, step_size: float) -> float:
        return self._walk(state, step_size, 0)[1].probability

    def _walk(self, state: State, step_size: float, step: int) -> Tuple[State, Outcome]:
        return metropolis.transition(state, self._potential, step_size, self.temperature,
                                     self._normals(step, noise.PROPOSAL), noise.uniform(self.seed, step, noise.ACCEPT))


class HMC(FullDataSampler):
    r"""Hamiltonian Monte Carlo on a network's weights (Duane et al. 1987; Neal 2011). ::

        p ~ N(0, T M);    (w', p') = L leapfrog steps of size h along H = U(w) + p^T M^-1 p / 2
        w <- w' with probability min(1, exp(-(H(w', p') - H(w, p)) / T))

    Stationary density exp(-U/T) at every h and L. A transition is L passes over the data, forward and backward. The
    best step has an acceptance rate near .651 (Beskos et al. 2013) and shrinks as d^(-1/4) with d weights. In the
    letters of the stochastic-gradient samplers h^2 = eta = learning_rate / N.

    Parameters
    ----------
    net, likelihood, data, wd, prior, temperature, batch_size, seed, store, checkpoint_every, layout
        As for :class:`MetropolisHastings`.
    step_size : float, optional
        h, where burn-in starts, and what is used without one. Default: found by doubling (Hoffman & Gelman 2014,
        algorithm 4).
    num_leapfrog : int, optional
        The number of leapfrog steps L. Default 10, unless ``integration_time`` is given.
    integration_time : float, optional
        h L is kept at this: L = integration_time / h, rounded, from 1 to 1000.
    mass : float, or dict of str to float or array, optional
        The diagonal of M: one number, or by name pattern, as in a prior, numbers or arrays of the parameter's shape.
        Best near the posterior's precisions. Default 1.
    jitter : float, default 0.1
        Each transition's h is drawn from h (1 - jitter, 1 + jitter), so that no direction whose period the trajectory
        hits stands still (Neal 2011, section 4.2).
    target_acceptance : float, default 0.651
        Acceptance probability that burn-in tunes h to, by dual averaging (Hoffman & Gelman 2014, section 3.2).

    Attributes
    ----------
    samples : MemoryStore or FolderStore
        One :class:`~sgmcmc_mx.Sample` for every ``thin`` transitions, with its potential over all data.
    num_divergences : int
        Transitions since the last tuning in which H rose by more than 1000 T or ceased to be finite. All were
        rejected; after a run with some a warning says so, for the chain may have missed narrow places.
    num_nonfinite : int
        Those of them in which H was not finite.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        For every wrong argument, naming it, the value and what to write instead.

    Examples
    --------
    >>> chain = sg.HMC(net, sg.likelihoods.Categorical(), (x, y), num_leapfrog=20, seed=0)
    >>> probs = chain.run(num_samples=500, burn_in=200).predict(x_test)
    """

    _target, _exponent = 0.651, -0.25

    def __init__(self, net: gluon.Block, likelihood: Loss, data: LabelledData, *, num_leapfrog: Optional[int] = None,
                 integration_time: Optional[float] = None, mass: Optional[MassLike] = None,
                 jitter: float = 0.1, **kwargs: Any) -> None:
        not_both("num_leapfrog", num_leapfrog, "integration_time", integration_time,
                 "both say how long a trajectory is")
        self.num_leapfrog = integer("num_leapfrog", 10 if num_leapfrog is None else num_leapfrog,
                                    "leapfrog steps of a trajectory", low=1)
        self.integration_time = None if integration_time is None else number(
            "integration_time", integration_time, "the time of a trajectory, step_size times its steps", low=0.0,
            open_low=True)
        self.jitter = number("jitter", jitter, "0.1 varies the step size by a tenth, 0 not at all", low=0.0, high=1.0,
                             open_high=True)
        super().__init__(net, likelihood, data, **kwargs)
        self._made_with.update(num_leapfrog=num_leapfrog, integration_time=integration_time, mass=mass, jitter=jitter)
        self._mass = as_mass(mass, self._potential.params, self._potential.names)

    def _evaluate(self, position: Position) -> State:
        return State(position, *self._potential.with_gradient(position))

    def _transition(self, state: State, step: int) -> Tuple[State, Outcome]:
        h = self._step_size * (1.0 + self.jitter * (2.0 * noise.uniform(self.seed, step, noise.JITTER) - 1.0))
        return self._roll(state, h, self._length(), step)

    def _length(self) -> int:
        if self.integration_time is None:
            return self.num_leapfrog
        return int(min(max(1, round(self.integration_time / self._step_size)), LONGEST))

    def _probe(self, state: State, step_size: float) -> float:
        return self._roll(state, step_size, 1, 0)[1].probability

    def _roll(self, state: State, step_size: float, steps: int, step: int) -> Tuple[State, Outcome]:
        return hmc.transition(state, InNetwork(self._potential), step_size, steps, self.temperature,
                              self._normals(step, noise.MOMENTUM), noise.uniform(self.seed, step, noise.ACCEPT),
                              self._mass)

    def _forget_counts(self) -> None:
        super()._forget_counts()
        self.num_divergences = 0

    def _count(self, outcome: Outcome) -> None:
        super()._count(outcome)
        self.num_divergences += not outcome.change <= DIVERGED * self.temperature

    def _readings(self) -> dict:
        return {**super()._readings(), "divergences": float(self.num_divergences)}

    def _warn_of_counts(self) -> None:
        super()._warn_of_counts()
        if self.num_divergences:
            self._warn_once("divergences", f"{self.num_divergences} of {self._transitions} transitions diverged and "
                            "were rejected: there are places too narrow for the step, which the samples may miss; "
                            f"write a step_size below {self.step_size:.3g}, or a higher target_acceptance")
