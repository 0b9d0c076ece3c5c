"""Exact numbers: integrals over a density exp(-U), and the law of the discretised SGHMC in one dimension."""
from __future__ import annotations

import math
from typing import Callable, NamedTuple, Optional

import numpy as np

__all__ = ["Density", "SGHMC", "sghmc_law", "thermostat_law"]


class Density:
    """exp(-U) on an even grid, normalised. Sums are exact to rounding where it is smooth and vanishes at both ends."""

    def __init__(self, potential: Callable, low: float, high: float, points: int = 20001):
        self.x = np.linspace(low, high, points)
        U = potential(self.x)
        self.p = np.exp(U.min() - U)
        self.p /= self.p.sum() * (self.x[1] - self.x[0])

    @classmethod
    def of(cls, x: np.ndarray, mass: np.ndarray) -> Density:
        """From masses on a grid."""
        density = cls.__new__(cls)
        density.x, density.p = x, mass / ((x[1] - x[0]) * mass.sum())
        return density

    def mean(self, f: Callable) -> float:
        """Expectation of f."""
        return float((f(self.x) * self.p).sum() / self.p.sum())

    def below(self, c: float) -> float:
        """Mass left of c."""
        steps = 0.5 * (self.p[1:] + self.p[:-1]) * (self.x[1] - self.x[0])
        total = np.concatenate([[0.0], np.cumsum(steps)])
        return float(np.interp(c, self.x, total) / total[-1])


class SGHMC(NamedTuple):
    """SGHMC in one dimension. ``variance`` holds all that is random in a step, the gradient's noise too. ::

        v <- (1 - friction) v - eta gradient(w) + sqrt(variance) n,      w <- w + v

    With ``resample`` the momentum is drawn from N(0, eta) every so many steps.
    """

    gradient: Callable
    eta: float
    friction: float
    variance: float
    resample: Optional[int] = None


def sghmc_law(chain: SGHMC, low: float, high: float, steps: int = 50000, tolerance: float = 1e-9) -> tuple:
    """The stationary law of w (with ``resample``: just before) and E[v^2], by iterating the transition on a grid.

    w and v have grids of the same spacing, two thirds of the noise, so w + v lies on the grid and the sum over n is
    exact to rounding.
    """
    gradient, eta, friction, variance, resample = chain
    delta = math.sqrt(variance) / 1.5
    w = delta * np.arange(math.floor(low / delta), math.ceil(high / delta) + 1)
    reach = math.ceil(7.0 * math.sqrt(max(eta, variance / (2 * friction))) / delta)
    v = delta * np.arange(-reach, reach + 1)
    centre = (1.0 - friction) * v[None, None, :] - eta * gradient(w)[:, None, None]
    kernel = np.exp(-(v[None, :, None] - centre) ** 2 / (2 * variance)) * delta / math.sqrt(2 * math.pi * variance)
    fresh = np.exp(-v ** 2 / (2 * eta))
    fresh /= fresh.sum()
    p = np.full((len(w), 1), 1.0 / len(w)) * fresh
    before = p.sum(axis=1)
    check = resample or 100
    for step in range(1, steps + 1):
        p = _moved(np.matmul(kernel, p[:, :, None])[:, :, 0], reach)
        if step % check == 0:
            p /= p.sum()
            law = p.sum(axis=1)
            if np.abs(law - before).sum() < tolerance:
                return Density.of(w, law), float((p.sum(axis=0) * v ** 2).sum())
            before = law
            p = law[:, None] * fresh if resample else p
    raise ArithmeticError(f"the law still changed by {np.abs(law - before).sum():.1e} in its last {check} steps")


def _moved(p: np.ndarray, reach: int) -> np.ndarray:
    """w + v: the column of each v, shifted by v."""
    out = np.zeros_like(p)
    for j in range(-reach, reach + 1):
        source = p[:, j + reach]
        if j >= 0:
            out[j:, j + reach] = source[:len(source) - j]
        else:
            out[:j, j + reach] = source[-j:]
    return out


def thermostat_law(chain: SGHMC, low: float, high: float) -> tuple:
    """The law of w under SGNHT with one thermostat for infinitely many walkers, and its alpha.

    Such a thermostat does not fluctuate: it is the friction at which E[v^2] = eta (T = 1). Secant steps in
    log E[v^2] from ``chain.friction``.
    """
    points = []
    alpha = chain.friction
    for _ in range(30):
        law, kinetic = sghmc_law(chain._replace(friction=alpha), low, high)
        points.append((math.log(alpha), math.log(kinetic / chain.eta)))
        if abs(points[-1][1]) < 1e-6:
            return law, alpha
        (x0, y0), (x1, y1) = points[-2] if len(points) > 1 else (points[0][0] - 1.0, points[0][1] + 1.0), points[-1]
        alpha = math.exp(x1 - y1 * (x1 - x0) / (y1 - y0))
    raise ArithmeticError(f"no friction found that makes E[v^2] = eta; the last try was {alpha:g}")
