"""Deep ensembles (Lakshminarayanan et al. 2017): networks from initial weights of their own, averaged."""
from __future__ import annotations

from ..task import Method, Outcome, Setting, Task, averaged
from . import sgd

__all__ = ["METHOD"]


def fit(task: Task, setting: Setting, seed: int) -> Outcome:
    members = setting["members"]
    nets = [sgd.trained(task, {**setting, "share": 1.0 / members}, 1000 * seed + k) for k in range(members)]
    return averaged(lambda x: (sgd.said(net, x) for net in nets), members * round(task.budget / members))


METHOD = Method("deep ensemble", fit,
                [{"members": 8, "wd": wd} for wd in (3e-4, 1e-3, 2e-3, 4e-3)])
