"""Arrays that the CUDA step meets: named twice, views, empty, without a kernel; and where there is no GPU."""

import mxnet as mx
import numpy as np
import pytest
from cuda_jobs import assert_same, make
from cuda_stand_in import Host, Module
from mxnet import nd
from steps import ARRAYS, assert_close, job, run, tensor

from sgmcmc_mx.kernels import cuda, cuda_rtc, ndarray

# ---------------------------------------------------------------- memory

@pytest.mark.parametrize("same, integrator", [("weight", "euler"), ("momentum", "euler"), ("alpha", "euler"),
                                              ("grad", "euler"), ("weight", "badodab")])
def test_an_array_named_twice(host, same, integrator):
    """Tied weights must not hang; the tensors follow each other, as with operators."""
    def tied():
        a, b = (tensor((30, 5), "tensor", ordinal=i) for i in (0, 1))
        setattr(b, same, getattr(a, same))
        return job([a, b], "tensor", integrator=integrator)

    def step_only(backend):
        j = tied()
        backend.step(j)
        return {f"{name} {i}": getattr(t, name).asnumpy() for i, t in enumerate(j.tensors)
                for name in ("weight", "momentum", "alpha")}

    assert_close(step_only(cuda), step_only(ndarray), 20)
    assert [blocks for name, _, blocks in Module.launches if name == "step"] == [1, 1] * (1 + (integrator == "badodab"))


def test_views_of_one_array_and_what_lies_beside_them(host):
    results = []
    for backend in (cuda, ndarray):
        flat, momenta = (nd.array(np.random.RandomState(i).randn(300) * 0.1) for i in (1, 2))
        before = flat.asnumpy()
        tensors = []
        for i, (a, b) in enumerate(((3, 7), (7, 130), (131, 290))):
            t = tensor((b - a,), "tensor", ordinal=i)
            t.weight, t.momentum = flat[a:b], momenta[a:b]
            tensors.append(t)
        results.append(run(backend, job(tensors, "tensor"), 3))
        untouched = np.r_[0:3, 130, 290:300]
        np.testing.assert_array_equal(flat.asnumpy()[untouched], before[untouched])
    assert_close(*results, 20)


def test_gradient_that_lies_in_the_weight_or_the_state(host):
    for name in ("weight", "momentum"):
        def own(name=name):
            t = tensor((33, 7), "friction")
            t.grad = getattr(t, name)
            return job([t], "friction")

        ours, theirs = own(), own()
        cuda.step(ours)
        ndarray.step(theirs)
        for a, b in zip(ours.tensors, theirs.tensors):
            if name == "weight":
                np.testing.assert_allclose(a.weight.asnumpy(), b.weight.asnumpy(), atol=1e-6)
        assert np.isfinite(ours.tensors[0].weight.asnumpy()).all()


def some_without_a_kernel(integrator):
    """The state of one tensor lies in one array with its weight."""
    j = make("shared", [(40,), (50,)], integrator=integrator)
    t, flat = j.tensors[0], nd.ones((80,))
    t.weight, t.momentum = flat[:40], flat[40:]
    return j


@pytest.mark.parametrize("integrator", ["euler", "aboba"])
def test_what_has_no_kernel_takes_the_readable_road(host, integrator):
    """That, and float16; the shared account stays one."""
    ours, theirs = some_without_a_kernel(integrator), some_without_a_kernel(integrator)
    assert_close(run(cuda, ours, 2), run(ndarray, theirs, 2), 8)
    assert [count for _, count, _ in Module.launches] == [7, 4] * 2
    t = tensor((40,), "friction", "float16")
    before = t.weight.asnumpy()
    cuda.step(job([t], "friction", integrator=integrator))
    assert len(Module.launches) == 4 and (t.weight.asnumpy() != before).any()


def test_a_thermostat_in_the_middle_is_not_torn(host):
    """One of the tensors has no kernel: all of them go by operators."""
    ours, theirs = some_without_a_kernel("badodab"), some_without_a_kernel("badodab")
    assert_same(run(cuda, ours, 2), run(ndarray, theirs, 2))
    assert not Module.launches


def test_empty_tensors(host):
    with mx.util.np_shape(True):
        empty, other = tensor((0, 3), "tensor"), tensor((5,), "tensor", ordinal=1)
        before = other.weight.asnumpy()
        cuda.step(job([empty, other, tensor((0,), "none")], "tensor"))
        assert empty.alpha.asscalar() == np.float32(0.2)
        assert (other.weight.asnumpy() != before).all()
        cuda.step(job([empty], "none"))
        cuda.step(job([], "none"))


@pytest.mark.parametrize("name", ARRAYS[1:])
def test_wrong_sizes_are_refused(host, name):
    t = tensor((40,), "element", estimate=0.3, scaled=True)
    setattr(t, name, nd.zeros((39,)))
    with pytest.raises(ValueError, match=f"{name} has 39"):
        cuda.step(job([t], "element"))


def test_arrays_of_numpy_kind(host):
    """Parameters are mx.np.ndarray after mx.npx.set_np()."""
    def of_numpy_kind():
        j = make("element", [(5, 7), (9,)])
        for t in j.tensors:
            for name in ("weight", "grad", "momentum", "alpha"):
                setattr(t, name, getattr(t, name).as_np_ndarray())
        return j

    j = of_numpy_kind()
    cuda.step(j)
    assert len(Module.launches) == 1
    expected = make("element", [(5, 7), (9,)])
    ndarray.step(expected)
    for a, b in zip(j.tensors, expected.tensors):
        np.testing.assert_allclose(a.weight.asnumpy(), b.weight.asnumpy(), atol=1e-6)


# ---------------------------------------------------------------- where it cannot be used

@pytest.mark.skipif(mx.runtime.Features().is_enabled("CUDA"), reason="this MXNet has CUDA")
def test_without_cuda_steps_take_the_readable_road(monkeypatch, caplog):
    cuda._say_once.cache_clear()
    assert "without CUDA" in cuda.available()
    with caplog.at_level("INFO", logger="sgmcmc_mx"):
        ours, theirs = run(cuda, make("shared"), 2), run(ndarray, make("shared"), 2)
    assert_same(ours, theirs)
    assert len([r for r in caplog.records if "without CUDA" in r.message]) == 1


def as_if_there_were_a_gpu(monkeypatch, module, gpus=1):
    monkeypatch.setattr(cuda.runtime.Features, "is_enabled", lambda self, name: True)
    monkeypatch.setattr(cuda.context, "num_gpus", lambda: gpus)
    monkeypatch.setattr(cuda.context, "gpu", lambda i: mx.cpu())
    monkeypatch.setattr(cuda_rtc, "_compile", module)
    return cuda.available.__wrapped__()


def test_what_is_in_the_way(host, monkeypatch):
    class Wrong(Host):
        def run(self, *args):
            pass

    def fails(source):
        raise mx.base.MXNetError("NVRTC_ERROR_BUILTIN_OPERATION_FAILURE\nmore")

    monkeypatch.undo()      # the fixture's available()
    assert as_if_there_were_a_gpu(monkeypatch, Host) is None
    assert as_if_there_were_a_gpu(monkeypatch, Host, gpus=0) == "there is no GPU"
    for module, reason in ((Wrong, "wrong numbers"), (fails, "at run time: NVRTC_ERROR_BUILTIN_OPERATION_FAILURE")):
        cuda_rtc._stream_kernel.cache_clear()
        assert as_if_there_were_a_gpu(monkeypatch, module).endswith(reason)
