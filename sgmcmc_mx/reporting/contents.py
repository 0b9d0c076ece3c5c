"""What stands on a page: each part from what chains say, and in place of what they do not say the reason."""
from __future__ import annotations

import math
import time
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike

from .. import diagnostics
from ..diagnostics import Summary
from ..diagnostics.chains import Chains, chains_of
from ..diagnostics.summary import expected_temperature, summary_of
from ..errors import StoreError
from ..plot.arguments import names
from . import pictures, records
from .examples import groups_of, images_of, of_intervals
from .mixing import of_quantities
from .predicted import Classes, Predicted, predicted
from .rendering import Page, Verdict
from .scores import Scored, scored
from .subject import Subject
from .tables import Table, shown, table

__all__ = ["Asked", "page_of"]

_NO_DATA = ("No held-out data were given, so nothing was asked of predictions; write sg.report(runs, x_test, y_test). "
            "What follows is of potentials and weights, whose chains may disagree where predictions do not.")
_NO_LABELS = "No labels were given, so nothing is said of errors; write sg.report(runs, x_test, y_test)."
_NOT_KNOWN = "not known"


class Asked(NamedTuple):
    """What a user wants on the page."""

    data: Any
    labels: Optional[ArrayLike]
    title: Optional[str]
    classes: Optional[Sequence[object]]
    images: Any
    batch_size: int
    seed: int


def page_of(subject: Subject, asked: Asked, refresh: int = 0) -> Page:
    """The page as things stand."""
    page = Page(asked.title or _title(subject), _headline(subject),
                time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), refresh, records.configuration(subject),
                changes=_failures(subject), verdicts=records.of_progress(subject))
    try:
        return _filled(page, subject, asked)
    except StoreError as e:     # a sample's file is damaged, or was dropped meanwhile
        return page._replace(notes=[str(e)])


def _filled(page: Page, subject: Subject, asked: Asked) -> Page:
    """With all that the chains say."""
    page = page._replace(manifests=records.manifests(subject.chains), pictures=pictures.of_chains(subject.chains),
                         tables=records.of_chains(subject.chains) + records.of_parameters(subject.chains))
    if subject.missing:
        failed = bool(subject.progress) and all(p.has_failed for p in subject.progress)
        return page._replace(verdict=Verdict("All chains have failed", "bad")) if failed else page._replace(
            notes=[_capital(subject.missing)])
    chains = chains_of(subject.runs, subject.net, subject.likelihood)
    if asked.data is None:
        tables, notes = _without_data(chains, asked.seed)
        return page._replace(verdict=Verdict("Predictions were not asked", "unsure"), notes=notes,
                             verdicts=[*tables, *page.verdicts])
    return _with_predictions(page, subject, asked, chains)


def _with_predictions(page: Page, subject: Subject, asked: Asked, chains: Chains) -> Page:
    seen = predicted(chains, asked.data, asked.labels, asked.batch_size, asked.seed)
    found = seen.found
    classes = names(asked.classes, found.probs.shape[1]) if isinstance(found, Classes) else []
    if isinstance(found, Classes):
        groups = groups_of(found, images_of(asked.data, asked.images, found.examples), classes)
        page = page._replace(groups=groups)
    else:
        page = page._replace(intervals=of_intervals(found))
    said, score = _summary(chains, seen, subject.temperature), scored(found, chains.names, classes)
    drawn, course = _pictures(asked.data, chains, seen, score)
    return page._replace(verdict=_graver(said.verdict, subject), verdicts=[*said.tables, *page.verdicts],
                         notes=said.notes + ([_NO_LABELS] if asked.labels is None else []),
                         changes=[*page.changes, *said.changes], scores=score.tables,
                         pictures=[*drawn, *page.pictures], tables=[*score.more, *course, *page.tables])


class _Said(NamedTuple):
    """The diagnostics' summary, as the page has it."""

    verdict: Verdict
    notes: List[str]
    changes: List[Tuple[str, str]]
    tables: List[Table]


def _summary(chains: Chains, seen: Predicted, temperature: Optional[float]) -> _Said:
    try:
        evidence = seen.evidence.result()
        found, mixing = summary_of(chains, evidence, expected_temperature(chains, temperature)), of_quantities(evidence)
    except ImportError as e:
        return _Said(Verdict("Not known whether the chains have converged", "unsure"), [str(e)], [], [])
    tone = {"well mixed": "good", _NOT_KNOWN: "unsure", "directions may be frozen": "unsure"}.get(found.verdict, "bad")
    rows = [(row.question, row.number, row.verdict, row.detail) for row in found]
    return _Said(Verdict(_capital(found.verdict), tone), [_asked(found)],
                 list(dict.fromkeys((row.verdict, row.change) for row in found if row.change)),
                 [table("Have the chains converged?", ["question", "number", "verdict", "detail"], rows), *mixing])


def _asked(found: Summary) -> str:
    """How many questions were answered, and how."""
    well = sum(row.verdict == "well mixed" for row in found)
    unknown = sum(row.verdict == _NOT_KNOWN for row in found)
    text = f"{_capital(found.title)}: {well} of {len(found)} questions are answered well"
    return text + (f", {unknown} cannot be answered." if unknown else ".")


def _without_data(chains: Chains, seed: int) -> Tuple[List[Table], List[str]]:
    given = dict.fromkeys(("potential", "projections"), chains.each)
    if any(s.potential is None for chain in chains.each for s in (chain[0], chain[len(chain) - 1])):
        del given["potential"]
    rows = []
    try:
        for of, each in given.items():
            rhat, ess = (measure(each, of=of, seed=seed) for measure in (diagnostics.rhat, diagnostics.ess))
            what = "the potential" if of == "potential" else f"{len(rhat)} random directions of all weights"
            rows.append((what, _extreme(np.max, rhat), _extreme(np.min, ess)))
    except ImportError as e:
        return [], [_NO_DATA, str(e)]
    return [table("Do the chains agree?", ["of", "largest R-hat", "smallest ESS"], rows)], [_NO_DATA]


def _extreme(which: Any, values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(which(finite)) if len(finite) else math.nan


def _pictures(data: Any, chains: Chains, seen: Predicted,
              score: Scored) -> Tuple[List[pictures.Picture], List[Table]]:
    """Those of predictions, and the table of one of them."""
    found, course = seen.found, seen.convergence
    if isinstance(found, Classes):
        drawn = pictures.of_classes(found, chains.names)
    else:
        drawn = pictures.of_numbers(found, _single_input(data, len(found.mean)), chains.names)
    if course is None:
        return drawn, []
    steps = [[chain[k].step for k in range(chains.draws)] for chain in chains.each]
    drawn += pictures.of_convergence(course, score.error) + pictures.of_samples(steps, found.nll, chains.names, "NLL")
    rows = course.rows()
    return drawn, [table("Convergence of the average", list(rows[0]), [list(row.values()) for row in rows],
                         "mcse: by how much other chains of this length would give another value.")]


def _single_input(data: Any, number: int) -> Optional[np.ndarray]:
    """The only number of each example, where there is one."""
    a = data.asnumpy() if hasattr(data, "asnumpy") else data
    return a.reshape(-1).astype(float) if isinstance(a, np.ndarray) and a.size == number else None


def _failures(subject: Subject) -> List[Tuple[str, str]]:
    return [(f"chain {k} {p.phase}", f"at step {shown(p.step)}: {p.error}") for k, p in enumerate(subject.progress)
            if p.has_failed]


def _graver(verdict: Verdict, subject: Subject) -> Verdict:
    """A chain that has failed is no good news, however well the others have mixed."""
    failed = len(_failures(subject))
    if not failed:
        return verdict
    return Verdict(f"{verdict.text}; {failed} of {len(subject.progress)} chains failed", "bad")


def _title(subject: Subject) -> str:
    return f"Report on {', '.join(subject.places[:3])}" if subject.places else "Report on chains"


def _headline(subject: Subject) -> str:
    number, draws = len(subject.chains), subject.draws
    text = f"{number} chain{'s' * (number != 1)}, {shown(draws)} sample{'s' * (draws != 1)}"
    sampler = records.sampler_of(subject.chains)
    return ", ".join(part for part in (text, sampler, repr(subject.likelihood) if subject.likelihood else "") if part)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
