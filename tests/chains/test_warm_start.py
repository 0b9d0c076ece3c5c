"""Where chains begin: after ordinary training, at given files, where build leaves them."""
import numpy as np
import pytest
from mxnet import gluon, init, lr_scheduler, nd
from small_chains import AtOnce, X, Y, assert_same, network

import sgmcmc_mx as sg
from sgmcmc_mx.chains import worker
from sgmcmc_mx.chains.warm_start import described


def build_still(chain):
    """A chain that hardly moves, so that its first sample shows where it began."""
    net = network()
    net.initialize(init.Xavier(), ctx=chain.context)
    data = sg.data.ResumableLoader(gluon.data.ArrayDataset(X, Y), 8)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, "sgld", {"learning_rate": 1e-12})


def build_dirichlet(chain):
    """The same under a likelihood by which labels are hardly ever wrong."""
    setup = build_still(chain)
    return sg.ChainSetup(setup.net, sg.likelihoods.NoisyDirichlet(1e-4), setup.data, "sgld", {"learning_rate": 1e-12})


def start_of(start, chains=2):
    """Where each chain began, weights by name."""
    runs = sg.sample_chains(build_still, chains, steps=1, executor=AtOnce(), seed=5, warm_start=start)
    return runs, [{name: a.asnumpy() for name, a in chain[0].items()} for chain in runs]


def nll(weights):
    net = network()
    net.initialize()
    net(nd.array(X))
    with sg.using(net, {name: nd.array(a) for name, a in weights.items()}):
        return float(sg.likelihoods.Categorical()(net(nd.array(X)), nd.array(Y)).mean().asscalar())


@pytest.fixture(scope="module")
def cold():
    return start_of(None)[1]


@pytest.mark.parametrize("start", [
    sg.WarmStart("adam", {"learning_rate": 0.02}, epochs=20),
    sg.WarmStart("sgd", {"learning_rate": 0.2, "momentum": 0.9,
                         "lr_scheduler": lr_scheduler.CosineScheduler(120, base_lr=0.2)}, steps=120),
    sg.WarmStart("adam", {"learning_rate": 0.02}, epochs=30, held_out=0.2, patience=5),
], ids=["adam", "sgd with a schedule", "held out"])
def test_each_chain_is_trained_from_its_own_weights(start, cold):
    runs, warm = start_of(start)
    for before, after in zip(cold, warm):
        assert nll(after) < nll(before) - 0.1
    assert np.abs(warm[0]["0.weight"] - warm[1]["0.weight"]).max() > 0.05
    for a, b in zip(runs, start_of(start)[0]):      # a schedule counts, and is each chain's own
        assert_same(a, b)


def test_a_training_by_another_loss_than_the_chains():
    """Ends where that of a chain with this loss does, and not where its own would have led."""
    begun = []
    for build, loss in ((build_still, None), (build_dirichlet, sg.likelihoods.Categorical()), (build_dirichlet, None)):
        start = sg.WarmStart("sgd", {"learning_rate": 0.02}, epochs=5, likelihood=loss)
        chain = sg.sample_chains(build, 1, steps=1, executor=AtOnce(), seed=5, warm_start=start)[0]
        begun.append(chain[0]["0.weight"].asnumpy())
    np.testing.assert_allclose(begun[1], begun[0], atol=1e-5)
    assert np.abs(begun[2] - begun[0]).max() > 0.01


def test_a_folder_knows_the_loss_of_the_training():
    plain, other = (sg.WarmStart("sgd", epochs=1, likelihood=loss) for loss in (None, sg.likelihoods.Categorical()))
    assert "likelihood" not in described(plain) and described(other).startswith(described(plain) + " by Categorical")


def test_the_best_epoch_is_kept():
    """Of a training that gets worse and worse what was best, and not what was last."""
    mad = {"optimizer": "sgd", "optimizer_params": {"learning_rate": 10.0}}
    kept, last = (start_of(sg.WarmStart(**mad, epochs=12, held_out=out), chains=1)[1][0] for out in (0.3, 0.0))
    assert nll(kept) < 0.5 * nll(last)


def test_patience_ends_the_training():
    start = sg.WarmStart("sgd", {"learning_rate": 1e-30}, epochs=1000000, held_out=0.2, patience=2)
    assert len(start_of(start, chains=1)[0][0]) == 1     # comes to an end


def test_files(tmp_path, cold):
    paths = []
    for k in range(2):
        net = network()
        net.initialize(init.Normal(1.0))
        net(nd.array(X))
        paths.append(tmp_path / f"{k}.params")
        net.save_parameters(str(paths[-1]))
    given = [{name: a.asnumpy() for name, a in nd.load(str(path)).items()} for path in paths]
    one_each, one_for_all = start_of(paths)[1], start_of(str(paths[1]))[1]
    for name in given[0]:
        for k in range(2):
            np.testing.assert_allclose(one_each[k][name], given[k][name], atol=1e-4)
            np.testing.assert_allclose(one_for_all[k][name], given[1][name], atol=1e-4)
    assert np.abs(cold[0]["0.weight"] - given[0]["0.weight"]).max() > 0.1


@pytest.mark.parametrize("every", [-1.0, 1e9])
def test_a_training_that_diverges(monkeypatch, every):
    """The chain itself has not begun, however often the training has said how far it is."""
    monkeypatch.setattr(worker, "EVERY", every)
    with pytest.raises(RuntimeError, match="chain 0 diverged at step 0: DivergenceError: the warm start diverged: "
                                           "after 18 steps of 'sgd' .*write a smaller learning_rate"):
        start_of(sg.WarmStart("sgd", {"learning_rate": 3e38}, epochs=3))
