"""The encoding of columns: what scikit-learn's parts make of a frame, kept as JSON, and fits of earlier versions."""
import gzip
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import sgmcmc_mx as sg
from sgmcmc_mx.tables import older
from sgmcmc_mx.tables.frames import FrameEncoder, has_to_be_encoded

STORED = Path(__file__).parent / "stored"
DAYS = sorted(path.name for path in STORED.iterdir())


def frame(rows=97, seed=0):
    draw = np.random.default_rng(seed)
    table = pd.DataFrame({"size": 1e3 + draw.normal(size=rows), "town": draw.choice(["Bern", "Rome", "Oslo"], rows),
                          "rooms": pd.array(draw.integers(0, 9, rows), dtype="Int64"), "new": draw.random(rows) < 0.3,
                          "same": 0.1, "grade": pd.Categorical(draw.choice(["good", "fair"], rows))})
    table.loc[::7, "size"] = np.nan
    table.loc[::5, "town"] = None
    table.loc[3, "rooms"] = pd.NA
    return table


def by_scikit_learn(table):
    """The same by other means: the numbers, which of them were missing, the names."""
    numbers = np.column_stack([table[name].to_numpy(dtype=float, na_value=np.nan)
                               for name in ("size", "rooms", "new", "same")])
    names = np.column_stack([table[name].astype(object).where(table[name].notna(), "\0missing")
                             for name in ("town", "grade")])
    scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return np.hstack([scaled.fit_transform(numbers), OneHotEncoder(sparse_output=False).fit_transform(names)])


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_scikit_learn_makes_of_a_frame(seed):
    table = frame(seed=seed)
    found = FrameEncoder.of(table).transform(table)
    np.testing.assert_array_equal(found, by_scikit_learn(table).astype(np.float32))
    assert found.dtype == np.float32 and found.shape == (97, 4 + 2 + 4 + 2)


def test_it_is_kept_as_json():
    table = frame()
    parts = FrameEncoder.of(table).parts
    assert FrameEncoder(json.loads(json.dumps(parts, allow_nan=False))).parts == parts
    again = FrameEncoder(json.loads(json.dumps(parts)))
    np.testing.assert_array_equal(again.transform(table), FrameEncoder.of(table).transform(table))
    assert pickle.loads(pickle.dumps(again)).parts == parts


def test_columns_that_are_missing_altogether():
    """That they are is all that is known of them."""
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [np.nan] * 3, "c": ["x", "y", "x"]})
    found = FrameEncoder.of(table)
    assert [(part["kind"], part["name"]) for part in found.parts] == [("number", "a"), ("gap", "b"), ("names", "c")]
    assert np.isfinite(found.transform(table)).all()


def test_a_column_that_is_constant_but_for_rounding_is_not_blown_up():
    table = pd.DataFrame({"a": [0.1] * 97, "c": ["x", *"y" * 96]})
    assert np.std(table["a"]) > 0
    found = FrameEncoder.of(table)
    assert abs(found.transform(table.assign(a=0.2))[:, 0] - 0.1).max() < 1e-6


@pytest.mark.parametrize("change, message", [
    (lambda t: t.assign(size="big"), "column 'size' of X has 'big', and was numbers in the fit; give a number"),
    (lambda t: t.assign(size=np.inf), "Input X contains infinity: column 'size'"),
    (lambda t: t.assign(size=pd.Timestamp("2020-01-01")), "column 'size' holds dates or times"),
    (lambda t: t.drop(columns="town"), "X lacks the column 'town' of the fit; it has size, rooms"),
])
def test_frames_that_do_not_fit(change, message):
    encoder = FrameEncoder.of(frame())
    with pytest.raises(ValueError, match=message):
        encoder.transform(change(frame()))


def test_two_columns_of_one_name():
    table = pd.DataFrame([[1.0, "x"], [2.0, "y"]], columns=["a", "a"])
    with pytest.raises(ValueError, match="X has two columns named 'a'; give each a name of its own"):
        has_to_be_encoded(table)


@pytest.mark.parametrize("day", DAYS)
def test_a_fit_of_an_earlier_version_goes_on(day, tmp_path):
    """The encoding was scikit-learn's then: the same numbers to the last bit, or the store would not take the rows.

    It is of ``BayesianRegressor`` with the arguments below, on ``rows.csv``, where red is missing; ``estimator.csv``
    has what it said of ``new.csv``.
    """
    folder = STORED / day
    shutil.copytree(folder / "estimator", tmp_path / "estimator")
    rows = pd.read_csv(folder / "rows.csv")
    y = rows.pop("strength")
    rows["colour"] = rows["colour"].where(rows["colour"] != "red", None)
    model = sg.BayesianRegressor((4,), activation="tanh", chains=1, samples=3, budget="60 steps", training=None,
                                 optimizer_params={"learning_rate": 2e-3, "friction": 0.1},
                                 store=tmp_path / "estimator").fit(rows, y)
    found = np.column_stack(model.predict(pd.read_csv(folder / "new.csv").drop(columns="strength"), return_std=True))
    np.testing.assert_allclose(found, np.loadtxt(folder / "estimator.csv", delimiter=",", skiprows=1), rtol=1e-4)


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.filterwarnings("ignore:Trying to unpickle")
def test_a_pickle_of_an_earlier_version_predicts_and_goes_on(day):
    """It is ``gzip -9n`` of pickle.dumps of the estimator above, with store=None, by the version before 8c39d7b."""
    folder = STORED / day
    model = pickle.loads(gzip.decompress((folder / "regressor.pickle.gz").read_bytes()))
    new = pd.read_csv(folder / "new.csv").drop(columns="strength")
    found = np.column_stack(model.predict(new, return_std=True))
    np.testing.assert_allclose(found, np.loadtxt(folder / "estimator.csv", delimiter=",", skiprows=1), rtol=1e-4)
    assert [part["name"] for part in model.encoder_.parts] == ["time", "weight", "weight", "colour"]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(new), model.predict(new))
    assert len(again.resume("30 steps").fit_.runs.samples) > len(model.fit_.runs.samples) > 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
def test_the_encoder_of_an_earlier_version_is_that_of_today(seed):
    """It was this transformer of scikit-learn; a column that is missing altogether was dropped, but for its gap."""
    table = frame(seed=seed).assign(none=np.nan)
    before = ColumnTransformer([
        ("numbers", make_pipeline(FunctionTransformer(older.as_numbers),
                                  SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
         ["size", "rooms", "new", "same", "none"]),
        ("categories", make_pipeline(FunctionTransformer(older.as_text),
                                     OneHotEncoder(handle_unknown="ignore", sparse_output=False)), ["town", "grade"])])
    made = before.fit_transform(table).astype(np.float32)
    found, today = FrameEncoder(older.parts_of(before)), FrameEncoder.of(table)
    np.testing.assert_array_equal(found.transform(table), made)
    assert [[part["kind"], part["name"], part.get("values")] for part in found.parts] == [
        [part["kind"], part["name"], part.get("values")] for part in today.parts]
    np.testing.assert_array_equal(found.transform(frame(seed=9).assign(none=1.0)),
                                  before.transform(frame(seed=9).assign(none=1.0)).astype(np.float32))
