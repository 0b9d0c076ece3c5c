"""Statistics over samples, against those computed from the prediction of every sample."""
import tracemalloc

import numpy as np
import pytest
from mxnet import gluon, nd
from random_chains import chain_of, initialised

import sgmcmc_mx as sg

NAMES = ("mean", "std", "mode", "confidence", "entropy", "expected_entropy", "mutual_information", "quantiles")


def dense(units=4):
    net, x = initialised(gluon.nn.Dense(units, in_units=5)), nd.random.normal(shape=(37, 5))
    return net, x, chain_of(net, x, samples=9)


def test_they_are_those_of_every_sample():
    net, x, chain = dense()
    each, w = sg.predict(net, chain, x, "softmax", samples=True, batch_size=10).astype(np.float64), chain.weights
    got = sg.predict(net, chain, x, "softmax", stats=NAMES, quantiles=(0.1, 0.5), batch_size=10)
    assert tuple(got) == NAMES
    mean = np.tensordot(w, each, 1)
    np.testing.assert_allclose(got["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(got["std"], np.sqrt(np.tensordot(w, (each - mean) ** 2, 1)), rtol=1e-9)
    np.testing.assert_array_equal(got["mode"], mean.argmax(1))
    np.testing.assert_allclose(got["confidence"], mean.max(1), rtol=1e-12)
    np.testing.assert_allclose(got["entropy"], sg.metrics.entropy(mean), rtol=1e-6)
    information = sg.metrics.mutual_information(each, w)
    np.testing.assert_allclose(got["mutual_information"], information, rtol=1e-5)
    np.testing.assert_allclose(got["expected_entropy"], got["entropy"] - information, rtol=1e-5)
    for q, found in zip((0.1, 0.5), got["quantiles"]):
        # the least value whose weight from below reaches q
        assert (np.tensordot(w, each <= found[None], 1) >= q - 1e-9).all()
        assert (np.tensordot(w, each < found[None], 1) < q).all()


def test_quantiles_of_equal_weights_are_numpys():
    net, x, chain = dense()
    equal = sg.MemoryStore([sg.Sample(dict(s), s.step) for s in chain])
    each = sg.predict(net, equal, x, "softmax", samples=True)
    got = sg.predict(net, equal, x, "softmax", stats="quantiles", quantiles=(0.05, 0.33, 0.95))["quantiles"]
    np.testing.assert_array_equal(got, np.quantile(each, (0.05, 0.33, 0.95), axis=0, method="inverted_cdf"))


def test_of_probabilities_one_by_one():
    net, x, chain = dense(2)
    p = sg.predict(net, chain, x, "sigmoid", samples=True).astype(np.float64)
    mean = np.tensordot(chain.weights, p, 1)
    for activation in ("sigmoid", sg.likelihoods.Bernoulli()):
        got = sg.predict(net, chain, x, activation, stats=("entropy", "mode", "confidence"))
        np.testing.assert_allclose(got["entropy"], -mean * np.log(mean) - (1 - mean) * np.log(1 - mean), rtol=1e-9)
        np.testing.assert_array_equal(got["mode"], mean > 0.5)
        np.testing.assert_allclose(got["confidence"], np.maximum(mean, 1 - mean))


def test_of_pixels_the_classes_lie_along_their_axis():
    net, x = initialised(gluon.nn.Conv2D(3, 1, in_channels=2)), nd.random.normal(shape=(6, 2, 4, 5))
    chain = chain_of(net, x)
    mean = sg.predict(net, chain, x, "softmax", axis=1)
    for kwargs in ({"activation": "softmax", "axis": 1}, {"activation": sg.likelihoods.Categorical(axis=1)}):
        got = sg.predict(net, chain, x, stats=("mode", "entropy"), **kwargs)
        np.testing.assert_array_equal(got["mode"], mean.argmax(1))
        np.testing.assert_allclose(got["entropy"], -(mean * np.log(mean)).sum(1), rtol=1e-9)


@pytest.mark.parametrize("kwargs, message", [
    ({"stats": "mutual_info"}, "did you mean 'mutual_information'"),
    ({"stats": ("mean", 3)}, "stats has 3, which is none"),
    ({"stats": "quantiles"}, "belong together"),
    ({"stats": "mean", "quantiles": (0.5,)}, "belong together"),
    ({"stats": "mean", "samples": True}, "exclude each other"),
    ({"stats": "entropy", "activation": "identity"}, "are of probabilities"),
    ({"stats": "entropy", "activation": np.exp}, "no probabilities that sum to 1 along the last axis"),
    ({"stats": "mean", "activation": sg.likelihoods.Gaussian(1.0)}, "is of a regression"),
])
def test_what_makes_no_sense_is_named(kwargs, message):
    net, x, chain = dense()
    with pytest.raises(ValueError, match=message):
        sg.predict(net, chain, x, **{"activation": "softmax", **kwargs})


def test_memory_does_not_grow_with_the_samples():
    net, x = initialised(gluon.nn.Dense(50, in_units=5)), np.random.RandomState(0).normal(size=(2000, 5))
    peaks = []
    for number in (5, 40):
        chain = chain_of(net, nd.array(x[:2]), samples=number)
        tracemalloc.start()
        sg.predict(net, chain, x, "softmax", stats=("mean", "entropy", "mutual_information"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_quantiles_hold_the_outputs_of_a_part_of_the_rows(monkeypatch):
    """However many classes there are: 40 samples of 2,000 rows and 50 classes make 16 MB."""
    monkeypatch.setattr("sgmcmc_mx.prediction.chunks.CHUNK_BYTES", 1 << 20)
    net, x = initialised(gluon.nn.Dense(50, in_units=5)), np.random.RandomState(0).normal(size=(2000, 5))
    chain = chain_of(net, nd.array(x[:2]), samples=40)
    each = sg.predict(net, chain, x, "softmax", samples=True)
    tracemalloc.start()
    got = sg.predict(net, chain, x, "softmax", stats="quantiles", quantiles=(0.5,))["quantiles"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6
    assert (np.tensordot(chain.weights, each <= got + 1e-6, 1) >= 0.5 - 1e-9).all()
