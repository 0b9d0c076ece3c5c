"""The older road: mx.mod.Module gives the same chain as Gluon, on a kvstore and off it, biases under their prior."""
import pickle
import re

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from roads import BATCH, FEW, LR, ONE, SAMPLERS, SEED, STEPS, TWO, WD, N, assert_close, assert_same, options

import sgmcmc_mx
from sgmcmc_mx.samplers._base import Sampler

_rng = np.random.RandomState(5)
X = _rng.randn(STEPS * BATCH, 3).astype(np.float32)
LABELS = _rng.randint(0, 2, STEPS * BATCH).astype(np.float32)
NAMES = ["first_weight", "first_bias", "last_weight", "last_bias"]      # in the order of the symbol's arguments
START = {"first_weight": _rng.randn(4, 3), "first_bias": _rng.randn(4), "last_weight": _rng.randn(2, 4),
         "last_bias": _rng.randn(2)}
STORES = {"one-none": (ONE, None), "one-local": (ONE, "local"), "one-on-kvstore": (ONE, "object"),
          "two-local": (TWO, "local"), "two-device": (TWO, "device"), "two-off-kvstore": (TWO, "local-off")}


def symbol(**attributes):
    """3 - 4 - 2 with a softmax; the attributes go to the last bias."""
    bias = mx.sym.Variable("last_bias", **attributes)
    hidden = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="first"), "tanh")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, bias=bias, num_hidden=2, name="last"), name="softmax")


def batches(first=0, last=STEPS):
    at = slice(first * BATCH, last * BATCH)
    return mx.io.NDArrayIter(X[at], LABELS[at], batch_size=BATCH, label_name="softmax_label")


def fit(sampler, contexts=ONE, kvstore="local", module=None, data=None, optimizer=None, epochs=1, **more):
    """Module.fit as its users call it."""
    name, params = options(sampler, **more)
    module = module or mx.mod.Module(symbol(), context=list(contexts))
    module.fit(data or batches(), num_epoch=epochs, optimizer=optimizer or name,
               optimizer_params=None if optimizer else params, kvstore=kvstore,
               arg_params={n: mx.nd.array(w) for n, w in START.items()})
    return module


def weights(module):
    params, _ = module.get_params()
    return [params[n].asnumpy() for n in NAMES]


def replicas(module):
    """The weights on every context."""
    return [[[w.asnumpy() for w in group] for group in zip(*module._exec_group.param_arrays)]][0]


def gluon_road(sampler, epochs=1, **more):
    """The same network, batches and order of parameters in Gluon, on one context."""
    net = gluon.nn.Sequential()
    first = gluon.nn.Dense(4, in_units=3, activation="tanh", prefix="first_")
    last = gluon.nn.Dense(2, in_units=4, prefix="last_")
    net.add(first, last)
    net.initialize()
    params = [first.weight, first.bias, last.weight, last.bias]
    for p in params:
        p.set_data(mx.nd.array(START[p.name]))
    name, opts = options(sampler, **more)
    trainer = gluon.Trainer(params, name, opts)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    for _ in range(epochs):
        for k in range(STEPS):
            at = slice(k * BATCH, (k + 1) * BATCH)
            with autograd.record():
                out = loss(net(mx.nd.array(X[at])), mx.nd.array(LABELS[at]))
            out.backward()
            trainer.step(BATCH)
    return [p.data().asnumpy() for p in params], trainer.optimizer


@pytest.fixture
def store(request, monkeypatch):
    """Contexts and a kvstore, one of them with updates off it."""
    contexts, kvstore = STORES[request.param]
    if kvstore == "local-off":
        monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", "0")
        kvstore = "local"
    return contexts, mx.kv.create("local") if kvstore == "object" else kvstore


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_fit_is_the_gluon_road(sampler, store):
    """rescale_grad is 1 / batch, ordinals are places, biases have the prior of every other parameter."""
    contexts, kvstore = store
    module = fit(sampler, contexts, kvstore)
    expected, other = gluon_road(sampler)
    o = module._optimizer
    assert o.rescale_grad == pytest.approx(1.0 / BATCH)
    assert_close(weights(module), expected)
    for replica in replicas(module)[1:]:
        assert_same(replica, replicas(module)[0])
    if sampler == "sgld":
        return
    assert o.kinetic_temperature.asscalar() == pytest.approx(other.kinetic_temperature.asscalar(), rel=1e-4)
    if sampler in ("sgnht-global", "sgnht-aboba"):
        assert o.thermostat.asscalar() == pytest.approx(other.thermostat.asscalar(), rel=1e-5)
    elif sampler.startswith("sgnht"):
        assert o.thermostat.keys() == set(NAMES)
        for name, alpha in o.thermostat.items():
            assert_close([alpha.asnumpy()], [other.thermostat[name].asnumpy()])


@pytest.mark.parametrize("sampler", FEW)
def test_short_last_batch_is_padded_by_the_iterator(sampler):
    """More epochs, a count that the batch does not divide: the chain goes on, every step with noise of its own."""
    data = mx.io.NDArrayIter(X[:20], LABELS[:20], batch_size=BATCH, label_name="softmax_label")
    module = fit(sampler, data=data, epochs=2)
    assert module._optimizer.num_update == 8
    assert all(np.isfinite(w).all() for w in weights(module))


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("sampler", FEW)
def test_bucketing_module(sampler, store):
    """Buckets borrow one optimizer: a chain over the shared parameters, whichever bucket a batch goes to."""
    contexts, kvstore = store
    results = []
    for keys in ([0] * STEPS, [0, 1, 1, 0, 1]):     # the buckets are alike, so it must not matter
        module = mx.mod.BucketingModule(lambda _: (symbol(), ["data"], ["softmax_label"]), 0, context=list(contexts))
        data = batches()
        module.bind(data.provide_data, data.provide_label)
        module.init_params(arg_params={n: mx.nd.array(w) for n, w in START.items()})
        module.init_optimizer(mx.kv.create("local") if isinstance(kvstore, mx.kv.KVStore) else kvstore,
                              *options(sampler))
        for key, batch in zip(keys, data):
            batch.bucket_key, batch.provide_data, batch.provide_label = key, data.provide_data, data.provide_label
            module.forward_backward(batch)
            module.update()
        results.append(weights(module))
    assert_same(*results)
    assert_close(results[0], gluon_road(sampler)[0])


def test_instance():
    name, params = options("sgnht-global")
    optimizer = mx.optimizer.create(name, rescale_grad=1.0 / BATCH, **params)
    assert_same(weights(fit("sgnht-global", optimizer=optimizer)), weights(fit("sgnht-global")))


@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_wd_mult_of_symbols_and_by_hand(contexts):
    """Biases have wd_mult 1 where MXNet would give 0; what a user writes is respected."""
    def precisions(module):
        o = module._optimizer
        places = {n: i for i, n in sorted(o.idx2name.items(), reverse=True)}
        return [o.precision(places[n], (1,)) for n in NAMES]

    module = mx.mod.Module(symbol(), context=list(contexts))
    assert precisions(fit("sgld", contexts, module=module)) == [WD] * 4
    module = mx.mod.Module(symbol(wd_mult=3.0, lr_mult=0.5), context=list(contexts))
    fit("sgld", contexts, module=module)
    assert precisions(module) == [WD, WD, WD, 3.0 * WD]
    assert module._optimizer.lr_mult == {"last_bias": 0.5}
    module._optimizer.set_wd_mult({"first_bias": 0.25})
    assert precisions(module) == [WD, 0.25 * WD, WD, 3.0 * WD]


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("sampler", FEW)
def test_multipliers_act_on_the_chain(sampler, store):
    contexts, kvstore = store
    module = mx.mod.Module(symbol(lr_mult=0.0), context=list(contexts))
    fit(sampler, contexts, kvstore, module=module)
    assert_same(weights(module)[3:], [START["last_bias"].astype(np.float32)])
    assert (weights(module)[2] != START["last_weight"].astype(np.float32)).all()


def test_fixed_parameters_stand_still():
    module = mx.mod.Module(symbol(), context=list(TWO), fixed_param_names=["first_weight"])
    fit("sgnht-global", TWO, module=module)
    assert_same(weights(module)[:1], [START["first_weight"].astype(np.float32)])
    assert (weights(module)[1] != START["first_bias"].astype(np.float32)).all()


@pytest.mark.parametrize("kvstore", [None, "local"])
def test_prior_by_name(kvstore):
    module = fit("sgld", TWO if kvstore else ONE, kvstore, prior={".*weight": "fan_in", "last_bias": 7.0})
    o = module._optimizer
    key = {n: n if kvstore else i for i, n in o.idx2name.items()}
    assert [o.precision(key[n], START[n].shape) for n in NAMES] == [3.0, WD, 4.0, 7.0]


def test_pattern_that_matches_no_parameter():
    with pytest.raises(ValueError, match=r"pattern 'lats_bias', which matches no parameter.*first_weight, first_bias"):
        fit("sgld", prior={"lats_bias": 7.0})


def test_a_bare_module_takes_one_example_and_says_so_once(recwarn):
    module = mx.mod.Module(symbol())
    module.fit(batches(), num_epoch=1, optimizer="sgnht", arg_params={n: mx.nd.array(w) for n, w in START.items()})
    texts = [str(w.message) for w in recwarn if w.category is UserWarning]
    assert len(texts) == 1 and "N = 1" in texts[0] and "num_data=len(dataset)" in texts[0]
    assert module._optimizer.num_data == 1 and module._optimizer.wd == 1.0


@pytest.mark.parametrize("schedule", ["factor", "poly"])
@pytest.mark.parametrize("sampler", FEW)
def test_schedule(sampler, schedule):
    def made():
        if schedule == "factor":
            return mx.lr_scheduler.FactorScheduler(step=2, factor=0.5, base_lr=LR)
        return mx.lr_scheduler.PolyScheduler(max_update=20, base_lr=LR)

    module = fit(sampler, TWO, epochs=2, lr_scheduler=made(), learning_rate=None)
    expected, _ = gluon_road(sampler, epochs=2, lr_scheduler=made(), learning_rate=None)
    assert_close(weights(module), expected)


# ------------------------------------------------------------------------------------------- saving

@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_optimizer_states_continue(sampler, store, tmp_path):
    """Module saves no step count: given back as begin_num_update, the run continues bit for bit."""
    contexts, kvstore = store
    if isinstance(kvstore, mx.kv.KVStore):
        kvstore = "object"

    def made():
        return mx.kv.create("local") if kvstore == "object" else kvstore

    whole = fit(sampler, contexts, made(), data=batches(0, 3))
    states, params = str(tmp_path / "states"), str(tmp_path / "params")
    whole.save_optimizer_states(states)
    whole.save_params(params)
    name, opts = options(sampler)
    again = mx.mod.Module(symbol(), context=list(contexts))
    again.bind(batches().provide_data, batches().provide_label)
    again.load_params(params)
    again.init_optimizer(made(), name, {**opts, "begin_num_update": 3})
    again.load_optimizer_states(states)
    for module in (whole, again):
        for batch in batches(3, 5):
            module.forward_backward(batch)
            module.update()
    assert_same(weights(again), weights(whole))
    if sampler == "sgnht-global":
        assert_same([again._optimizer.thermostat.asnumpy()], [whole._optimizer.thermostat.asnumpy()])


def _states(module):
    return (module._kvstore._updater if module._update_on_kvstore else module._updater).states


@pytest.mark.parametrize("context", [mx.cpu(0), mx.cpu(1)], ids=str)
def test_states_loaded_into_a_running_module(context, tmp_path):
    """The one thermostat is the file's, for all parameters, and it goes on moving; MXNet's own load gave copies."""
    module = fit("sgnht-global", [context], data=batches(0, 3))
    states, params = str(tmp_path / "states"), str(tmp_path / "params")
    module.save_optimizer_states(states)
    module.save_params(params)
    saved = module._optimizer.thermostat.asscalar()
    results = []
    for _ in range(2):
        for batch in batches(3, 5):
            module.forward_backward(batch)
            module.update()
        module.load_params(params)
        module.load_optimizer_states(states)
        seen = []
        for batch in batches(0, 2):
            module.forward_backward(batch)
            module.update()
            seen.append(module._optimizer.thermostat.asscalar())
        assert len({id(s[1]) for s in _states(module).values()}) == 1
        assert saved != seen[0] != seen[1]
        results.append(seen)
    assert results[0] != results[1]     # other noise, since the step count went on


@pytest.mark.parametrize("sampler", ["sgld", "sgnht-global"])
@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_states_without_their_step_count_bring_a_warning(sampler, contexts, tmp_path, recwarn):
    states = str(tmp_path / "states")
    module = fit(sampler, contexts, data=batches(0, 3))
    module.save_optimizer_states(states)
    for begin in (0, 3):
        again = mx.mod.Module(symbol(), context=list(contexts))
        again.bind(batches().provide_data, batches().provide_label)
        again.init_params(arg_params=module.get_params()[0])
        name, opts = options(sampler, begin_num_update=begin)
        again.init_optimizer("local", name, opts)
        again.load_optimizer_states(states)
        for batch in batches(3, 5):
            again.forward_backward(batch)
            again.update()
        texts = [str(w.message) for w in recwarn if w.category is UserWarning]
        assert len(texts) == 1 and "begin_num_update=<steps taken>" in texts[0]


def test_checkpoint_with_states(tmp_path):
    """Module.save_checkpoint and Module.load, as fit's callbacks use them."""
    module = fit("sgnht-element", data=batches(0, 3))
    prefix = str(tmp_path / "chain")
    module.save_checkpoint(prefix, 1, save_optimizer_states=True)
    again = mx.mod.Module.load(prefix, 1, load_optimizer_states=True)
    again.fit(batches(3, 5), num_epoch=2, begin_epoch=1, optimizer="sgnht",
              optimizer_params=dict(options("sgnht-element")[1], begin_num_update=3))
    for batch in batches(3, 5):
        module.forward_backward(batch)
        module.update()
    assert_same(weights(again), weights(module))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pickled_after_use(sampler):
    module = fit(sampler, TWO)
    copied = pickle.loads(pickle.dumps(module._optimizer))
    assert type(copied) is type(module._optimizer)
    assert (copied.num_update, copied.seed) == (STEPS, SEED)
    assert copied._index_update_count == dict.fromkeys(NAMES, STEPS)


# ------------------------------------------------------------------------------------------- errors

def test_error_off_the_kvstore():
    module = fit("sgnht-global")
    module._optimizer.lr = float("nan")
    module.forward_backward(next(batches()))
    with pytest.raises(ValueError, match="learning_rate is nan at step 6"):
        module.update()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_error_on_a_kvstore_is_printed_and_kept(monkeypatch):
    """MXNet drops it and Module never asks again: the weights stand still, the error is on stderr at every step."""
    import sys
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: seen.append(str(u.exc_value)))
    module = fit("sgnht-global", TWO)
    before = weights(module)
    module._optimizer.lr = float("nan")
    for _ in range(2):
        module.forward_backward(next(batches()))
        module.update()
    assert_same(weights(module), before)
    assert len(seen) == 8 and all(re.match("learning_rate is nan at step [67]; it must be finite", s) for s in seen)
    assert isinstance(module._optimizer._failure, ValueError)


def test_half_precision_without_master_copies():
    data, w = (mx.sym.Variable(n, shape=(BATCH, 3), dtype="float16") for n in ("data", "w"))
    module = mx.mod.Module(mx.sym.MakeLoss(data * w), label_names=None)
    module.bind([mx.io.DataDesc("data", (BATCH, 3), np.float16)])
    module.init_params(arg_params={"w": mx.nd.ones((BATCH, 3), dtype="float16")})
    module.init_optimizer(optimizer="sgld", optimizer_params={"num_data": N})
    module.forward_backward(mx.io.DataBatch([mx.nd.ones((BATCH, 3), dtype="float16")]))
    with pytest.raises(ValueError, match="parameter w is float16.*multi_precision=True"):
        module.update()


def test_names_are_registered():
    for cls in (sgmcmc_mx.SGLD, sgmcmc_mx.SGHMC, sgmcmc_mx.SGNHT):
        assert issubclass(cls, Sampler) and issubclass(cls, mx.optimizer.Optimizer)
