"""Lists of arrays in one call: the bits are those of NDArray's operators, one array after another."""
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

from sgmcmc_mx.kernels import lists, native, noise

SHAPES = [(5, 3), (7,), (1,), (2, 3, 2, 2), (200, 11)]


def some(seed, dtype="float32", shapes=SHAPES):
    r = np.random.RandomState(seed)
    return [nd.array(r.standard_normal(s) * 10.0 ** r.randint(-4, 4), dtype=dtype) for s in shapes]


def same(found, expected):
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
    assert len(found) == len(expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("factor", [-0.0123456789, 1.0, 3.7e-5, [0.0, 1.0, 0.37, -2.1, 1e-3]])
def test_adding(factor, dtype):
    """In two roundings, whatever the instruction set; with one factor or one for each pair."""
    factors = factor if isinstance(factor, list) else [factor] * len(SHAPES)
    sets = [native.instruction_set(name) for name in native.instruction_sets()] if native.load() is None else [None]
    for name in sets:
        if name is not None:
            native.instruction_set(name)
        a, b = some(1, dtype), some(2, dtype)
        expected = [x + f * y for x, y, f in zip(a, b, factors)]
        adding = lists.Adding(a, b)
        adding(factor)
        same(a, expected)
        assert adding.is_of(a, b) and not adding.is_of(list(a), b)


def test_float64_is_not_the_librarys():
    """MXNet reads a factor from its digits, and not always as the same number."""
    r = np.random.RandomState(0)
    factors = [float(np.exp(3 * r.standard_normal())) for _ in range(300)]
    read = [lists.as_mxnet_reads(f) for f in factors]
    np.testing.assert_allclose(read, factors, rtol=1e-15)
    for f, g in zip(factors, read):
        assert (nd.ones((1,), dtype="float64") * f).asscalar() == g
    a = some(1, "float64")
    assert lists.Adding(a, some(2, "float64"))._job is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums(dtype):
    a, b = some(1, dtype), some(2, dtype)

    def f64(x):
        return x.astype("float64")

    assert lists.sums_of_products(a, b) == [f64(x * y).sum().asscalar() for x, y in zip(a, b)]
    assert lists.sums_of_products(a) == [f64(x * x).sum().asscalar() for x in a]
    assert lists.sums_of_squares(a) == [nd.square(f64(x)).sum().asscalar() for x in a]
    assert lists.totals(a).asnumpy().ravel().tolist() == [f64(x).sum().asscalar() for x in a]
    assert lists.sums_of_squares(a[:1]) == [nd.square(f64(a[0])).sum().asscalar()]


def test_sums_of_numpy_arrays():
    expected = lists.sums_of_squares(some(1)), lists.totals(some(1)).asnumpy().ravel().tolist()
    mx.npx.set_np()
    try:
        assert (lists.sums_of_squares(some(1)), lists.totals(some(1)).asnumpy().ravel().tolist()) == expected
    finally:
        mx.npx.reset_np()


def test_copies_are_copies():
    a = some(1)
    before = [x.asnumpy() for x in a]
    found = lists.copies(a)
    for x in a:
        x[:] = 7
    for x, y in zip(found, before):
        np.testing.assert_array_equal(x.asnumpy(), y)
        x[:] = 8
    assert all((x.asnumpy() == 7).all() for x in a)
    assert len(lists.copies(a[:1])) == 1


def test_shaped():
    flat = np.arange(sum(int(np.prod(s)) for s in SHAPES), dtype="float32")
    for dtype in ("float32", "float64"):
        found = lists.shaped(flat, some(1, dtype))
        assert [(a.shape, a.dtype) for a in found] == [(a.shape, a.dtype) for a in some(1, dtype)]
        np.testing.assert_array_equal(np.concatenate([a.asnumpy().ravel() for a in found]), flat)
    assert [a.shape for a in lists.shaped(flat[:15], some(1)[:1])] == [(5, 3)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_put_writes_what_flat_reads(dtype):
    arrays, others = some(1, dtype), some(2, dtype)
    vector = lists.flat(arrays)
    assert vector.dtype == dtype
    lists.put(vector, others)
    same(others, arrays)
    vector[:] = 0       # nothing of the arrays lies in it
    same(others, arrays)


def test_noise_of_several_parameters_is_that_of_each():
    sizes = [128, 16, 1, 0, 64, 65, 300000, 70]
    for step in (3, 2 ** 40 + 1):
        found = noise.normals(sizes, 2 ** 63 + 5, step, range(len(sizes)), noise.MOMENTUM)
        for i, (size, n) in enumerate(zip(sizes, found)):
            np.testing.assert_array_equal(n, noise.normal(size, 2 ** 63 + 5, step, i, noise.MOMENTUM))
            assert n.shape == (size,)


def test_one_uniform_is_of_the_same_words():
    r = np.random.RandomState(0)
    for _ in range(200):
        seed, step = int(r.randint(2 ** 62)) * 3, int(r.randint(2 ** 55))
        words = noise.words(0, 1, seed, step, 0, noise.ACCEPT)
        assert noise._first_words(seed, step, noise.ACCEPT) == (int(words[0][0]), int(words[1][0]))


def test_each_thread_has_graphs_of_its_own():
    """MXNet frees what one of them needs where several are in one graph."""
    a = some(1)
    expected = lists.sums_of_squares(a)

    def called(_):
        graph = lists._GRAPHS.of(lists._squares, tuple(SHAPES), False)
        return graph, [lists.sums_of_squares(a) for _ in range(30)]
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        found = [future.result() for future in [pool.submit(called, 0) for pool in (first, second, first)]]
    assert [sums for _, sums in found] == 3 * [30 * [expected]]
    assert found[0][0] is found[2][0] and found[0][0] is not found[1][0]
