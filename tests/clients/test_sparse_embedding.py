"""An Embedding with sparse gradients, as recommenders have it: they are made dense, and that is told once."""
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

import sgmcmc_mx as sg

ITEMS, SEEN, N = 60, 6, 60
PAIRS = np.random.RandomState(0).randint(0, SEEN, (N, 2))      # the other items are in no batch
RATINGS = np.abs(PAIRS[:, :1] - PAIRS[:, 1:]).astype(np.float32)


def chain(sparse):
    mx.random.seed(0)
    net = gluon.nn.HybridSequential(prefix="recommender_")
    with net.name_scope():
        net.add(gluon.nn.Embedding(ITEMS, 3, sparse_grad=sparse), gluon.nn.Dense(1, in_units=6))
    net.initialize(mx.init.Normal(0.1))
    loss = sg.likelihoods.Gaussian(0.5)
    trainer = sg.BayesianTrainer(net, "sgnht", {"learning_rate": 0.03, "num_data": N, "wd": 4.0, "integrator": "aboba"},
                                 loss, seed=0, burn_in=150, thin=5)
    for k in range(450):
        rows = np.arange(20 * k, 20 * (k + 1)) % N
        with autograd.record():
            out = loss(net(mx.nd.array(PAIRS[rows])), mx.nd.array(RATINGS[rows]))
        out.backward()
        trainer.step(20)
    return trainer


@pytest.fixture(scope="module")
def sparse():
    """The chain, and what it has warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        return chain(True), [str(w.message) for w in told if "row_sparse" in str(w.message)]


def test_it_is_told_once(sparse):
    told = sparse[1]
    assert len(told) == 1
    assert told[0].startswith("the gradient of recommender_embedding0_weight is row_sparse, and is made dense")
    assert "sparse_grad=False" in told[0]


def test_it_is_the_chain_of_a_dense_one(sparse):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)     # which has nothing to tell
        dense = chain(False)
    for a, b in zip(sparse[0].samples, dense.samples):
        for name in a:
            np.testing.assert_array_equal(a[name].asnumpy(), b[name].asnumpy())


def test_rows_that_no_batch_has_follow_their_prior(sparse):
    """A lazy update, which is what sparse gradients are for, would leave them where they began."""
    rows = np.array([s["0.weight"].asnumpy()[SEEN:] for s in sparse[0].samples])
    assert rows.shape == (60, ITEMS - SEEN, 3)
    # The prior's deviation is 1/2. With momentum the weights forget in a N / (lr wd) = 50 steps, so that 300 steps are
    # six independent draws of 162 numbers, whose deviation is known to 1 / sqrt(2 * 6 * 162) = 2.3 %.
    assert abs(rows.std() / 0.5 - 1.0) < 5 * 0.023


@pytest.mark.parametrize("on_kvstore", [True, False])
def test_it_is_told_on_every_road(on_kvstore):
    net = gluon.nn.Embedding(ITEMS, 3, sparse_grad=True)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgld", {"num_data": N}, update_on_kvstore=on_kvstore)
    with pytest.warns(UserWarning, match="row_sparse, and is made dense") as told:
        for _ in range(3):
            with autograd.record():
                out = net(mx.nd.array([1, 2])).sum()
            out.backward()
            trainer.step(2)
    assert sum("row_sparse" in str(w.message) for w in told) == 1
