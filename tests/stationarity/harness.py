"""Walkers on U(w) = k w^2 / 2, moved by a sampler through MXNet's optimizer protocol, and the z-scores they get.

The target is split: the likelihood gives the curvature ``data``, the prior the curvature ``prior``. The gradient
handed over is the SUM over a minibatch of ``batch`` examples out of ``N``, as a loss that is not averaged leaves it,
with ``rescale_grad = 1 / batch``; so every check sees N, the batch size, the prior and the noise at once.

Seeds are fixed and were never tuned. The standard error comes from the sample: from independent walkers, or from
independent groups of walkers where they share a thermostat, or from stretches of time (batch means) of one chain.
A z-score beyond 5 is an error; a chain that is no longer finite has an infinite one.
"""
import math

import mxnet as mx
import numpy as np
from mxnet import nd

import sgmcmc_mx  # noqa: F401 (registers the samplers)

__all__ = ["LIMIT", "Walk", "z_scores", "worst", "until_rejected", "assert_agrees", "batch_means", "side_by_side",
           "altered"]

LIMIT = 5.0


class Walk:
    """Tensors of walkers under one sampler. Its step size is ``eta`` = learning_rate / N."""

    def __init__(self, name, shapes, eta, N=10, batch=4, data=0.5, prior=0.5, V=0.0, T=1.0, seed=1, start=None,
                 **options):
        self.N, self.batch, self.data, self.V, self.T = N, batch, data, V, T
        self.k = data + prior
        self.optimizer = mx.optimizer.create(name, num_data=N, wd=prior, temperature=T, learning_rate=eta * N,
                                             seed=seed, rescale_grad=1.0 / batch, **options)
        self.updater = mx.optimizer.get_updater(self.optimizer)
        self.rng = np.random.default_rng(seed)
        self.all, self.weights = side_by_side([self.rng.normal(0, math.sqrt(T / self.k), s) if start is None
                                                else np.full(s, start) for s in shapes])
        # the same arrays at every step, as Gluon's are
        self._slopes, self.handed_over = side_by_side([np.zeros(s) for s in shapes])
        self.indices = self.watched = list(range(len(shapes)))
        self.center = 0.0       # what the spread of alpha is measured from

    @property
    def eta(self):
        return self.optimizer.learning_rate / self.N

    def gradients(self):
        if self.data or self.V:
            self._slopes._sync_copyfrom(self.gradient_sums(self.all.asnumpy()))
        return self.handed_over

    def gradient_sums(self, w):
        """The gradient of all tensors, of their weights in a row; in NumPy: MXNet takes longer to be called than to
        compute.
        """
        sums = w * np.float32(self.batch * self.data / self.N)
        if self.V:
            noise = self.rng.standard_normal(w.size, dtype=np.float32)
            noise *= np.float32(self.batch * math.sqrt(self.V) / self.N)
            sums += noise
        return sums

    def step(self, steps=1):
        for _ in range(steps):
            self.updater(self.indices, self.gradients(), self.weights)
        return self

    def momentum(self, i):
        state = self.updater.states[i]
        return state[0] if isinstance(state, (list, tuple)) else state

    def alpha(self, i):
        """The thermostat of tensor i after the last step."""
        return self.optimizer.thermostat if self.optimizer.groups == "global" else self.updater.states[i][1]

    def quantities(self, i):
        """What the checks look at, for every walker of tensor i now: w^2, v^2 / eta, alpha and its spread."""
        return self._quantities(i, self.alpha(i).asnumpy() if hasattr(self.optimizer, "groups") else None)

    def _quantities(self, i, alpha):
        out = {"w2": _squares(self.weights[i])}
        if self.optimizer.second_order:
            out["kinetic"] = _squares(self.momentum(i)) / self.eta
        if alpha is not None:
            out["alpha"] = alpha.astype(np.float64)
            out["spread"] = (out["alpha"] - self.center) ** 2
        return out

    def look(self):
        """The quantities of each tensor watched. A thermostat that all share is read once."""
        if getattr(self.optimizer, "groups", None) != "global":
            return [self.quantities(i) for i in self.watched]
        alpha = self.alpha(0).asnumpy()
        return [self._quantities(i, alpha) for i in self.watched]

    def now(self):
        """Each quantity of every walker, as one flat array."""
        found = self.look()
        return {name: np.concatenate([f[name].ravel() for f in found]) for name in found[0]}

    def averages(self, steps, every=1, unit="walker"):
        """Time averages of each quantity over ``steps`` further steps, one for each independent unit.

        ``unit`` is 'walker' (an element) or 'tensor' (its mean: walkers that share a thermostat).
        """
        totals = [{} for _ in self.watched]
        for _ in range(steps // every):
            self.step(every)
            for found, total in zip(self.look(), totals):
                for name, x in found.items():
                    total[name] = total.get(name, 0.0) + (x.mean() if unit == "tensor" else x)
        return {name: np.concatenate([np.ravel(t[name]) for t in totals]) / (steps // every) for name in totals[0]}

    def series(self, steps, every=5):
        """Each quantity's mean over all walkers, after every so many of ``steps`` further steps."""
        rows = []
        for _ in range(steps // every):
            self.step(every)
            found = self.look()
            rows.append({name: sum(f[name].sum() for f in found) / sum(f[name].size for f in found)
                         for name in found[0]})
        return {name: np.array([r[name] for r in rows]) for name in rows[0]}


def side_by_side(values):
    """One array of all values, and its parts in their shapes, which are views of it: one call reads or writes all."""
    whole = nd.array(np.concatenate([np.ravel(x) for x in values]))
    ends = np.cumsum([np.size(x) for x in values]).tolist()
    return whole, [whole[end - np.size(x):end].reshape(np.shape(x)) for end, x in zip(ends, values)]


def _squares(array):
    return np.square(array.asnumpy(), dtype=np.float64)


def batch_means(series, batches=25):
    """Means over stretches of a time series: the samples of a single chain.

    A stretch must be several times as long as whatever it averages takes to forget itself.
    """
    return {name: x[:len(x) // batches * batches].reshape(batches, -1).mean(1) for name, x in series.items()}


def z_scores(observed, expected):
    """z of the mean of each observed sample against its expected value.

    ``expected`` maps to a number, or to another sample (two-sample z).
    """
    scores = {}
    for name, value in expected.items():
        x = np.asarray(observed[name], dtype=float).ravel()
        with np.errstate(all="ignore"):
            mean, error2 = x.mean(), x.var(ddof=1) / x.size
            if np.ndim(value):
                value = np.asarray(value, dtype=float).ravel()
                mean, error2 = mean - value.mean(), error2 + value.var(ddof=1) / value.size
            else:
                mean = mean - value
            z = mean / math.sqrt(error2) if error2 > 0 else (0.0 if mean == 0 else math.inf)
        scores[name] = z if math.isfinite(z) else math.inf
    return scores


def worst(scores):
    return max(abs(z) for z in scores.values())


def until_rejected(parts):
    """The scores that a check gives part by part, up to the first beyond the limit: more cannot change the verdict."""
    found = {}
    for scores in parts:
        found.update(scores)
        if worst(found) > LIMIT:
            break
    return found


def assert_agrees(observed, expected):
    scores = z_scores(observed, expected)
    lines = [f"{name}: {np.mean(observed[name]):.6g} against {np.mean(value):.6g}, z = {scores[name]:.2f}"
             for name, value in expected.items()]
    assert worst(scores) < LIMIT, "; ".join(lines)


def altered(step, change):
    """A kernel's ``step`` of jobs that ``change`` has altered. A job serves the next step too, so it is put back."""
    def altered_step(job):
        parts = [job, *job.tensors] + ([] if job.shared is None else [job.shared])
        before = [[(name, getattr(part, name)) for name in part.__slots__ if name != "plan"] for part in parts]
        change(job)
        step(job)
        for part, values in zip(parts, before):
            for name, value in values:
                setattr(part, name, value)

    return altered_step
