"""What a trainer sees of the loop: with how many inputs its network is called."""
import gc
import warnings

import mxnet as mx
import pytest
from mxnet import autograd, gluon, nd
from trainers import build, make, run

import sgmcmc_mx as sg


class Masked(gluon.nn.HybridBlock):
    """A mean over the positions that a mask leaves."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.out = gluon.nn.Dense(1, in_units=3)

    def hybrid_forward(self, F, x, mask=None):
        return self.out(x if mask is None else F.broadcast_mul(x, mask))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("hybridized", [False, True])
def test_the_inputs_of_a_recorded_call_are_counted(number, hybridized):
    net, x = Masked(), nd.ones((4, 3))
    net.initialize(mx.init.One())
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 8}, seed=0)
    net(x, x)
    assert trainer._inputs_seen is None     # a look at the network is no training
    net.hybridize(hybridized)
    for _ in range(2):
        with autograd.record():
            net(*[x] * number).sum().backward()
        assert trainer._inputs_seen == number
    net.hybridize(False)
    net(*[x] * (3 - number))
    assert trainer._inputs_seen == number


def test_the_network_lets_go_of_a_trainer_that_is_gone(data):
    net = build()
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 60}, seed=0)
    assert len(net._forward_hooks) == 1
    del trainer
    gc.collect()
    assert not net._forward_hooks
    assert run(make(net), data, 1)._inputs_seen == 1


def test_mxnet_does_not_warn_of_a_trainers_hooks(data):
    net, loss_fn = build(), sg.likelihoods.Categorical()
    trainer = make(net, likelihood=loss_fn)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        net.hybridize()
        loss_fn.hybridize()
        run(trainer, data, 2)
    handle = net.register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="being hybridized while still having"):
        net.hybridize()
    handle.detach()
