"""The samplers' equations written out in float64 NumPy, a line an equation, with the package's own noise.

eta = learning_rate / N, grad U = N g + precision w with g the (clipped) minibatch mean gradient, n ~ N(0, 1):

    SGLD     w <- w - (eta/2) grad U + sqrt(eta T) n
    SGHMC    v <- (1 - a) v - eta grad U + s n,  s^2 = 2 (a - b) eta T,  b = eta V / (2 T);     w <- w + v
    SGNHT    v <- (1 - alpha) v - eta grad U + sqrt(2 a eta T) n;                               w <- w + v;
             alpha <- alpha + (|v|^2/d - eta T) / mu

With the splittings the kick is  v <- v - eta grad U,  and the friction a, or the thermostat's alpha, acts as ::

    aboba     v <- exp(-alpha/2) v, kick and s n, v <- exp(-alpha/2) v;   w <- w + v;   alpha moves as above
    badodab   kick;  w <- w + v/2;  alpha moves half;  v <- exp(-alpha) v + s sqrt((1 - exp(-2 alpha)) / (2 alpha)) n;
              alpha moves half;  w <- w + v/2

v starts in N(0, eta T), alpha at a + eta V / (2 T). When eta becomes eta', v and a are multiplied by
sqrt(eta'/eta), and alpha - a by eta'/eta (less where eta rises and alpha is spread: ``_followed``). A learning-rate
multiplier m of a tensor is a preconditioner: its eta is m eta, its v sqrt(m) times as large, and a thermostat that it
shares with others sees |v|^2 / m.
"""
import functools
import math

import numpy as np

from sgmcmc_mx.kernels import noise

__all__ = ["Transcription"]

_normal = functools.lru_cache(maxsize=1000)(noise.normal)      # every option and schedule is held against the same


class Transcription:
    def __init__(self, kind, weights, N, base_lr, precision, lr_mult, T=1.0, seed=0, clip=None, friction=0.1,
                 gradient_noise=None, resample_momentum=None, thermostat="global", thermal_mass=None,
                 integrator="euler"):
        self.kind, self.N, self.base, self.T, self.seed, self.clip = kind, N, base_lr, T, seed, clip
        self.a, self.V, self.resample, self.groups, self.mass = (friction, gradient_noise, resample_momentum,
                                                                 thermostat, thermal_mass)
        self.integrator = integrator
        self.w = [np.array(w, dtype=np.float64) for w in weights]
        self.precision, self.mult = precision, lr_mult
        self.count = [0] * len(weights)     # updates of each tensor
        self.eta = [None] * len(weights)    # the step size each momentum belongs to
        self.v = [math.sqrt(T) * self._normal(i, noise.MOMENTUM) for i in range(len(weights))]
        self.kept, self.kept_friction = {}, {}
        self.last_g, self.differences = [None] * len(weights), [[] for _ in weights]
        self.spread = {}        # of each xi, in units of its stationary law's, and the step that it is of
        if kind == "sgnht":
            alpha = self.a + base_lr / N * (gradient_noise or 0.0) / (2 * T)
            start = [self.a + base_lr * m / N * (gradient_noise or 0.0) / (2 * T) for m in lr_mult]
            self.alpha = {"global": alpha, "tensor": [np.full(1, s) for s in start],
                          "element": [np.full(w.shape, s) for w, s in zip(self.w, start)]}[thermostat]
            self.alpha_lr = base_lr if thermostat == "global" else [base_lr] * len(weights)

    def _normal(self, i, stream=noise.STEP):
        n = _normal(self.w[i].size, self.seed, self.count[i], i, stream)
        return n.reshape(self.w[i].shape).astype(np.float64)

    def step(self, lr, gradients):
        """One step; ``gradients`` are minibatch means, None for a tensor that is left out."""
        taking_part = [i for i, g in enumerate(gradients) if g is not None]
        for i in taking_part:
            self.count[i] += 1
        taking_part = [i for i in taking_part if lr * self.mult[i] > 0]
        if not taking_part:
            return
        if self.kind == "sgnht" and self.groups == "global":
            self.alpha = self._followed(None, self.alpha, lr, self.alpha_lr,
                                        sum(self.w[i].size for i in taking_part))
            self.alpha_lr = lr
        badodab = self.integrator == "badodab" and self.kind != "sgld"
        for i in taking_part:
            g = np.asarray(gradients[i], dtype=np.float64)
            self._move(i, lr, g if self.clip is None else np.clip(g, -self.clip, self.clip))
        if badodab:
            self._all_thermostats(taking_part, lr, 0.5)
            for i in taking_part:
                self._fluctuate(i)
        self._all_thermostats(taking_part, lr, 0.5 if badodab else 1.0)

    def _followed(self, key, alpha, lr, before, d, mult=1.0):
        """alpha - a goes with eta = h^2, but a rise of h multiplies xi's spread, s of its law's, by no more than g.

        g may bring the spread of alpha up to a / 2, and never exceeds 1000. s starts at 0 and goes to 1 as alpha
        answers, in mu a / (eta T) steps at the step size before the change.
        """
        if lr == before:
            return alpha
        r, now = math.sqrt(lr / before), max(self.count)
        s, then = self.spread.get(key, (0.0, 0))
        old, new = (self.a * math.sqrt(x / self.base) for x in (before, lr))
        mass = self._mass(mult, d)
        s = math.sqrt(1 - (1 - s * s) * math.exp(-(before * mult / self.N * self.T / (mass * old)) * (now - then)))
        sd = s * math.sqrt(lr * mult / self.N * self.T / (mass * d))
        g = r if r < 1 or sd == 0 else min(r, max(1.0, 0.5 * new / sd))
        self.spread[key] = g * s, now
        return new + r * min(g, 1000.0) * (alpha - old)

    def _all_thermostats(self, taking_part, lr, part):
        if self.kind != "sgnht":
            return
        if self.groups == "global":
            d = sum(self.w[i].size for i in taking_part)
            v2 = sum((self.v[i] ** 2).sum() / self.mult[i] for i in taking_part)
            self.alpha += part * (v2 / d - lr / self.N * self.T) / self._mass(1.0, d)
            return
        for i in taking_part:
            eta = lr * self.mult[i] / self.N
            if self.groups == "tensor":
                self.alpha[i] += part * ((self.v[i] ** 2).mean() - eta * self.T) / self._mass(self.mult[i],
                                                                                             self.w[i].size)
            else:
                self.alpha[i] += part * (self.v[i] ** 2 - eta * self.T) / self._mass(self.mult[i], 1)

    def _kick(self, i, alpha, push, s):
        """Everything up to where w has moved; ``push`` = eta grad U, s the injected noise."""
        w, v, n = self.w[i], self.v[i], self._normal(i)
        if self.integrator == "euler":
            self.v[i] = (1 - alpha) * v - push + s * n
        elif self.integrator == "aboba":
            half = np.exp(-alpha / 2)
            self.v[i] = half * (half * v - push + s * n)
        else:
            self.v[i] = v - push
            self.kept[i] = s * n
        w += self.v[i] if self.integrator != "badodab" else self.v[i] / 2

    def _fluctuate(self, i):
        alpha = self.kept_friction[i] if self.kind == "sghmc" else (
            self.alpha if self.groups == "global" else self.alpha[i])
        spread = np.sqrt(-np.expm1(-2 * alpha) / (2 * alpha))
        self.v[i] = np.exp(-alpha) * self.v[i] + spread * self.kept[i]
        self.w[i] += self.v[i] / 2

    def _move(self, i, lr, g):
        eta, T, w = lr * self.mult[i] / self.N, self.T, self.w[i]
        grad_U = self.N * g + self.precision[i] * w
        if self.kind == "sgld":
            w += -eta / 2 * grad_U + math.sqrt(eta * T) * self._normal(i)
            return
        a = self.a * math.sqrt(lr / self.base)
        if self.eta[i] is None:
            self.v[i] *= math.sqrt(eta)
        else:
            self.v[i] *= math.sqrt(eta / self.eta[i])
        self.eta[i] = eta
        if self.resample and self.count[i] > 1 and (self.count[i] - 1) % self.resample == 0:
            self.v[i] = math.sqrt(eta * T) * self._normal(i, noise.MOMENTUM)
        if self.kind == "sghmc":
            s2 = 2 * a * eta * T - eta ** 2 * self._variance(i, g)
            self.kept_friction[i] = a
            self._kick(i, a, eta * grad_U, np.sqrt(np.maximum(s2, 0)))
            return
        if self.groups != "global":
            self.alpha[i] = self._followed(i, self.alpha[i], lr, self.alpha_lr[i],
                                           1 if self.groups == "element" else w.size, self.mult[i])
            self.alpha_lr[i] = lr
        alpha = self.alpha if self.groups == "global" else self.alpha[i]
        self._kick(i, alpha, eta * grad_U, math.sqrt(2 * a * eta * T))

    def _variance(self, i, g):
        """V of every coordinate: given, or half the mean squared difference of successive gradients of N g."""
        if self.V != "estimate":
            return self.V or 0.0
        if self.last_g[i] is not None:
            self.differences[i].append((self.N * (g - self.last_g[i])) ** 2 / 2)
        self.last_g[i] = g
        return np.mean(self.differences[i], axis=0) if self.differences[i] else 0.0

    def _mass(self, mult, d):
        if self.mass is not None:
            return self.mass
        eta = self.base * mult / self.N
        return eta * self.T * max(100 / self.a, 9 / (d * self.a ** 2))
