"""The loader of arrays in memory: the same batches as the one that goes row by row, from any place on."""
import numpy as np
import pytest
from mxnet import gluon, nd

import sgmcmc_mx as sg

N = 43
X = np.arange(N * 6, dtype="float32").reshape((N, 2, 3))
Y = np.arange(N)


def rows_of(loader):
    return [[a.asnumpy() for a in batch] for batch in loader]


def same(some, others):
    assert len(some) == len(others)
    for a, b in zip(some, others):
        assert len(a) == len(b) and all(np.array_equal(p, q) and p.dtype == q.dtype for p, q in zip(a, b))


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"last_batch": "discard"}, {"replacement": True}])
def test_batches_are_those_of_the_other_loader(options):
    ours = sg.data.ArrayLoader(X, Y.astype("int32"), batch_size=8, seed=3, **options)
    theirs = sg.data.ResumableLoader(gluon.data.ArrayDataset(X, Y.astype("int32")), 8, seed=3, **options)
    for _ in range(3):
        same(rows_of(ours), rows_of(theirs))
        assert ours.state_dict() == theirs.state_dict() and len(ours) == len(theirs)


def test_it_goes_on_from_any_place():
    whole = [b for _ in range(2) for b in rows_of(sg.data.ArrayLoader(X, Y, batch_size=8, seed=3))]
    loader = sg.data.ArrayLoader(X, Y, batch_size=8, seed=3)
    next(iter(loader))
    state, rest = loader.state_dict(), rows_of(loader)
    same(rest, whole[1:6])
    other = sg.data.ArrayLoader(X, Y, batch_size=8, seed=9)
    other.load_state_dict(state)
    same(rows_of(other), rest)


def test_a_place_that_is_loaded_in_a_loop_counts_at_once():
    loader = sg.data.ArrayLoader(X, Y, batch_size=8, seed=3)
    first, seen = loader.state_dict(), []
    for k, (_, y) in enumerate(loader):
        seen.append(y.asnumpy())
        if k == 2:
            loader.load_state_dict(first)
    assert len(seen) == 9 and all(np.array_equal(seen[i], seen[3 + i]) for i in range(3))


@pytest.mark.parametrize("batches", [1, 4, 6, 7, 30])
@pytest.mark.parametrize("last_batch", ["keep", "discard"])
def test_many_batches_at_once(batches, last_batch):
    loader, by_hand = (sg.data.ArrayLoader(X, Y, batch_size=8, seed=3, last_batch=last_batch) for _ in range(2))
    for _ in range(3):
        rows, sizes = loader.take(batches)
        expected = []
        while len(expected) < batches:
            for _, y in by_hand:
                expected.append(y.asnumpy())
                if len(expected) == batches:
                    break
        assert sizes.tolist() == [len(e) for e in expected]
        assert np.array_equal(Y[rows], np.concatenate(expected))
        assert loader.state_dict() == by_hand.state_dict()


def test_types():
    loader = sg.data.ArrayLoader(X.astype("float64"), nd.array(Y), Y > 3, batch_size=4)
    assert [a.dtype for a in next(iter(loader))] == [np.float32, np.float32, np.int32]


def test_arrays_are_not_changed():
    x = X.copy()
    for batch, _ in sg.data.ArrayLoader(x, Y, batch_size=8):
        batch[:] = 0
        batch.wait_to_read()
    assert np.array_equal(x, X) and x.flags.writeable


@pytest.mark.parametrize("arrays, error, message", [
    ((), TypeError, "there is none"), ((X, Y[:-1]), ValueError, "43, 42 rows"), ((X, 3), TypeError, "array 1 is 3"),
    ((X, np.array("a")), TypeError, "array 1"), ((X, np.array(["a"] * N)), TypeError, "dtype <U1, not numbers"),
    (([1, 2],), TypeError, r"array 0 is \[1, 2\] of type list")])
def test_what_it_refuses(arrays, error, message):
    with pytest.raises(error, match=message + ".*write sgmcmc_mx.data.ArrayLoader"):
        sg.data.ArrayLoader(*arrays, batch_size=4)


def test_predictions_and_full_data_chains_take_it_as_it_is():
    """Every example once, in its own order, whatever the loader's place."""
    net = gluon.nn.Dense(1, in_units=6)
    net.initialize()
    loader = sg.data.ArrayLoader(X, Y.astype("float32"), batch_size=8, seed=3)
    next(iter(loader))
    weights = {name: p.data().copy() for name, p in net._collect_params_with_prefix().items()}
    found = sg.predict(net, sg.MemoryStore([sg.Sample(weights, 1)]), loader, "identity")
    assert np.allclose(found, net(nd.array(X)).asnumpy(), rtol=1e-5)
    hmc = sg.HMC(net, sg.likelihoods.Gaussian(10.0), loader, seed=0, num_leapfrog=2)
    hmc.run(num_samples=1, burn_in=0)
    assert loader.index == 1 and np.isfinite(hmc.potential)
