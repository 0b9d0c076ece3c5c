"""gluon.contrib's Estimator, whose loop is its own, with a trainer that samples."""
import logging

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from mxnet.gluon.contrib.estimator import Estimator
from roads import assert_same
from trainers import D, K, N, build, make, run

import sgmcmc_mx as sg

EPOCHS, BATCH = 10, 20
X = np.random.RandomState(0).randn(N, D).astype(np.float32)
Y = X[:, :K].argmax(axis=1).astype(np.float32)


def fitted(trainer, loss, **more):
    """The Estimator that has run all epochs with this trainer."""
    estimator = Estimator(trainer.net, loss, train_metrics=mx.metric.Accuracy(), trainer=trainer, context=mx.cpu(),
                          **more)
    estimator.logger.setLevel(logging.ERROR)
    batches = gluon.data.DataLoader(gluon.data.ArrayDataset(X, Y), batch_size=BATCH)
    estimator.fit(batches, epochs=EPOCHS)
    return estimator


def sampling(loss):
    mx.random.seed(0)
    return make(build(), likelihood=loss, burn_in=6, thin=4)


@pytest.mark.parametrize("loss", [sg.likelihoods.Categorical(), gluon.loss.SoftmaxCrossEntropyLoss()],
                         ids=["likelihood", "loss"])
def test_its_loop_is_the_chain_of_an_ordinary_one(loss):
    estimated, own = sampling(loss), sampling(loss)
    fitted(estimated, loss)
    run(own, (X, Y), EPOCHS * N // BATCH, batch=BATCH)
    assert estimated.num_steps == own.num_steps == 30
    assert [s.step for s in estimated.samples] == [10, 14, 18, 22, 26, 30]
    for a, b in zip(estimated.samples, own.samples):
        assert_same([v.asnumpy() for v in a.values()], [v.asnumpy() for v in b.values()])
        assert a.potential == b.potential
    np.testing.assert_array_equal(estimated.predict(X, "softmax"), own.predict(X, "softmax"))


def test_its_own_metric_is_that_of_the_last_weights_and_the_average_is_better():
    """What the Estimator reports while it trains is one network at a time."""
    loss = sg.likelihoods.Categorical()
    mx.random.seed(0)
    trainer = sg.BayesianTrainer(build(), "sgnht", {"learning_rate": 0.2, "num_data": N, "friction": 0.3}, loss, seed=0,
                                 burn_in=10, thin=1)
    estimator = fitted(trainer, loss)
    told = dict(metric.get() for metric in estimator.train_metrics)["training accuracy"]
    probs = trainer.predict(X)
    assert 0.4 < told <= 1.0
    alone = [sg.metrics.nll(each, Y) for each in trainer.predict(X, samples=True)]
    assert sg.metrics.nll(probs, Y) < np.mean(alone) - 0.01     # the average is more likely than its parts on average
    assert sg.metrics.accuracy(probs, Y) > 0.7
