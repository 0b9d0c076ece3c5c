"""The examples that the average is most and least sure of, with their images where inputs are images."""
from __future__ import annotations

import base64
import importlib
import io
from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np

from .. import metrics
from .predicted import Classes, Numbers
from .tables import Cell, Table, shown, table

__all__ = ["Example", "Group", "groups_of", "images_of", "of_intervals"]

COUNT = 6           # examples of each kind
CLASSES = 4         # of an example, the most probable
SMALLEST = 8        # pixels on a side
LARGEST = 96        # on a side, as it is shown
SMOOTH = 0.75       # neighbours of an image differ less than this, by what pixels far apart differ


class Example(NamedTuple):
    """One of the held-out examples.

    number : its place among all.
    said : the most probable classes, names and percent.
    """

    number: int
    image: str
    truth: str
    wrong: bool
    said: List[Any]
    entropy: str
    disagreement: str


class Group(NamedTuple):
    """Some examples that have something in common."""

    title: str
    text: str
    examples: List[Example]


def groups_of(found: Classes, images: Optional[np.ndarray], names: Sequence[str]) -> List[Group]:
    """The least and the most certain; nothing where a row is not an example."""
    if len(found.probs) != found.examples:
        return []
    entropy = metrics.entropy(found.probs)
    order = np.argsort(-entropy, kind="stable")
    count = min(COUNT, len(order) // 2)

    def group(title: str, text: str, which: np.ndarray) -> Group:
        return Group(title, text, [_example(found, int(k), entropy[k], images, names) for k in which])

    return [group("Least certain", "Those whose averaged prediction has the largest entropy. Where samples disagree, "
                  "more data would help; where they agree on being unsure, it would not.", order[:count]),
            group("Most certain", "Those with the smallest entropy.", order[::-1][:count])] if count else []


def _example(found: Classes, k: int, entropy: float, images: Optional[np.ndarray], names: Sequence[str]) -> Example:
    likely = np.argsort(-found.probs[k], kind="stable")[:CLASSES]
    truth = None if found.labels is None else int(found.labels[k])
    return Example(k, "" if images is None else _png(images[k]), "" if truth is None else names[truth],
                   truth is not None and truth != int(likely[0]),
                   [(names[c], round(100 * float(found.probs[k, c]), 1)) for c in likely],
                   shown(float(entropy)), shown(float(found.disagreement[k])))


def of_intervals(found: Numbers) -> List[Table]:
    """The widest and the narrowest intervals of a regression, first output."""
    if found.low is None or found.high is None:
        return []
    width = found.high[:, 0] - found.low[:, 0]
    order = np.argsort(-width, kind="stable")
    count = min(COUNT, len(order) // 2)
    columns = ["example", "mean", "5 %", "95 %", "width"] + ["label", "label outside"] * (found.labels is not None)
    tables = []
    for title, which in (("Widest intervals", order[:count]), ("Narrowest intervals", order[::-1][:count])):
        rows = []
        for k in which:
            low, high = float(found.low[k, 0]), float(found.high[k, 0])
            row: List[Any] = [int(k), float(found.mean[k, 0]), low, high, float(width[k])]
            if found.labels is not None:
                y = float(found.labels[k, 0])
                row += [y, Cell("no" if low <= y <= high else "outside")]
            rows.append(row)
        tables.append(table(title, columns, rows))
    return tables if count else []


def images_of(data: Any, given: Any, number: int) -> Optional[np.ndarray]:
    """Images as (n, h, w) or (n, h, w, 3), brightness from 0 to 1: those that were given, or inputs that look like
    some. ``given`` False: none."""
    if given is False:
        return None
    if given is None or given is True:
        inputs = next(iter(data.values())) if isinstance(data, dict) else data[0] if isinstance(data, tuple) else data
        found = _as_images(inputs)
        if found is not None and (given or found.ndim == 4 or _is_smooth(found)) and len(found) == number:
            return found
        if given:
            raise ValueError(f"images=True, and the inputs are no images of at least {SMALLEST} pixels a side: they "
                             f"have shape {np.shape(inputs)}; write images=array, of shape (n, h, w) or (n, h, w, 3)")
        return None
    found = _as_images(given)
    if found is None or len(found) != number:
        raise ValueError(f"images: need {number} of shape (n, h, w), (n, 1, h, w), (n, 3, h, w) or (n, h, w, 3), of at "
                         f"least {SMALLEST} pixels a side, got shape {np.shape(given)}; leave it out, or write False")
    return found


def _as_images(values: Any) -> Optional[np.ndarray]:
    a = values.asnumpy() if hasattr(values, "asnumpy") else values
    if not isinstance(a, np.ndarray) or a.dtype.kind not in "fiub" or a.ndim < 2:
        return None
    if a.ndim == 2:
        side = int(round(a.shape[1] ** 0.5))
        if side * side != a.shape[1]:
            return None
        a = a.reshape(-1, side, side)
    if a.ndim == 4 and a.shape[1] in (1, 3) and a.shape[3] not in (1, 3):
        a = np.moveaxis(a, 1, -1)
    if a.ndim == 4 and a.shape[3] == 1:
        a = a[..., 0]
    if a.ndim not in (3, 4) or (a.ndim == 4 and a.shape[3] != 3) or min(a.shape[1:3]) < SMALLEST:
        return None
    return a


def _is_smooth(images: np.ndarray) -> bool:
    """Whether neighbours are more alike than pixels are that lie far apart, which columns of a table are not."""
    some = images[:200].astype(np.float64)
    near = 0.5 * (np.abs(np.diff(some, axis=1)).mean() + np.abs(np.diff(some, axis=2)).mean())
    flat = some.reshape(len(some), -1)
    far = np.abs(flat - flat[:, np.random.RandomState(0).permutation(flat.shape[1])]).mean()
    return bool(near < SMOOTH * far)


def _png(image: np.ndarray) -> str:
    """A data URI. Of one channel dark is much, as in :func:`sgmcmc_mx.plot.uncertain_images`."""
    every = -(-max(image.shape[:2]) // LARGEST)
    a = image[::every, ::every].astype(np.float64)
    low, high = float(a.min()), float(a.max())
    a = (a - low) / (high - low) if high > low else np.zeros_like(a)
    data = io.BytesIO()
    importlib.import_module("matplotlib.image").imsave(data, a, cmap="gray_r", vmin=0, vmax=1, format="png")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
