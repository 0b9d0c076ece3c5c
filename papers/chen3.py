"""Chen, Fox & Guestrin 2014, figure 3: a correlated Gaussian by SGLD and SGHMC, error against autocorrelation time."""
from __future__ import annotations

import numpy as np

from .report import Report, Row, mean_error
from .walkers import Walkers

RHO = 0.9
SIGMA = np.array([[1.0, RHO], [RHO, 1.0]])
K = np.array([1 / (1 + RHO), 1 / (1 - RHO)])    # precisions along (1, 1) and (1, -1)
V = 1.0                                         # variance of the gradient's noise
SGLD_STEPS = (0.02, 0.04, 0.08, 0.14, 0.2)      # eta
SGHMC_STEPS = (0.05, 0.08, 0.12, 0.18, 0.25)    # h; eta = h^2
C = 1.5                                         # friction: a = h C

CLOSED = "closed form at this step"

TEXT = """U = x' S^-1 x / 2 with unit variances and correlation .9; gradient noise N(0, I); five steps each, ten million
samples a step (500 walkers). SGHMC has friction a = 1.5 h and is told of the noise (gradient_noise = 1). Here a step is
linear, so the exact values are closed forms of the discretised chain: the covariance, and the autocorrelation time of
x_1, 1 + 2 (sum of its autocorrelations), in steps. It is measured as n Var(mean over n steps) / Var(x_1) between
walkers. `Error` is the mean absolute error of the four covariances against S, beside what the step alone causes."""


def linear(sampler: str, eta: float):
    """For each direction the transition of its state and what one step's noise adds to the state's covariance."""
    for k in K:
        if sampler == "sgld":
            yield np.array([[1 - eta * k / 2]]), np.array([[eta + eta ** 2 * V / 4]])
        else:
            a = C * eta ** 0.5
            M = np.array([[1 - eta * k, 1 - a], [-eta * k, 1 - a]])
            yield M, np.full((2, 2), 2 * a * eta)       # what is told is taken out: 2 (a - b) eta + eta^2 V


def closed_form(sampler: str, eta: float, n: int):
    """Variances along (1, 1) and (1, -1); autocorrelation time of x_1, and its n Var(mean over n steps) / Var."""
    variances, whole, part = [], [], []
    for M, Q in linear(sampler, eta):
        d = len(M)
        S = np.linalg.solve(np.eye(d * d) - np.kron(M, M), Q.ravel()).reshape(d, d)
        R = np.linalg.inv(np.eye(d) - M)
        total = 2 * (R @ S)[0, 0] - S[0, 0]                     # sum of all autocovariances
        late = 2 * (M @ R @ R @ S)[0, 0]                        # sum of lag times autocovariance, both sides
        variances.append(S[0, 0])
        whole.append(total)
        part.append(total - late / n)
    var = np.mean(variances)
    return variances, np.mean(whole) / var, np.mean(part) / var


def gradient(F, x):
    """S^-1 x, for x of shape (walkers, 2)."""
    return (x - RHO * F.flip(x, axis=1)) / (1 - RHO ** 2)


def sample(sampler: str, eta: float, walkers: int, steps: int, warm: int, seed: int):
    """Per walker: means of x_1^2, x_1 x_2, x_2^2 and of x_1 over the run, and the first positions of one walker."""
    start = np.random.default_rng(seed).multivariate_normal([0.0, 0.0], SIGMA, walkers)
    options = {} if sampler == "sgld" else {"friction": C * eta ** 0.5, "gradient_noise": V}
    chain = Walkers(sampler, gradient, start, eta, noise_sd=V ** 0.5, seed=seed, **options)
    chain.run(warm)
    sums, first = np.zeros((walkers, 4)), None
    for path in chain.paths(steps):
        first = path[:50, 0] if first is None else first
        x, y = path[..., 0], path[..., 1]
        sums += np.stack([(x * x).sum(0), (x * y).sum(0), (y * y).sum(0), x.sum(0)], axis=1)
    return sums / steps, first


def run(quick: bool) -> Report:
    """Sample at every step, and compare with the closed forms."""
    walkers, steps = (100, 1500) if quick else (500, 20000)
    rows, points, paths = [], {"sgld": [], "sghmc": []}, {}
    plan = [("sgld", eta, f"SGLD, eta = {eta:g}") for eta in SGLD_STEPS]
    plan += [("sghmc", h * h, f"SGHMC, h = {h:g}") for h in SGHMC_STEPS]
    for seed, (sampler, eta, name) in enumerate(plan[1::2] if quick else plan):
        (along, across), time, ratio = closed_form(sampler, eta, steps)
        sums, paths[sampler] = sample(sampler, eta, walkers, steps, round(5 * time), seed)
        xx, xy, yy, mean = sums.T
        error = np.abs([[xx.mean() - 1, xy.mean() - RHO], [xy.mean() - RHO, yy.mean() - 1]]).mean()
        bias = (abs((along + across) / 2 - 1) + abs((along - across) / 2 - RHO)) / 2
        measured = mean_error(steps * mean ** 2 / ((along + across) / 2) * time / ratio)
        rows += [Row(f"{name}: variance along (1, 1)", *mean_error((xx + yy) / 2 + xy), along, CLOSED, "z"),
                 Row(f"{name}: variance along (1, -1)", *mean_error((xx + yy) / 2 - xy), across, CLOSED, "z"),
                 Row(f"{name}: autocorrelation time", *measured, time, CLOSED, "z"),
                 Row(f"{name}: error", error, None, bias, "the step's part")]
        points[sampler].append((time, error, bias))
    return Report("Chen et al. 2014, figure 3: correlated Gaussian", TEXT, rows,
                  lambda figure: draw(figure, points, paths), (11.0, 4.6))


def draw(figure, points, paths) -> None:
    """Left: error against autocorrelation time. Right: the first steps of one walker at the largest step."""
    left, right = figure.subplots(1, 2)
    for sampler, color, marker in (("sgld", "C1", "s"), ("sghmc", "C0", "o")):
        time, error, bias = np.array(sorted(points[sampler])).T
        left.plot(time, error, color=color, marker=marker, linewidth=0, label=f"{sampler.upper()}, measured")
        left.plot(time, bias, color=color, linewidth=1, label=f"{sampler.upper()}, the step's part (closed form)")
        right.plot(*paths[sampler].T, color=color, marker=marker, markersize=3, linewidth=0.7, label=sampler.upper())
    left.set(xscale="log", yscale="log", xlabel="autocorrelation time of x_1 (steps)",
             ylabel="mean absolute error of the covariance", title="ten million steps, five step sizes each")
    ticks = (20, 50, 100, 200, 400)
    left.set_xticks(ticks)
    left.set_xticklabels([str(t) for t in ticks])
    left.minorticks_off()
    left.grid(alpha=0.25)
    left.legend(fontsize=8)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.linalg.cholesky(SIGMA) @ np.array([np.cos(angle), np.sin(angle)])
    for r, label in ((1.0, "1 and 2 standard deviations"), (2.0, None)):
        right.plot(*(r * circle), "k", linewidth=0.8, alpha=0.5, label=label)
    right.set(aspect="equal", xlabel="x_1", ylabel="x_2", title="50 steps, each sampler at its largest step")
    right.legend(fontsize=8, loc="upper left")
