"""Schedules, clipping, seeds and registration, along the roads of Gluon."""
import logging
import warnings

import mxnet as mx
import numpy as np
import pytest
from gluon_roads import ROADS, child, own
from roads import (
    BATCH,
    FEW,
    LR,
    SAMPLERS,
    TWO,
    N,
    Reference,
    assert_same,
    backward,
    network,
    ordered,
    plain,
    run,
    run_beside,
    trainer,
    weights,
)

# ---------------------------------------------------------------- schedules

SCHEDULES = {
    "factor": lambda **kw: mx.lr_scheduler.FactorScheduler(step=2, factor=0.5, **kw),
    "multi-factor": lambda **kw: mx.lr_scheduler.MultiFactorScheduler(step=[1, 3], factor=0.3, **kw),
    "poly": lambda **kw: mx.lr_scheduler.PolyScheduler(max_update=8, pwr=2, final_lr=0.001, **kw),
    "cosine": lambda **kw: mx.lr_scheduler.CosineScheduler(max_update=4, **kw),        # ends at step size 0
    "warm-up": lambda **kw: mx.lr_scheduler.CosineScheduler(max_update=8, warmup_steps=3, warmup_begin_lr=0.0, **kw),
    "warm-up-constant": lambda **kw: mx.lr_scheduler.FactorScheduler(
        step=2, factor=0.5, warmup_steps=2, warmup_begin_lr=0.002, warmup_mode="constant", **kw),
}


@pytest.mark.parametrize("given", [False, True], ids=["base_lr", "learning_rate"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", FEW)
def test_schedules(sampler, schedule, given):
    """Step size as MXNet's schedule says from the first step; momentum, friction and thermostat follow its root."""
    expected = SCHEDULES[schedule](base_lr=LR)
    lrs = [expected(k + 1) for k in range(6)]
    scheduler = SCHEDULES[schedule]() if given else SCHEDULES[schedule](base_lr=LR)
    net = network()
    tr = trainer(net, sampler, {"lr_scheduler": scheduler, "learning_rate": LR if given else None})
    reference = Reference(sampler, ordered(net))
    for k, lr in enumerate(lrs):
        run_beside(reference, net, tr, [k], lr=lr)
        assert tr.learning_rate == pytest.approx(lr, rel=1e-12)
    if sampler == "sgnht-global":
        assert tr.optimizer.thermostat.asscalar() == pytest.approx(reference.alpha, rel=1e-5)


def test_no_schedule_and_no_learning_rate_is_the_default(capfd):
    assert mx.optimizer.create("sgld", num_data=N).learning_rate == 0.01
    own = mx.lr_scheduler.FactorScheduler(step=2, base_lr=0.3)
    assert mx.optimizer.create("sgld", num_data=N, lr_scheduler=own).learning_rate == 0.3
    mx.optimizer.create("sgld", num_data=N, lr_scheduler=own, learning_rate=0.2)
    assert capfd.readouterr().out == ""         # MXNet would print about the overwritten step size


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_schedule_that_was_used_before_keeps_its_base(schedule):
    used = SCHEDULES[schedule](base_lr=LR)
    for k in range(9):
        used(k)
    net = network()
    run(net, trainer(net, "sgnht-global", {"lr_scheduler": used, "learning_rate": None}))
    fresh = network()
    run(fresh, trainer(fresh, "sgnht-global",
                       {"lr_scheduler": SCHEDULES[schedule](base_lr=LR), "learning_rate": None}))
    assert_same(weights(net), weights(fresh))


@pytest.mark.parametrize("sampler", SAMPLERS)
@ROADS
def test_set_learning_rate(sampler, contexts, on_kvstore):
    net = network(contexts)
    tr, reference = trainer(net, sampler, update_on_kvstore=on_kvstore), Reference(sampler, ordered(net))
    for k, lr in enumerate([0.05, 0.02, 0.08, 0.08, 0.01]):
        tr.set_learning_rate(lr)
        run_beside(reference, net, tr, [k], contexts, lr)


@pytest.mark.parametrize("sampler, message", [
    ("sghmc", "learning_rate 10 at step 2 makes friction 1.41421, above 1.*smaller friction or a lower schedule"),
    ("sgnht-global", "learning_rate 10 at step 2 makes friction 1.41421")])
def test_step_size_that_the_friction_cannot_follow(sampler, message):
    net = network()
    tr = trainer(net, sampler)
    run(net, tr, [0])
    tr.set_learning_rate(10.0)
    with pytest.raises(ValueError, match=message):
        run(net, tr, [1])


# ---------------------------------------------------------------- clipping, seeds, registry

@pytest.mark.parametrize("sampler", SAMPLERS)
def test_clip_gradient_clips_the_mean_gradient_before_the_prior(sampler):
    net = network()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tr = trainer(net, sampler, {"clip_gradient": 0.2, "wd": 50.0})
        backward(net, 0)
        assert max(abs(p.grad().asnumpy()).max() for p in ordered(net)) > 0.2 * BATCH
        run_beside(Reference(sampler, ordered(net), precisions=[50.0] * 4, clip=0.2), net, tr)
    message, = own(caught)
    assert "clip_gradient=0.2" in message and "no longer samples the posterior exactly" in message


def test_seed_from_mxnets_generator_is_repeatable():
    results = []
    for s in (0, 0, 1):
        mx.random.seed(s)
        net = network()
        mx.random.seed(s)
        tr = trainer(net, "sgnht-global", {"seed": None})
        run(net, tr)
        results.append((tr.optimizer.seed, weights(net)))
    assert results[0][0] == results[1][0] != results[2][0]
    assert_same(results[0][1], results[1][1])
    assert (results[0][1][0] != results[2][1][0]).all()


def test_given_seed_leaves_mxnets_generator_alone():
    mx.random.seed(3)
    expected = mx.nd.random.normal(shape=(4,)).asnumpy()
    mx.random.seed(3)
    net = network()         # fixed weights; its initialisation draws, so the generator is seeded again
    mx.random.seed(3)
    run(net, trainer(net, "sgnht-element"))
    np.testing.assert_array_equal(mx.nd.random.normal(shape=(4,)).asnumpy(), expected)
    assert_same(weights(net), plain("sgnht-element"))


def test_registering_is_silent_and_leaves_the_old_class_in_place():
    done = child("""
        import warnings
        warnings.simplefilter('error', UserWarning)
        import mxnet as mx
        old = mx.optimizer.SGLD
        import sgmcmc_mx
        from mxnet.optimizer import Optimizer
        assert mx.optimizer.SGLD is old and old is not sgmcmc_mx.SGLD
        for name in ('SGLD', 'SGHMC', 'SGNHT'):
            assert Optimizer.opt_registry[name.lower()] is getattr(sgmcmc_mx, name)
            assert type(mx.optimizer.create(name, num_data=1)) is getattr(sgmcmc_mx, name)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_run_logs_and_prints_nothing(capfd, caplog):
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        net = network(TWO)
        run(net, trainer(net, "sgnht-global"), contexts=TWO)
        mx.nd.waitall()
    out, err = capfd.readouterr()
    assert (out, err, caplog.records) == ("", "", [])
