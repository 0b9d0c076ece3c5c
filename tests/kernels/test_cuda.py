"""The step on a GPU: its source run on the host; all of it where there is a GPU."""
import itertools

import mxnet as mx
import numpy as np
import pytest
from cuda_jobs import (
    EXTRAS,
    SHAPES,
    STREAMS,
    assert_as_the_readable_one,
    assert_same,
    forget_kernels,
    launched,
    make,
    stand_in,
)
from cuda_stand_in import CuPy, Host, Module, cupy_missing
from mxnet import nd
from steps import SEED, arrays, assert_close, job, run, tensor, with_prior

from sgmcmc_mx.kernels import cuda, cuda_rtc, ndarray, noise
from sgmcmc_mx.kernels.cuda_source import CHUNK, KINDS, Program
from sgmcmc_mx.kernels.job import INTEGRATORS, LAWS

# ---------------------------------------------------------------- the stream

def assert_stream(ctx):
    assert cuda_rtc.words(0, 1, 0, 0, 0, ctx=ctx)[0, :, 0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    for (seed, step, parameter), stream in itertools.product(STREAMS, (noise.STEP, noise.MOMENTUM)):
        ours = cuda_rtc.words(3, 25, seed, step, parameter, stream, ctx=ctx)
        theirs = noise.words(48, 400, seed, step, parameter, stream)
        np.testing.assert_array_equal(ours, np.stack([x.reshape(25, 16) for x in theirs], axis=1))
    ours, theirs = cuda_rtc.normals(640_001, SEED, 9, 3, ctx=ctx), noise.normal(640_001, SEED, 9, 3)
    assert ours.dtype == np.float32 and np.abs(ours - theirs).max() < 1.5e-6
    assert np.abs(theirs).max() > 4.5       # the tail is there, too


def test_stream(host):
    assert_stream(mx.cpu())


# ---------------------------------------------------------------- the step, on the host

OPTIONS = list(itertools.product(KINDS, (None, 0.0, 0.3), (None, 0.4), ("float32", "float64")))


def on_the_host(kind, estimate, clip, dtype):
    """With each combination of the others one of the two types by default, each pair of values in some of them."""
    places = KINDS.index(kind) + (None, 0.0, 0.3).index(estimate) + (clip is not None) + (dtype == "float64")
    return pytest.param(kind, estimate, clip, dtype, marks=pytest.mark.slow if places % 2 else ())


@pytest.mark.parametrize("kind, estimate, clip, dtype", [on_the_host(*o) for o in OPTIONS])
def test_as_the_readable_backend(host, kind, estimate, clip, dtype):
    assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, estimate, clip))
    assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, estimate, clip), steps=5, ulps=30)
    sums = kind in ("tensor", "shared")
    assert launched() == (["step", "finish"] * 6 if sums else ["step"] * 6)


def option(integrator, kind, extra, dtype):
    """One of MORE; always tested are those that OPTIONS lacks, with one type, and a few of the rest."""
    known = integrator == "euler" and extra in ("plain", "estimate")
    rest = (extra == "both" or dtype == "float64") and (integrator, kind, extra) != ("badodab", "shared", "both")
    return pytest.param(integrator, kind, extra, dtype, marks=pytest.mark.slow if known or rest else ())


MORE = [option(*o) for o in itertools.product(INTEGRATORS, KINDS, EXTRAS, ("float32", "float64"))
        if o[0] == "euler" or o[1] != "none"]


@pytest.mark.parametrize("integrator, kind, extra, dtype", MORE)
def test_integrators_and_preconditioners_as_the_readable_backend(host, integrator, kind, extra, dtype):
    def made():
        return make(kind, SHAPES, dtype, integrator=integrator, **EXTRAS[extra])

    assert_as_the_readable_one(made, steps=2, ulps=10)
    sums = kind in ("tensor", "shared")
    assert launched() == (["step", "finish"] * (2 if integrator == "badodab" else 1) if sums else ["step"]) * 2


PRIORS = list(itertools.product(LAWS[1:], KINDS, ("float32", "float64")))


def under(law, kind, dtype, ctx=None):
    """A job of tensors with and without centre and units, each integrator by turns."""
    place = LAWS.index(law) + KINDS.index(kind)
    tensors = [with_prior(tensor(s, kind, dtype, 0.3 if i == 2 else None, i, scaled=i == 3, ctx=ctx), law, i % 2 > 0,
                          i % 4 > 1) for i, s in enumerate(SHAPES)]
    return job(tensors, kind, 0.4, integrator=INTEGRATORS[place % 3])


def a_prior_on_the_host(law, kind, dtype):
    """Each law with each kind of thermostat in one of the two types; the laws that differ in the kernel in some."""
    always = (LAWS.index(law) + 2 * KINDS.index(kind) + 4 * (dtype == "float64")) % 8 == 0
    return pytest.param(law, kind, dtype, marks=() if always else pytest.mark.slow)


@pytest.mark.parametrize("law, kind, dtype", [a_prior_on_the_host(*o) for o in PRIORS])
def test_priors_as_the_readable_backend(host, law, kind, dtype):
    assert_as_the_readable_one(lambda: under(law, kind, dtype), steps=2, ulps=10)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("kind", ["friction", "element", "tensor"])
def test_no_friction(host, integrator, kind):
    """alpha' = 0, where (1 - exp(-2 alpha')) / (2 alpha') is 1."""
    def made():
        j = make(kind, integrator=integrator)
        for t in j.tensors:
            t.friction = t.inverse_mass = 0.0
            if t.alpha is not None:
                t.alpha *= 0
        return j

    assert_as_the_readable_one(made)


@pytest.mark.parametrize("cold", [0.003, 0.005])
def test_cold_without_a_preconditioner(host, cold):
    """Part of the noise is not injected, or all of it: noise^2 = .0049."""
    def made():
        j = make("friction")
        for t in j.tensors:
            t.cold = cold
        return j

    assert_as_the_readable_one(made)
    ours, still = made(), make("friction")
    cuda.step(ours)
    for t in still.tensors:
        t.noise = 0.0
    cuda.step(still)
    for a, b in zip(ours.tensors, still.tensors):
        assert (a.weight.asnumpy() == b.weight.asnumpy()).all() == (cold == 0.005)


@pytest.mark.parametrize("kind, integrator", [("none", "euler"), ("element", "aboba"), ("tensor", "badodab"),
                                              ("shared", "badodab")])
def test_half_precision_by_a_master(host, kind, integrator):
    ours, theirs = (make(kind, half=True, integrator=integrator) for _ in range(2))
    cuda.step(ours)
    ndarray.step(theirs)
    for t in ours.tensors:
        np.testing.assert_array_equal(t.half.asnumpy(), t.weight.asnumpy().astype(np.float16))
    ours, theirs = ({n: a for n, a in arrays(j).items() if not n.startswith("half")} for j in (ours, theirs))
    assert_close(ours, theirs, 8)
    assert "step" in launched()


def test_as_the_formulas(host):
    """One step of a shared thermostat in NumPy, written from job.py alone."""
    j = make("shared", [(5, 13)], clip=0.4)
    t = j.tensors[0]
    w, g, v = (x.asnumpy().astype(float) for x in (t.weight, t.grad, t.momentum))
    n = noise.normal(w.size, SEED, t.count, t.ordinal).reshape(w.shape).astype(float)
    alpha = 1.1 * (0.2 + 0.3 * 0.3) + 0.07
    v = t.ratio * (1 - alpha) * v - t.drift * (np.clip(0.5 * g, -0.4, 0.4) + t.prior * w) + t.noise * n
    cuda.step(j)
    np.testing.assert_allclose(t.momentum.asnumpy(), v, atol=3e-7)
    np.testing.assert_allclose(t.weight.asnumpy(), w + v, atol=5e-7)
    np.testing.assert_allclose(j.shared.alpha.asnumpy(), [alpha], rtol=3e-7)
    np.testing.assert_allclose(j.shared.excess.asnumpy(), [t.share * ((v ** 2).sum() - w.size * t.heat)], rtol=3e-6)


def test_badodab_as_the_formulas(host):
    """One step of a shared thermostat of six tensors in NumPy, written from job.py alone."""
    j = make("shared", integrator="badodab", scaled=True)
    start = [[x.asnumpy().astype(float) for x in (t.weight, t.grad, t.momentum, t.scale)] for t in j.tensors]
    alpha, moved = 1.1 * (0.2 + 0.3 * 0.3) + 0.07, []
    for t, (w, g, v, m) in zip(j.tensors, start):
        v = t.ratio * v - t.drift * m * (0.5 * g + t.prior * w)
        moved.append((w + v / 2, v, m))
    alpha += 0.2 / 2 * sum(t.share * ((v ** 2).sum() - v.size * t.heat) for t, (_, v, _) in zip(j.tensors, moved))
    e, f = np.exp(-alpha), np.sqrt((1 - np.exp(-2 * alpha)) / (2 * alpha))
    for i, (t, (w, v, m)) in enumerate(zip(j.tensors, moved)):
        n = noise.normal(w.size, SEED, t.count, t.ordinal).reshape(w.shape).astype(float)
        v = e * v + f * n * np.sqrt(np.maximum(m * t.noise ** 2 - t.cold, 0))
        moved[i] = w + v / 2, v
    alpha += 0.2 / 2 * sum(t.share * ((v ** 2).sum() - v.size * t.heat) for t, (_, v) in zip(j.tensors, moved))
    cuda.step(j)
    for t, (w, v) in zip(j.tensors, moved):
        np.testing.assert_allclose(t.momentum.asnumpy(), v, atol=3e-7)
        np.testing.assert_allclose(t.weight.asnumpy(), w, atol=5e-7)
    np.testing.assert_allclose(j.shared.alpha.asnumpy(), [alpha], rtol=3e-7)
    assert j.shared.excess.asscalar() == 0      # settled, and it keeps no account
    j.shared.excess += 0.3
    j.shared.settle = None
    cuda.step(j)
    assert j.shared.excess.asscalar() == np.float32(0.3)


def test_unsettled_account_grows(host):
    j = make("shared", [(64,)])
    j.shared.settle = None
    cuda.step(j)
    v = j.tensors[0].momentum.asnumpy().astype(float)
    assert j.shared.alpha.asscalar() == np.float32(0.2)
    assert j.shared.excess.asscalar() == pytest.approx(0.3 + 0.002 * ((v ** 2).sum() - 64 * 0.01), rel=1e-6)


@pytest.mark.parametrize("kind", ["element", "shared"])
def test_sizes_around_every_boundary(host, kind):
    sizes = (1, 15, 16, 17, 48, 63, 64, 65, 1023, 1024, 1025, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 70)
    assert_as_the_readable_one(lambda: make(kind, [(n,) for n in sizes]))


@pytest.mark.parametrize("kind, integrator", [(kind, "euler") for kind in KINDS] + [
    ("tensor", "badodab"), ("shared", "badodab")])
def test_bits_do_not_depend_on_the_order_of_threads(host, monkeypatch, kind, integrator):
    def stepped():
        shapes = ((2 * CHUNK + 100,), *SHAPES[1:])
        return run(cuda, make(kind, shapes, estimate=0.3, integrator=integrator), 2)

    forwards = stepped()
    monkeypatch.setattr(Host, "backwards", True)
    assert_same(forwards, stepped())


@pytest.mark.parametrize("kind, integrator", [("element", "euler"), ("tensor", "euler"), ("shared", "euler"),
                                              ("tensor", "badodab"), ("shared", "badodab")])
def test_split_over_launches(host, monkeypatch, kind, integrator):
    """The same bits whether the tensors fit into one launch or not; the shared thermostat moves once, after all."""
    whole = run(cuda, make(kind, integrator=integrator), 2)
    monkeypatch.setattr(Program, "most", 4)
    Module.launches.clear()
    split = run(cuda, make(kind, integrator=integrator), 2)
    parts = 2 if integrator == "badodab" and kind != "element" else 1
    steps = [count for name, count, _ in Module.launches if name == "step"]
    assert len(steps) == 4 * parts and steps[0] > steps[1]
    one_part = {"element": ["step"] * 2, "tensor": ["step", "finish"] * 2, "shared": ["step", "step", "finish"]}[kind]
    assert launched() == one_part * parts * 2
    assert_same(split, whole)


@pytest.mark.parametrize("integrator", ["aboba", "badodab"])
def test_a_shared_thermostat_over_several_programs(host, monkeypatch, integrator):
    """Launches of two programs, two of each, and tensors without momentum among them."""
    monkeypatch.setattr(Program, "most", 2)

    def mixed():
        tensors = [tensor((40 + i, 3), "none" if i % 4 == 2 else "shared", ordinal=i, scaled=i % 2 == 1)
                   for i in range(8)]
        return job(tensors, "shared", integrator=integrator)

    assert_as_the_readable_one(mixed, steps=3, ulps=10)
    once = ["step"] * 4 + ["finish"]
    assert launched() == (once + ["step"] * 3 + ["finish"] if integrator == "badodab" else once) * 3


def test_many_tiny_tensors(host):
    shapes = [(3, 2) if i % 2 else (3,) for i in range(200)]
    assert_as_the_readable_one(lambda: make("shared", shapes), ulps=20)
    assert launched() == ["step", "step", "finish"]


@pytest.mark.parametrize("integrator", ["euler", "badodab"])
def test_different_steps_in_one_job(host, integrator):
    def mixed():
        kinds = ("none", "tensor", "friction", "element", "none")
        tensors = [tensor((40,), kind, estimate=0.3 if i % 2 else None, ordinal=i) for i, kind in enumerate(kinds)]
        tensors.append(tensor((40,), "tensor", "float64", ordinal=7))
        tensors.append(tensor((1,), "element", ordinal=8))      # its thermostat is a tensor's, too
        return job(tensors, "none", integrator=integrator)

    assert_as_the_readable_one(mixed)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("no_noise", [True, False])
def test_a_job_that_only_settles(host, no_noise, integrator):
    """Nothing to move, or only tensors that have no part in the thermostat."""
    for tensors in ([], [tensor((7,), "none")]):
        j = job(tensors, "shared", integrator=integrator)
        if tensors and no_noise:
            tensors[0].noise = 0.0
        cuda.step(j)
        assert j.shared.alpha.asscalar() == pytest.approx(1.1 * (0.2 + 0.3 * 0.3) + 0.07, rel=1e-6)
        assert j.shared.excess.asscalar() == 0


def test_no_noise_is_sgd_with_momentum(host):
    t = tensor((33, 70), "friction")
    t.noise, t.ratio = 0.0, 1.0
    w, v = t.weight.copy(), t.momentum.copy()
    nd.sgd_mom_update(w, t.grad, v, out=w, lr=t.drift, wd=t.prior, momentum=0.9, rescale_grad=0.5)
    cuda.step(job([t], "friction"))
    np.testing.assert_allclose(t.weight.asnumpy(), w.asnumpy(), atol=5e-7)


def test_no_gradient_but_a_bad_one_is_hidden(host):
    """A gradient that is not a number must be seen, with clipping and without."""
    for clip in (None, 0.4):
        j = make("friction", [(5,)], clip=clip)
        j.tensors[0].grad[2] = float("nan")
        cuda.step(j)
        assert np.isnan(j.tensors[0].weight.asnumpy()).tolist() == [False, False, True, False, False]


# ---------------------------------------------------------------- on a GPU

@pytest.mark.skipif(cupy_missing() is not None, reason=str(cupy_missing()))
class TestThroughCuPy:
    """The source on a GPU where MXNet itself has none."""

    @pytest.fixture(autouse=True)
    def through_cupy(self, monkeypatch):
        stand_in(monkeypatch, CuPy)
        yield
        forget_kernels()

    def test_stream(self):
        assert_stream(mx.cpu())

    @pytest.mark.parametrize("kind, estimate, clip, dtype", OPTIONS)
    def test_as_the_readable_backend(self, kind, estimate, clip, dtype):
        assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, estimate, clip), steps=5, ulps=30)

    @pytest.mark.parametrize("integrator, kind, extra, dtype", MORE)
    def test_integrators_and_preconditioners(self, integrator, kind, extra, dtype):
        assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, integrator=integrator, **EXTRAS[extra]), 5, 30)

    @pytest.mark.parametrize("law, kind, dtype", PRIORS)
    def test_priors(self, law, kind, dtype):
        assert_as_the_readable_one(lambda: under(law, kind, dtype), steps=5, ulps=30)

    @pytest.mark.parametrize("integrator", INTEGRATORS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_bits_again(self, kind, integrator):
        shapes = ((1000, 1001), (61, 53))
        assert_same(*(run(cuda, make(kind, shapes, estimate=0.3, integrator=integrator), 3) for _ in range(2)))


@pytest.mark.gpu
class TestThroughMXNet:
    def test_available(self):
        assert cuda.available() is None

    def test_stream(self):
        assert_stream(mx.gpu(0))

    @pytest.mark.parametrize("kind, estimate, clip, dtype", OPTIONS)
    def test_as_the_readable_backend(self, kind, estimate, clip, dtype):
        assert_as_the_readable_one(lambda: make(kind, SHAPES, dtype, estimate, clip, mx.gpu(0)), steps=5, ulps=30)

    @pytest.mark.parametrize("integrator, kind, extra, dtype", MORE)
    def test_integrators_and_preconditioners(self, integrator, kind, extra, dtype):
        def made():
            return make(kind, SHAPES, dtype, ctx=mx.gpu(0), integrator=integrator, **EXTRAS[extra])

        assert_as_the_readable_one(made, steps=5, ulps=30)

    @pytest.mark.parametrize("law, kind, dtype", PRIORS)
    def test_priors(self, law, kind, dtype):
        assert_as_the_readable_one(lambda: under(law, kind, dtype, mx.gpu(0)), steps=5, ulps=30)

    @pytest.mark.parametrize("integrator", INTEGRATORS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_bits_again(self, kind, integrator):
        def stepped():
            shapes = ((1000, 1001), (61, 53))
            return run(cuda, make(kind, shapes, estimate=0.3, ctx=mx.gpu(0), integrator=integrator), 3)

        assert_same(stepped(), stepped())

    @pytest.mark.parametrize("integrator", INTEGRATORS)
    def test_half_precision_by_a_master(self, integrator):
        j = make("shared", half=True, ctx=mx.gpu(0), integrator=integrator)
        cuda.step(j)
        for t in j.tensors:
            np.testing.assert_array_equal(t.half.asnumpy(), t.weight.asnumpy().astype(np.float16))

    @pytest.mark.parametrize("integrator", INTEGRATORS)
    def test_more_tensors_than_a_launch_holds(self, integrator):
        shapes = [(3, 2) if i % 2 else (3,) for i in range(200)]
        assert_as_the_readable_one(lambda: make("shared", shapes, ctx=mx.gpu(0), integrator=integrator), ulps=20)

    def test_tied_weights_do_not_hang(self):
        a, b = (tensor((30, 5), "tensor", ordinal=i, ctx=mx.gpu(0)) for i in (0, 1))
        b.weight = a.weight
        cuda.step(job([a, b], "tensor"))
        assert np.isfinite(a.weight.asnumpy()).all()

    def test_order_with_other_operators(self):
        t = tensor((300, 300), "none", ctx=mx.gpu(0))
        t.drift = t.prior = 0.0
        expected = t.weight.asnumpy().astype(float)
        for step in range(30):
            t.count = step
            cuda.step(job([t], "none"))
            nd.elemwise_add(t.weight, t.weight, out=t.weight)
            expected = 2 * (expected + 0.07 * noise.normal(90_000, SEED, step, 0).reshape(300, 300).astype(float))
        np.testing.assert_allclose(t.weight.asnumpy(), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
