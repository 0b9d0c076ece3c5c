"""Welling & Teh 2011, section 5.1 (figures 1 and 2): a posterior with two modes, from single examples."""
from __future__ import annotations

import mxnet as mx
import numpy as np
from mxnet import nd

from sgmcmc_mx.schedules import PolynomialScheduler

from .report import Report, Row, mean_error
from .walkers import Compiled

N, FIRST, LAST, GAMMA = 100, 0.01, 0.0001, 0.55
VAR1, VAR2, VARX = 10.0, 1.0, 2.0
EVERY = 10      # steps between positions that are looked at
SMALL = 0.0003  # steps below this are used to extrapolate
ORDER = 1       # by a polynomial of this degree

TEXT = """theta_1 ~ N(0, 10), theta_2 ~ N(0, 1), x ~ N(theta_1, 2)/2 + N(theta_1 + theta_2, 2)/2; 100 points drawn at
theta = (0, 1), one a step, 10,000 sweeps, eps from .01 to .0001 by (b + t)^-.55 (`PolynomialScheduler.between`; the
learning_rate is N eps, the priors are `wd` times a multiplier). Many walkers in one tensor, each with its own examples.

What is exact: as eps -> 0 the posterior, by quadrature for these 100 points. The paper's estimate, an average weighted
by eps over the whole run, is not: an example a step heats by about eps V / 4, V = N^2 Var(gradient of one example),
some 5,000; so the first steps are at 13 times the temperature and the last still at 1.1. Rows `weighted` show what is
left of that in the average, held to a margin only. Rows `eps -> 0` come from the same run: averages over stretches of
time below eps = .0003, extrapolated to 0 by a straight line, walker by walker; they are held to 5 standard errors."""


def draw_data() -> np.ndarray:
    """The 100 points: seed 3 is the first whose posterior has two modes far apart, as that of the paper has."""
    rng = np.random.default_rng(3)
    return rng.normal(rng.integers(0, 2, N) * 1.0, VARX ** 0.5)


class Posterior:
    """On a grid."""

    def __init__(self, x: np.ndarray):
        self.t1, self.t2 = np.linspace(-2.0, 3.0, 401), np.linspace(-4.0, 4.0, 641)
        a, b = self.t1[:, None], self.t2[None, :]
        U = a ** 2 / (2 * VAR1) + b ** 2 / (2 * VAR2)
        for x_i in x:
            U = U - np.logaddexp(-(x_i - a) ** 2 / (2 * VARX), -(x_i - a - b) ** 2 / (2 * VARX))
        self.p = np.exp(U.min() - U)
        self.p /= self.p.sum() * (self.t1[1] - self.t1[0]) * (self.t2[1] - self.t2[0])

    def mean(self, f) -> float:
        """Expectation of f(theta_1, theta_2)."""
        return float((f(self.t1[:, None], self.t2[None, :]) * self.p).sum() / self.p.sum())


QUANTITIES = {
    "mean of theta_1": lambda a, b: a + 0 * b,
    "mean of theta_2": lambda a, b: b + 0 * a,
    "mean of theta_1^2": lambda a, b: a * a + 0 * b,
    "mean of theta_2^2": lambda a, b: b * b + 0 * a,
    "mass of the mode at theta_2 > 0": lambda a, b: 0.5 + 0.5 * np.sign(b) + 0 * a,
}
SHOWN = 3       # the one in the picture
MARGINS = (0.05, 0.1, 0.1, 0.2, 0.05)


def gradients(F, theta1, theta2, x):
    """Of -log p(x | theta) of one example a walker."""
    e = theta1 - x
    s = e + theta2
    r = F.sigmoid(-0.5 / VARX * (theta2 * (e + s)))        # of the second component
    second = r * s
    return (e + r * theta2) / VARX, second / VARX


def sample(x: np.ndarray, walkers: int, steps: int, block: int):
    """Yields, a block of steps at a time, eps and positions (kept steps, 2, walkers) every so many steps."""
    rng = np.random.default_rng(1)
    schedule = PolynomialScheduler.between(N * FIRST, N * LAST, steps, GAMMA)
    sgld = mx.optimizer.create("sgld", num_data=N, wd=1.0, lr_scheduler=schedule, seed=0)
    sgld.set_wd_mult({0: 1 / VAR1, 1: 1 / VAR2})
    update, gradient = mx.optimizer.get_updater(sgld), Compiled(gradients)
    theta = [nd.array(rng.normal(0, sd, walkers)) for sd in (VAR1 ** 0.5, VAR2 ** 0.5)]
    for _ in range(steps // block):
        chosen = nd.array(x[rng.integers(0, N, (block, walkers))])
        kept, eps = [], []
        for t in range(block):
            update([0, 1], gradient(*theta, chosen[t]), theta)
            if (t + 1) % EVERY == 0:
                kept.append(nd.stack(*theta))
                eps.append(sgld.learning_rate / N)
        yield np.array(eps), nd.stack(*kept).asnumpy().astype(np.float64)


def extrapolated(stretches) -> np.ndarray:
    """Each walker's values at eps = 0, shape (quantities, walkers): a polynomial through stretches of small steps."""
    eps = np.array([e for e, _ in stretches])
    small = eps < SMALL
    powers = (eps[small, None] / SMALL) ** np.arange(ORDER + 1)
    weighed = powers * eps[small, None]      # a stretch counts by its time
    at_zero = np.linalg.solve(weighed.T @ powers, weighed.T)[0]
    return np.tensordot(at_zero, np.array([values for _, values in stretches])[small], 1)


def run(quick: bool) -> Report:
    """The paper's run, many times at once, and the posterior by quadrature."""
    walkers, steps, block = (200, 30000, 1000) if quick else (1000, 10000 * N, 10000)
    x = draw_data()
    exact = Posterior(x)
    edges = np.linspace(-1.5, 2.5, 81), np.linspace(-3.0, 3.0, 121)
    sums, time, counts, stretches = 0.0, 0.0, 0.0, []
    for eps, theta in sample(x, walkers, steps, block):
        values = np.array([f(theta[:, 0], theta[:, 1]) for f in QUANTITIES.values()])
        sums, time = sums + np.einsum("k,qkw->qw", eps, values), time + eps.sum()
        stretches.append((eps.mean(), values.mean(axis=1)))
        counts = counts + np.histogram2d(theta[:, 0].ravel(), theta[:, 1].ravel(), edges,
                                         weights=np.repeat(eps, walkers))[0]
    rows = []
    for kind, found in (("weighted", sums / time), ("eps -> 0", extrapolated(stretches))):
        for (name, f), values, margin in zip(QUANTITIES.items(), found, MARGINS):
            rows.append(Row(f"{name}, {kind}", *mean_error(values), exact.mean(f), "quadrature",
                            margin if kind == "weighted" else "z"))
    curve = [(eps, values.mean(axis=1)) for eps, values in stretches]
    return Report("Welling & Teh 2011, figures 1 and 2: two modes", TEXT, rows,
                  lambda figure: draw(figure, exact, counts / counts.sum(), edges, curve, rows), (11.5, 4.4))


def draw(figure, exact, share, edges, curve, rows) -> None:
    """Posterior, what was sampled, and how a mean depends on the step."""
    true, sampled, bias = figure.subplots(1, 3)
    levels = exact.p.max() * np.array([0.02, 0.1, 0.3, 0.6, 0.9])
    area = (edges[0][1] - edges[0][0]) * (edges[1][1] - edges[1][0])
    true.pcolormesh(exact.t1, exact.t2, exact.p.T, shading="auto", cmap="Blues", vmin=0, vmax=exact.p.max())
    image = sampled.pcolormesh(*edges, share.T / area, cmap="Blues", vmin=0, vmax=exact.p.max())
    figure.colorbar(image, ax=sampled, label="density")
    for ax, title in ((true, "posterior, by quadrature"), (sampled, "sampled, weighted by the step")):
        ax.contour(exact.t1, exact.t2, exact.p.T, levels=levels, colors="k", linewidths=0.6)
        ax.set(xlim=(edges[0][0], edges[0][-1]), ylim=(edges[1][0], edges[1][-1]), xlabel="theta_1", ylabel="theta_2",
               title=title)
    eps, values = np.array([e for e, _ in curve]), np.array([v for _, v in curve])[:, SHOWN]
    bias.plot(eps, values, ".", color="C0", markersize=4, label="stretches of the run")
    at_zero = rows[SHOWN + len(QUANTITIES)]
    bias.errorbar([0.6 * eps.min()], [at_zero.value], [at_zero.error], color="C1", marker="s", markersize=4, capsize=3,
                  label="extrapolated to eps = 0")
    bias.axhline(at_zero.exact, color="k", linewidth=1, label="posterior")
    bias.set(xscale="log", xlabel="step eps", ylabel="mean of theta_2^2")
    bias.grid(alpha=0.25)
    bias.legend(fontsize=8)
