"""gluon.contrib's Estimator with a chain that its handler makes, keeps and predicts with."""
import logging

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from mxnet.gluon.contrib.estimator import Estimator
from roads import assert_same
from trainers import D, K, N, build, make, run

import sgmcmc_mx as sg

BATCH = 20
X = np.random.RandomState(0).randn(N, D).astype(np.float32)
Y = X[:, :K].argmax(axis=1).astype(np.float32)
OPTIONS = {"learning_rate": 0.05, "num_data": N}
COLLECTING = {"burn_in": 4, "thin": 2, "seed": 0}


class Written:
    """What a SummaryWriter has to have."""

    def __init__(self):
        self.seen = {}

    def add_scalar(self, tag, value, global_step=None):
        assert isinstance(value, (int, float))
        self.seen.setdefault(tag, []).append((global_step, value))


def network():
    mx.random.seed(0)
    return build()


def fitted(handler, epochs=4, net=None, loss=None, **more):
    net = network() if net is None else net
    more.setdefault("trainer", gluon.Trainer(net.collect_params(), "sgd"))
    estimator = Estimator(net, loss or sg.likelihoods.Categorical(), train_metrics=mx.metric.Accuracy(),
                          context=mx.cpu(), **more)
    estimator.logger.setLevel(logging.ERROR)
    batches = gluon.data.DataLoader(gluon.data.ArrayDataset(X, Y), batch_size=BATCH)
    estimator.fit(batches, epochs=epochs, event_handlers=[handler])
    return estimator


def own_loop(steps=12):
    return run(make(network(), **{name: COLLECTING[name] for name in ("burn_in", "thin")}), (X, Y), steps, batch=BATCH)


def test_it_is_the_chain_of_an_ordinary_loop_and_predicts_at_the_end():
    handler = sg.estimator.SamplingHandler("sgnht", OPTIONS, held_out=(X, Y), **COLLECTING)
    fitted(handler)
    own = own_loop()
    assert [s.step for s in handler.trainer.samples] == [s.step for s in own.samples] == [6, 8, 10, 12]
    for a, b in zip(handler.trainer.samples, own.samples):
        assert_same([v.asnumpy() for v in a.values()], [v.asnumpy() for v in b.values()])
    np.testing.assert_array_equal(handler.prediction, own.predict(X))


def test_scores_are_those_of_the_average_so_far():
    """And not those of the network as it is at the end of the epoch."""
    own = mx.metric.Accuracy(name="MXNet's")
    handler = sg.estimator.SamplingHandler("sgnht", OPTIONS, held_out=(X, Y), scores=("nll", own), **COLLECTING)
    fitted(handler)
    assert [step for step, _ in handler.history] == [6, 9, 12]      # after the first epoch there was no sample
    for step, told in handler.history:
        probs = own_loop(step).predict(X)
        assert told["average nll"] == pytest.approx(sg.metrics.nll(probs, Y))
        assert told["MXNet's"] == pytest.approx(sg.metrics.accuracy(probs, Y))


def test_every_second_epoch_and_the_last():
    handler = sg.estimator.SamplingHandler("sgnht", OPTIONS, held_out=(X, Y), every=2, **COLLECTING)
    fitted(handler, epochs=5)
    assert [step for step, _ in handler.history] == [6, 12, 15]


def test_a_second_fit_goes_on():
    handler = sg.estimator.SamplingHandler("sgnht", OPTIONS, **COLLECTING)
    estimator = fitted(handler, epochs=2)
    first = handler.trainer
    batches = gluon.data.DataLoader(gluon.data.ArrayDataset(X, Y), batch_size=BATCH)
    estimator.fit(batches, epochs=2, event_handlers=[handler])
    assert handler.trainer is first
    last, its = ([v.asnumpy() for v in chain.samples[-1].values()] for chain in (first, own_loop()))
    assert_same(last, its)


def test_a_store_is_gone_on_with(tmp_path):
    """By another Estimator, of a network with other weights: the samples are those of a run of one piece."""
    given = {"store": str(tmp_path / "run"), **COLLECTING}
    fitted(sg.estimator.SamplingHandler("sgnht", OPTIONS, **given), epochs=2)
    assert [s.step for s in sg.load(tmp_path / "run")] == [6]
    again = sg.estimator.SamplingHandler("sgnht", OPTIONS, held_out=X, **given)
    fitted(again, epochs=2, net=build())
    own = own_loop()
    assert [s.step for s in sg.load(tmp_path / "run")] == [6, 8, 10, 12]
    np.testing.assert_array_equal(again.prediction, own.predict(X))


def test_the_estimators_own_chain():
    net = network()
    trainer = make(net, burn_in=4, thin=2)
    handler = sg.estimator.SamplingHandler(held_out=X)
    fitted(handler, net=net, trainer=trainer, loss=trainer.likelihood)
    assert handler.trainer is trainer
    np.testing.assert_array_equal(handler.prediction, own_loop().predict(X))


def test_scalars_are_written():
    writer = Written()
    scalars = sg.estimator.Scalars(writer, every=3, prefix="run")
    handler = sg.estimator.SamplingHandler("sgnht", OPTIONS, held_out=(X, Y), scalars=scalars, **COLLECTING)
    fitted(handler)
    seen = writer.seen
    assert [step for step, _ in seen["run/samples"]] == [3, 6, 9, 12]
    assert [n for _, n in seen["run/samples"]] == [0, 1, 2, 4]
    names = [name for name in seen if name.startswith("run/temperature/")]
    assert len(names) == 4 and all(len(seen[name]) == 4 for name in names)
    chain = own_loop()
    for name in ("potential", "temperature", "friction"):
        assert seen[f"run/{name}"][-1] == (12, pytest.approx(float(getattr(chain, name).asscalar())))
    assert seen["run/average nll"][-1] == (12, pytest.approx(sg.metrics.nll(handler.prediction, Y)))


def test_scalars_of_a_sampler_without_momentum():
    writer = Written()
    chain = make(network(), "sgld")
    scalars = sg.estimator.Scalars(writer, every=1)
    for _ in range(2):
        run(chain, (X, Y), 1)
        scalars(chain)
    assert set(writer.seen) == {"chain/potential", "chain/samples"}


@pytest.mark.parametrize("make_it, error, said", [
    (lambda: sg.estimator.SamplingHandler(burn_in=3), ValueError, "burn_in is given, and no sampler"),
    (lambda: sg.estimator.SamplingHandler(held_out=(X, Y, Y)), ValueError, "a pair of inputs and labels, got 3"),
    (lambda: sg.estimator.SamplingHandler(scores=["acc"]), ValueError, "score must be one of 'accuracy', 'nll'"),
    (lambda: sg.estimator.SamplingHandler(every=0), ValueError, "every must be at least 1, got 0"),
    (lambda: sg.estimator.SamplingHandler(scalars=Written()), TypeError, "scalars must be a Scalars, got Written"),
    (lambda: sg.estimator.Scalars(3), TypeError, r"writer must have add_scalar\(tag, value, global_step\), got int"),
    (lambda: fitted(sg.estimator.SamplingHandler()), TypeError, "the Estimator's trainer is a Trainer"),
])
def test_bad_input(make_it, error, said):
    with pytest.raises(error, match=said):
        make_it()
