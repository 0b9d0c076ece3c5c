"""Each sampler's step, exactly: against the float64 transcription of its equations, for every option and schedule."""
import copy
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

from sgmcmc_mx.samplers.sgnht import default_thermal_mass

from .transcription import Transcription

SHAPES = [(7,), (3, 5), (1,), (2, 3, 4), (130,)]
N, BATCH, STEPS, BASE = 50, 4, 14, 0.05
WD, WD_MULT, LR_MULT = 20.0, {0: 3.0, 2: 0.0}, {1: 0.25, 4: 1.5}


class Switching(mx.lr_scheduler.LRScheduler):
    """Up and down by factors, and now and then no step at all."""
    FACTORS = (1.0, 1.0, 0.25, 0.25, 0.0, 0.5, 2.0, 2.0, 0.0, 0.0, 1.0, 0.1, 0.1, 1.0)

    def __init__(self, start=1, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def __call__(self, t):
        return self.base_lr * self.FACTORS[(t + self.start - 2) % len(self.FACTORS)]


SCHEDULES = {
    "constant": None,
    "switching": Switching,
    "factor": lambda **kw: mx.lr_scheduler.FactorScheduler(step=3, factor=0.5, **kw),
    "cosine": lambda **kw: mx.lr_scheduler.CosineScheduler(max_update=12, final_lr=0.001, **kw),
    "late": lambda **kw: Switching(start=5, **kw),
    "warm-up": lambda **kw: mx.lr_scheduler.PolyScheduler(max_update=STEPS, warmup_steps=4, warmup_begin_lr=0, **kw),
}

OPTIONS = [
    ("sgld", {}),
    ("sgld", {"temperature": 0.3}),
    ("sgld", {"temperature": 0.0}),
    ("sgld", {"clip_gradient": 0.1}),
    ("sghmc", {}),
    ("sghmc", {"friction": 0.02, "temperature": 2.0}),
    ("sghmc", {"momentum": 0.7}),
    ("sghmc", {"gradient_noise": 40.0}),
    ("sghmc", {"gradient_noise": "estimate"}),
    ("sghmc", {"gradient_noise": "estimate", "clip_gradient": 0.1, "temperature": 3.0}),
    ("sghmc", {"resample_momentum": 3, "temperature": 0.5}),
    ("sghmc", {"resample_momentum": 1}),
    ("sghmc", {"temperature": 0.0, "clip_gradient": 0.1}),
] + [("sgnht", {"thermostat": group, **more}) for group in ("global", "tensor", "element") for more in (
    {}, {"thermal_mass": 0.2}, {"friction": 0.03, "temperature": 0.2, "gradient_noise": 30.0},
    {"clip_gradient": 0.1, "temperature": 3.0})]
OPTIONS += [(name, {"integrator": integrator, **more}) for integrator in ("aboba", "badodab") for name, more in (
    ("sghmc", {}), ("sghmc", {"friction": 0.6, "temperature": 2.0}), ("sghmc", {"gradient_noise": 40.0}),
    ("sghmc", {"gradient_noise": "estimate"}), ("sghmc", {"resample_momentum": 3}), ("sgnht", {}),
    ("sgnht", {"thermostat": "tensor"}), ("sgnht", {"thermostat": "element", "thermal_mass": 0.2}),
    ("sgnht", {"friction": 0.03, "temperature": 0.2, "gradient_noise": 30.0}))]


def _id(case):
    return "-".join(f"{k}={v}" for k, v in case.items()) if isinstance(case, dict) else None


def _build(name, options, schedule):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # of clip_gradient: that it changes the law
        optimizer = mx.optimizer.create(name, learning_rate=BASE, lr_scheduler=schedule, num_data=N, wd=WD,
                                        seed=2 ** 40, rescale_grad=1.0 / BATCH, **options)
    optimizer.set_lr_mult(LR_MULT)
    optimizer.set_wd_mult(WD_MULT)
    return optimizer, mx.optimizer.get_updater(optimizer)


def _transcribe(name, options, weights):
    options = dict(options)
    renamed = {"T": options.pop("temperature", 1.0), "clip": options.pop("clip_gradient", None)}
    if "momentum" in options:
        options["friction"] = 1.0 - options.pop("momentum")
    return Transcription(name, weights, N, BASE, precision=[WD * WD_MULT.get(i, 1.0) for i in range(len(SHAPES))],
                         lr_mult=[LR_MULT.get(i, 1.0) for i in range(len(SHAPES))], seed=2 ** 40, **renamed, **options)


def _close(ours, exact, what):
    """Equal to float32 rounding: a few ulp of the largest entry for each of the steps."""
    ours = ours.asnumpy().astype(float)
    assert np.abs(ours - exact).max() <= 1e-5 * max(np.abs(exact).max(), 1e-30), what


SCHEDULED = (("sgld", {}), ("sghmc", {"gradient_noise": "estimate"}), ("sghmc", {"resample_momentum": 3}),
             ("sgnht", {"thermostat": "global"}), ("sgnht", {"thermostat": "tensor"}),
             ("sgnht", {"thermostat": "element"}), ("sgnht", {"integrator": "badodab"}),
             ("sgnht", {"thermostat": "tensor", "integrator": "badodab"}))
OTHERS = [schedule for schedule in SCHEDULES if schedule != "switching"]
CASES = [(backend, name, options, "switching") for backend in ("native", "ndarray") for name, options in OPTIONS]
CASES += [("native", name, options, schedule) for name, options in SCHEDULED for schedule in OTHERS]
# A schedule is no matter of the backend: of the readable one each sampler and each schedule, by default not each pair.
CASES += [pytest.param("ndarray", name, options, schedule, marks=() if j == i % len(OTHERS) else pytest.mark.slow)
          for i, (name, options) in enumerate(SCHEDULED) for j, schedule in enumerate(OTHERS)]


@pytest.mark.parametrize("each_backend, name, options, schedule", CASES, ids=_id, indirect=["each_backend"])
def test_step_by_step(each_backend, name, options, schedule):
    make = SCHEDULES[schedule]
    rng = np.random.RandomState(11)
    start = [rng.normal(0, 1, s).astype(np.float32) for s in SHAPES]
    optimizer, updater = _build(name, options, None if make is None else make(base_lr=BASE))
    rates = copy.deepcopy(optimizer.lr_scheduler)
    exact, weights = _transcribe(name, options, start), [nd.array(w) for w in start]
    same = [nd.zeros(s) for s in SHAPES]    # as Gluon hands over the same arrays at every step
    for t in range(1, STEPS + 1):
        lr = BASE if rates is None else rates(t)
        sums = [rng.normal(0.1, 0.5, s).astype(np.float32) for s in SHAPES]
        here = [i for i in range(len(SHAPES)) if not (i == 3 and t in (5, 6, 7))]   # tensor 3 is left out of some steps
        # The thermostat of 'badodab' that all share needs all of them at once.
        if t % 2 or (options.get("integrator") == "badodab" and options.get("thermostat", "global") == "global"):
            for i in here:
                same[i]._sync_copyfrom(sums[i])
            updater(here, [same[i] for i in here], [weights[i] for i in here])
        else:                                                                       # a call a tensor, as a kvstore does
            optimizer.rescale_grad = 1.0 / BATCH        # what announces a step
            for i in here:
                updater(i, nd.array(sums[i]), weights[i])
        exact.step(lr, [sums[i].astype(float) / BATCH if i in here else None for i in range(len(SHAPES))])
        for i in range(len(SHAPES)):
            _close(weights[i], exact.w[i], f"weight {i} after step {t}")
    _compare_states(optimizer, updater, exact)


def _compare_states(optimizer, updater, exact):
    if exact.kind == "sgld":
        return
    moved = [i for i, eta in enumerate(exact.eta) if eta is not None]
    for i in moved:
        state = updater.states[i]
        _close(state[0] if isinstance(state, list) else state, exact.v[i], f"momentum {i}")
        if exact.V == "estimate" and exact.differences[i]:
            _close(state[2] * N ** 2, np.mean(exact.differences[i], axis=0), f"variance {i}")
    kinetic = sum((exact.v[i] ** 2).sum() / exact.eta[i] for i in moved) / sum(exact.w[i].size for i in moved)
    assert optimizer.kinetic_temperature.asscalar() == pytest.approx(kinetic, rel=1e-5, abs=1e-12)
    if exact.kind == "sgnht":
        found = optimizer.thermostat
        if exact.groups == "global":
            _close(found, exact.alpha, "alpha")
        else:
            for i in moved:
                _close(found[str(i)], exact.alpha[i], f"alpha {i}")


@pytest.mark.parametrize("name", ["sgld", "sghmc", "sgnht"])
def test_no_step_at_step_size_zero(each_backend, name):
    """Weights, momentum and thermostat stand still."""
    optimizer, updater = _build(name, {}, Switching(base_lr=BASE))
    w, g = nd.ones((5, 6)), nd.ones((5, 6))
    for t in range(1, STEPS + 1):
        before = _arrays(optimizer, updater, w)
        updater(0, g, w)
        after = _arrays(optimizer, updater, w)
        still = [np.array_equal(x, y) for x, y in zip(before, after)]
        assert all(still) == any(still) == (t in (5, 9, 10))


def _arrays(optimizer, updater, w):
    state = updater.states.get(0)
    if state is None:
        return [w.asnumpy()]
    if optimizer.__class__.__name__ == "SGNHT":
        return [w.asnumpy(), state[0].asnumpy(), optimizer.thermostat.asnumpy()]
    return [w.asnumpy(), state.asnumpy()]


def test_the_order_of_tensors_and_calls_is_nothing(each_backend):
    """One call with all tensors, or a call a tensor in any order: the same bits, the shared thermostat included."""
    def run(order, one_call):
        optimizer, updater = _build("sgnht", {}, Switching(base_lr=BASE))
        rng = np.random.RandomState(3)
        weights = [nd.array(rng.normal(0, 1, s)) for s in SHAPES]
        for i in range(len(SHAPES)):
            updater.states[i] = optimizer.create_state_multi_precision(i, weights[i])
            updater.states_synced[i] = True
        for _ in range(STEPS):
            grads = [nd.array(rng.normal(0, 4, s)) for s in SHAPES]
            optimizer.rescale_grad = 1.0 / BATCH
            if one_call:
                updater(order, [grads[i] for i in order], [weights[i] for i in order])
            else:
                for i in order:
                    updater(i, grads[i], weights[i])
        return [w.asnumpy() for w in weights]

    ways = [run([0, 1, 2, 3, 4], True), run([0, 1, 2, 3, 4], False)]
    assert all(np.array_equal(x, y) for x, y in zip(*ways))
    shuffled = run([3, 0, 4, 2, 1], False)      # the sum in the account has another order of rounding
    assert all(np.allclose(x, y, rtol=1e-5, atol=1e-6) for x, y in zip(ways[0], shuffled))


def test_default_thermal_mass():
    for eta, a, T, d in ((1e-6, 0.1, 1.0, 100), (1e-3, 0.01, 0.3, 1), (0.01, 0.2, 5.0, 10 ** 6)):
        assert default_thermal_mass(eta, a, T, d) == pytest.approx(eta * T * max(100 / a, 9 / (d * a * a)))
