"""-log p against scipy's densities, gradients against closed forms, and the traps of averaging and broadcasting."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd, npx
from scipy import special, stats

from sgmcmc_mx.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood, Poisson, as_predictive

N, K = 6, 3
SIGMAS = [0.5, 1.0, 4.0]


def _log_softmax(x):
    return x - special.logsumexp(x, axis=-1, keepdims=True)


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
    return {
        "categorical": (Categorical, out, yes[:, 0] * 2, total(_log_softmax(out)[np.arange(N), yes[:, 0] * 2]),
                        special.softmax(out, -1) - np.eye(K)[yes[:, 0] * 2]),
        "categorical-sequence": (Categorical, sequence, steps,
                                 total(np.take_along_axis(_log_softmax(sequence), steps[..., None], -1)),
                                 special.softmax(sequence, -1) - np.eye(5)[steps]),
        "bernoulli": (Bernoulli, out, yes, total(stats.bernoulli.logpmf(yes, special.expit(out))),
                      special.expit(out) - yes),
        "gaussian": (lambda: Gaussian(0.7), out, real, total(stats.norm.logpdf(real, out, 0.7)), (out - real) / 0.49),
        "gaussian-per-output": (lambda: Gaussian(SIGMAS), out, real, total(stats.norm.logpdf(real, out, SIGMAS)),
                                (out - real) / np.square(SIGMAS)),
        "gaussian-learned": (lambda: Gaussian("learned"), wide, real, total(stats.norm.logpdf(real, mean, sigma)),
                             np.concatenate([-residual / sigma ** 2, 1 - (residual / sigma) ** 2], axis=1)),
        "poisson": (Poisson, out, counts, total(stats.poisson.logpmf(counts, np.exp(out))), np.exp(out) - counts),
    }


CASES = _cases()
NAMES = sorted(CASES)


def _evaluate(loss, out, label, array=nd.array, dtype="float64", label_dtype=None):
    x, y = array(out, dtype=dtype), array(label, dtype=label_dtype or dtype)
    x.attach_grad()
    with autograd.record():
        value = loss(x, y)
    value.backward()
    return value, x.grad.asnumpy()


@pytest.fixture
def numpy_mode():
    npx.set_np()
    yield
    npx.reset_np()


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
@pytest.mark.parametrize("name", ["categorical", "bernoulli", "poisson"])
def test_labels_of_any_dtype(name, label_dtype):
    make, out, label, exact, _ = CASES[name]
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


# ---------------------------------------------------------------- the predictive, in NumPy

def test_kinds_and_names():
    assert [make().kind for make in (Categorical, Bernoulli, Gaussian, Poisson)] == ["classification"] * 2 + [
        "regression"] * 2
    assert [repr(x) for x in (Categorical(), Gaussian(), Gaussian([1, 2]), Gaussian("learned"))] == [
        "Categorical()", "Gaussian(sigma=1.0)", "Gaussian(sigma=[1.0, 2.0])", "Gaussian(sigma='learned')"]


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
    (lambda: Gaussian().cdf(np.zeros(3), np.zeros((4, 2))), r"y: shape \(3,\) does not fit.*\(4, 2\)"),
    (lambda: Categorical().predictive(np.float64(1.0)), r"output: softmax needs a last axis"),
])
def test_shapes_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("make", [Categorical, Bernoulli, Gaussian, Poisson])
def test_a_likelihood_has_no_weights(make):
    for name in ("weight", "batch_axis"):
        with pytest.raises(TypeError, match=f"^{name}: .*a weighted likelihood is not a likelihood"):
            make(**{name: 1})
    with pytest.raises(TypeError):
        make()(nd.zeros((2, 2)), nd.zeros(2), nd.ones(2))


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
