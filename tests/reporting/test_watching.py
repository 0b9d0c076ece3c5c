"""A page is renewed while a process samples, and left alone when it has ended."""
import itertools

import pytest
from forks import Process
from parsed import Parsed
from reported import X_TEST, Y_TEST, network, sampled

import sgmcmc_mx as sg
from sgmcmc_mx.reporting import watching
from sgmcmc_mx.store import files
from sgmcmc_mx.store.reading import MANIFEST

FLAT = X_TEST.reshape(len(X_TEST), -1)

ONE = """
import sys, numpy as np, sgmcmc_mx as sg
from reported import N, X, Y, network
batches = sg.data.ArrayLoader(X.reshape(N, -1), Y.astype('float32'), batch_size=30)
trainer = sg.BayesianTrainer(network(), 'sgnht', {'learning_rate': 0.02, 'num_data': N}, sg.likelihoods.Categorical(),
                             burn_in=10, thin=5, store=sys.argv[1], seed=1, data=batches)
trainer.sample(batches, 60)
trainer.samples.flush()
print('half', flush=True)
sys.stdin.readline()
trainer.sample(batches, 120)
trainer.close()
"""


def looked_at(path):
    html = Parsed(path.read_text(encoding="utf-8"))
    refreshes = [a["content"] for a, _ in html.all("meta") if a.get("http-equiv") == "refresh"]
    return html, refreshes


def test_from_before_the_first_sample_to_the_last(tmp_path):
    """The watch begins before the run, shows it halfway, and ends with its process."""
    looks = watching(tmp_path / "run", FLAT, Y_TEST, every=1, net=network(), likelihood="softmax",
                     path=tmp_path / "a.html")
    html, refreshes = looked_at(next(looks))
    assert refreshes == ["1"] and "holds no run" in html.text
    process = Process(ONE, tmp_path / "run")
    assert process.stdout.readline() == "half\n"
    html, refreshes = looked_at(next(looks))
    assert refreshes == ["1"] and "1 chain, 10 samples" in html.text and "Least certain" in html.text
    written = (tmp_path / "a.html").stat().st_mtime_ns
    assert (next(looks)).stat().st_mtime_ns == written      # nothing has changed, and nothing is written
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait(120) == 0
    places = list(itertools.islice(looks, 20))
    html, refreshes = looked_at(tmp_path / "a.html")
    assert refreshes == [] and "1 chain, 22 samples" in html.text and len(places) <= 3


def test_chains_that_are_done_are_looked_at_once(tmp_path):
    runs = sampled(tmp_path / "run", chains=2, samples=9)
    place = sg.report(runs, FLAT, path=tmp_path / "a.html", watch=10**6)    # a second look would be days away
    html, refreshes = looked_at(place)
    assert refreshes == [] and "2 chains, 18 samples" in html.text


def test_a_look_reads_each_manifest_once(tmp_path, monkeypatch):
    """It may be long, and lie on another machine's disk."""
    sampled(tmp_path / "run", chains=2, samples=9)
    read = []
    reading = files.read_within
    monkeypatch.setattr(files, "read_within", lambda folder, name, *rest: (
        read.append(f"{folder.name}/{name}"), reading(folder, name, *rest))[1])
    looks = watching(tmp_path / "run", FLAT, Y_TEST, every=1, net=network(), likelihood="softmax",
                     path=tmp_path / "a.html")
    html, _ = looked_at(next(looks))
    assert "2 chains, 18 samples" in html.text and "sample-000000065.params" in html.text
    assert sorted(name for name in read if name.endswith(MANIFEST)) == [f"chain-00/{MANIFEST}", f"chain-01/{MANIFEST}"]


def test_what_is_in_memory_cannot_be_watched(tmp_path):
    with pytest.raises(TypeError, match="write the path that was given as store"):
        watching([[]], every=1, path=tmp_path / "a.html")
