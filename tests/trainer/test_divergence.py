"""Chains that diverge: found in time, told with what helps, and nothing bad is kept."""
import re

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, lr_scheduler, nd
from runs import BATCH, ONE, TWO, X, Y, go, loader, network, outcome, step, trainer

import sgmcmc_mx as sg
from sgmcmc_mx.store import checkpoints

ROADS = {"one": (ONE, {}), "two": (TWO, {"update_on_kvstore": False}), "kvstore": (TWO, {"update_on_kvstore": True})}


class Jump(lr_scheduler.LRScheduler):
    """Harmless up to a step, and far too large from then on."""

    def __call__(self, num_update):
        return 0.05 if num_update < 31 else 5e4


def stack():
    """What the native gradient takes."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(6, activation="tanh", in_units=5), gluon.nn.Dense(3, in_units=6))
    net.initialize(mx.init.Xavier())
    return net


def poison(net, name, value):
    for a in net._collect_params_with_prefix()[name].list_data():
        a[0] = value


@pytest.mark.parametrize("check_every", [1, 2, 7, 20])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("road", ["one", "two"])
def test_found_in_time_and_named(check_every, value, road):
    contexts, kwargs = ROADS[road]
    net, data = network(contexts), loader()
    tr = trainer(net, "sgnht", {}, None, data, check_every=check_every, **kwargs)
    go(net, tr, data, 22)
    poison(net, "1.weight", value)
    with pytest.raises(sg.DivergenceError, match=r"the weights of 0.weight.*at step \d+; all was well at step") as e:
        go(net, tr, data, 99)
    assert tr.num_steps <= 22 + check_every
    found, well = map(int, re.findall(r"step (\d+)", str(e.value))[:2])
    assert well <= 22 < found <= tr.num_steps
    assert "learning_rate" in str(e.value) and "friction" in str(e.value)
    assert len(tr.samples) and all(np.isfinite(s["1.weight"].asnumpy()).all() for s in tr.samples)
    assert tr.samples[-1].step <= 22


def test_the_parameter_whose_gradient_it_is(monkeypatch):
    net, data = network(), loader()
    tr = trainer(net, "sgld", {}, None, data, check_every=1)
    go(net, tr, data, 10)
    monkeypatch.setattr(tr, "_allreduce_grads", lambda: net[0].bias.grad().__setitem__(2, np.inf))
    told = "^the weights of 0.bias, the gradient of 0.bias are not finite at step 11"
    with pytest.raises(sg.DivergenceError, match=told):
        go(net, tr, data, 30)


def test_a_thermostat_that_is_lost():
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {}, None, data, check_every=4)
    go(net, tr, data, 10)
    tr._updaters[0].states[0][1].alpha[:] = np.nan
    with pytest.raises(sg.DivergenceError, match="^the weights of"):
        go(net, tr, data, 30)
    assert [name for name, _ in tr._optimizer.thermostats()] == ["the network"]


@pytest.mark.parametrize("gradients", ["native", "mxnet"])
@pytest.mark.parametrize("steps", [23, 30])
def test_steps_since_the_last_look_are_looked_at_in_the_end(gradients, steps):
    net, data = stack(), sg.data.ArrayLoader(X, Y, batch_size=BATCH, seed=21)
    tr = trainer(net, "sgnht", {}, None, data, check_every=1000)
    tr.sample(data, steps=22, gradients=gradients)
    poison(net, "1.weight", np.nan)
    with pytest.raises(sg.DivergenceError, match=f"the weights of 0.weight.* not finite at step {steps}; .* step 22"):
        tr.sample(data, steps=steps, gradients=gradients)
    assert tr.samples[-1].step <= 22 and np.isfinite(tr.predict(np.ones((2, 5), "float32"))).all()
    with pytest.raises(sg.DivergenceError):     # and the chain is not well for being asked again
        tr.sample(data, steps=steps, gradients=gradients)


@pytest.mark.parametrize("gradients", ["native", "mxnet"])
def test_a_chain_that_diverged_in_the_end_goes_back(tmp_path, gradients):
    net, data = stack(), sg.data.ArrayLoader(X, Y, batch_size=BATCH, seed=21)
    tr = trainer(net, "sgnht", {}, tmp_path / "run", data, check_every=1000, thin=1000, checkpoint_every=10,
                 on_divergence="halve")
    tr.sample(data, steps=21, gradients=gradients)
    poison(net, "1.weight", np.nan)
    tr.sample(data, steps=29, gradients=gradients)
    assert tr.num_steps == 29 and all(np.isfinite(p.data().asnumpy()).all() for p in net.collect_params().values())
    tr.close()
    halved = [e for e in sg.load(tmp_path / "run").events if e["kind"] == "halved"]
    assert [(e["step"], e["found"]) for e in halved] == [(20, 29)]


@pytest.mark.parametrize("check_every, most", [(50, 3), (100, 2)])
def test_nothing_is_waited_for_in_between(check_every, most, monkeypatch):
    """Numbers of the engine are asked for at looks only."""
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {}, None, data, check_every=check_every)
    batches, steps = [(x, y) for x, y in data], []
    real = nd.NDArray.asnumpy
    stepping = []
    monkeypatch.setattr(nd.NDArray, "asnumpy", lambda a: stepping and steps.append(tr.num_steps) or real(a))
    plain = tr.step

    def watched(n):
        stepping.append(1)
        plain(n)
        stepping.clear()
    monkeypatch.setattr(tr, "step", watched)
    for k in range(76):
        step(net, tr, *batches[k % 5])
    assert len(set(steps)) <= most


def test_a_folder_keeps_what_is_well_and_names_the_checkpoint(tmp_path):
    net, data = network(), loader()
    tr = trainer(net, "sgld", {}, tmp_path / "run", data, check_every=8)
    go(net, tr, data, 22)
    poison(net, "0.bias", np.nan)
    with pytest.raises(sg.DivergenceError, match=r"not finite.*checkpoint is of step 20, in .*run"):
        go(net, tr, data, 60)
    kept = [s.step for s in sg.load(tmp_path / "run")]
    assert kept == [7, 11, 15, 19] and checkpoints.steps(tmp_path / "run")[-1] == 20
    tr.close()
    again, data = network(), loader()
    tr = sg.BayesianTrainer.resume(tmp_path / "run", again, data=data)
    go(again, tr, data, 30)
    assert [s.step for s in tr.samples] == [7, 11, 15, 19, 23, 27]
    assert np.isfinite(tr.predict(np.ones((2, 5), "float32"))).all()
    tr.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("road", ROADS)
def test_half_the_step_from_the_last_checkpoint(tmp_path, road):
    contexts, kwargs = ROADS[road]
    net, data = network(contexts), loader()
    tr = trainer(net, "sgld", {"lr_scheduler": Jump(base_lr=0.05), "learning_rate": None}, tmp_path / "run", data,
                 check_every=4, thin=10, checkpoint_every=10, on_divergence="halve", **kwargs)
    halved, upto = [], 20
    while not halved or halved[-1]["found"] > upto - 40:    # how soon one is found depends on the thread that writes
        upto += 40
        go(net, tr, data, upto)
        halved = [e for e in sg.load(tmp_path / "run").events if e["kind"] == "halved"]
    assert halved[0]["step"] <= 33 and all(e["step"] < e["found"] for e in halved)
    assert tr.learning_rate == 5e4 * 0.5 ** len(halved)
    assert [s.step for s in tr.samples] == list(range(13, upto, 10))
    assert all(np.isfinite(v).all() for v in outcome(net, tr, contexts[0]).values() if v is not None)
    tr.close()


def heated(net, tr, data, factor, at):
    """Run to there, make all momenta so many times as large, and run on."""
    go(net, tr, data, at)
    for state in tr._updaters[0].states.values():
        state[0][:] *= factor
    go(net, tr, data, at + 20)


@pytest.mark.parametrize("factor, limit, is_told", [(5.0, 4.0, True), (5.0, None, False), (1.1, 4.0, False)])
def test_heat_beyond_the_limit_is_a_divergence(tmp_path, factor, limit, is_told):
    """All is finite where a thermostat catches a chain on its way out. No sample that is kept was taken there."""
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {"friction": 0.02}, tmp_path / "run", data, check_every=4, on_divergence="halve",
                 max_temperature=limit)
    before = tr.learning_rate
    heated(net, tr, data, factor, 40)
    told = [e for e in sg.load(tmp_path / "run").events if e["kind"] == "halved"]
    assert bool(told) == (tr.learning_rate < before) == is_told
    assert all(40 < e["found"] <= 42 and e["step"] <= 40 for e in told)
    assert (max(s.temperature for s in tr.samples) > 4.0) == (factor == 5.0 and not is_told)
    tr.close()


@pytest.mark.parametrize("options, at", [
    ({"check_every": 1000, "thin": 3}, 42), ({"check_every": 1000, "thin": 500}, 45),
    ({"check_every": 14, "thin": 500}, 42)], ids=["sample", "checkpoint", "look"])
def test_heat_is_looked_at_before_anything_is_kept(tmp_path, options, at):
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {"friction": 0.003}, tmp_path / "run", data, max_temperature=4.0, **options)
    with pytest.raises(sg.DivergenceError, match=f"temperature is .* at step {at}, above max_temperature=4 .*"
                                                 "good checkpoint is of step 40"):
        heated(net, tr, data, 5.0, 40)
    assert [s.step for s in tr.samples] == [s.step for s in sg.load(tmp_path / "run")]
    assert all(s.step <= 40 for s in tr.samples)
    tr.close()


@pytest.mark.parametrize("limit, bears_it", [(4.0, True), (None, False)])
def test_a_first_step_that_is_too_long_by_far(tmp_path, limit, bears_it):
    """What comes of it is hot, and so is its checkpoint: no half of the step cools that. The chain begins anew."""
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {"learning_rate": 30.0, "friction": 0.003}, tmp_path / "run", data, check_every=4,
                 on_divergence="halve", max_temperature=limit)
    assert (tr._keeper.store.flush() or checkpoints.steps(tmp_path / "run")) == [0] * bears_it
    go(net, tr, data, 8)
    assert (tr.temperature.asscalar() < 4.0) == bears_it
    tr.close()      # before it the folder may not be there yet
    told = [(e["step"], e["found"]) for e in sg.load(tmp_path / "run").events if e["kind"] == "halved"]
    assert told[:3] == ([(1, 2), (0, 2), (0, 2)] if bears_it else [])


def test_a_run_goes_on_with_its_limit(tmp_path):
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {}, tmp_path / "run", data, max_temperature=7.0)
    go(net, tr, data, 22)
    tr.close()
    again = sg.BayesianTrainer.resume(tmp_path / "run", network(), data=loader())
    assert again.max_temperature == 7.0
    again.close()


def test_a_step_that_halving_does_not_help(tmp_path):
    """The weights are poisoned over and over; in the end it is raised."""
    net, data = network(), loader()
    tr = trainer(net, "sgld", {}, tmp_path / "run", data, check_every=2, on_divergence="halve")
    go(net, tr, data, 12)
    with pytest.raises(sg.DivergenceError):
        for _ in range(200):
            poison(net, "0.bias", np.nan)
            for x, y in data:
                step(net, tr, x, y)
                break
    assert tr.learning_rate < 1e-3
    tr.close()


def test_replicas_that_part_are_told():
    net, data = network(TWO), loader()
    tr = trainer(net, "sgld", {}, None, data, update_on_kvstore=False, check_every=4)
    go(net, tr, data, 6)
    net[0].weight.list_data()[1][:] += 1.0
    with pytest.raises(RuntimeError, match="0.weight differs between the devices after step .*set_data"):
        go(net, tr, data, 20)


def test_a_kvstore_that_is_rebuilt_is_told():
    net, data = network(TWO), loader()
    tr = trainer(net, "sgnht", {}, None, data, update_on_kvstore=True)
    go(net, tr, data, 6)
    net[0].weight.set_data(net[0].weight.data(TWO[0]) * 1.0)
    with pytest.warns(UserWarning, match="made anew after step 6.*set_data.*update_on_kvstore=False"):
        go(net, tr, data, 8)


def test_a_temperature_that_is_off_is_told_once():
    """Minibatch gradients of large variance, which SGHMC is not told of."""
    net, data = network(), loader()
    tr = sg.BayesianTrainer(net, "sghmc", {"num_data": 44, "learning_rate": 1.0, "friction": 0.02, "seed": 2},
                            sg.likelihoods.Categorical(), check_every=2, burn_in=50)
    told = r"kinetic temperature over 10 readings up to step 60 is [\d.]+, not T = 1"
    with pytest.warns(UserWarning, match=told) as w:
        go(net, tr, data, 200)
    assert sum("kinetic temperature over 10 readings" in str(x.message) for x in w) == 1


def test_a_temperature_that_is_right_is_not():
    import warnings
    net, data = network(), loader()
    tr = trainer(net, "sgnht", {"learning_rate": 0.01}, None, data, check_every=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        go(net, tr, data, 100)
    mx.nd.waitall()
