"""How chains came about: configuration, parameters, and what their folders say of them."""
from __future__ import annotations

import json
import os
import platform
from typing import Any, Dict, List, NamedTuple

import mxnet as mx
import numpy as np

from .._version import __version__
from ..inference_data.sources import Chain
from ..store.reading import StoredSamples
from .subject import Subject
from .tables import Cell, Table, table

__all__ = ["Manifest", "configuration", "manifests", "of_chains", "of_parameters", "of_progress", "sampler_of"]

SAMPLES = 24        # of a chain, from either end, that its manifest is shown of
READ = 40           # samples of a chain that its parameters are looked at in

# What a trainer, or its sampler, is asked for where no folder tells.
_OF_TRAINER = ("burn_in", "thin", "max_samples", "num_steps", "step_size", "num_leapfrog", "acceptance_rate")
_OF_SAMPLER = ("learning_rate", "temperature", "friction", "num_data", "wd", "prior")


class Manifest(NamedTuple):
    """What a chain's folder says: the header as JSON, what happened, and its samples."""

    place: str
    header: str
    events: List[str]
    samples: Table


def configuration(subject: Subject) -> Table:
    """What was asked for, and what it ran on."""
    rows: List[Any] = [("folder", place) for place in subject.places]
    rows += [(f"sample_chains: {name}", _text(value)) for name, value in subject.header.items()]
    for name, value in _options(subject.chains).items():
        rows.append((name, _text(value)))
    if subject.likelihood is not None:
        rows.append(("likelihood", _text(subject.likelihood)))
    if subject.net is not None:
        rows.append(("network", repr(subject.net)))
    rows += [("this page by", f"sgmcmc_mx {__version__}, MXNet {mx.__version__}, NumPy {np.__version__}, Python "
              f"{platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} processors")]
    return table("Configuration", ["what", "value"], rows)


def _options(chains: List[Chain]) -> Dict[str, Any]:
    """Of the first chain; a seed is each one's own."""
    if not chains:
        return {}
    header, owner = getattr(chains[0].samples, "header", None) or {}, chains[0].owner
    told = ("sampler", "package", "dtype", "keep_last")
    found = {name: header[name] for name in told if header.get(name) is not None}
    options = header.get("options") or {}
    sampler = getattr(owner, "optimizer", None)
    if sampler is not None:
        found.setdefault("sampler", type(sampler).__name__.lower())
        options = {**{name: getattr(sampler, name) for name in _OF_SAMPLER if _is_told(sampler, name)}, **options}
    elif owner is not None:
        found.setdefault("sampler", type(owner).__name__)
    found.update(options)
    found.update({name: getattr(owner, name) for name in _OF_TRAINER if _is_told(owner, name)})
    return found


def sampler_of(chains: List[Chain]) -> str:
    """Its name, where anything tells it."""
    return str(_options(chains).get("sampler", ""))


def _is_told(owner: Any, name: str) -> bool:
    return getattr(owner, name, None) is not None


def of_progress(subject: Subject) -> List[Table]:
    """Where each of several chains is."""
    if not subject.progress:
        return []
    rows = [(k, p.phase, p.step, p.samples) for k, p in enumerate(subject.progress)]
    return [table("Chains, as their folders say", ["chain", "phase", "step", "samples"], rows)]


def of_chains(chains: List[Chain]) -> List[Table]:
    """What each chain has kept."""
    if not chains:
        return []
    rows = []
    for c in chains:
        n = len(c.samples)
        if not n:
            rows.append([c.number, 0] + [None] * 6)
            continue
        some = [c.samples[k] for k in range(n)]
        readings = [[v for v in (getattr(s, name) for s in some) if v is not None]
                    for name in ("potential", "temperature", "friction")]
        weights = np.array([s.weight for s in some])
        rows.append([c.number, n, some[0].step, some[-1].step, *(np.mean(v) if v else None for v in readings),
                     weights.sum()**2 / (weights**2).sum()])
    return [table("Chains", ["chain", "samples", "first step", "last step", "potential", "temperature", "friction",
                             "samples by weight"], rows,
                  "Potential, temperature and friction are means over samples. Samples by weight: as many of equal "
                  "weight would count as much.")]


def of_parameters(chains: List[Chain]) -> List[Table]:
    """The weights, array by array, over some samples of each chain."""
    some = [c.samples[int(k)] for c in chains if len(c.samples)
            for k in np.unique(np.linspace(0, len(c.samples) - 1, READ).astype(int))]
    if not some:
        return []
    total: Dict[str, Any] = {}
    squares: Dict[str, Any] = {}
    for sample in some:
        for name, a in sample.items():
            values = a.asnumpy().astype(np.float64)
            total[name], squares[name] = total.get(name, 0.0) + values, squares.get(name, 0.0) + values**2
    rows = []
    for name, a in some[0].items():
        mean = total[name] / len(some)
        spread = np.sqrt(np.maximum(squares[name] / len(some) - mean**2, 0.0))
        rows.append([name, Cell(" × ".join(map(str, a.shape)), float(a.size)), a.size, np.dtype(a.dtype).name,
                     float(np.sqrt((mean**2).mean())), float(spread.mean()), float(spread.max())])
    return [table("Parameters", ["name", "shape", "numbers", "type", "size of mean", "mean sd", "largest sd"], rows,
                  f"Over {len(some)} samples: the root mean square of the posterior means, and the standard deviations "
                  "over samples of all chains together.")]


def manifests(chains: List[Chain]) -> List[Manifest]:
    """What the folders said that the chains were read from, when they were read."""
    found, seen = [], set()
    for c in chains:
        path = getattr(c.samples, "path", None)
        if isinstance(c.samples, StoredSamples) and path not in seen:
            seen.add(path)
            found.append(_manifest(c.samples))
    return found


def _manifest(samples: StoredSamples) -> Manifest:
    place = str(samples.path)
    columns = ["step", "file", "bytes", "weight", "potential", "SHA-256"]
    entries = samples.entries
    shown = entries if len(entries) <= 2 * SAMPLES else entries[:SAMPLES] + entries[-SAMPLES:]
    note = "" if len(shown) == len(entries) else f"The first and last {SAMPLES} of {len(entries)} are shown."
    rows = [(e.step, e.file, e.bytes, e.weight, e.potential, e.sha256[:16] + "…") for e in shown]
    header, events = json.dumps(samples.header, indent=1, ensure_ascii=False), [_event(e) for e in samples.events]
    return Manifest(place, header, events, table("Samples", columns, rows, note))


def _event(event: Dict[str, Any]) -> str:
    rest = ", ".join(f"{name} {_text(value)}" for name, value in event.items() if name != "kind")
    return f"{event.get('kind', 'event')}: {rest}"


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 2000 else text[:2000] + " …"
