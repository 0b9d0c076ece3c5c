"""What a fit has found: predictions, verdicts, what was chosen, and how to go on."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Union

import numpy as np
from numpy.typing import ArrayLike

from .. import diagnostics
from .._check import number
from ..batches.inputs import Inputs
from ..chains import Runs
from ..diagnostics.chains import chains_of
from ..diagnostics.outputs import blocks, log_likelihood, log_mean
from ..diagnostics.table import Summary
from ..prediction.averaging import Prediction
from .arrays import Arrays
from .budget import Budget, Clock, Given, checked_budget
from .running import Running

__all__ = ["Chosen", "Fit", "Interval"]

LOOKED_AT = 1000    # examples for a summary, where none are held out


class Interval(NamedTuple):
    """The mean of a prediction, and the ends of a central interval that holds a new y with the probability asked for.

    Arrays of the prediction's shape.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Chosen(NamedTuple):
    """What was settled before the chains began; ``print`` it.

    Attributes
    ----------
    network : str
        Which of several networks; empty where there was one.
    optimizer : str
    optimizer_params : dict
        Its arguments, given and chosen.
    burn_in, thin, batch_size : int
    examples, held_out : int
        How many examples the chains see, and how many they do not.
    warm_start : list of int
        Steps of training before each chain; 0 where its weights were read from the store.
    reasons : dict
        By name, why: what :func:`sgmcmc_mx.suggest` says.
    control_variates : bool
        Whether the chains' gradients come from :class:`~sgmcmc_mx.ControlVariates`.
    """

    network: str
    optimizer: str
    optimizer_params: Dict[str, Any]
    burn_in: int
    thin: int
    batch_size: int
    examples: int
    held_out: int
    warm_start: List[int]
    reasons: Dict[str, str]
    control_variates: bool = False

    def __str__(self) -> str:
        rows = {"network": self.network, "optimizer": self.optimizer, **self.optimizer_params,
                **{name: getattr(self, name) for name in ("burn_in", "thin", "batch_size", "examples", "held_out",
                                                          "warm_start")}}
        if self.control_variates:
            rows["control_variates"] = True
        shown = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in rows.items()
                 if value != ""}
        wide, value = max(map(len, shown)), max(len(text) for text in shown.values())
        lines = (f"{name:{wide}} = {text:{value}}  {self.reasons.get(name, '')}" for name, text in shown.items())
        return "\n".join(line.rstrip() for line in lines)


class Fit:
    """What :func:`sgmcmc_mx.fit` returns.

    Attributes
    ----------
    runs : Runs
        The chains; see :func:`sgmcmc_mx.sample_chains`.
    chosen : Chosen
        What was settled before they began; ``print`` it.
    held_out : tuple of arrays or None
        What the chains have not seen, inputs and then labels.
    """

    def __init__(self, running: Running, chosen: Chosen, budget: Budget) -> None:
        self._running, self.chosen, self._budget = running, chosen, budget

    @property
    def runs(self) -> Runs:
        return self._running.runs

    @property
    def held_out(self) -> Optional[tuple]:
        return self._running.maker.data.held_out

    @property
    def looked_at(self) -> Arrays:
        """What :meth:`summary` looks at: the examples held out, else of those that the chains see at most 1,000.

        Inputs and then labels, the examples evenly spaced.
        """
        if self.held_out is not None:
            return self.held_out
        shown = self._running.maker.data.shown
        which = np.linspace(0, len(shown[0]) - 1, min(LOOKED_AT, len(shown[0]))).round().astype(int)
        return tuple(a[which] for a in shown)

    @property
    def likelihood(self) -> Any:
        """The likelihood that was given."""
        return self._running.maker.likelihood

    def predict(self, x: Inputs, *, interval: Optional[float] = None, samples: bool = False,
                **options: Any) -> Union[Interval, Prediction]:
        """The average over the samples of all chains.

        Parameters
        ----------
        x
            Inputs, as :func:`sgmcmc_mx.predict` takes them.
        interval : float, optional
            For regressions: the probability with which a central interval is to hold a new y, such as .9.
        samples : bool, default False
            Every sample's prediction, (samples, n, ...).
        **options
            For :func:`sgmcmc_mx.predict`: ``stats``, ``quantiles``, ``batch_size``, ...

        Returns
        -------
        Class probabilities, or a :class:`~sgmcmc_mx.Regression`; with ``interval`` an :class:`Interval`.
        """
        if interval is None:
            return self.runs.predict(x, samples=samples, layout=self._running.maker.layout, **options)
        inside = number("interval", interval, "write the probability that an interval is to hold, such as "
                        "interval=0.9", low=0.0, high=1.0, open_low=True, open_high=True)
        if getattr(self.likelihood, "kind", None) != "regression" or samples or "quantiles" in options:
            raise ValueError(f"interval={interval!r} is of a regression's y, for which the likelihood has to be one "
                             "(Gaussian, Poisson), without samples and quantiles; write stats=('mean', 'std') for "
                             "class probabilities")
        found: Any = self.runs.predict(x, quantiles=((1.0 - inside) / 2.0, (1.0 + inside) / 2.0),
                                       layout=self._running.maker.layout, **options)
        return Interval(found.mean, found.quantiles[0], found.quantiles[1])

    def log_predictive_density(self, x: Inputs, y: ArrayLike) -> np.ndarray:
        """log p(y | x) of each example under the average over all samples, in nats; its mean is minus the NLL."""
        chains = chains_of(self.runs)
        return np.concatenate([log_mean(log_likelihood(chains.likelihood, block)) for block in blocks(chains, x, y)])

    def summary(self, x: Optional[Inputs] = None, y: Optional[ArrayLike] = None, **options: Any) -> Summary:
        """Whether the chains can be trusted: :func:`sgmcmc_mx.diagnostics.summary`.

        Without ``x`` of what is held out; where nothing is, of examples that the chains have seen, which the title says
        then: whether chains agree is seen there, too, but predictions of others are worse. ``y`` alone takes the place
        of these examples' labels.
        """
        seen = x is None and self.held_out is None
        if x is None:
            *inputs, labels = self.looked_at
            x, y = tuple(inputs) if len(inputs) > 1 else inputs[0], labels if y is None else y
        found = diagnostics.summary(self.runs, x, y, **options)
        return Summary(f"{found.title}, on examples that they have seen", list(found)) if seen else found

    def resume(self, budget: Optional[Given] = None) -> Fit:
        """Go on, with the same settings: so many seconds, or so many steps, more (default: as many as before).

        Samples are added to those that are there, bit for bit those of one longer run. Returns the fit itself.
        """
        self._running.go(self._budget if budget is None else checked_budget(budget), Clock())
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._running.chains} chains of {self._running.steps} steps)"
