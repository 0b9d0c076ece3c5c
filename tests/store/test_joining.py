"""Samples of several chains as one sequence: their weights, their places, and what cannot be joined."""
import copy
import pickle

import numpy as np
import pytest
from mxnet import nd
from runs import X, give_up, go, loader, network, trainer

import sgmcmc_mx as sg
from sgmcmc_mx.store import files


def samples(weights, start=0, size=3):
    return sg.MemoryStore([sg.Sample({"w": nd.full((size,), start + k)}, start + k, w) for k, w in enumerate(weights)])


def stored(path, weights, start=0, **options):
    with_store = sg.FolderStore(path, **options)
    for s in samples(weights, start):
        with_store.append(s)
    with_store.close()
    return sg.load(path)


def values(joined):
    return [float(s["w"][0].asscalar()) for s in joined]


def test_places_and_weights(tmp_path):
    a, b = stored(tmp_path / "a", [1, 1, 2]), samples([4, 4], 10)
    joined = sg.join([a, b])
    assert len(joined) == 5 and values(joined) == [0, 1, 2, 10, 11]
    np.testing.assert_allclose(joined.weights, np.array([1, 1, 2, 4, 4]) / 12)
    assert [s.weight for s in joined] == [1, 1, 2, 4, 4] and joined[-2].step == 10
    alike = sg.join([a, b], weights="chain")
    np.testing.assert_allclose(alike.weights, np.array([1, 1, 2, 2, 2]) / 8)
    np.testing.assert_allclose([s.weight for s in alike], np.array([1, 1, 2, 2, 2]) / 4)
    assert repr(joined) == "JoinedSamples(5 samples of 2 parts)"


@pytest.mark.parametrize("weights", ["sample", "chain"])
@pytest.mark.parametrize("cut", [slice(None), slice(1, 4), slice(None, None, -1), slice(4, 0, -2), slice(7, 9),
                                 slice(-3, None)])
def test_slices_and_pickles(tmp_path, weights, cut):
    joined = sg.join([stored(tmp_path / "a", [1, 1, 2]), samples([4, 4], 10)], weights)
    all_weights = joined.weights[cut]
    for part in (joined[cut], pickle.loads(pickle.dumps(joined[cut])), copy.deepcopy(joined[cut])):
        assert values(part) == [0, 1, 2, 10, 11][cut] and len(part) == len(all_weights)
        np.testing.assert_allclose(part.weights, all_weights / (all_weights.sum() or 1))
    if len(all_weights):
        again = sg.join([joined[cut], samples([8], 20)])
        np.testing.assert_allclose(again.weights[:-1] / again.weights[:-1].sum(), joined[cut].weights)


@pytest.mark.parametrize("i, error", [(5, IndexError), (-6, IndexError), ("a", TypeError), (1.0, TypeError)])
def test_a_place_that_is_not_there(i, error):
    with pytest.raises(error, match="is not there"):
        sg.join([samples([1, 1]), samples([1, 1, 1])])[i]


def test_prediction_is_the_average_over_both(tmp_path):
    chains = []
    for name, seed in (("a", 1), ("b", 2)):
        net, data = network(), loader()
        tr = sg.BayesianTrainer(net, "sgld", {"num_data": 44, "learning_rate": 0.05}, sg.likelihoods.Categorical(),
                                thin=3 + seed, seed=seed, store=tmp_path / name if name == "a" else None)
        go(net, tr, data, 24)
        tr.close()
        chains.append(tr.samples)
    assert [len(c) for c in chains] == [6, 4]
    each = [sg.predict(net, c, X, "softmax") for c in chains]
    np.testing.assert_allclose(sg.predict(net, sg.join(chains), X, "softmax"), 0.6 * each[0] + 0.4 * each[1], atol=1e-6)
    np.testing.assert_allclose(sg.predict(net, sg.join(chains, "chain"), X, "softmax"), sum(each) / 2, atol=1e-6)
    np.testing.assert_allclose([n(nd.array(X)).asnumpy() for n in sg.networks(net, sg.join(chains))],
                               sg.predict(net, sg.join(chains), X, "identity", samples=True), rtol=1e-5, atol=1e-6)


def test_outputs_only(tmp_path):
    expected = []
    for name in "ab":
        net, data = network(), loader()
        with trainer(net, "sgld", {}, sg.FolderStore(tmp_path / name, inputs=X), data) as tr:
            go(net, tr, data, 12 if name == "a" else 24)
        expected.append(tr.predict(X))
    a, b = (sg.load(tmp_path / name) for name in "ab")
    n, m = len(a), len(b)
    assert n != m
    np.testing.assert_allclose(sg.predict(net, sg.join([a, b]), X, "softmax"),
                               (n * expected[0] + m * expected[1]) / (n + m), atol=1e-6)
    other = stored(tmp_path / "c", [1], inputs=X[:2])
    with pytest.raises(ValueError, match=r"part 1 has the outputs on other inputs than part 0; join those of Folder"):
        sg.join([a, other])
    with pytest.raises(ValueError, match="part 1 keeps weights, and part 0 outputs; join samples of one kind"):
        sg.join([a, samples([1])])


def test_nothing_is_read_until_asked_for(tmp_path, monkeypatch):
    parts = [stored(tmp_path / name, [1, 2, 3]) for name in "ab"]
    read = []
    original = files.read_within
    monkeypatch.setattr(files, "read_within", lambda folder, name, *a: read.append(name) or original(folder, name, *a))
    joined = sg.join(parts)[1:]
    assert len(joined.weights) == 5 and joined[2].step == 0 and not read
    assert values(joined[:1]) == [1] and read == ["sample-000000001.params"]


def test_what_a_chain_adds_later_is_not_there(tmp_path):
    net, data = network(), loader()
    tr = trainer(net, "sgld", {}, tmp_path / "run", data)
    go(net, tr, data, 12)
    joined = sg.join([tr.samples, tr.samples[:1]])
    n = len(tr.samples)
    go(net, tr, data, 24)
    give_up(tr)
    assert len(tr.samples) > n and len(joined) == n + 1 and joined[n].step == joined[0].step


@pytest.mark.parametrize("other, message", [
    (lambda: samples([1], size=4), r"part 1 is of another network than part 0: w has shape \(4,\) there, and \(3,\)"),
    (lambda: [sg.Sample({"v": nd.ones((3,))}, 1)], "part 1 is of another network than part 0: v, w are in one of the")])
def test_other_networks(tmp_path, other, message):
    for first in (samples([1]), stored(tmp_path / "a", [1])):
        with pytest.raises(ValueError, match=message):
            sg.join([first, other()])


def test_wrong_calls(tmp_path):
    net = network()
    tr = trainer(net, "sgld", {}, None, loader())
    with pytest.raises(TypeError, match=r"parts must be a list of sequences of samples, got str; write join\(\["):
        sg.join("runs/a")
    with pytest.raises(TypeError, match="part 0 .*got Sample; write sgmcmc_mx.load"):
        sg.join(samples([1]))
    with pytest.raises(TypeError, match=r"part 0 .*got str; write sgmcmc_mx\.load\('runs/a'\)"):
        sg.join(["runs/a", "runs/b"])
    with pytest.raises(TypeError, match=r"part 1 .*got BayesianTrainer; write trainer\.samples"):
        sg.join([samples([1]), tr])
    with pytest.raises(ValueError, match="there are no samples to join"):
        sg.join([tr.samples, []])
    with pytest.raises(ValueError, match="weights must be one of 'sample', 'chain', got 'equal'"):
        sg.join([samples([1])], weights="equal")
