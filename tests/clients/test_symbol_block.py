"""A network that was exported as a symbol, and comes back as a SymbolBlock: it is sampled as the one it was."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from roads import assert_same
from trainers import D, N, build, make, run

import sgmcmc_mx as sg

X = np.random.RandomState(0).randn(N, D).astype(np.float32)
DATA = X, X[:, :3].argmax(axis=1).astype(np.float32)


@pytest.fixture
def exported(tmp_path):
    """A network, and the same one as it was read back from its files."""
    mx.random.seed(0)
    net = build()
    net.hybridize()
    net(mx.nd.array(X))
    net.export(str(tmp_path / "net"))
    symbol, params = (str(tmp_path / name) for name in ("net-symbol.json", "net-0000.params"))
    return net, gluon.SymbolBlock.imports(symbol, ["data"], params)


def test_it_is_the_same_chain(exported):
    net, block = exported
    a, b = (run(make(n, burn_in=5, thin=5), DATA, 30) for n in (net, block))
    assert len(a.samples) == len(b.samples) == 5
    for one, other in zip(a.samples, b.samples):
        assert one.potential == other.potential
        mine, its = ({p.name: v for p, v in zip(t._named.values(), s.values())} for t, s in ((a, one), (b, other)))
        assert set(mine) == set(its)
        assert_same([mine[name].asnumpy() for name in sorted(mine)], [its[name].asnumpy() for name in sorted(its)])
    np.testing.assert_array_equal(a.predict(X), b.predict(X))


def test_its_run_is_stored_and_resumed(exported, tmp_path):
    _, block = exported
    start = {name: p.data().copy() for name, p in block.collect_params().items()}
    whole = run(make(block, burn_in=5, thin=5), DATA, 30)
    expected = whole.predict(X)
    for name, p in block.collect_params().items():
        p.set_data(start[name])
    with make(block, burn_in=5, thin=5, store=tmp_path / "run") as first:
        run(first, DATA, 18)
    resumed = sg.BayesianTrainer.resume(tmp_path / "run", block)
    loss = resumed.likelihood
    for i in range(18, 30):
        rows = np.arange(20 * i, 20 * (i + 1)) % N
        with mx.autograd.record():
            out = loss(block(mx.nd.array(X[rows])), mx.nd.array(DATA[1][rows]))
        out.backward()
        resumed.step(20)
    np.testing.assert_array_equal(resumed.predict(X), expected)
    resumed.close()
