"""BayesianTrainer: what is collected, and when."""
import logging
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet import ndarray as nd
from trainers import D, K, N, build, make, run

import sgmcmc_mx as sg

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
