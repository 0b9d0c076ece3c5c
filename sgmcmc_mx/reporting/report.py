"""What a user calls for a page on chains."""
from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Optional, Sequence, Union

from mxnet import gluon
from numpy.typing import ArrayLike

from .._check import integer
from ..diagnostics.chains import OfClasses
from .contents import Asked, page_of
from .rendering import place_of, write
from .subject import subject_of
from .watching import watching

__all__ = ["report"]

_log = logging.getLogger("sgmcmc_mx")


def report(runs: Any, data: Any = None, labels: Optional[ArrayLike] = None, *,
           path: Union[str, os.PathLike] = "report.html", net: Optional[gluon.Block] = None,
           likelihood: OfClasses = None, title: Optional[str] = None, classes: Optional[Sequence[object]] = None,
           images: Any = None, watch: Optional[int] = None, batch_size: int = 1000, seed: int = 0) -> Path:
    """Write what came of chains as one page: verdicts, scores, pictures, examples, tables and how it was made.

    The page is a single file of HTML that fetches nothing, for screens of any size, light and dark. It is written under
    another name and renamed, so that it is whole at any time. A folder that has no samples yet, or is damaged, gives a
    page that says so.

    Parameters
    ----------
    runs : path, Runs, trainer, samples, or a list of them
        ``'runs/a'``, what :func:`sgmcmc_mx.sample_chains` and :func:`sgmcmc_mx.load` return, a trainer or
        ``sg.HMC(...)``; a list has a chain an entry.
    data : arrays, or batches as :func:`sgmcmc_mx.predict` takes them, optional
        Held-out inputs; some hundreds or thousands are enough. Without them nothing is asked of predictions.
    labels : array, optional
        Their labels.
    path : str or os.PathLike, default 'report.html'
        The page.
    net : gluon.Block, optional
        The network. Default: that of a trainer, or of ``build``. For what was loaded it has to be given, with ``data``.
    likelihood : 'softmax', 'sigmoid' or Likelihood, optional
        What the network's output means. Default: likewise.
    title : str, optional
    classes : sequence, optional
        Names of the classes; their numbers by default.
    images : array or bool, optional
        Images of the examples, (n, h, w) or (n, h, w, 3). Default: the inputs, where they look like images; ``False``
        for none, ``True`` where they are, and do not look so.
    watch : int, optional
        Renew the page every so many seconds until the chains have ended, or Ctrl-C. For folders, from another process
        than the one that samples. See :func:`sgmcmc_mx.reporting.watching` for a loop of one's own.
    batch_size : int, default 1000
        Rows in a forward pass.
    seed : int, default 0
        Of the choice of examples, as for :func:`sgmcmc_mx.diagnostics.summary`.

    Returns
    -------
    pathlib.Path
        The page.

    Examples
    --------
    >>> sg.report(runs, x_test, y_test, path='report.html')
    >>> sg.report('runs/a', x_test, y_test, net=net, likelihood='softmax', watch=10)
    """
    if labels is not None and data is None:
        raise ValueError("labels are given and data is not; write the inputs that they belong to, as in "
                         "sg.report(runs, x, y)")
    if watch is not None:
        watch, place = integer("watch", watch, "seconds from one look to the next, such as 10", low=1), Path(path)
        for place in watching(runs, data, labels, every=watch, path=path, net=net, likelihood=likelihood, title=title,
                              classes=classes, images=images, batch_size=batch_size, seed=seed):
            _log.info("%s was looked at", place)
        return place
    place = place_of(path)
    subject = subject_of(runs, net, likelihood)
    if subject.missing:
        _log.warning("%s says little: %s", place, subject.missing)
    write(page_of(subject, Asked(data, labels, title, classes, images, batch_size, seed)), place)
    return place
