"""The samplers that the equations of ``Transcription`` do not cover take every road of Gluon with the same bits."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from roads import BATCH, LR, ONE, SEED, TWO, WD, N, backward, network, ordered

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
    return gluon.Trainer(net.collect_params(), optimizer, {"num_data": N, "learning_rate": LR, "wd": WD, "seed": SEED,
                                                           **own}, **kwargs)


def run(name, steps=range(8), contexts=ONE, net=None, trainer=None, **kwargs):
    net = net or network(contexts)
    trainer = trainer or make(name, net, **kwargs)
    for k in steps:
        backward(net, k, contexts)
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
    """Gradients and weights in float16, everything else as the chain in float32 that sees the same gradients."""
    chains = {}
    for dtype in ("float16", "float32"):
        optimizer, own = FAMILY[name]
        o = mx.optimizer.create(optimizer, **{"num_data": N, "learning_rate": LR, "wd": WD, "seed": SEED, **own},
                                multi_precision=True)
        rng = np.random.RandomState(1)
        weights = [mx.nd.array(rng.randn(*s).astype(np.float16), dtype=dtype) for s in ((4, 3), (4,), (70, 5))]
        updater = mx.optimizer.get_updater(o)
        for _ in range(8):
            grads = [mx.nd.array(rng.randn(*w.shape).astype(np.float16), dtype=dtype) for w in weights]
            updater([0, 1, 2], grads, weights)
        chains[dtype] = [w.asnumpy() for w in weights]
    for a, b in zip(chains["float16"], chains["float32"]):
        assert a.dtype == np.float16
        np.testing.assert_array_equal(a, b.astype(np.float16))


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
