"""FilterResponseNorm and GroupNorm against their formulas in NumPy, and examples that stay independent."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.nn import FilterResponseNorm, GroupNorm

SHAPES = [(3, 6), (3, 6, 5), (3, 6, 4, 5), (2, 6, 2, 3, 4)]     # (batch, channels, space): dense, NCW, NCHW, NCDHW
FRN = {"frn": {}, "frn without its threshold": {"tlu": False}, "frn that learns epsilon": {"learn_epsilon": True}}
GROUPS = {"one group": 1, "three groups": 3, "a group a channel": 6}


def filter_response(x, p, epsilon=1e-6):
    """Singh & Krishnan 2020, channels second."""
    along = (1, -1) + (1,) * (x.ndim - 2)
    power = (x ** 2).reshape(x.shape[:2] + (-1,)).mean(axis=2).reshape(x.shape[:2] + (1,) * (x.ndim - 2))
    y = x / np.sqrt(power + epsilon + np.abs(p.get("epsilon", 0.0)))
    y = y * p["gamma"].reshape(along) + p["beta"].reshape(along)
    return np.maximum(y, p["tau"].reshape(along)) if "tau" in p else y


def grouped(x, p, groups, epsilon=1e-5):
    """Wu & He 2018, channels second."""
    along = (1, -1) + (1,) * (x.ndim - 2)
    parts = x.reshape(x.shape[0], groups, -1)
    parts = (parts - parts.mean(axis=2, keepdims=True)) / np.sqrt(parts.var(axis=2, keepdims=True) + epsilon)
    return parts.reshape(x.shape) * p["gamma"].reshape(along) + p["beta"].reshape(along)


CASES = {**{name: (lambda o=o, **k: FilterResponseNorm(**o, **k), filter_response) for name, o in FRN.items()},
         **{name: (lambda g=g, **k: GroupNorm(g, **k), lambda x, p, g=g: grouped(x, p, g))
            for name, g in GROUPS.items()}}


def drawn(layer, rng):
    """Every parameter of the layer, which is in float64, drawn and put there."""
    found = {}
    for name, p in layer._reg_params.items():
        found[name] = rng.normal(size=p.shape) * 0.5 + (name == "gamma")
        p.set_data(nd.array(found[name], dtype="float64"))
    return found


def made(make, x, **options):
    layer = make(**options)
    layer.cast("float64")
    layer.initialize()
    layer(nd.array(x, dtype="float64"))
    return layer


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_formula(name, shape, hybrid):
    (make, formula), rng = CASES[name], np.random.RandomState(0)
    x = rng.normal(size=shape) + 0.3
    layer = made(make, x)
    layer.hybridize(hybrid)
    expected = formula(x, drawn(layer, rng))
    np.testing.assert_allclose(layer(nd.array(x, dtype="float64")).asnumpy(), expected, rtol=1e-9, atol=1e-12)
    last = made(make, np.moveaxis(x, 1, -1), axis=-1)
    last.hybridize(hybrid)
    for p, its in zip(last._reg_params.values(), layer._reg_params.values()):
        p.set_data(its.data())
    found = last(nd.array(np.moveaxis(x, 1, -1), dtype="float64")).asnumpy()
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_gradients_by_finite_differences(name):
    """Of x and of every parameter, along a direction; the formula is NumPy's."""
    (make, formula), rng = CASES[name], np.random.RandomState(1)
    x = rng.normal(size=(3, 6, 4, 5))
    layer, weights = made(make, x), rng.normal(size=x.shape)
    values, a = drawn(layer, rng), nd.array(x, dtype="float64")
    a.attach_grad()
    with autograd.record():
        loss = (layer(a) * nd.array(weights, dtype="float64")).sum()
    loss.backward()
    h = 1e-6
    for key in (None, *values):
        gradient = (a.grad if key is None else layer._reg_params[key].grad()).asnumpy()
        direction = rng.normal(size=gradient.shape)
        ends = [(weights * formula(x + s * direction if key is None else x,
                                   values if key is None else {**values, key: values[key] + s * direction})).sum()
                for s in (h, -h)]
        assert (gradient * direction).sum() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-6), key


@pytest.mark.parametrize("name", CASES)
def test_examples_are_independent_and_training_changes_nothing(name):
    """What BatchNorm is replaced for; of BatchNorm itself neither holds."""
    x = nd.random.normal(shape=(4, 6, 5, 5))

    def holds(layer):
        layer.initialize()
        with autograd.record():
            trained = layer(x).asnumpy()
        with autograd.record():
            first = layer(x[:1]).asnumpy()
        return np.allclose(trained[:1], first, atol=1e-6) and np.allclose(trained, layer(x).asnumpy(), atol=1e-6)
    assert holds(CASES[name][0]()) and not holds(gluon.nn.BatchNorm())


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_shapes_wait_for_the_first_batch_and_files_keep_all(name, hybrid, tmp_path):
    def network():
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Conv2D(6, 3), CASES[name][0](), gluon.nn.Dense(2))
        net.hybridize(hybrid)
        return net
    net, x = network(), nd.random.normal(shape=(2, 3, 6, 6))
    net.initialize(mx.init.Normal(0.5))
    assert net[1].gamma.shape == (0,)
    net(x)
    assert net[1].gamma.shape == (6,) and "in_channels=6" in repr(net[1])
    net[1].gamma.set_data(nd.random.normal(shape=6))
    net.save_parameters(str(tmp_path / "w"))
    other = network()
    other.load_parameters(str(tmp_path / "w"))
    np.testing.assert_array_equal(other(x).asnumpy(), net(x).asnumpy())


def test_arrays_of_mx_np():
    x = np.random.RandomState(0).normal(size=(2, 6, 3)).astype("float32")
    mx.npx.set_np()
    try:
        for hybrid in (False, True):
            layer = FilterResponseNorm()
            layer.initialize()
            layer.hybridize(hybrid)
            found = layer(mx.np.array(x))
            assert type(found) is mx.np.ndarray
            expected = filter_response(x, {"gamma": np.ones(6), "beta": np.zeros(6), "tau": np.zeros(6)})
            np.testing.assert_allclose(found.asnumpy(), expected, rtol=1e-5)
    finally:
        mx.npx.reset_np()


def test_without_space_it_is_nearly_a_sign_unless_epsilon_is_learned():
    x = nd.array([[0.5, -2.0]])
    plain, learns = FilterResponseNorm(tlu=False), FilterResponseNorm(tlu=False, learn_epsilon=True)
    for layer in (plain, learns):
        layer.initialize()
        layer(x)
    np.testing.assert_allclose(plain(x).asnumpy(), [[1, -1]], atol=1e-5)
    learns.epsilon.set_data(nd.array([-3.0]))       # of either sign
    np.testing.assert_allclose(learns(x).asnumpy(), x.asnumpy() / np.sqrt(x.asnumpy() ** 2 + 3), rtol=1e-5)


def test_a_chain_samples_all_of_it():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv1D(4, 3, in_channels=1), FilterResponseNorm(in_channels=4), gluon.nn.Dense(2, in_units=12))
    net.initialize()
    x, y = nd.random.normal(shape=(20, 1, 5)), nd.array(np.arange(20) % 2)
    trainer = sg.BayesianTrainer(net, "sghmc", {"num_data": 20, "learning_rate": 0.01}, sg.likelihoods.Categorical())
    trainer.sample(sg.data.ArrayLoader(x, y, batch_size=20), 5)
    moved = {name: trainer.samples[-1][name].asnumpy() - trainer.samples[0][name].asnumpy()
             for name in ("1.gamma", "1.beta", "1.tau")}
    assert all(np.abs(d).min() > 0 for d in moved.values())


@pytest.mark.parametrize("make, error, said", [
    (lambda: FilterResponseNorm(axis=0), ValueError, "axis: got 0.*write axis=1"),
    (lambda: FilterResponseNorm(axis="C"), TypeError, "axis must be a whole number"),
    (lambda: FilterResponseNorm(epsilon=0), ValueError, "epsilon must lie in .*write epsilon=1e-6"),
    (lambda: FilterResponseNorm(tlu="no"), TypeError, "tlu must be True or False"),
    (lambda: FilterResponseNorm(learn_epsilon=2), TypeError, "learn_epsilon must be True or False"),
    (lambda: GroupNorm(0), ValueError, "num_groups must be at least 1"),
    (lambda: GroupNorm(4, in_channels=6), ValueError, "num_groups: 4 does not divide in_channels=6.*=2"),
])
def test_wrong_options(make, error, said):
    with pytest.raises(error, match=said):
        make()
