"""R-hat and effective sample sizes, quantity by quantity: what the verdicts rest on."""
from __future__ import annotations

from typing import Any, List

import numpy as np

from ..diagnostics.by_arviz import ess_of, rhat_of
from ..diagnostics.evidence import Evidence
from .tables import Table, table

__all__ = ["of_quantities"]

_NOTE = ("R-hat is 1 where chains agree, and above 1.01 where more samples, or chains, may change what is said of the "
         "quantity. ESS: as many independent samples would say as much of its bulk, and of its tails. Directions are "
         "those of all predictions in which samples differ most.")


def of_quantities(found: Evidence) -> List[Table]:
    """A row for each direction of predictions, for log p(y | x), the potential and the temperature."""
    each = [(f"predictions, direction {k + 1}", found.directions[..., k:k + 1])
            for k in range(found.directions.shape[-1])]
    each += [(name, values) for name, values in (("mean log p(y | x)", found.mean_log_p),
                                                 ("potential", found.potential),
                                                 ("kinetic temperature", found.temperature)) if values is not None]
    rows = [[name, *_numbers(values)] for name, values in each]
    if found.log_p is not None:
        rhat = rhat_of(found.log_p)
        finite: Any = rhat[np.isfinite(rhat)]
        for name, share in (("half of them", 0.5), ("nine in ten of them", 0.9), ("all of them", 1.0)):
            if len(finite):
                rows.append([f"log p(y | x) of single examples: {name} are below", float(np.quantile(finite, share)),
                             None, None])
    return [table("R-hat and effective sample sizes", ["of", "R-hat", "ESS, bulk", "ESS, tails"], rows, _NOTE)]


def _numbers(values: np.ndarray) -> List[float]:
    return [float(rhat_of(values)[0]), float(ess_of(values, "bulk")[0]), float(ess_of(values, "tail")[0])]
