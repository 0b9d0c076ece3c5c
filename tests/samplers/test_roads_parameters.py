"""Which parameters a step moves, and of what kind they may be: left out, multiplied, sparse, tied, half, double."""

import mxnet as mx
import numpy as np
import pytest
from gluon_roads import ROADS, THERMOSTATS, Affine, half, half_backward
from mxnet import autograd, gluon, npx
from roads import (
    BATCH,
    FEW,
    LR,
    ONE,
    SAMPLERS,
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
    ordered,
    run,
    run_beside,
    trainer,
    weights,
)

# ---------------------------------------------------------------- which parameters move

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


# ---------------------------------------------------------------- kinds of parameters

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


def test_half_precision_without_master_copies_is_refused():
    with pytest.raises(ValueError, match="net_affine0_b is float16.*multi_precision=True"):
        trainer(half(ONE), "sgld")


@pytest.mark.parametrize("sampler", SAMPLERS)
@ROADS
def test_half_precision(sampler, contexts, on_kvstore):
    """Float16 weights are their float32 master copies, rounded."""
    net = half(contexts)
    tr = trainer(net, sampler, {"multi_precision": True}, update_on_kvstore=on_kvstore)
    reference = Reference(sampler, ordered(net))
    for k in range(STEPS):
        half_backward(net, k, contexts)
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
