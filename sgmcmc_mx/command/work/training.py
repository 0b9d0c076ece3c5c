"""Begin a run, or go on with one, by sg.fit."""
from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from ...diagnostics.table import Summary
from ...errors import StoreError
from ...fitting import Fit, fit
from ...store.manifest import plain
from ...store.reading import folder_of
from ..console import note, table, wrapped
from .examples import REGRESSION, Learned, inputs_of, labels_of, learn
from .files import Data, Table, read_data, sha256_of
from .going_on import going_on, made, nothing_added
from .options import as_budget, budget_of, check_prior, context_of, params_of, prior_of
from .predicting import check_out
from .recipe import Recipe, read_recipe, write_recipe
from .run import confirmed, in_units, likelihood_of, networks_for, prepared, training_data, unscaled

__all__ = ["Trained", "begun", "resumed"]

_INTERVAL = 0.9     # of the coverage that is told
_OF_FIT = ("chains", "samples", "seed", "validation", "batch_size")


class Trained(NamedTuple):
    """What came of a run: for a program, and for people."""

    content: Dict[str, Any]
    text: str


def begun(given: Dict[str, Any], progress: bool, new: Optional[str] = None, out: Optional[str] = None) -> Trained:
    """Learn of the data, keep what was learned, and run.

    ``new`` are rows to be predicted later, and ``out`` their file: what is wrong with them is told before the training.
    """
    budget_of(given["budget"])
    check_prior(given["prior"], given["network"])
    context_of(given["gpu"])
    folder = folder_of(given["store"])
    _refuse_what_is_there(folder)
    data = read_data(given["data"], given["labels"])
    learned = learn(data, given["target"], given["task"], given["drop"], given["category"])
    x = inputs_of(data, learned.inputs)
    if new is not None and out is not None:
        _check_later(new, out, learned, given["target"] is None and isinstance(data, Table))
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()
               if name != "store"}
    inputs = {**learned.inputs, "shape": list(x.shape[1:])}
    recipe = Recipe(options, _sources(given["data"], given["labels"]), inputs, learned.target)
    networks_for(recipe)        # a wrong name is told before anything is written
    for line in learned.told:
        note(line)
    write_recipe(folder, recipe)
    budget = given["budget"]
    time_given = budget if "step" in budget else f"{budget} seconds"
    return _run(folder, recipe, data, budget, f", {time_given}: training, then sampling", progress)


def _check_later(new: str, out: str, learned: Learned, target_was_guessed: bool) -> None:
    check_out(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # names that training has not seen are told where they are predicted
        try:
            inputs_of(read_data(new), learned.inputs)
        except ValueError as e:
            guess = (f" (the target is {learned.target['name']!r}, the last column; write --target if it is another)"
                     if target_was_guessed else "")
            raise ValueError(f"--predict: {e}{guess}") from e


def resumed(store: str, budget: Optional[str], path: Optional[str], labels: Optional[str], network: Optional[str],
            progress: bool) -> Trained:
    """The same call of sg.fit again, which goes on with what is there."""
    folder = folder_of(store)
    recipe = read_recipe(folder)
    confirmed(recipe.options["network"], network, "--network")
    words = recipe.options["budget"] if budget is None else budget
    limit, before = budget_of(words), made(folder)
    data = training_data(recipe, path, labels)
    found = _run(folder, recipe, data, words, f": {going_on(before, limit, budget is not None)}", progress)
    note(nothing_added(before, max(found.content["steps"]), limit))
    return found


def _run(folder: Path, recipe: Recipe, data: Data, budget: str, what: str, progress: bool) -> Trained:
    options = recipe.options
    context = context_of(options["gpu"])
    x, y = prepared(recipe, data), labels_of(data, recipe.target)
    note(f"{_counted(len(x), 'row')}, {_counted(options['chains'], 'chain')}{what}")
    settled = {name: options[name] for name in _OF_FIT}
    warm_start = "auto" if options["warm_start"] else None
    began = time.monotonic()
    try:
        found = fit(networks_for(recipe)[0], likelihood_of(recipe.target), x, y, budget=as_budget(budget), store=folder,
                    prior=prior_of(recipe, len(x)), optimizer=options["sampler"], warm_start=warm_start,
                    optimizer_params=params_of(options["learning_rate"]), context=context, progress=progress, **settled)
    except KeyboardInterrupt:
        note(f"stopped; `sgmcmc-mx resume {folder}` goes on, `sgmcmc-mx predict` takes the samples that are there")
        raise
    return _told(folder, recipe, found, time.monotonic() - began)


def _told(folder: Path, recipe: Recipe, found: Fit, seconds: float) -> Trained:
    scores, summary = _scores(recipe, found), _summary(recipe, found)
    steps, samples, failures = found.runs.steps, len(found.runs.samples), found.runs.failures
    content = {"store": str(folder), "target": recipe.target["name"], "task": recipe.target["task"],
               "chains": len(steps), "steps": steps, "samples": samples, "seconds": round(seconds, 1),
               "network": found.chosen.network or recipe.options["network"], "held_out": scores,
               "failures": {str(k): failure.error for k, failure in failures.items()},
               "verdict": None if summary is None else summary.verdict,
               "verdicts": None if summary is None else [row._asdict() for row in summary]}
    rows = [("store", str(folder)),
            ("chains", f"{len(steps)} of {_counted(max(steps), 'step')}, {samples:,} samples in {seconds:.0f} s")]
    rows += [(f"chain {k}", f"{failure.kind} at step {failure.step:,}: {failure.error}")
             for k, failure in failures.items()]
    rows += [] if scores is None else [("held out", _shown(scores))]
    return Trained(plain(content), table(rows) + ("" if summary is None else f"\n\n{_verdicts(summary)}"))


def _summary(recipe: Recipe, found: Fit) -> Optional[Summary]:
    """The verdicts, where rows are held out and ArviZ is there: the run itself needs neither. NLLs are of the target's
    own unit."""
    if found.held_out is None:
        return None
    try:
        x, y = found.held_out
        return found.summary(x, unscaled(y, recipe.target), likelihood=in_units(recipe.target))
    except (ImportError, ValueError) as e:      # no ArviZ, or too few samples to tell
        note(f"whether the chains can be trusted is not said: {e}")
        return None


def _shown(scores: Dict[str, Any]) -> str:
    known = {"accuracy": "{:.2%} right", "rmse": "RMSE {:.4g}", "nll": "NLL {:.4g}",
             "coverage": f"{{:.0%}} inside the {_INTERVAL:.0%} interval"}
    return ", ".join([_counted(scores["rows"], "row"), *(known[name].format(value) for name, value in scores.items()
                                                    if name in known)])


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _verdicts(summary: Summary) -> str:
    rows = [(row.question, f"{'-' if row.number != row.number else f'{row.number:.4g}'}  {row.verdict}")
            for row in summary]
    changes = dict.fromkeys((row.verdict, row.change) for row in summary if row.change)
    return f"{summary.verdict}\n{table(rows)}" + "".join(f"\n{wrapped(f'-> {verdict}: {change}')}"
                                                         for verdict, change in changes)


def _scores(recipe: Recipe, found: Fit) -> Optional[Dict[str, Any]]:
    """What the chains say of the rows that they have not seen, in the target's unit."""
    if found.held_out is None:
        return None
    x, y = found.held_out
    try:
        density = found.log_predictive_density(x, y)
    except ValueError as e:     # few samples: the run is done all the same, and can be predicted with
        note(f"the rows held out are not scored: {e}")
        return None
    if recipe.target["task"] != REGRESSION:
        right = np.asarray(found.predict(x)).argmax(axis=1) == y
        return {"rows": len(y), "accuracy": float(right.mean()), "nll": float(-density.mean())}
    scale = recipe.target["scale"]
    interval: Any = found.predict(x, interval=_INTERVAL)
    mean, low, high = (np.asarray(a, dtype=np.float64) for a in interval)
    inside = (low <= y) & (y <= high)
    return {"rows": len(y), "rmse": float(scale * np.sqrt(np.mean((mean - y) ** 2))),
            "nll": float(np.log(scale) - density.mean()), "interval": _INTERVAL, "coverage": float(inside.mean())}


def _refuse_what_is_there(folder: Path) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise StoreError(f"--store {folder} is a file; write the path of a folder, which will be made")
    if folder.is_dir() and any(folder.iterdir()):
        raise StoreError(f"--store {folder} is there already, and not empty; go on with `sgmcmc-mx resume {folder}`, "
                         "or write another folder")


def _sources(*paths: Optional[str]) -> List[Dict[str, Optional[str]]]:
    return [{"path": path, "sha256": sha256_of(path)} for path in paths if path is not None]
