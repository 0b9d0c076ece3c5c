"""What users get wrong: the error says what and where, no traceback is shown, and nothing is left behind."""
import json
import pickle

import numpy as np
import pytest
from small_tables import HEADER, SHORT, rows, table

from sgmcmc_mx.command.program import run


def said(capsys, *words):
    code = run(list(map(str, words)))
    return code, capsys.readouterr()


def changed(path, row, column, text):
    lines = [list(line) for line in rows()]
    lines[row][HEADER.index(column)] = text
    table(path, lines)


def write(path, text):
    with open(path, "wb" if isinstance(text, bytes) else "w") as file:
        file.write(text)


@pytest.mark.parametrize("content, names", [
    ("", ["empty"]),
    ("\n\n", ["empty"]),
    ("a,b\n", ["no rows", "a, b"]),
    ("1,2\n3,4\n", ["first line", "numbers"]),
    ("a,a\n1,2\n", ["two columns", "'a'"]),
    ("a,b\n1,2\n3\n", ["line 3", "1 values", "2 columns"]),
    ("a\n1\n2\n", ["no other column"]),
    ("a,b\n1,2\n1,2\n", ["'b'", "one value"]),
    ("a,b\n,2\n,3\n", ["'a'", "no values"]),
    ("a,b\n1,2\n3,\n", ["target 'b'", "missing in line 3"]),
    ("a,b\n1,2\n3,nan\n", ["target 'b'", "missing in line 3"]),
    ("a,b\ninf,2\n1,3\n1,3\n", ["column 'a'", "'inf'", "line 2"]),
    ("a,b\n1,1\n2,1.0\n", ["'b'", "one value"]),
    ("a,b\n1,0\n2,1\n3,1.0\n", ["'b'", "'1' and '1.0'", "one number"]),
    ("a,b\n1,x\n2,y\n3,z\n", ["'b'", "another class in each of its 3 rows", "--target"]),
    ("a,b\n1,7\n2,8\n3,9\n", ["'b'", "another class in each of its 3 rows", "--task regression"]),
    ("a,b\n1e300,2.5\n-1e300,3\n1,4\n", ["column 'a'", "1e+300", "another unit"]),
    ("a,b\n1,1e300\n2,-1e300\n3,0.5\n", ["target 'b'", "1e+300", "another unit"]),
    ("a;b\n1,5;2,5\n2,5;3,5\n", ["'a'", "'1,5' in line 2", "a point for decimals", "--category 'a'"]),
    ('a,b\n"1,500",2.5\n"2,500",3.5\n', ["'a'", "'1,500' in line 2"]),
    ("a,b\n5 %,2.5\n7 %,3.5\n", ["'a'", "'5 %' in line 2"]),
    ("a,b\n2024-01-31 10:00,2.5\n2024-02-01 11:00,3.5\n", ["'a'", "dates or times", "the hour", "--drop 'a'"]),
    (b"\xff\xfe\x00a,b\n", ["UTF-8"]),
    (b"PK\x03\x04nonsense", ["npz"]),
    (b"\x1f\x8b\x08nonsense", ["gzip"]),
    (b"\0\0\x08\x01\0\0\0\x09abc", ["another file"]),
])
def test_files_that_are_no_data(content, names, place, capsys):
    write("bad.csv", content)
    code, told = said(capsys, "train", "bad.csv", "--store", "runs/a")
    assert code == 1 and not (place / "runs").exists()
    assert "bad.csv" in told.err and all(name in told.err for name in names), told.err
    assert "this should not happen" not in told.err and "Traceback" not in told.err


@pytest.mark.parametrize("column, text, names", [
    ("time", "soon", ["'time'", "'soon'", "line 7", "--category 'time'"]),
    ("weight", "12 kg", ["'weight'", "'12 kg'", "line 7"]),
    ("strength", "n.a.", ["'strength'", "'n.a.'", "line 7", "--task"]),
    ("strength", "", ["'strength'", "line 7"]),
])
def test_text_in_a_column_of_numbers(column, text, names, place, capsys):
    changed("bad.csv", 5, column, text)
    code, told = said(capsys, "train", "bad.csv", "--store", "runs/a")
    assert code == 1 and not (place / "runs").exists()
    assert all(name in told.err for name in names), told.err


@pytest.mark.parametrize("words, code, names", [
    (["train", "nope.csv", "--store", "a"], 1, ["nope.csv", "No such file"]),
    (["train", ".", "--store", "a"], 1, ["directory"]),
    (["train", "good.csv"], 2, ["--store"]),
    (["train", "good.csv", "--store", "a", "--budget", "soon"], 2, ["--budget", "5000 steps"]),
    (["train", "good.csv", "--store", "a", "--budget", "-1"], 2, ["--budget"]),
    (["train", "good.csv", "--store", "a", "--hidden", "16,x"], 2, ["--hidden", "16,16"]),
    (["train", "good.csv", "--store", "a", "--chains", "0"], 2, ["--chains"]),
    (["train", "good.csv", "--store", "a", "--network", "mpl"], 1, ["'mpl'", "lenet"]),
    (["train", "good.csv", "--store", "a", "--network", "lenet"], 1, ["images"]),
    (["train", "good.csv", "--store", "a", "--activation", "rely"], 1, ["'rely'", "relu"]),
    (["train", "good.csv", "--store", "a", "--target", "strenght"], 1, ["did you mean 'strength'"]),
    (["train", "good.csv", "--store", "a", "--drop", "x"], 1, ["--drop", "colour"]),
    (["train", "good.csv", "--store", "a", "--target", "colour", "--task", "regression"], 1, ["'colour'", "line 2"]),
    (["train", "good.csv", "--store", "good.csv"], 1, ["is a file"]),
    (["train", "good.csv", "--store", "a", "--target", "time", "--drop", "time"], 1, ["--drop 'time'", "--target"]),
    (["train", "good.csv", "--store", "a", "--prior", "gauss"], 2, ["--prior", "'gauss'", "fan_in"]),
    (["train", "good.csv", "--store", "a", "--prior", "-1"], 2, ["--prior", "'-1'", "10.0"]),
    (["predict", "a", "good.csv", "-o", "no/out.csv"], 1, ["--out no/out.csv", "make it before"]),
    (["train", "good.csv", "--store", "full"], 1, ["full", "resume"]),
    (["train", "good.csv", "--store", "a", "--labels", "y.idx"], 1, ["--labels"]),
    (["train", "good.csv", "--store", "a", "--predict", "new.csv"], 2, ["--out"]),
    (["train", "good.csv", "--store", "a", "--predict", "nope.csv", "-o", "out.csv"], 1, ["nope.csv", "No such file"]),
    (["train", "good.csv", "--store", "a", "--predict", "few.csv", "-o", "out.csv"], 1,
     ["few.csv lacks the columns 'weight', 'colour'", "the target is 'strength', the last column"]),
    (["train", "good.csv", "--target", "time", "--store", "a", "--predict", "few.csv", "-o", "out.csv"], 1,
     ["few.csv lacks the columns 'weight', 'colour', 'strength'"]),
    (["train", "good.csv", "--store", "a", "--predict", "good.csv", "-o", "no/out.csv"], 1, ["--out no/out.csv"]),
    (["train", "good.csv", "--store", "a", "--gpu", "99"], 1, ["--gpu 99", "sgmcmc-mx doctor"]),
    (["train", "no_module:f", "--store", "a"], 1, ["no_module"]),
    (["train", "--settings", "nope.toml"], 2, ["nope.toml"]),
    (["train", "--settings", "bad.toml"], 2, ["'chian'", "chains"]),
    (["predict", "full", "good.csv"], 1, ["full", "command.json"]),
    (["train", "", "--store", "a"], 2, ["'DATA'", "'' is no path"]),
    (["train", "good.csv", "--store", " "], 2, ["'--store'", "' ' is no path"]),
    (["train", "--settings", ""], 2, ["'--settings'", "'' is no path"]),
    (["train", "good.csv", "--store", "a", "--target", ""], 1, ["--target ''", "time, weight"]),
    (["train", "good.csv", "--store", "a", "--drop", ""], 1, ["--drop ''", "time, weight"]),
    (["train", "good.csv", "--store", "a", "--predict", "good.csv", "-o", ""], 2, ["'--out'", "'' is no path"]),
    (["predict", "", "good.csv"], 2, ["'STORE'", "'' is no path"]),
    (["resume", "nope", "--data", ""], 2, ["'--data'", "'' is no path"]),
    (["resume", "nope"], 1, ["nope", "command.json"]),
    (["info", "nope"], 1, ["nope", "no such folder"]),
    (["check", "full"], 1, ["full", "no run"]),
    (["chekc", "full"], 2, ["chekc"]),
])
def test_wrong_words(words, code, names, place, capsys):
    (place / "full").mkdir()
    (place / "full" / "thing").touch()
    write("bad.toml", "chian = 4\n")
    write("few.csv", "time\n1\n")
    before = sorted(p.name for p in place.rglob("*"))
    assert said(capsys, *words)[0] == code
    found, told = said(capsys, *words, "--json")
    assert all(name in told.err for name in names), told.err
    assert json.loads(told.out)["error"] and "this should not happen" not in told.err
    assert sorted(p.name for p in place.rglob("*")) == before


def test_a_pickle_is_never_read(place, capsys):
    class Evil:
        def __reduce__(self):
            return exec, ("open('pwned', 'w').close()",)

    with open("bad.npz", "wb") as file:
        np.savez(file, x=np.array([Evil(), Evil()], dtype=object), y=np.zeros(2))
    write("bad.pkl", pickle.dumps(Evil()))
    for name in ("bad.npz", "bad.pkl"):
        assert said(capsys, "train", name, "--store", "a")[0] == 1
    assert not (place / "pwned").exists()


def test_debug_shows_the_traceback(place, capsys):
    code, told = said(capsys, "train", "nope.csv", "--store", "a", "--debug")
    assert code == 1 and "Traceback" in told.err and "FileNotFoundError" in told.err


def test_code_that_a_store_names_is_not_run(place, capsys):
    """A store may come from elsewhere; functions that it names run only where the user writes their names."""
    write("mine_of_the_store.py", "from mxnet import gluon\nopen('ran', 'w').close()\n\n\ndef net():\n"
                                  "    net = gluon.nn.HybridSequential()\n    net.add(gluon.nn.Dense(3))\n"
                                  "    return net\n")
    name = "mine_of_the_store:net"
    code, told = said(capsys, "train", "good.csv", "--target", "colour", "--store", "a", "--network", name, "--budget",
                      "60 steps", *SHORT)
    assert code == 0, told.err
    (place / "ran").unlink()
    code, told = said(capsys, "predict", "a", "good.csv")
    assert code == 1 and f"--network {name}" in told.err and told.out == ""
    code, told = said(capsys, "predict", "a", "good.csv", "--network", name, "--json")
    assert code == 0 and json.loads(told.out)["count"] == 60
