"""The table of docs/correlated_noise.md: ``.venv/bin/python tests/helpers/correlated_table.py`` writes it.

Every number is the law of tests/stationarity/laws.py on the example of tests/stationarity/test_correlated_noise.py, to
which chains are held there.
"""
import math
import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stationarity.laws import Linear, ratios
from stationarity.test_correlated_noise import EACH, Correlated

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "correlated_noise.md"
BEGIN, END = "<!-- begin: made by tests/helpers/correlated_table.py -->", "<!-- end -->"
ETA, A = 0.026 / 400, 0.05
FRICTIONS = 0.05, 0.2
SHORTEST, LONGEST = 1e-7, 5e-3      # steps that are tried
CLOSE = 0.1


class Remedies:
    """What each sampler, and each idea, leaves along the flat and the steep direction."""

    def __init__(self):
        p = self.problem = Correlated()
        self.H, self.V = p.H, p.noise(p.covariance)
        self.law = Linear(p.H, self.V)
        self.without = self.V * (p.N - p.batch) / (p.N - 1.0)
        self.epoch = Linear(p.H, self.without)
        self.batches = p.N // p.batch
        self.rows = [
            ("`sgnht`, one thermostat", 1, lambda e, a: self.thermostat(self.law, e, a)),
            ("`sgnht`, by element", 1, lambda e, a: self.thermostat(self.law, e, a, EACH)),
            ("a thermostat that answers to w·∇U", 1, self.configurational),
            ("a thermostat that answers to v² and w·∇U", 1, lambda e, a: self.configurational(e, a, 0.5)),
            ("`sghmc`, nothing taken out", 1, lambda e, a: (a, self.law.sghmc(e, a))),
            ("`sghmc`, the mean V taken out (or an estimate by tensor)", 1,
             lambda e, a: (a, self.law.sghmc(e, a, float(np.trace(self.V)) / 2))),
            ("`sghmc`, estimate by element", 1, lambda e, a: (a, self.law.estimating(e, a))),
            ("`sgld`", 1, lambda e, a: (None, self.law.sgld(e))),
            ("a friction for every direction of V, measured", 1, self.directions),
            ("reshuffled epochs, `sgnht`", 1, lambda e, a: self.swept(e, a, thermostat=True)),
            ("reshuffled epochs, `sghmc`, nothing taken out", 1, self.swept),
            ("symmetric sweeps, `sghmc`, nothing taken out", 1, lambda e, a: self.swept(e, a, symmetric=True)),
            ("batches of 200, `sgnht`", 10, lambda e, a: self.thermostat(Linear(p.H, self.V / 10), e, a)),
            ("`ControlVariates`, `sgnht`", 2,
             lambda e, a: self.thermostat(Linear(p.H, p.controlled(p.covariance)), e, a)),
            ("all data, `sgnht`", 20, lambda e, a: self.thermostat(Linear(p.H, 0 * self.V), e, a)),
        ]

    # Each gives (friction in force, covariance of w).

    @staticmethod
    def thermostat(law, eta, a, groups=None):
        alpha, S = law.sgnht(eta, a, groups)
        return alpha[0], S

    def configurational(self, eta, a, share=1.0):
        """The friction at which w'Hw / d = T, or its mean with v^2 / (eta d)."""
        def excess(alpha):
            X = self.law.at_friction(eta, a, alpha, 0.0)
            return share * np.trace(self.H @ X[:2, :2]) / 2 + (1 - share) * np.trace(X[2:, 2:]) / (2 * eta) - 1.0

        alpha = _root(excess, 0.5 * a, 0.95)
        return alpha, self.law.at_friction(eta, a, alpha, 0.0)[:2, :2]

    def directions(self, eta, a):
        """(a + eta V / (2 T)) as a matrix in place of the friction: to be known, and multiplied at every step."""
        eye, friction = np.eye(2), a * np.eye(2) + eta * self.V / 2
        M = np.block([[eye - eta * self.H, eye - friction], [-eta * self.H, eye - friction]])
        J = np.vstack([eye, eye])
        if np.abs(np.linalg.eigvals(M)).max() >= 1:
            raise ArithmeticError
        S = Linear.lyapunov(M, J @ (2 * a * eta * eye + eta ** 2 * self.V) @ J.T)[:2, :2]
        u = self.problem.U[:, 0]
        return u @ friction @ u, S

    def swept(self, eta, a, thermostat=False, symmetric=False):
        def at(alpha):
            return self.epoch.epochs(eta, a, alpha, self.batches, symmetric)

        alpha = a
        if thermostat:
            alpha = _root(lambda alpha: np.trace(at(alpha)[2:, 2:]) / (2 * eta) - 1.0, 0.5 * a, 0.95)
        return alpha, at(alpha)[:2, :2]

    def best(self, cost, of, frictions):
        """The fewest passes over the data in which the flat direction forgets, and the step, within 10 % everywhere."""
        best = math.inf, None
        for a in frictions:
            low, high = SHORTEST, None      # the error grows with the step
            if not self.is_close(of, low, a):
                continue
            while high is None or high > 1.01 * low:
                eta = 2.0 * low if high is None else math.sqrt(low * high)
                if eta < LONGEST and self.is_close(of, eta, a):
                    low = eta
                else:
                    high = eta
            steps = relaxation(self.H, low, of(low, a)[0])
            best = min(best, (cost * steps / self.batches, (low * self.problem.N, a)))
        return best

    def is_close(self, of, eta, a):
        try:
            r = ratios(of(eta, a)[1], self.H)
        except ArithmeticError:
            return False
        return bool(np.isfinite(r).all() and np.abs(r - 1.0).max() <= CLOSE)

    def table(self):
        lines = ["| | flat | steep | passes over the data | at learning rate, friction |", "|---|---|---|---|---|"]
        for name, cost, of in self.rows:
            try:
                flat, steep = ratios(of(ETA, A)[1], self.H)
                here = f"{flat:.2f} | {steep:.2f}"
            except ArithmeticError:
                here = "no law | no law"
            passes, settings = self.best(cost, of, [0.0] if name == "`sgld`" else FRICTIONS)
            there = "never | " if settings is None else (
                f"{passes:,.0f} | {settings[0]:.2g}" + ("" if name == "`sgld`" else f", {settings[1]:g}"))
            lines.append(f"| {name} | {here} | {there} |")
        return "\n".join(lines)


def relaxation(H, eta, alpha):
    """Steps in which the slowest deviation falls to 1/e; without friction, SGLD's."""
    eye = np.eye(len(H))
    M = eye - eta / 2 * H if alpha is None else np.block(
        [[eye - eta * H, (1 - alpha) * eye], [-eta * H, (1 - alpha) * eye]])
    largest = np.abs(np.linalg.eigvals(M)).max()
    return -1.0 / math.log(largest) if largest < 1.0 else math.inf


def _root(f, low, high):
    from scipy.optimize import brentq

    grid = np.geomspace(low, high, 12)
    values = [_or_hot(f, x) for x in grid]
    for left, right, a, b in zip(grid, grid[1:], values, values[1:]):
        if a > 0 >= b:
            return brentq(lambda x: _or_hot(f, x), left, right, xtol=1e-10)
    raise ArithmeticError("no fixed point")


def _or_hot(f, x):
    try:
        return f(x)
    except ArithmeticError:
        return 1e9


def written(text, table):
    """The document with this table in it."""
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), Remedies().table()), encoding="utf-8")
