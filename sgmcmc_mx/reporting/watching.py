"""A page that is renewed while its chains go on."""
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Union

from mxnet import gluon
from numpy.typing import ArrayLike

from .._check import integer
from ..chains import Runs
from ..diagnostics.chains import OfClasses
from ..errors import StoreError
from ..store import StoredSamples
from ..store.files import Lock
from .contents import Asked, page_of
from .rendering import place_of, write
from .subject import Subject, subject_of

__all__ = ["watching"]

GOING = ("waiting", "warm start", "sampling")


def watching(runs: Any, data: Any = None, labels: Optional[ArrayLike] = None, *, every: int = 10,
             path: Union[str, os.PathLike] = "report.html", net: Optional[gluon.Block] = None,
             likelihood: OfClasses = None, title: Optional[str] = None, classes: Optional[Sequence[object]] = None,
             images: Any = None, batch_size: int = 1000, seed: int = 0) -> Iterator[Path]:
    """Renew a page while chains go on; yields its path at every look, and ends with the chains.

    The page is written where something has changed since the last look. While it is watched a browser reads it anew
    every ``every`` seconds; the last one stays as it is. A folder that is not there yet is waited for.

    Parameters
    ----------
    runs : path, Runs, stored samples, or a list of them
        What lies in a folder, for what is in memory does not go on.
    every : int, default 10
        Seconds from one look to the next.
    data, labels, path, net, likelihood, title, classes, images, batch_size, seed
        As for :func:`sgmcmc_mx.report`.

    Examples
    --------
    >>> for page in watching('runs/a', x_test, y_test, net=net, likelihood='softmax'):
    ...     print(page)
    """
    every = integer("every", every, "seconds from one look to the next, such as 10", low=1)
    place, asked = place_of(path), Asked(data, labels, title, classes, images, batch_size, seed)
    if isinstance(runs, Runs) and (net is None or likelihood is None):
        known = subject_of(runs, net, likelihood)
        net, likelihood = known.net, known.likelihood
    folders = _folders(runs)
    return _looks(folders, asked, place, every, net, likelihood)


def _looks(folders: Any, asked: Asked, place: Path, every: int, net: Optional[gluon.Block],
           likelihood: OfClasses) -> Iterator[Path]:
    before: Any = None
    while True:
        subject = _subject(folders, net, likelihood)
        state = _state(subject)
        ended = _has_ended(subject, state == before)
        if ended or state != before:
            write(page_of(subject, asked, 0 if ended else every), place)
        before = state
        yield place
        if ended:
            return
        time.sleep(every)


def _folders(runs: Any) -> Any:
    """The paths of what was given: one, or a list of them."""
    if isinstance(runs, (list, tuple)) and runs:
        return [_folder(part) for part in runs]
    return _folder(runs)


def _folder(part: Any) -> str:
    if isinstance(part, (str, os.PathLike)):
        return os.fspath(part)
    if isinstance(part, (Runs, StoredSamples)) and part.path is not None:
        return str(part.path)
    raise TypeError(f"runs must be folders to be watched, got {type(part).__name__}; write the path that was given as "
                    "store=..., in another process than the one that samples")


def _subject(folders: Any, net: Optional[gluon.Block], likelihood: OfClasses) -> Subject:
    """As it is now. What is not there yet is waited for."""
    try:
        return subject_of(folders, net, likelihood)
    except StoreError as e:
        places = [folders] if isinstance(folders, str) else list(folders)
        return Subject(folders, [], net, likelihood, None, places, {}, [], str(e))


def _state(subject: Subject) -> tuple:
    """What a page depends on."""
    newest = [(c.number, len(c.samples), c.samples[-1].step if len(c.samples) else 0) for c in subject.chains]
    return newest, [tuple(p) for p in subject.progress], subject.missing


def _has_ended(subject: Subject, unchanged: bool) -> bool:
    """Whether nothing more is to be expected. What nobody knows of is waited for."""
    if subject.progress and not any(p.phase in GOING for p in subject.progress):
        return True
    return unchanged and bool(subject.chains) and all(_is_left(c.samples) for c in subject.chains)


def _is_left(samples: Any) -> bool:
    """Whether the process that wrote them is known to be gone."""
    path = getattr(samples, "path", None)
    return path is not None and Lock.is_gone(path)
