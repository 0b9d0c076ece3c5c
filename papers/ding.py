"""Ding et al. 2014, figure 1: a thermostat against fixed friction, under gradient noise that neither is told of."""
from __future__ import annotations

import numpy as np

from .quadrature import SGHMC, Density, sghmc_law, thermostat_law
from .report import Report, Row, mean_error
from .walkers import Walkers, arithmetic

A = 1.0         # the paper's diffusion: friction a = h A
B = 1.0         # that of the gradient's noise: h grad U + N(0, 2 B h)
WARM, TIME = 300.0, 700.0   # units of time, h a step. A walker forgets in which well it was in about 60
LOW, HIGH = -9.0, 8.0

FIXED = "SGHMC, fixed friction"
ELEMENT = "SGNHT, a thermostat each"
GLOBAL = "SGNHT, one for all"
SAMPLERS = {FIXED: ("sghmc", {}), ELEMENT: ("sgnht", {"thermostat": "element", "thermal_mass": 1.0}),
            GLOBAL: ("sgnht", {"thermostat": "global"})}

TEXT = """U = (x+4)(x+1)(x-1)(x-3)/14 + 1/2, A = 1; the gradient carries noise of variance 2 B / h, B = 1, of which no
sampler is told. It doubles the heat: a fixed friction a = h A samples exp(-U/2) instead of exp(-U), and a thermostat
finds the friction h (A + B). `Left mass` is what lies left of the local maximum.

A walker with a thermostat of its own is the paper's algorithm at d = 1, with its thermal mass of 1. In continuous
time the law of x is right at every mass; with steps the error grows with eta / mu = h^2 / mu, which is below .01 here.
One thermostat for all walkers (default mass) does not fluctuate, so that its law, and that of SGHMC, can be had exactly
*with* the error of the step: by iterating the transition on a grid. Those rows are held to 5 standard errors. The
others are held to the continuous target, with margins for a step whose error is of order h: mean .02, left mass .005.
Beyond h = 1 / (2 (A + B)) = .25 the thermostat's Euler step has no fixed point under this noise."""


def potential(x):
    """The double well."""
    return (x + 4) * (x + 1) * (x - 1) * (x - 3) / 14 + 0.5


def gradient(x):
    """Of the potential, by arithmetic only: for arrays of NumPy and MXNet."""
    return ((x * (4 / 14) + 3 / 14) * x - 26 / 14) * x - 1 / 14


TOP = float(np.sort(np.roots([4.0, 3.0, -26.0, -1.0]).real)[1])     # the local maximum


def numbers(density) -> dict:
    """What the table compares."""
    mean = density.mean(lambda x: x)
    return {"mean": mean, "variance": density.mean(lambda x: (x - mean) ** 2), "left mass": density.below(TOP)}


def chain_of(h: float) -> SGHMC:
    """SGHMC with all the noise there is."""
    return SGHMC(gradient, h * h, A * h, 2 * A * h ** 3 + h ** 4 * (2 * B / h))


def sample(kind: str, h: float, walkers: int, warm: float, time: float, stretches: int = 20):
    """Time averages for each walker, and where all walkers are now and then. Times in units of h a step."""
    sampler, options = SAMPLERS[kind]
    chain = Walkers(sampler, arithmetic(gradient), np.zeros(walkers), h * h, (2 * B / h) ** 0.5, friction=A * h,
                    **options).run(round(warm / h))
    quantities = {"mean": lambda w: w, "second": lambda w: w * w, "left mass": lambda w: w < TOP}
    parts, seen = [], []
    for _ in range(stretches):
        parts.append(chain.averages(round(time / h / stretches), quantities, every=max(1, round(0.1 / h))))
        seen.append(chain.positions())
    found = {name: np.mean([part[name] for part in parts], axis=0) for name in quantities}
    centre = found["mean"].mean()
    found["variance"] = found.pop("second") - 2 * centre * found["mean"] + centre ** 2
    return found, np.concatenate(seen)


def plan(quick: bool):
    """The step held to the margins, how many walkers each (sampler, step) gets, and for how long."""
    if quick:
        return 0.1, {(kind, 0.1): 1000 for kind in SAMPLERS}, (200.0, 100.0)
    walkers = {(kind, 0.1): 10000 for kind in SAMPLERS}
    walkers.update({(kind, 0.03): 4000 for kind in SAMPLERS})
    walkers.update({(FIXED, 0.2): 10000, (FIXED, 0.01): 2000, (ELEMENT, 0.01): 20000,
                    (ELEMENT, 0.001): 500})
    return 0.01, walkers, (WARM, TIME)


def run(quick: bool) -> Report:
    """Sample, and compare with the target and with the laws of the discretised chains."""
    target = Density(potential, LOW, HIGH)
    exact = numbers(target)
    main, walkers, times = plan(quick)
    found, seen = {}, {}
    for (kind, h), n in walkers.items():
        found[kind, h], seen[kind, h] = sample(kind, h, n, *times)

    def rows_of(kind, h, exact, source, bars):
        return [Row(f"{kind}, h = {h:g}: {name}", *mean_error(found[kind, h][name]), exact[name], source, bar)
                for name, bar in zip(exact, bars)]

    rows = rows_of(ELEMENT, main, exact, "quadrature of exp(-U)", (0.02, 0.05, 0.005))
    rows += rows_of(FIXED, main, exact, "quadrature of exp(-U)", ("off",) * 3)
    fixed, (shared, _) = sghmc_law(chain_of(0.1), LOW, HIGH)[0], thermostat_law(chain_of(0.1), LOW, HIGH)
    for kind, law in ((FIXED, fixed), (GLOBAL, shared)):
        rows += rows_of(kind, 0.1, numbers(law), "law of the discretised chain", ("z",) * 3)
    for kind, h in sorted(found):
        if h != main and (kind == ELEMENT or h != 0.1):
            rows += rows_of(kind, h, exact, "quadrature of exp(-U)", (None,) * 3)
    return Report("Ding et al. 2014, figure 1: double well", TEXT, rows,
                  lambda figure: draw(figure, target, found, seen, main), (11.0, 4.4))


def draw(figure, target, found, seen, main) -> None:
    """Left: densities at one step. Right: left mass by step."""
    left, right = figure.subplots(1, 2)
    hot = Density(lambda x: potential(x) / (1 + B / A), LOW, HIGH)
    left.plot(target.x, target.p, "k", linewidth=1.2, label="exp(-U)")
    left.plot(hot.x, hot.p, "k:", linewidth=1.0, label="exp(-U/2)")
    for kind, color in ((FIXED, "C1"), (ELEMENT, "C0")):
        left.hist(seen[kind, main], np.linspace(-6, 5, 111), density=True, histtype="step", color=color, label=kind)
    left.set(xlim=(-6, 5), xlabel="x", ylabel="density", title=f"h = {main:g}, gradient noise unknown to the sampler")
    left.legend(fontsize=8, loc="upper right")
    for kind, color, marker in ((FIXED, "C1", "s"), (ELEMENT, "C0", "o"), (GLOBAL, "C2", "^")):
        hs = sorted(h for k, h in found if k == kind)
        means, errors = zip(*(mean_error(found[kind, h]["left mass"]) for h in hs))
        right.errorbar(hs, means, errors, color=color, marker=marker, markersize=4, capsize=3, label=kind)
    right.axhline(target.below(TOP), color="k", linewidth=1.2, label="exp(-U)")
    right.axhline(hot.below(TOP), color="k", linestyle=":", linewidth=1.0, label="exp(-U/2)")
    right.set(xscale="log", xlabel="step h (units of time)", ylabel="mass left of the local maximum",
              title="error bars: one standard error")
    right.grid(alpha=0.25)
    right.legend(fontsize=8, loc="center left")
