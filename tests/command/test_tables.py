"""From columns to the network's inputs; the same for new rows; and what becomes of a store on the way."""
import csv
import gzip
import json
import re
import struct
import sys

import numpy as np
import pytest
from small_tables import SHORT, rows, table

from sgmcmc_mx.command.program import run
from sgmcmc_mx.command.work.examples import inputs_of, labels_of, learn
from sgmcmc_mx.command.work.files import Table, read_data

QUICK = ["--budget", "60 steps", *SHORT]


def of(**columns):
    count = len(next(iter(columns.values())))
    return Table("t.csv", {name: list(map(str, values)) for name, values in columns.items()}, list(range(2, count + 2)))


def learned(data, **given):
    found = learn(data, **{"target": None, "task": None, "drop": (), "categories": (), **given})
    return json.loads(json.dumps(found.inputs)), json.loads(json.dumps(found.target)), found.told


def test_numbers_are_standardised_and_gaps_told():
    data = of(a=[1, 3, 5, 7], b=[2, "", 6, "NaN"], y=[0.5, 1.5, 2.5, 3.5])
    inputs, target, told = learned(data)
    x = inputs_of(data, inputs)
    np.testing.assert_allclose(x[:, 0], (np.array([1, 3, 5, 7]) - 4) / np.sqrt(5), rtol=1e-6)
    filled = np.array([2, 4, 6, 4])      # the median of 2 and 6
    np.testing.assert_allclose(x[:, 1], (filled - 4) / np.sqrt(2), rtol=1e-6, atol=1e-7)
    assert x[:, 2].tolist() == [0, 1, 0, 1] and x.shape == (4, 3)
    assert target["task"] == "regression" and any("'y'" in line for line in told)
    np.testing.assert_allclose(labels_of(data, target)[:, 0], (np.array([0.5, 1.5, 2.5, 3.5]) - 2) / np.sqrt(1.25))


def test_names_are_indicators_and_new_ones_none():
    data = of(c=["red", "blue", "", "red"], y=["no", "yes", "no", "no"])
    inputs, target, _ = learned(data)
    assert inputs_of(data, inputs).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert target["classes"] == ["no", "yes"] and labels_of(data, target).tolist() == [0, 1, 0, 0]
    with pytest.warns(UserWarning, match="'mauve', which training has not seen"):
        assert inputs_of(of(c=["mauve"]), inputs).tolist() == [[0, 0, 0]]


def test_new_rows_go_by_what_training_saw():
    inputs, _, _ = learned(of(a=[1, 3, 5, 7], b=[1, 2, 3, 4], y=[0.5, 1.5, 2.5, 3.5]))
    with pytest.warns(UserWarning, match="'b' .* 1 missing value, and had none in training"):
        x = inputs_of(of(b=["", 2.5], extra=["u", "v"], a=[4, 4]), inputs)
    assert x.tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="lacks the columns 'a', 'b' of the training; it has A"):
        inputs_of(of(A=[1]), inputs)
    with pytest.raises(ValueError, match="lacks the column 'weight' of the training; did you mean 'Weight'"):
        inputs_of(of(Weight=[1]), learned(of(weight=[1, 2], y=[0.5, 1]))[0])
    with pytest.raises(ValueError, match="'a' of t.csv has 'x' in line 3"):
        inputs_of(of(a=[1, "x"], b=[1, 1]), inputs)


@pytest.mark.parametrize("values, task", [
    ([0, 1, 1, 0], "classification"), ([1.5, 2, 1, 0], "regression"), (list(range(11)), "regression"),
    (["a", "b", "a"], "classification"), (["True", "False"], "classification")])
def test_the_task_is_seen_by_the_target(values, task):
    assert learned(of(a=range(len(values)), y=values))[1]["task"] == task


def test_files_of_arrays(tmp_path):
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    raw = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()
    (tmp_path / "x.idx.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "y.idx").write_bytes(struct.pack(">4BI2i", 0, 0, 0x0C, 1, 2, 7, -1))
    found = read_data(str(tmp_path / "x.idx.gz"), str(tmp_path / "y.idx"))
    assert (found.x == images).all() and found.y.tolist() == [7, -1]
    np.savez(tmp_path / "a.npz", x=images, y=[7, -1])
    again = read_data(str(tmp_path / "a.npz"))
    assert (again.x == images).all() and again.y.tolist() == [7, -1]
    (tmp_path / "cut.idx").write_bytes(raw[:-1])
    with pytest.raises(ValueError, match="it was cut"):
        read_data(str(tmp_path / "cut.idx"), str(tmp_path / "y.idx"))


def test_csv_as_programs_write_it(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfname;"a; b"\r\n"x ""y""";1\r\n\r\nz;2\r\n')
    found = read_data(str(tmp_path / "a.csv"))
    assert found.columns == {"name": ['x "y"', "z"], "a; b": ["1", "2"]} and found.lines == [2, 4]


def test_what_stands_in_quotes_parts_no_columns(tmp_path):
    """Names with more commas in them than there are semicolons."""
    (tmp_path / "a.csv").write_text('"size, in cm";"a, b, c";y\n1;2;3\n', encoding="utf-8")
    assert read_data(str(tmp_path / "a.csv")).columns == {"size, in cm": ["1"], "a, b, c": ["2"], "y": ["3"]}


def test_a_column_that_counts_the_rows_is_told(tmp_path):
    (tmp_path / "a.csv").write_text(",a,y\n0,5,1.5\n1,7,2.5\n2,6,3.5\n", encoding="utf-8")
    told = learned(read_data(str(tmp_path / "a.csv")))[2]
    assert any("'column 1' has no name in the file, and counts the rows; --drop 'column 1'" in line for line in told)
    told = learned(of(a=[5, 7, 6], y=[1.5, 2.5, 3.5]))[2]
    assert not any("counts the rows" in line for line in told)


def test_signs_alone_are_names():
    inputs, _, _ = learned(of(price=["$", "$$", "$"], y=[1.5, 2.5, 3.5]))
    assert inputs["parts"] == [{"kind": "names", "name": "price", "values": ["$", "$$"]}]


def test_a_parquet_file_is_the_same_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": [1.5, None], "n": [1, 2], "c": ["u", None]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_data(str(tmp_path / "a.parquet")).columns == {"a": ["1.5", ""], "n": ["1", "2"], "c": ["u", ""]}


def answered(capsys, *words):
    code = run([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_classes_from_settings_in_a_file(place, capsys):
    """One command from a table to probabilities; the store says what it holds; a bit that has flipped is named."""
    (place / "run.toml").write_text('data = "good.csv"\nstore = "runs/a"\ntarget = "colour"\ndrop = ["weight"]\n'
                                    'chains = 2\nhidden = [8]\nactivation = "tanh"\nsamples = 20\n'
                                    'learning-rate = 0.002\nwarm_start = false\nbudget = "5 steps"\n')
    code, found = answered(capsys, "train", "--settings", "run.toml", "--budget", "60 steps", "--predict", "good.csv",
                           "-o", "out.csv")
    assert code == 0 and found["steps"] == [60, 60] and 0 <= found["held_out"]["accuracy"] <= 1
    with open("out.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["row", "class", "p_blue", "p_green", "p_red"] and len(lines) == 60
    for line in lines:
        probs = {name: float(line[f"p_{name}"]) for name in ("blue", "green", "red")}
        assert abs(sum(probs.values()) - 1) < 1e-6 and line["class"] == max(probs, key=probs.get)
    code, about = answered(capsys, "info", "runs/a")
    assert code == 0 and about["trained"]["target"] == "colour" and about["trained"]["inputs"] == ["time", "strength"]
    assert [chain["state"] for chain in about["chains"]] == ["done", "done"] and about["sampler"] == "sgnht"
    assert answered(capsys, "check", "runs/a")[1]["bad"] == []
    for victim in ("chain-01/sample-*.params", "chain-00/checkpoint-*.params", "command.json"):
        path = sorted((place / "runs/a").glob(victim))[-1]
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    code, found = answered(capsys, "check", "runs/a")
    names = sorted(bad["file"] for bad in found["bad"])
    assert code == 1 and names[0].startswith("chain-00/checkpoint-") and names[1].startswith("chain-01/sample-")
    assert names[2:] == ["command.json"]
    assert answered(capsys, "predict", "runs/a", "good.csv")[0] == 1


def test_data_that_changed_are_not_gone_on_with(place, capsys):
    assert answered(capsys, "train", "good.csv", "--store", "a", *QUICK)[0] == 0
    table("good.csv", list(rows(seed=3)))
    code, found = answered(capsys, "resume", "a", "--budget", "90 steps")
    assert code == 1 and "not the file that the run was begun with" in found["error"]
    table("moved.csv")
    code, found = answered(capsys, "resume", "a", "--budget", "90 steps", "--data", "moved.csv")
    assert code == 0 and found["steps"] == [90, 90]


def test_a_run_needs_no_arviz(place, capsys, monkeypatch):
    """It brings the verdicts, and is an extra; the run is done all the same, and says what is missing."""
    monkeypatch.setitem(sys.modules, "arviz", None)
    assert run(["train", "good.csv", "--store", "a", *QUICK, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["verdicts"] is None and json.loads(told.out)["held_out"]["rows"] == 6
    assert "sgmcmc_mx[arviz]" in told.err


@pytest.mark.parametrize("network, size", [("lenet", 12), pytest.param("resnet", 16, marks=pytest.mark.slow)])
def test_images_by_a_convolutional_network(network, size, place, capsys):
    """From arrays of numbers to probabilities, with the report on the way; as few samples as nothing can be told of."""
    draw = np.random.default_rng(0)
    y = np.arange(40) % 2
    np.savez("digits.npz", x=(draw.random((40, 1, size, size)) + y[:, None, None, None]).astype(np.float32), y=y)
    code, found = answered(capsys, "train", "digits.npz", "--store", "a", "--network", network, "--budget",
                           "8 steps", *SHORT, "--chains", "1", "--samples", "4", "--batch-size", "10")
    assert code == 0 and found["task"] == "classification", found
    code, found = answered(capsys, "predict", "a", "digits.npz")
    assert code == 0 and found["columns"] == ["row", "class", "p_0", "p_1"] and found["count"] == 40
    code, found = answered(capsys, "report", "a", "-o", "page.html")
    assert code == 0 and "<html" in (place / "page.html").read_text().lower()


@pytest.mark.slow
def test_everything_speaks_in_the_targets_own_unit(place, capsys):
    """The same data in another unit: what is said of them is in that unit, be it told, predicted, or on the page."""
    lines = [[*row[:3], float(row[3])] for row in rows()]
    found = []
    for scale, shift in ((1.0, 0.0), (1000.0, 5e5)):
        name = f"unit-{scale:.0f}"
        table(f"{name}.csv", [[*row[:3], f"{scale * row[3] + shift:.6f}"] for row in lines])
        code, told = answered(capsys, "train", f"{name}.csv", "--store", name, *QUICK)
        assert code == 0, told
        code, predicted = answered(capsys, "predict", name, f"{name}.csv")
        assert code == 0 and answered(capsys, "report", name, "-o", f"{name}.html")[0] == 0
        values = np.array([row[1:] for row in predicted["rows"]])
        scores = re.search(r"average of all chains.*?</tr>", (place / f"{name}.html").read_text(), re.S).group()
        page = [float(text.replace(",", "")) for text in re.findall(r">(-?[\d.,]+)<", scores)]
        nll, = (float(row["detail"].split()[1].rstrip(",")) for row in told["verdicts"] if row["name"] == "nll")
        found.append((values, told["held_out"], nll, page))
    (first, held, nll, page), (second, its_held, its_nll, its_page) = found
    np.testing.assert_allclose(second[:, :3], 1000.0 * first[:, :3] + 5e5, rtol=1e-5)
    np.testing.assert_allclose(second[:, 3], 1000.0 * first[:, 3], rtol=1e-4)
    # The NLL grows by log 1000, a root mean square error a thousandfold, and a share of intervals stays.
    assert its_held["nll"] - held["nll"] == pytest.approx(np.log(1000.0), abs=1e-3)
    assert its_nll - nll == pytest.approx(np.log(1000.0), abs=2e-3) and nll == pytest.approx(held["nll"], rel=2e-3)
    assert page[0] == pytest.approx(held["nll"], rel=2e-3) and page[1] == pytest.approx(held["rmse"], rel=2e-3)
    assert its_page[0] - page[0] == pytest.approx(np.log(1000.0), abs=1e-2)
    assert its_page[1] == pytest.approx(1000.0 * page[1], rel=1e-2) and its_page[2:4] == page[2:4]
