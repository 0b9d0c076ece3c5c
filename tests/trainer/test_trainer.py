"""BayesianTrainer: what is collected, when, and what prediction does with it."""
import gc
import logging
import warnings
import weakref

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg

N, D, K = 60, 4, 3


@pytest.fixture
def data():
    r = np.random.RandomState(0)
    return r.normal(size=(N, D)).astype("float32"), r.randint(0, K, N).astype("int32")


def build(*extra, units=K, ctx=None):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(8, in_units=D, activation="relu"), *extra, gluon.nn.Dense(units, in_units=8))
    net.initialize(mx.init.Xavier(), ctx=ctx)
    return net


def make(net, optimizer="sgnht", likelihood=None, seed=0, **kwargs):
    params = {"learning_rate": 0.05, "num_data": N}
    return sg.BayesianTrainer(net, optimizer, params, likelihood or sg.likelihoods.Categorical(), seed=seed, **kwargs)


def run(trainer, data, steps, batch=20, step=None):
    x, y = nd.array(data[0]), nd.array(data[1])
    for i in range(steps):
        rows = nd.array(np.arange(i * batch, (i + 1) * batch) % N, dtype="int32")
        with autograd.record():
            loss = trainer.likelihood(trainer.net(nd.take(x, rows)), nd.take(y, rows))
        loss.backward()
        if step is None:
            trainer.step(batch)
        else:
            step(trainer, batch)
    return trainer


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ---------------------------------------------------------------- collecting

def test_samples_come_after_burn_in_every_thin_steps(data):
    trainer = run(make(build(), burn_in=5, thin=3), data, 15)
    assert [s.step for s in trainer.samples] == [8, 11, 14]
    assert trainer.num_steps == 15


def test_a_sample_is_a_copy_of_the_weights_after_the_update(data):
    net = build()
    trainer = run(make(net, burn_in=3, thin=1), data, 4)
    now = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    assert set(trainer.samples[0]) == set(now) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    for name, value in now.items():
        np.testing.assert_array_equal(trainer.samples[0][name].asnumpy(), value)
    run(trainer, data, 1)
    for name, value in now.items():     # the chain moved on, the sample did not
        np.testing.assert_array_equal(trainer.samples[0][name].asnumpy(), value)
        assert np.abs(trainer.samples[1][name].asnumpy() - value).max() > 0


def test_both_roads_to_an_update_collect(data):
    def two(trainer, batch):
        trainer.allreduce_grads()
        trainer.update(batch)

    a = run(make(build(), kvstore=None), data, 4)
    net = build()
    for p, q in zip(net.collect_params().values(), a.net.collect_params().values()):
        p.set_data(q.data())
    b = run(make(net, kvstore=None), data, 4, step=two)
    assert [s.step for s in b.samples] == [s.step for s in a.samples] == [1, 2, 3, 4]


def test_same_seed_same_samples_with_one_context_or_two(data):
    def chain(ctx, **kwargs):
        mx.random.seed(3)
        net = build(ctx=ctx)
        for i, p in enumerate(net.collect_params().values()):
            p.set_data(nd.array(np.random.RandomState(i).normal(size=p.shape)))
        trainer = make(net, **kwargs)
        for i in range(6):
            rows = np.arange(i * 20, (i + 1) * 20) % N
            xs = gluon.utils.split_and_load(nd.array(data[0][rows]), ctx)
            ys = gluon.utils.split_and_load(nd.array(data[1][rows]), ctx)
            with autograd.record():
                losses = [trainer.likelihood(net(x), y) for x, y in zip(xs, ys)]
            for loss in losses:
                loss.backward()
            trainer.step(20)
        return trainer

    one = chain([mx.cpu(0)])
    for kwargs in ({"update_on_kvstore": True}, {"update_on_kvstore": False}, {}):
        two = chain([mx.cpu(0), mx.cpu(1)], **kwargs)
        assert len(two.samples) == 6
        for name in one.samples[-1]:
            np.testing.assert_allclose(two.samples[-1][name].asnumpy(), one.samples[-1][name].asnumpy(), atol=2e-6)
        np.testing.assert_allclose(two.predict(data[0]), one.predict(data[0]), atol=1e-5)


def test_running_statistics_are_part_of_a_sample(data):
    trainer = run(make(build(gluon.nn.BatchNorm(in_channels=8))), data, 3)
    means = [s["1.running_mean"].asnumpy() for s in trainer.samples]
    assert np.abs(means[0]).max() > 0 and np.abs(means[2] - means[1]).max() > 0
    with pytest.warns(UserWarning, match="statistics of a batch"):
        trainer.predict(data[0])


def test_shared_parameters_are_kept_once_under_both_names(data):
    net = gluon.nn.HybridSequential()
    first = gluon.nn.Dense(4, in_units=D)
    net.add(first, gluon.nn.Dense(4, in_units=4, params=first.params), gluon.nn.Dense(K, in_units=4))
    net.initialize()
    sample = run(make(net), data, 1).samples[0]
    assert sample["0.weight"] is sample["1.weight"]


def test_max_samples_stops_collecting_not_the_chain(data, caplog):
    with caplog.at_level(logging.INFO, "sgmcmc_mx"):
        trainer = run(make(build(), max_samples=2), data, 5)
    assert [s.step for s in trainer.samples] == [1, 2] and trainer.num_steps == 5
    assert sum("max_samples=2" in r.message for r in caplog.records) == 1


def test_samples_are_a_sequence_of_mappings_that_load_into_the_network(data, tmp_path):
    trainer = run(make(build()), data, 3)
    assert len(trainer.samples) == 3 and len(trainer.samples[1:]) == 2
    assert "3 samples" in repr(trainer.samples)
    with pytest.raises(IndexError):
        trainer.samples[3]
    with pytest.raises(KeyError, match="0.weight"):
        trainer.samples[0]["nothing"]
    nd.save(str(tmp_path / "s.params"), dict(trainer.samples[1]))
    other = build()
    other.load_parameters(str(tmp_path / "s.params"))
    np.testing.assert_array_equal(other[0].weight.data().asnumpy(), trainer.samples[1]["0.weight"].asnumpy())


def test_a_sample_knows_potential_temperature_and_friction(data):
    likelihood, net = sg.likelihoods.Categorical(), build()
    trainer = sg.BayesianTrainer(net, "sghmc", {"learning_rate": 0.05, "num_data": N, "wd": 2.0, "friction": 0.2},
                                 likelihood, thin=5, seed=0)
    x, y = nd.array(data[0]), nd.array(data[1])
    for _ in range(5):
        with autograd.record():
            loss = likelihood(net(x), y)
        loss.backward()
        trainer.step(N)
    s = trainer.samples[0]
    after = sum((a.asnumpy().astype("float64") ** 2).sum() for a in s.values())
    assert s.potential == pytest.approx(loss.mean().asscalar() * N + after, rel=1e-5)
    assert s.friction == 0.2 and 0.1 < s.temperature < 5


# ---------------------------------------------------------------- schedules that say when to collect

class Stages(mx.lr_scheduler.LRScheduler):
    """Says yes at the steps given; the step size falls at each."""

    def __init__(self, *steps):
        super().__init__(base_lr=0.05)
        self.steps = steps

    def __call__(self, num_update):
        return 0.05 / (1 + num_update)

    def collects(self, num_update):
        return num_update in self.steps


def scheduled(schedule, sampler="sgnht", **kwargs):
    return sg.BayesianTrainer(build(), sampler, {"lr_scheduler": schedule, "num_data": N},
                              sg.likelihoods.Categorical(), seed=0, **kwargs)


@pytest.mark.parametrize("sampler", ["sgld", "sghmc", "sgnht"])
@pytest.mark.parametrize("kwargs, steps", [
    ({}, [7, 8, 9, 10, 17, 18, 19, 20]), ({"thin": 2}, [8, 10, 18, 20]), ({"thin": 3}, [9, 19]),
    ({"thin": 4}, [10, 20]), ({"thin": 2, "burn_in": 8}, [10, 18, 20]), ({"burn_in": 9, "max_samples": 2}, [10, 17])])
def test_cycles_are_sampled_after_their_exploration(data, sampler, kwargs, steps):
    """thin counts the steps of a stage, from its first, burn-in or not; the samples count alike."""
    trainer = run(scheduled(sg.schedules.CyclicalScheduler(0.05, 10, exploration=0.6), sampler, **kwargs), data, 20)
    assert [s.step for s in trainer.samples] == steps
    np.testing.assert_array_equal(trainer.samples.weights, np.full(len(steps), 1 / len(steps)))


def test_any_schedule_may_say_when_to_collect(data):
    schedule = Stages(2, 3, 4, 6, 9, 10)
    assert [s.step for s in run(scheduled(schedule), data, 12).samples] == [2, 3, 4, 6, 9, 10]
    with pytest.warns(UserWarning, match="over after 1 of thin=2 steps"):
        assert [s.step for s in run(scheduled(schedule, thin=2), data, 12).samples] == [3, 10]
    plain = mx.lr_scheduler.FactorScheduler(step=2, factor=0.25, base_lr=0.05)
    plain.collects = "not a method"
    assert [s.step for s in run(scheduled(plain, thin=2), data, 5).samples] == [2, 4]


def test_a_schedule_is_asked_by_the_steps_number(data):
    """That of the optimizer, which goes on where another trainer stopped; burn_in counts this trainer's steps."""
    params = {"lr_scheduler": Stages(104, 105, 106), "num_data": N, "begin_num_update": 100}
    trainer = sg.BayesianTrainer(build(), "sgld", params, sg.likelihoods.Categorical(), seed=0, burn_in=4)
    assert [s.step for s in run(trainer, data, 8).samples] == [5, 6]


def test_exploring_steps_are_as_noisy_as_the_others(data):
    """The chain is the same with and without an exploration: only what is kept differs."""
    ends = []
    for exploration in (None, 0.6):
        trainer = scheduled(sg.schedules.CyclicalScheduler(0.05, 10, exploration), kvstore=None)
        for i, p in enumerate(trainer.net.collect_params().values()):
            p.set_data(nd.array(np.random.RandomState(i).normal(size=p.shape)))
        ends.append(run(trainer, data, 12).net[0].weight.data().asnumpy())
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("weights, exploration, power", [
    (None, None, 1.0), (None, 0.5, 0.0), ("step", None, 1.0), ("step", 0.5, 1.0), ("equal", None, 0.0),
    ("equal", 0.5, 0.0)])
def test_weights_go_by_the_step_or_are_equal(data, weights, exploration, power):
    schedule = sg.schedules.CyclicalScheduler(0.05, 4, exploration)
    trainer = run(scheduled(schedule, "sgld", weights=weights), data, 8)
    lr = np.array([schedule(s.step) for s in trainer.samples])
    assert len(lr) == (8 if exploration is None else 4)
    np.testing.assert_allclose(trainer.samples.weights, lr ** power / (lr ** power).sum(), rtol=1e-6)


def test_a_stage_too_short_for_a_sample_is_told(data):
    schedule = sg.schedules.CyclicalScheduler(0.05, 10, exploration=0.6)
    trainer = scheduled(schedule, thin=10, burn_in=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run(trainer, data, 20)      # the first stage began in burn-in
    with pytest.warns(UserWarning, match="over after 4 of thin=10 steps and gives no sample; write thin=4 or less"):
        run(trainer, data, 1)
    with pytest.raises(ValueError, match=r"21 steps were taken.*at step 10 \(thin\) of a stage"):
        trainer.predict(data[0])


# ---------------------------------------------------------------- predicting

@pytest.mark.parametrize("activation, by_hand", [
    ("softmax", softmax), ("identity", lambda z: z), ("sigmoid", lambda z: 1 / (1 + np.exp(-z))),
    (lambda z: z ** 2, lambda z: z ** 2), (None, softmax)])
def test_predict_is_the_mean_over_samples_of_the_transformed_outputs(data, activation, by_hand):
    net = build()
    trainer = run(make(net, thin=4), data, 12)
    own = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    got = trainer.predict(data[0], activation)
    every = trainer.predict(data[0], activation, samples=True)
    for n, p in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(p.data().asnumpy(), own[n])
    expected = []
    other = build()
    for sample in trainer.samples:
        for n, p in other._collect_params_with_prefix().items():
            p.set_data(sample[n])
        expected.append(by_hand(other(nd.array(data[0])).asnumpy()))
    assert isinstance(got, np.ndarray) and got.shape == (N, K) and every.shape == (3, N, K)
    np.testing.assert_allclose(every, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(got, np.mean(expected, 0), rtol=2e-5, atol=1e-6)


def test_every_kind_of_data_gives_the_same_prediction(data):
    trainer = run(make(build()), data, 3)
    x = data[0]
    expected = trainer.predict(x)
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(x, data[1]), batch_size=7)
    only_x = gluon.data.DataLoader(gluon.data.SimpleDataset(list(x)), batch_size=7)
    iterator = mx.io.NDArrayIter(x, data[1], batch_size=7, last_batch_handle="pad")
    for other in (nd.array(x), x.astype("float64"), loader, only_x, iterator, iterator):
        np.testing.assert_allclose(trainer.predict(other), expected, atol=1e-6)
    np.testing.assert_allclose(trainer.predict(x, batch_size=11), expected, atol=1e-6)


def test_a_shuffling_loader_does_not_mix_rows_of_different_samples(data):
    trainer = run(make(build()), data, 6)
    table = trainer.predict(data[0])
    seen = []

    class Noting(gluon.data.DataLoader):
        def __iter__(self):
            for x, y in super().__iter__():
                seen.extend(y.asnumpy().tolist())
                yield x, y

    loader = Noting(gluon.data.ArrayDataset(data[0], np.arange(N)), batch_size=8, shuffle=True)
    got = trainer.predict(loader)
    np.testing.assert_allclose(got, table[seen], atol=1e-6)
    assert seen != list(range(N)) and sorted(seen) == list(range(N))    # and it was read once


def test_memory_is_bounded_chunks_do_not_change_the_answer(data, monkeypatch):
    trainer = run(make(build()), data, 4)
    expected = trainer.predict(data[0], batch_size=9), trainer.predict(data[0], samples=True)
    monkeypatch.setattr(sg.prediction.chunks, "CHUNK_BYTES", 200)
    np.testing.assert_allclose(trainer.predict(data[0], batch_size=9), expected[0], atol=1e-6)
    np.testing.assert_allclose(trainer.predict(data[0], samples=True), expected[1], atol=1e-6)


def test_weights_are_restored_when_prediction_fails(data):
    net = build()
    trainer = run(make(net), data, 3)
    own = net[0].weight.data().asnumpy()

    def broken(z):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        trainer.predict(data[0], broken)
    with pytest.raises(Exception):  # noqa: B017  MXNet's own error for a wrong input width
        trainer.predict(np.zeros((3, D + 1), "float32"))
        nd.waitall()
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), own)


def test_predicting_leaves_the_chain_alone(data):
    def chain(peek):
        net = build()
        for i, p in enumerate(net.collect_params().values()):
            p.set_data(nd.array(np.random.RandomState(i).normal(size=p.shape)))
        trainer = make(net, update_on_kvstore=True, kvstore=mx.kv.create("local"))
        for _ in range(3):
            run(trainer, data, 2)
            if peek:
                trainer.predict(data[0])
        return trainer.samples[-1]["0.weight"].asnumpy()

    np.testing.assert_array_equal(chain(True), chain(False))


@pytest.mark.parametrize("sampler, power", [("sgld", 1.0), ("sghmc", 0.5), ("sgnht", 0.5)])
def test_changing_steps_weight_the_average(data, sampler, power):
    schedule = mx.lr_scheduler.FactorScheduler(step=2, factor=0.25, base_lr=0.05)
    net = build()
    trainer = sg.BayesianTrainer(net, sampler, {"lr_scheduler": schedule, "num_data": N},
                                 sg.likelihoods.Categorical(), seed=0)
    run(trainer, data, 4)
    lr = np.array([0.05, 0.05, 0.0125, 0.0125])
    np.testing.assert_allclose(trainer.samples.weights, lr ** power / (lr ** power).sum(), rtol=1e-6)
    every = trainer.predict(data[0], samples=True)
    np.testing.assert_allclose(trainer.predict(data[0]), np.tensordot(trainer.samples.weights, every, 1), atol=1e-6)


def test_regression_splits_the_standard_deviation_and_finds_quantiles(data):
    y = (data[0][:, :2] @ np.array([[1.0, 0.0], [0.5, -1.0]])).astype("float32")
    trainer = make(build(units=2), likelihood=sg.likelihoods.Gaussian(sigma=[0.5, 2.0]), thin=3)
    run(trainer, (data[0], y), 30)
    r = trainer.predict(data[0], quantiles=(0.05, 0.5, 0.95))
    outputs = trainer.predict(data[0], "identity", samples=True).astype("float64")
    np.testing.assert_allclose(r.mean, outputs.mean(0), atol=1e-5)
    np.testing.assert_allclose(r.weight_std, outputs.std(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(r.noise_std, np.broadcast_to([0.5, 2.0], r.mean.shape), rtol=1e-6)
    np.testing.assert_allclose(r.std ** 2, r.noise_std ** 2 + r.weight_std ** 2, rtol=1e-6)
    stats = pytest.importorskip("scipy.stats")
    for q, value in zip((0.05, 0.5, 0.95), r.quantiles):
        mass = stats.norm.cdf(value, outputs, [0.5, 2.0]).mean(0)
        np.testing.assert_allclose(mass, q, atol=1e-6)


def test_quantiles_of_counts_are_whole_numbers_and_exact(data):
    stats = pytest.importorskip("scipy.stats")
    y = np.random.RandomState(1).poisson(3.0, (N, 1)).astype("float32")
    trainer = run(make(build(units=1), likelihood=sg.likelihoods.Poisson(), burn_in=5, thin=3), (data[0], y), 30)
    r = trainer.predict(data[0], quantiles=(0.1, 0.9))
    rates = np.exp(trainer.predict(data[0], "identity", samples=True).astype("float64"))
    for q, value in zip((0.1, 0.9), r.quantiles):
        assert (value == np.round(value)).all()
        assert (stats.poisson.cdf(value, rates).mean(0) >= q).all()
        assert (stats.poisson.cdf(value - 1, rates).mean(0) < q).all()
    np.testing.assert_allclose(r.mean, rates.mean(0), rtol=1e-5)
    np.testing.assert_allclose(r.std ** 2, rates.mean(0) + rates.var(0), rtol=1e-4)


def test_numpy_interface_networks(data):
    mx.npx.set_np()
    try:
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(8, in_units=D, activation="relu"), gluon.nn.Dense(K, in_units=8))
        net.initialize()
        loss_fn = gluon.loss.SoftmaxCrossEntropyLoss()
        trainer = sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.05, "num_data": N}, loss_fn, seed=0)
        for _ in range(3):
            with autograd.record():
                loss = loss_fn(net(mx.np.array(data[0])), mx.np.array(data[1]))
            loss.backward()
            trainer.step(N)
        probs = trainer.predict(data[0], "softmax")
        assert trainer.samples[-1].potential > 0
    finally:
        mx.npx.reset_np()
    assert isinstance(probs, np.ndarray) and probs.shape == (N, K)
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)


# ---------------------------------------------------------------- what a first user tripped over

def test_one_prior_serves_two_trainers_and_loaded_states(data, tmp_path):
    prior = sg.priors.ByName({"0.weight": 100.0})
    trainers = [sg.BayesianTrainer(build(), "sgnht", {"num_data": N, "prior": prior}, sg.likelihoods.Categorical(),
                                   seed=0) for _ in range(2)]
    for t in trainers:
        found = {p.name: t.optimizer.precision(i, p.shape) for i, p in enumerate(t._params)}
        assert found == {p.name: 100.0 if name == "0.weight" else 1.0 for name, p in t._named.items()}
    run(trainers[0], data, 2).save_states(str(tmp_path / "states"))
    run(trainers[1], data, 1)
    trainers[1].load_states(str(tmp_path / "states"))
    run(trainers[1], data, 1)
    i = trainers[1]._params.index(trainers[1].net[0].weight)
    assert trainers[1].optimizer.precision(i, (8, D)) == 100.0


@pytest.mark.parametrize("kwargs", [{"samples": True}, {}])
def test_weights_are_restored_while_the_exception_is_still_held(data, kwargs):
    net = build(units=1)
    trainer = run(make(net, likelihood=sg.likelihoods.Gaussian(0.5)), (data[0], data[0][:, :1]), 3)
    own = net[0].weight.data().asnumpy()
    wrong = sg.likelihoods.Gaussian("learned") if not kwargs else lambda z: 1 / 0
    with pytest.raises((ValueError, ZeroDivisionError)) as held:
        trainer.predict(data[0], wrong, **kwargs)
    assert held is not None     # as IPython holds it
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), own)


def test_a_loss_shared_by_two_trainers_tells_each_its_own_and_keeps_neither_alive(data):
    loss_fn = sg.likelihoods.Categorical()
    first = run(make(build(), likelihood=loss_fn), data, 2)
    potential = first.potential.asscalar()
    second = run(make(build(), likelihood=loss_fn), (data[0] * 100, data[1]), 2)
    assert first.potential.asscalar() == potential != second.potential.asscalar()
    gone = weakref.ref(second)
    del second
    gc.collect()
    assert gone() is None and len(loss_fn._forward_hooks) == 1


def test_a_diverged_chain_says_so(data):
    trainer = sg.BayesianTrainer(build(), "sgld", {"learning_rate": 1e8, "num_data": N},
                                 sg.likelihoods.Categorical(), seed=0)
    run(trainer, data, 30)
    with pytest.warns(UserWarning, match="has diverged|diverged before"):
        trainer.predict(data[0])


def test_a_chain_that_stands_still_is_not_sampled(data):
    trainer = run(make(build()), data, 2)
    trainer.set_learning_rate(0.0)
    run(trainer, data, 3)
    assert len(trainer.samples) == 2 and trainer.num_steps == 5
    assert np.isfinite(trainer.predict(data[0])).all()


def test_data_whose_rows_go_astray_is_told(data):
    trainer = run(make(build()), data, 2)
    dataset = gluon.data.ArrayDataset(data[0], data[1])
    with pytest.warns(UserWarning, match="data is shuffled"):
        trainer.predict(gluon.data.DataLoader(dataset, batch_size=8, shuffle=True))
    with pytest.warns(UserWarning, match="drops rows"):
        assert len(trainer.predict(gluon.data.DataLoader(dataset, batch_size=8, last_batch="discard"))) == 56


def test_float64_networks_predict_from_numpy(data):
    net = build()
    net.cast("float64")
    loss_fn = sg.likelihoods.Categorical()
    trainer = make(net, likelihood=loss_fn)
    x = nd.array(data[0], dtype="float64")
    with autograd.record():
        loss = loss_fn(net(x), nd.array(data[1]))
    loss.backward()
    trainer.step(N)
    np.testing.assert_allclose(trainer.predict(data[0], batch_size=7), trainer.predict(x), atol=1e-12)


# ---------------------------------------------------------------- warnings

def test_a_sound_chain_predicts_without_a_warning(data):
    trainer = run(make(build(), burn_in=100, thin=10), data, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer.predict(data[0])


def test_dropout_left_on_warns_once(data):
    trainer = run(make(build(gluon.nn.Dropout(0.5))), data, 3)
    with pytest.warns(UserWarning, match="drops units"):
        trainer.predict(data[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*drops units")
        trainer.predict(data[0])


def test_a_hot_chain_warns_with_numbers(data):
    net = build()
    trainer = sg.BayesianTrainer(net, "sghmc", {"learning_rate": 3.0, "num_data": N, "friction": 0.01},
                                 sg.likelihoods.Categorical(), burn_in=50, seed=0)
    run(trainer, data, 100, batch=5)
    with pytest.warns(UserWarning, match="kinetic temperature over 50 samples is .*not T = 1"):
        trainer.predict(data[0])


def test_an_optimizer_that_is_no_sampler_warns(data):
    with pytest.warns(UserWarning, match="SGD is no sampler"):
        trainer = sg.BayesianTrainer(build(), "sgd", {"learning_rate": 0.1}, sg.likelihoods.Categorical())
    assert len(run(trainer, data, 2).samples) == 2


def test_progress_bar_shows_the_chain(data, capsys):
    run(make(build(), progress=3), data, 3)
    shown = capsys.readouterr().err
    assert "3/3" in shown and "samples=3" in shown


# ---------------------------------------------------------------- bad input

def _after(data, **kwargs):
    return run(make(build(), **kwargs), data, 2)


BAD = [
    ("net", lambda d: sg.BayesianTrainer(build().collect_params(), "sgnht"), TypeError, "net must be a gluon.Block"),
    ("no parameters", lambda d: sg.BayesianTrainer(gluon.nn.HybridSequential(), "sgnht"), ValueError, "no parameters"),
    ("uninitialised", lambda d: sg.BayesianTrainer(gluon.nn.Dense(3), "sgnht"), RuntimeError, "net.initialize()"),
    ("burn_in", lambda d: make(build(), burn_in=-1), ValueError, "burn_in must be at least 0, got -1"),
    ("burn_in type", lambda d: make(build(), burn_in="many"), TypeError, "burn_in must be a whole number, got 'many'"),
    ("thin", lambda d: make(build(), thin=0), ValueError, "thin must be at least 1, got 0"),
    ("thin half", lambda d: make(build(), thin=1.5), ValueError, "thin must be a whole number, got 1.5"),
    ("max_samples", lambda d: make(build(), max_samples=0), ValueError, "max_samples must be at least 1, got 0"),
    ("likelihood", lambda d: make(build(), likelihood="softmax"), TypeError, "likelihood must be a loss"),
    ("seed twice", lambda d: sg.BayesianTrainer(build(), "sgld", {"seed": 1, "num_data": 5}, seed=2), ValueError,
     "seed=2 and optimizer_params['seed']=1 differ"),
    ("seed of an instance", lambda d: sg.BayesianTrainer(build(), sg.SGLD(num_data=5), seed=2), ValueError,
     "write it in the instance"),
    ("prior pattern", lambda d: sg.BayesianTrainer(build(), "sgld", {"num_data": 5, "prior": {"7.weight": 1.0}}),
     ValueError, "matches no parameter"),
    ("no samples yet", lambda d: _after(d, burn_in=10).predict(d[0]), ValueError, "the first sample comes at step 11"),
    ("no activation", lambda d: _no_activation(d), ValueError, "activation is not given"),
    ("activation", lambda d: _after(d).predict(d[0], "softmaxx"), ValueError, "activation"),
    ("data type", lambda d: _after(d).predict("mnist"), TypeError, "data must be an NDArray"),
    ("data empty", lambda d: _after(d).predict(np.zeros((0, D), "float32")), ValueError, "data is empty"),
    ("data list", lambda d: _after(d).predict([[1.0, 2.0, 3.0, 4.0]]), TypeError, "batch of type float"),
    ("data scalar", lambda d: _after(d).predict(np.ones(())), ValueError, "single number"),
    ("batch_size", lambda d: _after(d).predict(d[0], batch_size=0), ValueError, "batch_size must be at least 1"),
    ("likelihood class", lambda d: sg.BayesianTrainer(build(), "sgld", {"num_data": 5}, sg.likelihoods.Categorical),
     TypeError, "an object, not a class"),
    ("optimizer name", lambda d: sg.BayesianTrainer(build(), "sgnth", {"num_data": 5}), ValueError,
     "did you mean 'sgnht'?"),
    ("optimizer class", lambda d: sg.BayesianTrainer(build(), sg.SGNHT, {"num_data": 5}), TypeError,
     "must be a name or an instance"),
    ("optimizer_params", lambda d: sg.BayesianTrainer(build(), "sgld", 5), TypeError, "must be a dictionary, got 5"),
    ("params of an instance", lambda d: sg.BayesianTrainer(build(), sg.SGLD(num_data=5), {"wd": 1}), ValueError,
     "beside an optimizer instance"),
    ("unknown option", lambda d: make(build(), burnin=4), TypeError, "did you mean 'burn_in'?"),
    ("seed of no sampler", lambda d: sg.BayesianTrainer(build(), "sgd", seed=0), ValueError, "is for samplers"),
    ("progress", lambda d: make(build(), progress="yes"), TypeError, "progress must be a whole number, got 'yes'"),
    ("progress sign", lambda d: make(build(), progress=-5), ValueError, "progress must be at least 1, got -5"),
    ("weights", lambda d: make(build(), weights="time"), ValueError, "weights must be one of 'step', 'equal', got"),
    ("samples", lambda d: _after(d).predict(d[0], samples=2), TypeError, "samples must be True or False, got 2"),
    ("batch size of a step", lambda d: run(make(build()), d, 1, step=lambda t, b: t.step(-40)), ValueError,
     "give step() the number of examples"),
    ("NaN batch size", lambda d: run(make(build()), d, 1, step=lambda t, b: t.step(float("nan"))), ValueError,
     "give step() the number of examples"),
    ("activation's shape", lambda d: _after(d).predict(d[0], lambda z: z.sum()), (ValueError, TypeError),
     "activation"),
    ("a dataset", lambda d: _after(d).predict(gluon.data.ArrayDataset(d[0], d[1])), TypeError, "DataLoader(dataset"),
    ("patterns", lambda d: sg.priors.ByName([1]), TypeError, "patterns must be a dictionary"),
    ("prior class", lambda d: sg.SGLD(num_data=5, prior=sg.priors.FanIn), TypeError, "write FanIn(...)"),
    ("quantiles", lambda d: _after(d).predict(d[0], quantiles=(0.5,)), ValueError, "quantiles need a regression"),
]


def _no_activation(d):
    trainer = sg.BayesianTrainer(build(), "sgld", {"num_data": N}, gluon.loss.SoftmaxCrossEntropyLoss(), seed=0)
    run(trainer, d, 1)
    return trainer.predict(d[0])


@pytest.mark.parametrize("call, error, message", [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_named(data, call, error, message):
    with pytest.raises(error) as e:
        call(data)
    assert message in str(e.value)


def test_the_number_of_networks_before_changes_nothing():
    """Gluon's names sort as text: between dense99 and dense100 the order of the parameters would turn."""
    found = []
    for first in (3, 9):
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(7, in_units=5, activation="tanh", prefix=f"dense{first}_"),
                gluon.nn.Dense(2, in_units=7, prefix=f"dense{first + 1}_"))
        net.initialize()
        for i, p in enumerate(net._collect_params_with_prefix().values()):
            p.set_data(nd.array(np.random.RandomState(i).normal(size=p.shape)))
        loss_fn = sg.likelihoods.Gaussian()
        trainer = sg.BayesianTrainer(net, "sgnht", {"num_data": 20, "learning_rate": 0.05}, loss_fn, seed=1)
        for k in range(12):
            x = nd.array(np.random.RandomState(k).normal(size=(5, 5)))
            with autograd.record():
                loss = loss_fn(net(x), x[:, :2])
            loss.backward()
            trainer.step(5)
        found.append([(s.potential, s.friction, s.temperature) for s in trainer.samples])
        order = [p.name.split("_")[0] for p in trainer._params]
        assert order == [f"dense{first}"] * 2 + [f"dense{first + 1}"] * 2
    assert found[0] == found[1]
