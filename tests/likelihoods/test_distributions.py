"""What the newer likelihoods say in NumPy, against SciPy's laws and against the loss integrated over labels."""
import numpy as np
import pytest
from likelihood_cases import ALPHA, CASES, CUTS, DF, NOISE
from mxnet import autograd, gluon, nd
from scipy import special, stats

import sgmcmc_mx as sg
from sgmcmc_mx.gradients.dense_stack import dense_stack
from sgmcmc_mx.likelihoods import Categorical, Gaussian, NegativeBinomial, NoisyDirichlet, Ordinal, StudentT

RNG = np.random.RandomState(3)
REAL = [name for name in CASES if name.startswith("student") and name != "student-label"] + ["gaussian-global"]
COUNTS = ["negative-binomial", "negative-binomial-learned"]
CLASSES = {"categorical-noisy": 3, "ordinal": 4, "ordinal-learned": 3}


def losses(likelihood, out, labels):
    """-log p of every label for one row of outputs, (1, outputs)."""
    many = np.tile(out, (len(labels), 1))
    return likelihood(nd.array(many, dtype="float64"), nd.array(labels, dtype="float64")).asnumpy()


def one_output(name):
    """The likelihood and outputs (n, ...) of one y each."""
    if name == "student-per-output":
        return StudentT(DF, [0.5]), CASES[name][1][:, :1]
    make, out = CASES[name][:2]
    return make(), out[:, [0, -1]] if "learned" in name or "global" in name else out[:, :1]


# ---------------------------------------------------------------- the loss is a law, and the NumPy side is that law's

@pytest.mark.parametrize("name", REAL)
def test_real_labels_integrate_to_the_cdf_and_the_mean(name):
    likelihood, outs = one_output(name)
    nodes, shares = np.polynomial.legendre.leggauss(400)
    for out in outs[:, None]:
        mean, std = likelihood.predictive(out)[0, 0], np.sqrt(likelihood.noise_variance(out))[0, 0]

        def integral(f, end, out=out, mean=mean, std=std):
            """Of p f from minus infinity to mean + std sinh(end): heavy tails are short on this scale."""
            u = -26 + (nodes + 1) / 2 * (end + 26)
            y = mean + std * np.sinh(u)
            p = np.exp(-losses(likelihood, out, y[:, None]))
            return (shares * p * f(y) * std * np.cosh(u)).sum() * (end + 26) / 2
        for end in (-2.0, 0.0, 1.3):
            below = integral(np.ones_like, end)
            assert likelihood.cdf([[mean + std * np.sinh(end)]], out)[0, 0] == pytest.approx(below, abs=1e-10)
        assert integral(np.ones_like, 26) == pytest.approx(1, abs=1e-9)
        assert integral(lambda y, m=mean, s=std: (y - m) / s, 13) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_sum_to_the_cdf_mean_and_variance(name):
    likelihood, outs = one_output(name)
    y = np.arange(3000)
    for out in outs[:, None]:
        p = np.exp(-losses(likelihood, out, y[:, None]))
        mean, variance = likelihood.predictive(out)[0, 0], likelihood.noise_variance(out)[0, 0]
        assert [p.sum(), (p * y).sum(), (p * (y - mean)**2).sum()] == pytest.approx([1, mean, variance], rel=1e-8)
        np.testing.assert_allclose(likelihood.cdf(y[:40, None], np.tile(out, (40, 1)))[:, 0], p.cumsum()[:40],
                                   rtol=1e-9)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_sum_to_1_and_are_the_predictive(name):
    make, outs = CASES[name][:2]
    likelihood = make()
    far = outs * (40 if name == "ordinal" else 4)
    for out in np.concatenate([outs, far])[:, None]:
        p = np.exp(-losses(likelihood, out, np.arange(CLASSES[name])))
        np.testing.assert_allclose(likelihood.predictive(out)[0], p, rtol=1e-9, atol=1e-300)
        assert p.sum() == pytest.approx(1, rel=1e-9)


# ---------------------------------------------------------------- against scipy.stats

@pytest.mark.parametrize("df", [2.5, 4.0, 30.0, 1e4])
def test_student_t_is_scipys(df):
    y = np.concatenate([np.linspace(-60, 60, 121), [1e9, -1e9, 1e-9]])[:, None]
    law, likelihood = stats.t(df, 0.3, 0.7), StudentT(df, 0.7)
    out = np.full_like(y, 0.3)
    np.testing.assert_allclose(likelihood.cdf(y, out), law.cdf(y), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(likelihood.noise_variance(out), law.var())
    assert likelihood.cdf([[-np.inf], [np.inf]], out[:2]).ravel().tolist() == [0, 1]
    assert likelihood.kind == "regression" and likelihood.df == df


@pytest.mark.parametrize("size", [0.1, 2.5, 300.0])
@pytest.mark.parametrize("mean", [0.01, 3.0, 500.0])
def test_the_negative_binomial_is_scipys(size, mean):
    law, likelihood = stats.nbinom(size, size / (size + mean)), NegativeBinomial(size)
    y = np.unique(np.floor(np.concatenate([np.arange(-2, 9), law.mean() + law.std() * np.linspace(-4, 12, 41)])))
    out = np.full((len(y), 1), np.log(mean))
    np.testing.assert_allclose(likelihood.cdf(y[:, None], out)[:, 0], law.cdf(y), rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(likelihood.cdf(y[:, None] + 0.5, out), likelihood.cdf(y[:, None], out))
    assert likelihood.predictive(out[0])[0] == pytest.approx(law.mean())
    assert likelihood.noise_variance(out[0])[0] == pytest.approx(law.var())
    assert likelihood.cdf([[-np.inf], [np.inf]], out[:2]).ravel().tolist() == [0, 1]


def test_a_large_size_is_poisson():
    out, y = np.array([[1.0], [3.0]]), np.array([[2.0], [25.0]])
    near = [losses(NegativeBinomial(1e7), o, [v])[0] for o, v in zip(out, y)]
    assert near == pytest.approx(-stats.poisson.logpmf(y, np.exp(out))[:, 0], rel=1e-5)
    assert NegativeBinomial(1e7).cdf(y, out) == pytest.approx(stats.poisson.cdf(y, np.exp(out)), rel=1e-5)


def test_ordinal_is_a_latent_logistic_that_falls_between_cuts():
    scores = np.linspace(-30, 30, 13)[:, None]
    ends = np.array([-np.inf, *CUTS, np.inf])
    above, below = stats.logistic.sf(ends, scores), stats.logistic.cdf(ends, scores)
    expected = np.where(scores < 0, above[:, :-1] - above[:, 1:], below[:, 1:] - below[:, :-1])
    np.testing.assert_allclose(Ordinal(CUTS).predictive(scores), expected, rtol=1e-7)
    as_learned = np.concatenate([scores, np.full_like(scores, CUTS[0]),
                                 np.tile(np.log(np.diff(CUTS)), (len(scores), 1))], axis=1)
    np.testing.assert_allclose(Ordinal().predictive(as_learned), Ordinal(CUTS).predictive(scores), rtol=1e-9)
    several = Ordinal(CUTS).predictive(np.stack([scores, scores]))      # samples in front
    assert several.shape == (2, 13, 4)


def test_label_noise_is_a_mixture_with_all_classes():
    out = RNG.normal(size=(2, 5, 4)) * 3
    p = Categorical(label_noise=NOISE).predictive(out)
    np.testing.assert_allclose(p, (1 - NOISE) * special.softmax(out, -1) + NOISE / 4, rtol=1e-12)
    pixels = RNG.normal(size=(2, 3, 4, 5))
    np.testing.assert_allclose(Categorical(axis=1, label_noise=NOISE).predictive(pixels),
                               (1 - NOISE) * special.softmax(pixels, 1) + NOISE / 3, rtol=1e-12)
    assert Categorical(label_noise=NOISE).predictive(out.astype("float32")).dtype == np.float32


def test_noisy_dirichlet_has_the_moments_of_a_gamma():
    """What its normal law of the logits is chosen for; and the loss is that law, class by class."""
    loss = NoisyDirichlet(ALPHA)
    for a, label in ((ALPHA + 1, 0), (ALPHA, 1)):
        f = np.linspace(-60, 60, 24001)
        many = nd.array(np.stack([f, 0 * f], axis=1), dtype="float64")
        log_p = -loss(many, nd.full(len(f), label, dtype="float64")).asnumpy()
        p = np.exp(log_p - log_p.max())
        mean, square = ((p * np.exp(k * f)).sum() / p.sum() for k in (1, 2))
        assert [mean, square - mean**2] == pytest.approx([a, a], rel=1e-6)
    out = RNG.normal(size=(3, 4))
    np.testing.assert_array_equal(NoisyDirichlet().predictive(out), Categorical().predictive(out))


# ---------------------------------------------------------------- what they are for

def test_an_outlier_pulls_less_where_it_should():
    x, label = nd.array([[0.0], [0.0]]), nd.array([[3.0], [300.0]])
    pulls = {}
    for likelihood in (Gaussian(), StudentT(4.0)):
        x.attach_grad()
        with autograd.record():
            loss = likelihood(x, label)
        loss.backward()
        pulls[type(likelihood).__name__] = np.abs(x.grad.asnumpy()[:, 0])
    assert pulls["Gaussian"][1] == 300 and pulls["StudentT"][1] < 0.1 * pulls["StudentT"][0]


@pytest.mark.parametrize("make", [lambda: Categorical(label_noise=0.1), lambda: NegativeBinomial(2.0), NegativeBinomial,
                                  lambda: Ordinal(CUTS), Ordinal, NoisyDirichlet], ids=lambda make: repr(make()))
@pytest.mark.parametrize("hybrid", [False, True])
def test_an_impossible_label_is_never_taken_for_another(make, hybrid):
    loss = make()
    if hybrid:
        loss.hybridize()
    width = {"Ordinal": 1 if loss.arguments().get("cuts") != "learned" else 4}.get(type(loss).__name__, 4)
    counts = isinstance(loss, NegativeBinomial)
    out = RNG.normal(size=(4, width))
    shape = loss._label_shape(out.shape)
    for bad in (-1, 0.5, np.nan) if counts else (-1, 4, 0.5, np.nan):
        label = np.ones(shape)
        label[2] = bad
        x = nd.array(out, dtype="float64")
        x.attach_grad()
        with autograd.record():
            value = loss(x, nd.array(label, dtype="float64"))
        value.backward()
        wrong = np.arange(4) == 2
        assert (np.isfinite(value.asnumpy()) == ~wrong).all()
        assert (np.isfinite(x.grad.asnumpy()).all(axis=1) == ~wrong).all()


def chain_of(net, number=5):
    """Samples with weights of their own, of which the network has one after another."""
    rng = np.random.RandomState(1)
    names = net._collect_params_with_prefix()
    return [sg.Sample({name: nd.array(0.5 * rng.normal(size=p.shape)) for name, p in names.items()}, step=k)
            for k in range(number)]


@pytest.mark.parametrize("likelihood, units", [(StudentT(4.0, "global"), 1), (Gaussian("global"), 1),
                                               (NegativeBinomial(), 1), (StudentT(3.0, 0.4), 0)], ids=repr)
def test_quantiles_of_the_mixture_are_where_its_cdf_says(likelihood, units):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(1, in_units=2))
    if units:
        net.add(sg.nn.LogSigma(units))
    net.initialize()
    x, chain, levels = RNG.normal(size=(6, 2)).astype("float32"), chain_of(net), (0.05, 0.5, 0.95)
    found = sg.predict(net, chain, x, likelihood, quantiles=levels)
    outs = sg.predict(net, chain, x, "identity", samples=True).astype("float64")
    np.testing.assert_allclose(found.mean, likelihood.predictive(outs).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.noise_std**2, likelihood.noise_variance(outs).mean(axis=0), rtol=1e-5)
    for level, quantile in zip(levels, found.quantiles):
        at = likelihood.cdf(np.broadcast_to(quantile, (5, 6, 1)), outs).mean(axis=0)
        if likelihood.discrete:
            before = likelihood.cdf(np.broadcast_to(quantile - 1, (5, 6, 1)), outs).mean(axis=0)
            assert (at >= level - 1e-6).all() and (before < level + 1e-6).all()
        else:
            np.testing.assert_allclose(at, level, atol=1e-5)


def test_probabilities_and_statistics_of_ordinal_classes():
    net = gluon.nn.Dense(1, in_units=2)
    net.initialize()
    x = RNG.normal(size=(6, 2)).astype("float32")
    found = sg.predict(net, chain_of(net), x, Ordinal(CUTS), stats=("mean", "mutual_information"))
    assert found["mean"].shape == (6, 4) and found["mutual_information"].shape == (6,)
    np.testing.assert_allclose(found["mean"].sum(axis=1), 1, rtol=1e-5)


def test_native_gradients_leave_them_to_operators():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(4, in_units=2))
    net.initialize()
    assert not isinstance(dense_stack(net, Categorical()), str)
    assert not isinstance(dense_stack(net, NoisyDirichlet()), str)
    for likelihood in (Categorical(label_noise=0.1), Gaussian("global"), StudentT(), NegativeBinomial(), Ordinal()):
        assert isinstance(dense_stack(net, likelihood), str), likelihood


def test_a_run_with_one_sigma_for_all_learns_it():
    """A thousand points of noise 0.3: the chain has it within a few of the posterior's standard deviations."""
    rng = np.random.RandomState(0)
    x = rng.normal(size=(1000, 1)).astype("float32")
    y = (2 * x + 0.3 * rng.normal(size=x.shape)).astype("float32")
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(1, in_units=1), sg.nn.LogSigma())
    net.initialize()
    trainer = sg.BayesianTrainer(net, "sghmc", {"num_data": 1000, "learning_rate": 0.01, "friction": 0.2},
                                 Gaussian(sigma="global"), burn_in=300, thin=10, seed=0)
    trainer.sample(sg.data.ArrayLoader(x, y, batch_size=1000), 800)
    found = np.array([s["1.log_sigma"].asnumpy()[0] for s in trainer.samples])
    exact, sd = np.log(y.std() * (1 - np.corrcoef(x[:, 0], y[:, 0])[0, 1]**2)**0.5), 2000**-0.5
    assert abs(found.mean() - exact) < 3 * sd and 0.4 * sd < found.std() < 2.5 * sd
    assert trainer.predict(x[:5]).noise_std == pytest.approx(np.full((5, 1), np.exp(exact)), rel=0.1)
