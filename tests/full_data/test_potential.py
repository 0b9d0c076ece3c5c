"""The potential over all data, and its gradient, against the formula."""

import mxnet as mx
import numpy as np
import pytest
from full_data_chains import K, N, build, by_hand, weights
from mxnet import autograd, gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg
from sgmcmc_mx.full_data.potential import Potential


def kinds_of_data(x, y):
    pairs = gluon.data.ArrayDataset(x, y)
    return {
        "arrays": (x, y), "NDArrays": [nd.array(x), nd.array(y)], "float64": (x.astype("float64"), y.astype("int64")),
        "a loader": gluon.data.DataLoader(pairs, 7),
        "a shuffling loader": gluon.data.DataLoader(pairs, 7, shuffle=True),
        "a resumable loader": _begun(sg.data.ResumableLoader(pairs, 7, seed=0)),
        "a list": [(x[:10], y[:10]), (x[10:], y[10:])],
        "an iterator": mx.io.NDArrayIter(x, y, 7, last_batch_handle="pad")}


def _begun(loader):
    next(iter(loader))
    return loader


def test_every_kind_of_data_gives_the_potential_and_its_gradient(data):
    net = build()
    net(nd.array(data[0]))
    found = []
    for kind, given in kinds_of_data(*data).items():
        U = Potential(net, sg.likelihoods.Categorical(), given, batch_size=6, wd=2.0)
        position = U.position()
        value, gradient = U.with_gradient(position)
        assert U(position) == pytest.approx(value, rel=1e-7) == pytest.approx(by_hand(net, data, 2.0), rel=1e-6), kind
        assert U.num_data == N and U.passes == 2
        found.append(np.concatenate([g.asnumpy().ravel() for g in gradient]))
        np.testing.assert_allclose(found[-1], found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hybrid", [None, {}, {"static_alloc": True}, {"static_alloc": True, "static_shape": True}])
def test_gradient_is_that_of_the_potential_in_predict_mode(data, hybrid):
    """By central differences, with layers that behave otherwise in training; batches of two sizes."""
    net = build(gluon.nn.BatchNorm(), gluon.nn.Dropout(0.5), dtype="float64")
    x = nd.array(data[0], dtype="float64")
    with autograd.record():     # running statistics that are not 0 and 1
        net(3.0 * x + 1.0)
    if hybrid is not None:
        net.hybridize(**hybrid)
    U = Potential(net, sg.likelihoods.Categorical(), data, batch_size=9, prior={".*bias": 0.5}, wd=3.0)
    before = {n: w for n, w in weights(net).items() if "running" in n}
    position, rng = U.position(), np.random.RandomState(1)
    _, gradient = U.with_gradient(position)
    for _ in range(3):
        direction = [nd.array(rng.normal(size=w.shape), dtype="float64") for w in position]
        up, down = (U([w + h * v for w, v in zip(position, direction)]) for h in (1e-5, -1e-5))
        slope = sum(float((g * v).sum().asscalar()) for g, v in zip(gradient, direction))
        assert slope == pytest.approx((up - down) / 2e-5, rel=1e-6)
    assert U(position) == U(position)
    for name, value in before.items():
        np.testing.assert_array_equal(weights(net)[name], value)


def test_gradients_of_any_grad_req_and_of_sparse_rows(data):
    """What was in the gradient buffers before is nothing to them."""
    labels = data[1]
    found = []
    for req, sparse in (("write", False), ("add", False), ("write", True)):
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Embedding(6, 4, sparse_grad=sparse), gluon.nn.Dense(K, in_units=4))
        net.initialize()
        for i, p in enumerate(net.collect_params().values()):
            p.set_data(nd.array(np.random.RandomState(i).normal(size=p.shape)))
            p.grad_req = req
        U = Potential(net, sg.likelihoods.Categorical(), (np.arange(N) % 5, labels), batch_size=8)
        for _ in range(2):
            _, gradient = U.with_gradient(U.position())
        found.append(np.concatenate([g.asnumpy().ravel() for g in gradient]))
        np.testing.assert_allclose(found[-1], found[0], rtol=1e-5, atol=1e-6)


def test_priors_go_by_name_fan_in_and_wd_mult(data):
    net = build()
    net(nd.array(data[0]))
    net[1].bias.wd_mult = 4.0
    U = Potential(net, sg.likelihoods.Categorical(), data, wd=3.0, prior={"0.weight": 7.0, ".*weight": "fan_in"})
    known = dict(zip(("0.weight", "0.bias", "1.weight", "1.bias"), [law.precision for law in U.laws]))
    assert known == {"0.weight": 7.0, "0.bias": 3.0, "1.weight": 5.0, "1.bias": 12.0}
    zero = [w * 0 for w in U.position()]
    only = [w if i == 3 else z for i, (w, z) in enumerate(zip(U.position(), zero))]
    only[3][:] = 1.0
    assert U.prior_energy(only) == pytest.approx(0.5 * 12.0 * K)
