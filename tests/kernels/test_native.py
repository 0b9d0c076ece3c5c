"""The fused step against the readable one, its noise, and every way in which it could hang, crash or lose an update."""

import copy
import itertools
import math
import os
import pickle
import subprocess
import sys
import textwrap

import forks
import mxnet as mx
import numpy as np
import pytest
from folders import ROOT
from mxnet import autograd, gluon, nd
from scipy import special, stats
from steps import SEED, arrays, assert_close, job, run, tensor, with_prior

from sgmcmc_mx.kernels import Job, Shared, Tensor, native, ndarray, noise
from sgmcmc_mx.kernels.job import INTEGRATORS, LAWS

MISSING = native.load()
if MISSING and os.environ.get("SGMCMC_MX_BACKEND") == "native":
    raise RuntimeError(MISSING)
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no native step: {MISSING}")

KINDS = ("none", "friction", "tensor", "element", "shared")
SHAPES = ((7,), (64,), (1,), (5, 13), (33, 70), (8, 3, 3, 3))


@pytest.fixture(autouse=True)
def defaults():
    usual = native.instruction_set()    # the best, or the one that SGMCMC_MX_ISA names
    yield
    native.threads(0)
    native.instruction_set(usual)


# ---------------------------------------------------------------- one step, and ten


def sampled(axes, many):
    """Every third combination, another third for one step than for many: all pairs of values are among each.

    The others are run with --slow.
    """
    cases = []
    for steps, ulps in many:
        for places in itertools.product(*(range(len(axis)) for axis in axes)):
            chosen = sum(places) % 3 == (1 if steps == 1 else 0)
            cases.append(pytest.param(*(axis[i] for axis, i in zip(axes, places)), steps, ulps,
                                      marks=() if chosen else pytest.mark.slow))
    return cases


def test_all_pairs_of_values_are_among_what_is_sampled():
    """Of each table below, for one step and for many."""
    for axes in ((KINDS, (None, 0.0, 0.3), (None, 0.4), TYPES), (LAWS[1:], range(4), KINDS, TYPES),
                 (INTEGRATORS, KINDS, ("plain", "estimate", "scaled"), TYPES)):
        for steps in (1, 10):
            chosen = [case.values for case in sampled(axes, [(steps, 5)]) if not case.marks]
            for a, b in itertools.combinations(range(len(axes)), 2):
                assert {(values[a], values[b]) for values in chosen} == set(itertools.product(axes[a], axes[b]))


TYPES = ("float32", "float64")


def natively(make, steps=1):
    """Every array after the native step. One step is made with every instruction set, which all give the same bits."""
    names, expected = native.instruction_sets() if steps == 1 else (native.instruction_set(),), None
    for name in names:
        native.instruction_set(name)
        got = run(native, make(), steps)
        expected = expected or got
        for key in got:
            if not np.array_equal(got[key], expected[key]):     # quicker than what tells the difference
                np.testing.assert_array_equal(got[key], expected[key], err_msg=f"{key} {name}")
    return expected


@pytest.mark.any_isa
@pytest.mark.parametrize("kind, estimate, clip, dtype, steps, ulps", sampled(
    (KINDS, (None, 0.0, 0.3), (None, 0.4), TYPES), [(1, 5), (10, 10)]))
def test_as_the_readable_backend(kind, estimate, clip, dtype, steps, ulps):
    def made():
        return job([tensor(s, kind, dtype, estimate, ordinal=i) for i, s in enumerate(SHAPES)], kind, clip)

    assert_close(natively(made, steps), run(ndarray, made(), steps), ulps)


@pytest.mark.any_isa
@pytest.mark.parametrize("integrator, kind, extra, dtype, steps, ulps", sampled(
    (INTEGRATORS, KINDS, ("plain", "estimate", "scaled"), TYPES), [(1, 6), (10, 14)]))
def test_integrators_and_preconditioners_as_the_readable_backend(integrator, kind, extra, dtype, steps, ulps):
    def made():
        tensors = [tensor(s, kind, dtype, 0.3 if extra == "estimate" else None, ordinal=i, scaled=extra == "scaled")
                   for i, s in enumerate(SHAPES)]
        return job(tensors, kind, integrator=integrator)

    assert_close(natively(made, steps), run(ndarray, made(), steps), ulps)


@pytest.mark.any_isa
@pytest.mark.parametrize("law, arrays, kind, dtype, steps, ulps", sampled(
    (LAWS[1:], ((False, False), (True, False), (False, True), (True, True)), KINDS, TYPES), [(1, 6), (5, 14)]))
def test_priors_as_the_readable_backend(law, arrays, kind, dtype, steps, ulps):
    """Every integrator and what else a step has comes by turns; the pull is formed before, in the same way for all."""
    extras = {"euler": {"estimate": 0.3}, "aboba": {}, "badodab": {"scaled": True}}
    integrator = INTEGRATORS[(LAWS.index(law) + KINDS.index(kind) + sum(arrays)) % 3]

    def made():
        tensors = [with_prior(tensor(s, kind, dtype, ordinal=i, **(extras[integrator] if i % 2 else {})), law, *arrays)
                   for i, s in enumerate(SHAPES)]
        return job(tensors, kind, 0.4, integrator=integrator)

    assert_close(natively(made, steps), run(ndarray, made(), steps), ulps)


def pulled(law, x, dtype="float64", **numbers):
    """The prior's part of G at places x, by the native step alone: scale and strength are 1."""
    t = Tensor(nd.array(x, dtype=dtype), nd.zeros(x.shape, dtype=dtype), 0, 1, drift=1.0, prior=1.0, noise=0.0)
    t.law = LAWS.index(law)
    for name, value in numbers.items():
        setattr(t, name, value)
    native.step(Job([t], SEED, 1.0))
    return x.astype(dtype) - t.weight.asnumpy()


@pytest.mark.parametrize("dtype, error", [("float64", 1e-13), ("float32", 3e-6)])
def test_slopes_of_priors_are_those_of_their_densities(dtype, error):
    """Against SciPy, far into the tails, where the exponential is held and the step overflows nothing."""
    x = np.concatenate([np.linspace(-30, 30, 4001), 10.0 ** np.arange(-30, 3), -10.0 ** np.arange(-30, 3)])
    expected = {
        ("student", 3.0, 0.0): 4 * x / (3 + x * x),
        ("laplace", 0.0, 0.0): np.sign(x),
        ("power", 1.2, 0.0): 1.2 * np.abs(x) ** 0.2 * np.sign(x),
        ("power", 4.0, 0.0): 4 * np.abs(x) ** 3 * np.sign(x),
        ("mixture", -3.0, 399.0): x * (1 + 399 * special.expit(3 - 399 * x * x / 2)),
        ("mixture", 2.0, -0.9): x * (1 - 0.9 * special.expit(-2 + 0.9 * x * x / 2)),
    }
    for (law, first, second), slope in expected.items():
        found = pulled(law, x, dtype, first=first, second=second)
        assert np.abs(found - slope).max() <= error * (np.abs(slope) + np.abs(x)).max(), law
        near = np.abs(x) < 3        # where the weights are, also relative to what it is there
        np.testing.assert_allclose(found[near], slope[near], rtol=20 * error, atol=error * 3, err_msg=law)


@pytest.mark.parametrize("law", LAWS[1:])
def test_a_weight_that_is_no_number_stays_that(law):
    t = with_prior(tensor((64,), "friction"), law, True, True)
    t.weight[7] = math.nan
    native.step(job([t], "friction"))
    assert np.isnan(t.weight.asnumpy()).tolist() == [i == 7 for i in range(64)]


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_by_a_master(integrator, kind):
    """The float16 gradient is read as it is, the master's new value rounded to nearest."""
    results = []
    for backend in (native, ndarray):
        tensors = [tensor(s, kind, ordinal=i, half=True) for i, s in enumerate(SHAPES)]
        backend.step(job(tensors, kind, integrator=integrator))
        for t in tensors:
            np.testing.assert_array_equal(t.half.asnumpy(), t.weight.asnumpy().astype(np.float16))
        results.append(arrays(job(tensors, kind)))
    assert_close(*({n: a for n, a in r.items() if not n.startswith("half")} for r in results), 6)


def test_every_half_is_widened_and_narrowed():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    t = Tensor(nd.zeros((65536,)), nd.array(halves, dtype="float16"), 0, 1, drift=-1.0, prior=0.0, noise=0.0)
    t.half = nd.zeros((65536,), dtype="float16")
    native.step(Job([t], SEED, 1.0))
    np.testing.assert_array_equal(t.weight.asnumpy(), halves.astype(np.float32))
    np.testing.assert_array_equal(t.half.asnumpy(), halves)
    finite = halves[np.isfinite(halves)].astype(np.float64)
    finite.sort()
    ties = np.concatenate([(finite[1:] + finite[:-1]) / 2, [65519.0, 65520.0, 1e9, -65520.0, 1e-9]]).astype(np.float32)
    near = np.concatenate([ties, np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(-np.inf))])
    t = Tensor(nd.array(near), nd.zeros(near.shape), 0, 1, drift=0.0, prior=0.0, noise=0.0)
    t.half = nd.zeros(near.shape, dtype="float16")
    native.step(Job([t], SEED, 1.0))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(t.half.asnumpy(), near.astype(np.float16))


def test_as_the_formulas():
    """One step of a SHARED thermostat in NumPy, written from job.py alone."""
    j = job([tensor((5, 13), "shared")], "shared", clip=0.4)
    t = j.tensors[0]
    w, g, v = (x.asnumpy().astype(float) for x in (t.weight, t.grad, t.momentum))
    n = noise.normal(w.size, SEED, t.count, t.ordinal).reshape(w.shape).astype(float)
    alpha = 1.1 * (0.2 + 0.3 * 0.3) + 0.07
    v = t.ratio * (1 - alpha) * v - t.drift * (np.clip(0.5 * g, -0.4, 0.4) + t.prior * w) + t.noise * n
    native.step(j)
    np.testing.assert_allclose(t.momentum.asnumpy(), v, atol=3e-7)
    np.testing.assert_allclose(t.weight.asnumpy(), w + v, atol=5e-7)
    np.testing.assert_allclose(j.shared.alpha.asnumpy(), [alpha], rtol=3e-7)
    np.testing.assert_allclose(j.shared.excess.asnumpy(), [t.share * ((v ** 2).sum() - w.size * t.heat)], rtol=3e-6)


def test_unsettled_account_grows():
    j = job([tensor((64,), "shared")], "shared", settle=None)
    native.step(j)
    v = j.tensors[0].momentum.asnumpy().astype(float)
    assert j.shared.alpha.asscalar() == np.float32(0.2)
    assert j.shared.excess.asscalar() == pytest.approx(0.3 + 0.002 * ((v ** 2).sum() - 64 * 0.01), rel=1e-6)


def test_no_noise_is_sgd_with_momentum():
    t = tensor((33, 70), "friction")
    t.noise, t.ratio = 0.0, 1.0
    w, v = t.weight.copy(), t.momentum.copy()
    nd.sgd_mom_update(w, t.grad, v, out=w, lr=t.drift, wd=t.prior, momentum=0.9, rescale_grad=0.5)
    native.step(job([t], "friction"))
    np.testing.assert_allclose(t.weight.asnumpy(), w.asnumpy(), atol=5e-7)


# ---------------------------------------------------------------- the noise


@pytest.mark.any_isa
@pytest.mark.parametrize("stream", [noise.STEP, noise.MOMENTUM])
def test_integer_stream(stream):
    for name in native.instruction_sets():
        native.instruction_set(name)
        highest = (2 ** 64 - 1, 2 ** 56 - 1, 2 ** 32 - 1)
        for seed, step, parameter in ((0, 0, 0), (SEED, 2 ** 40 + 5, 2 ** 31 + 7), highest):
            ours = native.words(3, 5, seed, step, parameter, stream)
            theirs = noise.words(48, 80, seed, step, parameter, stream)
            np.testing.assert_array_equal(ours, np.stack([x.reshape(5, 16) for x in theirs], axis=1))


def test_known_answer():
    assert native.words(0, 1, 0, 0, 0)[0, :, 0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_normals_are_those_of_the_reference():
    """Against the exact transform of the same integers, in ulps of the radius; and as noise.py."""
    ours = native.normal(640_000, SEED, 9, 3)
    words = native.words(0, 10_000, SEED, 9, 3)
    u = np.float32((words[:, ::2] >> 1).astype(np.float32) + np.float32(0.5)).astype(float) * 2.0 ** -31
    r, angle = np.sqrt(-2 * np.log(u)), words[:, 1::2].view(np.int32) * (math.pi * 2.0 ** -31)
    exact = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=2).reshape(-1)
    ulp = np.spacing(np.stack([r, r], axis=2).reshape(-1).astype(np.float32))
    assert (np.abs(ours - exact) / ulp).max() < 2.5
    assert np.abs(ours - noise.normal(640_000, SEED, 9, 3)).max() < 1.5e-6


@pytest.mark.any_isa
def test_normals_have_the_moments_and_the_law():
    n = 10_000_000
    x = native.normal(n, 20, 5, 1)
    for name in native.instruction_sets():
        native.instruction_set(name)
        np.testing.assert_array_equal(native.normal(n, 20, 5, 1), x, err_msg=name)
    x = x.astype(float)
    square, cube = x * x, x * x * x
    for power, found, mean in ((1, x, 0), (2, square, 1), (3, cube, 0), (4, square * square, 3), (6, cube * cube, 15)):
        assert abs(found.mean() - mean) < 5 * found.std() / math.sqrt(n), power
    assert stats.kstest(x, "norm").pvalue > 1e-6
    beyond = (np.abs(x) > 4.5).sum()
    expected = n * 2 * stats.norm.sf(4.5)
    assert abs(beyond - expected) < 5 * math.sqrt(expected)
    for lag in (1, 16, 32, 64, 1024):
        assert abs((x[lag:] * x[:-lag]).mean()) < 5 / math.sqrt(n - lag), lag


def test_streams_are_independent():
    """Normals of neighbouring seeds, steps, tensors and streams, and their squares, are not correlated."""
    n = 200_000
    keys = [(s, t, p, stream) for s in (1, 2, 2 ** 32 + 1)
            for t in (1, 2, 2 ** 32 + 1) for p in (0, 1) for stream in (0, 1)]
    x = np.stack([native.normal(n, *key) for key in keys]).astype(float)
    for y in (x, x ** 2 - 1):
        z = np.corrcoef(y)[np.triu_indices(len(keys), 1)] * math.sqrt(n)
        assert np.abs(z).max() < 5.5 and 0.9 < z.std() < 1.1


def test_lanes_are_independent():
    x = native.normal(64 * 50_000, 3, 1, 0).reshape(-1, 64).astype(float)
    for y in (x, x ** 2 - 1):
        z = np.corrcoef(y.T)[np.triu_indices(64, 1)] * math.sqrt(len(x))
        assert np.abs(z).max() < 5.5 and 0.95 < z.std() < 1.05


@pytest.mark.slow
def test_a_thousand_million_normals():
    """Pooled moments, a Kolmogorov-Smirnov distance and the tails beyond 5 sigma."""
    batch, batches = 5_000_000, 200
    edges = np.linspace(-7, 7, 14_001)
    counts, sums = np.zeros(14_000), np.zeros(6)
    for step in range(batches):
        x = native.normal(batch, 77, step, step % 7)
        counts += np.histogram(x, edges)[0]
        x = x.astype(float)
        power = np.ones_like(x)
        for k in range(6):
            power *= x
            sums[k] += power.sum()
    n = batch * batches
    assert counts.sum() == n
    means, moments = (0, 1, 0, 3, 0, 15), (1, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395)
    for k in range(6):
        sd = math.sqrt((moments[2 * k + 2] - means[k] ** 2) / n)
        assert abs(sums[k] / n - means[k]) < 5 * sd, k + 1
    distance = np.abs(np.cumsum(counts) / n - stats.norm.cdf(edges[1:])).max()
    assert stats.kstwobign.sf(distance * math.sqrt(n)) > 1e-6
    for sigma in (4, 5, 5.5, 6):
        expected = 2 * n * stats.norm.sf(sigma)
        beyond = counts[np.abs(edges[:-1] + 0.0005) > sigma].sum()
        assert abs(beyond - expected) < 5 * math.sqrt(expected) + 1, sigma


# ---------------------------------------------------------------- the same bits


def large(kind, integrator="euler"):
    # Many chunks, tensors that end inside one, and enough elements that threads are used.
    shapes = ((700, 300), (1,), (16384,), (16385,), (61, 53))
    return job([tensor(s, kind, ordinal=i) for i, s in enumerate(shapes)], kind,
               integrator=integrator)


@pytest.mark.any_isa
@pytest.mark.parametrize("law", LAWS[1:])
@pytest.mark.parametrize("dtype", TYPES)
def test_bits_of_priors_do_not_depend_on_the_processor(law, dtype):
    """Exponentials and logarithms, too: 20,001 places in the tails, and a block that ends inside a vector."""
    expected = None
    for name in native.instruction_sets():
        native.instruction_set(name)
        t = with_prior(tensor((20_001,), "friction", dtype), law, True, True)
        t.weight *= 10
        got = run(native, job([t], "friction"), 2)
        expected = expected or got
        for key in got:
            np.testing.assert_array_equal(got[key], expected[key], err_msg=f"{key} {name}")


@pytest.mark.any_isa
@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("kind", KINDS)
def test_bits_do_not_depend_on_threads_or_processor(kind, integrator):
    expected = None
    for name, threads in itertools.product(native.instruction_sets(), (1, 2, 3)):
        native.instruction_set(name)
        native.threads(threads)
        got = run(native, large(kind, integrator), 3)
        expected = expected or got
        for key in got:
            np.testing.assert_array_equal(got[key], expected[key], err_msg=f"{key} {name} {threads}")


def test_noise_does_not_depend_on_the_other_tensors():
    alone, beside = tensor((61, 53), "friction", ordinal=5), tensor((61, 53), "friction", ordinal=5)
    native.step(job([alone], "friction"))
    native.step(job([tensor((33, 70), "friction", ordinal=4), beside], "friction"))
    np.testing.assert_array_equal(alone.weight.asnumpy(), beside.weight.asnumpy())


# ---------------------------------------------------------------- layouts, views, sizes


def test_convolutions_between_training_and_inference():
    """oneDNN lays out the kernels afresh during inference: an update of the stale plain copy would be lost."""
    x, y = nd.random.normal(shape=(32, 16, 14, 14)), nd.random.normal(shape=(32, 10))
    results = []
    for backend in (native, ndarray):
        mx.random.seed(5)
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Conv2D(32, 3, activation="relu", in_channels=16), gluon.nn.Conv2D(48, 3, in_channels=32),
                gluon.nn.BatchNorm(in_channels=48), gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(10, in_units=48))
        net.initialize(mx.init.Xavier())
        net.hybridize()
        tensors, kept = [], []
        for i, p in enumerate(p for p in net.collect_params().values() if p.grad_req != "null"):
            t = Tensor(p.data(), p.grad(), i, 0, drift=0.001, prior=0.1, noise=1e-4)
            t.momentum, t.friction, t.share, t.heat = nd.zeros(p.shape), 0.1, 1e-4, 1e-6
            tensors.append(t)
        j = Job(tensors, SEED, 1.0, None, Shared(nd.array([0.1]), nd.array([0.0])))
        for step in range(12):
            with autograd.record():
                loss = nd.square(net(x) - y).mean()
            loss.backward()
            for t in tensors:
                t.count = step
            j.shared.settle = (1.0, 0.5)
            before = tensors[0].weight.copy()
            backend.step(j)
            np.testing.assert_allclose((before + tensors[0].momentum).asnumpy(), tensors[0].weight.asnumpy(), atol=1e-6)
            if step % 3 != 2:
                kept.append(net(x).asnumpy())   # inference, which moves the kernels
        results.append(kept)
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def infer_convolution():
    w, x = nd.random.normal(shape=(64, 64, 3, 3)), nd.random.normal(shape=(8, 64, 14, 14))
    return w, lambda: nd.Convolution(x, w, kernel=(3, 3), num_filter=64, no_bias=True)


def infer_matrix():
    w, x = nd.random.normal(shape=(1024, 1024)), nd.ones((16384, 1024))
    return w, lambda: nd.FullyConnected(x, w, num_hidden=1024, no_bias=True)


@pytest.mark.parametrize("layer", [infer_convolution, infer_matrix])
def test_weight_in_another_layout_is_put_back(layer):
    """The state that inference leaves behind, for certain: the engine is given the time to bring it about."""
    w, infer = layer()
    plain = w.asnumpy()
    for step in range(2):
        infer().wait_to_read()
        nd.waitall()
        t = Tensor(w, nd.zeros(w.shape), 0, step, drift=0.0, prior=0.0, noise=1.0)
        native.step(job([t], "none"))
        plain = plain + noise.normal(w.size, SEED, step, 0).reshape(w.shape)
        np.testing.assert_allclose(w.asnumpy(), plain, atol=2e-5)


@pytest.mark.parametrize("name", ["grad", "momentum"])
def test_other_arrays_in_another_layout(name):
    """What a convolution puts out is laid out for the next one, here before and after it was computed."""
    random = np.random.RandomState(0)
    x, w = nd.array(random.randn(4, 16, 9, 9)), nd.array(random.randn(32, 16, 3, 3))
    for wait in (False, True):
        t, results = tensor((4, 32, 7, 7), "tensor"), []
        start = t.weight.copy(), t.momentum.copy()
        for backend in (native, ndarray):
            t.weight, t.momentum, t.alpha = start[0].copy(), start[1].copy(), nd.array([0.2])
            setattr(t, name, nd.Convolution(x, w, kernel=(3, 3), num_filter=32, no_bias=True))
            if wait:
                nd.waitall()
            j = job([t], "tensor")
            backend.step(j)
            results.append(arrays(j))
        assert_close(*results, 5)


def test_without_the_function_that_puts_back(monkeypatch):
    """On a build of MXNet that hides it, tensors that may move take the readable road; the account is one."""
    monkeypatch.setattr(native, "_some_move", True)
    results = []
    for backend in (native, ndarray):
        tensors = [tensor(s, "shared", ordinal=i) for i, s in enumerate(SHAPES)]
        results.append(run(backend, job(tensors, "shared"), 2))
    assert_close(*results, 8)


def test_views_of_one_array():
    """Parameters that are views of one flat array share the engine's variable."""
    results = []
    for backend in (native, ndarray):
        flat = nd.array(np.random.RandomState(1).randn(40))
        momenta = nd.array(np.random.RandomState(2).randn(40) * 0.1)
        tensors = []
        for i, (a, b) in enumerate(((0, 7), (7, 30), (30, 40))):
            t = tensor((b - a,), "tensor", ordinal=i)
            t.weight, t.momentum = flat[a:b], momenta[a:b]      # unaligned, too
            tensors.append(t)
        results.append(run(backend, job(tensors, "tensor"), 3))
    assert_close(*results, 8)


@pytest.mark.parametrize("same", ["weight", "momentum", "alpha"])
def test_an_array_named_twice(same):
    """Tied weights must not hang; the tensors follow each other, as with operators."""
    results = []
    for backend in (native, ndarray):
        a, b = (tensor((700, 300), "tensor", ordinal=i) for i in (0, 1))
        setattr(b, same, getattr(a, same))
        results.append(run(backend, job([a, b], "tensor")))
    assert_close(*results, 8)


def test_gradient_that_is_the_weight():
    t = tensor((33, 70), "friction")
    t.grad = t.weight
    before = t.weight.asnumpy()
    native.step(job([t], "friction"))
    assert np.isfinite(t.weight.asnumpy()).all() and (t.weight.asnumpy() != before).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_unaligned_slices(dtype, start):
    results = []
    for backend in (native, ndarray):
        t = tensor((100,), "element", dtype, 0.3)
        for name in ("weight", "grad", "momentum", "alpha", "previous", "variance"):
            whole = nd.concat(nd.zeros((start,), dtype=dtype), getattr(t, name), dim=0) if start else getattr(t, name)
            setattr(t, name, whole[start:])
        results.append(run(backend, job([t], "element")))
    assert_close(*results, 5)


def test_sizes_around_every_boundary():
    sizes = (1, 2, 3, 4, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 16383, 16384, 16385)
    results = []
    for backend in (native, ndarray):
        tensors = [tensor((n,), "element", ordinal=i) for i, n in enumerate(sizes)]
        results.append(run(backend, job(tensors, "element")))
    assert_close(*results, 5)


def test_numpy_arrays_and_scalars():
    with mx.util.np_shape(True), mx.util.np_array(True):
        t = Tensor(mx.np.ones(()), mx.np.ones(()), 3, 11, drift=0.0, prior=0.0, noise=1.0)
        t.momentum = mx.np.zeros(())
        native.step(job([t], "none"))
        assert float(t.weight) == pytest.approx(1 + float(native.normal(1, SEED, 11, 3)[0]), abs=1e-6)


def test_empty_tensors_and_empty_jobs():
    native.step(job([], "none"))
    with mx.util.np_shape(True):
        empty = tensor((0, 3), "tensor")
        other = tensor((5,), "tensor")
        before = other.weight.asnumpy()
        native.step(job([empty, other, tensor((0,), "none")], "tensor"))
        assert empty.alpha.asscalar() == np.float32(0.2)
        assert (other.weight.asnumpy() != before).all()
        native.step(job([empty], "none"))
        nd.waitall()


def test_many_tiny_tensors():
    results = []
    for backend in (native, ndarray):
        tensors = [tensor((3, 2) if i % 2 else (3,), "shared", ordinal=i) for i in range(62)]
        results.append(run(backend, job(tensors, "shared"), 3))
    assert_close(*results, 8)


@pytest.mark.slow
def test_one_large_tensor():
    size = 25_000_000
    t = Tensor(nd.zeros(size), nd.zeros(size), 0, 1, drift=0.0, prior=0.0, noise=1.0)
    t.momentum, t.share, t.heat = nd.zeros(size), 1.0 / size, 1.0
    j = Job([t], SEED, 1.0, None, Shared(nd.array([0.0]), nd.array([0.0])))
    native.step(j)
    assert abs(j.shared.excess.asscalar()) < 5 * math.sqrt(2 / size)
    np.testing.assert_array_equal(t.weight[-5:].asnumpy(), native.normal(size, SEED, 1, 0)[-5:])


def test_what_it_does_not_handle_takes_the_readable_road():
    t = tensor((40,), "friction", "float16")
    before = t.weight.asnumpy()
    native.step(job([t], "friction"))
    assert (t.weight.asnumpy() != before).any()


@pytest.mark.parametrize("name", ["grad", "momentum", "alpha", "previous", "variance"])
def test_wrong_sizes_are_refused(name):
    for shape in ((40,), (5, 2, 4)):
        t = tensor(shape, "element", estimate=0.3)
        setattr(t, name, nd.zeros((39,)))
        with pytest.raises(ValueError, match="size"):
            native.step(job([t], "element"))


# ---------------------------------------------------------------- the engine and processes


@pytest.mark.any_isa
def test_pushes_do_not_wait_and_arrays_may_go():
    """A step on what is not computed yet, whose arrays are dropped before it runs."""
    for _ in range(20):
        big = nd.random.normal(shape=(600, 600))
        late = nd.dot(nd.dot(big, big), big)        # memory of these does not exist yet
        tensors = []
        for i in range(8):
            t = Tensor(late + i, late * i, i, 1, drift=0.1, prior=0.1, noise=0.1)
            t.momentum = late - i
            tensors.append(t)
        j = Job(tensors, SEED, 1.0, None, Shared(nd.array([0.1]) * 1, nd.array([0.1]) * 1))
        native.step(j)
        native.step(j)
        del tensors, t, j, late
    nd.waitall()


class Forgetful:
    """The native backend without its memory of the arrays."""

    @staticmethod
    def step(j):
        j.plan = None
        native.step(j)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_is_kept(kind):
    results, plans = [], []
    for backend in (native, Forgetful):
        j = job([tensor(s, kind, estimate=0.3, ordinal=i) for i, s in enumerate(SHAPES)], kind)
        native.step(j)
        plans.append(j.plan)
        results.append(run(backend, j, 5))
        plans.append(j.plan)
    assert plans[0] is plans[1] is not None and plans[2] is not plans[3]
    for name in results[0]:
        np.testing.assert_array_equal(*(r[name] for r in results))


def _kept_plan():
    j = job([tensor((300, 300), "friction")], "friction")
    native.step(j)
    native.step(j)
    return j.plan       # the job and its arrays go, steps are pending


def test_a_plan_is_not_saved():
    plan = _kept_plan()
    assert pickle.loads(pickle.dumps(plan)) is None and copy.deepcopy(plan) is None
    nd.waitall()


def test_order_with_other_operators():
    t = tensor((300, 300), "none")
    t.drift = t.prior = 0.0
    expected = t.weight.asnumpy().astype(float)
    for step in range(30):
        t.count = step
        native.step(job([t], "none"))
        nd.elemwise_add(t.weight, t.weight, out=t.weight)
        expected = 2 * (expected + 0.07 * native.normal(90_000, SEED, step, 3).reshape(300, 300).astype(float))
    np.testing.assert_allclose(t.weight.asnumpy(), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


SCRIPT = """
import os, sys
import numpy as np, mxnet as mx
from mxnet import nd
from sgmcmc_mx.kernels import Job, Shared, Tensor, native
reason = native.load()
if reason: sys.exit(reason)
def make(n=3, size=(400, 500)):
    tensors = []
    for i in range(n):
        t = Tensor(nd.ones(size), nd.ones(size), i, 1, drift=0.1, prior=0.1, noise=0.1)
        t.momentum, t.share = nd.zeros(size), 1e-6
        tensors.append(t)
    return Job(tensors, 7, 1.0, None, Shared(nd.array([0.1]), nd.array([0.0])))
def steps(j, n=5):
    for _ in range(n):
        native.step(j)
        for t in j.tensors:
            t.count += 1
        j.shared.settle = (1.0, 0.5)
    return float(sum(t.weight.asnumpy().astype(float).sum() for t in j.tensors)).hex()
"""


HERE = os.environ.get("MXNET_ENGINE_TYPE", "ThreadedEnginePerDevice")


def script(body, engine=HERE):
    """Run a script of its own process; it hangs no test run. One that is to have another engine is really new."""
    code = SCRIPT + textwrap.dedent(body)
    if engine == HERE:
        done = forks.run(code, timeout=120)
    else:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT,
                              env={**os.environ, "PYTHONPATH": path, "MXNET_ENGINE_TYPE": engine})
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout.split()


@pytest.mark.any_isa
@pytest.mark.parametrize("engine", ["ThreadedEnginePerDevice", "NaiveEngine"])
def test_engines_and_forks_agree(engine):
    """NaiveEngine runs a step on Python's own thread, whose OpenMP threads a fork leaves behind."""
    plain, = script("print(steps(make()))")
    forked = script("""
        import multiprocessing
        native.threads(2)
        print(steps(make()))        # the threads exist before the fork
        def child(queue):
            queue.put(steps(make()))
        ctx = multiprocessing.get_context("fork")
        for _ in range(2):
            queue = ctx.Queue()
            p = ctx.Process(target=child, args=(queue,))
            p.start()
            print(queue.get(timeout=60))
            p.join(60)
            assert p.exitcode == 0
        print(steps(make()))
        """, engine)
    assert forked == [plain] * 4


@pytest.mark.any_isa
@pytest.mark.parametrize("end", ["pass", "sys.exit(0)", "del j", "import atexit; atexit.register(native.step, j)"])
def test_exit_with_work_pending(end):
    script(f"""
        j = make(3, (1500, 1500))
        for _ in range(10):
            native.step(j)
        {end}
        """)
