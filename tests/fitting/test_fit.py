"""sg.fit: what it finds, that the seed decides it, how it goes on, and what it says of wrong arguments."""
import json
import pickle

import mxnet as mx
import numpy as np
import pytest
import small_chains
from mxnet import gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.fitting import fitted
from sgmcmc_mx.fitting.budget import Budget, checked_budget

RNG = np.random.RandomState(0)
X = RNG.randn(120, 3).astype("float32")
SIGMA = 0.5
Y = (X @ [[1.0], [-0.5], [0.0]] + 0.3 + SIGMA * RNG.randn(120, 1)).astype("float32")
SHORT = sg.WarmStart("adam", {"learning_rate": 0.02}, steps=150)
SETTLED = {"learning_rate": 2e-3, "friction": 0.1}
QUICK = {"budget": "60 steps", "chains": 2, "samples": 15, "prior": 1.0, "optimizer_params": SETTLED,
         "warm_start": SHORT, "validation": 0.1}
GAUSSIAN = sg.likelihoods.Gaussian(SIGMA)


def linear():
    return gluon.nn.Dense(1)


def mlp(outputs=1):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(6, "tanh"), gluon.nn.Dense(outputs))
    return net


def fit(net=None, likelihood=GAUSSIAN, x=X, y=Y, **options):
    return sg.fit(mlp() if net is None else net, likelihood, x, y, **{**QUICK, **options})


@pytest.fixture(scope="module")
def quick():
    return fit()


@pytest.mark.parametrize("optimizer, batch_size, told", [
    pytest.param(None, 108, "optimizer", marks=pytest.mark.slow), ("sgnht", 100, "thermostat")])
def test_a_linear_posterior_is_found_with_all_that_is_chosen(optimizer, batch_size, told):
    """Of a linear model the posterior is known: precision I + A'A/s^2 under the prior N(0, 1).

    Where nothing is said so few data are seen at every step.
    """
    found = fit(gluon.nn.Dense(1), budget="4000 steps", samples=200, optimizer=optimizer, optimizer_params=None,
                warm_start="auto", pilot=50)
    assert (found.chosen.optimizer, found.chosen.batch_size) == ("sgnht", batch_size)
    shown, labels = found._running.maker.data.shown
    assert (len(shown), found.chosen.held_out) == (108, 12)
    a = np.hstack([shown, np.ones((len(shown), 1))]).astype("float64")
    covariance = np.linalg.inv(np.eye(4) + a.T @ a / SIGMA**2)
    mean = covariance @ a.T @ labels[:, 0] / SIGMA**2
    new = np.hstack([X[:20], np.ones((20, 1))])
    exact = np.einsum("ij,jk,ik->i", new, covariance, new)**0.5
    prediction = found.predict(X[:20])
    assert np.abs(prediction.mean[:, 0] - new @ mean).max() < 0.5 * exact.max()
    assert 0.8 < np.median(prediction.weight_std[:, 0] / exact) < 1.2
    assert {"learning_rate", "friction", told} <= set(found.chosen.reasons)
    assert optimizer or found.chosen.optimizer_params["friction"] == 0.005      # a tenth of the run is its memory
    assert "\nlearning_rate " in str(found.chosen)


def test_the_seed_decides_all(quick):
    again, other = fit(), fit(seed=1)
    np.testing.assert_array_equal(quick.predict(X, samples=True), again.predict(X, samples=True))
    assert not np.array_equal(quick.predict(X, samples=True), other.predict(X, samples=True))
    assert not np.array_equal(quick.held_out[0], other.held_out[0])
    assert len(quick.runs) == 2 and len(quick.runs.samples) == 30 and quick.runs.steps == [60, 60]


def test_chains_do_not_see_what_is_held_out(quick):
    rows = {tuple(row) for row in quick._running.maker.data.shown[0]}
    assert len(rows) == 108 and not rows & {tuple(row) for row in quick.held_out[0]}
    assert np.array_equal(quick.runs.setup.data.arrays[0], quick._running.maker.data.shown[0])
    given = fit(x=X[:100], y=Y[:100], validation=(X[100:], Y[100:]))
    assert np.array_equal(given.held_out[0], X[100:]) and given.chosen.examples == 100


def test_intervals_and_densities(quick):
    mean, low, high = quick.predict(X, interval=0.9)
    regression = quick.predict(X, quantiles=(0.05, 0.95))
    np.testing.assert_allclose([low, high], regression.quantiles, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(mean, quick.predict(X).mean)
    assert 0.8 < sg.metrics.coverage(Y, low, high) < 0.98
    means = quick.predict(X, samples=True)
    expected = sg.metrics.log_predictive_density(Y, means, SIGMA)
    np.testing.assert_allclose(quick.log_predictive_density(X, Y), expected, rtol=1e-4, atol=1e-4)


def test_the_summary_is_of_what_is_held_out(quick):
    expected = sg.diagnostics.summary(quick.runs, *quick.held_out)
    assert str(quick.summary()) == str(expected)
    assert str(quick.summary(X, Y)) == str(sg.diagnostics.summary(quick.runs, X, Y))


def test_going_on_adds_to_what_is_there():
    found = fit()
    before = found.predict(X, samples=True).reshape(2, 15, len(X), 1)
    twin = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(twin.predict(X, samples=True), found.predict(X, samples=True))
    assert found.resume("30 steps") is found
    after = found.predict(X, samples=True)
    assert after.shape[0] == 2 * 25
    np.testing.assert_array_equal(after.reshape(2, 25, len(X), 1)[:, :15], before)
    np.testing.assert_array_equal(twin.resume("30 steps").predict(X, samples=True), after)


def test_a_store_is_gone_on_with(tmp_path, quick):
    folder = tmp_path / "fit"
    fit(budget="40 steps", samples=10, store=folder)
    trained = {file.name: file.stat().st_mtime_ns for file in folder.glob("start-*")}
    more = fit(budget="60 steps", samples=10, store=folder)
    assert trained == {file.name: file.stat().st_mtime_ns for file in folder.glob("start-*")} and len(trained) == 2
    assert more.runs.steps == [60, 60] and len(sg.load(folder).samples) == len(more.runs.samples) == 2 * 16
    np.testing.assert_array_equal(fit(budget="60 steps", store=folder).predict(X).mean, more.predict(X).mean)
    with pytest.raises(ValueError, match="data='.*is given, and the fit in .* was begun with data="):
        fit(y=Y + 1.0, store=folder)
    with pytest.raises(ValueError, match=r"likelihood='Gaussian\(sigma=0.9\)' is given, and the fit in .* was begun "
                       "with likelihood='Gaussian"):
        fit(likelihood=sg.likelihoods.Gaussian(0.9), store=folder)
    with pytest.raises(ValueError, match="optimizer='sgld' is given.*begun with optimizer='sgnht'; write that, or ano"):
        fit(optimizer="sgld", optimizer_params={"learning_rate": 1e-3}, store=folder)
    (folder / "fit.json").write_text("{")
    with pytest.raises(sg.StoreError, match="fit.json is damaged"):
        fit(store=folder)


@pytest.mark.parametrize("said", [pytest.param({"optimizer": "sgnht", "batch_size": 100}, marks=pytest.mark.slow), {}])
def test_a_store_is_gone_on_with_as_it_was_begun(tmp_path, said):
    """What an earlier version took where nothing was said, and what this one takes, go on where nothing is said."""
    short = {"optimizer_params": None, "pilot": 20, "store": tmp_path / "fit"}
    first = fit(budget="20 steps", **short, **said)
    more = fit(budget="40 steps", **short)
    assert more.runs.steps == [40, 40] and more.chosen.optimizer == first.chosen.optimizer
    assert more.chosen.optimizer_params == first.chosen.optimizer_params
    assert more.chosen.batch_size == first.chosen.batch_size == (100 if said else 108)


def test_too_many_weights_for_all_data_at_every_step(monkeypatch):
    monkeypatch.setattr("sgmcmc_mx.fitting.choosing.MOST", 4 * 108 - 1)
    for net, batch_size in ((gluon.nn.Dense(1, use_bias=False), 108), (gluon.nn.Dense(1), 100)):
        found = fit(net, budget="8 steps", optimizer_params=None, pilot=20, chains=1, warm_start=None)
        assert found.chosen.batch_size == batch_size


def test_a_network_stays_as_it_is():
    net = mlp()
    net.initialize(mx.init.Xavier())
    net.hybridize()
    before = net(nd.array(X)).asnumpy()
    found = fit(net, warm_start=None, budget="8 steps", optimizer_params={"learning_rate": 1e-9})
    np.testing.assert_array_equal(net(nd.array(X)).asnumpy(), before)
    # Chains begin at its weights, and in so short a time they get nowhere.
    np.testing.assert_allclose(found.predict(X).mean, before, atol=1e-3)
    fresh = mlp()
    each = fit(fresh, warm_start=None, budget="8 steps", optimizer_params={"learning_rate": 1e-9})
    assert next(iter(fresh.collect_params().values()))._data is None
    first, second = (sg.predict(each.runs.setup.net, chain, X, "identity") for chain in each.runs)
    assert np.abs(first - second).max() > 0.1      # of their own


def test_the_better_network_is_taken():
    y = np.sin(3.0 * X[:, :1]).astype("float32")
    nets = {"line": linear, "curve": lambda: mlp()}
    found = fit(nets, y=y, warm_start=sg.WarmStart("adam", {"learning_rate": 0.02}, steps=600))
    assert found.chosen.network == "curve" and "curve" in str(found.chosen)
    assert fit({"line": linear}).chosen.network == "line"


def test_chains_in_processes_of_their_own():
    """Convolutions are no stack of dense layers, and dropout draws from the generator of a process."""
    x, y = small_chains.X, small_chains.Y
    found = fit(small_chains.network, sg.likelihoods.Categorical(), x, y, budget="24 steps", samples=9, batch_size=8)
    probs = found.predict(x)
    assert probs.shape == (len(x), 3) and np.allclose(probs.sum(axis=1), 1.0) and not found.runs.failures
    with pytest.raises(ValueError, match="interval=0.9 is of a regression's y"):
        found.predict(x, interval=0.9)


@pytest.mark.slow
def test_a_prior_chosen_by_what_is_held_out():
    found = fit(linear, prior="suggest", budget="20 steps", pilot=20, optimizer_params=None)
    assert found.chosen.optimizer_params["wd"] in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
    assert "log predictive density" in found.chosen.reasons["wd"]


@pytest.mark.parametrize("seconds", [0.01, 3])
def test_a_budget_in_seconds(seconds):
    """However short, there are samples to look at."""
    found = fit(budget=seconds, warm_start="auto")
    assert found.runs.steps[0] == found.runs.steps[1] >= 60
    assert len(found.runs[0]) >= 8 and found.summary().verdict
    before = found.runs.steps[0]
    assert found.resume("10 steps").runs.steps[0] == before + 10


@pytest.mark.parametrize("written, meant", [
    (60, Budget(60.0)), (0.5, Budget(0.5)), ("60 s", Budget(60.0)), ("2 min", Budget(120.0)), ("1.5 h", Budget(5400.0)),
    ("5000 steps", Budget(None, 5000)), ("20,000 steps", Budget(None, 20000)), ("1_000 steps", Budget(None, 1000))])
def test_budgets(written, meant):
    assert checked_budget(written) == meant


@pytest.mark.parametrize("wrong", [0, -1, "soon", "5", "1.5 steps", "0 steps", "60 parsecs", None, True, float("nan")])
def test_wrong_budgets(wrong):
    with pytest.raises((TypeError, ValueError), match="budget.*(write seconds, such as budget=60)"):
        checked_budget(wrong)


@pytest.mark.parametrize("options, error, message", [
    ({"net": 3}, TypeError, "net must be a network or what makes one, got 3; give a gluon.Block"),
    ({"net": {}}, ValueError, "net is an empty dictionary"),
    ({"net": lambda: 3}, TypeError, "net must be a gluon.Block, got int"),
    ({"likelihood": "softmax"}, TypeError, "likelihood must be a loss"),
    ({"x": X, "y": None}, TypeError, "y is not given, and x is ndarray"),
    ({"y": Y[:5]}, ValueError, "x, y: "),
    ({"x": X.tolist()}, TypeError, "x, y: "),
    ({"x": np.full_like(X, np.nan)}, ValueError, "NaN or infinities among the inputs; leave these examples out"),
    ({"y": np.full_like(Y, np.inf)}, ValueError, "NaN or infinities among the labels"),
    ({"validation": 1.0}, ValueError, "validation must lie in"),
    ({"validation": 0.999}, ValueError, "validation=0.999 of 120 examples leaves none to learn from"),
    ({"validation": "some"}, TypeError, "validation must be a number, got 'some'.*or 'auto'"),
    ({"validation": (X[:, :2], Y)}, ValueError, "validation is arrays of shapes"),
    ({"validation": 0, "prior": "suggest"}, ValueError, "prior='suggest' is chosen by what is held out"),
    ({"validation": 0, "net": {"a": linear, "b": linear}}, ValueError, "net is several networks"),
    ({"chains": 0}, ValueError, "chains must be at least 1, got 0"),
    ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"seed": -1}, ValueError, "seed"),
    ({"optimizer": "adam"}, ValueError, "optimizer must be one of .*'sgnht'.*, got 'adam'"),
    ({"optimizer_params": 3}, TypeError, "optimizer_params must be a dictionary"),
    ({"optimizer_params": {"wd": 1.0}}, ValueError, "prior=1.0 is given beside optimizer_params with 'wd'"),
    ({"warm_start": "sgd"}, TypeError, "warm_start must be 'auto', a WarmStart or None, got 'sgd'"),
    ({"context": "gpu"}, TypeError, "context must be a context of MXNet, got 'gpu'"),
    ({"progress": 2}, TypeError, "progress must be True or False"),
])
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(")):
        fit(**{"net": linear, **options})


def test_without_a_part_held_out_the_summary_is_of_what_chains_have_seen(monkeypatch):
    found = fit(linear, validation=0)
    assert found.held_out is None and found.chosen.examples == 120
    expected = sg.diagnostics.summary(found.runs, X, Y)
    said = found.summary()
    assert said.title == expected.title + ", on examples that they have seen"
    assert str(list(said)) == str(list(expected)) and said.title in repr(said)
    assert str(list(found.summary(y=Y + 1))) == str(list(sg.diagnostics.summary(found.runs, X, Y + 1)))
    monkeypatch.setattr(fitted, "LOOKED_AT", 7)
    assert np.array_equal(found.looked_at[0], X[[0, 20, 40, 60, 79, 99, 119]])


@pytest.mark.slow
def test_by_itself_a_tenth_is_held_out_where_something_is_chosen_by_it(tmp_path):
    store = tmp_path / "runs"
    assert fit(linear, validation="auto", store=store).chosen.examples == 120
    assert fit(linear, validation="auto", prior="suggest", budget="20 steps", pilot=20,
               optimizer_params=None).chosen.examples == 108
    assert fit({"a": linear, "b": linear}, validation="auto").chosen.examples == 108
    assert fit(linear, validation="auto", store=store, budget="70 steps").runs.steps == [70, 70]
    # A fit that was begun by an earlier version has a tenth held out, and one that was told to keeps to it.
    for kept in ({}, {"validation": 0.2}):
        folder = tmp_path / f"older{len(kept)}"
        fit(linear, validation=kept.get("validation", 0.1), store=folder)
        told = json.loads((folder / "fit.json").read_text())
        assert told["validation"] == kept.get("validation", 0.1)
        del told["validation"]
        (folder / "fit.json").write_text(json.dumps({**told, **kept}))
        again = fit(linear, validation="auto", store=folder, budget="70 steps")
        assert again.runs.steps == [70, 70] and again.chosen.examples == (96 if kept else 108)

