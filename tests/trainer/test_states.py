"""Going back by ``load_states``: the samples of a path that the chain leaves are not averaged with those of another."""
import logging
import warnings

import mxnet as mx
import numpy as np
import pytest
from runs import go, loader, network, trainer

import sgmcmc_mx as sg


class Place:
    """A place to go back to, as a user keeps one: weights, states, and where the data stood."""

    def __init__(self, folder, net, tr, data):
        self.weights, self.states = str(folder / f"weights-{tr.num_steps}"), str(folder / f"states-{id(self)}")
        net.save_parameters(self.weights)
        tr.save_states(self.states)
        self.data = data.state_dict()

    def go_back(self, net, tr, data):
        net.load_parameters(self.weights)
        tr.load_states(self.states)
        data.load_state_dict(self.data)


@pytest.fixture
def begun(tmp_path):
    """A chain after 40 steps with 9 samples, and that place."""
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, None, data)
    go(net, tr, data, 40)
    return net, tr, data, Place(tmp_path, net, tr, data)


def steps(tr):
    return [s.step for s in tr.samples]


def arrays(tr):
    return [{name: a.asnumpy() for name, a in s.items()} for s in tr.samples]


def test_a_sweep_leaves_nothing_in_the_average(begun, caplog):
    """Five learning rates from one place, then on from there: bit for bit as if nobody had swept."""
    net, tr, data, place = begun
    kept = steps(tr)
    with caplog.at_level(logging.INFO, "sgmcmc_mx"):
        for lr in (1e-4, 1e-3, 0.01, 0.1, 0.3):
            place.go_back(net, tr, data)
            assert steps(tr) == kept
            tr.set_learning_rate(lr)
            go(net, tr, data, 60)
        place.go_back(net, tr, data)
    assert steps(tr) == kept and "the 5 samples after it are given up" in caplog.text
    go(net, tr, data, 100)

    data, net = loader(), network()
    whole = trainer(net, "sgnht", {}, None, data)
    go(net, whole, data, 100)
    assert steps(tr) == steps(whole)
    for a, b in zip(arrays(tr), arrays(whole)):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_the_best_of_a_sweep_is_gone_on_with(begun, tmp_path):
    """Its samples were given up when the next path began: told, and those of the last path are not taken for them."""
    net, tr, data, place = begun
    ends = []
    for lr in (0.01, 0.1):
        place.go_back(net, tr, data)
        tr.set_learning_rate(lr)
        go(net, tr, data, 60)
        ends.append(Place(tmp_path, net, tr, data))
    of_the_last = steps(tr)
    with warnings.catch_warnings():     # it is on the path: nothing goes
        warnings.simplefilter("error")
        ends[1].go_back(net, tr, data)
    assert steps(tr) == of_the_last and tr.learning_rate == 0.1
    with pytest.warns(UserWarning, match="5 of them are given up, and the 5 of the path to these states, from step 40"):
        ends[0].go_back(net, tr, data)
    assert tr.learning_rate == 0.01 and steps(tr) == [step for step in of_the_last if step <= 40]


def test_samples_of_another_chain_are_given_up(begun, tmp_path):
    """A trainer that has run for itself goes on with the states of another."""
    _, _, _, place = begun
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, None, data)
    go(net, tr, data, 12)
    with pytest.warns(UserWarning, match="of another path"):
        place.go_back(net, tr, data)
    assert steps(tr) == [] and tr.num_steps == 40


def test_states_of_an_older_version_go_by_their_step(begun, tmp_path):
    """They have counters and no marks."""
    net, tr, data, place = begun
    kept = steps(tr)
    tr._optimizer._collected = {name: getattr(tr, name) for name in ("num_steps", "_stage", "_taken")}
    mx.gluon.Trainer.save_states(tr, place.states)
    go(net, tr, data, 60)
    place.go_back(net, tr, data)
    assert steps(tr) == kept


def test_max_samples_counts_what_is_there(tmp_path):
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, None, data, max_samples=12)
    go(net, tr, data, 40)
    place = Place(tmp_path, net, tr, data)
    go(net, tr, data, 80)
    assert len(tr.samples) == 12
    place.go_back(net, tr, data)
    assert len(tr.samples) == 9
    go(net, tr, data, 80)
    assert len(tr.samples) == 12


def test_samples_taken_out_before_stay(begun):
    net, tr, data, place = begun
    go(net, tr, data, 60)
    mine = tr.samples[:]
    place.go_back(net, tr, data)
    assert len(mine) == 14 and len(tr.samples) == 9


def test_going_back_on_the_native_road(tmp_path):
    x = np.random.RandomState(0).randn(44, 5).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(6, activation="tanh", in_units=5), mx.gluon.nn.Dense(2, in_units=6))
    net.initialize()
    tr = sg.BayesianTrainer(net, "sgnht", {"num_data": 44, "learning_rate": 0.05}, sg.likelihoods.Categorical(), seed=3,
                            thin=4)
    data = sg.data.ArrayLoader(x, y, batch_size=8)
    tr.sample(data, 40)
    assert tr.gradient_road == "native"
    place = Place(tmp_path, net, tr, data)
    tr.sample(data, 60)
    first = arrays(tr)
    place.go_back(net, tr, data)
    assert len(tr.samples) == 10
    tr.sample(data, 60)
    for a, b in zip(arrays(tr), first):
        np.testing.assert_array_equal(a["0.weight"], b["0.weight"])


def test_a_store_is_not_gone_back_behind(tmp_path):
    """Refused with the reason, and nothing has moved: the run goes on as if nobody had asked."""
    def begin(folder):
        data, net = loader(), network()
        return net, trainer(net, "sgnht", {}, tmp_path / folder, data), data

    net, tr, data = begin("a")
    go(net, tr, data, 40)
    place = Place(tmp_path, net, tr, data)
    place.go_back(net, tr, data)        # where it is: nothing is behind
    go(net, tr, data, 60)
    weights = {name: p.data().asnumpy() for name, p in tr._named.items()}
    with pytest.raises(ValueError, match="before samples of the store: .*a has those up to step 59.*after step 40.*"
                                         "without a store"):
        tr.load_states(place.states)
    for name, p in tr._named.items():
        np.testing.assert_array_equal(p.data().asnumpy(), weights[name])
    assert tr.num_steps == 60
    go(net, tr, data, 80)
    tr.close()
    whole_net, whole, whole_data = begin("b")
    go(whole_net, whole, whole_data, 80)
    whole.close()
    a, b = sg.load(tmp_path / "a"), sg.load(tmp_path / "b")
    assert [s.step for s in a] == [s.step for s in b]
    for mine, its in zip(a, b):
        np.testing.assert_array_equal(mine["0.weight"].asnumpy(), its["0.weight"].asnumpy())


def test_a_store_without_samples_goes_back_and_resumes(tmp_path):
    """In burn-in there is nothing to take back. Checkpoints of the path that was left are not gone on from."""
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, tmp_path / "a", data, burn_in=60)
    go(net, tr, data, 20)
    place = Place(tmp_path, net, tr, data)
    go(net, tr, data, 25)
    place.go_back(net, tr, data)
    tr.set_learning_rate(0.02)
    go(net, tr, data, 25)
    expected = net[0].weight.data().asnumpy()
    tr.close()
    net, data = network(), loader()
    tr = sg.BayesianTrainer.resume(tmp_path / "a", net, data=data)
    assert tr.num_steps == 25 and tr.learning_rate == 0.02
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), expected)
    tr.close()
