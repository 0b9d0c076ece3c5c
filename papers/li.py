"""Li et al. 2016 (arXiv 1512.07662): what a symmetric splitting gains over Euler: the order of its error."""
from __future__ import annotations

import numpy as np

from .quadrature import Density
from .report import Report, Row, mean_error
from .walkers import Walkers

A = 1.0     # friction a = h A
EULER, SPLITTING = (0.04, 0.06, 0.09, 0.13, 0.2), (0.12, 0.17, 0.24, 0.34, 0.48)    # h
METHODS = {"Euler": ("euler", 1, EULER), "ABOBA": ("aboba", 2, SPLITTING), "BADODAB": ("badodab", 2, SPLITTING)}
MARGIN = 0.5    # of the slope: it rounds to the order

TEXT = """SGNHT with a thermostat for each walker (default mass, A = 1, no gradient noise) on U = x^2/2 + cos 2x, two
wells, by its three integrators: Euler (Ding et al.), and the symmetric splittings ABOBA (Li et al.; its weight is the
midpoint, where the gradient is taken) and BADODAB (Leimkuhler & Shang), these at larger steps. `Bias` is that of
E[x^2], by quadrature; `slope` that of log |bias| by log h, weighted by the standard errors: 1 for Euler, 2 for a
splitting, and a little more where higher orders are seen, so it must round to that. The sharper statement: in bias =
c_1 h + c_2 h^2 + ... a symmetric splitting has c_1 = 0, held to 5 standard errors, and Euler has not."""


def potential(x):
    """Two wells, with a curvature that is bounded."""
    return x * x / 2 + np.cos(2 * x)


def gradient(F, x):
    """Of the potential."""
    return x - 2 * F.sin(2 * x)


def sample(integrator: str, h: float, walkers: int, time: float, seed: int) -> np.ndarray:
    """The time average of x^2 for each walker."""
    start = np.random.default_rng(seed).choice([-1.0, 1.0], walkers)
    chain = Walkers("sgnht", gradient, start, h * h, seed=seed, friction=A * h, thermostat="element",
                    integrator=integrator)
    chain.run(round(60 / h))
    return chain.averages(round(time / h), {"x2": lambda w: w * w}, max(1, round(0.25 / h)))["x2"]


def slope(h, bias, error) -> tuple:
    """Slope of log |bias| by log h, with its standard error."""
    x, y, weight = np.log(h), np.log(np.abs(bias)), (np.abs(bias) / error) ** 2
    x = x - (weight * x).sum() / weight.sum()
    spread = (weight * x ** 2).sum()
    return (weight * x * y).sum() / spread, spread ** -0.5


def first_order(h, bias, error, powers) -> tuple:
    """Coefficient of h in a weighted fit of these powers of h, with its standard error."""
    columns = h[:, None] ** np.array(powers) / error[:, None]
    inverse = np.linalg.inv(columns.T @ columns)
    return (inverse @ columns.T @ (bias / error))[0], inverse[0, 0] ** 0.5


def run(quick: bool) -> Report:
    """Biases of three integrators at five steps, and their orders."""
    time = 60.0 if quick else 1000.0
    exact = Density(potential, -10.0, 10.0).mean(lambda x: x ** 2)
    rows, curves = [], {}
    for number, (name, (integrator, order, steps)) in enumerate(METHODS.items()):
        walkers = (5000 if quick else 40000) // (4 if name == "Euler" else 1)
        means, errors = np.array([mean_error(sample(integrator, h, walkers, time, 10 * number + k))
                                  for k, h in enumerate(steps)]).T
        curves[name] = steps, np.abs(means - exact), errors
        found = np.array(steps), means - exact, errors
        powers = (1, 2, 3) if order == 1 else (1, 2, 4)     # a symmetric step has even powers only
        bar = "z" if order == 2 else None if quick else "off"
        rows += [Row(f"{name}: slope", *slope(*found), float(order), "theory", MARGIN),
                 Row(f"{name}: c_1", *first_order(*found, powers), 0.0, "symmetry", bar)]
        rows += [Row(f"{name}: bias at h = {h:g}", m - exact, e) for h, m, e in zip(steps, means, errors)]
    return Report("Li et al. 2016: Euler against symmetric splittings", TEXT, rows, lambda figure: draw(figure, curves),
                  (6.5, 4.6))


def draw(figure, curves) -> None:
    """Bias by step."""
    ax = figure.subplots()
    for (name, (h, bias, error)), marker in zip(curves.items(), "so^"):
        ax.errorbar(h, bias, error, marker=marker, markersize=5, capsize=3, linewidth=0, elinewidth=1, label=name)
    for order, name, style in ((1, "Euler", "--"), (2, "ABOBA", ":"), (2, "BADODAB", ":")):
        h, bias, _ = (np.array(x) for x in curves[name])
        middle = len(h) // 2
        ax.plot(h, bias[middle] * (h / h[middle]) ** order, "k", linewidth=0.8, linestyle=style,
                label=None if name == "BADODAB" else f"slope {order}")
    ticks = (0.05, 0.1, 0.2, 0.4)
    ax.set(xscale="log", yscale="log", xlabel="step h (units of time)", ylabel="|bias| of E[x^2]",
           title="U = x^2/2 + cos 2x, no gradient noise")
    ax.set_xticks(ticks)
    ax.set_xticklabels([f"{x:g}" for x in ticks])
    ax.minorticks_off()
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8)
