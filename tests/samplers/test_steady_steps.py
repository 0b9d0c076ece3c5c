"""What a sampler keeps from step to step changes nothing: against one that forgets everything at every step."""
import mxnet as mx
import numpy as np
import pytest
from roads import SAMPLERS, backward, network, options, ordered, trainer, weights

from sgmcmc_mx import kernels
from sgmcmc_mx.samplers import _base


def params(tr):
    return ordered_params(tr)[0]


def ordered_params(tr):
    return [p for p in tr._params if p.grad_req != "null"]


def set_temperature(tr):
    tr.optimizer.temperature = 0.3


def set_wd(tr):
    tr.optimizer.wd = 7.0


def set_wd_mult(tr):
    params(tr).wd_mult = 5.0


def set_lr_mult(tr):
    params(tr).lr_mult = 0.25


def stop_one(tr):
    params(tr).lr_mult = 0.0


def start_one_again(tr):
    params(tr).lr_mult = 1.0


def set_learning_rate(tr):
    tr.set_learning_rate(0.02)


def set_num_data(tr):
    tr.optimizer.num_data = 90


def set_clip(tr):
    tr.optimizer.clip_gradient = 0.05


def set_seed(tr):
    tr.optimizer.seed = 99


def new_gradient_array(tr):
    p = params(tr)
    p.grad_req = "null"
    p.grad_req = "write"


def new_states(tr):
    states = tr._updaters[0].get_states(dump_optimizer=False)
    tr._updaters[0].set_states(states)


CHANGES = {"nothing": [], "temperature": [set_temperature], "wd": [set_wd], "wd_mult": [set_wd_mult],
           "lr_mult": [set_lr_mult], "one stops": [stop_one], "one stops for a while": [stop_one, start_one_again],
           "learning rate": [set_learning_rate], "num_data": [set_num_data], "clip": [set_clip], "seed": [set_seed],
           "gradient array": [new_gradient_array], "states": [new_states]}


def chain(monkeypatch, sampler, changes, forget, steps=9, more=None):
    net = network()
    tr = trainer(net, sampler, more, kvstore=None)
    if forget:
        monkeypatch.setattr(_base.Call, "same", lambda *a: False)
    with monkeypatch.context():
        for k in range(steps):
            backward(net, k % 5)
            if k in (4, 6) and changes[(k - 4) // 2:]:
                changes[(k - 4) // 2](tr)
                if changes[0] is new_gradient_array:
                    backward(net, k % 5)
            tr.step(6)
    return weights(net), tr


@pytest.mark.parametrize("sampler, change", [
    pytest.param(sampler, change, marks=() if (i + j) % 2 else pytest.mark.slow)      # each meets half of the others
    for i, sampler in enumerate(sorted(SAMPLERS)) for j, change in enumerate(sorted(CHANGES))])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_settings_may_change_at_any_step(monkeypatch, sampler, change):
    kept, _ = chain(monkeypatch, sampler, CHANGES[change], forget=False)
    fresh, _ = chain(monkeypatch, sampler, CHANGES[change], forget=True)
    for a, b in zip(kept, fresh):
        np.testing.assert_array_equal(a, b)


def test_a_prior_with_a_mind_of_its_own(monkeypatch):
    from sgmcmc_mx.priors import Prior

    class Growing(Prior):
        def __init__(self):
            self.calls = 0

        def precision(self, names, shape):
            self.calls += 1
            return float(self.calls)

    made = [chain(monkeypatch, "sgnht-global", [], forget, more={"prior": Growing()})[0] for forget in (False, True)]
    for a, b in zip(*made):
        np.testing.assert_array_equal(a, b)


def test_a_table_changed_in_place():
    made = []
    for table in ({}, {0: 0.5}):
        name, params = options("sghmc")
        o = mx.optimizer.create(name, **params)
        o.lr_mult = {}
        w, g, state = mx.nd.ones((3,)), mx.nd.ones((3,)), o.create_state(0, mx.nd.ones((3,)))
        for k in range(5):
            if k == 3:
                o.lr_mult.update(table)
            o.update([0], [w], [g], [state])
        made.append(w.asnumpy())
    assert not np.array_equal(*made)


@pytest.mark.parametrize("sampler", ["sgld", "sghmc", "sgnht-global", "sgnht-tensor", "sgnht-element"])
def test_nothing_is_computed_again(monkeypatch, sampler):
    """From the third step on coefficients, arrays and the job are those of the step before."""
    net = network()
    tr = trainer(net, sampler, kvstore=None)
    filled, jobs = [], []
    fill, step = _base.Sampler._fill, kernels.step
    monkeypatch.setattr(_base.Sampler, "_fill", lambda *a: (filled.append(1), fill(*a))[1])
    monkeypatch.setattr(kernels, "step", lambda job: (jobs.append(job), step(job))[1])
    for k in range(6):
        backward(net, k % 5)
        tr.step(6)
    assert len(filled) <= 2 and len(set(map(id, jobs))) == 1


def test_kept_arrays_are_not_saved():
    import pickle

    net = network()
    tr = trainer(net, "sgnht-global", kvstore=None)
    for k in range(3):
        backward(net, k)
        tr.step(6)
    device = next(iter(tr.optimizer._devices.values()))
    assert device.calls
    assert not pickle.loads(pickle.dumps(device)).calls


def test_ordered_parameters_are_all_moved():
    net = network()
    tr = trainer(net, "sgnht-global", kvstore=None)
    for k in range(4):
        backward(net, k)
        tr.step(6)
    assert len(next(iter(tr.optimizer._devices.values())).moved) == len(ordered(net))
