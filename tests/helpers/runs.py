"""Runs with a store, made and stepped in one way, so that interrupted ones can be compared with whole ones."""
import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg

N, BATCH, STEPS = 44, 8, 24     # five batches and a half
ONE, TWO = (mx.cpu(0),), (mx.cpu(0), mx.cpu(1))
SETTINGS = {"burn_in": 3, "thin": 4, "checkpoint_every": 5}
_rng = np.random.RandomState(3)
X = _rng.randn(N, 5).astype("float32")
Y = (np.abs(X).argmax(axis=1) % 3).astype("float32")


class Dense(gluon.nn.HybridSequential):
    """5 - 6 - 3, with what a test asks for in between."""

    def __init__(self, *between):
        super().__init__()
        self.add(gluon.nn.Dense(6, activation="tanh", in_units=5), *between, gluon.nn.Dense(3, in_units=6))


def network(contexts=ONE, between=(), dtype="float32", frozen=None, started=True):
    """A network, with the same weights every time it is started."""
    net = Dense(*(make() for make in between))
    net.cast(dtype)
    if started:
        net.initialize(ctx=list(contexts))
        rng = np.random.RandomState(7)
        for name, p in sorted(net._collect_params_with_prefix().items()):
            if not name.endswith(("running_mean", "running_var")):
                p.set_data(nd.array(0.5 * rng.randn(*p.shape), dtype=dtype))
        if contexts == ONE:
            net(nd.zeros((2, 5), dtype=dtype))
    if frozen:
        net.collect_params(frozen).setattr("grad_req", "null")
    return net


def loader():
    """Its seed is of no account where the place is loaded."""
    return sg.data.ResumableLoader(gluon.data.ArrayDataset(X, Y), BATCH, seed=21)


def options(**more):
    return {"num_data": N, "learning_rate": 0.05, **more}


def trainer(net, sampler, params, store, data, **kwargs):
    return sg.BayesianTrainer(net, sampler, options(**params), sg.likelihoods.Categorical(), seed=11, store=store,
                              data=data, **{**SETTINGS, **kwargs})


def begun_or_resumed(net, sampler, params, store, data, **kwargs):
    """As :func:`trainer`, or what is left of that run."""
    return sg.BayesianTrainer.begin_or_resume(net, sampler, options(**params), sg.likelihoods.Categorical(), seed=11,
                                              store=store, data=data, **{**SETTINGS, **kwargs})


def give_up(tr):
    """Leave a run as it is where the process is killed, and let others into its folder."""
    tr.samples.close()
    tr._keeper._interruption.close()


def step(net, tr, x, y):
    """One step on a batch, split over the contexts."""
    contexts, dtype = tr._contexts, tr._params[0].dtype
    k, parts = len(contexts), [(x, y)]
    if k > 1 or x.dtype != np.dtype(dtype):
        parts = [(nd.array(a, ctx=c, dtype=dtype), nd.array(b, ctx=c)) for a, b, c in
                 zip(np.array_split(x.asnumpy(), k), np.array_split(y.asnumpy(), k), contexts)]
    with autograd.record():
        losses = [tr.likelihood(net(a), b) for a, b in parts]
    autograd.backward(losses)
    tr.step(len(x))


def go(net, tr, data, upto):
    """The ordinary loop, up to a step."""
    while tr.num_steps < upto:
        for x, y in data:
            step(net, tr, x, y)
            if tr.num_steps >= upto:
                return


def outcome(net, tr, context=None):
    """All that can be compared: weights, samples with their readings, predictions, thermostat."""
    found = {f"weight {n}": p.data(context).asnumpy() for n, p in net._collect_params_with_prefix().items()}
    for s in tr.samples:
        found.update({f"sample {s.step} {n}": a.asnumpy() for n, a in s.items()})
        found[f"sample {s.step}"] = np.array([s.weight, s.potential, s.temperature or 0, s.friction or 0], "float64")
        found.update({f"sample {s.step} precision {n}": v for n, v in (s.hyper or {}).items()})
    found["predictions"] = tr.predict(X.astype(np.dtype(tr._params[0].dtype)))
    friction = tr.friction
    found["friction"] = friction.asnumpy() if isinstance(friction, nd.NDArray) else friction
    return found


def assert_equal(a, b):
    assert list(a) == list(b)
    for name in a:
        if not np.array_equal(a[name], b[name]):        # quicker, where all is well, than what tells the difference
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
