"""BayesianRegressor and BayesianClassifier: scikit-learn's own checks, its tools around them, frames, intervals."""
import json
import pickle
import subprocess
import sys

import forks
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer
from sklearn.utils.estimator_checks import check_estimator

import sgmcmc_mx as sg

QUICK = {"hidden": (8,), "activation": "tanh", "chains": 1, "samples": 10, "budget": "40 steps",
         "optimizer_params": {"learning_rate": 1e-4, "friction": 0.1},
         "training": sg.WarmStart("adam", {"learning_rate": 0.02}, steps=150)}
RNG = np.random.RandomState(0)
X = RNG.randn(150, 3)
Y = 100.0 + 20.0 * X[:, 0] - 10.0 * X[:, 1] + RNG.randn(150)


def regressor(**options):
    return sg.BayesianRegressor(**{**QUICK, **options})


def classifier(**options):
    return sg.BayesianClassifier(**{**QUICK, **options})


@pytest.fixture(scope="module")
def fitted():
    return regressor().fit(X, Y)


@pytest.mark.parametrize("estimator", [regressor(samples=4), classifier(samples=4)], ids=["regressor", "classifier"])
def test_checks_of_scikit_learn(estimator):
    check_estimator(estimator)


@pytest.mark.parametrize("number", [1, 7, 20, 33])
def test_what_is_said_of_a_row_does_not_depend_on_its_place(fitted, number):
    """Not in the last bit: a processor may take the last few rows of a product by another road than whole blocks."""
    order = np.random.RandomState(number).permutation(number)
    np.testing.assert_array_equal(fitted.predict(X[:number][order]), fitted.predict(X[:number])[order])
    each = fitted.predict(X[:number], samples=True)
    np.testing.assert_array_equal(fitted.predict(X[:number][order], samples=True), each[:, order])
    for here, there in zip(fitted.predict(X[:number][order], interval=0.9), fitted.predict(X[:number], interval=0.9)):
        np.testing.assert_array_equal(here, there[order])


def test_a_script_needs_no_main_guard(tmp_path):
    """Chains of MXNet's operators would be other processes, each of which imports the script."""
    script = tmp_path / "plain.py"
    script.write_text("import numpy as np, sgmcmc_mx as sg\nx = np.random.RandomState(0).randn(60, 2)\n"
                      "model = sg.BayesianRegressor(4, activation='tanh', noise='constant', chains=2, samples=5,\n"
                      "    budget='20 steps', training=None, optimizer_params={'learning_rate': 1e-4})\n"
                      "print(model.fit(x, x[:, 0]).fit_.runs.steps)\n")
    done = subprocess.run([sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True)
    assert done.stdout.strip() == "[20, 20]", done.stderr


# ---------------------------------------------------------------- regression

def test_units_of_y(fitted):
    """y has a mean of 100 and a standard deviation of 22, and the noise one of 1."""
    mean, low, high = fitted.predict(X, interval=0.9)
    assert mean.shape == low.shape == high.shape == (150,)
    assert np.sqrt(np.mean((mean - Y)**2)) < 4.0 and fitted.score(X, Y) > 0.97
    assert 0.8 < sg.metrics.coverage(Y, low, high) <= 1.0
    np.testing.assert_allclose(fitted.predict(X), mean)
    each = fitted.predict(X, samples=True)
    assert each.shape == (10, 150)
    np.testing.assert_allclose(each.mean(axis=0), mean, rtol=1e-6)
    again, std = fitted.predict(X, return_std=True)
    np.testing.assert_array_equal(again, fitted.predict(X))
    assert 0.3 < np.median(std) < 5.0 and ((high > mean) & (mean > low)).all()


def test_the_density_is_one_in_y(fitted):
    """Its integral over y is 1, in the unit of y."""
    grid = np.linspace(0.0, 200.0, 4001)
    density = np.exp(fitted.log_predictive_density(np.repeat(X[:1], len(grid), axis=0), grid))
    assert abs(density.sum() * (grid[1] - grid[0]) - 1.0) < 1e-3
    assert abs((density * grid).sum() / density.sum() - fitted.predict(X[:1])[0]) < 0.05


def test_the_summary_is_in_the_unit_of_y(fitted):
    x, y = fitted.fit_.looked_at
    nll = np.log(fitted.y_scale_) - fitted.fit_.log_predictive_density(x, y).mean()
    said = next(row.detail for row in fitted.summary() if row.name == "nll")
    assert float(said.split()[1].rstrip(",")) == pytest.approx(nll, rel=1e-3)


def test_a_row_far_from_the_data_has_a_wide_interval_and_no_infinite_one():
    """Under log sigma these rows have an infinite one."""
    model = regressor(activation="relu").fit(X, Y)
    mean, std = model.predict(np.concatenate([1e4 * X[:20], -1e4 * X[:20]]), return_std=True)
    assert np.isfinite(mean).all() and np.isfinite(std).all() and std.max() > 100.0


def test_a_store_of_an_older_version_goes_on_with_its_log_sigma(tmp_path, monkeypatch):
    """Its file says nothing of a link."""
    monkeypatch.setattr("sgmcmc_mx.tables.regressor.LINK", "log")
    regressor(store=tmp_path / "a").fit(X, Y)
    monkeypatch.undo()
    chosen = json.loads((tmp_path / "a" / "fit.json").read_text())
    assert chosen.pop("link") == "log"
    (tmp_path / "a" / "fit.json").write_text(json.dumps(chosen))
    model = regressor(store=tmp_path / "a", budget="60 steps").fit(X, Y)
    assert model.fit_.likelihood.link == "log" and model.fit_.runs.steps == [60]
    assert regressor(store=tmp_path / "b").fit(X, Y).fit_.likelihood.link == "softplus"


@pytest.mark.slow
def test_constant_noise():
    """One log sigma for all rows, a parameter of the network."""
    model = regressor(noise="constant", optimizer_params={"learning_rate": 1e-3, "friction": 0.1}).fit(X, Y)
    noise = model.fit_.predict(np.float32(X)).noise_std
    assert np.ptp(noise) < 1e-6 and model.score(X, Y) > 0.95


@pytest.mark.slow
def test_the_network_is_chosen_by_what_is_held_out():
    model = regressor(activation="choose", hidden=4).fit(X, Y)
    assert model.chosen_.network in ("tanh", "relu", "elu")
    line = regressor(activation="choose", hidden=()).fit(X, Y)
    assert line.chosen_.network == "tanh" and sorted(a.shape for a in line.fit_.runs[0][0].values()) == [(2,), (2, 3)]
    assert regressor(activation="silu", hidden=4).fit(X, Y).chosen_.network == "silu"


def test_going_on(fitted):
    model = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    assert model.resume("40 steps") is model
    assert model.predict(X, samples=True).shape[0] > 10 and model.summary().verdict


# ---------------------------------------------------------------- classes

def test_classes_by_name():
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    train = classifier(seed=1).fit(*(a[::2] for a in (x, names)))
    probs = train.predict_proba(x[1::2])
    assert list(train.classes_) == ["setosa", "versicolor", "virginica"]
    assert probs.shape == (75, 3) and np.allclose(probs.sum(axis=1), 1.0)
    assert train.score(x[1::2], names[1::2]) > 0.85
    assert (train.predict(x[1::2]) == train.classes_[probs.argmax(axis=1)]).all()
    assert train.predict_proba(x[1::2], samples=True).shape == (10, 75, 3)
    assert train.predict(x[1::2], samples=True).shape == (10, 75)
    density = train.log_predictive_density(x[1::2], names[1::2])
    np.testing.assert_allclose(density, np.log(probs[np.arange(75), y[1::2]]), atol=1e-4)
    with pytest.raises(ValueError, match="y has .*tulip.*, which was not among the classes"):
        train.log_predictive_density(x[:1], ["tulip"])


# ---------------------------------------------------------------- tools around them

def test_pipelines_searches_and_copies():
    x, y = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    pipe = make_pipeline(PowerTransformer(), regressor()).fit(x_train, y_train)
    assert pipe.score(x_test, y_test) > 0.2
    assert cross_val_score(regressor(), x[:120], y[:120], cv=2).shape == (2,)
    found = GridSearchCV(regressor(), {"hidden": [(), (4,)]}, cv=2).fit(x[:120], y[:120])
    assert found.best_params_["hidden"] in [(), (4,)] and found.predict(x[:3]).shape == (3,)
    model = clone(regressor(noise="constant").set_params(chains=2))
    assert model.get_params()["chains"] == 2 and model.noise == "constant" and not hasattr(model, "fit_")


def test_a_store_belongs_to_its_rows(tmp_path):
    folder = tmp_path / "runs"
    model = regressor(store=folder).fit(X, Y)
    np.testing.assert_array_equal(regressor(store=folder).fit(X, Y).predict(X), model.predict(X))
    assert len(sg.load(folder).samples) == 10
    with pytest.raises(ValueError, match="data=.*is given, and the fit in .* was begun with data="):
        regressor(store=folder).fit(X[::-1], Y)


# ---------------------------------------------------------------- frames

def frame():
    table = pd.DataFrame({"size": X[:, 0], "age": X[:, 1], "town": np.where(X[:, 2] > 0, "Bern", "Rome"),
                          "grade": pd.Categorical(np.where(X[:, 0] > 1, "good", "fair")), "new": X[:, 1] > 0,
                          "rooms": pd.array((10 * np.abs(X[:, 2])).astype(int), dtype="Int64")})
    table.loc[::7, "size"] = np.nan
    table.loc[::5, "town"] = None
    table.loc[3, "rooms"] = pd.NA
    return table


def test_frames_with_categories_and_missing_values():
    model = regressor().fit(frame(), Y + 30.0 * (X[:, 2] > 0))
    assert model.n_features_in_ == 6 and list(model.feature_names_in_) == list(frame().columns)
    # size, age, new, rooms, two indicators of missing ones; three towns, one of them missing; two grades
    assert model.encoder_.transform(frame()).shape == (150, 6 + 3 + 2)
    assert model.score(frame(), Y + 30.0 * (X[:, 2] > 0)) > 0.5
    strange = frame().head(2).assign(town="Oslo")
    assert np.isfinite(model.predict(strange)).all()
    np.testing.assert_array_equal(model.encoder_.transform(strange)[:, 6:9], 0.0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(frame()), model.predict(frame()))


def test_frames_of_numbers_are_arrays():
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    model = regressor().fit(table, pd.Series(Y))
    np.testing.assert_array_equal(model.predict(table), regressor().fit(X, Y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table.rename(columns={"a": "z"}))


def test_frames_that_do_not_fit():
    model = regressor().fit(frame(), Y)
    with pytest.raises(TypeError, match="X is a ndarray, and the estimator was fitted to a frame with categories"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame().drop(columns="town"))
    with pytest.raises(ValueError, match="column 'when' holds dates or times; write what of them matters as numbers"):
        regressor().fit(frame().assign(when=pd.Timestamp("2020-01-01")), Y)


# ---------------------------------------------------------------- wrong arguments

@pytest.mark.parametrize("options, message", [
    ({"hidden": 0}, "hidden must be the widths of the hidden layers, got 0; write hidden="),
    ({"hidden": (8, -1)}, "hidden must be the widths"),
    ({"hidden": "big"}, "hidden must be the widths"),
    ({"hidden": True}, "hidden must be the widths"),
    ({"activation": "swoosh"}, "activation must be 'choose' or one of 'tanh'"),
    ({"noise": "loud"}, "noise must be one of 'by input', 'constant', got 'loud'"),
    ({"budget": "soon"}, "budget='soon' is no time"),
    ({"chains": 0}, "chains must be at least 1"),
    ({"validation": 2.0}, "validation must lie in"),
])
def test_wrong_arguments_are_told_at_fit(options, message):
    model = regressor(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)


def test_a_classifiers_likelihood_is_of_classes():
    with pytest.raises(TypeError, match="likelihood must be one of classes, got Gaussian.*write sg.likelihoods.Categ"):
        classifier(likelihood=sg.likelihoods.Gaussian(1.0)).fit(X, X[:, 0] > 0)
    with pytest.raises(ValueError, match="likelihood ignores the label 0, .* leave rows without a label out"):
        classifier(likelihood=sg.likelihoods.Categorical(ignore_label=0)).fit(X, X[:, 0] > 0)


def test_a_wrong_training_is_named_as_it_was_written():
    """sg.fit calls it warm_start."""
    with pytest.raises(TypeError, match="training must be 'auto', a WarmStart or None, got 'yes'; write training="):
        regressor(training="yes").fit(X, Y)


def test_rows_to_hold_out_are_a_fraction_here():
    """Arrays would have to be standardised and encoded as X and y are."""
    with pytest.raises(TypeError, match="validation must be the fraction of rows to hold out, or 'auto', got"):
        regressor(validation=(X, Y)).fit(X, Y)


def test_a_regressor_learns_from_all_rows_and_a_classifier_that_chooses_does_not():
    assert regressor(budget="10 steps").fit(X, Y).chosen_.held_out == 0
    assert regressor(budget="10 steps", validation=0.2).fit(X, Y).chosen_.held_out == 30
    assert classifier(budget="10 steps", activation="tanh").fit(X, X[:, 0] > 0).chosen_.held_out == 0
    assert classifier(budget="10 steps", activation="choose").fit(X, X[:, 0] > 0).chosen_.held_out == 15


def test_wrong_questions(fitted):
    with pytest.raises(ValueError, match="interval and samples are given together"):
        fitted.predict(X, interval=0.9, samples=True)
    with pytest.raises(ValueError, match="interval must lie in"):
        fitted.predict(X, interval=1.5)
    with pytest.raises(NotFittedError):
        regressor().summary()
    with pytest.raises(ValueError, match="y has the one class 1, and nothing can be told from it"):
        classifier().fit(X, np.ones(150, int))
    with pytest.raises(AttributeError, match="has no attribute 'BayesianGuesser'"):
        sg.BayesianGuesser     # noqa: B018


def test_without_scikit_learn():
    """The package imports, and the name says what to install."""
    code = """
import sys
sys.modules["sklearn"] = None
import sgmcmc_mx as sg
try:
    sg.BayesianRegressor
except ImportError as e:
    print(e)
"""
    done = forks.run(code)
    assert "BayesianRegressor needs scikit-learn, which is not there; write pip install 'sgmcmc_mx[sklearn]'" in \
        done.stdout, done.stderr
    assert "sklearn" in sys.modules


def test_a_classifiers_usual_prior_is_as_wide_in_every_layer():
    model = classifier(budget="10 steps", prior="usual").fit(X, X[:, 0] > 0)
    prior = sg.priors.as_prior(model.fit_.chosen.optimizer_params["prior"])
    names = model.fit_.runs.setup.net._collect_params_with_prefix()
    precisions = {name: prior.precision([name], p.shape) for name, p in names.items()}
    assert precisions["0.weight"] == pytest.approx(3 / 4) and precisions["1.weight"] == pytest.approx(8 / 4)
    assert precisions["0.bias"] == precisions["1.bias"] == 1.0


def test_a_classifier_takes_labels_for_certain_where_that_is_said():
    sure = sg.likelihoods.NoisyDirichlet(1e-3)
    plain, certain = [clone(classifier(likelihood=one)).fit(X, X[:, 0] > 0) for one in (None, sure)]
    assert type(plain.fit_.likelihood) is sg.likelihoods.Categorical
    assert certain.fit_.likelihood.alpha == 1e-3
    right = certain.predict_proba(X)[np.arange(len(X)), (X[:, 0] > 0).astype(int)]
    density = certain.log_predictive_density(X, X[:, 0] > 0)
    np.testing.assert_allclose(density, np.log(right), rtol=1e-3, atol=1e-5)    # of logits of 10 and more, in float32
    assert f"NLL {-density.mean():.4g}" in certain.summary()["nll"].detail


@pytest.mark.parametrize("rows, variance", [(100, 1.0), (600, 4.0)])
def test_a_regressors_usual_prior_is_wide_where_columns_come_in(rows, variance):
    x = np.resize(X, (rows, 3)) + 0.01 * np.arange(rows)[:, np.newaxis]
    model = regressor(budget="10 steps").fit(x, x[:, 0])
    prior = model.fit_.chosen.optimizer_params["prior"]
    names = model.fit_.runs.setup.net._collect_params_with_prefix()
    precisions = {name: sg.priors.as_prior(prior).precision([name], p.shape) for name, p in names.items()}
    assert precisions["0.weight"] == precisions["0.bias"] == 1.0 / variance
    assert precisions["1.weight"] == pytest.approx(8 / variance) and precisions["1.bias"] == 1.0
