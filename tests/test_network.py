"""What drops units, and what normalises by a batch, wherever in a network it is written."""
import random
import warnings

import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

import sgmcmc_mx as sg
from sgmcmc_mx._network import dropping, normalising


class Operators(gluon.HybridBlock):
    """Dropout and normalisation as operators of a forward pass."""

    def __init__(self, p=0.5, use_global_stats=False):
        super().__init__()
        self.p, self.use_global_stats = p, use_global_stats
        self.dense = nn.Dense(3, in_units=4)
        with self.name_scope():
            for name, init in (("gamma", "ones"), ("beta", "zeros"), ("mean", "zeros"), ("var", "ones")):
                setattr(self, name, self.params.get(name, shape=(3,), init=init,
                                                    grad_req="null" if name in ("mean", "var") else "write"))

    def hybrid_forward(self, F, x, gamma, beta, mean, var):
        x = F.BatchNorm(self.dense(x), gamma, beta, mean, var, use_global_stats=self.use_global_stats)
        return F.Dropout(x, p=self.p)


class Plain(gluon.Block):
    """Operators on arrays, which no graph can be had of."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p, self.dense = p, nn.Dense(3, in_units=4)

    def forward(self, x):
        return nd.Dropout(self.dense(x), p=float(self.p)) if x.shape[0] else x


def sequential(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def imported(tmp_path, *layers):
    net = sequential(nn.Dense(3, in_units=4), *layers)
    net.initialize()
    net.hybridize()
    net(nd.ones((2, 4)))
    net.export(str(tmp_path / "net"))
    return gluon.SymbolBlock.imports(str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params"))


def trained(net, steps=2):
    net.collect_params().initialize()
    loss_fn = sg.likelihoods.Categorical()
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 40, "learning_rate": 0.01}, loss_fn, seed=0)
    for _ in range(steps):
        with autograd.record():
            loss = loss_fn(net(nd.random.normal(shape=(8, 4))), nd.zeros(8))
        loss.backward()
        trainer.step(8)
    return trainer


def warned(trainer):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer.predict(np.ones((2, 4), "float32"))
    return " ".join(str(w.message) for w in told if w.category is UserWarning)


@pytest.mark.parametrize("hybridized", [False, True])
@pytest.mark.parametrize("child", [False, True])
def test_operators_of_a_hybrid_block(hybridized, child):
    net = sequential(Operators()) if child else Operators()
    net.hybridize(hybridized)
    assert dropping(net) == [f"Dropout in {net.name}"] and normalising(net) == [f"BatchNorm in {net.name}"]
    said = warned(trained(net))
    assert "drops units" in said and "normalises by the statistics" in said
    sound = Operators(0.0, True)
    sound.hybridize(hybridized)
    assert not dropping(sound) and not normalising(sound)
    assert "units" not in warned(trained(sound))


@pytest.mark.parametrize("child", [False, True])
def test_an_imported_graph(tmp_path, child):
    net = imported(tmp_path, nn.BatchNorm(in_channels=3), nn.Dropout(0.5))
    net = sequential(net) if child else net
    said = warned(trained_as_it_is(net))
    assert "Dropout in" in said and "BatchNorm in" in said
    sound = imported(tmp_path, nn.BatchNorm(in_channels=3, use_global_stats=True), nn.Dropout(0.0))
    assert not dropping(sound) and not normalising(sound)


def trained_as_it_is(net):
    loss_fn = sg.likelihoods.Categorical()
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 40, "learning_rate": 0.01}, loss_fn, seed=0)
    for _ in range(2):
        with autograd.record():
            loss = loss_fn(net(nd.random.normal(shape=(8, 4))), nd.zeros(8))
        loss.backward()
        trainer.step(8)
    return trainer


def test_layers_with_an_activation_of_their_own():
    assert len(normalising(sequential(nn.BatchNormReLU(in_channels=3)))) == 1
    assert not normalising(sequential(nn.BatchNormReLU(in_channels=3, use_global_stats=True)))


def test_a_plain_block_is_seen_while_it_trains():
    assert "Dropout in the forward pass drops units" in warned(trained(Plain()))
    assert "drops" not in warned(trained(Plain(0.0)))
    assert "drops" not in warned(trained(sequential(nn.Dense(3, in_units=4), nn.LayerNorm(in_channels=3))))


def test_layers_of_recurrent_networks():
    assert len(dropping(gluon.rnn.LSTM(4, num_layers=2, dropout=0.5, input_size=2))) == 1
    assert not dropping(gluon.rnn.LSTM(4, num_layers=2, input_size=2))


def test_a_look_changes_nothing():
    class Drawing(gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return x * random.random() * np.random.rand()

    net = Drawing()
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.rand()
    random.seed(3)
    np.random.seed(3)
    assert not dropping(net) and not net._cached_graph
    assert (random.random(), np.random.rand()) == expected


def test_control_variates_look_too():
    net = Operators()
    net.initialize()
    with pytest.warns(UserWarning, match="Dropout in .* drops units"):
        sg.ControlVariates(net, sg.likelihoods.Categorical(), (nd.ones((8, 4)), nd.zeros(8)))
