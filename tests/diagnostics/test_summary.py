"""Each verdict on chains whose fault is known, and on good ones; the table itself."""
import contextlib
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
import scipy.stats
import small_chains
from mxnet import gluon, init, nd
from planted_chains import Classifier, Line, network

import sgmcmc_mx as sg
from sgmcmc_mx.diagnostics import Row, Summary, rules, summary
from sgmcmc_mx.diagnostics.by_arviz import mcse_of
from sgmcmc_mx.diagnostics.chains import chains_of
from sgmcmc_mx.diagnostics.evidence import gather

VERDICTS = {"none": "well mixed", "stuck": "chains disagree", "mode": "chains disagree", "slow": "too few samples",
            "burn-in": "start not forgotten", "cold": "too cold", "hot": "step too large", "bursts": "step too large"}
ROWS = {"stuck": "moving", "mode": "rhat", "slow": "bulk_ess", "burn-in": "start", "cold": "temperature",
        "hot": "temperature", "bursts": "bursts"}
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


def asked(model, runs, **options):
    return summary(runs, model.x, model.y, net=model.net, likelihood=model.likelihood, **options)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", VERDICTS)
def test_the_fault_is_found_and_a_good_chain_has_none(fault, seed):
    model = Classifier(seed, examples=60)
    found = asked(model, model.planted(fault))
    assert found.verdict == VERDICTS[fault], str(found)
    assert {row.verdict for row in found} == {"well mixed"} if fault == "none" else (
        found[ROWS[fault]].verdict == VERDICTS[fault] and found[ROWS[fault]].change)


def test_the_stuck_chain_is_named():
    model = Classifier(0, examples=20)
    found = asked(model, model.planted("stuck"))
    assert found["moving"].number == 3 and "leave out chain 1" in found["moving"].change


@pytest.mark.parametrize("weights", [2, 7, 50, 10**4, 10**7])
def test_no_chance_brings_more_than_the_hottest(weights):
    """Of two weights chance brings ten times T in one reading of 20,000; more are allowed there."""
    limit = rules.hottest(0.7, weights)
    assert rules.too_far(np.array([1.001 * limit]), 0.7, 0.7, weights)[1].all()
    assert scipy.stats.chi2.sf(weights * limit / 0.7, weights) < 1e-7


def test_chance_brings_no_reading_too_far():
    """A reading of d weights is T chi^2_d / d, as skewed as that is: not one of 100,000 in each row is told."""
    random = np.random.RandomState(0)
    for weights in (1, 2, 5, 20, 100, 1000, 100000):
        readings = 0.7 * random.chisquare(weights, (4, 50000, 1)) / weights
        assert not rules.bursts(readings, 0.7, 0.7, weights).number
    assert rules.bursts(np.full((1, 10, 1), 1.1), 0.7, 0.7, 1000).number == 5      # of the later half
    assert not rules.bursts(np.full((1, 10, 1), 1.1), 0.7, 1.0, 1000).number
    assert rules.bursts(np.array([1.0, 1.0, 1.0, np.nan]).reshape(1, 4, 1), 1.0, 1.0, 1000).number == 1


def test_a_single_chain():
    model = Classifier(0, examples=60)
    assert asked(model, model.good(1, 400)[0]).verdict == "well mixed"
    assert asked(model, model.planted("burn-in", 1, 400)[0]).verdict == "start not forgotten"


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_a_regression(seed):
    line = Line(seed, examples=60)
    found = asked(line, line.good(4, 200))
    assert {row.verdict for row in found} == {"well mixed", "not known"}, str(found)
    assert "agreement" not in found.names and found["temperature"].verdict == "not known"


def test_the_error_of_the_nll_is_that_of_repeated_chains():
    """Delta method against the scatter of the NLL over 40 sets of chains."""
    line, found = Line(3), []
    for _ in range(40):
        chains = chains_of(line.good(2, 50), line.net, line.likelihood)
        found.append(gather(chains, line.x, line.y, 0, 1000).nll)
    told = np.mean([mcse_of(nll.influence)[0] for nll in found])
    scatter = np.std([nll.value for nll in found], ddof=1)
    assert abs(told / scatter - 1) < 5 / np.sqrt(2 * 39)


def test_without_labels():
    model = Classifier(0, examples=30)
    found = summary(model.good(2, 200), model.x, net=model.net, likelihood="softmax")
    assert "nll" not in found.names and "log_likelihood" not in found.names and found.verdict == "well mixed"


def test_a_cold_posterior_is_told():
    """The temperature is the run's own where a folder says it, and else what is given."""
    model = Classifier(0, examples=30)
    runs = model.good(4, 200, temperature=0.5)
    assert asked(model, runs)["temperature"].verdict == "too cold"
    assert asked(model, runs, temperature=0.5)["temperature"].verdict == "well mixed"


@pytest.mark.slow
def test_the_eulers_step_of_a_constant_friction_is_warmer(tmp_path):
    """T / (1 - a/2) of SGHMC is its own law and no fault: of runs in memory and of those whose folder says it."""
    x = np.random.RandomState(0).standard_normal((40, 30)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    for integrator, expected in (("euler", 1 / 0.85), ("badodab", 1.0)):
        net = network(1, 30)
        options = {"learning_rate": 0.01, "num_data": 40, "seed": 1, "friction": 0.3, "integrator": integrator}
        with sg.BayesianTrainer(net, "sghmc", options, sg.likelihoods.Gaussian(1.0), burn_in=500, thin=10,
                                store=tmp_path / integrator) as trainer:
            trainer.sample(sg.data.ArrayLoader(x, y, batch_size=40), 4500)
        for samples in (list(trainer.samples), sg.load(tmp_path / integrator)):
            row = summary(samples, x, y, net=net, likelihood=sg.likelihoods.Gaussian(1.0))["temperature"]
            assert row.verdict == "well mixed" and row.number == pytest.approx(expected, abs=0.05), row
        assert row.detail.startswith(f"{expected:.4g} is right")


def test_of_sample_chains(tmp_path):
    """Network and likelihood are the runs' own."""
    runs = sg.sample_chains(small_chains.build_dense, 3, steps=103, executor="vectorized", store=tmp_path)
    found = summary(runs, small_chains.X, small_chains.Y)
    assert found.title.startswith("3 chains of 25 samples") and "too few samples" in {row.verdict for row in found}
    with pytest.raises(ValueError, match="net is not given"):
        summary(sg.load(tmp_path), small_chains.X, small_chains.Y, likelihood="softmax")
    again = summary(sg.load(tmp_path), small_chains.X, small_chains.Y, net=runs.setup.net, likelihood="softmax")
    assert str(again) == str(found)


def test_chains_that_failed_are_left_out(tmp_path):
    with pytest.warns(UserWarning, match="chain 1 failed"):
        runs = sg.sample_chains(small_chains.build_dense_failing, 4, steps=103, executor="vectorized", store=tmp_path)
    assert sorted(runs.failures) == [1, 2]
    assert summary(runs, small_chains.X, small_chains.Y).title == "2 chains of 25 samples"
    assert runs.setup is runs.setup and sg.load(tmp_path).setup is None


def test_of_outputs_that_were_kept_in_place_of_weights():
    """The same numbers. How many weights move is not known: the temperature's readings tell their own spread."""
    model = Classifier(0, examples=30)
    runs = model.planted("cold")
    weights = asked(model, runs)
    kept = [sg.MemoryStore([sg.Sample({"output": nd.array(model.x @ s["weight"].asnumpy().T)}, s.step,
                                      potential=s.potential, temperature=s.temperature) for s in chain], model.x)
            for chain in runs]
    outputs = asked(model, kept)
    assert outputs.verdict == weights.verdict == "too cold"
    for name in set(weights.names) - {"bursts"}:        # chance depends on the number of weights
        assert outputs[name].number == pytest.approx(weights[name].number, rel=0.02), name


# ---------------------------------------------------------------- a network that a step has collapsed

def curve():
    random = np.random.RandomState(0)
    x = random.standard_normal((700, 4)).astype("f4")
    y = np.sin(2 * x[:, 0]) * np.exp(0.3 * x[:, 1]) + 0.6 * x[:, 2] * x[:, 3] - 0.5 * x[:, 1]
    y = (y / y.std() + 0.15 * random.standard_normal(700)).astype("f4")[:, None]
    return x[:400], y[:400], x[400:], y[400:]


def under_way(seed, learning_rate):
    """A chain on a network of 4 x 16 ReLU, from weights that are rather large; and its data."""
    x, y, _, _ = curve()
    mx.random.seed(seed)
    net = gluon.nn.HybridSequential()
    for _ in range(4):
        net.add(gluon.nn.Dense(16, "relu"))
    net.add(gluon.nn.Dense(1))
    net.initialize(init.Normal(0.6))
    net(nd.array(x[:2]))
    options = {"learning_rate": learning_rate, "num_data": len(x), "friction": 0.3, "seed": seed}
    trainer = sg.BayesianTrainer(net, "sghmc", options, sg.likelihoods.Gaussian(0.3), burn_in=1000, thin=20)
    return trainer, sg.data.ArrayLoader(x, y, batch_size=len(x), seed=seed)


def collapsed(seed):
    """The first of many starts that a large step throws where the output is a constant, and that cools and stays there.

    One in ten does; two diverge, and some wake up again.
    """
    inputs = nd.array(curve()[2])
    for start in range(1000 * seed, 1000 * seed + 400):
        trainer, data = under_way(start, 0.002)
        with contextlib.suppress(sg.DivergenceError):
            for steps in (400, *range(600, 2001, 100)):      # some come back between two looks that are far apart
                trainer.sample(data, steps)
                if np.ptp(trainer.net(inputs).asnumpy()) > 0 or steps == 600 and trainer.temperature.asscalar() > 1.5:
                    break
            else:
                return start, trainer
    raise AssertionError("no chain of 400 has collapsed")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))])
def test_a_step_that_collapses_a_network_is_seen(seed):
    """Its kinetic temperature is right. From the same weights a step an eighth as long does well."""
    start, large = collapsed(seed)
    small, data = under_way(start, 0.00025)
    small.sample(data, 3000)
    found = [summary(list(trainer.samples), *curve()[2:], net=trainer.net, likelihood=trainer.likelihood)
             for trainer in (large, small)]
    assert found[0]["inputs"].verdict == "inputs ignored" and found[0]["temperature"].verdict == "well mixed", found
    assert found[1]["inputs"].verdict == "well mixed", found


@pytest.mark.slow
def test_the_price_of_a_large_summary():
    """Seconds of all cores together, whoever else uses them: ``python tests/helpers/large_summary.py`` tells them."""
    program = Path(__file__).parents[1] / "helpers" / "large_summary.py"
    said = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True).stdout
    verdict, seconds, most = said.strip().split(", ")
    assert verdict == "well mixed" and float(seconds.split()[0]) < 10 and float(most.split()[0]) < 1000, said


# ---------------------------------------------------------------- the table

TABLE = Summary("2 chains of 9 samples", [Row("rhat", "Agree? R-hat", 1.2345678, "chains disagree", "a < b", "wait"),
                                          Row("t", "Warm?", float("nan"), "not known", ""),
                                          Row("u", "Again?", 1234.4, "chains disagree", "", "wait")])


def test_it_prints():
    assert str(TABLE).splitlines() == [
        "2 chains of 9 samples: chains disagree",
        "  Agree? R-hat  1.235  chains disagree  a < b",
        "  Warm?             -  not known",
        "  Again?         1234  chains disagree",
        "  -> chains disagree: wait"]       # once


def test_it_is_a_table_of_a_notebook():
    page = TABLE._repr_html_()
    assert page.count("<tr>") == 4 and "a &lt; b" in page and "1.235" in page


def test_rows_by_name_and_place():
    assert TABLE["t"] is TABLE[1] and len(TABLE) == 3
    assert [row.name for row in TABLE] == TABLE.names == ["rhat", "t", "u"]
    with pytest.raises(KeyError, match="'x' is no row.*rhat, t, u"):
        TABLE["x"]


def test_a_frame(monkeypatch):
    frame = TABLE.to_frame()
    assert frame.loc["rhat", "verdict"] == "chains disagree" and list(frame.index) == ["rhat", "t", "u"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        TABLE.to_frame()


# ---------------------------------------------------------------- rules

def test_the_limit_of_rhat_grows_where_samples_are_few():
    assert rules.agreed(1.04, 1000, 4) == "well mixed"
    assert rules.agreed(1.2, 1000, 4) == "chains disagree"
    assert rules.agreed(1.2, 10, 4) == "too few samples"
    assert rules.agreed(float("nan"), 10, 4) == "not known"


@pytest.mark.parametrize("wrong, said", [({"temperature": 0.0}, "temperature must lie in"),
                                         ({"seed": 1.5}, "seed must be a whole number")])
def test_wrong_arguments(wrong, said):
    model = Classifier(0, examples=5)
    with pytest.raises(ValueError, match=said):
        asked(model, model.good(2, 20), **wrong)
