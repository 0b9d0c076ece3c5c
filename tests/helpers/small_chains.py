"""What processes of tests sample: a small network on a small table, with all that could differ between two."""
import numpy as np
from mxnet import gluon, init

import sgmcmc_mx as sg

N, STEPS = 44, 24
_rng = np.random.RandomState(3)
X = _rng.randn(N, 5).astype("float32")
Y = (np.abs(X).argmax(axis=1) % 3).astype("float32")


def network():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(6, activation="tanh"), gluon.nn.Dropout(0.1), gluon.nn.Dense(3))
    return net


def build(chain, **options):
    """Initial weights and the order of batches come from the generators; the layers wait for their shapes."""
    net = network()
    net.initialize(init.Xavier(), ctx=chain.context)
    data = sg.data.ResumableLoader(gluon.data.ArrayDataset(X, Y), 8)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, "sgnht", {"learning_rate": 0.05},
                         **{"burn_in": 3, "thin": 4, "checkpoint_every": 5, **options})


def arrays(samples):
    """All numbers of some samples."""
    return [{**{name: a.asnumpy() for name, a in s.items()}, "step": s.step, "weight": s.weight,
             "potential": s.potential} for s in samples]


def assert_same(a, b):
    """The same bits in two sequences of samples."""
    a, b = arrays(a), arrays(b)
    assert [s["step"] for s in a] == [s["step"] for s in b]
    for mine, its in zip(a, b):
        assert list(mine) == list(its)
        for name in mine:
            np.testing.assert_array_equal(mine[name], its[name], err_msg=name)
