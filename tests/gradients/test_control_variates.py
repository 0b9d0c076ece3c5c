"""ControlVariates: the corrected gradient, number by number, and all that must stay as it was."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg

N, D, K = 70, 4, 3
Gaussian = sg.likelihoods.Gaussian


@pytest.fixture
def data():
    r = np.random.RandomState(1)
    return r.normal(size=(N, D)).astype("float32"), r.normal(size=(N, 1)).astype("float32")


def line(ctx=None):
    """y = w x + c + noise of standard deviation 1: gradients are known in closed form."""
    net = gluon.nn.Dense(1, in_units=D)
    net.initialize(mx.init.Normal(0.5), ctx=ctx)
    return net


def mlp(*extra, hybrid=None, units=K):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(8, in_units=D, activation="relu"), *extra, gluon.nn.Dense(units, in_units=8))
    net.initialize(mx.init.Xavier())
    if hybrid is not None:
        net.hybridize(**hybrid)
    return net


class Line(gluon.HybridBlock):
    """The same from elementwise operators, which MXNet has in float16 on a CPU."""

    def __init__(self):
        super().__init__()
        self.weight = self.params.get("weight", shape=(1, D), init=mx.init.Normal(0.5))
        self.bias = self.params.get("bias", shape=(1,), init=mx.init.Normal(0.5))

    def hybrid_forward(self, F, x, weight, bias):
        return F.broadcast_add(F.sum(F.broadcast_mul(x, weight), axis=1, keepdims=True), bias)


def half_line():
    net = Line()
    net.initialize()
    net.cast("float16")
    return net


def exact(net, x, y):
    """Summed gradient of a line in float64: (4 weights, intercept)."""
    w, c = (p.data().asnumpy().astype(float) for p in (net.weight, net.bias))
    residual = x.astype(float) @ w[0] + c[0] - y[:, 0]
    return np.append(x.astype(float).T @ residual, residual.sum())


def found(net, ctx=None):
    return np.concatenate([p.grad(ctx).asnumpy().astype(float).ravel() for p in net.collect_params().values()
                           if p.grad_req != "null"])


def weights(net):
    return np.concatenate([p.data().asnumpy().ravel() for p in net.collect_params().values()])


def moved(net, by=0.3, seed=2):
    """Move all trained weights by noise, in place."""
    r = np.random.RandomState(seed)
    for p in net.collect_params().values():
        if p.grad_req != "null":
            p.data()[:] += nd.array(by * r.normal(size=p.shape)).astype(p.dtype)


def batches(data, size=16):
    x, y = data
    return [(nd.array(x[i:i + size]), nd.array(y[i:i + size])) for i in range(0, len(x), size)]


def mlp_data(seed=3):
    r = np.random.RandomState(seed)
    return r.normal(size=(N, D)).astype("float32"), r.randint(0, K, N).astype("int32")


# ---------------------------------------------------------------- the gradient

def test_no_variance_at_the_centre(data):
    net = line()
    cv = sg.ControlVariates(net, Gaussian(), data)
    full = exact(net, *data) / N
    for x, y in batches(data):
        cv.backward(x, y)
        np.testing.assert_allclose(found(net), len(x) * full, rtol=1e-5, atol=1e-5)


def test_away_from_the_centre_each_gradient_is_the_formula_and_their_mean_is_the_full_one(data):
    net = line()
    cv = sg.ControlVariates(net, Gaussian(), data, batch_size=32)
    at_center = [exact(net, x.asnumpy(), y.asnumpy()) for x, y in batches(data)]
    full = exact(net, *data) / N
    moved(net)
    total, plain = 0.0, []
    for (x, y), there in zip(batches(data), at_center):      # the last batch has 6 examples
        cv.backward(x, y)
        plain.append(exact(net, x.asnumpy(), y.asnumpy()))
        np.testing.assert_allclose(found(net), plain[-1] - there + len(x) * full, rtol=1e-5, atol=2e-5)
        total = total + found(net)
    np.testing.assert_allclose(total, exact(net, *data), rtol=1e-5, atol=1e-4)
    assert np.abs(np.stack(plain) / 16 - full).max() > 0.1, "the plain gradient is noisy here"


@pytest.mark.parametrize("hybrid", [None, {}, {"static_alloc": True}, {"static_alloc": True, "static_shape": True}])
def test_networks_hybridized_or_not(hybrid):
    data, loss = mlp_data(), sg.likelihoods.Categorical()
    net = mlp(hybrid=hybrid)
    cv = sg.ControlVariates(net, loss, data, batch_size=20)
    center = {n: p.data().copy() for n, p in net._collect_params_with_prefix().items()}
    moved(net)

    def gradient(x, y, at=None):
        """Of the plain loss, at the weights named, and the weights as before."""
        own = {n: p.data().copy() for n, p in net._collect_params_with_prefix().items()}
        for n, p in net._collect_params_with_prefix().items():
            p.data()[:] = (at or own)[n]
        with autograd.record():
            out = loss(net(x), y)
        out.backward()
        g = found(net)
        for n, p in net._collect_params_with_prefix().items():
            p.data()[:] = own[n]
        return g

    full = sum(gradient(x, y, center) for x, y in batches(data)) / N
    for x, y in batches(data):
        expected = gradient(x, y) - gradient(x, y, center) + len(x) * full
        out = cv.backward(x, y)
        np.testing.assert_allclose(found(net), expected, rtol=1e-4, atol=2e-5)
        np.testing.assert_allclose(out.asnumpy(), loss(net(x), y).asnumpy(), rtol=1e-5)
    for name, value in cv.center.items():
        np.testing.assert_array_equal(value.asnumpy(), center[name].asnumpy())


def test_several_contexts(data):
    """Each context corrects its part of the batch, and the sum is what one context has."""
    contexts = [mx.cpu(0), mx.cpu(1)]

    def chain(ctx):
        net = line(ctx)
        for p in net.collect_params().values():
            p.set_data(nd.array(np.random.RandomState(5).normal(size=p.shape)))
        cv = sg.ControlVariates(net, Gaussian(), data)
        trainer = gluon.Trainer(net.collect_params(), "sghmc", {"learning_rate": 0.05, "num_data": N, "seed": 1})
        for x, y in batches(data):
            if len(ctx) == 1:
                cv.backward(x, y)
            else:
                losses = cv.backward(gluon.utils.split_and_load(x, ctx), gluon.utils.split_and_load(y, ctx))
                assert [loss.context for loss in losses] == ctx
            trainer.step(len(x))
        return net

    one, two = chain(contexts[:1]), chain(contexts)
    for p, q in zip(one.collect_params().values(), two.collect_params().values()):
        for array in q.list_data():
            np.testing.assert_allclose(array.asnumpy(), p.data().asnumpy(), rtol=1e-5, atol=1e-6)


def test_float16_with_master_weights(data):
    net = half_line()
    cv = sg.ControlVariates(net, Gaussian(), data)
    center = weights(net)
    full = exact(net, *data)
    assert all(a.dtype == np.float32 for a in cv.full_gradient.values())
    np.testing.assert_allclose(np.concatenate([a.asnumpy().ravel() for a in cv.full_gradient.values()]), full / N,
                               rtol=5e-3, atol=2e-3)
    there = exact(net, data[0][:16], data[1][:16])
    trainer = gluon.Trainer(net.collect_params(), "sghmc", {"learning_rate": 0.05, "num_data": N, "seed": 1,
                                                            "multi_precision": True})
    x, y = nd.array(data[0][:16], dtype="float16"), nd.array(data[1][:16])
    for _ in range(3):
        cv.backward(x, y)
        expected = exact(net, data[0][:16], data[1][:16]) - there + 16 / N * full
        np.testing.assert_allclose(found(net), expected, rtol=5e-3, atol=5e-2)
        trainer.step(16)
    assert np.abs(weights(net) - center).max() > 1e-3


def test_np_arrays(data):
    with mx.util.np_shape(True), mx.util.np_array(True):
        net = mx.gluon.nn.Dense(1, in_units=D)
        net.initialize(mx.init.Normal(0.5))
        cv = sg.ControlVariates(net, Gaussian(), data)
        moved_by = 0.25
        for p in net.collect_params().values():
            p.data()[:] += moved_by
        loss = cv.backward(mx.np.array(data[0][:16]), mx.np.array(data[1][:16]))
        assert isinstance(loss, mx.np.ndarray)
        g = np.concatenate([p.grad().asnumpy().ravel() for p in net.collect_params().values()])
        here = exact(net, data[0][:16], data[1][:16])
        for p in net.collect_params().values():
            p.data()[:] -= moved_by
        np.testing.assert_allclose(g, here - exact(net, data[0][:16], data[1][:16]) + 16 / N * exact(net, *data),
                                   rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- the centre and the data

def test_svrg_moves_the_centre_every_m_steps(data):
    net = line()
    cv = sg.ControlVariates(net, Gaussian(), data, update_every=3)
    start = weights(net)
    for step in range(7):
        moved(net, seed=step)
        now, (x, y) = weights(net), batches(data)[step % 4]
        cv.backward(x, y)
        if step in (3, 6):
            start = now
            np.testing.assert_allclose(found(net), len(x) / N * exact(net, *data), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(np.concatenate([a.asnumpy().ravel() for a in cv.center.values()]), start)


def test_recenter_by_hand(data):
    net = line()
    cv = sg.ControlVariates(net, Gaussian(), data)
    moved(net)
    cv.recenter()
    np.testing.assert_allclose(np.concatenate([a.asnumpy().ravel() for a in cv.full_gradient.values()]),
                               exact(net, *data) / N, rtol=1e-5, atol=1e-6)


def test_every_kind_of_data_gives_the_same_full_gradient(data):
    net = line()
    expected = exact(net, *data) / N
    dataset = gluon.data.ArrayDataset(*data)
    kinds = [data, (nd.array(data[0]), nd.array(data[1])), batches(data), gluon.data.DataLoader(dataset, 16),
             gluon.data.DataLoader(dataset, 16, shuffle=True, last_batch="keep"),
             mx.io.NDArrayIter(data[0], data[1], 16), (data[0].astype("float64"), data[1].astype("float64"))]
    for kind in kinds:
        cv = sg.ControlVariates(net, Gaussian(), kind, batch_size=30)
        assert cv.num_data == N
        np.testing.assert_allclose(np.concatenate([a.asnumpy().ravel() for a in cv.full_gradient.values()]), expected,
                                   rtol=1e-5, atol=1e-6)


def test_sixty_thousand_examples_in_float32():
    """At the mode the terms cancel: what rounding leaves is small against the force at a posterior width, sqrt(N)."""
    r = np.random.RandomState(0)
    x = r.normal(size=(60000, D)).astype("float32")
    y = (x @ np.ones((D, 1)) + r.normal(size=(60000, 1))).astype("float32")
    net = line()
    design = np.append(x, np.ones((60000, 1)), axis=1).astype(float)
    mode = np.linalg.solve(design.T @ design, design.T @ y)[:, 0]
    net.weight.set_data(nd.array(mode[None, :D]))
    net.bias.set_data(nd.array(mode[D:]))
    cv = sg.ControlVariates(net, Gaussian(), (x, y))
    total = np.concatenate([a.asnumpy().ravel() for a in cv.full_gradient.values()]) * 60000.0
    assert np.abs(total - exact(net, x, y)).max() < 1e-3 * 60000 ** 0.5


# ---------------------------------------------------------------- nothing else changes

def test_weights_gradients_and_their_marks_are_those_of_one_backward_pass(data):
    net = line()
    trainer = gluon.Trainer(net.collect_params(), "sghmc", {"learning_rate": 0.05, "num_data": N, "seed": 1})
    x, y = batches(data)[0]
    with autograd.record():
        loss = Gaussian()(net(x), y)
    loss.backward()
    before, gradient = weights(net), found(net)
    arrays = [id(a) for p in net.collect_params().values() for a in (p.data(), p.grad())]
    trainer.step(len(x))
    now = weights(net)
    cv = sg.ControlVariates(net, Gaussian(), data)
    assert not any(p.data()._fresh_grad for p in net.collect_params().values())
    np.testing.assert_array_equal(found(net), gradient)
    np.testing.assert_array_equal(weights(net), now)
    with pytest.raises(UserWarning, match="has not been updated by backward"):
        trainer.step(len(x))
    cv.backward(x, y)
    np.testing.assert_array_equal(weights(net), now)
    assert all(p.data()._fresh_grad for p in net.collect_params().values())
    trainer.step(len(x))
    assert np.abs(weights(net) - before).max() > 0
    assert arrays == [id(a) for p in net.collect_params().values() for a in (p.data(), p.grad())]


def test_weights_come_back_when_a_pass_fails(data):
    net = line()
    cv = sg.ControlVariates(net, Gaussian(), data)
    moved(net)
    now = weights(net)
    with pytest.raises(ValueError, match="label"):
        cv.backward(nd.array(data[0]), nd.zeros((N, 2)))
    np.testing.assert_array_equal(weights(net), now)


def test_running_statistics_move_once_a_step():
    """As without control variates, and not at all where the full gradient is formed."""
    data, loss, ends = mlp_data(), sg.likelihoods.Categorical(), []
    for with_cv in (False, True):
        mx.random.seed(4)
        net = mlp(gluon.nn.BatchNorm(in_channels=8))
        norm = net[1]
        if with_cv:
            with pytest.warns(UserWarning, match="normalises by the statistics of a batch"):
                cv = sg.ControlVariates(net, loss, data)
            assert norm.running_mean.data().abs().sum().asscalar() == 0
        for x, y in batches(data):
            if with_cv:
                cv.backward(x, y)
            else:
                with autograd.record():
                    out = loss(net(x), y)
                out.backward()
        ends.append(np.append(norm.running_mean.data().asnumpy(), norm.running_var.data().asnumpy()))
    np.testing.assert_allclose(*ends, rtol=1e-6)
    assert np.abs(ends[0]).max() > 0


def test_frozen_parameters_stay_and_are_followed():
    data, loss = mlp_data(), sg.likelihoods.Categorical()
    net = mlp()
    net[0].collect_params().setattr("grad_req", "null")
    first = net[0].weight.data().asnumpy()
    cv = sg.ControlVariates(net, loss, data)
    assert set(cv.center) == {"1.weight", "1.bias"}
    x, y = batches(data)[0]
    cv.backward(x, y)
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), first)
    net[0].weight.set_data(nd.zeros_like(net[0].weight.data()))
    cv.recenter()
    np.testing.assert_allclose(cv.full_gradient["1.weight"].asnumpy(), _last_layer_gradient(net, data), atol=1e-6)


def _last_layer_gradient(net, data):
    x, y = nd.array(data[0]), nd.array(data[1])
    with autograd.record():
        out = sg.likelihoods.Categorical()(net(x), y).mean()
    out.backward()
    return net[1].weight.grad().asnumpy()


@pytest.mark.parametrize("change", [lambda net: net.initialize(mx.init.Normal(0.5), force_reinit=True),
                                    lambda net: net.cast("float64")], ids=["initialised anew", "cast"])
def test_parameters_may_get_other_arrays(data, change):
    """The centre is then where it was, and the gradient that of the new weights."""
    net, (x, y) = line(), data
    cv = sg.ControlVariates(net, Gaussian(), data)
    center, full = cv.center, cv.full_gradient
    change(net)
    moved(net)
    dtype = net.weight.dtype
    cv.backward(nd.array(x[:9], dtype=dtype), nd.array(y[:9], dtype=dtype))
    here, there = exact(net, x[:9], y[:9]), line()
    for p, name in ((there.weight, "weight"), (there.bias, "bias")):
        p.set_data(center[name])
    expected = here - exact(there, x[:9], y[:9]) + 9 * np.append(full["weight"].asnumpy(), full["bias"].asnumpy())
    np.testing.assert_allclose(found(net), expected, rtol=1e-4, atol=1e-4)


def test_a_resumable_loader_is_read_whole_and_left_where_it_was(data):
    """In the middle of an epoch, which its own loop would go on with."""
    loader = sg.data.ResumableLoader(gluon.data.ArrayDataset(*data), 16, seed=0)
    next(iter(loader))
    net = line()
    cv = sg.ControlVariates(net, Gaussian(), loader)
    assert cv.num_data == N and (loader.epoch, loader.index) == (0, 1)
    expected = exact(net, *data) / N
    np.testing.assert_allclose(np.append(*(g.asnumpy() for g in cv.full_gradient.values())), expected, atol=1e-5)
    with pytest.raises(ValueError, match="data drops rows"):
        sg.ControlVariates(net, Gaussian(), sg.data.ResumableLoader(loader._dataset, 16, last_batch="discard"))


def test_inside_record_it_is_refused(data):
    net, (x, y) = line(), data
    cv = sg.ControlVariates(net, Gaussian(), data)
    with autograd.record(), pytest.raises(RuntimeError, match="outside of autograd.record"):
        cv.backward(nd.array(x[:9]), nd.array(y[:9]))


def test_with_a_bayesian_trainer():
    """Samples, and a potential that is that of the present weights, not of the centre."""
    data, loss = mlp_data(), sg.likelihoods.Categorical()
    net = mlp()
    trainer = sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.01, "num_data": N}, loss, burn_in=2, seed=0)
    cv = sg.ControlVariates(net, loss, data)
    moved(net)
    for x, y in batches(data) * 2:
        seen = cv.backward(x, y)
        np.testing.assert_array_equal(trainer._loss.asnumpy(), seen.asnumpy())
        trainer.step(len(x))
    assert len(trainer.samples) == 8
    assert trainer.predict(data[0]).shape == (N, K)


# ---------------------------------------------------------------- bad input

def test_dropout_warns_and_a_sound_network_does_not():
    data, loss = mlp_data(), sg.likelihoods.Categorical()
    with pytest.warns(UserWarning, match="other ones in each of the two passes"):
        sg.ControlVariates(mlp(gluon.nn.Dropout(0.5)), loss, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        net = mlp(gluon.nn.Dropout(0.0), gluon.nn.BatchNorm(in_channels=8, use_global_stats=True))
        sg.ControlVariates(net, loss, data)


def test_another_num_data_warns_once(data):
    net = line()
    cv = sg.ControlVariates(net, Gaussian(), data)
    trainer = gluon.Trainer(net.collect_params(), "sghmc", {"learning_rate": 0.05, "num_data": N + 5, "seed": 1})
    x, y = batches(data)[0]
    with pytest.warns(UserWarning, match=f"num_data is {N + 5}, but the data set .* has {N}"):
        cv.backward(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cv.backward(x, y)
    assert trainer.optimizer.num_data == N + 5


def test_amp_is_refused(data):
    net = line()
    cv = sg.ControlVariates(net, Gaussian(), data)
    trainer = gluon.Trainer(net.collect_params(), "sghmc", {"learning_rate": 0.05, "num_data": N, "seed": 1})
    trainer._amp_loss_scaler = object()
    with pytest.raises(ValueError, match="AMP scales the loss"):
        cv.backward(*batches(data)[0])


def test_overflow_in_float16_is_told(data):
    net = half_line()
    with pytest.raises(ValueError, match="not finite at these weights"):
        sg.ControlVariates(net, Gaussian(), (data[0] * 1e4, data[1] * 1e4))


def _uninitialised(data):
    return sg.ControlVariates(gluon.nn.Dense(1, in_units=D), Gaussian(), data)


def _deferred(data):
    net = gluon.nn.Dense(1)
    net.initialize()
    return sg.ControlVariates(net, Gaussian(), data)


def _grad_req(data, value):
    net = line()
    net.collect_params().setattr("grad_req", value)
    return sg.ControlVariates(net, Gaussian(), data)


def _sparse(data):
    net = gluon.nn.Embedding(5, 2, sparse_grad=True)
    net.initialize()
    return sg.ControlVariates(net, Gaussian(), data)


def _loader(data, last):
    return gluon.data.DataLoader(gluon.data.ArrayDataset(*data), 16, last_batch=last)


def _cv(data, **kwargs):
    return sg.ControlVariates(line(), Gaussian(), data, **kwargs)


BAD = [
    ("net", lambda d: sg.ControlVariates(line().collect_params(), Gaussian(), d), TypeError, "net must be a gluon.Blo"),
    ("loss class", lambda d: sg.ControlVariates(line(), Gaussian, d), TypeError, "loss must be an object"),
    ("mean", lambda d: sg.ControlVariates(line(), lambda a, b: Gaussian()(a, b).mean(), d), ValueError,
     "one value an example, shape (70,)"),
    ("uninitialised", _uninitialised, RuntimeError, "net.initialize()"),
    ("deferred", _deferred, RuntimeError, "run a batch through the network first: net(x)"),
    ("grad_req add", lambda d: _grad_req(d, "add"), ValueError, "grad_req='add'"),
    ("grad_req null", lambda d: _grad_req(d, "null"), ValueError, "no parameter with a gradient"),
    ("sparse", _sparse, ValueError, "sparse_grad=False"),
    ("batch_size", lambda d: _cv(d, batch_size=0), ValueError, "batch_size must be at least 1"),
    ("update_every", lambda d: _cv(d, update_every=0), ValueError, "update_every must be at least 1"),
    ("x alone", lambda d: _cv(d[0]), TypeError, "data must be inputs and labels"),
    ("a word", lambda d: _cv("mnist"), TypeError, "data must be inputs and labels"),
    ("a generator", lambda d: _cv(b for b in batches(d)), TypeError, "can be read once only"),
    ("no labels", lambda d: _cv([x for x, _ in batches(d)]), TypeError, "not inputs and labels"),
    ("lengths", lambda d: _cv((d[0], d[1][:5])), ValueError, "must count the same examples"),
    ("empty", lambda d: _cv((d[0][:0], d[1][:0])), ValueError, "data is empty"),
    ("discard", lambda d: _cv(_loader(d, "discard")), ValueError, "last_batch='keep'"),
    ("rollover", lambda d: _cv(_loader(d, "rollover")), ValueError, "last_batch='keep'"),
    ("numpy batch", lambda d: _cv(d).backward(*d), TypeError, "write mx.nd.array(x)"),
    ("labels of a batch", lambda d: _cv(d).backward(nd.array(d[0]), nd.array(d[1][:5])), ValueError, "as many labels"),
    ("lists", lambda d: _cv(d).backward(batches(d)[0], batches(d)[1]), ValueError, "split_and_load"),
]


@pytest.mark.parametrize("call, error, message", [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_named(data, call, error, message):
    with pytest.raises(error) as e:
        call(data)
    assert message in str(e.value)


def test_a_network_on_two_contexts_wants_two_batches(data):
    cv = sg.ControlVariates(line([mx.cpu(0), mx.cpu(1)]), Gaussian(), data)
    with pytest.raises(ValueError, match="split_and_load"):
        cv.backward(*batches(data)[0])
