"""Every likelihood with data, its exact -log p by SciPy's densities, and its exact gradient by a closed form."""
import numpy as np
from mxnet import autograd, nd
from scipy import special, stats

from sgmcmc_mx.likelihoods import (
    Bernoulli,
    Categorical,
    Gaussian,
    NegativeBinomial,
    NoisyDirichlet,
    Ordinal,
    Poisson,
    StudentT,
)

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
    mean, sigma, soft = wide[:, :K], np.exp(wide[:, K:]), np.logaddexp(0.0, wide[:, K:])
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
        "gaussian-learned-softplus": (
            lambda: Gaussian("learned", link="softplus"), wide, real, total(stats.norm.logpdf(real, mean, soft)),
            np.concatenate([-residual / soft ** 2, (1 - (residual / soft) ** 2) / soft * special.expit(wide[:, K:])],
                           axis=1)),
        "gaussian-label": (lambda: Gaussian("label"), out, np.concatenate([real, errors], axis=1),
                           total(stats.norm.logpdf(real, out, errors)), (out - real) / errors ** 2),
        "poisson": (Poisson, out, counts, total(stats.poisson.logpmf(counts, np.exp(out))), np.exp(out) - counts),
        **_more_cases(out, wide, real, counts, errors, total),
    }


CUTS, NOISE, ALPHA, DF, SIZE = [-1.0, 0.2, 1.5], 0.15, 0.02, 3.5, 2.5


def _more_cases(out, wide, real, counts, errors, total):
    mean, sigma, one = wide[:, :K], np.exp(wide[:, K:]), np.exp(wide[:, K:K + 1])
    labels = np.arange(N) % K
    hot = np.eye(K)[labels]
    grades, score = np.arange(N) % 4, out[:, :1]        # of four classes; of three
    p = special.softmax(out, -1)
    noisy = ((1 - NOISE) * p + NOISE / K)[np.arange(N), labels]
    pull = (1 - NOISE) * p[np.arange(N), labels] / noisy
    learned = np.concatenate([out[:, :1], out[:, 1:2] - out[:, :1], out[:, 1:2] - out[:, :1] + np.exp(out[:, 2:])], 1)
    a = hot + ALPHA
    spread = np.log1p(1 / a)
    target = np.log(a) - spread / 2
    size = np.exp(wide[:, K:])
    return {
        "gaussian-global": (lambda: Gaussian("global"), wide[:, :K + 1], real,
                            total(stats.norm.logpdf(real, mean, one)),
                            np.concatenate([(mean - real) / one**2,
                                            (1 - ((real - mean) / one)**2).sum(axis=1, keepdims=True)], axis=1)),
        "student": (lambda: StudentT(DF, 0.7), out, real, total(stats.t.logpdf(real, DF, out, 0.7)),
                    _student_slope(real, out, 0.7)[0]),
        "student-per-output": (lambda: StudentT(DF, SIGMAS), out, real, total(stats.t.logpdf(real, DF, out, SIGMAS)),
                               _student_slope(real, out, np.array(SIGMAS))[0]),
        "student-learned": (lambda: StudentT(DF, "learned"), wide, real, total(stats.t.logpdf(real, DF, mean, sigma)),
                            np.concatenate(_student_slope(real, mean, sigma), axis=1)),
        "student-label": (lambda: StudentT(DF, "label"), out, np.concatenate([real, errors], axis=1),
                          total(stats.t.logpdf(real, DF, out, errors)), _student_slope(real, out, errors)[0]),
        "negative-binomial": (lambda: NegativeBinomial(SIZE), out, counts,
                              total(stats.nbinom.logpmf(counts, SIZE, SIZE / (SIZE + np.exp(out)))),
                              SIZE * (np.exp(out) - counts) / (SIZE + np.exp(out))),
        "negative-binomial-learned": (
            NegativeBinomial, wide, counts, total(stats.nbinom.logpmf(counts, size, size / (size + np.exp(mean)))),
            np.concatenate([size * (np.exp(mean) - counts) / (size + np.exp(mean)),
                            size * (special.digamma(size) - special.digamma(counts + size)
                                    + np.log1p(np.exp(mean) / size)
                                    + (counts - np.exp(mean)) / (size + np.exp(mean)))], axis=1)),
        "categorical-noisy": (lambda: Categorical(label_noise=NOISE), out, labels, total(np.log(noisy)),
                              pull[:, None] * (p - hot)),
        "noisy-dirichlet": (lambda: NoisyDirichlet(ALPHA), out, labels,
                            total(stats.norm.logpdf(out, target, np.sqrt(spread))), (out - target) / spread),
        "ordinal": (lambda: Ordinal(CUTS), score, grades,
                    *_ordinal(np.array([CUTS] * N) - score, grades, np.full((N, 3, 1), -1.0), total)),
        "ordinal-learned": (Ordinal, out, labels,
                            *_ordinal(learned[:, 1:], labels, _slopes_of_cuts(out), total)),
    }


def _student_slope(y, mean, sigma):
    """d(-log p) / d mean, and / d log sigma."""
    z = (y - mean) / sigma
    pull = (DF + 1) * z / (DF + z**2)
    return -pull / sigma, 1 - pull * z


def _slopes_of_cuts(out):
    """d(cut - score) / d(score, first cut, log of the gap), for two cuts."""
    gap = np.exp(out[:, 2])
    one, none = np.ones(N), np.zeros(N)
    return np.stack([np.stack([-one, one, none], axis=1), np.stack([-one, one, gap], axis=1)], axis=1)


def _ordinal(above, label, slopes, total):
    """-log p and its gradient, from cuts less the score (examples, cuts) and their slopes (examples, cuts, outputs)."""
    ends = np.concatenate([np.full((N, 1), -np.inf), above, np.full((N, 1), np.inf)], axis=1)
    slopes = np.concatenate([np.zeros((N, 1, slopes.shape[2])), slopes, np.zeros((N, 1, slopes.shape[2]))], axis=1)
    at, row = label[:, None], np.arange(N)[:, None]
    low, high = ends[row, at][:, 0], ends[row, at + 1][:, 0]
    p = stats.logistic.cdf(high) - stats.logistic.cdf(low)
    rise = (stats.logistic.pdf(high)[:, None] * slopes[row, at + 1][:, 0]
            - stats.logistic.pdf(low)[:, None] * slopes[row, at][:, 0])
    return total(np.log(p)), -rise / p[:, None]


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
