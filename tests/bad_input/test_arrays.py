"""Likelihoods, metrics and pictures (tests/likelihoods, tests/metrics and tests/plot have more)."""
import numpy as np
import pytest
from mxnet import nd

from sgmcmc_mx import metrics, plot
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

from .harness import INF, NAN, check, rows

P = np.array([[0.2, 0.8], [0.6, 0.4]])
EACH = np.stack([P, P])
FLAT = np.zeros((2, 4))
SIGMA, OUTPUT = "Pass the noise's standard deviation: a number > 0", "Pass the network's outputs"
IGNORE, AXIS, WEIGHT = "Write ignore_label=-1", "axis=-1 where the classes are last", "Write mx.nd.array(weight"
NUMBERS, EQUAL, BINS = "dtype=float)", "Leave it out for equal ones", "Write bins=15"
FIGURE, BASELINES = "leave it out for a new figure", "write {'SGD network': 5.0}"


class Foreign:
    """Nothing is converted behind the user's back."""

    def asnumpy(self):
        raise AssertionError("converted")


def array(*shape, dtype="float32"):
    return nd.zeros(shape, dtype=dtype)


LIKELIHOODS = [
    ("NaN sigma", lambda w: Gaussian(NAN), ValueError, "sigma", "got nan", SIGMA),
    ("infinite sigma", lambda w: Gaussian([1, INF]), ValueError, "sigma", "got [1, inf]", SIGMA),
    ("True sigma", lambda w: Gaussian(True), ValueError, "sigma", "got True", SIGMA),
    ("table of sigmas", lambda w: Gaussian(np.ones((2, 2))), ValueError, "sigma", "got array", SIGMA),
    ("no sigmas", lambda w: Gaussian([]), ValueError, "sigma", "got []", SIGMA),
    ("sigma of words", lambda w: Gaussian("learn"), ValueError, "sigma", "'learn'", SIGMA),
    ("uneven sigmas", lambda w: Gaussian([[1], [2, 3]]), ValueError, "sigma", "got [[1], [2, 3]]", SIGMA),
    ("NDArray sigma", lambda w: Gaussian(array(1)), ValueError, "sigma", "NDArray", "write sigma.asnumpy()"),
    ("NumPy output", lambda w: Categorical()(P, np.zeros(2)), TypeError, "output", "got ndarray",
     "mx.nd.array(output)"),
    ("no output", lambda w: Poisson()(None, None), TypeError, "output", "got NoneType", "mx.nd.array(output)"),
    ("list output", lambda w: Bernoulli()([1.0], [1]), TypeError, "output", "got list", "mx.nd.array(output)"),
    ("no label", lambda w: Categorical()(array(2, 3), None), TypeError, "label", "got NoneType", "mx.nd.array(label"),
    ("whole output", lambda w: Categorical()(array(2, 3, dtype="int32"), array(2)), TypeError, "output", "got int32",
     "output.astype('float32')"),
    ("whole count", lambda w: Poisson()(array(2, dtype="int64"), array(2)), TypeError, "output", "got int64",
     "output.astype('float32')"),
    ("classes in rows", lambda w: Categorical()(array(2, 3), array(3)), ValueError, "label", "got (3,)",
     "one class number"),
    ("complex output", lambda w: Categorical().predictive(np.ones(3, complex)), TypeError, "output", "complex128",
     OUTPUT),
    ("uneven outputs", lambda w: Poisson().predictive([[1], [2, 3]]), TypeError, "output", "object", OUTPUT),
    ("NDArray output", lambda w: Gaussian().noise_variance(array(3)), TypeError, "output", "NDArray",
     "Write output.asnumpy()"),
    ("y of words", lambda w: Gaussian().cdf("a", np.zeros(3)), TypeError, "y: ", "got str", "Write np.asarray(y"),
    ("NDArray y", lambda w: Poisson().cdf(array(3), np.zeros(3)), TypeError, "y: ", "NDArray", "Write y.asnumpy()"),
    ("y of another length", lambda w: Poisson().cdf(np.zeros(4), np.zeros(3)), ValueError, "y: ", "(4,)",
     "Pass one value per example"),
    ("ignored word", lambda w: Categorical(ignore_label="pad"), TypeError, "ignore_label", "got 'pad'", IGNORE),
    ("ignored half", lambda w: Categorical(ignore_label=-0.5), TypeError, "ignore_label", "got -0.5", IGNORE),
    ("ignored yes", lambda w: Categorical(ignore_label=True), TypeError, "ignore_label", "got True", IGNORE),
    ("ignored list", lambda w: Categorical([-1, 255]), TypeError, "ignore_label", "got [-1, 255]", IGNORE),
    ("axis of examples", lambda w: Categorical(axis=0), ValueError, "axis", "got 0", AXIS),
    ("no axis", lambda w: Categorical(axis=None), TypeError, "axis", "got None", AXIS),
    ("half an axis", lambda w: Categorical(axis=1.5), TypeError, "axis", "got 1.5", AXIS),
    ("axis that is not there", lambda w: Categorical(axis=4)(array(2, 3, 4, 5), array(2, 4, 5)), ValueError, "axis",
     "got 4, which is no axis of classes of outputs of shape (2, 3, 4, 5)", AXIS),
    ("label of classes last", lambda w: Categorical()(array(2, 3, 4, 5), array(2, 4, 5)), ValueError, "label",
     "got (2, 4, 5)", "Categorical(axis=1)"),
    ("no outputs beside sigma", lambda w: Gaussian("global")(array(2, 1), array(2)), ValueError, "output",
     "got shape (2, 1)", "End the network with sgmcmc_mx.nn.LogSigma()"),
    ("odd outputs of a Student", lambda w: StudentT(4, "learned")(array(2, 3), array(2)), ValueError, "output",
     "StudentT(sigma='learned')", "twice as many outputs"),
    ("a link that is none", lambda w: Gaussian("learned", link="exp"), ValueError, "link", "got 'exp'",
     "must be 'log' or 'softplus'"),
    ("a link of a sigma that is known", lambda w: StudentT(4.0, 0.3, link="softplus"), ValueError, "link", "'softplus'",
     "Write sigma='learned'"),
    ("a Student of one", lambda w: StudentT(1.0), ValueError, "df", "got 1.0", "Write df=4.0"),
    ("df of words", lambda w: StudentT("4"), TypeError, "df", "got '4'", "Write df=4.0"),
    ("no df", lambda w: StudentT(NAN), ValueError, "df", "got nan", "Write df=4.0"),
    ("sigma of a Student", lambda w: StudentT(4, -1.0), ValueError, "sigma", "got -1.0", SIGMA),
    ("size of 0", lambda w: NegativeBinomial(0), ValueError, "size", "got 0", "Write size=5.0, or size='learned'"),
    ("size of words", lambda w: NegativeBinomial("r"), TypeError, "size", "got 'r'", "size='learned'"),
    ("odd outputs of counts", lambda w: NegativeBinomial()(array(2, 3), array(2)), ValueError, "output",
     "got shape (2, 3)", "sgmcmc_mx.nn.LogSigma(k)"),
    ("noise of 1", lambda w: Categorical(label_noise=1.0), ValueError, "label_noise", "got 1.0",
     "Write label_noise=0.05"),
    ("noise of words", lambda w: Categorical(label_noise="some"), TypeError, "label_noise", "got 'some'",
     "Write label_noise=0.05"),
    ("alpha of 0", lambda w: NoisyDirichlet(0.0), ValueError, "alpha", "got 0.0", "Write alpha=0.01"),
    ("alpha of words", lambda w: NoisyDirichlet("1"), TypeError, "alpha", "got '1'", "Write alpha=0.01"),
    ("cuts that fall", lambda w: Ordinal([1, 0]), ValueError, "cuts", "got [1, 0]", "numbers that rise"),
    ("one cut", lambda w: Ordinal([0.0]), ValueError, "cuts", "got [0.0]", "numbers that rise"),
    ("cuts of words", lambda w: Ordinal("given"), ValueError, "cuts", "'given'", "Write cuts='learned'"),
    ("NDArray cuts", lambda w: Ordinal(array(2)), TypeError, "cuts", "NDArray", "Write cuts.asnumpy()"),
    ("two scores", lambda w: Ordinal([0, 1])(array(2, 2), array(2)), ValueError, "output", "got (2, 2)", "Dense(1)"),
    ("too few outputs for cuts", lambda w: Ordinal()(array(2, 2), array(2)), ValueError, "output", "got shape (2, 2)",
     "Bernoulli() for two classes"),
    ("weight when made", lambda w: Poisson(weight=2.0), TypeError, "weight", "got 2.0",
     "call loss(output, label, weight)"),
    ("list of weights", lambda w: Gaussian()(array(2), array(2), [1, 2]), TypeError, "weight", "got list", WEIGHT),
    ("number for weight", lambda w: Gaussian()(array(2), array(2), 2.0), TypeError, "weight", "got float", WEIGHT),
    ("NumPy weights", lambda w: Bernoulli()(array(2), array(2), P[0]), TypeError, "weight", "got ndarray", WEIGHT),
    ("weights of another batch", lambda w: Poisson()(array(2), array(2), array(3)), ValueError, "weight", "got (3,)",
     "shape (2,)"),
    ("weights of outputs", lambda w: Poisson()(array(2, 3), array(2, 3), array(2, 3)), ValueError, "weight",
     "got (2, 3)", "one number an example"),
    ("weights in a row", lambda w: Poisson()(array(2, 3), array(2, 3), array(1, 2)), ValueError, "weight", "got (1, 2)",
     "shape (2,)"),
    ("label without its sigma", lambda w: Gaussian("label")(array(2, 3), array(2, 3)), ValueError, "label",
     "got (2, 3)", "np.concatenate([y, sigma], axis=-1)"),
    ("noise of a new point", lambda w: Gaussian("label").noise_variance(np.zeros(3)), ValueError, "noise_std",
     "is not given", "Pass its standard deviation"),
    ("noise that is known", lambda w: Gaussian(2.0).cdf(0.0, np.zeros(3), 1.0), ValueError, "noise_std",
     "Gaussian(sigma=2.0)", "Leave it out"),
    ("no classes", lambda w: Categorical().predictive(np.zeros((3, 0))), ValueError, "output", "(3, 0)",
     "needs a last axis of classes"),
]

METRICS = [
    ("uneven rows", lambda w: metrics.accuracy([[0.1, 0.9], [1.0]], [0, 1]), TypeError, "probs", "object", NUMBERS),
    ("number", lambda w: metrics.brier(0.5, 0), ValueError, "probs", "got ()", "Average over samples first"),
    ("NDArrays in a list", lambda w: metrics.nll([array(2), array(2)], [0, 1]), TypeError, "probs", "NDArray",
     "Write probs.asnumpy()"),
    ("words for labels", lambda w: metrics.accuracy(P, ["a", "b"]), TypeError, "labels", "dtype <U1", NUMBERS),
    ("no labels", lambda w: metrics.ece(P, None), TypeError, "labels", "NoneType", NUMBERS),
    ("infinite label", lambda w: metrics.nll(P, [0, INF]), ValueError, "labels", "inf is not an integer",
     "class numbers"),
    ("label above int64", lambda w: metrics.nll(P, np.array([0, 2 ** 63], np.uint64)), ValueError, "labels",
     "9223372036854775808", "class numbers 0 .. 1"),
    ("label above float", lambda w: metrics.brier(P, [0, 2 ** 70]), TypeError, "labels", "object", NUMBERS),
    ("label 1e300", lambda w: metrics.accuracy(P, [0, 1e300]), ValueError, "labels", "1e+300", "class numbers 0 .. 1"),
    ("logits", lambda w: metrics.entropy([[-1.0, 2.0]]), ValueError, "probs", "-1", "activation='softmax'"),
    ("word", lambda w: metrics.entropy("softmax"), TypeError, "probs", "got str", NUMBERS),
    ("NaN bins", lambda w: metrics.ece(P, [0, 1], NAN), TypeError, "bins", "got nan", BINS),
    ("a trillion bins", lambda w: metrics.ece(P, [0, 1], 10 ** 12), ValueError, "bins", "got 1000000000000", BINS),
    ("no draws", lambda w: metrics.ece_if_calibrated(P, draws=0), ValueError, "draws", "got 0", "such as draws=1000"),
    ("labels as bins", lambda w: metrics.ece_if_calibrated(P, [0, 1]), TypeError, "bins", "got [0, 1]", BINS),
    ("a large seed", lambda w: metrics.ece_if_calibrated(P, seed=2 ** 32), ValueError, "seed", "got 4294967296",
     "below 2**32"),
    ("bins above int64", lambda w: metrics.reliability(P, [0, 1], 10 ** 30), ValueError, "bins", "at most 1,000,000",
     BINS),
    ("one sample", lambda w: metrics.mutual_information(P), ValueError, "samples", "got (2, 2)", "samples=True"),
    ("infinite weight", lambda w: metrics.mutual_information(EACH, [1, INF]), ValueError, "weights", "inf]", EQUAL),
    ("word for weights", lambda w: metrics.mutual_information(EACH, "ab"), TypeError, "weights", "got str", NUMBERS),
    ("NaN label of scores", lambda w: metrics.auroc([1, 2], [0, NAN]), ValueError, "labels", "nan",
     "class numbers 0 .. 1"),
    ("one class only", lambda w: metrics.auroc([1, 2], [True, True]), ValueError, "labels", "all are 1",
     "examples of both"),
]

PICTURES = [
    ("ax of reliability", lambda w: plot.reliability(P, [0, 1], ax=3), TypeError, "ax", "got 3", FIGURE),
    ("labels of reliability", lambda w: plot.reliability(P, [0, 5]), ValueError, "labels", "5 at position 1",
     "Number the classes from 0"),
    ("bins of reliability", lambda w: plot.reliability(P, [0, 1], bins=0), ValueError, "bins", "got 0", BINS),
    ("probabilities of reliability", lambda w: plot.reliability(np.ones((2, 2)), [0, 1]), ValueError, "probs",
     "row 0 sums to 2", "activation='softmax'"),
    ("no scores", lambda w: plot.error_by_samples([]), ValueError, "average", "(0,)", "look for what left it empty"),
    ("single too short", lambda w: plot.error_by_samples([1.0, 2.0], [1.0]), ValueError, "single",
     "has 1 values where 2", "give one for each"),
    ("array of another library", lambda w: plot.error_by_samples(Foreign()), TypeError, "average", "Foreign",
     "average.asnumpy()"),
    ("word for scores", lambda w: plot.error_by_samples("abc"), TypeError, "average", "got str", NUMBERS),
    ("table of scores", lambda w: plot.error_by_samples(P), ValueError, "average", "(2, 2)", "write np.ravel(average)"),
    ("ax of scores", lambda w: plot.error_by_samples([1.0], ax="a"), TypeError, "ax", "got 'a'", FIGURE),
    ("list of baselines", lambda w: plot.error_by_samples([1.0], baselines=[5.0]), TypeError, "baselines", "got [5.0]",
     BASELINES),
    ("word for a baseline", lambda w: plot.error_by_samples([1.0], baselines={"SGD": "b"}), TypeError,
     "baselines['SGD']", "got 'b'", BASELINES),
    ("NaN baseline", lambda w: plot.error_by_samples([1.0], baselines={"SGD": NAN}), ValueError, "baselines['SGD']",
     "got nan", BASELINES),
    ("logarithm of nothing", lambda w: plot.error_by_samples([-1.0], log=True), ValueError, "average",
     "the largest is -1", "write log=False"),
    ("word for log", lambda w: plot.error_by_samples([1.0], log="no"), TypeError, "log", "got 'no'", "True or False"),
    ("NDArray samples", lambda w: plot.uncertain_images(FLAT, array(2, 2, 2)), TypeError, "samples", "NDArray",
     "samples.asnumpy()"),
    ("word for samples", lambda w: plot.uncertain_images(FLAT, "abc"), TypeError, "samples", "got str", NUMBERS),
    ("raw outputs", lambda w: plot.uncertain_images(FLAT, EACH + 1), ValueError, "probs", "row 0 sums to 3", "softmax"),
    ("mean in place of samples", lambda w: plot.uncertain_images(FLAT, P), ValueError, "samples", "got (2, 2)",
     "samples=True"),
    ("an image too many", lambda w: plot.uncertain_images(np.zeros((3, 4)), EACH), ValueError, "images", "got (3, 4)",
     "need 2 images"),
    ("images not square", lambda w: plot.uncertain_images(np.zeros((2, 5)), EACH), ValueError, "images", "got (2, 5)",
     "square and flat (n, h * h)"),
    ("no images asked for", lambda w: plot.uncertain_images(FLAT, EACH, count=0), ValueError, "count", "got 0",
     "count=6"),
    ("half an image", lambda w: plot.uncertain_images(FLAT, EACH, count=1.5), TypeError, "count", "got 1.5", "count=6"),
    ("images of words", lambda w: plot.uncertain_images(["a", "b"], EACH), TypeError, "images", "<U1", NUMBERS),
    ("labels too few", lambda w: plot.uncertain_images(FLAT, EACH, [0]), ValueError, "labels", "got (1,)",
     "the same order"),
    ("label out of range", lambda w: plot.uncertain_images(FLAT, EACH, [0, 7]), ValueError, "labels", "7 at position 1",
     "Number the classes from 0"),
    ("label -1", lambda w: plot.uncertain_images(FLAT, EACH, [-1, 0]), ValueError, "labels", "-1 at position 0",
     "Number the classes from 0"),
    ("label of words", lambda w: plot.uncertain_images(FLAT, EACH, ["a", "b"]), TypeError, "labels", "<U1", NUMBERS),
    ("weights too few", lambda w: plot.uncertain_images(FLAT, EACH, weights=[1]), ValueError, "weights", "(1,)", EQUAL),
    ("weights 0", lambda w: plot.uncertain_images(FLAT, EACH, weights=[0, 0]), ValueError, "weights", "[0, 0]", EQUAL),
    ("negative weight", lambda w: plot.uncertain_images(FLAT, EACH, weights=[1, -2]), ValueError, "weights", "[1, -2]",
     EQUAL),
    ("True images", lambda w: plot.uncertain_images(FLAT, EACH, count=True), ValueError, "count", "True",
     "write count=6"),
    ("word for count", lambda w: plot.uncertain_images(FLAT, EACH, count="a"), TypeError, "count", "'a'",
     "write count=6"),
    ("number of classes", lambda w: plot.uncertain_images(FLAT, EACH, classes=2), TypeError, "classes", "got 2",
     "write classes=['shirt', 'bag', ...]"),
    ("a name too many", lambda w: plot.uncertain_images(FLAT, EACH, classes="abc"), ValueError, "classes", "3 names",
     "give one a class"),
    ("figure", lambda w: plot.uncertain_images(FLAT, EACH, figure=3), TypeError, "figure", "got 3", "leave it out"),
    ("nothing to trace", lambda w: plot.trace([], []), ValueError, "values", "(0,)", "look for what left it empty"),
    ("trace of words", lambda w: plot.trace([1], ["hot"]), TypeError, "values", "<U3", NUMBERS),
    ("table to trace", lambda w: plot.trace([1, 2], np.zeros((2, 2))), ValueError, "values", "(2, 2)",
     "np.ravel(values)"),
    ("no trace", lambda w: plot.trace(None, None), TypeError, "values", "NoneType", NUMBERS),
    ("complex trace", lambda w: plot.trace([1], [1j]), TypeError, "values", "complex128", NUMBERS),
    ("word for a target", lambda w: plot.trace([1], [1.0], "a"), TypeError, "target", "'a'", "or leave it out"),
    ("NaN target", lambda w: plot.trace([1], [1.0], NAN), ValueError, "target", "got nan", "or leave it out"),
    ("ax of a trace", lambda w: plot.trace([1], [1.0], ax=1), TypeError, "ax", "got 1", FIGURE),
    ("steps too few", lambda w: plot.trace([1], [1.0, 2.0]), ValueError, "steps", "has 1 values", "give one for each"),
    ("no width", lambda w: plot.band([0, 1], [0, 1]), ValueError, "band", "all None", "give one of them"),
    ("two widths", lambda w: plot.band([0, 1], [0, 1], [1, 1], quantiles=([0, 0], [1, 1])), ValueError,
     "std and quantiles", "both say how wide", "give one of them"),
    ("std too short", lambda w: plot.band([0, 1], [0, 1], [1]), ValueError, "std", "has 1 values", "give one for each"),
    ("negative std", lambda w: plot.band([0, 1], [0, 1], [1, -1]), ValueError, "std", "-1", "np.sqrt of a variance"),
    ("negative weight_std", lambda w: plot.band([0, 1], [0, 1], weight_std=[-2, 1]), ValueError, "weight_std", "-2",
     "np.sqrt of a variance"),
    ("x out of order", lambda w: plot.band([1, 0], [0, 1], [1, 1]), ValueError, "x: ", "increasing",
     "order = x.argsort()"),
    ("NaN x", lambda w: plot.band([0, NAN], [0, 1], [1, 1]), ValueError, "x: ", "must be finite",
     "order = x.argsort()"),
    ("x too short", lambda w: plot.band([0], [0, 1], [1, 1]), ValueError, "x: ", "has 1 values", "give one for each"),
    ("one quantile", lambda w: plot.band([0, 1], [0, 1], quantiles=[[1, 1]]), TypeError, "quantiles", "[[1, 1]]",
     "write quantiles=(a, b)"),
    ("number of quantiles", lambda w: plot.band([0, 1], [0, 1], quantiles=2), TypeError, "quantiles", "got 2",
     "write quantiles=(a, b)"),
    ("NDArray quantiles", lambda w: plot.band([0, 1], [0, 1], quantiles=array(2, 2)), TypeError, "quantiles", "NDArray",
     "quantiles.asnumpy()"),
    ("number for data", lambda w: plot.band([0, 1], [0, 1], [1, 1], data=3), TypeError, "data", "got 3", "data=(a, b)"),
    ("y of data too short", lambda w: plot.band([0, 1], [0, 1], [1, 1], data=([1, 2], [1])), ValueError, "data",
     "has 1 values", "give one for each"),
    ("truth too short", lambda w: plot.band([0, 1], [0, 1], [1, 1], truth=[1]), ValueError, "truth", "has 1 values",
     "give one for each"),
]


@pytest.mark.parametrize("row", rows(LIKELIHOODS))
def test_likelihoods(world, row):
    check(world, row)


@pytest.mark.parametrize("row", rows(METRICS))
def test_metrics(world, row):
    check(world, row)


@pytest.mark.parametrize("row", rows(PICTURES))
def test_pictures(world, row):
    from matplotlib import pyplot

    figures = pyplot.get_fignums()
    check(world, row)
    assert pyplot.get_fignums() == figures      # nothing is left open
