"""Chen, Fox & Guestrin 2014, figure 1: what gradient noise does to Hamiltonian Monte Carlo, and friction against it."""
from __future__ import annotations

import numpy as np

from .quadrature import SGHMC, Density, sghmc_law
from .report import Report, Row, mean_error
from .walkers import Walkers, arithmetic

DT, C, V, STEPS = 0.1, 3.0, 4.0, 50     # step, friction, variance of the gradient's noise, steps between momenta
WARM, KEPT = 20, 10                     # momenta of a walker before its samples, and one for each sample

TEXT = """U = -2 x^2 + x^4, dt = .1, C = 3, gradient noise of variance 4, 50 steps a sample, then a new momentum; 80,000
samples, ten each from 8,000 walkers after 20 momenta. The first four are NumPy references, one of them wrong on
purpose: Hamiltonian Monte Carlo (HMC), with the true gradient and (naive) with the noisy one, with and without the test
that accepts or rejects by the true U. Noise drawn afresh at each step leaves that test exact, at the price of
rejections and of the full U; without it the heat stays. SGHMC is this package's `sghmc` with friction = C dt = .3,
gradient_noise = 4, resample_momentum = 50: no test and no heat. Its exact values are those of the discretised chain, by
iterating its transition on a grid: .8292 for E[x^2], where the continuous target has .8327. Not told of the noise
(B-hat = 0) it has .8313. E[x U'(x)] is the temperature of x, 1 in the target, and tells more than E[x^2]."""


def potential(x):
    """Two wells, as deep as 1."""
    return x ** 4 - 2 * x ** 2


def gradient(x):
    """Of the potential, by arithmetic only: for arrays of NumPy and MXNet."""
    return (4 * x * x - 4) * x


def hamiltonian(walkers: int, noisy: bool, test: bool, seed: int):
    """Reference: leapfrog steps with a gradient that may be noisy, and a Metropolis test or none.

    Returns the samples, shape (kept, walkers), and how often a proposal was accepted.
    """
    rng = np.random.default_rng(seed)

    def kick(x):
        return gradient(x) + (np.sqrt(V) * rng.standard_normal(len(x)) if noisy else 0.0)

    x, kept, accepted = np.zeros(walkers), [], 0.0
    for _ in range(WARM + KEPT):
        p = rng.standard_normal(walkers)
        before, y = potential(x) + p ** 2 / 2, x.copy()
        p = p - DT / 2 * kick(y)
        for step in range(STEPS):
            y = y + DT * p
            p = p - (DT if step < STEPS - 1 else DT / 2) * kick(y)
        change = potential(y) + p ** 2 / 2 - before
        accept = (np.log(rng.random(walkers)) < -change) | (not test)
        x, accepted = np.where(accept, y, x), accepted + accept.mean()
        kept.append(x)
    return np.array(kept[WARM:]), accepted / len(kept)


def sghmc(walkers: int, told: bool = True, seed: int = 0) -> np.ndarray:
    """Samples of the package's sampler, shape (kept, walkers); ``told`` of the gradient's noise, or not."""
    chain = Walkers("sghmc", arithmetic(gradient), np.zeros(walkers), DT ** 2, V ** 0.5, seed, friction=C * DT,
                    gradient_noise=V if told else None, resample_momentum=STEPS)
    chain.run(WARM * STEPS)
    return np.array([chain.run(STEPS).positions() for _ in range(KEPT)])


def law(told: bool) -> Density:
    """Their exact law."""
    eta, a = DT ** 2, C * DT
    variance = 2 * a * eta + (0.0 if told else eta ** 2 * V)
    return sghmc_law(SGHMC(gradient, eta, a, variance, STEPS), -3.0, 3.0)[0]


def run(quick: bool) -> Report:
    """Sample by all five methods, and compare."""
    walkers = 2000 if quick else 8000
    target = Density(potential, -4.0, 4.0, 16001)
    curves, rows = {}, []

    def add(name, x, density, source, bar):
        curves[name] = x
        for what, f in (("E[x^2]", lambda x: x ** 2), ("E[x U'(x)]", lambda x: x * gradient(x))):
            rows.append(Row(f"{name}: {what}", *mean_error(f(x).mean(axis=0)), density.mean(f), source, bar))

    for noisy, test, bar in ((False, True, "z"), (False, False, None), (True, True, "z"), (True, False, "off")):
        name = f"{'naive HMC, noisy gradient' if noisy else 'HMC'}, {'with' if test else 'no'} test"
        x, accepted = hamiltonian(walkers, noisy, test, seed=0)
        add(name, x, target, "quadrature of exp(-U)", bar)
        if test:
            rows.append(Row(f"{name}: accepted", accepted))
    for told, name in ((True, "SGHMC"), (False, "SGHMC, not told of the noise")):
        add(name, sghmc(walkers, told), law(told), "law of the discretised chain", "z")
    curves.popitem()
    return Report("Chen et al. 2014, figure 1: gradient noise", TEXT, rows, lambda figure: draw(figure, target, curves),
                  (7.0, 6.5))


def draw(figure, target, curves) -> None:
    """Densities, from histograms, and how far they are from the target."""
    top, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2, 1]})
    top.plot(target.x, target.p, "k", linewidth=2.5, alpha=0.5, label="exp(-U)")
    edges = np.linspace(-2.4, 2.4, 49)
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    masses = np.diff([target.below(c) for c in edges])
    styles = (("C7", "-"), ("C4", "--"), ("C2", "-"), ("C1", "-"), ("C0", "-"))
    for (name, x), (color, style) in zip(curves.items(), styles):
        density, _ = np.histogram(x.ravel(), edges, density=True)
        top.plot(middle, density, color=color, linestyle=style, linewidth=1.2, label=name)
        below.plot(middle, density - masses / width, color=color, linestyle=style, linewidth=1.2)
    error = np.sqrt(masses / x.size) / width
    below.fill_between(middle, -2 * error, 2 * error, color="0.85", label="two standard errors")
    below.set(xlim=(-2.4, 2.4), ylim=(-0.16, 0.12), xlabel="x", ylabel="less exp(-U)")
    top.set(ylim=(0, None), ylabel="density", title="step .1, gradient noise of variance 4, 50 steps a momentum")
    top.legend(fontsize=8, loc="lower center")
    below.legend(fontsize=8, loc="lower center")
