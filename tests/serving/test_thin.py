"""A few samples in place of many: which, what they count, and what it costs."""
import mxnet as mx
import numpy as np
import pytest
from drawn_samples import drawn, mlp
from mxnet import gluon

import sgmcmc_mx as sg
from sgmcmc_mx.serving.functions import features, gram_of
from sgmcmc_mx.serving.nearest import corrected, exchanged, greedy, simplex_weights

L = sg.likelihoods
X = np.random.RandomState(0).randn(40, 4).astype(np.float32)


def far(net, some, all_, activation="softmax"):
    return np.abs(sg.predict(net, some, X, activation) - sg.predict(net, all_, X, activation)).max()


# ---------------------------------------------------------------- the arithmetic

def test_weights_are_the_nearest_ones():
    """No move along the simplex makes the distance smaller, and some weights are at its border."""
    rng = np.random.RandomState(1)
    borders = 0
    for n in (1, 2, 7, 20):
        points = rng.randn(n, 3 if n == 20 else 30) + (1.0 if n > 2 else 0.0)
        gram = points @ points.T
        a = simplex_weights(gram)
        slope = gram @ a
        assert a.min() >= 0.0 and np.isclose(a.sum(), 1.0)
        assert (slope >= a @ slope - 1e-9 * gram.max()).all()
        borders += (a == 0.0).sum()
    assert borders > 3


def test_weights_of_points_that_are_one():
    np.testing.assert_allclose(simplex_weights(np.zeros((3, 3))).sum(), 1.0)
    assert simplex_weights(np.ones((4, 4))).sum() == pytest.approx(1.0)


def test_each_choice_is_the_best_and_none_comes_twice():
    points = np.random.RandomState(2).randn(12, 5)
    points -= points.mean(axis=0)
    chosen = greedy(points @ points.T, 6)
    assert len(set(chosen)) == 6
    for k in range(6):
        means = {j: np.linalg.norm(points[chosen[:k] + [j]].mean(axis=0)) for j in range(12) if j not in chosen[:k]}
        assert min(means, key=means.get) == chosen[k]


def test_exchanges_bring_them_nearer():
    points = np.random.RandomState(3).randn(30, 6)
    points -= points.mean(axis=0)
    gram, start = points @ points.T, [0, 1, 2, 3, 4]
    better = exchanged(gram, start)
    length = [np.linalg.norm(points[J].mean(axis=0)) for J in (start, better)]
    assert len(set(better)) == 5 and length[1] < 0.5 * length[0]
    for k in range(5):
        rest = better[:k] + better[k + 1:]
        assert all(np.linalg.norm(points[[*rest, j]].mean(axis=0)) >= length[1] - 1e-9
                   for j in range(30) if j not in rest)


def test_few_with_unequal_weights_are_found():
    """The target lies near one corner of a triangle, around which there are many other points."""
    rng = np.random.RandomState(4)
    corners = np.array([[1.0, 0.0], [-9.0, 1.0], [-9.0, -1.0]])
    points = np.vstack([corners, [6.0, 0.0] + 0.1 * rng.randn(9, 2)])
    gram = points @ points.T
    chosen = corrected(gram, 3)
    assert set(chosen) == {0, 1, 2}
    a = simplex_weights(gram[np.ix_(chosen, chosen)])
    np.testing.assert_allclose(a @ points[chosen], 0.0, atol=1e-6)


def test_the_distance_is_twice_the_divergence():
    """Of samples that differ little, as of an expansion to second order."""
    net = mlp(3)
    samples = sg.MemoryStore(drawn(net, 12, scale=0.03))
    thinned = sg.thin(samples, 3, X, "softmax", net=net)
    p, q = sg.predict(net, samples, X, "softmax"), sg.predict(net, thinned, X, "softmax")
    assert thinned.distance == pytest.approx(2.0 * (p * np.log(p / q)).sum(axis=1).mean(), rel=0.05)


# ---------------------------------------------------------------- samples

def copies(net, counts):
    """Samples of a few kinds, so many of each, one after another."""
    kinds = drawn(net, len(counts), scale=1.0)
    order = [k for k, count in enumerate(counts) for _ in range(count)]
    return [sg.Sample(dict(kinds[k].items()), step=i + 1) for i, k in enumerate(order)], order


def test_of_samples_that_are_copies_one_each_is_kept_and_counts_for_all():
    net = mlp(3)
    samples, kinds = copies(net, (7, 2, 1))
    thinned = sg.thin(samples, 3, X, "softmax", net=net)
    assert sorted(kinds[k] for k in thinned.places) == [0, 1, 2]
    np.testing.assert_allclose(thinned.weights, [0.7, 0.2, 0.1], atol=1e-6)
    assert far(net, thinned, samples) < 1e-6
    alike = sg.thin(samples, 3, X, "softmax", net=net, weights="equal")
    np.testing.assert_allclose(alike.weights, 1.0 / 3.0)


def test_what_samples_count_is_respected():
    """The average of all is that by their weights, and not that of samples that count alike."""
    net = mlp(3)
    samples, _ = copies(net, (1, 1, 1))
    weighted = [s.with_weight(w) for s, w in zip(samples, (6.0, 3.0, 1.0))]
    np.testing.assert_allclose(sg.thin(weighted, 3, X, "softmax", net=net).weights, [0.6, 0.3, 0.1], atol=1e-6)


def test_it_is_nearer_than_chance():
    net = mlp(3)
    samples = sg.MemoryStore(drawn(net, 60, scale=0.4))
    gram = gram_of(features(net, samples, X, "softmax", {}), samples.weights)
    rng = np.random.RandomState(0)
    chance = [gram[np.ix_(J, J)].mean() for J in (rng.choice(60, 6, replace=False) for _ in range(200))]
    thinned = sg.thin(samples, 6, X, "softmax", net=net)
    assert thinned.distance < 0.5 * np.median(chance) and thinned.distance < min(chance)
    assert far(net, thinned, samples) < 0.1


@pytest.mark.parametrize("likelihood, units", [(L.Gaussian("learned"), 2), (L.Poisson(), 1),
                                               pytest.param(L.StudentT(), 1, marks=pytest.mark.slow)], ids=str)
def test_of_a_regression_the_whole_law_is_compared(likelihood, units):
    net = mlp(units)
    samples, kinds = copies(net, (6, 4))
    thinned = sg.thin(samples, 2, X, likelihood, net=net)
    assert {kinds[k] for k in thinned.places} == {0, 1}
    expected, found = (sg.predict(net, chain, X, likelihood) for chain in (samples, thinned))
    np.testing.assert_allclose(found.std, expected.std, rtol=1e-4)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-4, atol=1e-5)


def test_samples_that_differ_in_their_noise_alone_are_told_apart():
    """Their means are the same, so that who compares means sees nothing."""
    net = mlp(1, sg.nn.LogSigma())
    first, second = drawn(net, 2, still=["0.", "1."])
    for sample, noise in ((first, -1.0), (second, 1.0)):
        sample["2.log_sigma"][:] = noise
    samples = [sg.Sample(dict((first if k < 3 else second).items()), step=k + 1) for k in range(4)]
    likelihood = L.Gaussian("global")
    thinned = sg.thin(samples, 2, X, likelihood, net=net)
    assert 3 in thinned.places
    np.testing.assert_allclose(thinned.weights, [0.75, 0.25], atol=1e-5)


def test_batches_and_arrays_are_one():
    net = mlp(2)
    samples = drawn(net, 9)
    whole = sg.thin(samples, 3, X, "sigmoid", net=net)
    batches = sg.thin(samples, 3, [X[:10], X[10:25], X[25:]], "sigmoid", net=net)
    assert whole.places == batches.places and whole.distance == pytest.approx(batches.distance)


def test_it_is_a_chain_like_any_other(tmp_path):
    """Predicted with, exported, joined, sliced, looked at, and kept in a folder, with its weights."""
    net = mlp(3)
    chains = [sg.MemoryStore(drawn(net, 30, seed)) for seed in (0, 1)]
    thinned = sg.thin(chains, 12, X, "softmax", net=net)
    assert [s.weight for s in thinned] == pytest.approx(list(thinned.weights))
    thinned.save(tmp_path / "few")
    read = sg.load(tmp_path / "few")
    np.testing.assert_allclose(read.weights, thinned.weights)
    assert [s.step for s in read] == list(range(1, len(thinned) + 1))       # both chains have steps 10, 20, ...
    assert read.events[0]["places"] == thinned.places
    assert far(net, read, thinned) < 1e-9
    assert far(net, sg.join([thinned]), thinned) < 1e-9 and len(thinned[2:5]) == 3
    exported = sg.export(thinned, net, tmp_path / "model", "softmax", data=X)
    assert exported.samples == len(thinned)
    assert np.isfinite(sg.diagnostics.rhat(thinned, X, of="probabilities", net=net, likelihood="softmax").max())


def test_one_chain_keeps_its_steps(tmp_path):
    net = mlp(3)
    thinned = sg.thin(drawn(net, 9), 4, X, "softmax", net=net)
    thinned.save(tmp_path / "few")
    assert [s.step for s in sg.load(tmp_path / "few")] == [10 * (k + 1) for k in thinned.places]


@pytest.mark.parametrize("change, error, said", [
    ({"m": 0}, ValueError, r"m must be in \[1, 5\], got 0"), ({"m": 6}, ValueError, r"m must be in \[1, 5\], got 6"),
    ({"m": 2.5}, ValueError, "m must be a whole number"), ({"net": None}, ValueError, "net is not given"),
    ({"activation": None}, ValueError, "activation is not given"),
    ({"weights": "best"}, ValueError, "weights must be one of 'fitted', 'equal'"),
    ({"runs": 3}, TypeError, "runs must be a sequence of samples, got int"),
])
def test_bad_input(change, error, said):
    net = mlp(3)
    given = {"runs": drawn(net, 5), "m": 2, "data": X, "activation": "softmax", "net": net, **change}
    with pytest.raises(error, match=said):
        sg.thin(given.pop("runs"), given.pop("m"), given.pop("data"), **given)


@pytest.mark.slow
@pytest.mark.parametrize("precision, kept", [(10.0, 20), (3.0, 30)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_few_of_four_hundred_on_the_digits(seed, precision, kept):
    """They lose less than 2 % of what averaging gains in NLL, on images that were not used for choosing them.

    Under the weaker prior a single sample is worse, samples differ in more directions, and it takes more of them.
    """
    mx.random.seed(seed)
    digits, loss = sg.datasets.mnist_small(), sg.likelihoods.Categorical()
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(50, activation="relu", in_units=784), gluon.nn.Dense(10, in_units=50))
    net.initialize(mx.init.Xavier())
    data = sg.data.ArrayLoader(digits.x_train, digits.y_train, batch_size=100)
    options = {"learning_rate": 0.03, "num_data": 5000, "wd": precision, "friction": 0.03}
    trainer = sg.BayesianTrainer(net, "sgnht", options, loss, burn_in=3000, thin=40, seed=seed)
    trainer.sample(data, 3000 + 400 * 40)
    thinned = sg.thin(trainer.samples, kept, digits.x_train, loss, net=net)
    each = trainer.predict(digits.x_test, samples=True)

    def nll(probs):
        return sg.metrics.nll(probs, digits.y_test)
    alone, every = np.mean([nll(p) for p in each]), nll(each.mean(axis=0))
    few = nll(sg.predict(net, thinned, digits.x_test, loss))
    rng = np.random.RandomState(0)
    chance = np.mean([nll(each[rng.choice(400, kept, replace=False)].mean(axis=0)) for _ in range(50)])
    lost, by_chance = (100 * (score - every) / (alone - every) for score in (few, chance))
    print(f"precision {precision:.0f}, seed {seed}: one sample {alone:.4f}, all 400 {every:.4f}, {len(thinned)} of "
          f"them {few:.4f}; lost of the gain {lost:.1f} %, by as many at random {by_chance:.1f} %")
    assert len(thinned) <= kept and alone - every > 0.15
    assert lost < 2.0
