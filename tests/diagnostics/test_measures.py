"""R-hat and its kin are ArviZ's, of numbers formed here by hand; every refusal says what to write."""
import sys

import arviz as az
import numpy as np
import pytest
from mxnet import nd
from planted_chains import Classifier, Line
from scipy import special, stats

import sgmcmc_mx as sg
from sgmcmc_mx import diagnostics
from sgmcmc_mx.diagnostics import outputs

# Folded at their median, the two values around it are equal but for rounding, and either may have the lower rank.
TIE = 0.005


def weights_of(runs):
    return np.array([[s["weight"].asnumpy() for s in chain] for chain in runs], np.float64)


def by_arviz(function, values, **options):
    return function(az.convert_to_dataset({"x": values}), **options)["x"].values


@pytest.fixture
def line():
    return Line(0)


def test_a_regression(line):
    """log p of each example by SciPy; R-hat of its posterior's independent samples is 1, and each is worth one."""
    runs = line.good(4, 100)
    means = np.einsum("cdi,ni->cdn", weights_of(runs)[:, :, 0], line.x)
    expected = stats.norm.logpdf(line.y, means, line.sigma)
    given = (runs, line.x, line.y)
    options = {"net": line.net, "likelihood": line.likelihood}
    rhat = diagnostics.rhat(*given, **options)
    np.testing.assert_allclose(rhat, by_arviz(az.rhat, expected), atol=TIE)
    for kind in ("bulk", "tail", "mean"):
        np.testing.assert_allclose(diagnostics.ess(*given, kind=kind, **options),
                                   by_arviz(az.ess, expected, method=kind), rtol=0.02)
    np.testing.assert_allclose(diagnostics.mcse(*given, **options), by_arviz(az.mcse, expected), rtol=1e-3)
    assert rhat.max() < 1.05 and diagnostics.ess(*given, **options).min() > 200


def test_classes_and_their_main_directions():
    model = Classifier(0, examples=30, inputs=4, classes=3)
    runs = model.good(2, 50)
    logits = np.einsum("cdki,ni->cdnk", weights_of(runs), model.x)
    expected = special.log_softmax(logits, axis=-1)[:, :, np.arange(30), model.y]
    options = {"net": model.net, "likelihood": "softmax"}
    np.testing.assert_allclose(diagnostics.rhat(runs, model.x, model.y, **options), by_arviz(az.rhat, expected),
                               atol=TIE)
    np.testing.assert_allclose(diagnostics.mcse(runs, model.x, model.y, **options), by_arviz(az.mcse, expected),
                               rtol=1e-4)
    flat = special.softmax(logits, axis=-1).reshape(100, -1)
    flat -= flat.mean(axis=0)
    u, s, _ = np.linalg.svd(flat, full_matrices=False)
    np.testing.assert_allclose(
        diagnostics.mcse(runs, model.x, of="probabilities", count=3, **options),
        by_arviz(az.mcse, (u * s)[:, :3].reshape(2, 50, 3)), rtol=1e-3)


def test_directions_of_more_samples_than_are_held_against_each_other(line):
    """Predictions of a line lie in as many directions as it has weights: some samples know them all."""
    runs = line.good(4, 200)
    found = diagnostics.rhat(runs, line.x, of="probabilities", net=line.net, likelihood=line.likelihood)
    assert found.shape == (3,) and found.max() < 1.05


def test_potential_weights_and_projections():
    model = Classifier(1, examples=5, inputs=3, classes=2)
    runs = model.good(3, 40)
    potential = np.array([[s.potential for s in chain] for chain in runs])
    np.testing.assert_allclose(diagnostics.rhat(runs, of="potential"), by_arviz(az.rhat, potential))
    weights = weights_of(runs).reshape(3, 40, -1)
    np.testing.assert_allclose(diagnostics.rhat(runs, of="weights", weights="weight"), by_arviz(az.rhat, weights))
    np.testing.assert_allclose(diagnostics.ess(runs, of="weights", weights={"weight": [4, 0]}),
                               by_arviz(az.ess, weights[..., [4, 0]]))
    some, same, other = (diagnostics.mcse(runs, of="projections", count=4, seed=seed) for seed in (0, 0, 1))
    assert some.shape == (4,) and np.array_equal(some, same) and not np.array_equal(some, other)
    # Along a random direction r the variance is |r|^2 of each weight's, which all are the same.
    many = diagnostics.mcse(runs, of="projections", count=200) * np.sqrt(3 * 40)
    assert np.mean(many**2) == pytest.approx(6 * model.std**2, rel=0.3)


def test_memory_holds_a_block_of_examples(line, monkeypatch):
    whole = diagnostics.mcse(line.good(2, 20), line.x, line.y, net=line.net, likelihood=line.likelihood)
    line = Line(0)
    seen = []
    monkeypatch.setattr(outputs, "BLOCK_BYTES", 40 * 4 * 7)     # seven examples of forty samples
    predict = outputs.predict
    monkeypatch.setattr(outputs, "predict", lambda *a, **o: seen.append(len(a[2])) or predict(*a, **o))
    parts = diagnostics.mcse(line.good(2, 20), line.x, line.y, net=line.net, likelihood=line.likelihood)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
    assert seen == [1, 7, 7, 7, 7, 7, 5]


def test_a_single_chain_is_held_against_itself(line):
    chain = line.good(1, 100)[0]
    options = {"net": line.net, "likelihood": line.likelihood}
    values = weights_of([chain])[:, :, 0]
    found = diagnostics.rhat(chain, of="weights", weights="weight")
    np.testing.assert_allclose(found, by_arviz(az.rhat, values.reshape(2, 50, 3)))
    assert found.max() < 1.1
    np.testing.assert_allclose(diagnostics.ess(chain, of="weights", weights="weight"), by_arviz(az.ess, values))
    shifted = [sg.Sample({"weight": s["weight"] + (k > 49)}, step=k) for k, s in enumerate(chain)]
    assert diagnostics.rhat(shifted, line.x, line.y, **options).max() > 1.3


def test_chains_of_different_length_are_cut_to_their_newest(line):
    a, b = line.good(2, 60)
    options = {"of": "weights", "weights": "weight"}
    np.testing.assert_array_equal(diagnostics.rhat([a, b[20:]], **options),
                                  diagnostics.rhat([a[20:], b[20:]], **options))


def test_a_loader_gives_the_same(line):
    runs = line.good(2, 20)
    loader = [nd.array(line.x[:25]), nd.array(line.x[25:])]
    options = {"net": line.net, "likelihood": line.likelihood}
    np.testing.assert_allclose(diagnostics.rhat(runs, loader, line.y, **options),
                               diagnostics.rhat(runs, line.x, line.y, **options), rtol=1e-5)


def test_what_never_moves_has_none(line):
    chain = [sg.Sample({"weight": nd.ones((1, 3))}, step=k) for k in range(20)]
    assert np.isnan(diagnostics.rhat([chain, chain], line.x, line.y, net=line.net, likelihood=line.likelihood)).all()


def test_without_arviz(line, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"pip install 'sgmcmc_mx\[arviz\]'"):
        diagnostics.rhat(line.good(2, 20), of="weights", weights="weight")


@pytest.mark.parametrize("wrong, error, said", [
    ({"of": "nll"}, ValueError, "of must be one of 'log_likelihood'.*got 'nll'"),
    ({"data": None}, ValueError, "data is not given.*of='potential'"),
    ({"labels": None}, ValueError, "labels is not given.*labels=y"),
    ({"labels": [0, 1]}, ValueError, "labels: there are 2 for 40 examples"),
    ({"labels": ["a"] * 40}, TypeError, r"labels must be an array of numbers.*np.asarray\(y\)"),
    ({"net": None}, ValueError, "net is not given.*write net=net"),
    ({"net": "net"}, TypeError, "net must be a gluon.Block, got str"),
    ({"likelihood": None}, ValueError, "likelihood is not given.*'softmax'"),
    ({"likelihood": "gauss"}, ValueError, "likelihood must be.*got 'gauss'"),
    ({"count": 0}, ValueError, "count must be at least 1, got 0"),
    ({"seed": -1}, ValueError, "seed must be in"),
    ({"of": "potential"}, ValueError, "carry no potential"),
    ({"of": "weights"}, ValueError, "weights is not given.*weights='weight'"),
    ({"of": "weights", "weights": "wieght"}, ValueError, "'wieght' is no parameter.*did you mean 'weight'"),
    ({"of": "weights", "weights": {"weight": [3]}}, ValueError, r"weight has 3 numbers, and places \[3\]"),
    ({"runs": "runs/a"}, TypeError, "runs must be.*got str.*load"),
    ({"runs": []}, ValueError, "there are no samples"),
])
def test_wrong_arguments(line, wrong, error, said):
    given = {"runs": line.good(2, 20), "data": line.x, "labels": line.y, "net": line.net,
             "likelihood": line.likelihood, **wrong}
    with pytest.raises(error, match=said):
        diagnostics.rhat(**given)


def test_too_few_samples_to_tell(line):
    with pytest.raises(ValueError, match="chain 1 has 7 samples.*fewer than 8"):
        diagnostics.rhat([line.good(1, 20)[0], line.good(1, 7)[0]], of="weights", weights="weight")


def test_labels_that_cannot_be(line):
    model = Classifier(0, examples=5, inputs=3, classes=2)
    with pytest.raises(ValueError, match="labels: Categorical.*probability 0"):
        diagnostics.rhat(model.good(2, 20), model.x, [0, 1, 2, 0, 1], net=model.net, likelihood="softmax")
