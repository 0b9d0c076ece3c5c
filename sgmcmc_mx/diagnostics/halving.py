"""The step-halving check: how far predictions move when the step is made half as long."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import mxnet as mx
import numpy as np
from numpy.typing import ArrayLike

from .._check import integer
from ..chains import ChainSetup
from ..likelihoods import Likelihood
from . import heat
from .chains import Chains, Given, chains_of
from .outputs import blocks, log_likelihood, log_mean
from .pairs import KEPT, Pair, Short
from .quantities import probabilities_of
from .rules import WELL
from .table import Row, Summary
from .told import Told, sizes_of

__all__ = ["step_halving"]

LIMIT = 4.0         # z
STARTS = 24
NATS, WIDTH, SPREAD = 0.01, 0.1, 0.05
SMALLER = ("write a smaller learning_rate, larger batches, or (sghmc, sgnht) integrator='badodab', until halving it "
           "moves predictions no more than you care for")


def step_halving(runs: Given, data: Any, labels: Optional[ArrayLike] = None, *, setup: Optional[ChainSetup] = None,
                 steps: int = 1000, starts: int = STARTS, seed: int = 0, batch_size: int = 1000) -> Summary:
    """How far predictions move when the step is made half as long: the step's error, in units that matter.

    From each of some samples two short chains go on for the same time, with the step eta and with eta / 2, on the same
    minibatches and with the same seed (at half the step a friction a becomes a / sqrt(2), as the papers' A stays what
    it is; a thermostat begins at the friction the sample had). What they predict is compared pair by pair, so that
    what the places have in common cancels. An error proportional to eta is twice the difference.

    Parameters
    ----------
    runs : Runs, list of sequences of samples, or a sequence of samples
        Where to start from.
    data : arrays, or batches as :func:`sgmcmc_mx.predict` takes them
        Held-out inputs.
    labels : array, optional
        Their labels.
    setup : ChainSetup, optional
        How the chains were made. Default: that of ``build``, where the runs come from :func:`sgmcmc_mx.sample_chains`.
        Its network's weights and its loader's place are put back.
    steps : int, default 1000
        Steps of a short chain at the full step; at half of it there are sqrt(2) times as many, of SGLD twice. The first
        quarter is left out. They tell of what a chain forgets in that time: give as many as the flattest direction
        that matters needs.
    starts : int, default 24
        How many places. The spread between so many pairs is what a difference is held against: with 12 of them SGLD at
        eta k = 1.6, whose predictions scatter by a seventh too much, was told by 3 seeds in 10, with 24 by all. The 16
        samples of each short chain are in memory at once.
    seed : int, default 0
        Of the noise.
    batch_size : int, default 1000
        Rows in a forward pass.

    Returns
    -------
    Summary
        Rows ``'mean'`` (root mean square of how far the mean prediction moves, in probability or in the unit of y),
        ``'spread'`` (ratio of standard deviations of predictions), ``'log_likelihood'`` and ``'nll'`` (with labels:
        log p(y | x) of a sample, and of the average), and ``'kinetic 0.weight'`` and so on: temperatures of the
        momenta tensor by tensor, at the ends of the chains. Where short chains diverge there is one row that says so.

    Examples
    --------
    >>> print(sg.diagnostics.step_halving(runs, x_test, y_test))
    """
    steps = integer("steps", steps, "those of a short chain at the full step, such as steps=1000", low=2 * KEPT)
    starts = integer("starts", starts, f"how many places to start from, such as starts={STARTS}", low=4)
    seed = integer("seed", seed, "write seed=0", low=0, high=2**31)
    setup = _setup(runs, setup)
    chains = chains_of(runs, setup.net, _likelihood(setup))
    pair = Pair(setup, steps, seed, _mean(chains) if setup.control_variates else None)
    full: List[Short] = []
    half: List[Short] = []
    lost = [0, 0]       # chains that diverged
    for k, sample in enumerate(_places(chains, starts)):
        found = [pair.run(sample, k, factor) for factor in (1.0, 0.5)]
        for i, each in enumerate(found):
            lost[i] += each is None
        if found[0] is not None and found[1] is not None:
            full.append(found[0])
            half.append(found[1])
    title = f"the step halved, {starts} times for {steps} steps"
    if lost[0]:
        return Summary(title, [_diverged(lost, starts)])
    told = Told(setup.optimizer, setup.optimizer_params)
    sides = [_predicted(Chains([short.samples for short in each], list(range(len(each))), setup.net, chains.likelihood,
                               told), data, labels, batch_size) for each in (full, half)]
    return Summary(title, _rows(sides[0], sides[1], labels is not None) + heat.of_tensors(
        told, [short.kinetic for short in full], sizes_of(setup.net), told.temperature))


def _setup(runs: Any, setup: Optional[ChainSetup]) -> ChainSetup:
    found = getattr(runs, "setup", None) if setup is None else setup
    if not isinstance(found, ChainSetup):
        raise ValueError("setup is not given, and these samples do not know how their chains were made; write what the "
                         "chains had, setup=sgmcmc_mx.ChainSetup(net, likelihood, loader, 'sgnht', {...})")
    return found


def _likelihood(setup: ChainSetup) -> Likelihood:
    if not isinstance(setup.likelihood, Likelihood):
        raise TypeError(f"setup.likelihood is {setup.likelihood!r:.80}, which says nothing of what is predicted; write "
                        "one of sgmcmc_mx.likelihoods, such as Categorical()")
    return setup.likelihood


def _places(chains: Chains, starts: int) -> List[Any]:
    """Samples to start from: of one chain after the other, evenly along each, the newest first."""
    found = []
    for k in range(starts):
        turn, turns = k // chains.number, -(-starts // chains.number)
        found.append(chains.each[k % chains.number][chains.draws - 1 - turn * chains.draws // turns])
    return found


def _mean(chains: Chains) -> Dict[str, mx.nd.NDArray]:
    """The mean of some samples of all chains: where control variates that stay are centred here."""
    some = _places(chains, STARTS)
    return {name: sum(sample[name] for sample in some) / len(some) for name in some[0]}


class _Side(NamedTuple):
    """What the chains of one step predict.

    log_p : (chains,) mean log p(y | x, w), over samples and examples.
    nll : of the average over all chains.
    mean, variance : (chains, numbers) of predictions over the samples of each chain.
    """

    log_p: np.ndarray
    nll: float
    mean: np.ndarray
    variance: np.ndarray


def _predicted(chains: Chains, data: Any, labels: Optional[ArrayLike], batch_size: int) -> _Side:
    log_p, nll, count, mean, variance = np.zeros(chains.number), 0.0, 0, [], []
    for block in blocks(chains, data, labels, batch_size):
        values = chains.split(probabilities_of(chains, block)).astype(np.float64)
        values = values.reshape(values.shape[:2] + (-1,))
        mean.append(values.mean(axis=1))
        variance.append(values.var(axis=1, ddof=1))
        if block.labels is not None:
            found = log_likelihood(chains.likelihood, block)
            log_p += chains.split(found).mean(axis=1).sum(axis=1)
            nll -= log_mean(found).sum()
            count += found.shape[1]
    return _Side(log_p / max(count, 1), nll / max(count, 1), np.concatenate(mean, axis=1),
                 np.concatenate(variance, axis=1))


def _rows(full: _Side, half: _Side, labelled: bool) -> List[Row]:
    rows = [_moved(full, half), _narrower(full, half)]
    if labelled:
        rows.append(_log_likelihood(full, half))
        rows.append(Row("nll", "And the NLL of their average?", half.nll - full.nll, WELL,
                        f"{full.nll:.4g} and, at half the step, {half.nll:.4g}"))
    return rows


def _judged(name: str, question: str, number: float, z: float, large: bool, detail: str) -> Row:
    bad = abs(z) > LIMIT and large
    verdict = "step too large" if bad else WELL
    return Row(name, question, number, verdict, f"z = {z:.3g}; {detail}", SMALLER if bad else "")


def _moved(full: _Side, half: _Side) -> Row:
    """The root mean square over predictions of the difference of means, without what chance makes of it.

    Differences D_i of pairs i that are independent have E[D_i . D_j] = |E[D]|^2. If halving does nothing, their signs
    are chance, under which the sum has the variance 2 sum (D_i . D_j)^2.
    """
    D = half.mean - full.mean
    products = D @ D.T / D.shape[1]
    np.fill_diagonal(products, 0.0)
    n = len(D)
    square, z = products.sum() / (n * (n - 1)), products.sum() / np.sqrt(max(2.0 * (products**2).sum(), 1e-300))
    moved = float(np.sqrt(max(square, 0.0)))
    width = float(np.sqrt((full.variance.mean(axis=0) + full.mean.var(axis=0, ddof=1)).mean()))
    return _judged("mean", "How far does halving the step move predictions?", moved, float(z), moved > WIDTH * width,
                   f"they scatter by {width:.3g} from sample to sample")


def _narrower(full: _Side, half: _Side) -> Row:
    """The standard deviation of predictions within the short chains, half the step's over the full step's."""
    logs = 0.5 * (np.log(half.variance.mean(axis=1)) - np.log(full.variance.mean(axis=1)))
    z, ratio = _z(logs), float(np.exp(logs.mean()))
    return _judged("spread", "And their scatter? Half the step's over the full one's", ratio, z,
                   abs(ratio - 1.0) > SPREAD, f"+- {ratio * _error(logs):.2g}")


def _log_likelihood(full: _Side, half: _Side) -> Row:
    D = half.log_p - full.log_p
    return _judged("log_likelihood", "And log p(y | x) of a sample?", float(D.mean()), _z(D),
                   bool(abs(D.mean()) > NATS),
                   f"+- {_error(D):.2g} nats an example; {full.log_p.mean():.4g} at the full step")


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values)**0.5)


def _z(values: np.ndarray) -> float:
    """Student's t of a mean as a normal number (Wallace 1959)."""
    v = len(values) - 1
    t = values.mean() / max(_error(values), 1e-300)
    return float(np.sign(t) * (8 * v + 1) / (8 * v + 3) * np.sqrt(v * np.log1p(t**2 / v)))


def _diverged(lost: Sequence[int], starts: int) -> Row:
    return Row("diverged", "Do short chains stay finite? Those that do not", lost[0], "step too large",
               f"of {starts}; at half the step {lost[1]}", SMALLER)
