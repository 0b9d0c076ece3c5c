"""A stationary law for each sampler: walkers on U = w^2 / 2, moved by a device, against the discretised step's law.

N = 1. Half of the curvature is the gradient's, half the prior's; the gradient carries noise of variance V where a law
says so. Seeds are fixed and were never tuned. The standard error comes from the sample: independent walkers, tensors
that have a thermostat each, or stretches of time where one thermostat moves all walkers.
"""
from __future__ import annotations

import functools
import math
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import numpy as np

from .devices import CheckedDevice
from .normals import LIMIT
from .package import cuda_plan, job, theory
from .table import Row

__all__ = ["Counts", "GPU", "SMALL", "Law", "LAWS", "observed", "z_scores", "check"]

PART = "stationary laws of walkers on U = w^2 / 2"
DATA = PRIOR = 0.5
SEED = 7
GRADIENT, PLACES, MOMENTA = 1000, 1001, 1002    # streams of noise beside those of the tensors
WINDOW = 1000       # of the running estimate of the gradient's variance, as SGHMC has it


class Counts(NamedTuple):
    """How much is walked."""

    walkers: int        # independent ones
    tensors: int        # with a thermostat each
    size: int           # weights of such a tensor, and of each of those that share one
    averaged: int       # steps that are averaged over, after the start
    stretches: int      # of the time of a chain with a thermostat for all: its steps are 100 of each


GPU = Counts(walkers=2 ** 18, tensors=40, size=8192, averaged=400, stretches=30)
SMALL = Counts(walkers=4096, tensors=6, size=2048, averaged=200, stretches=10)


class Law(NamedTuple):
    name: str
    kind: str = "friction"
    integrator: str = "euler"
    eta: float = 0.01
    a: float = 0.1
    V: float = 0.0
    told: float = 0.0           # of V, by the user
    estimate: bool = False
    scales: tuple = ()          # preconditioners that walkers have in turn
    cold: float = 0.0           # variance that is taken out of the injected noise
    burn: int = 300


LAWS = (
    Law("sgld", "none", eta=0.2, burn=60),
    Law("psgld (scale at rest)", "none", eta=0.1, scales=(0.5, 2.0), burn=200),
    Law("sghmc, noise told", a=0.05, V=4.0, told=4.0),
    Law("sghmc, noise estimated", a=0.05, V=4.0, estimate=True),
    Law("sghmc, aboba", integrator="aboba", eta=0.09, a=0.3, V=0.5),
    Law("sghmc, badodab", integrator="badodab", eta=0.09, a=0.3, V=0.5),
    Law("sasghmc (scale at rest)", V=1.0, scales=(0.5, 2.0), cold=1e-4),
    Law("sgnht by element", "element", burn=1500),
    Law("sgnht by tensor", "tensor", V=4.0),
    Law("sgnht by tensor, aboba", "tensor", "aboba", V=8.0),
    Law("sgnht by tensor, badodab", "tensor", "badodab", V=8.0),
    Law("sgnht", "shared", V=4.0),
    Law("sgnht, aboba", "shared", "aboba", V=8.0),
    Law("sgnht, badodab", "shared", "badodab", V=8.0),
)


class Walk:
    """The tensors of a law, and their steps. Arrays of one kind are views of one, which makes gradients cheap."""

    def __init__(self, law: Law, counts: Counts, device: CheckedDevice):
        self.law, self.device, self.seed = law, device, SEED + LAWS.index(law)
        groups = {"tensor": counts.tensors, "shared": 3}.get(law.kind, 1)
        self.size = counts.walkers if groups == 1 else counts.size
        self.shape = groups, self.size
        total = groups * self.size
        self.w = device.normals(total, self.seed, 0, PLACES)
        self.g = device.xp.zeros_like(self.w)
        self.v = None
        if law.kind != "none":
            self.v = device.normals(total, self.seed, 0, MOMENTA) * np.float32(law.eta ** 0.5)
        self.scale = self._scales(total)
        start = law.a + law.eta * law.V / 2.0
        self.mass = _mass(law, self.size)
        self.alpha = device.xp.full(total if law.kind == "element" else groups, start, dtype=device.xp.float32)
        self.job = job.Job([self._tensor(i) for i in range(groups)], self.seed, 1.0, integrator=law.integrator)
        if law.kind == "shared":
            shared = self.job.shared = job.Shared(self.alpha[:1], device.xp.zeros(1, dtype=device.xp.float32))
            gain = 1.0 / (total * self.mass)
            shared.settle, shared.gain = (1.0, gain), gain if law.integrator == "badodab" else 0.0
            self.gain = gain

    def _scales(self, total: int) -> Optional[Any]:
        if not self.law.scales:
            return None
        return self.device.xp.asarray(np.resize(np.array(self.law.scales, dtype=np.float32), total))

    def _tensor(self, i: int) -> Any:
        law = self.law
        here = slice(i * self.size, (i + 1) * self.size)
        if law.kind == "none":
            drift, noise2 = 0.5 * law.eta, law.eta
        else:
            drift, noise2 = law.eta, 2.0 * law.a * law.eta - law.eta ** 2 * law.told
        t = job.Tensor(self.w[here], self.g[here], i, 0, drift, PRIOR, math.sqrt(noise2))
        t.friction = law.a if law.kind == "friction" else 0.0
        t.heat, t.inverse_mass, t.share, t.cold = law.eta, 1.0 / self.mass, 1.0, law.cold
        t.momentum = None if self.v is None else self.v[here]
        if law.kind in ("tensor", "element"):
            t.alpha = self.alpha[i:i + 1] if law.kind == "tensor" else self.alpha[here]
        if law.estimate:
            t.previous, t.variance = (self.device.xp.zeros_like(t.weight) for _ in range(2))
        t.scale = None if self.scale is None else self.scale[here]
        return t

    def step(self, seen: int) -> None:
        """One step, after ``seen`` others."""
        law, device = self.law, self.device
        self.g[...] = self.w * np.float32(DATA)
        if law.V:
            self.g += device.normals(self.g.size, self.seed, seen + 1, GRADIENT) * np.float32(law.V ** 0.5)
        for t in self.job.tensors:
            t.count = seen + 1
            t.rate = max(1.0 / seen, 1.0 / WINDOW) if seen else 0.0
        tasks, _ = cuda_plan.divided(self.job, device)
        cuda_plan.carry_out(tasks, self.job, self.job.shared, device)

    def quantities(self) -> Dict[str, Any]:
        """w^2 and alpha, with an axis for independent units and one for what shares a thermostat, as they stand."""
        out = {"w2": (self.w.astype(np.float64) ** 2).reshape(self.shape)}
        if self.law.kind in ("tensor", "element"):
            out["alpha"] = self.alpha.astype(np.float64).reshape(self.shape[0], -1)
        if self.law.kind == "shared":
            owed = self.job.shared.excess * self.gain
            out["alpha"] = (self.job.shared.alpha + owed).astype(np.float64).reshape(1, 1)
        return out


def _mass(law: Law, size: int) -> float:
    """Thermal mass: by element as the papers' 1, for many weights light, for an answer within some ten steps."""
    return 1.0 if law.kind == "element" else 10.0 * law.eta / law.a


def observed(law: Law, counts: Counts, device: CheckedDevice) -> Dict[str, np.ndarray]:
    """Averages over time of each quantity, one for each independent unit."""
    walk = Walk(law, counts, device)
    for t in range(law.burn):
        walk.step(t)
    if law.kind == "shared":
        return _stretches(walk, law.burn, counts)
    totals: Dict[str, Any] = {}
    every = 8
    for t in range(law.burn, law.burn + counts.averaged):
        walk.step(t)
        if (t - law.burn) % every == every - 1:
            for name, x in walk.quantities().items():
                x = x.mean(1) if law.kind == "tensor" else x
                totals[name] = totals.get(name, 0.0) + x
    return {name: device.numpy(x).ravel() / (counts.averaged // every) for name, x in totals.items()}


def _stretches(walk: Walk, burn: int, counts: Counts) -> Dict[str, np.ndarray]:
    rows: List[List[Any]] = []
    names: List[str] = []
    for t in range(burn, burn + 100 * counts.stretches):
        walk.step(t)
        if t % 4 == 3:
            found = walk.quantities()
            names = list(found)
            rows.append([x.mean() for x in found.values()])
    series = np.array([[float(x) for x in row] for row in rows])
    means = series.reshape(counts.stretches, -1, len(names)).mean(1)
    return {name: means[:, i] for i, name in enumerate(names)}


# ---------------------------------------------------------------- what is expected


def expected(law: Law, counts: Counts) -> Dict[str, Any]:
    """The law of the discretised step: numbers, an array of one for each walker, or another sample."""
    if law.kind == "none":
        return {"w2": _by_scale(law, counts, lambda eta, _: theory.sgld_variance(eta))}
    if law.kind == "friction" and law.integrator == "euler":
        return {"w2": _by_scale(law, counts, functools.partial(_sghmc, law))}
    if law.kind == "friction":
        return {"w2": theory.splitting(law.integrator, law.eta, law.a, V=law.V)[0]}
    if law.kind == "element":       # no closed form: a simulation in NumPy, with noise of its own
        return theory.simulate_sgnht(4000, 1, 3000, 1500, law.eta, law.a, _mass(law, 1), V=law.V)
    if law.integrator == "euler":
        alpha = theory.thermostat_mean(law.eta, law.a, V=law.V)
        return {"w2": 1.0 - alpha / 2.0, "alpha": alpha}
    mass = _mass(law, counts.size)
    alpha, seen = theory.splitting_thermostat(law.integrator, law.eta, law.a, mass, V=law.V)
    return {"w2": theory.splitting(law.integrator, law.eta, alpha, law.a, V=law.V)[0], "alpha": seen}


def _sghmc(law: Law, eta: float, scale: float) -> float:
    told = _estimated(law) if law.estimate else law.told
    injected = max(2.0 * law.a * eta - law.eta ** 2 * told - law.cold, 0.0)
    return theory.second_moments(law.a, eta, injected + eta ** 2 * law.V)[0]


def _estimated(law: Law) -> float:
    """What half the mean squared difference of gradients comes to: V, and the change that a step makes, v times the
    curvature, which holds the last gradient's noise times eta."""
    P = theory.second_moments(law.a, law.eta, 2.0 * law.a * law.eta)[2]
    return law.V * (1.0 + DATA * law.eta) + DATA ** 2 * P / 2.0


def _by_scale(law: Law, counts: Counts, variance) -> Any:
    """With a preconditioner a walker has its own step size, and its own law."""
    if not law.scales:
        return variance(law.eta, 1.0)
    return np.resize([variance(law.eta * scale, scale) for scale in law.scales], counts.walkers)


def z_scores(law: Law, counts: Counts, found: Dict[str, np.ndarray]) -> Dict[str, tuple]:
    """(mean, expected, z) of each quantity that has an expectation."""
    out = {}
    for name, value in expected(law, counts).items():
        if name not in found:
            continue
        x = found[name]
        if np.ndim(value) and law.kind != "element":    # each walker by its own
            x, value = x / value, 1.0
        error2 = x.var(ddof=1) / x.size
        if np.ndim(value):
            error2 += value.var(ddof=1) / value.size
            value = value.mean()
        z = (x.mean() - value) / math.sqrt(error2) if error2 > 0 else math.inf
        out[name] = x.mean(), value, z if math.isfinite(z) else math.inf
    return out


def check(device: CheckedDevice, counts: Counts, laws=LAWS) -> Iterator[Row]:
    for law in laws:
        scores = z_scores(law, counts, observed(law, counts, device))
        found = "   ".join(f"{name} {mean:.5g} / {value:.5g}, z = {z:+.2f}"
                           for name, (mean, value, z) in scores.items())
        wrong = tuple(f"{name} is {mean:.6g}, the law says {value:.6g}: z = {z:.2f}, must be below {LIMIT:g}"
                      for name, (mean, value, z) in scores.items() if not abs(z) < LIMIT)
        yield Row(PART, law.name, found, wrong)
