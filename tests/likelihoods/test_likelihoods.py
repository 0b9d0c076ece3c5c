"""-log p against scipy's densities, gradients against closed forms, and the traps of averaging and broadcasting."""
import mxnet as mx
import numpy as np
import pytest
from likelihood_cases import CASES, NAMES, SIGMAS, K, N
from likelihood_cases import evaluate as _evaluate
from mxnet import gluon, nd
from scipy import special, stats

from sgmcmc_mx.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood, Poisson, StudentT, as_predictive

# ---------------------------------------------------------------- values and gradients

@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient(name, hybrid):
    make, out, label, exact, gradient = CASES[name]
    loss = make()
    if hybrid:
        loss.hybridize()
    value, grad = _evaluate(loss, out, label)
    assert isinstance(loss, gluon.loss.Loss)
    assert value.shape == (N,)
    np.testing.assert_allclose(value.asnumpy(), exact, rtol=1e-10)
    np.testing.assert_allclose(grad, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_mx_np_arrays(name, hybrid, numpy_mode):
    make, out, label, exact, gradient = CASES[name]
    loss = make()
    if hybrid:
        loss.hybridize()
    value, grad = _evaluate(loss, out, label, array=mx.np.array)
    assert type(value) is mx.np.ndarray
    np.testing.assert_allclose(value.asnumpy(), exact, rtol=1e-10)
    np.testing.assert_allclose(grad, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_by_finite_differences(name):
    make, out, label, _, _ = CASES[name]
    loss, h = make(), 1e-6
    _, grad = _evaluate(loss, out, label)
    for index in [(0,) * out.ndim, tuple(d - 1 for d in out.shape)]:
        shift = np.zeros_like(out)
        shift[index] = h
        up, down = (_evaluate(loss, out + s, label)[0].asnumpy().sum() for s in (shift, -shift))
        assert grad[index] == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("dtype, rtol", [("float16", 5e-3), ("float32", 1e-5)])
@pytest.mark.parametrize("name", NAMES)
def test_lower_precision(name, dtype, rtol):
    make, out, label, exact, gradient = CASES[name]
    value, grad = _evaluate(make(), out, label, dtype=dtype)
    assert value.dtype == np.float32  # float16 is computed in float32; only its inputs and gradients are rounded
    assert grad.dtype == np.dtype(dtype)
    np.testing.assert_allclose(value.asnumpy(), exact, rtol=rtol)
    np.testing.assert_allclose(grad, gradient, rtol=rtol * 4, atol=rtol * 4)


@pytest.mark.parametrize("label_dtype", ["int32", "int64", "uint8", "float16", "float64"])
@pytest.mark.parametrize("name", ["categorical", "categorical-padded", "categorical-pixels", "bernoulli", "poisson",
                                  "ordinal", "ordinal-learned", "negative-binomial", "categorical-noisy",
                                  "noisy-dirichlet"])
def test_labels_of_any_dtype(name, label_dtype):
    make, out, label, exact, _ = CASES[name]
    if name == "categorical-padded" and label_dtype == "uint8":     # which has no -1
        make, label = lambda: Categorical(ignore_label=255), label % 256
    for loss in (make(), make()):
        loss.hybridize()
        value, _ = _evaluate(loss, out, label, dtype="float32", label_dtype=label_dtype)
        np.testing.assert_allclose(value.asnumpy(), exact, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_inside_a_hybrid_block(name):
    make, out, label, exact, _ = CASES[name]

    class Wrapped(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.loss = make()

        def hybrid_forward(self, F, x, y):
            return self.loss(x, y)

    block = Wrapped()
    block.hybridize()
    np.testing.assert_allclose(block(nd.array(out, dtype="float64"), nd.array(label, dtype="float64")).asnumpy(),
                               exact, rtol=1e-10)


# ---------------------------------------------------------------- the traps

def test_gluons_own_losses_average_over_outputs_and_would_fail():
    """The mutant: with K outputs the mean is K times too small, in value and in gradient."""
    _, out, label, _, gradient = CASES["gaussian"]
    value, grad = _evaluate(gluon.loss.L2Loss(), out, label)
    exact, exact_grad = _evaluate(Gaussian(1.0), out, label)
    constant = K * 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(value.asnumpy() * K + constant, exact.asnumpy())
    np.testing.assert_allclose(grad * K, exact_grad)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(grad, exact_grad, rtol=0.5)

    _, out, label, exact, gradient = CASES["bernoulli"]
    value, grad = _evaluate(gluon.loss.SigmoidBCELoss(), out, label)
    np.testing.assert_allclose(value.asnumpy() * K, exact)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(grad, gradient, rtol=0.5)


@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "poisson"])
@pytest.mark.parametrize("out_shape, label_shape", [((N, 1), (N,)), ((N,), (N, 1)), ((N, 1), (N, 1)), ((N,), (N,))])
def test_n_against_n_1_is_not_n_by_n(name, out_shape, label_shape):
    make, out, label, _, _ = CASES[name]
    out, label = out[:, 0], label[:, 0]
    reference = _evaluate(make(), out[:, None], label[:, None])[0].asnumpy()
    for hybrid in (False, True):
        loss = make()
        if hybrid:
            loss.hybridize()
        value, grad = _evaluate(loss, out.reshape(out_shape), label.reshape(label_shape))
        assert value.shape == (N,) and grad.shape == out_shape
        np.testing.assert_allclose(value.asnumpy(), reference, rtol=1e-12)


def test_one_column_of_labels_is_read_as_labels():
    make, out, label, exact, _ = CASES["categorical"]
    np.testing.assert_allclose(_evaluate(make(), out, label[:, None])[0].asnumpy(), exact)
    learned = _evaluate(Gaussian("learned"), out[:, :2], label)[0].asnumpy()
    np.testing.assert_allclose(learned, -stats.norm.logpdf(label, out[:, 0], np.exp(out[:, 1])))


def test_bernoulli_at_zero_and_at_extreme_logits():
    logits, labels = np.array([0, 0, 1000, -1000, 1000, -1000.]), np.array([0, 1, 1, 0, 0, 1.])
    for dtype in ("float32", "float64"):
        value, grad = _evaluate(Bernoulli(), logits, labels, dtype=dtype)
        np.testing.assert_allclose(value.asnumpy(), [np.log(2), np.log(2), 0, 0, 1000, 1000], rtol=1e-6)
        np.testing.assert_allclose(grad, [.5, -.5, 0, 0, 1, -1], rtol=1e-6)
    # What the docstring says of Gluon's loss: at a logit of exactly 0 it loses the one half.
    assert _evaluate(gluon.loss.SigmoidBCELoss(), logits[:2, None], labels[:2])[1].ravel().tolist() == [0, -1]


def test_categorical_is_stable_and_agrees_with_gluon():
    out, label = np.array([[1000., -1000, 0], [0, 0, 0]]), [0, 2]
    value, grad = _evaluate(Categorical(), out, label, dtype="float32")
    gluons, gluons_grad = _evaluate(gluon.loss.SoftmaxCELoss(), out, label, dtype="float32")
    np.testing.assert_allclose(value.asnumpy(), gluons.asnumpy())
    np.testing.assert_allclose(grad, gluons_grad, atol=1e-7)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("loss, out, bad", [
    (Categorical, np.array([[1., 2, 3]] * 3), [3, -1, 0.5]), (Bernoulli, np.array([.5, -.5, 1.]), [-1, 2, 0.5]),
    (Poisson, np.array([.5, -.5, 1.]), [-1, -2, 0.5])])
def test_an_impossible_label_is_never_taken_for_another(loss, out, bad, hybrid):
    loss = loss()
    if hybrid:
        loss.hybridize()
    for number, label in enumerate(bad):
        labels = np.ones(3)
        labels[number] = label
        value, grad = _evaluate(loss, out, labels)
        wrong = np.arange(3) == number
        assert (np.isfinite(value.asnumpy()) == ~wrong).all()
        # The gradient of the other examples is untouched.
        assert (np.isfinite(grad.reshape(3, -1)).all(axis=1) == ~wrong).all()


@pytest.mark.parametrize("hybrid", [False, True])
def test_padding_is_no_evidence_to_the_last_bit(hybrid):
    _, out, label, _, _ = CASES["categorical-padded"]
    for ignored in (-1, 255, 2):        # a class may be ignored, too
        loss = Categorical(ignore_label=ignored)
        if hybrid:
            loss.hybridize()
        value, grad = _evaluate(loss, out, np.where(label < 0, ignored, label), dtype="float32")
        skipped = (label < 0) | (label == ignored)
        assert (grad[skipped] == 0).all() and (grad[~skipped] != 0).all()
        assert (value.asnumpy()[skipped.all(axis=1)] == 0).all() and skipped.all(axis=1).any()
    # Another label that is no class keeps its infinite loss, and is not taken for padding.
    value, _ = _evaluate(Categorical(ignore_label=-1), out, np.where(label < 0, -2, label))
    assert (np.isinf(value.asnumpy()) == (label < 0).any(axis=1)).all()
    assert np.isinf(_evaluate(Categorical(), out, label)[0].asnumpy()).any()


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("axis", [1, 2, 3, -3, -2])
def test_classes_along_any_axis(axis, hybrid):
    rng = np.random.RandomState(4)
    out = rng.randn(N, 3, 3, 3)         # equal lengths: no shape can tell the axes apart
    label = rng.randint(0, 3, (N, 3, 3))
    label[0, 0, 0] = -1
    loss = Categorical(ignore_label=-1, axis=axis)
    if hybrid:
        loss.hybridize()
    value, grad = _evaluate(loss, out, label)
    last = np.moveaxis(out, axis, -1)
    kept = (label >= 0)[..., None]
    exact = -np.take_along_axis(last - special.logsumexp(last, axis=-1, keepdims=True), label[..., None], -1) * kept
    gradient = np.moveaxis((special.softmax(last, -1) - np.eye(3)[label]) * kept, -1, axis)
    np.testing.assert_allclose(value.asnumpy(), exact.reshape(N, -1).sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(grad, gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(loss.predictive(out), special.softmax(out, axis=axis), rtol=1e-12)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan])
def test_an_impossible_sigma_of_a_label(sigma, hybrid):
    _, out, label, exact, _ = CASES["gaussian-label"]
    label = label.copy()
    label[1, K + 1] = sigma
    loss = Gaussian("label")
    if hybrid:
        loss.hybridize()
    value, grad = _evaluate(loss, out, label)
    wrong = np.arange(N) == 1
    assert (np.isfinite(value.asnumpy()) == ~wrong).all() and (np.isfinite(grad).all(axis=1) == ~wrong).all()
    np.testing.assert_allclose(value.asnumpy()[~wrong], exact[~wrong])


def test_sigma_of_a_label_with_one_output_and_with_steps():
    rng = np.random.RandomState(5)
    mean, y, sigma = rng.randn(N), rng.randn(N), rng.gamma(2.0, 1.0, N)
    label = np.stack([y, sigma], axis=-1)
    for out in (mean, mean[:, None]):
        np.testing.assert_allclose(_evaluate(Gaussian("label"), out, label)[0].asnumpy(),
                                   -stats.norm.logpdf(y, mean, sigma))
    mean, y, sigma = rng.randn(N, 4, 2), rng.randn(N, 4, 2), rng.gamma(2.0, 1.0, (N, 4, 2))
    np.testing.assert_allclose(
        _evaluate(Gaussian("label"), mean, np.concatenate([y, sigma], axis=-1))[0].asnumpy(),
        -stats.norm.logpdf(y, mean, sigma).sum(axis=(1, 2)))


# ---------------------------------------------------------------- the predictive, in NumPy

def test_kinds_and_names():
    assert [make().kind for make in (Categorical, Bernoulli, Gaussian, Poisson)] == ["classification"] * 2 + [
        "regression"] * 2
    assert [repr(x) for x in (Categorical(), Gaussian(), Gaussian([1, 2]), Gaussian("learned"))] == [
        "Categorical()", "Gaussian(sigma=1.0)", "Gaussian(sigma=[1.0, 2.0])", "Gaussian(sigma='learned')"]
    assert repr(StudentT(3.0, "learned", link="softplus")) == "StudentT(df=3.0, sigma='learned', link='softplus')"
    assert repr(Categorical(-1, 1)) == "Categorical(ignore_label=-1, axis=1)"


@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4)])
def test_predictives_equal_scipy(shape):
    out = np.random.RandomState(1).randn(*shape) * 5
    out[..., 0, 0] = -700.0  # where exp would underflow or overflow
    np.testing.assert_allclose(Categorical().predictive(out), special.softmax(out, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(Bernoulli().predictive(out), special.expit(out), rtol=1e-12)
    np.testing.assert_allclose(Poisson().predictive(out), np.exp(out))
    np.testing.assert_allclose(Poisson().noise_variance(out), np.exp(out))
    np.testing.assert_array_equal(Gaussian().predictive(out), out)
    np.testing.assert_array_equal(Gaussian("learned").predictive(out), out[..., :2])
    np.testing.assert_allclose(Gaussian("learned").noise_variance(out), np.exp(2 * out[..., 2:]))
    for sigma in (0.3, [1, 2, 3, 4]):
        variance = Gaussian(sigma).noise_variance(out)
        assert variance.shape == shape
        np.testing.assert_allclose(variance, np.broadcast_to(np.square(sigma), shape), rtol=1e-12)


def test_predictives_keep_single_precision_and_widen_half():
    for loss in (Categorical(), Bernoulli(), Gaussian(2.0), Gaussian("learned"), Poisson()):
        for dtype, kept in ((np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64)):
            assert loss.predictive(np.zeros((2, 4), dtype=dtype)).dtype == kept


def test_loss_and_predictive_are_the_same_distribution():
    _, out, label, exact, _ = CASES["categorical"]
    np.testing.assert_allclose(-np.log(Categorical().predictive(out)[np.arange(N), label]), exact)
    _, out, label, exact, _ = CASES["gaussian-learned"]
    loss = Gaussian("learned")
    density = stats.norm.logpdf(label, loss.predictive(out), np.sqrt(loss.noise_variance(out)))
    np.testing.assert_allclose(-density.sum(axis=1), exact)


def test_gaussian_cdf_equals_scipy():
    y = np.linspace(-45, 45, 2001)
    mean = np.zeros((2001, 1))
    np.testing.assert_allclose(Gaussian().cdf(y, mean)[:, 0], stats.norm.cdf(y), rtol=1e-7, atol=4e-16)
    out = np.random.RandomState(2).randn(3, 5, 4)
    np.testing.assert_allclose(Gaussian("learned").cdf(out[0, :, :2], out),
                               stats.norm.cdf(out[0, :, :2], out[..., :2], np.exp(out[..., 2:])), rtol=1e-7, atol=4e-16)
    np.testing.assert_allclose(Gaussian(SIGMAS + [9]).cdf(0.5, out), stats.norm.cdf(0.5, out, SIGMAS + [9]), rtol=1e-7)
    assert Gaussian().cdf([-np.inf, np.inf], np.zeros(2)).tolist() == [0, 1]


def test_a_sigma_by_softplus_grows_as_what_the_network_says():
    """Of 200 the log link makes a sigma that no float32 holds; the density stays what it is far below 0."""
    said = np.array([-30.0, -1.0, 0.0, 5.0, 200.0], dtype=np.float32)
    out = np.stack([np.zeros(5, dtype=np.float32), said], axis=1)
    loss = Gaussian("learned", link="softplus")
    sigma = np.logaddexp(0.0, said.astype(np.float64))
    np.testing.assert_allclose(loss.noise_variance(out)[:, 0], sigma**2, rtol=1e-6)
    np.testing.assert_allclose(StudentT(4.0, "learned", link="softplus").noise_variance(out)[:, 0], 2 * sigma**2,
                               rtol=1e-6)
    y = (0.5 * sigma)[:, np.newaxis].astype(np.float32)
    found = loss(nd.array(out), nd.array(y)).asnumpy()
    np.testing.assert_allclose(found, -stats.norm.logpdf(0.5 * sigma, 0.0, sigma), rtol=1e-5)
    with np.errstate(over="ignore"):
        assert np.isinf(Gaussian("learned").noise_variance(out)).any()


def test_noise_that_is_given_for_new_points():
    loss, rng = Gaussian("label"), np.random.RandomState(6)
    out, sigma, y = rng.randn(3, 5, 2), rng.gamma(2.0, 1.0, (5, 2)), rng.randn(5, 2)
    np.testing.assert_array_equal(loss.predictive(out), out)
    for noise_std in (sigma, sigma[:1], sigma[0], 0.7):
        scale = np.broadcast_to(noise_std, out.shape)
        np.testing.assert_allclose(loss.noise_variance(out, noise_std), scale ** 2)
        np.testing.assert_allclose(loss.cdf(y, out, noise_std), stats.norm.cdf(y, out, scale), rtol=1e-7, atol=4e-16)
    np.testing.assert_allclose(loss.cdf(y[:, :1], out[..., :1], sigma[:, 0]),       # (n,) is one an example
                               stats.norm.cdf(y[:, :1], out[..., :1], sigma[:, :1]), rtol=1e-7, atol=4e-16)
    sure = np.where(np.arange(2) == 1, 0.0, sigma)      # without noise y is the mean
    assert (loss.cdf(out[0], out, sure)[..., 1] == (out[0] >= out)[..., 1]).all()


@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.5, 3.0, 40.0, 1000.0])
def test_poisson_cdf_equals_scipy(rate):
    y = np.unique(np.round(np.concatenate([np.arange(-2, 9), rate + np.sqrt(rate) * np.linspace(-9, 9, 41)], 0)))
    with np.errstate(divide="ignore"):
        log_rate = np.full((len(y), 1), np.log(rate))
    np.testing.assert_allclose(Poisson().cdf(y, log_rate)[:, 0], stats.poisson.cdf(y, rate), rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(Poisson().cdf(y + 0.5, log_rate), Poisson().cdf(y, log_rate))
    assert Poisson().cdf([-np.inf, np.inf], log_rate[:2, 0]).tolist() == [0, 1]


def test_the_quantile_of_a_mixture_by_bisection():
    out = np.array([[[-2.0]], [[2.0]]])  # two posterior samples of one example
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if Gaussian(0.5).cdf(middle, out).mean() < 0.975 else (low, middle)
    assert (stats.norm.cdf(low, -2, 0.5) + stats.norm.cdf(low, 2, 0.5)) / 2 == pytest.approx(0.975, abs=1e-12)


def test_as_predictive():
    out = np.random.RandomState(3).randn(4, 3)
    np.testing.assert_allclose(as_predictive("softmax")(out), special.softmax(out, axis=-1))
    np.testing.assert_allclose(as_predictive("sigmoid")(out), special.expit(out))
    np.testing.assert_array_equal(as_predictive("identity")(out), out)
    np.testing.assert_array_equal(as_predictive(np.tanh)(out), np.tanh(out))
    np.testing.assert_array_equal(as_predictive(Poisson())(out), np.exp(out))
    three, four = np.random.RandomState(3).randn(4, 3, 2), np.random.RandomState(3).randn(4, 3, 2, 5)
    np.testing.assert_allclose(as_predictive("softmax")(three), special.softmax(three, axis=-1))
    for axis in (1, 2, 3, -1, -2, np.int64(-3)):
        np.testing.assert_allclose(as_predictive("softmax", axis)(four), special.softmax(four, axis=axis))


# ---------------------------------------------------------------- refusals

@pytest.mark.parametrize("sigma", [0, -1.0, np.nan, np.inf, "estimated", None, True, 1j, [], [[1.0, 2.0]], [1.0, 0.0],
                                   [1.0, np.nan], [1.0, "a"], {"sigma": 1}, [None]])
def test_bad_sigma(sigma):
    with pytest.raises(ValueError, match=r"^sigma: .*(standard deviation|one such number)"):
        Gaussian(sigma)


def test_sigma_is_fixed_and_not_an_ndarray():
    with pytest.raises(ValueError, match=r"sigma: got an MXNet NDArray; write sigma\.asnumpy\(\)"):
        Gaussian(nd.ones(2))
    loss = Gaussian(np.array([1.0, 2.0]))
    loss.sigma[0] = 7.0
    assert loss.sigma.tolist() == [1.0, 2.0]
    with pytest.raises(AttributeError):
        loss.sigma = 3.0


@pytest.mark.parametrize("call, message", [
    (lambda: Gaussian([1.0, 2.0])(nd.zeros((4, 3)), nd.zeros((4, 3))), r"sigma: has 2 entries but the network has 3"),
    (lambda: Gaussian([1.0, 2.0]).predictive(np.zeros((4, 3))), r"sigma: has 2 entries but the network has 3"),
    (lambda: Gaussian([1.0, 2.0])(nd.zeros(4), nd.zeros(4)), r"sigma: has 2 entries but the network has 1"),
    (lambda: Gaussian("learned")(nd.zeros((4, 3)), nd.zeros((4, 3))), r"output: .*2k entries.*\(4, 3\)"),
    (lambda: Gaussian("learned")(nd.zeros((4, 6)), nd.zeros((4, 6))), r"label: .*needs shape \(4, 3\).*got \(4, 6\)"),
    (lambda: Gaussian("learned").cdf(0.0, np.zeros(3)), r"output: .*2k entries"),
    (lambda: Gaussian()(nd.zeros((4, 3)), nd.zeros(4)), r"label: .*needs shape \(4, 3\).*got \(4,\)"),
    (lambda: Poisson()(nd.zeros((4, 3)), nd.zeros((3, 4))), r"label: .*got \(3, 4\)"),
    (lambda: Bernoulli()(nd.zeros((4, 1)), nd.zeros((1, 4))), r"label: .*got \(1, 4\)"),
    (lambda: Bernoulli()(nd.zeros((4, 1)), nd.zeros(3)), r"label: .*got \(3,\)"),
    (lambda: Categorical()(nd.zeros((4, 3)), nd.zeros((4, 3))), r"label: .*got \(4, 3\)\. For one-hot.*argmax"),
    (lambda: Categorical()(nd.zeros((4, 5, 3)), nd.zeros(4)), r"label: .*needs shape \(4, 5\)"),
    (lambda: Categorical()(nd.zeros(4), nd.zeros(4)), r"output: .*got \(4,\).*Bernoulli\(\)"),
    (lambda: Categorical()(nd.zeros((4, 3, 2, 5)), nd.zeros((4, 2, 5))), r"label: .*needs shape \(4, 3, 2\).*axis=1"),
    (lambda: Categorical(axis=1)(nd.zeros((4, 3, 5)), nd.zeros((4, 3, 5))), r"label: .*\(4, 5\).*argmax\(axis=1\)"),
    (lambda: Categorical(axis=2)(nd.zeros((4, 3)), nd.zeros(4)), r"axis: got 2, .*shape \(4, 3\).*axis=1"),
    (lambda: Categorical(axis=-2)(nd.zeros((4, 3)), nd.zeros(4)), r"axis: got -2, .*the first is that of the examples"),
    (lambda: Categorical(axis=2).predictive(np.zeros((4, 3))), r"axis: got 2, .*shape \(4, 3\)"),
    (lambda: Gaussian("label")(nd.zeros((4, 3)), nd.zeros((4, 3))), r"label: .*needs shape \(4, 6\).*y and then its"),
    (lambda: Gaussian("label")(nd.zeros(4), nd.zeros(4)), r"label: .*needs shape \(4, 2\)"),
    (lambda: Gaussian("label")(nd.zeros((4, 1)), nd.zeros((4, 2, 1))), r"label: .*last axis.*got \(4, 2, 1\)"),
    (lambda: Gaussian("label").noise_variance(np.zeros(3)), r"noise_std: is not given.*a number or array"),
    (lambda: Gaussian("label").cdf(0.0, np.zeros((4, 2)), np.ones(3)), r"noise_std: shape \(3,\) does not fit"),
    (lambda: Gaussian(2.0).cdf(0.0, np.zeros(3), 1.0), r"noise_std: Gaussian\(sigma=2.0\) knows its own.*'label'"),
    (lambda: as_predictive("softmax")(np.zeros((2, 3, 4, 5))), r"axis: is not given.*axis=1 for \(N, C, H, W\)"),
    (lambda: as_predictive("softmax", 4)(np.zeros((2, 3, 4, 5))), r"axis: got 4, .*\(2, 3, 4, 5\)"),
    (lambda: as_predictive("softmax", 0), r"axis: got 0, which is no axis of classes; the first"),
    (lambda: as_predictive("sigmoid", 1), r"axis: got 1 beside 'sigmoid', which takes every output by itself"),
    (lambda: as_predictive("identity", 1), r"axis: got 1 beside 'identity', which takes every output by itself"),
    (lambda: as_predictive(np.tanh, 1), r"axis: got 1 beside a function"),
    (lambda: as_predictive(Categorical(), 1), r"axis: got 1 beside Categorical\(\).*Categorical\(axis=1\)"),
    (lambda: as_predictive("relu", 1), r"activation: got 'relu'"),
    (lambda: Gaussian().cdf(np.zeros(3), np.zeros((4, 2))), r"y: shape \(3,\) does not fit.*\(4, 2\)"),
    (lambda: Categorical().predictive(np.float64(1.0)), r"output: softmax needs a last axis"),
])
def test_shapes_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("make", [Categorical, Bernoulli, Gaussian, Poisson])
def test_arrays_of_the_wrong_kind(make):
    with pytest.raises(TypeError, match=r"label: need an NDArray.*mx\.nd\.array"):
        make()(nd.zeros((2, 2)), np.zeros(2))
    with pytest.raises(TypeError, match=r"output: got an MXNet NDArray.*output\.asnumpy\(\)"):
        make().predictive(nd.zeros((2, 2)))
    with pytest.raises(TypeError, match=r"output: need an array of real numbers"):
        make().predictive("outputs")


@pytest.mark.parametrize("activation", [None, "relu", 3, "Softmax", Categorical, gluon.loss.L2Loss(), ["softmax"]])
def test_bad_activation(activation):
    with pytest.raises(ValueError, match=r"^activation: got .*'identity', 'sigmoid', 'softmax'.*Categorical\(\)"):
        as_predictive(activation)


def test_a_callable_that_leaves_numpy():
    with pytest.raises(TypeError, match=r"activation: .*returned NDArray.*asnumpy"):
        as_predictive(lambda out: nd.array(out))(np.zeros((2, 2)))


def test_a_subclass_without_its_parts_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="predictive"):
        Likelihood().predictive(np.zeros(2))
    with pytest.raises(NotImplementedError, match="_nll"):
        Likelihood()(nd.zeros(2), nd.zeros(2))
