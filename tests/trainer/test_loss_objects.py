"""The potential of samples, whichever loss object the loop calls."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from runs import BATCH, X, Y, network, options

import sgmcmc_mx as sg

Categorical, Gaussian = sg.likelihoods.Categorical, sg.likelihoods.Gaussian


def made(net, loss, store=None, seed=11, **more):
    return sg.BayesianTrainer(net, "sgld", options(**more), loss, seed=seed, store=store, burn_in=0, thin=1)


def forward(net, loss, k=0):
    x, y = nd.array(X[k * BATCH:(k + 1) * BATCH]), nd.array(Y[k * BATCH:(k + 1) * BATCH])
    with autograd.record():
        value = loss(net(x), y if isinstance(loss, (Categorical, gluon.loss.SoftmaxCELoss)) else nd.one_hot(y, 3))
    value.backward()


def steps(net, tr, loss, number):
    for k in range(number):
        forward(net, loss, k % 5)
        tr.step(BATCH)
    return [s.potential for s in tr.samples][-number:]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run that was closed after four steps, and what the run that was not came to."""
    root = tmp_path_factory.mktemp("losses")
    for name, number in (("whole", 8), ("parts", 4)):
        mx.random.seed(0)
        net, loss = network(), Categorical()
        with made(net, loss, root / name) as tr:
            found = steps(net, tr, loss, number)
            if number == 8:
                whole = found[4:]
    return root / "parts", whole


@pytest.fixture
def parts(stored, tmp_path):
    import shutil
    return shutil.copytree(stored[0], tmp_path / "run")


def continued(tr, net, loss):
    found = []
    for k in (4, 0, 1, 2):
        forward(net, loss, k)
        tr.step(BATCH)
        found.append(tr.samples[-1].potential)
    tr.close()
    return found


@pytest.mark.parametrize("given", ["nothing", "the loop's", "an equal one"])
@pytest.mark.parametrize("hybridized", [False, True])
def test_a_loop_with_its_own_loss_goes_on(parts, stored, given, hybridized):
    loss, net = Categorical(), network()
    if hybridized:
        loss.hybridize()
        net.hybridize()
    more = {"nothing": {}, "the loop's": {"likelihood": loss}, "an equal one": {"likelihood": Categorical()}}[given]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tr = sg.BayesianTrainer.resume(parts, net, **more)
        assert not more or tr.likelihood is more["likelihood"]
        assert continued(tr, net, loss) == stored[1]


def test_the_trainers_own_is_used_as_before(parts, stored):
    net = network()
    tr = sg.BayesianTrainer.resume(parts, net)
    assert continued(tr, net, tr.likelihood) == stored[1]


@pytest.mark.parametrize("other, said", [(Gaussian(), r"Gaussian\(sigma=1.0\) is not that of the run, Categorical"),
                                         (gluon.loss.SoftmaxCELoss(), "SoftmaxC.* is not that of the run")])
def test_another_likelihood_is_refused(parts, other, said):
    before = (parts / "manifest.jsonl").read_bytes()
    with pytest.raises(ValueError, match=f"likelihood={said}"):
        sg.BayesianTrainer.resume(parts, network(), likelihood=other)
    with pytest.raises(TypeError, match="likelihood must be a loss"):
        sg.BayesianTrainer.resume(parts, network(), likelihood=Categorical)
    assert (parts / "manifest.jsonl").read_bytes() == before


@pytest.mark.parametrize("sigma, other", [(1.0, 2.0), ([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]), ("learned", 1.0)])
def test_another_sigma_is_refused(tmp_path, sigma, other):
    net = network()
    with made(net, Gaussian(sigma), tmp_path / "run") as tr:
        forward(net, Gaussian() if sigma == "learned" else Gaussian(sigma))
        tr.step(BATCH)
    with pytest.raises(ValueError, match="likelihood=Gaussian.*is not that of the run, Gaussian"):
        sg.BayesianTrainer.resume(tmp_path / "run", network(), likelihood=Gaussian(other))
    sg.BayesianTrainer.resume(tmp_path / "run", network(), likelihood=Gaussian(sigma)).close()


def test_chains_that_see_all_data(tmp_path):
    with sg.HMC(network(), Categorical(), (X, Y), num_leapfrog=2, seed=1, step_size=0.01, store=tmp_path / "run") as c:
        c.run(2)
    mine = Categorical()
    with sg.HMC.resume(tmp_path / "run", network(), (X, Y), likelihood=mine) as c:
        assert c.likelihood is mine
    with pytest.raises(ValueError, match="is not that of the run"):
        sg.HMC.resume(tmp_path / "run", network(), (X, Y), likelihood=Gaussian())


class Mine(gluon.loss.SoftmaxCrossEntropyLoss):
    """A loss of one's own."""


class Renamed(gluon.loss.SoftmaxCrossEntropyLoss):
    """The same in a later version."""


def test_a_class_of_ones_own(tmp_path):
    loss, net = Mine(), network()
    with made(net, loss, tmp_path / "run") as tr:
        assert None not in steps(net, tr, loss, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with sg.BayesianTrainer.resume(tmp_path / "run", net, likelihood=Mine()) as tr:
            assert None not in steps(net, tr, tr.likelihood, 2)
    with pytest.warns(UserWarning, match="likelihood is a Renamed, and was a .*Mine in the run"):
        sg.BayesianTrainer.resume(tmp_path / "run", net, likelihood=Renamed()).close()


def test_a_reading_that_cannot_be_had_is_told_once(tmp_path):
    net, loss = network(), Mine()
    tr = made(net, Mine())
    told = r"samples have no potential.*trainer.likelihood.*resume\(..., likelihood=loss_fn\)"
    with pytest.warns(UserWarning, match=told) as w:
        assert steps(net, tr, loss, 5) == [None] * 5
    assert sum("no potential" in str(x.message) for x in w) == 1


def test_the_loss_of_an_earlier_step_is_none_of_this_one():
    """The loop changes to a loss that is not seen: no old number is shown as that of a new step."""
    net, loss = network(), Mine()
    tr = made(net, loss)
    assert None not in steps(net, tr, loss, 2)
    with pytest.warns(UserWarning, match="no potential"):
        assert steps(net, tr, Mine(), 2) == [None, None]
    assert None not in steps(net, tr, loss, 1)


def test_no_likelihood_no_word():
    net = network()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tr = made(net, None)
        assert steps(net, tr, Categorical(), 2) == [None, None]


def test_two_chains_in_turn_hear_their_own_losses(tmp_path):
    """Each loop calls one equal loss that is neither trainer's; forward passes of both come before the steps."""
    def potentials(together):
        nets = [network(), network()]
        nets[1][0].weight.set_data(nets[1][0].weight.data() * 3)
        trainers = [made(net, Categorical(), seed=k) for k, net in enumerate(nets)]
        loss = Categorical()
        for k in range(4):
            if together:
                for net in nets:
                    forward(net, loss, k)
                for tr in trainers:
                    tr.step(BATCH)
            else:
                for net, tr in zip(nets, trainers):
                    forward(net, loss, k)
                    tr.step(BATCH)
        return [[s.potential for s in tr.samples] for tr in trainers]
    alone, turn = potentials(False), potentials(True)
    assert alone == turn and not np.isclose(alone[0], alone[1]).any()


def test_a_trainer_that_is_gone_is_not_told():
    import gc

    from sgmcmc_mx.likelihoods import base
    gc.collect()    # trainers of other tests
    before = len(base._watching)
    net = network()
    tr = made(net, Categorical())
    assert len(base._watching) == before + 1
    del tr
    gc.collect()
    assert len(base._watching) == before
