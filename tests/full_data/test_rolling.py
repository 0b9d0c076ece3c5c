"""A trajectory in the network's own arrays is the one that makes new arrays at every move, bit for bit."""
import mxnet as mx
import numpy as np
import pytest
from full_data_chains import K, N, build, hamiltonian
from mxnet import gluon
from mxnet import ndarray as nd

import sgmcmc_mx as sg
from sgmcmc_mx.full_data import rolling
from sgmcmc_mx.full_data.potential import Potential
from sgmcmc_mx.full_data.rolling import InNetwork
from sgmcmc_mx.samplers import hmc, metropolis


def moved(potential, ground, steps=5, step_size=0.05, mass=None, uniform=1e-9, temperature=1.3):
    """A transition from the network's weights."""
    position = potential.position()
    state = metropolis.State(position, *potential.with_gradient(position))
    normals = [nd.array(np.random.RandomState(i).standard_normal(w.shape), dtype=w.dtype)
               for i, w in enumerate(position)]
    end, outcome = hmc.transition(state, ground, step_size, steps, temperature, normals, uniform, mass)
    potential.load(position)
    return end, outcome


def assert_same(potential, **options):
    slow, expected = moved(potential, potential.with_gradient, **options)
    end, outcome = moved(potential, InNetwork(potential), **options)
    np.testing.assert_equal(tuple(outcome), tuple(expected))
    np.testing.assert_equal(end.potential, slow.potential)
    for a, b in zip([*end.position, *end.gradient], [*slow.position, *slow.gradient]):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
    return outcome


class Dynamic(gluon.Block):
    """A layer that only batches of some size reach."""

    def __init__(self):
        super().__init__()
        self.first, self.other = gluon.nn.Dense(K, in_units=4), gluon.nn.Dense(K, in_units=K)

    def forward(self, x):
        return self.other(self.first(x)) if len(x) == 8 else self.first(x)


def convolutional(dtype):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.HybridLambda(lambda F, x: F.reshape(x, shape=(-1, 1, 2, 2))),
            gluon.nn.Conv2D(16, 2, in_channels=1, activation="relu"), gluon.nn.Dense(K))
    net.initialize(mx.init.Xavier())
    return net


def hybridized(dtype):
    net = build(dtype=dtype)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


@pytest.mark.parametrize("mass", [None, 2.3])
@pytest.mark.parametrize("batch_size", [100, 8])
@pytest.mark.parametrize("make, dtype", [(lambda d: build(dtype=d), "float32"), (hybridized, "float32"),
                                         (lambda d: build(dtype=d), "float64"), (convolutional, "float32")])
def test_it_is_the_slow_one(make, dtype, batch_size, mass, data):
    net = make(dtype)
    potential = Potential(net, sg.likelihoods.Categorical(), data, batch_size, prior={".*weight": 0.37, ".*": 2.0})
    masses = mass and [mass] * len(potential.params)
    assert assert_same(potential, mass=masses).accepted
    assert not assert_same(potential, mass=masses, uniform=1.0).accepted


def test_what_a_batch_does_not_use(data):
    net = Dynamic()
    net.initialize(mx.init.Xavier())
    for batch_size in (8, 6):       # some batches use the second layer, and none
        assert_same(Potential(net, sg.likelihoods.Categorical(), data, batch_size))
    compiled = build(gluon.nn.Dense(5, in_units=5))
    compiled.hybridize()
    assert_same(Potential(compiled, sg.likelihoods.Categorical(), data, 8))


@pytest.mark.parametrize("req, sparse", [("write", False), ("write", True), ("add", False)])
def test_gradients_of_any_kind(req, sparse, data):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Embedding(6, 4, sparse_grad=sparse), gluon.nn.Dense(K, in_units=4))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    for p in net.collect_params().values():
        p.grad_req = req
    for batch_size in (100, 8):
        assert_same(Potential(net, sg.likelihoods.Categorical(), (np.arange(N) % 5, data[1]), batch_size))


def test_a_loss_with_memory_of_its_own(data):
    """Compiled with static_alloc it gives the same array at every call."""
    likelihood = sg.likelihoods.Categorical()
    likelihood.hybridize(static_alloc=True, static_shape=True)
    for batch_size in (100, 8):
        assert_same(Potential(build(), likelihood, data, batch_size), steps=2 * rolling.LATE + 3, step_size=0.02)


class Walled(sg.likelihoods.Categorical):
    """Of the calls that ``count`` counts the loss of one is infinite; its gradient is none the worse."""

    count, wall = 0, None

    def forward(self, output, label, weight=None):
        loss = super().forward(output, label, weight)
        self.count += 1
        return loss + float("inf") if self.count == self.wall else loss


@pytest.mark.parametrize("wall", range(1, 2 * rolling.LATE + 4))
def test_a_trajectory_that_passes_what_is_not_finite_is_rejected(wall, data):
    """Wherever on the way it is, and though the end is finite."""
    likelihood, steps = Walled(), 2 * rolling.LATE + 3
    potential = Potential(build(), likelihood, data)
    ground = InNetwork(potential)
    moved(potential, ground)
    likelihood.count, likelihood.wall = -1, wall     # the state itself is finite
    end, outcome = moved(potential, InNetwork(potential), steps=steps, step_size=0.01)
    assert not outcome.accepted and np.isnan(outcome.change) and np.isfinite(end.potential)
    assert likelihood.count <= min(steps, wall + rolling.LATE + 1)


def test_a_state_is_not_written_to_any_more(data):
    chain = hamiltonian(data, step_size=0.02)
    chain.step()
    state = chain._state
    kept = [a.asnumpy() for a in [*state.position, *state.gradient]]
    chain.run(10)
    for a, b in zip([*state.position, *state.gradient], kept):
        np.testing.assert_array_equal(a.asnumpy(), b)


def test_weights_that_a_user_changes_between_two_runs(data):
    """To others and back, in the same arrays and in new ones."""
    def run(change):
        mx.random.seed(0)
        net = build()
        chain = hamiltonian(data, net, step_size=0.05).run(4)
        change(net)
        chain.run(4)
        return [s.potential for s in chain.samples]

    def there_and_back(net):
        values = {n: p.data().copy() for n, p in net.collect_params().items()}
        for p in net.collect_params().values():
            p.set_data(p.data() * 0)
        for n, p in net.collect_params().items():
            p.set_data(values[n])

    expected = run(lambda net: None)
    assert run(there_and_back) == expected
    assert run(lambda net: net.cast("float32")) == expected
    assert run(lambda net: net.collect_params().reset_ctx(mx.cpu())) == expected
