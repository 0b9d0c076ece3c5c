"""Labels that likelihoods draw have the law that their loss says: mean and variance of each, and of -log p."""
import numpy as np
import pytest
from likelihood_cases import CASES, NAMES
from mxnet import nd
from scipy import stats

from sgmcmc_mx.likelihoods import Categorical, Gaussian, Likelihood, NegativeBinomial, NoisyDirichlet, StudentT

DRAWS = 4000


# Padding is never drawn, and pseudo-observations are no labels.
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("categorical-padded", "noisy-dirichlet")])
def test_the_law_is_that_of_the_loss(name):
    """The mean of -log p over labels that are drawn is the entropy."""
    make, out, label = CASES[name][:3]
    likelihood, given = make(), {}
    if brings_noise := likelihood.noise_in_label:
        given["noise_std"] = label[:, label.shape[1] // 2:]
    many = np.broadcast_to(out, (DRAWS,) + out.shape).reshape((-1,) + out.shape[1:])
    if brings_noise:
        given = {"noise_std": np.tile(given["noise_std"], (DRAWS, 1))}
    drawn = likelihood.draw(many, np.random.default_rng(0), **given)
    y = np.concatenate([drawn, given["noise_std"]], axis=1) if given else drawn
    loss = likelihood(nd.array(many, dtype="float64"), nd.array(y, dtype="float64")).asnumpy()
    assert np.isfinite(loss).all() and drawn.shape[1:] == (y.shape[1:] if not given else (y.shape[1] // 2,))
    loss = loss.reshape(DRAWS, len(out))
    z = (loss.mean(axis=0) - _entropy(likelihood, out, given)) / (loss.std(axis=0, ddof=1) / DRAWS**0.5)
    assert np.abs(z).max() < 5


def _entropy(likelihood, out, given):
    """E[-log p(y)] of each example, by summing over all labels or in closed form."""
    if isinstance(likelihood, Gaussian):
        sigma = np.sqrt(likelihood.noise_variance(out, *([given["noise_std"][:len(out)]] if given else [])))
        return (0.5 + 0.5 * np.log(2 * np.pi) + np.log(sigma)).reshape(len(out), -1).sum(axis=1)
    p = likelihood.predictive(out)
    if isinstance(likelihood, StudentT):
        sigma = np.sqrt(likelihood.noise_variance(out, *([given["noise_std"][:len(out)]] if given else []))
                        * (likelihood.df - 2) / likelihood.df)
        return stats.t(likelihood.df, 0, sigma).entropy().reshape(len(out), -1).sum(axis=1)
    if isinstance(likelihood, NegativeBinomial):
        size = p**2 / (likelihood.noise_variance(out) - p)
        return stats.nbinom(size, size / (size + p)).entropy().reshape(len(out), -1).sum(axis=1)
    if type(likelihood).__name__ == "Poisson":
        return stats.poisson(p).entropy().reshape(len(out), -1).sum(axis=1)
    if type(likelihood).__name__ == "Bernoulli":
        p = np.stack([p, 1 - p])
    p = np.moveaxis(p, likelihood.axis, 0) if isinstance(likelihood, Categorical) else p
    return -(p * np.log(p)).sum(axis=0).reshape(len(out), -1).sum(axis=1)


def test_a_gaussian_draw_is_about_its_mean():
    """Entropy knows nothing of where a law lies."""
    drawn = Gaussian([0.5, 2.0]).draw(np.tile([1.0, -3.0], (DRAWS, 1)), np.random.default_rng(1))
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - [1.0, -3.0]), 5 * np.array([0.5, 2.0]) / DRAWS**0.5)


def test_one_that_cannot_draw_says_so():
    with pytest.raises(NotImplementedError, match="does not define draw"):
        Likelihood().draw(np.zeros((2, 1)), np.random.default_rng(0))
    with pytest.raises(NotImplementedError, match="NoisyDirichlet has no law of labels.*write Categorical"):
        NoisyDirichlet().draw(np.zeros((2, 3)), np.random.default_rng(0))
