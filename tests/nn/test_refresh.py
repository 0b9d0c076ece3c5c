"""Running statistics are those of the data at the weights of now; nothing else is touched."""
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

import sgmcmc_mx as sg
from sgmcmc_mx.nn import refresh_batchnorm

ROWS = 70       # in batches of 16, the last of 6


def network(*layers, hybrid=False):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=2), nn.BatchNorm(in_channels=4), *layers)
    net.initialize()
    net.hybridize(hybrid)
    net(nd.zeros((1, 2, 5, 5)))
    return net


def images(seed=0):
    rng = np.random.RandomState(seed)
    # Batches differ in their means, so that variance within them is not the variance.
    return (rng.normal(size=(ROWS, 2, 5, 5)) + np.arange(ROWS).reshape(-1, 1, 1, 1) / 20).astype("float32")


def statistics(layer):
    return layer.running_mean.data().asnumpy(), layer.running_var.data().asnumpy()


def of(values, axis=1):
    rest = tuple(i for i in range(values.ndim) if i != axis)
    return values.astype("float64").mean(axis=rest), values.astype("float64").var(axis=rest)


def close(found, exact):
    return all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(found, exact))


@pytest.mark.parametrize("hybrid", [False, True])
def test_the_exact_mean_and_variance_over_all_batches(hybrid):
    net, x = network(hybrid=hybrid), images()
    before = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    kept = net._cached_graph
    assert refresh_batchnorm(net, x, batch_size=16) is net
    values = net[0](nd.array(x)).asnumpy()
    assert close(statistics(net[1]), of(values))
    averaged = np.average([of(values[i:i + 16])[1] for i in range(0, ROWS, 16)], axis=0, weights=[16] * 4 + [6])
    assert not np.allclose(averaged, of(values)[1], rtol=1e-2)      # the mutant: an average of variances
    for name, p in net._collect_params_with_prefix().items():
        assert (p.data().asnumpy() == before[name]).all() == ("running" not in name), name
    assert net._cached_graph is kept and not net[1]._forward_pre_hooks and not net[1]._forward_hooks
    gamma, beta = (p.data().asnumpy().reshape(1, -1, 1, 1) for p in (net[1].gamma, net[1].beta))
    mean, var = (a.reshape(1, -1, 1, 1) for a in of(values))
    np.testing.assert_allclose(net(nd.array(x)).asnumpy(), gamma * (values - mean) / np.sqrt(var + 1e-5) + beta,
                               rtol=1e-3, atol=1e-4)


def test_a_deeper_layer_sees_what_training_would_show_it_but_for_dropout():
    net, x = network(nn.Dropout(0.9), nn.Dense(3, in_units=36), nn.BatchNorm(in_channels=3)), images()
    refresh_batchnorm(net, x)       # as one batch
    inner = nn.HybridSequential()
    inner.add(net[0], net[1], net[3])
    assert close(statistics(net[4]), of(inner(nd.array(x)).asnumpy()))
    before = autograd.is_training()
    refresh_batchnorm(net, [(nd.array(x[:40]), nd.zeros(40)), (nd.array(x[40:]), nd.zeros(30))])    # beside labels
    assert close(statistics(net[1]), of(net[0](nd.array(x)).asnumpy())) and autograd.is_training() == before


def test_every_sample_gets_its_own():
    net, x = network(nn.Dense(2, in_units=36)), images()
    y = nd.array(np.arange(ROWS) % 2)
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": ROWS, "learning_rate": 0.1}, sg.likelihoods.Categorical(),
                                 seed=0)
    trainer.sample(sg.data.ArrayLoader(x, y, batch_size=ROWS), 4)
    last = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    found = []
    for its in sg.networks(net, trainer.samples):
        assert not close(statistics(its[1]), of(its[0](nd.array(x)).asnumpy()))
        refresh_batchnorm(its, x, batch_size=16)
        found.append(close(statistics(its[1]), of(its[0](nd.array(x)).asnumpy())))
    assert found == [True] * 4
    assert all((p.data().asnumpy() == last[name]).all() for name, p in net._collect_params_with_prefix().items())


def test_channels_last_a_shared_layer_and_global_statistics():
    shared = nn.BatchNorm(axis=-1, in_channels=3)
    still = nn.BatchNorm(axis=-1, in_channels=3, use_global_stats=True)
    net = nn.HybridSequential()
    net.add(shared, nn.HybridLambda(lambda F, x: 2 * x + 1), shared, still)
    net.initialize()
    x = np.random.RandomState(0).normal(size=(8, 5, 3)).astype("float32")
    refresh_batchnorm(net, x)
    mean, var = of(x, 2)
    again = 2 * (x - mean) / np.sqrt(var + 1e-5) + 1
    assert close(statistics(shared), of(np.concatenate([x, again]), 2))
    assert statistics(still)[0].tolist() == [0, 0, 0] and statistics(still)[1].tolist() == [1, 1, 1]


class Unused(gluon.Block):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm(in_channels=2)

    def forward(self, x):
        return x


def unused():
    net = Unused()
    net.initialize()
    return net


@pytest.mark.parametrize("call, error, said", [
    (lambda: refresh_batchnorm(nn.Dense(1), np.ones((2, 2))), ValueError, "net has no BatchNorm layer"),
    (lambda: refresh_batchnorm(nn.BatchNorm(), np.ones((2, 2))), ValueError, "is not initialised, or waits"),
    (lambda: refresh_batchnorm(unused(), np.ones((2, 2))), ValueError, "no row of it came to"),
    (lambda: refresh_batchnorm(network(), 3), TypeError, "data"),
    (lambda: refresh_batchnorm(network(), images(), batch_size=0), ValueError, "batch_size must be at least 1"),
    (lambda: refresh_batchnorm({}, images()), TypeError, "net must be a gluon.Block"),
])
def test_wrong_arguments(call, error, said):
    with pytest.raises(error, match=said):
        call()
    if "came to" in said:
        net = unused()
        with pytest.raises(ValueError):
            refresh_batchnorm(net, np.ones((2, 2)))
        assert statistics(net.norm)[0].tolist() == [0, 0] and not net.norm._forward_hooks
