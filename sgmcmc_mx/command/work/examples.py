"""From data to the network's inputs and labels, and the same again for new rows by what was learned of the first."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..._check import closest
from ...tables.columns import GAP, LARGEST, NAMES, NUMBER, Part
from .files import UNNAMED, Arrays, Data, Table
from .texts import column_of, encoded_table, is_missing, learn_columns, numbers_of

__all__ = ["CLASSIFICATION", "REGRESSION", "Learned", "inputs_of", "labels_of", "learn"]

REGRESSION, CLASSIFICATION = "regression", "classification"
LINK = "softplus"       # under which no row has an infinite sigma
_FEW = 10       # different whole numbers: classes, where nobody says otherwise


class Learned(NamedTuple):
    """How data become numbers, as JSON has it, and sentences that tell of what was chosen."""

    inputs: Dict[str, Any]
    target: Dict[str, Any]
    told: List[str]


def learn(data: Data, target: Optional[str], task: Optional[str], drop: Sequence[str],
          categories: Sequence[str]) -> Learned:
    """Look at the data that a run is to be trained on."""
    if isinstance(data, Arrays):
        given = [f"--{name}" for name, value in (("target", target), ("drop", drop), ("category", categories)) if value]
        if given:
            raise ValueError(f"{given[0]} names a column, and {data.where} is arrays, without names; leave it out")
        return _of_arrays(data, task)
    for name, option in [(n, "--drop") for n in drop] + [(n, "--category") for n in categories]:
        column_of(data, name, option)
    names = [name for name in data.columns if name not in drop]
    if not names:
        raise ValueError(f"--drop leaves no column of {data.where}")
    told = [] if target is not None else [f"target: {names[-1]!r}, the last column; --target names another"]
    target = names[-1] if target is None else target
    if target in drop:
        raise ValueError(f"--drop {target!r} leaves out the column that --target names; write one of the two")
    about, words = _target(target, column_of(data, target, "--target"), data, task)
    names = [name for name in names if name != target]
    if not names:
        raise ValueError(f"{data.where} has the target {target!r} and no other column to predict it from")
    parts = learn_columns(data, names, categories)
    told += [words, *_told(parts), *_told_of_counters(data, names)]
    return Learned({"kind": "table", "names": names, "parts": parts}, about, told)


def _told(parts: Sequence[Part]) -> List[str]:
    words = [f"{part['name']} ({len(part['values'])})" for part in parts if part["kind"] == NAMES]
    gaps = [part["name"] for part in parts if part["kind"] == GAP]
    said = [f"columns: {sum(part['kind'] == NUMBER for part in parts)} of numbers"
            + (f", and of names: {', '.join(words)}" if words else "")]
    return said + ([f"missing values are the median, and told to the network: {', '.join(gaps)}"] if gaps else [])


def _told_of_counters(data: Table, names: Sequence[str]) -> List[str]:
    """A column without a name that counts the rows, as some programs write before all others."""
    return [f"{name!r} has no name in the file, and counts the rows; --drop {name!r} leaves it out" for name in names
            if UNNAMED.fullmatch(name) and data.columns[name] in ([str(k + first) for k in range(len(data))]
                                                                  for first in (0, 1))]


def _of_arrays(data: Arrays, task: Optional[str]) -> Learned:
    if data.y is None:
        raise ValueError(f"{data.where} has no labels; give an array y of them (or --labels, beside an IDX file)")
    y = data.y[:, 0] if data.y.ndim == 2 and data.y.shape[1] == 1 else data.y
    if y.ndim != 1 or len(y) != len(data.x):
        raise ValueError(f"{data.where}: labels of shape {data.y.shape} for {len(data.x):,} examples; there has to be "
                         "one for each")
    texts = [str(value) for value in y.tolist()]
    about, words = _target("y", texts, Table(data.where, {"y": texts}, list(range(1, len(texts) + 1))), task)
    x = np.asarray(data.x, dtype=np.float64)
    axis = 0 if x.ndim == 2 else None       # an image has one scale for all that it shows
    scale = np.asarray(x.std(axis=axis))
    inputs = {"kind": "arrays", "names": [f"array of shape {x.shape[1:]}"], "shape": list(x.shape[1:]),
              "mean": np.asarray(x.mean(axis=axis)).tolist(), "scale": np.where(scale > 0, scale, 1.0).tolist()}
    return Learned(inputs, about, [words])


def _target(name: str, texts: Sequence[str], table: Table, task: Optional[str]) -> Tuple[Dict[str, Any], str]:
    gap = next((k for k, text in enumerate(texts) if is_missing(text)), None)
    if gap is not None:
        raise ValueError(f"the target {name!r} of {table.where} is missing in line {table.lines[gap]}; fill it in, or "
                         "leave such rows out")
    values, wrong = numbers_of(texts)
    classes = sorted(set(texts))
    if not wrong:
        classes = sorted(classes, key=float)
    whole = not wrong and bool((values == np.round(values)).all())
    chosen = task or (CLASSIFICATION if wrong or whole and len(classes) <= _FEW else REGRESSION)
    if len(classes) < 2 or not wrong and values.min() == values.max():
        raise ValueError(f"the target {name!r} of {table.where} has one value only, {classes[0]!r:.80}: there is "
                         "nothing to learn")
    if chosen == REGRESSION:
        if wrong:
            raise ValueError(f"the target {name!r} of {table.where} has {texts[wrong[0]]!r:.80} in line "
                             f"{table.lines[wrong[0]]}, which is no number; write --task classification, or mend it")
        largest = np.abs(values).max()
        if largest > LARGEST:
            raise ValueError(f"the target {name!r} of {table.where} has numbers of up to {largest:.3g}, "
                             "which are too large to be standardised; write them in another unit")
        about = {"name": name, "task": chosen, "mean": float(values.mean()), "scale": float(values.std()) or 1.0,
                 "link": LINK}
        words = f"task: regression, {name!r} from {values.min():.6g} to {values.max():.6g}"
    else:
        if not task and wrong and 2 * len(wrong) < len(texts):
            raise ValueError(f"the target {name!r} of {table.where} is numbers, but for {len(wrong)} values, the first "
                             f"{texts[wrong[0]]!r:.80} in line {table.lines[wrong[0]]}; mend them, or write --task "
                             "classification if they are names")
        _check_classes(name, texts, classes, table, not wrong)
        about = {"name": name, "task": chosen, "classes": classes}
        words = f"task: classification, {len(classes)} classes of {name!r}: {', '.join(classes[:_FEW])}" + (
            ", ..." if len(classes) > _FEW else "")
    return about, words + ("" if task else "; --task says otherwise")


def _check_classes(name: str, texts: Sequence[str], classes: Sequence[str], table: Table, are_numbers: bool) -> None:
    """Every class has to be told from others, and one at least has to have two rows."""
    twin = next((pair for pair in zip(classes, classes[1:]) if are_numbers and float(pair[0]) == float(pair[1])), None)
    if twin is not None:
        raise ValueError(f"the target {name!r} of {table.where} has the classes {twin[0]!r} and {twin[1]!r}, which are "
                         "one number; write it in one way")
    if len(classes) == len(texts) > 2:
        instead = "--task regression" if are_numbers else "--target with another column"
        raise ValueError(f"the target {name!r} of {table.where} is another class in each of its {len(texts)} rows, and "
                         f"nothing can be learned of that; write {instead}")


def inputs_of(data: Data, learned: Dict[str, Any]) -> np.ndarray:
    """The network's inputs, float32, by what was learned."""
    if learned["kind"] == "table":
        if isinstance(data, Arrays):
            raise ValueError(f"{data.where} is arrays, and the training had a table with the columns "
                             f"{', '.join(learned['names'])}; give such a table")
        return encoded_table(data, learned["parts"])
    if isinstance(data, Table):
        raise ValueError(f"{data.where} is a table, and the training had arrays; give a file of them")
    if list(data.x.shape[1:]) != learned["shape"]:
        raise ValueError(f"{data.where} has examples of shape {data.x.shape[1:]}, and those of the training had "
                         f"{tuple(learned['shape'])}")
    if data.x.dtype.kind == "f" and not np.isfinite(data.x).all():
        raise ValueError(f"{data.where} has NaN or infinities among its inputs; fill them in, or leave such examples "
                         "out")
    return ((data.x - np.asarray(learned["mean"])) / np.asarray(learned["scale"])).astype(np.float32)


def labels_of(data: Data, target: Dict[str, Any]) -> np.ndarray:
    """What the network is to predict, float32: standardised numbers, (n, 1), or the numbers of classes, (n,)."""
    texts = ([str(value) for value in np.ravel(data.y).tolist()] if isinstance(data, Arrays) and data.y is not None
             else column_of(data, target["name"], "target") if isinstance(data, Table) else None)
    if texts is None or len(texts) != len(data):
        raise ValueError(f"{data.where} has no label for each example; give one that has")
    if target["task"] == REGRESSION:
        values, wrong = numbers_of(texts)
        if wrong or np.isnan(values).any():
            raise ValueError(f"the target {target['name']!r} of {data.where} has values that are no numbers; mend them")
        return ((values - target["mean"]) / target["scale"]).astype(np.float32)[:, np.newaxis]
    places = {name: k for k, name in enumerate(target["classes"])}
    unknown = next((text for text in texts if text not in places), None)
    if unknown is not None:
        raise ValueError(f"the target {target['name']!r} of {data.where} has {unknown!r:.80}, which is no class of the "
                         f"training; {closest(unknown, places)}there were {', '.join(places)}")
    return np.array([places[text] for text in texts], dtype=np.float32)
