"""The exact stationary covariance of each sampler on a linear model with a full noise matrix.

U = (w - m)' H (w - m) / 2, and the noise of a minibatch gradient has the covariance V. A step is linear in what the
chain remembers, x = (w, v), so that its covariance solves the discrete Lyapunov equation of the update itself,

    X = M X M' + Q,

with no limit of small steps taken. ``noise`` is V, or a function that gives V where w has the covariance S about m:
with batches drawn with replacement from a linear regression the conditional covariance is quadratic in w, so that its
mean is exact, and X is its fixed point. Reshuffled epochs repeat over a period; see :meth:`Linear.epochs`.

A thermostat is taken to be slow (a large mass), or to be shared by many walkers: its friction is then a number, the
one at which mean v^2 = eta T over the weights that share it. What a quick thermostat's fluctuations add is left out.

eta is learning_rate / N, a the friction asked for, b = eta V / (2 T) what minibatches add to it.
"""
import numpy as np
from scipy.linalg import solve_discrete_lyapunov

__all__ = ["Linear", "ratios"]


class Linear:
    """A quadratic potential of Hessian H with minibatch noise, at temperature T."""

    def __init__(self, H, noise, T=1.0):
        self.H, self.T, self.d = np.asarray(H, float), T, len(H)
        self.noise = noise if callable(noise) else lambda S: np.asarray(noise, float)
        self.posterior = T * np.linalg.inv(self.H)

    @staticmethod
    def lyapunov(M, Q):
        """X = M X M' + Q"""
        if np.abs(np.linalg.eigvals(M)).max() >= 1.0:
            raise ArithmeticError("no stationary law: the step is too large")
        return solve_discrete_lyapunov(M, Q)

    # ---------------------------------------------------------------- without a momentum

    def sgld(self, eta):
        """w' = (1 - eta H / 2) w + sqrt(eta T) n - (eta / 2) noise"""
        eye = np.eye(self.d)
        return self._fixed(lambda V: self.lyapunov(eye - eta / 2 * self.H, eta * self.T * eye + eta ** 2 / 4 * V))

    # ---------------------------------------------------------------- with one

    def sghmc(self, eta, a, told=0.0, integrator="euler"):
        """``told``: the V that the sampler takes out of what it injects, a number for all weights or one a weight."""
        return self.at_friction(eta, a, a, told, integrator)[:self.d, :self.d]

    def estimating(self, eta, a, integrator="euler"):
        """SGHMC whose running estimate is each weight's own variance, the diagonal of V: no more than there is to
        take.
        """
        return self._fixed(lambda V: self._pair(eta, a, a, np.diag(V), integrator, V)[:self.d, :self.d])

    def sgnht(self, eta, a, groups=None, integrator="euler"):
        """(friction of each weight, covariance of w). ``groups``: lists of weights that share a thermostat; all, or
        [[i], ...].
        """
        groups = [list(range(self.d))] if groups is None else groups
        alpha = np.full(self.d, 2.0 * a)
        for _ in range(2000):
            X = self.at_friction(eta, a, alpha, 0.0, integrator)
            heat = np.mean(self._looks(X, eta, a, alpha, integrator), axis=0) / (eta * self.T)
            hot = np.array([heat[g].mean() for g in groups])
            if np.abs(hot - 1.0).max() < 1e-9:
                return alpha, X[:self.d, :self.d]
            for g, each in zip(groups, hot):
                alpha[g] = np.minimum(alpha[g] * each ** 0.7, 0.99 if integrator == "euler" else 50.0)
        raise ArithmeticError(f"no fixed point at eta = {eta:g}, a = {a:g}: friction {alpha}, temperatures {hot}")

    def at_friction(self, eta, a, alpha, told, integrator="euler"):
        """Covariance of (w, v) where the friction in force is ``alpha``, a number or one a weight."""
        found = {}

        def of(V):
            found["X"] = self._pair(eta, a, alpha, told, integrator, V)
            return found["X"][:self.d, :self.d]

        self._fixed(of)
        return found["X"]

    def _fixed(self, of):
        """The covariance S of w that leads to itself: V depends on it a little."""
        S = self.posterior
        for _ in range(200):
            before, S = S, of(self.noise(S))
            if np.abs(S - before).max() <= 1e-11 * np.abs(S).max():
                return S
            if not np.isfinite(S).all() or np.linalg.eigvalsh(S)[0] <= 0:
                break
        raise ArithmeticError("no stationary law: the step is too large")

    def _pair(self, eta, a, alpha, told, integrator, V):
        M, Q = np.eye(2 * self.d), np.zeros((2 * self.d, 2 * self.d))
        for part in self._parts(eta, a, alpha, told, integrator, V):
            if part is not None:
                M, Q = part[0] @ M, part[0] @ Q @ part[0].T + part[1]
        return self.lyapunov(M, Q)

    def _looks(self, X, eta, a, alpha, integrator):
        """E[v^2] of every weight, wherever the thermostat looks."""
        seen = []
        for part in self._parts(eta, a, alpha, 0.0, integrator, self.noise(X[:self.d, :self.d])):
            if part is None:
                seen.append(np.diag(X)[self.d:])
            else:
                X = part[0] @ X @ part[0].T + part[1]
        return seen

    def _parts(self, eta, a, alpha, told, integrator, V):
        """A step as linear maps of (w, v) and the covariance that each adds; None where the thermostat looks."""
        d, eye, zero = self.d, np.eye(self.d), np.zeros((self.d, self.d))
        alpha = alpha * np.ones(d)
        injected = np.diag(np.maximum(2.0 * a * eta * self.T - eta ** 2 * told * np.ones(d), 0.0))

        def map_of(ww, wv, vw, vv, added=zero):
            return np.block([[ww, wv], [vw, vv]]), np.block([[zero, zero], [zero, added]])

        def damp(factor, added=zero):
            return map_of(eye, zero, zero, np.diag(factor), added)

        def kick(added):
            return map_of(eye, zero, -eta * self.H, eye, eta ** 2 * V + added)

        def move(part):
            return map_of(eye, part * eye, zero, eye)

        if integrator == "euler":
            return [damp(1.0 - alpha), kick(injected), move(1.0), None]
        if integrator == "aboba":
            half = damp(np.exp(-alpha / 2))
            return [half, kick(injected), half, None, move(1.0)]
        spread = np.diag(-np.expm1(-2.0 * alpha) / (2.0 * alpha))
        return [kick(zero), None, move(0.5), damp(np.exp(-alpha), injected @ spread), None, move(0.5)]

    # ---------------------------------------------------------------- batches that are not independent

    def epochs(self, eta, a, alpha, batches, symmetric=False, told=0.0, cancel=True):
        """Covariance of w, averaged over the steps of epochs of so many batches, for the step of 'euler' at friction
        alpha.

        Every epoch cuts the data into batches anew: their errors have a sum of zero, so that any two have the
        covariance -V / (batches - 1). ``symmetric``: then the same batches once more, backwards. V here is that of
        batches drawn without replacement, where w has the posterior's law. What is left out: each batch has a Hessian
        of its own, so that the errors of a sweep do not cancel wholly. ``cancel=False``: errors that are independent.
        """
        d, n = self.d, batches
        V = self.noise(self.posterior)
        M, Q, J = self._euler(eta, a, alpha, told)
        order = list(range(n)) + (list(range(n))[::-1] if symmetric else [])
        # What enters over a period: x_t = M^t x_0 + sum over s of L[t][s] e_s, by batch.
        powers, P = [np.eye(2 * d)], len(order)
        for _ in range(P):
            powers.append(M @ powers[-1])
        added, period = [np.zeros_like(Q)], np.zeros_like(Q)
        into = [np.zeros((2 * d, d)) for _ in range(n)]
        for t in range(P):
            into = [M @ each for each in into]
            into[order[t]] = into[order[t]] + eta * J
            period = M @ period @ M.T + Q
            entered = sum(each @ V @ each.T for each in into)
            if cancel:
                total = sum(into)
                entered = (entered - total @ V @ total.T / n) * n / (n - 1.0)
            added.append(period + entered)
        X = self.lyapunov(powers[P], added[P])
        seen = [powers[t] @ X @ powers[t].T + added[t] for t in range(1, P + 1)]
        return np.mean(seen, axis=0)

    def _euler(self, eta, a, alpha, told):
        d, eye = self.d, np.eye(self.d)
        decay = np.diag(1.0 - alpha * np.ones(d))
        M = np.block([[eye - eta * self.H, decay], [-eta * self.H, decay]])
        J = np.vstack([eye, eye])
        injected = np.diag(np.maximum(2.0 * a * eta * self.T - eta ** 2 * told * np.ones(d), 0.0))
        return M, J @ injected @ J.T, J


def ratios(S, H, T=1.0):
    """sd of the chain as a multiple of the posterior's along the eigenvectors of H, from the flattest to the steepest.
    """
    h, U = np.linalg.eigh(H)
    return np.sqrt(np.einsum("ai,ab,bi->i", U, S, U) * h / T)
