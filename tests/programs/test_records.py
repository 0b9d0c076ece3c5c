"""Records: that every method runs, that test data do not choose settings, and that the page shows the results."""
import csv
import importlib
import json
import math
import re

import sgmcmc_mx as sg  # isort: skip  (before mxnet, which it makes importable with newer NumPy)

import mxnet as mx
import numpy as np
import pytest

from records import band, ledger, page, shift, tables
from records.band.problems import CELL, NOISE, PROBLEMS, densities, moons
from records.band.truth import Length, apart
from records.contest import Choice, Contest, Data, sharpened
from records.main import CONTESTS, main
from records.methods import METHODS
from records.methods.laplace import information
from records.networks import mlp
from records.shift.images import turned
from records.tables.data import Table, parted, standardised
from records.tables.scores import Mixture, scores
from records.tables.ways import MEMBERS, WAYS, Size


def clouds(count, seed):
    """Two classes whose means are two standard deviations apart: 16 % of error at best."""
    rng = np.random.RandomState(seed)
    y = rng.randint(0, 2, count)
    return (rng.standard_normal((count, 3)) + 2.0 * y[:, None] * [1.0, 0.0, 0.0]).astype(np.float32), y


def network(dropout=0.0):
    return mlp(dropout, hidden=(8,), outputs=2)


def contest(folder, test_labels=None, **options):
    x, y = clouds(120, 0)
    x_test, y_test = clouds(400, 1)
    data = Data(x, y, x_test, y_test if test_labels is None else test_labels(y_test))
    return Contest(folder, "clouds", network, {"120": lambda seed: data}, budget={"120": 200}, choosing={"120": (0, 1)},
                   batch_size=20, **options)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns(tmp_path, method):
    row = contest(tmp_path).judge("120", method, Choice(METHODS[method].grid[0], 1.0), 0)
    assert row["nll"] < 0.85 * np.log(2.0) and row["error"] < 25.0      # log 2 is what no inputs tell
    assert 0 < row["gradients"] <= 200
    assert [r["method"] for r in ledger.read(tmp_path / "results.csv")] == [method]


def test_test_data_choose_nothing(tmp_path):
    grids = {"120": {"sgd": [{"share": 1.0, "wd": wd} for wd in (0.0, 0.3)]}}
    chosen = []
    for name, labels in (("true", None), ("wrong", lambda y: 1 - y)):
        folder = tmp_path / name
        folder.mkdir()
        one = contest(folder, test_labels=labels, grids=grids)
        chosen.append(one.choose("120", "sgd", lambda line: None))
        rows = ledger.read(folder / "choices.csv")
        assert len(rows) == 4 and not (folder / "results.csv").exists()
    assert chosen[0] == chosen[1]


def test_chance_knows_no_test_labels(tmp_path):
    choice = Choice({"share": 1.0, "wd": 0.01}, 1.0)
    found, same = (contest(tmp_path, labels).chance("120", "sgd", choice, 0) for labels in (None, lambda y: 1 - y))
    np.testing.assert_array_equal(found, same)
    assert 0.0 < found.min() < found.max() < 0.2 and not [*tmp_path.iterdir()]


def test_what_was_tried_is_not_tried_again(tmp_path, monkeypatch):
    one = contest(tmp_path, grids={"120": {"sgd": [{"share": 0.5, "wd": 0.0}]}})
    first = one.choose("120", "sgd", lambda line: None)
    monkeypatch.setitem(METHODS, "sgd", METHODS["sgd"]._replace(fit=None))
    again = one.choose("120", "sgd", lambda line: None)
    assert again.setting == first.setting and again.calibration == pytest.approx(first.calibration, rel=1e-4)


@pytest.mark.parametrize("budget, chosen", [(20, 1.0), (6_000, 0.2)])
def test_the_best_is_tried_with_all_gradients(tmp_path, budget, chosen):
    """Which help where there are few, and of very many a network learns its forty examples by heart."""
    one = contest(tmp_path, held_out=0.67, grids={"120": {"sgd": [{"share": 0.2, "wd": 0.0}]}})
    found = one._replace(budget={"120": budget}).choose("120", "sgd", lambda line: None)
    shares = [json.loads(row["setting"])["share"] for row in ledger.read(tmp_path / "choices.csv")]
    assert found.setting["share"] == chosen and sorted(shares) == [0.2, 0.2, 1.0, 1.0]


def test_what_another_setting_came_to_is_no_result(tmp_path):
    one, choice = contest(tmp_path), Choice(METHODS["sgd"].grid[0], 1.0)
    one.judge("120", "sgd", choice, 0)
    assert one.judged("120", "sgd", choice, 0)
    assert not one.judged("120", "sgd", choice._replace(setting={**choice.setting, "wd": 0.5}), 0)


def test_a_row_is_replaced_and_rows_are_in_order(tmp_path):
    path = tmp_path / "results.csv"
    for part, seed, nll in (("1000", 0, 1.0), ("500", 1, 2.0), ("500", 0, 3.0), ("1000", 0, 4.0)):
        ledger.put(path, ("part", "seed"), {"part": part, "seed": seed, "nll": nll})
    assert [(r["part"], r["seed"], r["nll"]) for r in ledger.read(path)] == [("500", "0", "3"), ("500", "1", "2"),
                                                                        ("1000", "0", "4")]


def test_a_temperature_of_probabilities():
    p = np.array([[0.8, 0.2], [0.5, 0.5], [0.6, 0.4]])
    np.testing.assert_allclose(sharpened(p, 0.5), [[0.64 / 0.68, 0.04 / 0.68], [0.5, 0.5], [0.36 / 0.52, 0.16 / 0.52]])
    fitted = sg.calibrate(p, [0, 1, 1])
    np.testing.assert_allclose(sharpened(p, fitted.temperature), fitted(p), rtol=1e-6)


def test_means_and_standard_errors():
    mean, error = page.mean_and_error([1.0, 2.0, 6.0])
    assert mean == 3.0 and error == pytest.approx(np.sqrt(7.0 / 3.0))


@pytest.mark.parametrize("name", CONTESTS)
def test_the_page_shows_what_the_results_are(name):
    one = importlib.import_module(f"records.{name}").CONTEST
    if not (one.folder / "results.csv").exists():
        pytest.skip(f"scripts/records {name} has not been run yet")
    assert page.table(one) in page.PAGE.read_text(), f"scripts/records {name} --page renews it"
    with open(one.folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(r["gradients"]) <= one.budget[r["part"]] for r in rows)


def test_the_best_numbers_named_first_stand_in_the_tables():
    text, blocks = page.PAGE.read_text(), {"full MNIST": "mnist_mlp", "LeNet": "lenet", "other images": "shift",
                                           "airfoil": "tables", "curve and moons": "band"}
    lines = text.split("## What was to be reached")[1].split("Why some were not")[0].splitlines()
    of_record, seen = [], 0
    for name, _, *best in (line.strip("|").split("|") for line in lines if line.startswith("|")):
        for start, block in blocks.items():
            if name.strip().startswith(start):
                shown = text.split(f"scripts/records {block} -->")[1].split(f"<!-- end: {block}")[0]
                of_record = [float(n) for n in re.findall(r"-?\d+\.\d+", shown)]
        for number in re.findall(r"-?\d*\.\d+", " ".join(best)) if of_record else ():
            digits, seen = len(number.split(".")[1]), seen + 1
            assert any(float(number) in (round(n, digits), round(100.0 - n, digits)) for n in of_record), (name, number)
    assert seen > 10


def test_the_page_shows_what_was_held_against_hmc():
    assert band.RECORD.table() in page.PAGE.read_text(), "scripts/records band --page renews it"


def test_images_turned_by_a_right_angle_are_the_same_pixels_elsewhere():
    x = np.random.RandomState(0).uniform(size=(3, 784)).astype(np.float32)
    images = x.reshape(-1, 28, 28)
    for quarters in range(4):
        expected = np.rot90(images, quarters, (1, 2)).reshape(3, -1)
        np.testing.assert_allclose(turned(x, 90.0 * quarters), expected, atol=1e-5)
    assert (turned(x, 45.0).reshape(-1, 28, 28)[:, 0, 0] == 0.0).all()     # nothing was there


def test_the_page_shows_what_was_asked_of_other_images():
    if not (shift.RECORD.folder / "results.csv").exists():
        pytest.skip("scripts/records shift has not been run yet")
    assert shift.RECORD.table() in page.PAGE.read_text(), "scripts/records shift --page renews it"


def test_total_variation_of_two_curves_is_that_of_two_normal_distributions():
    """Means 0 and d, both of standard deviation s: erf(d / (2 sqrt 2 s)).

    The midpoint rule is off by the bend of |p - q| where the two cross: at most cells squared, times |p' - q'|, over 8.
    """
    for d in (0.1, 0.37, 1.0):
        found = apart(densities(np.zeros((1, 3, 1))), densities(np.full((1, 3, 1), d)))[0]
        slopes = d / NOISE ** 2 * math.exp(-0.5 * (0.5 * d / NOISE) ** 2) / (NOISE * math.sqrt(2.0 * math.pi))
        exact = math.erf(d / (2.0 * math.sqrt(2.0) * NOISE))
        assert found == pytest.approx(exact, abs=CELL ** 2 * slopes / 8.0 + 1e-9)


def test_a_mixture_of_samples_has_all_its_mass_and_the_likelihood_of_its_formula():
    problem, random = PROBLEMS["curve"], np.random.RandomState(0)
    out = random.standard_normal((300, 5, 1))
    cells = densities(out)
    np.testing.assert_allclose(cells.sum(axis=1), 1.0, atol=1e-9)
    y = random.standard_normal((5, 1))
    z = (y - out) / NOISE
    exact = -np.log((np.exp(-0.5 * z ** 2) / (NOISE * np.sqrt(2.0 * np.pi))).mean(axis=0)).mean()
    assert problem.nll(cells, y) == pytest.approx(exact, abs=0.03)      # a cell is an eighth of the noise


def test_moons_are_two_and_each_reaches_into_the_other():
    x, y = moons(400, noise=0.0)
    for c, centre in ((0, (0.0, 0.0)), (1, (1.0, 0.5))):
        np.testing.assert_allclose(np.linalg.norm(x[y == c] - np.array(centre), axis=1), 1.0, atol=1e-5)
    assert x[y == 0, 1].min() > -1e-6 and x[y == 1, 1].max() < 0.5 + 1e-6
    assert (y == 1).mean() == 0.5


@pytest.mark.parametrize("part", [pytest.param("curve", marks=pytest.mark.slow), "moons"])
def test_a_sampler_is_nearer_to_hmc_than_one_network(tmp_path, part):
    record = band.Record(tmp_path, {part: 24_000}, {part: Length(2, 20, 20, 0.3)})
    record.run([part], ["sgnht", "sgd"], [0], lambda line: None)
    rows = {row["method"]: row for row in ledger.read(tmp_path / "results.csv")}
    assert float(rows["sgnht"]["tv"]) < float(rows["sgd"]["tv"])
    assert rows["sgnht"]["gradients"] == "24000" and float(rows["hmc"]["acceptance"]) > 0.5
    again = (tmp_path / "results.csv").read_text()
    record.run([part], ["sgnht", "sgd"], [0], lambda line: None)        # what is there is not made again
    assert (tmp_path / "results.csv").read_text() == again


def test_the_page_shows_what_came_of_tables():
    assert tables.RECORD.table() in page.PAGE.read_text(), "scripts/records tables --page renews it"


def test_rows_are_parted_as_scikit_learn_parts_them():
    """bde's authors do it by train_test_split."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    for count in (10, 1503):
        rest, test = model_selection.train_test_split(np.arange(count), test_size=0.2, random_state=3)
        for mine, theirs in zip(parted(count, 0.2, 3), (rest, test)):
            np.testing.assert_array_equal(mine, theirs)


def test_scores_of_a_mixture_are_those_of_its_formulas():
    """Two networks that differ by 2 d about 0 and have the noise s; y is r to either side."""
    d, s, r = 0.3, 0.5, 0.8
    found = scores(Mixture(np.array([[-d, -d], [d, d]]), np.full((2, 2), s)), np.array([[-r], [r]]))
    width = math.sqrt(s ** 2 + d ** 2)
    density = sum(math.exp(-0.5 * ((r - m) / s) ** 2) for m in (-d, d)) / (2.0 * s * math.sqrt(2.0 * math.pi))
    assert found["rmse"] == pytest.approx(r) and found["nll"] == pytest.approx(-math.log(density))
    of_normal = 0.5 * (r / width) ** 2 + math.log(width) + 0.5 * math.log(2.0 * math.pi)
    assert found["nll_moments"] == pytest.approx(of_normal)
    assert found["nll_rmse"] == pytest.approx(math.log(r) + 0.5 * math.log(2.0 * math.pi) + 0.5)
    assert found["coverage"] == 1.0
    assert scores(Mixture(np.zeros((1, 4)), np.ones((1, 4))), np.array([0.0, 1.6, 1.7, -2.0]))["coverage"] == 0.5


def line(count=80):
    """y = x and a tenth of noise."""
    rng = np.random.RandomState(0)
    x = rng.standard_normal((count, 2))
    y = x[:, 0] + 0.1 * rng.standard_normal(count)
    return standardised(x[:-20], y[:-20], x[-20:], y[-20:])


def groups():
    x, y = clouds(120, 0)
    return Table(x[:80], y[:80], x[80:], y[80:])


@pytest.mark.parametrize("method", ["sgd", "ensemble", "dropout", "laplace", "swag", "posterior"])
@pytest.mark.parametrize("table, worst", [(line, 1.2), (groups, 0.6)])
def test_a_way_learns_from_a_table(method, table, worst):
    data, way = table(), WAYS[method]
    setting = way.grid[0]
    if "friction" in setting:
        setting = {**setting, "lr": 1e-4}       # of the chains: a step for little noise
    found = way.fit(data, setting, Size(4_000, 300, 1.0), 0)
    assert scores(found.predictive, data.y_test)["nll"] < worst     # without inputs 1.4, and log 2
    assert 0 < found.gradients <= 4_000


def test_no_method_takes_more_gradients_than_it_may():
    for size in tables.RECORD.sizes.values():
        for name, way in WAYS.items():
            for setting in way.grid:
                networks = MEMBERS if name == "ensemble" else 1
                assert networks * setting.get("length", 0.0) * size.training <= size.budget


@pytest.mark.parametrize("likelihood", [sg.likelihoods.Categorical(),
                                        sg.likelihoods.Gaussian("learned", link="softplus")], ids=str)
def test_information_is_the_mean_square_of_the_score(likelihood):
    rows, draws = np.array([[0.3, -1.0], [1.2, 0.8]], np.float32), 40_000
    outputs = mx.nd.array(np.repeat(rows, draws, axis=0))
    labels = likelihood.draw(outputs.asnumpy(), np.random.default_rng(0))
    outputs.attach_grad()
    with mx.autograd.record():
        loss = likelihood(outputs, mx.nd.array(labels))
    loss.backward()
    score = outputs.grad.asnumpy().astype(np.float64)
    found = score.T @ score / len(score)
    scale = np.sqrt(np.einsum("ni,nj->ij", score ** 2, score ** 2)) / len(score)       # a standard error
    assert (abs(found - information(likelihood, rows)) < 5.0 * scale).all()


def test_training_that_diverged_has_no_score():
    found = scores(Mixture(np.array([[np.nan, 0.0]]), np.ones((1, 2))), np.zeros(2))
    assert all(math.isnan(value) for value in found.values())


def test_a_table_is_judged_once_and_by_its_own_methods(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    record = tables.Record(tmp_path, {"diabetes": Size(300, 30, 1.0)})
    record.run(["diabetes"], ["sgd", "sure"], [0], lambda line: None)      # which is for classes
    rows, chosen = ledger.read(tmp_path / "results.csv"), ledger.read(tmp_path / "choices.csv")
    assert [row["method"] for row in rows] == ["sgd"] and len(chosen) == len(WAYS["sgd"].grid)
    best = min(chosen, key=lambda row: float(row["nll"]))
    assert rows[0]["setting"] == best["setting"] and "| diabetes | one network, Adam |" in record.table()
    monkeypatch.setitem(WAYS, "sgd", WAYS["sgd"]._replace(fit=None))
    record.run(["diabetes"], ["sgd"], [0], lambda line: None)


@pytest.mark.parametrize("arguments, told", [(["little_data", "--parts", "500,700"], "no '700'; write some of: 500"),
                                             (["tables", "--methods", "nothing"], "no 'nothing'; write some of: sgd")])
def test_a_part_or_method_that_is_not_there(capsys, arguments, told):
    with pytest.raises(SystemExit):
        main(arguments)
    assert told in capsys.readouterr().err
