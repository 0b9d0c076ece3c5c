"""Every way in which a Gluon user reaches the samplers gives the same chain as the plainest way."""
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import warnings

import mxnet as mx
import numpy as np
import pytest
from folders import HELPERS, ROOT
from mxnet import autograd, gluon, npx
from roads import (
    BATCH,
    FEW,
    LR,
    ONE,
    SAMPLERS,
    SEED,
    STEPS,
    TWO,
    N,
    Reference,
    assert_close,
    assert_replicas,
    assert_same,
    backward,
    fill,
    network,
    options,
    ordered,
    plain,
    run,
    run_beside,
    trainer,
    weights,
)

import sgmcmc_mx

THERMOSTATS = ["sgnht-global", "sgnht-tensor", "sgnht-element"]
KVSTORES = [("device", None), ("device", True), ("device", False), ("local", None), ("local", True), ("local", False)]
ROADS = pytest.mark.parametrize("contexts, on_kvstore", [
    pytest.param(ONE, False, id="one"), pytest.param(TWO, True, id="two-on"), pytest.param(TWO, False, id="two-off")])


def own(caught):
    """The texts of the warnings that are for the user."""
    return [str(w.message) for w in caught if w.category is UserWarning]


@pytest.fixture
def noise_used(monkeypatch):
    """(parameter, step) of all noise that is drawn, in order."""
    used, step = [], sgmcmc_mx.kernels.step

    def noted(job):
        used.extend((t.ordinal, t.count) for t in job.tensors)
        step(job)

    monkeypatch.setattr(sgmcmc_mx.kernels, "step", noted)
    return used


# ------------------------------------------------------------------------------------------- the plain road

@pytest.mark.parametrize("sampler", SAMPLERS)
def test_steps_are_the_equations(sampler):
    """By name, with parameters: weights, temperature and friction at every step."""
    net = network()
    tr, reference = trainer(net, sampler), Reference(sampler, ordered(net))
    o = tr.optimizer
    for k in range(STEPS):
        run_beside(reference, net, tr, [k])
        if sampler != "sgld":
            assert o.kinetic_temperature.asscalar() == pytest.approx(reference.kinetic_temperature, rel=1e-4)
        if sampler == "sgnht-global":
            assert o.thermostat.asscalar() == pytest.approx(reference.alpha, rel=1e-5)
        elif sampler in THERMOSTATS:
            assert_close([a.asnumpy() for _, a in sorted(o.thermostat.items())], reference.alpha)


def test_readings_are_engine_arrays_of_their_own():
    net = network()
    tr = trainer(net, "sgnht-global")
    assert tr.optimizer.thermostat is None and tr.optimizer.kinetic_temperature is None
    run(net, tr, range(1))
    alpha, heat = tr.optimizer.thermostat, tr.optimizer.kinetic_temperature
    assert isinstance(alpha, mx.nd.NDArray) and isinstance(heat, mx.nd.NDArray)
    assert alpha.shape == heat.shape == (1,)
    before = alpha.asscalar()
    alpha[:] = 100.0        # a reading is a copy
    run(net, tr, range(1, 2))
    reference = network()
    other = trainer(reference, "sgnht-global")
    run(reference, other, range(2))
    assert tr.optimizer.thermostat.asscalar() == other.optimizer.thermostat.asscalar() != before


@pytest.mark.parametrize("sampler", ["sghmc", *THERMOSTATS])
@ROADS
def test_stepping_and_reading_do_not_wait(sampler, contexts, on_kvstore, monkeypatch):
    def waits(*_):
        raise AssertionError("the engine was waited for")

    net = network(contexts)
    tr, readings = trainer(net, sampler, update_on_kvstore=on_kvstore), []
    for k in range(3):
        backward(net, k, contexts)
        with monkeypatch.context() as m:
            for name in ("asnumpy", "asscalar", "wait_to_read"):
                m.setattr(mx.nd.NDArray, name, waits)
            m.setattr(mx.nd, "waitall", waits)
            tr.step(BATCH)
            readings.append((tr.optimizer.kinetic_temperature, getattr(tr.optimizer, "thermostat", None)))
    assert_close(weights(net, ONE[0]), plain(sampler, 3))
    assert len({heat.asscalar() for heat, _ in readings}) == 3


def test_bare_trainer_takes_one_example_and_says_so_once():
    net = network()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tr = gluon.Trainer(net.collect_params(), optimizer="sgnht")
        run(net, tr)
    message, = own(caught)
    assert "N = 1" in message and "the loss itself is U" in message and "num_data=len(dataset)" in message
    assert tr.learning_rate == 0.01 and tr.optimizer.num_data == 1 and tr.optimizer.wd == 1.0


def test_one_example_is_num_data_one():
    nets = network(), network()
    with pytest.warns(UserWarning, match="N = 1"):
        run(nets[0], gluon.Trainer(nets[0].collect_params(), "sgnht", {"seed": 1}))
    run(nets[1], gluon.Trainer(nets[1].collect_params(), "sgnht", {"seed": 1, "num_data": 1}))
    assert_same(weights(nets[0]), weights(nets[1]))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_optimizer_instance(sampler):
    net = network()
    name, params = options(sampler)
    run(net, gluon.Trainer(net.collect_params(), mx.optimizer.create(name, **params)))
    assert_same(weights(net), plain(sampler))


def test_an_instance_serves_one_trainer():
    sampler = mx.optimizer.create("sgld", num_data=N)
    net = network()
    gluon.Trainer(net.collect_params(), sampler)
    gluon.Trainer(net.collect_params(), sampler)        # the same parameters again
    with pytest.raises(ValueError, match="already moves the parameters of another trainer.*make a sampler for each"):
        gluon.Trainer(network().collect_params(), sampler)


@pytest.mark.parametrize("sampler", ["sgld", "sghmc", *THERMOSTATS])
@pytest.mark.parametrize("flags", [{}, {"static_alloc": True}, {"static_alloc": True, "static_shape": True}], ids=str)
def test_hybridized(sampler, flags):
    net = network()
    net.hybridize(**flags)
    run(net, trainer(net, sampler))
    assert_same(weights(net), plain(sampler))


def test_order_of_names_does_not_depend_on_networks_built_before():
    """As text dense10 comes before dense9; the same network must draw the same noise under either numbers."""
    results = []
    for first in (0, 8):
        layers = [gluon.nn.Dense(3, in_units=3, prefix=f"dense{first + k}_") for k in range(4)]
        net = gluon.nn.Sequential()
        net.add(*layers)
        net.initialize()
        rng = np.random.RandomState(0)
        for layer in layers:
            layer.weight.set_data(mx.nd.array(rng.randn(3, 3)))
        tr = gluon.Trainer(net.collect_params(), "sgnht", {"num_data": N, "seed": 1})
        for _ in range(2):
            with autograd.record():
                loss = net(mx.nd.ones((2, 3))).sum(axis=1)
            loss.backward()
            tr.step(2)
        results.append([p.data().asnumpy() for layer in layers for p in (layer.weight, layer.bias)])
    assert_same(*results)


# ------------------------------------------------------------------------------------------- contexts and kvstores

@pytest.mark.parametrize("kvstore, on_kvstore", KVSTORES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_contexts(sampler, kvstore, on_kvstore):
    net = network(TWO)
    run(net, trainer(net, sampler, kvstore=kvstore, update_on_kvstore=on_kvstore), contexts=TWO)
    assert_replicas(net)
    assert_close(weights(net, TWO[0]), plain(sampler))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_contexts_without_kvstore(sampler):
    """The user adds up the gradients; every replica then draws the same noise."""
    net = network(TWO)
    tr = trainer(net, sampler, kvstore=None)
    for k in range(STEPS):
        backward(net, k, TWO)
        for p in net.collect_params().values():
            total = sum(g.asnumpy() for g in p.list_grad())
            for g in p.list_grad():
                g[:] = total
        tr.step(BATCH)
    assert_replicas(net)
    assert_close(weights(net, TWO[0]), plain(sampler))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_context_on_a_kvstore(sampler):
    net = network()
    tr = trainer(net, sampler, kvstore=mx.kv.create("local"), update_on_kvstore=True)
    run(net, tr)
    assert tr._update_on_kvstore
    assert_close(weights(net), plain(sampler), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_allreduce_and_update(sampler, contexts):
    net = network(contexts)
    tr = trainer(net, sampler, update_on_kvstore=False)
    for k in range(STEPS):
        backward(net, k, contexts)
        tr.allreduce_grads()
        tr.update(BATCH)
    assert_replicas(net, contexts)
    assert_close(weights(net, ONE[0]), plain(sampler))


@pytest.mark.parametrize("sampler", ["sghmc", *THERMOSTATS])
@pytest.mark.parametrize("kvstore, on_kvstore", [("device", True), ("device", False), ("local", True)])
def test_readings_with_two_contexts(sampler, kvstore, on_kvstore):
    net, single = network(TWO), network()
    tr = trainer(net, sampler, kvstore=kvstore, update_on_kvstore=on_kvstore)
    other = trainer(single, sampler)
    for k in range(3):
        run(net, tr, [k], TWO)
        run(single, other, [k])
        a, b = tr.optimizer, other.optimizer
        assert_close([a.kinetic_temperature.asnumpy()], [b.kinetic_temperature.asnumpy()], rtol=1e-4)
        if sampler == "sgnht-global":
            assert_close([a.thermostat.asnumpy()], [b.thermostat.asnumpy()])
        elif sampler in THERMOSTATS:
            assert a.thermostat.keys() == b.thermostat.keys() == net.collect_params().keys()
            for name, alpha in a.thermostat.items():
                assert_close([alpha.asnumpy()], [b.thermostat[name].asnumpy()])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_kvstore_that_spreads_its_keys_over_devices(sampler):
    """With several GPUs a 'device' kvstore keeps each key on one of them; the network is still one replica."""
    net = network()
    tr = trainer(net, sampler)
    kept = {i: p.data().as_in_context(TWO[i % 2]).copy() for i, p in enumerate(tr._params)}
    updater = mx.optimizer.get_updater(tr.optimizer)
    tr._update_on_kvstore = True
    for k in range(STEPS):
        backward(net, k)
        tr.optimizer.rescale_grad = 1.0 / BATCH
        for i, p in enumerate(tr._params):
            updater(i, p.grad().as_in_context(kept[i].context), kept[i])
            kept[i].copyto(p.data())
    assert_close(weights(net), plain(sampler))


# ------------------------------------------------------------------------------------------- which parameters move

@pytest.mark.parametrize("sampler", SAMPLERS)
@ROADS
def test_frozen_then_thawed(sampler, contexts, on_kvstore, noise_used):
    net = network(contexts)
    tr, reference = trainer(net, sampler, update_on_kvstore=on_kvstore), Reference(sampler, ordered(net))
    frozen = ordered(net)[1]
    for k in range(STEPS):
        frozen.grad_req = "write" if k >= 2 else "null"
        run_beside(reference, net, tr, [k], contexts)
        assert ((1, 1) in noise_used) == (k >= 2)
    assert (1, STEPS - 2) in noise_used and (1, STEPS - 1) not in noise_used


def _two_heads(contexts):
    net = gluon.nn.Sequential(prefix="net_")
    with net.name_scope():
        net.add(*[gluon.nn.Dense(n, in_units=3) for n in (2, 5)])
    net.initialize(ctx=list(contexts))
    fill(net)
    return net


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_parameters_left_out_alternately(sampler, contexts, noise_used):
    """Two heads, one used at a step: noise is never used twice, and a shared thermostat counts who moved."""
    net = _two_heads(contexts)
    tr, reference = trainer(net, sampler, update_on_kvstore=False), Reference(sampler, ordered(net))
    for k, head in enumerate([0, 1, 1, 0, 0, 1]):
        x = np.random.RandomState(k).randn(BATCH, 3).astype(np.float32)
        with autograd.record():
            losses = [mx.nd.square(net[head](mx.nd.array(part, ctx=c))).sum(axis=1)
                      for part, c in zip(np.split(x, len(contexts)), contexts)]
        autograd.backward(losses)
        used = ordered(net)[2 * head:2 * head + 2]
        reference.step(LR, [sum(g.asnumpy() for g in p.list_grad()) / BATCH if p in used else None
                            for p in ordered(net)])
        tr.step(BATCH, ignore_stale_grad=True)
        assert_replicas(net, contexts)
        assert_close(weights(net, ONE[0]), reference.w)
    assert len(noise_used) == 12 * len(contexts) and len(set(noise_used)) == 12


def test_a_parameter_left_out_without_leave_is_mxnets_error():
    net = network()
    tr = trainer(net, "sgnht-global")
    run(net, tr, [0])
    before = weights(net)
    with pytest.raises(UserWarning, match="ignore_stale_grad"):
        tr.step(BATCH)
    assert_same(weights(net), before)


@pytest.mark.parametrize("sampler", SAMPLERS)
@ROADS
def test_lr_mult(sampler, contexts, on_kvstore):
    """A multiplier scales the step of one parameter; at 0 it stands still."""
    mult = [1.0, 0.0, 0.25, 1.0]
    net = network(contexts)
    for p, m in zip(ordered(net), mult):
        p.lr_mult = m
    tr = trainer(net, sampler, update_on_kvstore=on_kvstore)
    run_beside(Reference(sampler, ordered(net), lr_mult=mult), net, tr, contexts=contexts)
    assert_same([weights(net, ONE[0])[1]], [weights(network())[1]])


@pytest.mark.parametrize("sampler", ["sgld", "sghmc", *THERMOSTATS])
def test_wd_mult_and_prior_by_name(sampler):
    net = network()
    for p in ordered(net):
        p.wd_mult = 3.0 if p.name.endswith("bias") else 1.0
    tr = trainer(net, sampler, {"prior": {".*dense1_weight": "fan_in", ".*dense0": 5.0}})
    run_beside(Reference(sampler, ordered(net), precisions=[15.0, 5.0, 6.0, 4.0]), net, tr)


@pytest.mark.parametrize("kind", ["lr_mult", "wd_mult"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_multiplier_out_of_range(kind, value):
    net = network()
    setattr(net.collect_params()["net_dense1_bias"], kind, value)
    with pytest.raises(ValueError, match=f"{kind} of parameter net_dense1_bias is {value!r}; it must be finite"):
        run(net, trainer(net, "sghmc"), [0])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_step_size_zero_stands_still(sampler):
    net = network()
    tr, reference = trainer(net, sampler), Reference(sampler, ordered(net))
    for k, lr in enumerate([LR, LR, 0.0, 0.0, LR]):
        before = weights(net)
        tr.set_learning_rate(lr)
        run_beside(reference, net, tr, [k], lr=lr)
        if lr == 0.0:
            assert_same(weights(net), before)


# ------------------------------------------------------------------------------------------- kinds of parameters

def _embedding(sparse, contexts=ONE):
    net = gluon.nn.Sequential(prefix="net_")
    with net.name_scope():
        net.add(gluon.nn.Embedding(7, 3, sparse_grad=sparse), gluon.nn.Dense(2, in_units=6))
    net.initialize(ctx=list(contexts))
    for p in net.collect_params().values():
        p.set_data(mx.nd.array(np.random.RandomState(len(p.shape)).randn(*p.shape)))
    return net


def _embed(net, tr, contexts=ONE):
    rows = np.array([[0, 1], [2, 2], [0, 3], [1, 1]])     # rows 4 to 6 never have a gradient
    for k in range(4):
        with autograd.record():
            losses = [mx.nd.square(net(mx.nd.array(part, ctx=c))).sum(axis=1)
                      for part, c in zip(np.split(rows + k % 2, len(contexts)), contexts)]
        autograd.backward(losses)
        tr.step(4)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("more", [{}, {"clip_gradient": 0.1}], ids=str)
@pytest.mark.filterwarnings("ignore:clip_gradient")
def test_row_sparse_gradients_move_every_row(sampler, more):
    sparse, dense = _embedding(True), _embedding(False)
    _embed(sparse, trainer(sparse, sampler, more))
    _embed(dense, trainer(dense, sampler, more))
    assert sparse[0].weight.grad().stype == "row_sparse"
    assert_same(weights(sparse), weights(dense))
    assert (weights(sparse)[2][6] != weights(_embedding(True))[2][6]).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("on_kvstore", [None, True, False])
def test_row_sparse_gradients_of_two_contexts(sampler, on_kvstore):
    sparse, dense = _embedding(True, TWO), _embedding(False)
    _embed(sparse, trainer(sparse, sampler, update_on_kvstore=on_kvstore), TWO)
    _embed(dense, trainer(dense, sampler))
    assert_replicas(sparse)
    assert_close(weights(sparse, ONE[0]), weights(dense))


def test_row_sparse_weights_are_refused():
    p = gluon.Parameter("embedding_weight", shape=(5, 2), stype="row_sparse", grad_stype="row_sparse")
    p.initialize()
    with pytest.raises(ValueError, match="embedding_weight has stype='row_sparse'.*build it dense"):
        gluon.Trainer([p], "sgld", {"num_data": N})


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_tied_weights_are_one_parameter(sampler, noise_used):
    first = gluon.nn.Dense(3, in_units=3, prefix="first_")
    net = gluon.nn.Sequential()
    net.add(first, gluon.nn.Dense(3, in_units=3, params=first.params), gluon.nn.Dense(2, in_units=3, prefix="last_"))
    net.initialize()
    fill(net)
    run_beside(Reference(sampler, ordered(net)), net, trainer(net, sampler), range(3))
    assert len(ordered(net)) == 4 and len(noise_used) == 12


class Affine(gluon.nn.HybridBlock):
    """w * x + b: MXNet's dense layer has no float16 on a CPU."""

    def __init__(self, dtype="float16", **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.w, self.b = (self.params.get(n, shape=(3,), dtype=dtype) for n in "wb")

    def hybrid_forward(self, F, x, w, b):
        return F.broadcast_add(F.broadcast_mul(x, w), b)


def _half(contexts):
    net = gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(Affine(), Affine())
    net.initialize(mx.init.One(), ctx=list(contexts))
    fill(net)
    return net


def _half_backward(net, k, contexts):
    x = np.random.RandomState(k).randn(BATCH, 3)
    with autograd.record():
        losses = [mx.nd.square(net(mx.nd.array(part, ctx=c, dtype="float16"))).sum(axis=1)
                  for part, c in zip(np.split(x, len(contexts)), contexts)]
    autograd.backward(losses)


def test_half_precision_without_master_copies_is_refused():
    with pytest.raises(ValueError, match="net_affine0_b is float16.*multi_precision=True"):
        trainer(_half(ONE), "sgld")


@pytest.mark.parametrize("sampler", SAMPLERS)
@ROADS
def test_half_precision(sampler, contexts, on_kvstore):
    """Float16 weights are their float32 master copies, rounded."""
    net = _half(contexts)
    tr = trainer(net, sampler, {"multi_precision": True}, update_on_kvstore=on_kvstore)
    reference = Reference(sampler, ordered(net))
    for k in range(STEPS):
        _half_backward(net, k, contexts)
        total = [sum(g.asnumpy() for g in p.list_grad()) for p in ordered(net)]   # MXNet adds them up in float16
        reference.step(LR, [g.astype(np.float64) / BATCH for g in total])
        tr.step(BATCH)
        states = (tr._kvstore._updater if on_kvstore else tr._updaters[0]).states
        masters = [states[i][0].asnumpy() for i in range(4)]
        assert all(m.dtype == np.float32 for m in masters)
        assert_same(weights(net, ONE[0]), [m.astype(np.float16) for m in masters])
        assert_replicas(net, contexts)
        assert_close(masters, reference.w)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_network_of_two_precisions(sampler):
    """A call for each type is still one step, with one shared thermostat."""
    half, full = Affine(prefix="half_"), Affine("float32", prefix="full_")
    net = gluon.nn.Sequential()
    net.add(half, full)
    net.initialize(mx.init.One())
    fill(net)
    tr, reference = trainer(net, sampler, {"multi_precision": True}), Reference(sampler, ordered(net))
    for k in range(STEPS):
        x = mx.nd.array(np.random.RandomState(k).randn(BATCH, 3), dtype="float16")
        with autograd.record():
            loss = mx.nd.square(full(half(x).astype("float32"))).sum(axis=1)
        loss.backward()
        reference.follow(ordered(net))
        tr.step(BATCH)
    states = tr._updaters[0].states
    assert_close([*weights(net)[:2], *(states[i][0].asnumpy() for i in (2, 3))], reference.w)
    if sampler == "sgnht-global":
        assert tr.optimizer.thermostat.asscalar() == pytest.approx(reference.alpha, rel=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_double_precision(sampler):
    net = network(dtype="float64")
    tr, reference = trainer(net, sampler), Reference(sampler, ordered(net))
    for k in range(STEPS):
        backward(net, k, dtype="float64")
        reference.follow(ordered(net))
        tr.step(BATCH)
    assert weights(net)[0].dtype == np.float64
    assert_close(weights(net), reference.w, rtol=1e-6, atol=1e-7)     # the noise is float32


def test_one_thermostat_for_two_types_is_refused():
    net = network()
    net[0].cast("float64")
    tr = trainer(net, "sgnht-global")
    with autograd.record():
        loss = net[1](net[0](mx.nd.ones((BATCH, 3), dtype="float64")).astype("float32")).sum(axis=1)
    loss.backward()
    with pytest.raises(TypeError, match="thermostat='global' is one number of type float64.*thermostat='tensor'"):
        tr.step(BATCH)


@pytest.fixture
def numpy_mode():
    npx.set_np()
    yield
    npx.reset_np()


class Scaled(gluon.nn.Block):
    """A dense layer times a parameter of no dimension, which mx.np has."""

    def __init__(self):
        super().__init__(prefix="net_")
        with self.name_scope():
            self.dense = gluon.nn.Dense(2, in_units=3)
            self.scale = self.params.get("scale", shape=(), init=Filled())

    def forward(self, x):
        return self.dense(x) * self.scale.data(x.ctx)


class Filled(mx.init.Initializer):
    def _init_weight(self, name, arr):
        arr[()] = 1.5


@pytest.mark.parametrize("sampler", SAMPLERS)
@ROADS
def test_numpy_parameters(sampler, contexts, on_kvstore, numpy_mode):
    net = Scaled()
    net.initialize(ctx=list(contexts))
    net.dense.weight.set_data(mx.np.array(np.random.RandomState(0).randn(2, 3)))
    tr, reference = trainer(net, sampler, update_on_kvstore=on_kvstore), Reference(sampler, ordered(net))
    for k in range(STEPS):
        parts = np.split(0.3 * np.random.RandomState(k).randn(BATCH, 3), len(contexts))
        with autograd.record():
            losses = [(net(mx.np.array(part, ctx=c, dtype="float32")) ** 2).sum(axis=1)
                      for part, c in zip(parts, contexts)]
        autograd.backward(losses)
        reference.follow(ordered(net))
        tr.step(BATCH)
        assert_replicas(net, contexts)
        assert_close([np.atleast_1d(w) for w in weights(net, ONE[0])], reference.w)
    assert all(isinstance(p.data(ONE[0]), mx.np.ndarray) for p in ordered(net))


@pytest.mark.parametrize("sampler", FEW)
@ROADS
def test_deferred_initialisation(sampler, contexts, on_kvstore):
    """The trainer is made before shapes are known; priors by fan-in wait for them."""
    more, results = {"prior": "fan_in"}, []
    for units in (0, 3):
        net = gluon.nn.HybridSequential(prefix="net_")
        with net.name_scope():
            net.add(gluon.nn.Dense(4, in_units=units, activation="tanh"), gluon.nn.Dense(2, in_units=4))
        net.initialize(mx.init.Constant(0.3), ctx=list(contexts))
        run(net, trainer(net, sampler, more, update_on_kvstore=on_kvstore), contexts=contexts)
        assert_replicas(net, contexts)
        results.append(weights(net, ONE[0]))
    assert_same(*results)


# ------------------------------------------------------------------------------------------- AMP

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


def child(code):
    """Run Python code in a process of its own, in which the tests' modules can be imported."""
    path = [str(HELPERS), str(HELPERS.parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True,
                          timeout=120)


def test_amp_step_that_is_skipped_is_no_step():
    """AMP changes MXNet's functions for a whole process, so it has one of its own."""
    done = child(AMP)
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stdout + done.stderr


# ------------------------------------------------------------------------------------------- saving

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
        net = _half(contexts)
        return net, trainer(net, "sgnht-global", {"multi_precision": True}, update_on_kvstore=on_kvstore)

    def steps(net, tr, numbers):
        for k in numbers:
            _half_backward(net, k, contexts)
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


# ------------------------------------------------------------------------------------------- errors on a kvstore

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


# ------------------------------------------------------------------------------------------- schedules

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


# ------------------------------------------------------------------------------------------- clipping, seeds, registry

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
