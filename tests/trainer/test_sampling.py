"""The trainer's own loop: along the native road the same chain as step by step, and all that a trainer does besides."""
import logging
import signal

import mxnet as mx
import numpy as np
import pytest
from dense_nets import labels, mlp, weights
from mxnet import gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.gradients import Gradients
from sgmcmc_mx.gradients.dense_stack import dense_stack
from sgmcmc_mx.gradients.native import Examples, NativeGradient
from sgmcmc_mx.kernels import backend, native
from sgmcmc_mx.trainer.roads import go, road_of

pytestmark = pytest.mark.skipif(native.load() is not None or backend() != "native", reason="no native step")

N, BATCH = 43, 8
_rng = np.random.RandomState(0)
X, Y = _rng.randn(N, 5).astype("float32"), labels("categorical", N, _rng)


def loader(**options):
    return sg.data.ArrayLoader(X, Y, batch_size=BATCH, **{"seed": 4, **options})


def made(sampler="sgnht", params=None, likelihood=None, data=None, net=None, **options):
    net = net or mlp((5, 6, 4))
    params = {"learning_rate": 0.05, "num_data": N, **(params or {})}
    return sg.BayesianTrainer(net, sampler, params, likelihood or sg.likelihoods.Categorical(), seed=11, data=data,
                              **{"burn_in": 5, "thin": 4, **options})


def step_by_step(trainer, data, steps):
    """The same steps one by one: a native gradient, and the trainer's ordinary step."""
    stack = dense_stack(trainer.net, trainer.likelihood)
    gradient = NativeGradient(stack, Examples.of(*data.arrays), BATCH)
    for _ in range(steps):
        trainer._before_step()
        rows, sizes = data.take(1)
        gradient.run(rows)
        for p in trainer._params:
            p.list_data()[0]._fresh_grad = True
        trainer.step(int(sizes[0]))


def assert_same(one, other, exact=True):
    assert one.num_steps == other.num_steps and len(one.samples) == len(other.samples)
    same = np.array_equal if exact else (lambda a, b: np.allclose(a, b, rtol=1e-4, atol=1e-6))
    pairs = [(weights(one.net), weights(other.net))]
    for a, b in zip(one.samples, other.samples):
        assert (a.step, a.weight) == (b.step, b.weight) and a.hyper == b.hyper
        pairs.append(({n: a[n].asnumpy() for n in a}, {n: b[n].asnumpy() for n in b}))
    for a, b in pairs:
        assert all(same(a[name], b[name]) for name in a)


class Steps(mx.lr_scheduler.LRScheduler):
    """Any function of the step's number."""

    def __init__(self, function):
        super().__init__(0.05)
        self.function = function

    def __call__(self, num_update):
        return self.function(num_update)


CHAINS = {
    "sgld": ("sgld", {}), "sghmc": ("sghmc", {"friction": 0.2}), "sgnht": ("sgnht", {}),
    "cold": ("sghmc", {"temperature": 0.1}), "optimizer": ("sghmc", {"temperature": 0.0}),
    "tensor": ("sgnht", {"thermostat": "tensor"}), "element": ("sgnht", {"thermostat": "element"}),
    "aboba": ("sghmc", {"integrator": "aboba"}), "badodab": ("sghmc", {"integrator": "badodab"}),
    "aboba thermostat": ("sgnht", {"integrator": "aboba"}), "badodab thermostat": ("sgnht", {"integrator": "badodab"}),
    "badodab tensor": ("sgnht", {"integrator": "badodab", "thermostat": "tensor"}),
    "known noise": ("sghmc", {"gradient_noise": 0.5}), "estimate": ("sghmc", {"gradient_noise": "estimate"}),
    "resample": ("sghmc", {"resample_momentum": 7}), "clip": ("sgnht", {"clip_gradient": 0.3}),
    "hyperprior": ("sgnht", {"prior": sg.priors.Gamma(2.0, 2.0, every=6)}), "prior": ("sgnht", {"prior": "fan_in"}),
    "laplace": ("sgnht", {"prior": sg.priors.Laplace(0.5)}),
    "student": ("sghmc", {"prior": {".*weight": sg.priors.StudentT(3, "fan_in"), ".*": 2.0}}),
    "horseshoe": ("sgnht", {"prior": sg.priors.Horseshoe(1.0, narrowest=0.5, every=6)}),
    "polynomial": ("sgnht", {"lr_scheduler": sg.schedules.PolynomialScheduler(0.05, 5.0)}),
    "cyclical": ("sghmc", {"lr_scheduler": sg.schedules.CyclicalScheduler(0.05, 20, exploration=0.3)}),
    "stands still": ("sgld", {"lr_scheduler": Steps(lambda step: 0.0 if 10 <= step < 17 else 0.05)}),
}


def options_of(name):
    sampler, params = CHAINS[name]
    params = dict(params)
    if "lr_scheduler" in params:
        params["learning_rate"] = 0.05
    if not params.get("temperature", 1.0):
        params["friction"] = 0.3
    return sampler, params


@pytest.mark.filterwarnings("ignore:clip_gradient", "ignore:.*temperature over 10 readings", "ignore:a stage in which")
@pytest.mark.parametrize("name", CHAINS)
def test_many_steps_at_once_are_the_same_steps(name):
    """With equal gradients a chain moves as step by step: bit for bit, samples and hyperpriors too."""
    one, other = (made(*options_of(name)) for _ in range(2))
    ours, theirs = loader(), loader()
    one.sample(ours, 20, gradients="native").sample(ours, 61, gradients="native")
    step_by_step(other, theirs, 61)
    assert_same(one, other)
    assert ours.state_dict() == theirs.state_dict() and one.gradient_road == "native"
    for reading in ("temperature", "friction"):
        a, b = (getattr(t, reading) for t in (one, other))
        a, b = (x.asscalar() if isinstance(x, nd.NDArray) else x for x in (a, b))
        assert a == (b if b is None else pytest.approx(b, rel=1e-5))
    assert one._optimizer.num_update == other._optimizer.num_update == 61


def test_a_mutant_of_the_numbers_ahead_is_told(monkeypatch):
    """One count that is wrong is another noise."""
    from sgmcmc_mx.samplers import _ahead
    right = _ahead._extrapolated
    monkeypatch.setattr(_ahead, "_extrapolated", lambda last, scales: right(last, scales)[::-1])
    one, other = made(check_every=200), made(check_every=200)
    one.sample(loader(), 30)
    step_by_step(other, loader(), 30)
    assert not np.array_equal(weights(one.net)["0.weight"], weights(other.net)["0.weight"])


@pytest.mark.parametrize("name", ["sgnht", "cold", "estimate"])
def test_mxnets_road_is_the_same_to_rounding(name):
    one, other = (made(*options_of(name)) for _ in range(2))
    one.sample(loader(), 25)
    other.sample(loader(), 25, gradients="mxnet")
    assert (one.gradient_road, other.gradient_road) == ("native", "mxnet")
    assert_same(one, other, exact=False)
    for a, b in zip(one.samples, other.samples):
        assert a.potential == pytest.approx(b.potential, rel=1e-4)
        assert a.temperature == pytest.approx(b.temperature, rel=1e-4)


def test_mxnets_road_is_the_loop_that_one_writes_oneself():
    one, other, data = made(), made(), loader()
    one.sample(loader(), 25, gradients="mxnet")
    loss_fn = other.likelihood
    from mxnet import autograd
    while other.num_steps < 25:
        for x, y in data:
            with autograd.record():
                loss = loss_fn(other.net(x), y)
            loss.backward()
            other.step(len(x))
            if other.num_steps == 25:
                break
    assert_same(one, other)


def test_predictions_come_out_of_it():
    trainer = made().sample(loader(), 45)
    assert len(trainer.samples) == 10 and trainer.predict(X).shape == (N, 4)


@pytest.mark.parametrize("road", ["native", "mxnet"])
@pytest.mark.parametrize("stop", [1, 13, 23, 30])
def test_resumed_bit_for_bit(road, stop, tmp_path):
    data = loader()
    with made(data=data, store=tmp_path / "whole", checkpoint_every=7) as whole:
        whole.sample(data, 50, gradients=road)
    data = loader()
    with made(data=data, store=tmp_path / "part", checkpoint_every=7) as part:
        part.sample(data, stop, gradients=road)
    data, net = loader(seed=99), mlp((5, 6, 4), seed=5)
    with sg.BayesianTrainer.resume(tmp_path / "part", net, data=data) as rest:
        assert rest.num_steps == stop
        rest.sample(data, 50, gradients=road)
    assert_same(whole, rest)
    assert [a.potential for a in whole.samples] == [b.potential for b in rest.samples]


def test_the_sizes_of_operations_change_nothing():
    """Looks and checkpoints cut the steps elsewhere."""
    some = [made(check_every=n).sample(loader(), 40) for n in (1, 2, 7, 1000)]
    for other in some[1:]:
        assert_same(some[0], other)


@pytest.mark.parametrize("check_every", [1, 10, 100])
def test_divergence_is_found(check_every, tmp_path):
    data = loader()
    trainer = made("sghmc", {"learning_rate": 1e6}, check_every=check_every, data=data, store=tmp_path / "a")
    with pytest.raises(sg.DivergenceError):
        trainer.sample(data, 300)
    assert trainer.num_steps <= 5 + check_every     # the weights are finite for a few steps
    trainer.close()


def test_half_the_step_where_it_diverges(tmp_path):
    data = loader()
    net = mlp((5, 6, 4))
    trainer = made("sghmc", {"learning_rate": 40.0}, net=net, check_every=10, data=data, store=tmp_path / "a",
                   on_divergence="halve", burn_in=0, thin=50)
    with trainer:
        trainer.sample(data, 200)
    assert trainer.num_steps == 200 and all(np.isfinite(w).all() for w in weights(net).values())


def test_an_error_in_a_later_step_comes_after_the_steps_before_it():
    schedule = Steps(lambda step: 0.05 if step < 8 else float("nan"))
    trainer, other = (made("sgld", {"lr_scheduler": schedule}, burn_in=0, thin=1000) for _ in range(2))
    with pytest.raises(ValueError, match="learning_rate is nan at step 8"):
        trainer.sample(loader(), 30)
    step_by_step(other, loader(), 7)
    assert trainer.num_steps == 7
    assert_same(trainer, other)


class _CtrlC(Steps):
    """A schedule during which Ctrl-C is pressed: when it says the rate of a step, or whether the step is kept."""

    def __init__(self, where, when):
        super().__init__(lambda step: 0.05)
        self.where, self.when = where, when

    def _press(self, where, step):
        if (where, step) == (self.where, self.when):
            self.where = None
            signal.raise_signal(signal.SIGINT)

    def __call__(self, num_update):
        self._press("rate", num_update)
        return super().__call__(num_update)

    def collects(self, num_update):
        self._press("kept", num_update)
        return True


@pytest.mark.parametrize("gradients", ["native", "mxnet"])
@pytest.mark.parametrize("where", ["rate", "kept"])
def test_ctrl_c_leaves_a_chain_that_can_go_on(where, gradients):
    """Nothing is counted that was not done: the chain is the one that was never interrupted."""
    handler = signal.getsignal(signal.SIGINT)
    one, other = (made("sgnht", {"lr_scheduler": _CtrlC(w, 21), "learning_rate": 0.05}) for w in (where, None))
    ours, theirs = loader(), loader()
    with pytest.raises(KeyboardInterrupt):
        one.sample(ours, 60, gradients=gradients)
    assert 20 < one.num_steps < 60 and one.num_steps == one._optimizer.num_update
    assert signal.getsignal(signal.SIGINT) is handler
    one.sample(ours, 60, gradients=gradients)
    other.sample(theirs, 60, gradients=gradients)
    assert_same(one, other)
    assert ours.state_dict() == theirs.state_dict()


def test_labels_that_are_impossible_are_found():
    data = sg.data.ArrayLoader(X, np.full(N, 4), batch_size=BATCH)
    with pytest.raises(sg.DivergenceError):
        made(check_every=10).sample(data, 300)


# ---------------------------------------------------------------- which road, and what is refused


@pytest.mark.parametrize("data, net, options, reason", [
    (lambda: sg.data.ResumableLoader(gluon.data.ArrayDataset(X, Y), BATCH), None, {}, "data is a ResumableLoader"),
    (lambda: sg.data.ArrayLoader(X, Y, np.ones(N), batch_size=BATCH), None, {}, "of inputs and labels"),
    (lambda: sg.data.ArrayLoader(X[:, :4], Y, batch_size=BATCH), None, {}, "network takes 5 numbers"),
    (lambda: sg.data.ArrayLoader(X, np.c_[Y, Y], batch_size=BATCH), None, {}, "likelihood takes 1 numbers"),
    (loader, None, {"sampler": "psgld"}, "numbers that depend on the gradient"),
    (loader, None, {"likelihood": gluon.loss.SoftmaxCELoss()}, "the likelihood is SoftmaxC"),
])
def test_native_that_cannot_be_says_why(data, net, options, reason):
    with pytest.raises(ValueError, match=f"gradients='native' is asked for, and .*{reason}.*write gradients='auto'"):
        made(**options).sample(data(), 5, gradients="native")


class _Tempered(sg.SGLD):
    """A sampler of somebody's own, whose steps differ."""

    def update_multi_precision(self, index, weight, grad, state):
        self.temperature = 0.0 if self.num_update >= 12 else 1.0
        super().update_multi_precision(index, weight, grad, state)


class _Clipping(sg.BayesianTrainer):
    """A trainer of somebody's own, which looks at the gradient."""

    def step(self, batch_size, ignore_stale_grad=False):
        for p in self._params:
            p.grad()[:] = nd.clip(p.grad(), -0.5, 0.5)
        super().step(batch_size, ignore_stale_grad)


class _Shifting(sg.data.ArrayLoader):
    """Data of somebody's own, by a little another at each look."""

    def __iter__(self):
        for x, y in super().__iter__():
            yield x + 1e-4, y


@pytest.mark.parametrize("trainer, data, reason", [
    (lambda: sg.BayesianTrainer(mlp((5, 6, 4)), _Tempered(learning_rate=0.05, num_data=N, seed=1), None,
                                sg.likelihoods.Categorical()), sg.data.ArrayLoader, "the sampler _Tempered is not"),
    (lambda: _Clipping(mlp((5, 6, 4)), "sgld", {"num_data": N, "learning_rate": 0.05, "seed": 1},
                       sg.likelihoods.Categorical()), sg.data.ArrayLoader, "_Clipping.step is not"),
    (made, _Shifting, "data is a _Shifting"),
])
def test_what_is_somebody_elses_is_not_left_out(trainer, data, reason):
    """It is called as a loop of one's own calls it."""
    one, other, chains = trainer(), trainer(), [data(X, Y, batch_size=BATCH, seed=4) for _ in range(2)]
    with pytest.raises(ValueError, match=reason):
        one.sample(chains[0], 5, gradients="native")
    one.sample(chains[0], 25)
    while other.num_steps < 25:
        for x, y in chains[1]:
            with mx.autograd.record():
                loss = other.likelihood(other.net(x), y)
            loss.backward()
            other.step(len(x))
            if other.num_steps == 25:
                break
    assert_same(one, other)


def test_the_other_road_is_told_to_the_log(caplog):
    with caplog.at_level(logging.INFO, "sgmcmc_mx"):
        trainer = made("psgld").sample(loader(), 3)
    assert trainer.gradient_road == "mxnet" and "numbers that depend on the gradient" in caplog.text


def test_readable_backend_has_no_native_road(monkeypatch):
    from sgmcmc_mx.gradients import native as of_gradients
    monkeypatch.setattr(of_gradients, "backend", lambda: "ndarray")
    assert made().sample(loader(), 3).gradient_road == "mxnet"


@pytest.mark.parametrize("call, error, message", [
    (lambda t: t.sample(loader(), -1), ValueError, "steps must be.*the step to go on to"),
    (lambda t: t.sample(loader(), 5, gradients="fast"), ValueError, "gradients.*'fast'"),
    (lambda t: t.sample([X, Y], 5), TypeError, "data must know its place|knows its place|state_dict"),
])
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(made())


def test_no_likelihood():
    trainer = sg.BayesianTrainer(mlp((5, 6, 4)), "sgnht", {"learning_rate": 0.05, "num_data": N})
    with pytest.raises(ValueError, match="likelihood was not given.*write BayesianTrainer"):
        trainer.sample(loader(), 5)


def test_fewer_steps_than_it_has_made_are_none():
    trainer = made().sample(loader(), 12)
    before = weights(trainer.net)
    trainer.sample(loader(), 5)
    assert trainer.num_steps == 12 and np.array_equal(weights(trainer.net)["0.weight"], before["0.weight"])


# ---------------------------------------------------------------- several chains


def chains(n, samplers=("sgnht", "sgld", "sghmc")):
    found = []
    for k in range(n):
        net = mlp((5, 6 + k, 4), ("tanh", "relu", "sigmoid")[k % 3], seed=k)
        found.append((made(samplers[k % len(samplers)], net=net, thin=3 + k), loader(seed=k)))
    return found


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_chains_side_by_side_are_what_they_are_alone(threads):
    """Others beside it, of other shapes and samplers, and the number of threads change no bit of a chain."""
    native.threads(threads)
    try:
        together = chains(5)
        roads = [road_of(trainer, data) for trainer, data in together]
        go(roads, 40)
    finally:
        native.threads(0)
    for (trainer, _), (alone, data) in zip(together, chains(5)):
        assert_same(trainer, alone.sample(data, 40))


def test_one_that_fails_leaves_the_others_alone():
    together, failed = chains(3), []
    together[1][0]._optimizer.set_learning_rate(1e9)
    go([road_of(trainer, data) for trainer, data in together], 400,
       failed=lambda road, e: failed.append((road.trainer, e)))
    assert [t for t, _ in failed] == [together[1][0]] and isinstance(failed[0][1], sg.DivergenceError)
    fresh = chains(3)
    for k in (0, 2):
        assert_same(together[k][0], fresh[k][0].sample(fresh[k][1], 400))


def test_chains_of_one_network_are_refused():
    net = mlp((5, 6, 4))
    roads = [road_of(made("sgld", net=net), loader()) for _ in range(2)]
    with pytest.raises(RuntimeError, match="arrays in common; build a network for each"):
        go(roads, 10)


def test_gradients_of_trainers_are_checked_once_a_call(monkeypatch):
    calls = []
    run = Gradients.run
    monkeypatch.setattr(Gradients, "run", lambda self, batch: (calls.append(1), run(self, batch))[1])
    made().sample(loader(), 50)
    assert len(calls) == 1
