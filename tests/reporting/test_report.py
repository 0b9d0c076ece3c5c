"""A page says what the chains say, needs nothing else, and takes no name for its own words."""
import math
import re
import shutil
import threading

import numpy as np
import pytest
from matplotlib.figure import Figure
from mxnet import nd
from parsed import Parsed
from planted_chains import Classifier, Line
from reported import CLASSES, HOSTILE, X_TEST, Y_TEST, build, network, sampled
from small_chains import AtOnce, build_diverging
from trainers import build as small_net
from trainers import make, run

import sgmcmc_mx as sg
from sgmcmc_mx.reporting import pictures
from sgmcmc_mx.reporting.examples import images_of
from sgmcmc_mx.reporting.rendering import Page, write
from sgmcmc_mx.reporting.tables import table

FLAT = X_TEST.reshape(len(X_TEST), -1)
TAGS = set("html head meta link title style body header h1 p nav a main section h2 h3 span ul li ol strong div table "
           "caption thead tbody tr th td button figure figcaption img details summary pre script".split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a name that would be an attack too."""
    return tmp_path_factory.mktemp("runs") / "<b onclick=alert(3)>'&amp;"


@pytest.fixture(scope="module")
def runs(folder):
    return sampled(folder)


@pytest.fixture(scope="module")
def page(runs, folder, tmp_path_factory):
    """The text of the whole page."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    found = sg.report(folder, FLAT, Y_TEST, net=network(), likelihood="softmax", classes=CLASSES, title=f"On {HOSTILE}",
                      path=path)
    assert found == path and [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def parsed(path):
    return Parsed(path.read_text(encoding="utf-8"))


def verdict_of(html):
    (text,) = html.with_class("verdict")
    return text[1:].strip()


def test_it_says_what_the_diagnostics_say(runs, page):
    html = Parsed(page)
    summary = sg.diagnostics.summary(runs, FLAT, Y_TEST)
    assert verdict_of(html) == summary.verdict.capitalize() and "well mixed" != summary.verdict
    rows = html.table("Have the chains converged?")
    assert [(row["question"], row["verdict"]) for row in rows] == [(row.question, row.verdict) for row in summary]
    for row, said in zip(rows, summary):
        assert math.isnan(said.number) or float(row["number"].replace(",", "")) == pytest.approx(said.number, rel=1e-3)
    changes = [text for _, text in html.all("li")]
    assert all(any(row.change in text for text in changes) for row in summary if row.change)


def test_r_hat_stands_for_every_quantity(runs, page):
    rows = Parsed(page).table("R-hat and effective sample sizes")
    for of, name in (("potential", "potential"), ("log_likelihood", "log p(y | x) of single examples: all of them")):
        want = float(np.nanmax(sg.diagnostics.rhat(runs, FLAT, Y_TEST, of=of)))
        row, = (row for row in rows if row["of"].startswith(name))
        assert float(row["R-hat"]) == pytest.approx(want, rel=1e-3)
    ess, = (row["ESS, bulk"] for row in rows if row["of"] == "potential")
    assert float(ess.replace(",", "")) == pytest.approx(float(sg.diagnostics.ess(runs, of="potential")[0]), rel=1e-2)


def test_it_scores_what_predict_returns(runs, page):
    probs = runs.predict(FLAT)
    first, second = Parsed(page).table("Scores on held-out examples")[:2]
    assert first["of"] == "average of all chains" and second["of"] == "average of chain 0"
    for name, score in (("NLL", sg.metrics.nll(probs, Y_TEST)), ("ECE", sg.metrics.ece(probs, Y_TEST)),
                        ("error (%)", 100 * (1 - sg.metrics.accuracy(probs, Y_TEST)))):
        assert float(first[name]) == pytest.approx(score, rel=2e-3, abs=1e-3), name
    own = sg.predict(network(), runs[0], FLAT, "softmax")
    assert float(second["NLL"]) == pytest.approx(sg.metrics.nll(own, Y_TEST), rel=2e-3)


def test_single_samples_are_scored_too(runs, page):
    each = sg.predict(network(), runs, FLAT, "softmax", samples=True)
    nll = np.mean([sg.metrics.nll(p, Y_TEST) for p in each])
    assert float(Parsed(page).table("Scores on held-out examples")[-1]["NLL"]) == pytest.approx(nll, rel=2e-3)


def test_examples_are_the_least_and_most_certain(runs, page):
    html = Parsed(page)
    entropy = sg.metrics.entropy(runs.predict(FLAT))
    numbers = [int(re.match(r"Example (\d+)", text).group(1)) for _, text in html.all("p")
               if text.startswith("Example")]
    assert numbers == [*np.argsort(-entropy)[:6], *np.argsort(entropy)[:6]]
    kinds = [kind for kind, _ in html.embedded()]
    assert kinds.count("image/png") == 12 and kinds.count("image/svg+xml") == len(kinds) - 12 >= 8


def test_pictures_say_what_they_show(page):
    html = Parsed(page)
    titles = [text for _, text in html.all("h3")]
    for title in ("Reliability", "Traces", "Ranks of the NLL", "Each sample's NLL", "Where the chains lie",
                  "Convergence of the average: NLL (nats an example)"):
        assert title in titles
    assert all(attributes["alt"] for attributes, _ in html.all("img"))


def test_a_picture_is_drawn_once_and_is_what_saving_would_make_of_it(monkeypatch):
    """Saving draws a figure with a layout engine twice. Laid out before, it comes out the same, byte for byte."""
    rng, drawn = np.random.default_rng(0), []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: drawn.append(1) or draw(figure, renderer))

    def picture(rows):
        return pictures._drawn("a", "b", lambda axes: [ax.plot(1e3 * rng.standard_normal(9)) for ax in np.ravel(axes)],
                               rows, size=(4.4, 4.4))

    once = [picture(rows) for rows in (0, 3)]
    assert len(drawn) == 2
    monkeypatch.setattr(pictures, "_lay_out", lambda figure: None)
    rng = np.random.default_rng(0)
    assert once == [picture(rows) for rows in (0, 3)] and len(drawn) == 6


def test_the_manifest_and_the_configuration(runs, page, folder):
    html = Parsed(page)
    values = {row["what"]: row["value"] for row in html.table("Configuration")}
    assert values["sampler"] == "sgnht" and values["learning_rate"] == "0.02" and values["folder"] == str(folder)
    assert [text for _, text in html.all("summary")] == [str(c.path) for c in runs]
    assert html.text.count("sample-000000025.params") == 3
    parameters = {row["name"]: row for row in html.table("Parameters")}
    weights = np.stack([s[f"{HOSTILE}.weight"].asnumpy() for c in runs for s in c])
    row = parameters[f"{HOSTILE}.weight"]
    assert float(row["mean sd"]) == pytest.approx(weights.std(axis=0).mean(), rel=2e-3)
    assert float(row["size of mean"]) == pytest.approx((weights.mean(axis=0)**2).mean()**0.5, rel=2e-3)


def test_it_needs_nothing_else(page):
    html = Parsed(page)
    assert "http:" not in page and "https:" not in page and "//" not in re.sub(r"base64,[^\"]*", "", page).replace(
        "// ", "")
    for _, attributes, _ in html.elements:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert attributes.get(name, "#").startswith(("data:", "#"))
    for kind, data in html.embedded():
        assert kind == "image/png" or not re.search(rb"(href|src)=\"(?!#)", data)


def test_names_are_text_and_nothing_else(page, folder):
    html = Parsed(page)
    assert {name for name, _, _ in html.elements} <= TAGS
    assert not [name for _, attributes, _ in html.elements for name in attributes if name.startswith("on")]
    ((_, script),) = html.all("script")
    assert HOSTILE not in script and "alert" not in script
    assert [text for _, text in html.all("title")] == [f"On {HOSTILE}"] and f"On {HOSTILE}" in html.all("h1")[0][1]
    assert HOSTILE in html.with_class("name") and CLASSES[2] in html.with_class("name")
    assert [row["class"] for row in html.table("Classes")] == CLASSES
    assert str(folder) in html.text


def test_nothing_of_it_refreshes_by_itself(page):
    assert not [a for a, _ in Parsed(page).all("meta") if a.get("http-equiv") == "refresh"]


@pytest.mark.parametrize("what", ["runs", "list", "trainer"])
def test_runs_from_anywhere(what, runs, tmp_path):
    path = tmp_path / "a.html"
    if what == "trainer":
        random = np.random.RandomState(0)
        x, y = random.randn(60, 4).astype("float32"), random.randint(0, 3, 60)
        given, x, y = run(make(small_net(), burn_in=5, thin=2), (x, y), 45), x, y
        sampler, number = "sgnht", "1 chain, 20 samples"
    else:
        given = runs if what == "runs" else [runs[0][2:], runs[1].path]
        x, y, sampler, number = FLAT, Y_TEST, "sgnht", "3 chains, 36" if what == "runs" else "2 chains, 22"
    more = {} if what != "list" else {"net": network(), "likelihood": sg.likelihoods.Categorical()}
    sg.report(given, x, y, path=path, **more)
    html = parsed(path)
    assert number in html.text and sampler in html.text and "Categorical()" in html.text
    assert verdict_of(html) not in ("Nothing can be told yet", "Predictions were not asked")


def test_a_regression(tmp_path):
    line = Line(3)
    chains, path = line.good(2, 40), tmp_path / "a.html"
    sg.report(chains, line.x, line.y, net=line.net, likelihood=line.likelihood, path=path)
    html = parsed(path)
    found = sg.predict(line.net, chains, line.x, line.likelihood, quantiles=(0.05, 0.95))
    row = html.table("Scores on held-out examples")[0]
    off = float(np.sqrt(np.mean((found.mean[:, 0] - line.y)**2)))
    assert float(row["root mean square error"]) == pytest.approx(off, rel=2e-3)
    low, high = found.quantiles[..., 0]
    assert float(row["in 90 % intervals (%)"]) == pytest.approx(100 * sg.metrics.coverage(line.y, low, high), abs=0.1)
    assert float(row["width of 90 % intervals"]) == pytest.approx((high - low).mean(), rel=2e-3)
    widest = html.table("Widest intervals")
    assert [int(r["example"]) for r in widest] == list(np.argsort(low - high, kind="stable")[:6])
    titles = [text for _, text in html.all("h3")]
    assert "Intervals" in titles and "Reliability of intervals" in titles


def test_a_regression_over_one_input_whose_noise_comes_with_labels(tmp_path):
    line = Line(4, inputs=1)
    chains, likelihood = line.good(2, 20), sg.likelihoods.Gaussian("label")
    y = np.stack([line.y, np.full_like(line.y, line.sigma)], axis=1)
    for labels, there in ((y, True), (None, False)):
        sg.report(chains, line.x, labels, net=line.net, likelihood=likelihood, path=tmp_path / "a.html")
        html = parsed(tmp_path / "a.html")
        assert "Prediction over the input" in [text for _, text in html.all("h3")]
        assert ("Widest intervals" in html.text) == there == ("Scores" in html.text)


def test_without_data_only_weights_and_potentials_are_asked(tmp_path):
    model = Classifier(0)
    sg.report(model.good(2, 20), path=tmp_path / "a.html")
    html = parsed(tmp_path / "a.html")
    assert verdict_of(html) == "Predictions were not asked"
    assert [row["of"] for row in html.table("Do the chains agree?")] == [
        "the potential", "10 random directions of all weights"]


def test_two_labels_an_example_are_rows_and_no_examples(tmp_path):
    model = Classifier(1, classes=2)
    y = (np.random.RandomState(0).rand(len(model.x), 2) < 0.5).astype(int)
    chains = model.good(2, 20)
    sg.report(chains, model.x, y, net=model.net, likelihood="sigmoid", path=tmp_path / "a.html")
    html = parsed(tmp_path / "a.html")
    assert "Least certain" not in html.text
    p = sg.predict(model.net, sg.join(chains), model.x, "sigmoid")
    nll = sg.metrics.nll(p.reshape(-1), y.reshape(-1))
    assert float(html.table("Scores on held-out examples")[0]["NLL"]) == pytest.approx(nll, rel=2e-3)
    assert f"Of {2 * len(model.x):,} labels" in html.text


# ------------------------------------------------------------------- what is not whole

def test_an_empty_folder_says_so(tmp_path, caplog):
    (tmp_path / "run").mkdir()
    sg.report(tmp_path / "run", FLAT, Y_TEST, path=tmp_path / "a.html")
    html = parsed(tmp_path / "a.html")
    assert verdict_of(html) == "Nothing can be told yet" and "holds no run" in html.text
    assert "says little" in caplog.text


def test_a_run_that_has_just_begun(runs, folder, tmp_path):
    """Its manifest is cut in the middle of its first line, in the middle of its fourth, and is whole."""
    copy = tmp_path / "run"
    shutil.copytree(folder / "chain-00", copy)
    for name in copy.glob("checkpoint-*"):
        name.unlink()
    lines = (folder / "chain-00" / "manifest.jsonl").read_bytes().split(b"\n")
    for text, said in ((lines[0][:50], "has no complete line"),
                       (b"\n".join(lines[:3]) + b"\n" + lines[3][:40], "has 2 samples, and nothing can be told")):
        (copy / "manifest.jsonl").write_bytes(text)
        sg.report(copy, FLAT, Y_TEST, net=network(), likelihood="softmax", path=tmp_path / "a.html")
        html = parsed(tmp_path / "a.html")
        assert verdict_of(html) == "Nothing can be told yet" and said in html.text


def test_a_damaged_sample_is_told(folder, runs, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(folder / "chain-01", copy)
    (copy / "sample-000000040.params").write_bytes(b"no arrays")
    sg.report(copy, FLAT, Y_TEST, net=network(), likelihood="softmax", path=tmp_path / "a.html")
    html = parsed(tmp_path / "a.html")
    assert verdict_of(html) == "Nothing can be told yet" and "sample-000000040.params" in html.text


def test_chains_that_failed_are_named(tmp_path):
    runs = sg.sample_chains(build_diverging, 2, steps=48, store=tmp_path / "run", seed=5, executor=AtOnce())
    sg.report(runs, path=tmp_path / "a.html")
    html = parsed(tmp_path / "a.html")
    assert runs.failures[1].error in html.text
    assert [row["phase"] for row in html.table("Chains, as their folders say")] == ["done", "diverged"]
    assert [p.phase for p in runs.progress] == ["done", "diverged"]


def test_it_is_whole_at_any_time(tmp_path):
    """A reader who looks while it is written again and again finds the whole page each time."""
    path, ended, found = tmp_path / "a.html", threading.Event(), set()
    page = Page("page", "", "", 0, table("Configuration", ["what", "value"], [("x", "y" * 200)] * 200))
    write(page, path)

    def look():
        while not ended.is_set():
            text = path.read_text(encoding="utf-8")
            found.add((text[:15], text[-7:]))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(20):
        write(page, path)
    ended.set()
    reader.join()
    assert found == {("<!DOCTYPE html>", "</html>")}


# ------------------------------------------------------------------- its size

@pytest.mark.slow
def test_four_chains_of_four_hundred_samples_take_less_than_three_megabytes(tmp_path):
    model = Classifier(2, examples=60)
    sg.report(model.good(4, 400), model.x, model.y, net=model.net, likelihood="softmax", path=tmp_path / "a.html")
    size = (tmp_path / "a.html").stat().st_size
    assert size < 3e6
    assert verdict_of(parsed(tmp_path / "a.html")) == "Well mixed"


# ------------------------------------------------------------------- images

def test_inputs_that_look_like_images_are_taken_for_some():
    assert images_of(FLAT, None, len(FLAT)).shape == X_TEST.shape
    assert images_of(nd.array(FLAT), None, len(FLAT)).shape == X_TEST.shape
    assert images_of({"data": FLAT}, None, len(FLAT)).shape == X_TEST.shape
    assert images_of(FLAT, False, len(FLAT)) is None


@pytest.mark.parametrize("shape", [(50, 100), (50, 10, 10), (50, 7), (50, 3), (50, 1, 5, 5)])
def test_columns_of_a_table_are_not(shape):
    assert images_of(np.random.RandomState(0).randn(*shape), None, len(FLAT)) is None


@pytest.mark.parametrize("shape, found", [((4, 3, 12, 12), (4, 12, 12, 3)), ((4, 12, 9, 3), (4, 12, 9, 3)),
                                          ((4, 1, 9, 8), (4, 9, 8)), ((4, 64), (4, 8, 8))])
def test_images_that_are_given(shape, found):
    assert images_of(FLAT, np.random.RandomState(0).rand(*shape), 4).shape == found


# ------------------------------------------------------------------- wrong calls

@pytest.mark.parametrize("given, error, said", [
    ({"runs": 3}, TypeError, "runs must be chains or samples, got int"),
    ({"runs": []}, ValueError, "there are no chains in it"),
    ({"runs": "nowhere/at/all"}, sg.StoreError, "holds no run"),
    ({"labels": Y_TEST, "data": None}, ValueError, "labels are given and data is not"),
    ({"labels": Y_TEST[:3]}, ValueError, "there are 3 for 40 examples"),
    ({"net": None}, ValueError, "net is not given"),
    ({"net": "lenet"}, TypeError, "net must be a gluon.Block"),
    ({"likelihood": "relu"}, ValueError, "likelihood must be 'softmax'"),
    ({"classes": ["a", "b"]}, ValueError, "2 names for 3 classes"),
    ({"images": np.zeros((3, 9, 9))}, ValueError, "images: need 40"),
    ({"path": "nowhere/report.html"}, FileNotFoundError, "there is no folder 'nowhere'"),
    ({"path": "."}, IsADirectoryError, "is a folder"),
    ({"path": 3}, TypeError, "path must be the name"),
    ({"watch": 0}, ValueError, "watch must be at least 1"),
    ({"watch": 1}, TypeError, "runs must be folders to be watched"),
])
def test_bad_input(runs, tmp_path, monkeypatch, given, error, said):
    monkeypatch.chdir(tmp_path)
    call = {"runs": [runs[0][:], runs[1][:]], "data": FLAT, "labels": Y_TEST, "net": network(), "likelihood": "softmax",
            **given}
    if "watch" in given:
        call["runs"] = [list(runs[0])]
    with pytest.raises(error, match=re.escape(said)):
        sg.report(call.pop("runs"), call.pop("data"), call.pop("labels"), **call)
    assert not list(tmp_path.iterdir())


def test_the_network_of_build_is_enough(tmp_path):
    runs = sg.sample_chains(build, 2, steps=70, seed=1, executor=AtOnce(), store=tmp_path / "run")
    sg.report(runs, FLAT, path=tmp_path / "a.html")
    assert "Least certain" in parsed(tmp_path / "a.html").text
