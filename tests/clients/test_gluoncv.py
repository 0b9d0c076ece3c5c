"""GluonCV's residual network on small images: its BatchNorm held still, or another layer in its place."""
import mxnet as mx
import numpy as np
import pytest
from foreign import digits, needs
from mxnet import autograd, gluon

import sgmcmc_mx as sg

pytestmark = needs("gluoncv")
TRAIN, BATCH = 1000, 50


@pytest.fixture(scope="module")
def data():
    x, y = digits()
    x = np.kron(x, np.ones((2, 2), np.float32))[:, None].repeat(3, axis=1)      # 16 x 16, in three colours
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]


def network(**options):
    from gluoncv.model_zoo import get_model
    net = get_model("cifar_resnet20_v1", classes=10, **options)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def run(net, trainer, data, steps):
    loss_fn = sg.likelihoods.Categorical()
    for k in range(steps):
        rows = np.arange(BATCH * k, BATCH * (k + 1)) % TRAIN
        with autograd.record():
            loss = loss_fn(net(mx.nd.array(data[0][rows])), mx.nd.array(data[1][rows]))
        loss.backward()
        trainer.step(BATCH)
    return trainer


def sampler(net, **options):
    return sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.003, "num_data": TRAIN}, sg.likelihoods.Categorical(),
                              seed=0, **options)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The file of a network that SGD has trained as it is, its BatchNorm included."""
    mx.random.seed(0)
    net = network()
    net.initialize(mx.init.Xavier())
    trainer = run(net, gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.05, "momentum": 0.9}), data, 100)
    trainer.set_learning_rate(0.005)    # so that the running statistics are those of the network as it is in the end
    run(net, trainer, data, 40)
    path = str(tmp_path_factory.mktemp("gluoncv") / "trained.params")
    net.save_parameters(path)
    return path


def test_batchnorm_as_it_is_is_told(data, trained):
    net = network()
    net.load_parameters(trained)
    trainer = run(net, sampler(net, thin=2), data, 2)
    with pytest.warns(UserWarning, match="batchnorm.*use_global_stats=True"):
        trainer.predict(data[2][:10])


@pytest.mark.filterwarnings("error:.*normalises by the statistics")
def test_held_statistics_stay_and_the_average_is_better_than_its_start(data, trained, tmp_path):
    net = network(norm_kwargs={"use_global_stats": True})
    net.load_parameters(trained)
    start = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    before = mx.nd.softmax(net(mx.nd.array(data[2]))).asnumpy()
    trainer = run(net, sampler(net, burn_in=40, thin=4, store=tmp_path / "run"), data, 80)
    assert len(trainer.samples) == 10
    for sample in trainer.samples:
        for name, array in sample.items():
            same = np.array_equal(array.asnumpy(), start[name])
            assert same == ("running_" in name), name
    probs, each = trainer.predict(data[2]), trainer.predict(data[2], samples=True)
    np.testing.assert_allclose(probs, each.mean(axis=0), rtol=1e-4, atol=1e-6)
    trainer.close()
    np.testing.assert_array_equal(sg.predict(net, sg.load(tmp_path / "run"), data[2], "softmax"), probs)
    nll = [sg.metrics.nll(p, data[3]) for p in (probs, before)]
    print("NLL of average and start", nll, "accuracy", [sg.metrics.accuracy(p, data[3]) for p in (probs, before)])
    assert nll[0] < nll[1]
    assert nll[0] < np.mean([sg.metrics.nll(p, data[3]) for p in each])
    assert sg.metrics.accuracy(probs, data[3]) > 0.85


@pytest.mark.filterwarnings("error:.*normalises by the statistics")
def test_another_layer_in_its_place(data):
    mx.random.seed(0)
    net = network(norm_layer=gluon.nn.GroupNorm, norm_kwargs={"num_groups": 4})
    net.initialize(mx.init.Xavier())
    trainer = run(net, sampler(net, burn_in=2, thin=2), data, 8)
    assert len(trainer.samples) == 3 and not any("running" in name for name in trainer.samples[0])
    x = data[2][:100]
    alone = [mx.nd.softmax(each(mx.nd.array(x))).asnumpy() for each in trainer.networks()]
    assert np.abs(alone[0] - alone[2]).max() > 1e-3
    np.testing.assert_allclose(trainer.predict(x), np.mean(alone, axis=0), rtol=1e-4, atol=1e-6)
