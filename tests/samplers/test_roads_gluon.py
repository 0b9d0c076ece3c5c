"""Every way in which a Gluon user reaches the samplers gives the same chain as the plainest way."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from gluon_roads import KVSTORES, ROADS, THERMOSTATS, own
from mxnet import autograd, gluon
from roads import (
    BATCH,
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
    network,
    options,
    ordered,
    plain,
    run,
    run_beside,
    trainer,
    weights,
)

# ---------------------------------------------------------------- the plain road

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


# ---------------------------------------------------------------- contexts and kvstores

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
