"""Jobs for the CUDA step, run on the host in its place."""
import itertools

import numpy as np
from cuda_stand_in import Module
from steps import SEED, assert_close, job, run, tensor

from sgmcmc_mx.kernels import cuda, cuda_rtc, ndarray
from sgmcmc_mx.kernels.cuda_source import KINDS, Program, form_of
from sgmcmc_mx.kernels.job import INTEGRATORS

SHAPES = ((7,), (64,), (1,), (5, 13), (33, 130), (8, 3, 3, 3))
STREAMS = ((0, 0, 0), (SEED, 2 ** 40 + 5, 2 ** 31 + 7), (2 ** 64 - 1, 2 ** 56 - 1, 2 ** 32 - 1))
EXTRAS = {"plain": {}, "estimate": {"estimate": 0.3}, "scaled": {"scaled": True},
          "both": {"estimate": 0.3, "scaled": True}}


def programs():
    """Every program that a job can ask for."""
    for real, kind, estimate, scaled in itertools.product(("float", "double"), KINDS, (False, True), (False, True)):
        for form in dict.fromkeys(form_of(kind, integrator) for integrator in INTEGRATORS):
            first = Program(real, kind, estimate, scaled, form)
            yield from filter(None, (first, first.second))
    for real, kind, centred, units in itertools.product(("float", "double"), KINDS, (False, True), (False, True)):
        yield Program(real, kind, False, False, form_of(kind, "euler"), True, centred, units)
    yield Program("float", "shared", True, True, "kick", True, True, True)


PROGRAMS = list(programs())


def forget_kernels():
    for cache in (cuda_rtc.kernels, cuda_rtc._stream_kernel):
        cache.cache_clear()


def stand_in(monkeypatch, module):
    monkeypatch.setattr(cuda_rtc, "_compile", module)
    monkeypatch.setattr(cuda, "available", lambda: None)
    monkeypatch.setattr(Module, "launches", [])
    forget_kernels()


def make(kind, shapes=SHAPES, dtype="float32", estimate=None, clip=None, ctx=None, integrator="euler", **more):
    tensors = [tensor(s, kind, dtype, estimate, i, ctx=ctx, **more) for i, s in enumerate(shapes)]
    return job(tensors, kind, clip, integrator=integrator)


def launched():
    return [name for name, _, _ in Module.launches]


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def assert_as_the_readable_one(make_job, steps=1, ulps=8):
    assert_close(run(cuda, make_job(), steps), run(ndarray, make_job(), steps), ulps)
