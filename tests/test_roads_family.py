"""The samplers that the equations of ``Transcription`` do not cover take every road of Gluon with the same bits."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from roads import BATCH, LR, N, ONE, SEED, TWO, WD, backward, network, ordered

from sgmcmc_mx.priors import Gamma

FAMILY = {
    "psgld": ("psgld", {"learning_rate": 0.002}),
    "psgld-fisher": ("psgld", {"learning_rate": 0.002, "gamma": "fisher"}),
    "sasghmc": ("sasghmc", {"burn_in": 4, "learning_rate": 0.005}),
    "hyperprior": ("sgnht", {"prior": Gamma(every=3)}),
    "hyperprior-global": ("sgld", {"prior": Gamma(every=2, by="global")}),
    "badodab": ("sgnht", {"integrator": "badodab"}),
}
KVSTORE = [name for name in FAMILY if name != "badodab"]


def make(name, net, **kwargs):
    optimizer, own = FAMILY[name]
    more = {"multi_precision": True} if any(str(p.dtype) == "float16" for p in net.collect_params().values()) else {}
    return gluon.Trainer(net.collect_params(), optimizer, {"num_data": N, "learning_rate": LR, "wd": WD, "seed": SEED,
                                                           **own, **more}, **kwargs)


def run(name, steps=range(8), contexts=ONE, dtype="float32", net=None, trainer=None, **kwargs):
    net = net or network(contexts, dtype)
    trainer = trainer or make(name, net, **kwargs)
    for k in steps:
        backward(net, k, contexts, dtype)
        trainer.step(BATCH)
    mx.nd.waitall()
    return [p.data(contexts[0]).asnumpy() for p in ordered(net)], trainer, net


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b))


@pytest.mark.parametrize("name", FAMILY)
def test_moves_and_repeats(name):
    first, second = run(name, kvstore=None)[0], run(name, kvstore=None)[0]
    assert same(first, second)
    assert not any(np.array_equal(a, b.data().asnumpy()) for a, b in zip(first, ordered(network())))


@pytest.mark.parametrize("name", FAMILY)
def test_replicas_stay_equal(name):
    _, _, net = run(name, contexts=TWO, update_on_kvstore=False)
    for p in ordered(net):
        np.testing.assert_array_equal(*(p.data(c).asnumpy() for c in TWO))


@pytest.mark.parametrize("name", KVSTORE)
def test_on_a_kvstore_as_off_it(name):
    on = run(name, contexts=TWO, update_on_kvstore=True)[0]
    off = run(name, contexts=TWO, update_on_kvstore=False)[0]
    for a, b in zip(on, off):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", FAMILY)
def test_float16_with_a_master(name):
    """The same chain as float32 to the precision of its gradients."""
    half, whole = run(name, dtype="float16", kvstore=None)[0], run(name, kvstore=None)[0]
    for a, b in zip(half, whole):
        assert a.dtype == np.float16
        if not name.startswith("hyperprior") and name not in ("psgld", "psgld-fisher", "sasghmc"):  # those divide by it
            np.testing.assert_allclose(a, b, atol=0.02)
        assert np.isfinite(a).all()


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("stop", [2, 5])
def test_states_are_saved_and_loaded(name, stop, tmp_path):
    whole = run(name, kvstore=None)[0]
    _, trainer, net = run(name, range(stop), kvstore=None)
    trainer.save_states(str(tmp_path / "states"))
    net.save_parameters(str(tmp_path / "net"))
    other = network()
    other.load_parameters(str(tmp_path / "net"))
    again = make(name, other, kvstore=None)
    again.load_states(str(tmp_path / "states"))
    assert same(run(name, range(stop, 8), net=other, trainer=again)[0], whole)
