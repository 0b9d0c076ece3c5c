"""DeepAR of GluonTS, sampled by the trainer that docs/clients.md shows: are its intervals as wide as they should be?"""
import re

import mxnet as mx
import numpy as np
import pytest
from folders import ROOT
from foreign import needs

pytestmark = needs("gluonts")
SERIES, LENGTH, HORIZON, HELD_OUT = 20, 40, 4, 400
LEVELS = (0.5, 0.8, 0.9, 0.95)
# Chosen on the series of seeds 100 and 101 (the step: the largest of .003, .01, .03 that did not diverge there).
CHAIN = {"learning_rate": 0.003, "options": {"friction": 0.05, "prior": "fan_in"}, "burn_in": 1000, "thin": 50}


@pytest.fixture(scope="module")
def shown():
    """What the page's programs define."""
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    found = {}
    for program in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(program, found)
    return found


def generated(seed, number, length):
    """Series about a level of their own, which they forget by a fifth each day. DeepAR can learn that exactly."""
    rng = np.random.RandomState(seed)
    series = []
    for _ in range(number):
        away = [rng.randn() / 0.6]
        for _ in range(length - 1):
            away.append(0.8 * away[-1] + rng.randn())
        series.append(rng.uniform(10, 20) + np.array(away))
    return series


def dataset(series):
    import pandas as pd
    from gluonts.dataset.common import ListDataset
    start = pd.Period("2020-01-01", "D")
    return ListDataset([{"start": start, "target": s, "item_id": str(k)} for k, s in enumerate(series)], freq="D")


def estimator(trainer, paths):
    from gluonts.mx.distribution import GaussianOutput
    from gluonts.mx.model.deepar import DeepAREstimator
    return DeepAREstimator(freq="D", prediction_length=HORIZON, context_length=8, num_layers=1, num_cells=8,
                           dropout_rate=0.0, lags_seq=[1, 2], time_features=[], distr_output=GaussianOutput(),
                           trainer=trainer, num_parallel_samples=paths)


def coverage(forecasts, truth):
    """The part of held-out values within central intervals of these levels."""
    paths = np.array([f.samples for f in forecasts])
    found = []
    for level in LEVELS:
        low, high = np.quantile(paths, [(1 - level) / 2, (1 + level) / 2], axis=1)
        found.append(((low <= truth) & (truth <= high)).mean())
    return np.array(found)


def crps(forecasts, truth):
    """Mean continuous ranked probability score: E|Y - y| - E|Y - Y'|/2."""
    paths = np.sort(np.array([f.samples for f in forecasts]), axis=1)
    m = paths.shape[1]
    spread = ((2 * np.arange(1, m + 1) - m - 1)[:, None] * paths).sum(axis=1) / m ** 2
    return (np.abs(paths - truth[:, None]).mean(axis=1) - spread).mean()


@pytest.fixture(scope="module", params=[0, 1, 2])
def runs(request, shown):
    """The point network as GluonTS trains it, and the chain that begins there; both with their forecasts."""
    from gluonts.mx.trainer import Trainer
    mx.random.seed(request.param), np.random.seed(request.param)
    train = generated(request.param, SERIES, LENGTH)
    held = generated(1000 + request.param, HELD_OUT, LENGTH + HORIZON)
    truth, known = np.array([s[-HORIZON:] for s in held]), dataset([s[:-HORIZON] for s in held])
    point = estimator(Trainer(epochs=40, num_batches_per_epoch=50), 400).train(dataset(train))
    posterior = estimator(shown["PosteriorTrainer"](num_data=SERIES * LENGTH, epochs=60, num_batches_per_epoch=50,
                                                    seed=request.param, **CHAIN), 20)
    predictor, chain = posterior.train_from(point, dataset(train)), posterior.trainer.chain
    return {"seed": request.param, "truth": truth, "known": known, "chain": chain, "predictor": predictor,
            "point": list(point.predict(known, num_samples=400)),
            "average": shown["average"](chain, predictor, known, 20)}


def test_intervals_are_at_least_as_well_covered(runs):
    point, average = (coverage(runs[name], runs["truth"]) for name in ("point", "average"))
    scores = [crps(runs[name], runs["truth"]) for name in ("point", "average")]
    print("seed", runs["seed"], "levels", LEVELS, "point", point.round(3), "average", average.round(3), "CRPS",
          np.round(scores, 3))
    levels = np.array(LEVELS)
    # Values of a series hang together: 400 of the 1,600 are taken for independent.
    chance = np.sqrt(levels * (1 - levels) / HELD_OUT)
    assert (np.abs(average - levels) <= np.abs(point - levels) + 2 * chance).all()
    assert np.abs(average - levels).mean() < np.abs(point - levels).mean()
    assert scores[1] < 1.05 * scores[0]     # and they are no worse elsewhere: wide intervals alone would cover too


def test_the_chain_is_at_its_temperature_and_each_sample_forecasts_otherwise(runs):
    chain = runs["chain"]
    assert chain.num_steps == 3000 and len(chain.samples) == 40
    assert abs(np.mean([s.temperature for s in chain.samples]) - 1.0) < 0.2
    predictor = runs["predictor"]
    means = [next(iter(predictor.predict(runs["known"]))).mean for _ in chain.networks(predictor.network)]
    assert np.std(means, axis=0).min() > 0.01
    assert runs["average"][0].samples.shape == (40 * 20, HORIZON)


def test_the_predictor_has_its_own_weights_again(runs):
    """Those of the chain's last step, which GluonTS has copied from the training network."""
    network, chain = runs["predictor"].network, runs["chain"]
    last = chain.samples[-1]    # of step 3,000
    names = network._collect_params_with_prefix()
    assert set(names) == set(last)
    for name, p in names.items():
        np.testing.assert_array_equal(p.data().asnumpy(), last[name].asnumpy())
