"""Agreement and total variation between chains and within them, against sums done by hand."""
import numpy as np
import pytest
from mxnet import gluon, nd
from planted_chains import Classifier, Line
from scipy import special

import sgmcmc_mx as sg
from sgmcmc_mx import diagnostics


def probabilities(model, runs):
    weights = np.array([[s["weight"].asnumpy() for s in chain] for chain in runs], np.float64)
    return special.softmax(np.einsum("cdki,ni->cdnk", weights, model.x), axis=-1)


def test_both_by_hand():
    model = Classifier(0, examples=40, inputs=5, classes=4)
    runs = model.good(3, 31)
    p = probabilities(model, runs)
    mean = p.mean(axis=1)
    variation = diagnostics.total_variation(runs, model.x, net=model.net, likelihood="softmax")
    same = diagnostics.agreement(runs, model.x, net=model.net, likelihood="softmax")
    for k, m in [(0, 1), (0, 2), (1, 2), (2, 1)]:
        assert variation.pairs[k, m] == pytest.approx(0.5 * np.abs(mean[k] - mean[m]).sum(-1).mean(), rel=1e-5)
        assert same.pairs[k, m] == np.mean(mean[k].argmax(-1) == mean[m].argmax(-1))
    halves = p[:, :15].mean(axis=1), p[:, -15:].mean(axis=1)
    apart = 0.5 * np.abs(halves[0] - halves[1]).sum(-1).mean(-1)
    np.testing.assert_allclose(np.diag(variation.pairs), apart, rtol=1e-5)
    np.testing.assert_array_equal(np.diag(same.pairs), (halves[0].argmax(-1) == halves[1].argmax(-1)).mean(-1))
    assert variation.between == pytest.approx(variation.pairs[np.triu_indices(3, 1)].mean())
    assert same.within == pytest.approx(np.diag(same.pairs).mean())


@pytest.mark.parametrize("seed", range(10))
def test_another_mode_is_further_away_than_a_chains_own_half(seed):
    model = Classifier(seed, examples=40)
    options = {"net": model.net, "likelihood": "softmax"}
    good = diagnostics.total_variation(model.good(2, 50), model.x, **options)
    bad = diagnostics.total_variation(model.planted("mode", 3, 50)[1:], model.x, **options)
    assert good.between < good.within < bad.within * 1.5 and bad.between > 2 * bad.within


def test_chance_is_foretold():
    """Between averages over independent samples total variation is what the variance within chains says."""
    model = Classifier(0, examples=300)
    found = diagnostics.summary(model.good(4, 100), model.x, net=model.net, likelihood="softmax")["agreement"].detail
    measured, foretold = (float(part.split()[-1]) for part in found.split(","))
    assert measured == pytest.approx(foretold, rel=0.2)


def test_yes_or_no_is_two_classes():
    model = Classifier(0, examples=20, inputs=3, classes=2)
    two = model.good(2, 20)
    net = gluon.nn.Dense(1, in_units=3, use_bias=False)
    net.initialize()
    one = [[sg.Sample({"weight": nd.array(w[1:] - w[:1])}, step=s.step) for s in c for w in [s["weight"].asnumpy()]]
           for c in two]
    a = diagnostics.total_variation(two, model.x, net=model.net, likelihood="softmax")
    b = diagnostics.total_variation(one, model.x, net=net, likelihood="sigmoid")
    np.testing.assert_allclose(a.pairs, b.pairs, rtol=1e-4)


def test_a_single_chain_has_nothing_between():
    model = Classifier(0, examples=10, inputs=3, classes=2)
    found = diagnostics.agreement(model.good(1, 20)[0], model.x, net=model.net, likelihood="softmax")
    assert np.isnan(found.between) and found.within == found.pairs[0, 0]


def test_a_regression_has_no_classes():
    line = Line(0)
    with pytest.raises(ValueError, match="Gaussian.* has no classes.*of='probabilities'"):
        diagnostics.agreement(line.good(2, 20), line.x, net=line.net, likelihood=line.likelihood)
