"""Zhang et al. 2020, section 5.1: 25 Gaussians; a cyclical step visits modes that a decreasing one does not."""
from __future__ import annotations

import numpy as np

from sgmcmc_mx.schedules import CyclicalScheduler, PolynomialScheduler

from .report import Report, Row, mean_error
from .walkers import Walkers

CENTERS, VAR = np.arange(-4.0, 5.0, 2.0), 0.03
STEPS, CYCLES = 50000, 30
NOISE_SD = 1.0                  # of a coordinate of the gradient
LARGEST = {"sgld": 0.043, "csgld": 0.07}    # the authors' step: x - step grad U + N(0, 2 step). eta is twice that
CONSTANT = 500                  # steps before SGLD's step decreases as t^-.55
EXPLORATION = 0.25
FEW = 0.1                       # a mode is covered by a tenth of its share of samples

TEXT = """25 Gaussians of variance .03 on a 5 x 5 grid of spacing 2, equal weights; gradient noise N(0, I); 50,000 steps
from a uniform start in [-10, 10]^2; many chains in one tensor. SGLD: the authors' step .043 for 500 steps, then .043
t^-.55 (`PolynomialScheduler`). cSGLD: 30 cycles from .07 (`CyclicalScheduler`), collecting in the last three quarters
of each; our exploring steps keep their noise. A mode is covered by a tenth of its 1/25 of a chain's samples or more,
within three standard deviations. `Distance` is the total variation between the shares of a chain's samples in the 25
squares and the exact ones by quadrature, 1/25 each: 0 is right, .96 a single mode. The paper has a picture and no
numbers: cSGLD must cover more than twice as many modes as SGLD, by 5 standard errors."""


def gradient(F, x):
    """Of -log density: the mixture is a product of two in one dimension. x of shape (chains, 2)."""
    d = F.stack(*(x - c for c in CENTERS.tolist()), axis=2)
    return F.sum(F.softmax(d * d * (-0.5 / VAR), axis=2) * d, axis=2) / VAR


def shares() -> np.ndarray:
    """Exact mass of each square, by quadrature."""
    x = np.linspace(-8.0, 8.0, 16001)
    p = np.exp(-(x[:, None] - CENTERS) ** 2 / (2 * VAR)).sum(axis=1)
    line = np.bincount(nearest(x), p, len(CENTERS))
    line /= line.sum()
    return np.outer(line, line).ravel()


def nearest(x):
    """Number of the nearest centre, a coordinate at a time."""
    return np.clip(np.rint((x - CENTERS[0]) / 2), 0, 4).astype(int)


class Tally:
    """Where each chain's samples are."""

    def __init__(self, chains: int):
        self.chains, self.samples, self.first = chains, 0, []
        self.near, self.within = np.zeros((chains, 25)), np.zeros((chains, 25))

    def add(self, path: np.ndarray) -> None:
        """Positions of shape (steps, chains, 2)."""
        i = nearest(path)
        mode = (5 * i[..., 0] + i[..., 1]) + 25 * np.arange(self.chains)
        close = ((path - CENTERS[i]) ** 2).sum(axis=-1) < 9 * VAR
        self.near += np.bincount(mode.ravel(), minlength=25 * self.chains).reshape(-1, 25)
        self.within += np.bincount(mode[close], minlength=25 * self.chains).reshape(-1, 25)
        self.samples += len(path)
        self.first.append(path[:, 0])

    def covered(self) -> np.ndarray:
        """Number of modes, for each chain."""
        return (self.within >= FEW * self.samples / 25).sum(axis=1)

    def distance(self) -> np.ndarray:
        """Total variation from the exact shares, for each chain."""
        return np.abs(self.near / self.samples - shares()).sum(axis=1) / 2


def sgld(start: np.ndarray, steps: int) -> Tally:
    """A constant step, then a decreasing one; every position is a sample."""
    tally, eta = Tally(len(start)), 2 * LARGEST["sgld"]
    chain = Walkers("sgld", gradient, start, eta, NOISE_SD, seed=0)
    for path in chain.paths(CONSTANT):
        tally.add(path)
    chain = Walkers("sgld", gradient, chain.positions(), PolynomialScheduler(eta, 1.0, 0.55), NOISE_SD, seed=1)
    for path in chain.paths(steps - CONSTANT):
        tally.add(path)
    return tally


def csgld(start: np.ndarray, steps: int, cycles: int) -> Tally:
    """A cyclical step; positions of the sampling stages are samples."""
    schedule = CyclicalScheduler(2 * LARGEST["csgld"], steps // cycles, exploration=EXPLORATION)
    tally, done = Tally(len(start)), 0
    for path in Walkers("sgld", gradient, start, schedule, NOISE_SD, seed=2).paths(cycles * (steps // cycles)):
        collects = [schedule.collects(done + t + 1) for t in range(len(path))]
        tally.add(path[collects])
        done += len(path)
    return tally


def run(quick: bool) -> Report:
    """Both schedules."""
    chains, steps, cycles = (20, 5000, 3) if quick else (100, STEPS, CYCLES)
    start = np.random.default_rng(0).uniform(-10, 10, (chains, 2))
    tallies = {"SGLD": sgld(start, steps), "cSGLD": csgld(start, steps, cycles)}
    rows = []
    for name, tally in tallies.items():
        rows.append(Row(f"{name}: modes covered by a chain, of 25", *mean_error(tally.covered())))
        rows.append(Row(f"{name}: distance from equal shares", *mean_error(tally.distance())))
    gain = tallies["cSGLD"].covered() - 2.0 * tallies["SGLD"].covered()
    rows.append(Row("cSGLD less twice SGLD: modes", *mean_error(gain), 0.0, "0", "above"))
    return Report("Zhang et al. 2020, section 5.1: 25 Gaussians", TEXT, rows, lambda figure: draw(figure, tallies),
                  (13.0, 4.4))


def draw(figure, tallies) -> None:
    """The target and the samples of one chain each."""
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    edges = np.linspace(-6, 6, 121)
    middle = (edges[1:] + edges[:-1]) / 2
    line = np.exp(-(middle[:, None] - CENTERS) ** 2 / (2 * VAR)).sum(axis=1)
    exact = np.outer(line, line) / (line.sum() * (edges[1] - edges[0])) ** 2
    densities = {"target": exact}
    for name, tally in tallies.items():
        title = f"{name}, one chain: {tally.covered()[0]} modes"
        densities[title] = np.histogram2d(*np.concatenate(tally.first).T, (edges, edges), density=True)[0]
    for ax, (title, p) in zip(axes, densities.items()):
        image = ax.pcolormesh(edges, edges, p.T, cmap="Blues", vmin=0, vmax=2 * exact.max())
        ax.set(title=title, xlabel="x_1", aspect="equal")
    axes[0].set_ylabel("x_2")
    figure.colorbar(image, ax=list(axes), label="density", extend="max")
