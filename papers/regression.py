"""Bayesian linear regression from minibatches: every sampler against the conjugate posterior."""
from __future__ import annotations

from typing import Callable, NamedTuple, Optional

import numpy as np
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg

from .report import Report, Row, mean_error

N, BATCH = 1000, 32
SCALES = np.array([1.0, 0.5, 2.0, 1.0, 1.0])
D = len(SCALES)
SHOWN = (0, 1, 2)       # one weight of each scale

TEXT = """y = x'w + noise of sd 1; N = 1000, 5 standard normal inputs scaled by (1, .5, 2, 1, 1), w ~ N(0, I); batches
of 32 drawn with replacement, by every walker for itself. The wider the input, the noisier the gradient of its weight,
and no sampler is told how noisy. The numbers are marginal standard deviations over those of the conjugate posterior.

The exact values of SGLD, of SGHMC and of one thermostat for all weights include step and minibatches: second moments
of the linear chain, with the noise that the data have. They show the bias that is to be expected: fixed friction runs
hot, by as much as a gradient is noisy, and one thermostat for all balances the heat on average only, leaving some
weights too hot and others too cold. Held to 1 within .05, for the error of the step: SGHMC that estimates the noise, a
thermostat for each weight, and two with control variates (CV: `sg.ControlVariates` at the posterior's mean), which take
the noise away."""


class Problem:
    """The data, the conjugate posterior, and the exact second moments of linear chains."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((N, D)) * SCALES
        self.y = self.X @ rng.standard_normal(D) + rng.standard_normal(N)
        self.H = self.X.T @ self.X + np.eye(D)
        self.covariance = np.linalg.inv(self.H)
        self.mean = self.covariance @ self.X.T @ self.y
        self.sd = np.sqrt(np.diag(self.covariance))

    def noise(self, S: np.ndarray) -> np.ndarray:
        """Covariance of a minibatch's grad U, averaged over weights of covariance S about the mean."""
        squares = (self.X @ self.mean - self.y) ** 2 + np.einsum("ni,ij,nj->n", self.X, S, self.X)
        one = (self.X * squares[:, None]).T @ self.X / N
        A, g = self.X.T @ self.X / N, self.X.T @ (self.X @ self.mean - self.y) / N
        return N ** 2 / BATCH * (one - A @ S @ A - np.outer(g, g))

    def stationary(self, M: np.ndarray, into: np.ndarray, added: Callable) -> np.ndarray:
        """Covariance of a chain z <- M z + into e, e of covariance ``added(noise)``."""
        S, d = self.covariance, len(M)
        for _ in range(50):     # the noise depends on S only a little
            Q = into @ added(self.noise(S)) @ into.T
            full = np.linalg.solve(np.eye(d * d) - np.kron(M, M), Q.ravel()).reshape(d, d)
            before, S = S, full[:D, :D]
            if np.abs(S - before).max() < 1e-10 * np.abs(S).max():
                break
        return full

    def sgld(self, eta: float) -> np.ndarray:
        """Standard deviations under SGLD, over the posterior's."""
        eye = np.eye(D)
        S = self.stationary(eye - eta / 2 * self.H, eye, lambda C: eta * eye + eta ** 2 / 4 * C)
        return np.sqrt(np.diag(S)) / self.sd

    def momentum(self, eta: float, a: float, alpha: float) -> tuple:
        """The same under friction ``alpha`` and injected noise 2 a eta, and the kinetic temperature."""
        eye = np.eye(D)
        M = np.block([[eye - eta * self.H, (1 - alpha) * eye], [-eta * self.H, (1 - alpha) * eye]])
        full = self.stationary(M, np.vstack([eye, eye]), lambda C: 2 * a * eta * eye + eta ** 2 * C)
        return np.sqrt(np.diag(full)[:D]) / self.sd, np.trace(full[D:, D:]) / D / eta

    def thermostat(self, eta: float, a: float) -> np.ndarray:
        """The same under one thermostat, at the friction that makes the kinetic temperature 1."""
        low, high = a, 0.9
        for _ in range(60):
            alpha = (low + high) / 2
            low, high = (alpha, high) if self.momentum(eta, a, alpha)[1] > 1 else (low, alpha)
        return self.momentum(eta, a, alpha)[0]


class Rows(gluon.HybridBlock):
    """A row of weights for each walker, which has inputs of its own: (batch, walkers, D) -> (batch, walkers)."""

    def __init__(self, start: np.ndarray):
        super().__init__()
        self.w = self.params.get("w", shape=start.shape)
        self.initialize()
        self.w.set_data(nd.array(start))
        self.hybridize(static_alloc=True)

    def hybrid_forward(self, F, x, w):
        return F.sum(F.broadcast_mul(x, F.expand_dims(w, axis=0)), axis=2)


def sample(problem: Problem, sampler: str, learning_rate: float, walkers: int, warm: int, steps: int,
           control_variates: bool = False, every: int = 10, **options) -> np.ndarray:
    """Each walker's mean squared deviation over the posterior's variance, shape (walkers, D)."""
    rng = np.random.default_rng(1)
    X, y = nd.array(problem.X), nd.array(problem.y)
    start = problem.mean if control_variates else rng.multivariate_normal(problem.mean, problem.covariance, walkers)
    net, loss_fn = Rows(np.broadcast_to(start, (walkers, D))), sg.likelihoods.Gaussian(sigma=1.0)
    if control_variates:        # the centre is where the network's weights are now
        data = nd.broadcast_axis(X.expand_dims(1), 1, walkers), nd.broadcast_axis(y.expand_dims(1), 1, walkers)
        backward = sg.ControlVariates(net, loss_fn, data).backward
    else:
        def backward(x, y):
            with autograd.record():
                loss = loss_fn(net(x), y)
            loss.backward()

    trainer = gluon.Trainer(net.collect_params(), sampler, {"learning_rate": learning_rate, "num_data": N, "wd": 1.0,
                                                            "seed": 0, **options}, kvstore=None)
    total, kept = 0.0, 0
    for step in range(warm + steps):
        chosen = nd.array(rng.integers(0, N, (BATCH, walkers)))
        backward(nd.take(X, chosen), nd.take(y, chosen))
        trainer.step(BATCH)
        if step >= warm and step % every == 0:
            total, kept = total + ((net.w.data().asnumpy() - problem.mean) / problem.sd) ** 2, kept + 1
    return total / kept


class Run(NamedTuple):
    """One sampler."""

    name: str
    sampler: str
    learning_rate: float
    options: dict
    exact: Optional[np.ndarray]     # of the discretised chain, or None: held to a margin of 1


def runs(problem: Problem) -> list:
    """All samplers."""
    eta, a = 0.001 / N, 0.05
    return [
        Run("SGLD", "sgld", 0.003, {}, problem.sgld(0.003 / N)),
        Run("SGHMC", "sghmc", 0.001, {"friction": a}, problem.momentum(eta, a, a)[0]),
        Run("SGHMC, noise estimated", "sghmc", 0.001, {"friction": 0.1, "gradient_noise": "estimate"}, None),
        Run("SGNHT, one for all", "sgnht", 0.001, {"friction": 0.01}, problem.thermostat(eta, 0.01)),
        Run("SGNHT, one a weight", "sgnht", 0.001, {"friction": a, "thermostat": "element"}, None),
        Run("SGHMC, CV", "sghmc", 0.003, {"friction": a, "control_variates": True}, None),
        Run("SGNHT, one for all, CV", "sgnht", 0.003, {"friction": a, "control_variates": True}, None),
    ]


def run(quick: bool) -> Report:
    """Sample by all of them."""
    problem = Problem()
    walkers, warm, steps = (40, 300, 500) if quick else (100, 4000, 20000)
    rows, found = [], {}
    for r in runs(problem):
        squares = sample(problem, r.sampler, r.learning_rate, walkers, warm, steps, **r.options)
        means, errors = np.array([mean_error(squares[:, i]) for i in range(D)]).T
        found[r.name] = ratio, error = np.sqrt(means), errors / (2 * np.sqrt(means))
        for i in SHOWN:
            exact = 1.0 if r.exact is None else r.exact[i]
            rows.append(Row(f"{r.name}: input of sd {SCALES[i]:g}", ratio[i], error[i], exact,
                            "conjugate" if r.exact is None else "second moments of the chain",
                            0.05 if r.exact is None else "z"))
    return Report("Bayesian linear regression: gradient noise that differs between weights", TEXT, rows,
                  lambda figure: draw(figure, found), (8.5, 4.4))


def draw(figure, found) -> None:
    """Standard deviations of all five weights, by sampler."""
    ax = figure.subplots()
    colors = {0.5: "C2", 1.0: "C0", 2.0: "C3"}
    for row, (ratio, error) in enumerate(found.values()):
        for place, i in enumerate(np.argsort(SCALES)):
            label = f"input of sd {SCALES[i]:g}" if row == 0 and i in SHOWN else None
            ax.errorbar(ratio[i], row + 0.12 * (place - 2), xerr=2 * error[i], color=colors[SCALES[i]], marker="o",
                        markersize=4, capsize=2, label=label)
    ax.axvline(1.0, color="k", linewidth=1)
    ax.set(xlabel="marginal sd over that of the posterior (bars: two standard errors)",
           yticks=range(len(found)), ylim=(len(found) - 0.5, -0.5))
    ax.set_yticklabels(found)
    ax.grid(axis="x", alpha=0.25)
    ax.legend(fontsize=8)
