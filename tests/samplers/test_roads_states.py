"""States that are saved and loaded, and steps that AMP skips or a kvstore fails."""
import pickle

import forks
import mxnet as mx
import pytest
from gluon_roads import ROADS, THERMOSTATS, half, half_backward
from mxnet import gluon
from roads import (
    BATCH,
    FEW,
    LR,
    ONE,
    SAMPLERS,
    SEED,
    TWO,
    assert_close,
    assert_replicas,
    assert_same,
    network,
    options,
    plain,
    run,
    trainer,
    weights,
)

# ---------------------------------------------------------------- AMP

AMP = """
import mxnet as mx
from mxnet import autograd
from mxnet.contrib import amp
amp.init(target_precision_ops=["Convolution"])      # MXNet's dense layer has no float16 on a CPU
from roads import *

def scaled(net, tr, k, contexts, huge=False):
    losses = []
    with autograd.record():
        for x, y, c in zip(np.split(X[k], len(contexts)), np.split(Y[k], len(contexts)), contexts):
            loss = mx.nd.square(net(mx.nd.array(x, ctx=c)) - mx.nd.array(y, ctx=c)).sum(axis=1)
            losses.append(loss * 1e30 if huge else loss)
        with amp.scale_loss(losses, tr) as scaled_losses:
            losses = [loss * 1e30 for loss in scaled_losses] if huge else list(scaled_losses)
    autograd.backward(losses)

def account(tr):
    o = tr.optimizer
    thermostat, heat = getattr(o, "thermostat", None), getattr(o, "kinetic_temperature", None)
    arrays = [heat, *(thermostat.values() if isinstance(thermostat, dict) else [thermostat])]
    return o.num_update, dict(o._index_update_count), [a.asnumpy() for a in arrays if a is not None]

skipped = (0, 2, 3)
for sampler in SAMPLERS:
    for contexts in (ONE, TWO):
        net = network(contexts)
        tr, reference = trainer(net, sampler, update_on_kvstore=False), Reference(sampler, ordered(net))
        amp.init_trainer(tr)
        for k in range(6):
            scaled(net, tr, k, contexts, huge=k in skipped)
            before, told = weights(net, ONE[0]), account(tr)
            if k not in skipped:
                reference.follow(ordered(net), scale=BATCH * tr._amp_loss_scaler.loss_scale)
            tr.step(BATCH)
            if k in skipped:
                assert_same(weights(net, ONE[0]), before)
                n, counts, arrays = account(tr)
                assert (n, counts) == told[:2] and n == reference.count[0]
                assert_same(arrays, told[2])
            assert_close(weights(net, ONE[0]), reference.w)
            assert_replicas(net, contexts)
        assert tr.optimizer.num_update == 3

for on_kvstore in (True, None):
    net = network(TWO)
    tr = trainer(net, "sgld", update_on_kvstore=on_kvstore)
    amp.init_trainer(tr)
    before = weights(net, ONE[0])
    scaled(net, tr, 0, TWO)
    try:
        tr.step(BATCH)
    except ValueError as e:
        assert "AMP" in str(e) and "update_on_kvstore=False" in str(e), e
    else:
        raise AssertionError("AMP on a kvstore was not refused")
    assert_same(weights(net, ONE[0]), before)
print("done")
"""


def test_amp_step_that_is_skipped_is_no_step():
    """AMP changes MXNet's functions for a whole process, so it has one of its own."""
    done = forks.run(AMP)
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stdout + done.stderr


# ---------------------------------------------------------------- saving

def _save(net, tr, tmp_path):
    tr.save_states(str(tmp_path / "states"))
    net.save_parameters(str(tmp_path / "weights"))


def _restore(tmp_path, sampler, contexts, more=None, **kwargs):
    net = network(contexts)
    net.load_parameters(str(tmp_path / "weights"), ctx=list(contexts))
    # Another step size and seed: those of the file come back.
    tr = trainer(net, sampler, {"learning_rate": 0.01, "seed": 99, **(more or {})}, **kwargs)
    tr.load_states(str(tmp_path / "states"))
    return net, tr


def _schedule():
    return mx.lr_scheduler.PolyScheduler(max_update=20, base_lr=0.05, pwr=1)


PLACES = {"one": (ONE, {}), "second": ((mx.cpu(1),), {}), "two-on-kvstore": (TWO, {"update_on_kvstore": True}),
          "two-off-kvstore": (TWO, {"update_on_kvstore": False})}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_saved_states_continue_bit_for_bit(sampler, place, tmp_path):
    contexts, kwargs = PLACES[place]
    more = {"lr_scheduler": _schedule(), "learning_rate": None}
    net = network(contexts)
    tr = trainer(net, sampler, more, **kwargs)
    run(net, tr, range(3), contexts)
    _save(net, tr, tmp_path)
    again, loaded = _restore(tmp_path, sampler, contexts, **kwargs)
    if sampler == "sgnht-global":
        assert_same([loaded.optimizer.thermostat.asnumpy()], [tr.optimizer.thermostat.asnumpy()])
    for k in range(3, 7):
        run(net, tr, [k], contexts)
        run(again, loaded, [k], contexts)
        assert_same(weights(again, contexts[0]), weights(net, contexts[0]))
        assert_replicas(again, contexts)
        if sampler != "sgld":
            assert_same([loaded.optimizer.kinetic_temperature.asnumpy()], [tr.optimizer.kinetic_temperature.asnumpy()])
        if sampler == "sgnht-global":
            assert_same([loaded.optimizer.thermostat.asnumpy()], [tr.optimizer.thermostat.asnumpy()])
    assert loaded.optimizer.seed == SEED


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sampler", FEW)
def test_states_saved_again_before_a_step(sampler, place, tmp_path):
    contexts, kwargs = PLACES[place]
    net = network(contexts)
    tr = trainer(net, sampler, **kwargs)
    run(net, tr, range(3), contexts)
    _save(net, tr, tmp_path)
    _save(*_restore(tmp_path, sampler, contexts, **kwargs), tmp_path)
    again, loaded = _restore(tmp_path, sampler, contexts, **kwargs)
    for n, t in ((net, tr), (again, loaded)):
        run(n, t, range(3, 5), contexts)
    assert_same(weights(again, contexts[0]), weights(net, contexts[0]))
    assert_replicas(again, contexts)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sampler", ["sgld", "sghmc", "sghmc-estimate", *THERMOSTATS])
def test_a_run_goes_on_with_other_contexts(sampler, place, tmp_path):
    more = {"lr_scheduler": _schedule(), "learning_rate": None}
    net = network()
    tr = trainer(net, sampler, more)
    run(net, tr, range(3))
    _save(net, tr, tmp_path)
    contexts, kwargs = PLACES[place]
    again, loaded = _restore(tmp_path, sampler, contexts, **kwargs)
    run(net, tr, range(3, 6))
    run(again, loaded, range(3, 6), contexts)
    assert_replicas(again, contexts)
    assert_close(weights(again, contexts[0]), weights(net))


@pytest.mark.parametrize("sampler", THERMOSTATS)
@pytest.mark.parametrize("place", PLACES)
def test_states_loaded_back_into_the_same_trainer(sampler, place, tmp_path):
    """Back to a saved point, also where the first step after it leaves parameters out."""
    contexts, kwargs = PLACES[place]
    net = network(contexts)
    tr = trainer(net, sampler, **kwargs)
    run(net, tr, range(3), contexts)
    _save(net, tr, tmp_path)
    results = []
    for _ in range(2):
        run(net, tr, range(3, 5), contexts)
        net.collect_params()["net_dense0_bias"].grad_req = "null"
        run(net, tr, range(5, 6), contexts)
        net.collect_params()["net_dense0_bias"].grad_req = "write"
        run(net, tr, range(6, 8), contexts)
        results.append(weights(net, contexts[0]))
        net.load_parameters(str(tmp_path / "weights"), ctx=list(contexts))
        tr.load_states(str(tmp_path / "states"))
        net.collect_params()["net_dense0_bias"].grad_req = "null"
        run(net, tr, range(3, 4), contexts)
        net.collect_params()["net_dense0_bias"].grad_req = "write"
        run(net, tr, range(4, 6), contexts)
        results.append(weights(net, contexts[0]))
        net.load_parameters(str(tmp_path / "weights"), ctx=list(contexts))
        tr.load_states(str(tmp_path / "states"))
    assert_same(results[0], results[2])
    assert_same(results[1], results[3])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_sampler_draws_what_the_original_draws(sampler, protocol):
    name, params = options(sampler)
    original = mx.optimizer.create(name, **params)
    copied = pickle.loads(pickle.dumps(original, protocol))
    net = network()
    run(net, gluon.Trainer(net.collect_params(), copied))
    assert_same(weights(net), plain(sampler))


@ROADS
def test_half_precision_states_continue(contexts, on_kvstore, tmp_path):
    def made():
        net = half(contexts)
        return net, trainer(net, "sgnht-global", {"multi_precision": True}, update_on_kvstore=on_kvstore)

    def steps(net, tr, numbers):
        for k in numbers:
            half_backward(net, k, contexts)
            tr.step(BATCH)
        return weights(net, ONE[0])

    net, tr = made()
    steps(net, tr, range(3))
    _save(net, tr, tmp_path)
    again, loaded = made()
    again.load_parameters(str(tmp_path / "weights"))
    loaded.load_states(str(tmp_path / "states"))
    assert_same(steps(net, tr, range(3, 6)), steps(again, loaded, range(3, 6)))
    assert_replicas(again, contexts)


# ---------------------------------------------------------------- errors on a kvstore

@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_error_that_a_kvstore_swallows_is_raised_at_the_next_step():
    net = network(TWO)
    tr = trainer(net, "sgnht-global", update_on_kvstore=True)
    run(net, tr, [0], TWO)
    before = weights(net, ONE[0])
    tr.optimizer.lr = float("nan")
    run(net, tr, [1], TWO)          # the caller sees nothing of it
    assert_same(weights(net, ONE[0]), before)
    with pytest.raises(ValueError, match="learning_rate is nan at step 2.*finite and not negative"):
        run(net, tr, [2], TWO)
    tr.set_learning_rate(LR)
    run(net, tr, [3], TWO)
    assert (weights(net, ONE[0])[0] != before[0]).all()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_error_in_creating_a_state_is_raised_at_the_next_step():
    net = network(TWO)
    tr = trainer(net, "sgnht-tensor", update_on_kvstore=True)
    net.collect_params()["net_dense0_weight"].lr_mult = -1.0
    run(net, tr, [0], TWO)
    with pytest.raises(ValueError, match="lr_mult of parameter net_dense0_weight is -1.0"):
        run(net, tr, [1], TWO)


def test_error_off_the_kvstore_is_raised_once():
    net = network()
    tr = trainer(net, "sghmc")
    tr.optimizer.lr = float("inf")
    with pytest.raises(ValueError, match="learning_rate is inf at step 1"):
        run(net, tr, [0])
    tr.set_learning_rate(LR)
    run(net, tr, [1])
