"""Every likelihood with data, its exact -log p by SciPy's densities, and its exact gradient by a closed form."""
import numpy as np
from mxnet import autograd, nd
from scipy import special, stats

from sgmcmc_mx.likelihoods import Bernoulli, Categorical, Gaussian, Poisson

N, K = 6, 3
SIGMAS = [0.5, 1.0, 4.0]


def _log_softmax(x, axis=-1):
    return x - special.logsumexp(x, axis=axis, keepdims=True)


def _cases():
    """name -> (likelihood, outputs, labels, exact -log p per example, exact gradient of their sum), all float64."""
    rng = np.random.RandomState(0)
    out, real = rng.randn(N, K), rng.randn(N, K)
    yes, counts = rng.randint(0, 2, (N, K)), rng.poisson(2.0, (N, K))
    sequence, steps = rng.randn(N, 4, 5), rng.randint(0, 5, (N, 4))
    wide = rng.randn(N, 2 * K)
    mean, sigma = wide[:, :K], np.exp(wide[:, K:])
    total = lambda logp: -logp.reshape(N, -1).sum(axis=1)  # noqa: E731
    residual = real - mean
    pixels, classes = rng.randn(N, 5, 2, 3), rng.randint(0, 5, (N, 2, 3))
    padded = np.where(np.arange(4) < np.array([4, 3, 0, 1, 2, 4])[:, None], steps, -1)    # one of no evidence at all
    kept = padded[..., None] >= 0
    errors = rng.choice([0.25, 0.5, 1.0, 2.0], (N, K))
    return {
        "categorical": (Categorical, out, yes[:, 0] * 2, total(_log_softmax(out)[np.arange(N), yes[:, 0] * 2]),
                        special.softmax(out, -1) - np.eye(K)[yes[:, 0] * 2]),
        "categorical-sequence": (Categorical, sequence, steps,
                                 total(np.take_along_axis(_log_softmax(sequence), steps[..., None], -1)),
                                 special.softmax(sequence, -1) - np.eye(5)[steps]),
        "categorical-padded": (lambda: Categorical(ignore_label=-1), sequence, padded,
                               total(kept * np.take_along_axis(_log_softmax(sequence), steps[..., None], -1)),
                               kept * (special.softmax(sequence, -1) - np.eye(5)[steps])),
        "categorical-pixels": (lambda: Categorical(axis=1), pixels, classes,
                               total(np.take_along_axis(_log_softmax(pixels, 1), classes[:, None], 1)),
                               special.softmax(pixels, 1) - np.moveaxis(np.eye(5)[classes], -1, 1)),
        "bernoulli": (Bernoulli, out, yes, total(stats.bernoulli.logpmf(yes, special.expit(out))),
                      special.expit(out) - yes),
        "gaussian": (lambda: Gaussian(0.7), out, real, total(stats.norm.logpdf(real, out, 0.7)), (out - real) / 0.49),
        "gaussian-per-output": (lambda: Gaussian(SIGMAS), out, real, total(stats.norm.logpdf(real, out, SIGMAS)),
                                (out - real) / np.square(SIGMAS)),
        "gaussian-learned": (lambda: Gaussian("learned"), wide, real, total(stats.norm.logpdf(real, mean, sigma)),
                             np.concatenate([-residual / sigma ** 2, 1 - (residual / sigma) ** 2], axis=1)),
        "gaussian-label": (lambda: Gaussian("label"), out, np.concatenate([real, errors], axis=1),
                           total(stats.norm.logpdf(real, out, errors)), (out - real) / errors ** 2),
        "poisson": (Poisson, out, counts, total(stats.poisson.logpmf(counts, np.exp(out))), np.exp(out) - counts),
    }


CASES = _cases()
NAMES = sorted(CASES)


def evaluate(loss, out, label, array=nd.array, dtype="float64", label_dtype=None, weight=None):
    """The loss, and the gradient of its sum."""
    x, y = array(out, dtype=dtype), array(label, dtype=label_dtype or dtype)
    weights = () if weight is None else (array(weight, dtype=dtype),)
    x.attach_grad()
    with autograd.record():
        value = loss(x, y, *weights)
    value.backward()
    return value, x.grad.asnumpy()
