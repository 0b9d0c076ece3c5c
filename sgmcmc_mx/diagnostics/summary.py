"""The summary of several chains: a question a row, asked of predictions first."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence

import numpy as np
from mxnet import gluon
from numpy.typing import ArrayLike

from .._check import integer, number
from ..priors import PriorLike
from . import heat, rules
from .by_arviz import ess_of, mcse_of, rhat_of
from .chains import Chains, Given, OfClasses, chains_of
from .evidence import Evidence, gather
from .table import IGNORED, WELL, Row, Summary
from .temperatures import of_positions

__all__ = ["expected_temperature", "summary", "summary_of"]

_MORE = "take more steps; or write a larger learning_rate, if the temperature allows it, for chains that move faster"
_APART = ("burn in longer and take more steps; where chains stay apart, that is what the posterior's modes are to this "
          "sampler: average over more chains, and trust no single one")
_BURN_IN = "leave out more of the beginning (burn_in, or runs[k][m:]), or start from a warm start"
_DEAD = ("the average says the same whatever the input is: a step too large has thrown the network where its units are "
         "dead, however right its temperature; write a smaller learning_rate and a warm start. Or there is nothing to "
         "learn from these inputs")
SEES, ENOUGH = 3.0, 30      # standard errors that the gain by inputs is to have, and examples that can tell
_CHANGES = {IGNORED: _DEAD, "too few samples": _MORE, "chains disagree": _APART, "start not forgotten": _BURN_IN}


def summary(runs: Given, data: Any, labels: Optional[ArrayLike] = None, *, net: Optional[gluon.Block] = None,
            likelihood: OfClasses = None, temperature: Optional[float] = None, train: Any = None,
            wd: Optional[float] = None, prior: Optional[PriorLike] = None, gradients: int = 200, directions: int = 16,
            seed: int = 0, batch_size: int = 1000) -> Summary:
    """Whether chains can be trusted, as a table: for each question a number, a verdict, and what to change.

    Parameters
    ----------
    runs : Runs, list of sequences of samples, or a sequence of samples
        Several chains, or one, which is held against itself. Those that have failed are left out.
    data : arrays, or batches as :func:`sgmcmc_mx.predict` takes them
        Held-out inputs: some hundreds are enough.
    labels : array, optional
        Their labels. Without them nothing is said of log p(y | x).
    net : gluon.Block, optional
        The network. Default: that of ``build``, where the runs come from :func:`sgmcmc_mx.sample_chains`.
    likelihood : 'softmax', 'sigmoid' or Likelihood, optional
        What the network's output means. Default: likewise.
    temperature : float, optional
        T of the sampler. Default: what the run's folder, or ``build``, says; else 1.
    train : (x, y), or batches of both, optional
        All the data that the chains were trained on, such as ``runs.setup.data``. With them temperatures of positions
        are among the rows, as :func:`temperatures` has them. They cost ``gradients`` + 2 ``directions`` passes over
        these data, so they are not looked at unless they are given.
    wd, prior, gradients, directions : optional
        As for :func:`temperatures`.
    seed : int, default 0
        Of the choice of 500 examples, where there are more, whose log p are looked at one by one. All else is of all.
    batch_size : int, default 1000
        Rows in a forward pass.

    Returns
    -------
    Summary
        ``print`` it; ``.verdict``, ``['rhat']``, ``.to_frame()``.

    Examples
    --------
    >>> print(sg.diagnostics.summary(runs, x_test, y_test))
    """
    chains = chains_of(runs, net, likelihood)
    seed = integer("seed", seed, "write seed=0", low=0, high=2**32 - 1)
    expected = expected_temperature(chains, temperature)
    found = gather(chains, data, labels, seed, batch_size)
    positions = [] if train is None else of_positions(chains, train, wd, prior, expected, gradients, directions, seed,
                                                      batch_size, False)
    return summary_of(chains, found, expected, positions)


def expected_temperature(chains: Chains, temperature: Optional[float]) -> float:
    """T of the sampler: the one that is given, or what is known of the chains."""
    return chains.told.temperature if temperature is None else number(
        "temperature", temperature, "write the sampler's, such as temperature=1.0", low=0.0, open_low=True)


def summary_of(chains: Chains, found: Evidence, expected: float, positions: Sequence[Row] = ()) -> Summary:
    """The same of what was gathered. ``positions``: rows on temperatures of positions, where they were looked at."""
    watched = [a for a in (found.mean_log_p, found.directions[..., :1], found.potential) if a is not None]
    own = rules.independent(np.concatenate([a for a in (found.mean_log_p, found.directions) if a is not None], axis=2))
    still = rules.still(found.directions)
    rows = [_moves(chains, still)]
    rows += _rhats(chains, found, own)
    rows += _sizes(chains, found, rows)
    if found.nll is not None:
        rows.append(_error(found))
    if found.told is not None:
        rows.append(_inputs(found))
    rows.append(_start(chains, watched))
    rows.append(heat.kinetic(chains, found.temperature, found.friction, found.weights, expected))
    rows += heat.bursts(chains, found.temperature, found.friction, found.weights, expected)
    rows += positions
    rows += heat.friction(chains, bool(positions))
    if found.distances is not None:
        rows.append(_distance(found, own / (2 if chains.one else chains.number)))
    return Summary(f"{chains.number} chain{'s' * (chains.number > 1)} of {chains.draws} samples", rows)


def _row(name: str, question: str, value: float, verdict: str, detail: str, change: str = "") -> Row:
    return Row(name, question, float(value), verdict, detail, change or _CHANGES.get(verdict, ""))


def _moves(chains: Chains, still: List[int]) -> Row:
    names = ", ".join(str(chains.names[k]) for k in still)
    verdict = "chains disagree" if still else WELL
    return _row("moving", "Do all chains move? Those that do", chains.number - len(still), verdict,
                f"at rest: {names}" if still else "all", f"leave out chain {names}, which rests over half its "
                "length: all proposals refused, or weights beyond return; look at its learning_rate" if still else "")


def _rhats(chains: Chains, found: Evidence, own: float) -> List[Row]:
    rows = []
    rhat = rhat_of(found.directions)
    at = float(np.nanmax(rhat)) if np.isfinite(rhat).any() else float("nan")
    rows.append(_row("rhat", "Do predictions agree? R-hat of directions", at,
                     rules.agreed(at, own, chains.number), f"largest of {len(rhat)}"))
    if found.log_p is not None:
        each = rhat_of(found.log_p)
        high = float(np.nanquantile(each, 0.9)) if np.isfinite(each).any() else float("nan")
        rows.append(_row("log_likelihood", "And of log p(y | x) of each example", high,
                         rules.agreed(high, own, chains.number),
                         f"nine in ten of {len(each)} are below; largest {np.nanmax(each):.3g}"))
    if found.potential is not None:
        at = float(rhat_of(found.potential)[0])
        rows.append(_row("potential", "And of the potential", at,
                         rules.agreed(at, rules.independent(found.potential), chains.number), ""))
    return rows


def _sizes(chains: Chains, found: Evidence, before: List[Row]) -> List[Row]:
    """Effective sample sizes. Chains that disagree have few, and more samples are no cure for them."""
    values = found.directions if found.mean_log_p is None else np.concatenate(
        [found.mean_log_p, found.directions], axis=2)
    need, apart = rules.PER_CHAIN * chains.number, any(row.verdict == "chains disagree" for row in before)
    rows = []
    for kind, what in (("bulk", "Are there enough samples? ESS, bulk"), ("tail", "ESS, tails")):
        least = float(np.nanmin(ess_of(values, kind)))
        verdict = WELL if least >= need else "chains disagree" if apart else "too few samples"
        rows.append(_row(f"{kind}_ess", what, least, verdict, f"of {chains.number * chains.draws}; {need} are enough"))
    return rows


def _error(found: Evidence) -> Row:
    nll: Any = found.nll
    error = float(mcse_of(nll.influence)[0])
    small = not error > 0.5 * nll.error
    return _row("nll", "Is the NLL of the average known? MCSE", error,
                WELL if small else "too few samples", f"NLL {nll.value:.4g}, +- {nll.error:.2g} by choice of examples")


def _inputs(found: Evidence) -> Row:
    """A network that has collapsed says the same of every input, and so the same of labels that are dealt out anew."""
    told: Any = found.told
    sees = told.gain > SEES * told.error and told.gain > 0
    # A gain that is more than its error is no sign of a collapse, only of too few examples to tell.
    unclear = told.examples < ENOUGH or told.gain > told.error > 0
    verdict = WELL if sees else "not known" if unclear else IGNORED
    return _row("inputs", "Do predictions look at inputs? Nats gained", told.gain, verdict,
                f"an example, against labels dealt out anew, +- {told.error:.2g}")


def _start(chains: Chains, watched: List[np.ndarray]) -> Row:
    found = rules.drift(watched)
    return _row("start", "Is the start forgotten? z", found.z, found.verdict,
                f"first {100 * found.part:.0f} %; chain {chains.names[found.worst]} by itself {found.worst_z:.3g}")


def _distance(found: Evidence, ess: float) -> Row:
    distances: Any = found.distances
    usual = distances.expected / np.sqrt(max(ess, 1.0))
    apart = distances.variation > max(3.0 * usual, 0.01)
    return _row("agreement", "Do chains name the same class? Share", distances.agreement,
                "chains disagree" if apart else WELL,
                f"total variation {distances.variation:.3g}, by chance {usual:.3g}")
