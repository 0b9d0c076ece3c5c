"""Temperatures by gradients of some examples, and along random directions: both answers, on planted chains."""
import numpy as np
import pytest
from exact_regression import ExactRegression
from mxnet import gluon, nd

from sgmcmc_mx.diagnostics.chains import chains_of
from sgmcmc_mx.diagnostics.slopes import Slopes

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


def cold_where_it_is_flat(model):
    """Four fifths of the variance along the flattest fifth of all directions."""
    return np.where(np.arange(len(model.curvature)) < len(model.curvature) // 5, 0.8, 1.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ratios, draws, verdict", [(lambda m: 1.0, 400, "well mixed"),
                                                    pytest.param(cold_where_it_is_flat, 1000, "flat directions frozen",
                                                                 marks=pytest.mark.slow)])
def test_half_of_the_examples_tell(ratios, draws, verdict, seed):
    model = ExactRegression(seed, inputs=10, scales=(0.03, 0.3))
    found = model.asked(model.chains(4, draws, ratios=ratios(model)), gradients=4000, directions=10, examples=100,
                        random_directions=6)
    assert found["flattest"].verdict == verdict, str(found)
    assert found["random"].number == pytest.approx(1.0, abs=0.1) and "z = " in found["random"].detail
    if verdict == "well mixed":
        assert found.verdict == verdict, str(found)


def test_random_directions_are_cold_where_all_is():
    model = ExactRegression(0, inputs=10, scales=(0.03, 0.3))
    found = model.asked(model.chains(4, 300, ratios=0.8), gradients=1200, directions=10, random_directions=8)
    assert found["random"].verdict == "too cold" and found["random"].change, str(found)


@pytest.mark.parametrize("wd", [1.0, 30.0])
def test_the_gradient_of_some_is_that_of_all_in_the_mean(wd):
    """And its prior is counted once, however few they are."""
    model = ExactRegression(1, inputs=4)
    chains = chains_of(model.chains(2, 8), model.net, model.likelihood)
    data = model.x, model.y
    whole, some = (Slopes(chains, data, 8, wd, None, 64, examples) for examples in (None, 50))
    with some._at_sample(chains.each[0][0]):
        position = some.potential.position()
        everything, all_of_it = whole._slope(position, None)
        drawn = [some._slope(position, some._some.draw()) for _ in range(4)]     # one epoch: each example once
    np.testing.assert_allclose(np.mean([g for _, g in drawn], axis=0), all_of_it, rtol=1e-4, atol=1e-2)
    assert np.mean([U for U, _ in drawn]) == pytest.approx(everything, rel=1e-4)
    assert np.std([U for U, _ in drawn]) > 0


def test_batches_will_do():
    model = ExactRegression(0, inputs=5, scales=(0.03, 0.3))
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(nd.array(model.x), nd.array(model.y)), 40, shuffle=True)
    chains = chains_of(model.chains(2, 20), model.net, model.likelihood)
    slopes = Slopes(chains, loader, 20, None, None, 64, 80)
    assert slopes._some.num_data == 200 and [batch.size for batch in slopes._some.draw()] == [40, 40]


@pytest.mark.parametrize("wrong, said", [({"examples": 0}, "examples must be at least 1"),
                                         ({"random_directions": -1}, "random_directions must be at least 0")])
def test_wrong_numbers(wrong, said):
    model = ExactRegression(0, inputs=3)
    with pytest.raises(ValueError, match=said):
        model.asked(model.chains(1, 10), **wrong)
