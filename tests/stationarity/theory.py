"""Exact answers for the DISCRETISED samplers on U(w) = k w^2 / 2, and an independent simulation where there is none.

eta is the step size learning_rate / N, a the friction per step, V the variance of the noise in a coordinate of
grad U, q the variance of all that is random in one step's momentum.

On a Gaussian target a step without a thermostat is linear, so the second moments S = E[w^2], C = E[w v] and
P = E[v^2] (v the momentum that has just moved w) follow a linear recursion that is exact at every step, in
equilibrium or not. A thermostat shared by infinitely many weights is a number, which turns the recursion into an
exact "mean field" too; of finitely many, its fluctuations follow from the same recursion linearised. One weight
with a thermostat of its own has no closed form: there a plain NumPy simulation with its own random numbers serves.
"""
import math

import numpy as np

__all__ = ["sgld_variance", "sghmc_variance", "kinetic", "thermostat_mean", "shared_thermostat_mean", "root",
           "thermostat_spread", "second_moments", "Moments", "simulate_sgnht", "stationary_covariance", "splitting",
           "splitting_thermostat"]


def root(f, low, high):
    """Where f changes its sign, by halving. (The file needs NumPy alone: scripts/gpu_check reads it, too.)"""
    below = f(low) < 0
    if (f(high) < 0) == below:
        raise ValueError(f"f({low}) = {f(low)} and f({high}) = {f(high)} have the same sign; there may be no root")
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        low, high = (middle, high) if (f(middle) < 0) == below else (low, middle)


def sgld_variance(eta, T=1.0, V=0.0, k=1.0):
    """w' = (1 - eta k/2) w + sqrt(eta T) n + (eta/2) sqrt(V) n'."""
    return (eta * T + eta ** 2 * V / 4) / (eta * k * (1 - eta * k / 4))


def sghmc_variance(eta, a, T=1.0, V=0.0, b=0.0, k=1.0):
    q = 2 * (a - b) * eta * T + eta ** 2 * V
    return second_moments(a, eta, q, k)[0]


def kinetic(eta, a, T=1.0, V=0.0, b=0.0, k=1.0):
    """E[v^2] / eta."""
    q = 2 * (a - b) * eta * T + eta ** 2 * V
    return second_moments(a, eta, q, k)[2] / eta


def second_moments(alpha, eta, q, k=1.0):
    """Stationary (S, C, P) at constant friction alpha.

    From E[w'^2] = E[w^2] follows E[w v'] = -P/2, hence C = P/2; then E[w v'] = (1 - alpha) C - eta k S gives
    eta k S = (1 - alpha/2) P, and E[v'^2] = P the value of P.
    """
    P = q / (alpha * (2 - alpha - eta * k / 2))
    return (1 - alpha / 2) * P / (eta * k), P / 2, P


def thermostat_mean(eta, a, T=1.0, V=0.0, k=1.0):
    """The alpha at which P = eta T: the smaller root of alpha^2 - (2 - eta k/2) alpha + 2 a + eta V/T = 0."""
    b = 2 - eta * k / 2
    return (b - math.sqrt(b * b - 4 * (2 * a + eta * V / T))) / 2


def shared_thermostat_mean(groups, a, T=1.0):
    """The alpha that balances unlike weights on average. ``groups``: (number of weights, eta, V, k) of each kind."""
    def temperature(alpha):
        total = sum(d * second_moments(alpha, eta, 2 * a * eta * T + eta ** 2 * V, k)[2] / eta
                    for d, eta, V, k in groups)
        return total / sum(d for d, *_ in groups)

    return root(lambda alpha: temperature(alpha) - T, a / 2, 0.99)


def _moment_map(alpha, eta, k):
    """The matrix that takes (S, C, P) through a step, and its derivative by alpha; q adds (1, 1, 1)."""
    r, f = 1 - alpha, 1 - eta * k       # v' = r v - eta k w + e,   w' = f w + r v + e
    K = np.array([[f * f, 2 * f * r, r * r], [-eta * k * f, (f - eta * k) * r, r * r],
                  [(eta * k) ** 2, -2 * eta * k * r, r * r]])
    dK = -np.array([[0, 2 * f, 2 * r], [0, f - eta * k, 2 * r], [0, -2 * eta * k, 2 * r]])
    return K, dK


def thermostat_spread(eta, a, mass, d, T=1.0, V=0.0, k=1.0):
    """Variance of alpha for d weights, to first order in 1/d; eta T / (mass d) as eta -> 0.

    The d-averages of (w^2, w v, v^2) and alpha deviate from their means by a linear recursion; the noise in it is
    what gives the averages the covariance of d independent Gaussians where alpha is fixed.
    """
    alpha = thermostat_mean(eta, a, T, V, k)
    S, C, P = second_moments(alpha, eta, 2 * a * eta * T + eta ** 2 * V, k)
    K, dK = _moment_map(alpha, eta, k)
    wick = np.array([[2 * S * S, 2 * S * C, 2 * C * C], [2 * S * C, S * P + C * C, 2 * C * P],
                     [2 * C * C, 2 * C * P, 2 * P * P]]) / d
    noise = wick - K @ wick @ K.T
    response = dK @ np.array([S, C, P])
    L = np.zeros((4, 4))
    L[:3, :3], L[:3, 3] = K, response
    L[3] = L[2] / mass
    L[3, 3] += 1.0
    into = np.vstack([np.eye(3), [0, 0, 1 / mass]])
    return stationary_covariance(L, into @ noise @ into.T)[3, 3]


def stationary_covariance(M, Q):
    """The solution of X = M X M^T + Q."""
    n = len(M)
    return np.linalg.solve(np.eye(n * n) - np.kron(M, M), Q.reshape(-1)).reshape(n, n)


def splitting(integrator, eta, alpha, a=None, T=1.0, V=0.0, b=0.0, k=1.0):
    """E[w^2], and E[v^2] wherever the thermostat looks (for 'badodab' twice a step), at constant friction alpha.

    Each part of a step is linear in (w, v), so that the covariance C of the stored pair solves
    C = M C M^T + Q. ``a`` is the friction that the injected noise balances (alpha by default).
    """
    a = alpha if a is None else a
    injected, heat = 2 * (a - b) * eta * T, eta ** 2 * V
    drift = np.array([[1.0, 0.0], [-eta * k, 1.0]])

    def move(part):
        return np.array([[1.0, part], [0.0, 1.0]])

    def damp(factor):
        return np.diag([1.0, factor])

    def noise(variance):
        return np.diag([0.0, variance])

    if integrator == "aboba":
        half = damp(math.exp(-alpha / 2))
        parts = [(half, noise(0)), (drift, noise(heat + injected)), (half, noise(0)), "look", (move(1.0), noise(0))]
    else:
        spread = -math.expm1(-2 * alpha) / (2 * alpha)
        fluctuate = damp(math.exp(-alpha)), noise(injected * spread)
        parts = [(drift, noise(heat)), "look", (move(0.5), noise(0)), fluctuate, "look", (move(0.5), noise(0))]
    M, Q = np.eye(2), np.zeros((2, 2))
    for part in parts:
        if part != "look":
            M, Q = part[0] @ M, part[0] @ Q @ part[0].T + part[1]
    C = stationary_covariance(M, Q)
    S, seen = C[0, 0], []
    for part in parts:
        if part == "look":
            seen.append(C[1, 1])
        else:
            C = part[0] @ C @ part[0].T + part[1]
    return S, seen


def splitting_thermostat(integrator, eta, a, mass, T=1.0, V=0.0, k=1.0):
    """Where the thermostat of many weights rests: the alpha in force, and the one at the end of a step.

    They differ for 'badodab': half of its move comes before v fluctuates, when v still has the heat of a kick.
    """
    def excess(alpha):
        return np.mean(splitting(integrator, eta, alpha, a, T, V, k=k)[1]) - eta * T

    alpha = root(excess, a / 4, 5.0)
    seen = splitting(integrator, eta, alpha, a, T, V, k=k)[1]
    return alpha, alpha + (0.5 * (seen[1] - eta * T) / mass if len(seen) > 1 else 0.0)


class Moments:
    """(S, C, P) and, with a mass, the mean-field thermostat, step by step. P and alpha scale with the step size."""

    def __init__(self, S, eta, T=1.0, k=1.0, alpha=None, mass=None):
        self.S, self.C, self.P = S, 0.0, eta * T        # the momentum starts independent of w, in its own law
        self.eta, self.T, self.k, self.alpha, self.mass = eta, T, k, alpha, mass

    def step(self, eta, a, V=0.0, b=0.0, rescale=True, follows_heat=True):
        """One step at eta with friction a (already at this eta). Without a thermostat alpha is a.

        Where eta changes alpha - a goes with it; without ``follows_heat`` alpha goes with sqrt(eta).
        """
        if rescale:
            r = math.sqrt(eta / self.eta)
            self.C, self.P = r * self.C, r * r * self.P
            if self.alpha is not None:
                self.alpha = a + r * r * (self.alpha - a / r) if follows_heat else r * self.alpha
        self.eta = eta
        q = 2 * (a - b) * eta * self.T + eta ** 2 * V
        K, _ = _moment_map(a if self.alpha is None else self.alpha, eta, self.k)
        self.S, self.C, self.P = K @ np.array([self.S, self.C, self.P]) + q
        if self.alpha is not None:
            self.alpha += (self.P - eta * self.T) / self.mass
        return self


def simulate_sgnht(chains, d, steps, burn, eta, a, mass, T=1.0, V=0.0, k=1.0, center=0.0, seed=0):
    """SGNHT in plain NumPy: per chain the time averages of w^2, v^2 / eta, alpha and its spread around ``center``."""
    rng = np.random.default_rng(seed)
    w = rng.normal(0, math.sqrt(T / k), (chains, d))
    v = rng.normal(0, math.sqrt(eta * T), (chains, d))
    alpha = np.full((chains, 1), a)
    sums = np.zeros((4, chains))
    sigma = math.sqrt(2 * a * eta * T + eta ** 2 * V)   # minibatch noise is Gaussian here: one draw for both
    for t in range(steps):
        v = (1 - alpha) * v - eta * k * w + sigma * rng.standard_normal((chains, d))
        w += v
        p2 = (v * v).mean(1, keepdims=True)
        alpha = alpha + (p2 - eta * T) / mass
        if t >= burn:
            sums += np.array([(w * w).mean(1), p2[:, 0] / eta, alpha[:, 0], (alpha[:, 0] - center) ** 2])
    return dict(zip(("w2", "kinetic", "alpha", "spread"), sums / (steps - burn)))
