"""A run that was interrupted and resumed is, bit for bit, the run that never was."""
import importlib

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, lr_scheduler, nd
from runs import (
    BATCH,
    ONE,
    STEPS,
    TWO,
    X,
    Y,
    assert_equal,
    give_up,
    go,
    loader,
    network,
    options,
    outcome,
    step,
    trainer,
)

import sgmcmc_mx as sg

SAMPLERS = {
    "sgld": ("sgld", {}),
    "sghmc": ("sghmc", {}),
    "sghmc-noise": ("sghmc", {"gradient_noise": 3.0}),
    "sghmc-estimate": ("sghmc", {"gradient_noise": "estimate"}),
    "sghmc-resample": ("sghmc", {"resample_momentum": 7}),
    "sghmc-aboba": ("sghmc", {"integrator": "aboba"}),
    "sghmc-badodab": ("sghmc", {"integrator": "badodab"}),
    "sgnht": ("sgnht", {}),
    "sgnht-tensor": ("sgnht", {"thermostat": "tensor"}),
    "sgnht-element": ("sgnht", {"thermostat": "element", "thermal_mass": 0.5}),
    "sgnht-aboba": ("sgnht", {"integrator": "aboba"}),
    "sgnht-badodab": ("sgnht", {"integrator": "badodab"}),
    "sgnht-element-badodab": ("sgnht", {"thermostat": "element", "integrator": "badodab", "thermal_mass": 0.5}),
    "psgld": ("psgld", {"learning_rate": 0.002}),
    "psgld-fisher": ("psgld", {"learning_rate": 0.002, "gamma": "fisher"}),
    "sasghmc-learning": ("sasghmc", {"learning_rate": 0.005, "burn_in": 15}),
    "sasghmc-learned": ("sasghmc", {"learning_rate": 0.005, "burn_in": 4}),
    "hyperprior": ("sgnht", {"prior": sg.priors.Gamma(every=3)}),
    "hyperprior-layer": ("psgld", {"prior": sg.priors.Gamma(every=4, by="layer"), "learning_rate": 0.002}),
    "hyperprior-select": ("sgld", {"prior": sg.priors.Gamma(every=2, by="global", select=".*weight")}),
    "student": ("sgnht", {"prior": {".*weight": sg.priors.StudentT(3, "fan_in"), ".*": sg.priors.Laplace(0.5)}}),
    "hyperprior-student": ("sghmc", {"prior": sg.priors.Gamma(every=3, prior=sg.priors.StudentT(3, 1.0))}),
    "horseshoe": ("sgnht", {"prior": sg.priors.Horseshoe(1.0, narrowest=0.5, every=3, by="layer")}),
    "centre": ("sghmc", {"prior": sg.priors.Centred({"0.weight": sg.priors.Laplace(np.full((6, 5), 0.5)), ".*": 2.0},
                                                    {"0.weight": np.full((6, 5), 0.2)})}),
    "prior-by-name": ("sghmc", {"prior": {".*weight": "fan_in", ".*bias": 3.0}}),
    "cold-clipped": ("sgnht", {"temperature": 0.3, "clip_gradient": 0.1}),
    "sgnhtp": ("sgnhtp", {"a": 0.1}),
    "msgnhtp_s_badodab": ("msgnhtp_s_badodab", {"a": 0.1}),
}
SCHEDULES = {
    "factor": lambda: lr_scheduler.FactorScheduler(4, 0.8, base_lr=0.05),
    "multifactor": lambda: lr_scheduler.MultiFactorScheduler([4, 9, 15], 0.6, base_lr=0.05),
    "poly": lambda: lr_scheduler.PolyScheduler(30, 0.05, warmup_steps=5, warmup_begin_lr=0.01),
    "cosine": lambda: lr_scheduler.CosineScheduler(30, 0.05),
    "polynomial": lambda: sg.schedules.PolynomialScheduler.between(0.05, 0.01, 30),
    "cyclical": lambda: sg.schedules.CyclicalScheduler(0.05, 8, exploration=0.4),
    "scaled": lambda: sg.schedules.ScaledScheduler(lr_scheduler.FactorScheduler(4, 0.8, base_lr=0.05), 0.5),
}
ROADS = {"one": (ONE, {}), "two": (TWO, {"update_on_kvstore": False}), "kvstore": (TWO, {"update_on_kvstore": True}),
         "no kvstore": (ONE, {"kvstore": None})}
SLOW = pytest.mark.slow
END = 12    # of most runs: from the checkpoint at 5, two samples, a checkpoint and an epoch's end further


def resumable():
    """Pairs of a sampler and a road: each sampler somewhere, some everywhere, and every kind of state on a server.

    The other pairs are slow.
    """
    everywhere = ("sghmc-estimate", "sgnht", "hyperprior")
    served = ("sgld", "psgld", "sasghmc-learning", "sgnht-element")
    for i, name in enumerate(SAMPLERS):
        for j, road in enumerate(ROADS):
            if road == "kvstore" and name in ("sgnht-badodab", "msgnhtp_s_badodab"):
                continue    # is refused: the thermostat of all needs all tensors in one call
            quick = name in everywhere or i % len(ROADS) == j or (road == "kvstore" and name in served)
            yield pytest.param(name, road, marks=[] if quick else SLOW)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def both(folder, sampler, params, contexts=ONE, upto=8, given=None, fresh=network, settings=(), steps=END, whole=None,
         closed=False, **kwargs):
    """Outcomes of a whole run, if there is none yet, and of one given up (or closed) and resumed in another network."""
    def begun(path, data):
        net = fresh(contexts)
        mx.random.seed(1)
        np.random.seed(1)
        return net, trainer(net, sampler, params(), path, data, **dict(settings), **kwargs)

    def ended(net, tr, data):
        go(net, tr, data, steps)
        found = outcome(net, tr, contexts[0])
        tr.close()
        return found
    if whole is None:
        data = loader()
        whole = ended(*begun(folder / "whole", data), data)
    data = loader()
    net, tr = begun(folder / "parts", data)
    go(net, tr, data, upto)
    tr.close() if closed else give_up(tr)
    np.random.seed(99)
    mx.random.seed(99)
    net, data = fresh(contexts), loader()
    for p in net.collect_params().values():
        p.set_data(p.data(contexts[0]) * 0)
    tr = sg.BayesianTrainer.resume(folder / "parts", net, data=data, **(given or {}))
    assert tr.num_steps == upto if closed == "at its step" else 0 < tr.num_steps <= upto
    return whole, ended(net, tr, data)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name, road", list(resumable()))
def test_every_sampler(folder, name, road):
    sampler, params = SAMPLERS[name]
    contexts, kwargs = ROADS[road]
    assert_equal(*both(folder, sampler, lambda: dict(params), contexts, **kwargs))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["sgld", "sghmc-estimate", "sgnht", "sgnht-element-badodab", "psgld-fisher",
                                  "sasghmc-learning", "hyperprior"])
def test_by_the_readable_backend(folder, name, monkeypatch):
    monkeypatch.setenv("SGMCMC_MX_BACKEND", "ndarray")
    chosen = importlib.import_module("sgmcmc_mx.kernels.backend")
    monkeypatch.setattr(chosen, "_chosen", None)
    sampler, params = SAMPLERS[name]
    assert_equal(*both(folder, sampler, lambda: dict(params)))
    assert chosen._chosen[0] == "ndarray"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name, sampler", [
    pytest.param(name, sampler, marks=[] if i % 2 == j else SLOW)
    for i, name in enumerate(SCHEDULES) for j, sampler in enumerate(["sgld", "sgnht"])])
def test_every_schedule(folder, name, sampler):
    assert_equal(*both(folder, sampler, lambda: {"lr_scheduler": SCHEDULES[name](), "learning_rate": None},
                       settings={"thin": 2}))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_given_up_anywhere(folder):
    whole = None
    for upto in (6, 7, 12, 15, 16, 23):
        whole, parts = both(folder / str(upto), "sgnht", dict, upto=upto, steps=STEPS, whole=whole)
        assert_equal(whole, parts)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("upto", [6, 13, 22])
@pytest.mark.parametrize("road", ["one", "kvstore"])
def test_closed_anywhere(folder, upto, road):
    """The last step has a checkpoint, though none was due."""
    contexts, kwargs = ROADS[road]
    assert_equal(*both(folder, "sgnht", dict, contexts, upto=upto, steps=STEPS, closed="at its step", **kwargs))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("contexts", [ONE, TWO])
def test_dropout_is_the_same(folder, contexts):
    def fresh(contexts):
        return network(contexts, [lambda: gluon.nn.Dropout(0.4)])
    assert_equal(*both(folder, "sgnht", dict, contexts, fresh=fresh))
    assert_equal(*both(folder / "closed", "sgnht", dict, contexts, fresh=fresh, closed=True))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("contexts", [ONE, TWO])
def test_running_statistics(folder, contexts):
    def fresh(contexts):
        return network(contexts, [lambda: gluon.nn.BatchNorm(in_channels=6)])
    assert_equal(*both(folder, "sghmc", dict, contexts, fresh=fresh))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("road", ["one", "two", "kvstore"])
def test_other_types(folder, dtype, road):
    contexts, kwargs = ROADS[road]
    more = {"multi_precision": True} if dtype == "float16" else {}
    if dtype == "float16":
        pytest.importorskip("mxnet")
        probe = gluon.nn.Dense(2, in_units=2, dtype="float16")
        probe.initialize()
        try:
            probe(nd.zeros((1, 2), dtype="float16")).wait_to_read()
        except mx.MXNetError:
            pytest.skip("this MXNet has no dense layer of halves on a CPU")
    assert_equal(*both(folder, "sgnht", lambda: dict(more), contexts, fresh=lambda c: network(c, dtype=dtype),
                       **kwargs))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_frozen_parameters_and_multipliers(folder):
    def fresh(contexts):
        net = network(contexts, frozen="dense.*0_bias|.*_bias$")
        net[-1].weight.lr_mult, net[-1].weight.wd_mult = 0.5, 3.0
        return net
    assert_equal(*both(folder, "sgnht", dict, fresh=fresh))


def test_a_network_that_was_never_initialised(folder):
    """Gets its weights, and its shapes, from the checkpoint."""
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, folder, data)
    go(net, tr, data, 15)
    tr.close()
    blank = network(started=False)
    again = sg.BayesianTrainer.resume(folder, blank, data=loader(), ctx=mx.cpu())
    for name, p in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(p.data().asnumpy(), blank._collect_params_with_prefix()[name].data().asnumpy())
    again.close()


def test_resumed_twice_and_by_an_older_checkpoint(folder):
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, folder / "whole", data)
    go(net, tr, data, STEPS)
    whole = outcome(net, tr)
    tr.close()
    data, net = loader(), network()
    tr = trainer(net, "sgnht", {}, folder / "parts", data)
    for upto, which in ((9, None), (17, "previous"), (STEPS, None)):
        go(net, tr, data, upto)
        tr.close()
        net, data = network(), loader()
        tr = sg.BayesianTrainer.resume(folder / "parts", net, data=data, checkpoint=which)
    go(net, tr, data, STEPS)
    assert_equal(whole, outcome(net, tr))
    events = [e["kind"] for e in sg.load(folder / "parts").events]
    assert events == ["resumed"] * 3
    tr.close()


def test_the_global_generators_go_on(folder):
    """NumPy's and Python's, as augmentation in the main process uses them."""
    import random

    def augmented(upto, net, tr, data):
        while tr.num_steps < upto:
            for x, y in data:
                step(net, tr, x + 0.1 * nd.array(np.random.randn(*x.shape)) + random.gauss(0, 0.1), y)
                if tr.num_steps >= upto:
                    return
    found = []
    for whole in (True, False):
        np.random.seed(5)
        random.seed(5)
        data, net = loader(), network()
        tr = trainer(net, "sgld", {}, folder / str(whole), data)
        if not whole:
            augmented(13, net, tr, data)
            tr.close()
            np.random.seed(99)
            random.seed(99)
            net, data = network(), loader()
            tr = sg.BayesianTrainer.resume(folder / "False", net, data=data)
        augmented(STEPS, net, tr, data)
        found.append(outcome(net, tr))
        tr.close()
    assert_equal(*found)


class Ours(lr_scheduler.LRScheduler):
    def __call__(self, num_update):
        return 0.05 / (1 + 0.1 * num_update)


class OurPrior(sg.priors.Prior):
    def precision(self, names, shape):
        return 2.0 + len(shape)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name, make", [("lr_scheduler", lambda: Ours(0.05)), ("prior", OurPrior)])
def test_what_is_the_users_own_is_asked_for(folder, name, make):
    more = {name: make(), **({"learning_rate": None} if name == "lr_scheduler" else {})}
    data, net = loader(), network()
    tr = trainer(net, "sgnht", more, folder, data)
    go(net, tr, data, 13)
    tr.close()
    with pytest.raises(ValueError, match=f"{name}.*Our.*resume.*{name}="):
        sg.BayesianTrainer.resume(folder, network(), data=loader())
    assert_equal(*both(folder / "again", "sgnht", lambda: dict(more), given={name: make()}))


def test_a_likelihood_of_ones_own(folder):
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    net = network()
    tr = sg.BayesianTrainer(net, "sgld", options(), loss, seed=1, store=folder, checkpoint_every=2)
    for _ in range(3):
        step(net, tr, nd.array(X[:BATCH]), nd.zeros((BATCH,)))
    tr.close()
    with pytest.raises(ValueError, match="likelihood.*SoftmaxCrossEntropyLoss.*likelihood="):
        sg.BayesianTrainer.resume(folder, network())
    again = sg.BayesianTrainer.resume(folder, network(), likelihood=loss)
    assert again.likelihood is loss and len(again.samples) == 3
    again.close()


@pytest.mark.parametrize("make", [
    sg.likelihoods.Categorical, lambda: sg.likelihoods.Categorical(ignore_label=-1),
    lambda: sg.likelihoods.Categorical(axis=1), lambda: sg.likelihoods.Categorical(-1, 1),
    lambda: sg.likelihoods.Gaussian(0.5), lambda: sg.likelihoods.Gaussian([1, 2, 3]),
    lambda: sg.likelihoods.Gaussian("label"), sg.likelihoods.Poisson, lambda: sg.likelihoods.Gaussian("global"),
    lambda: sg.likelihoods.StudentT(3.0, [1, 2, 3]), lambda: sg.likelihoods.StudentT(3.0, "global"),
    lambda: sg.likelihoods.NegativeBinomial(2.0), lambda: sg.likelihoods.Categorical(label_noise=0.1),
    lambda: sg.likelihoods.NoisyDirichlet(0.1, -1), sg.likelihoods.Ordinal], ids=lambda make: repr(make()))
def test_a_likelihood_keeps_its_arguments(make, folder):
    _keeps(make(), network, folder)


@pytest.mark.parametrize("make", [
    lambda: sg.likelihoods.Gaussian("learned"), lambda: sg.likelihoods.Gaussian("learned", link="softplus"),
    lambda: sg.likelihoods.StudentT(3.0, "learned", link="softplus")], ids=lambda make: repr(make()))
def test_a_likelihood_keeps_what_the_network_says_of_sigma(make, folder):
    def two_outputs():
        net = gluon.nn.Dense(2, in_units=X.shape[1])
        net.initialize()
        return net
    _keeps(make(), two_outputs, folder)


def _keeps(loss, make_network, folder):
    net = make_network()
    tr = sg.BayesianTrainer(net, "sgld", options(), loss, seed=1, store=folder, checkpoint_every=1)
    out = net(nd.array(X[:BATCH]))
    step(net, tr, nd.array(X[:BATCH]), nd.ones(loss._label_shape(out.shape)))
    tr.close()
    again = sg.BayesianTrainer.resume(folder, make_network())
    assert type(again.likelihood) is type(loss) and repr(again.likelihood) == repr(loss)
    again.close()


class OurSampler(sg.SGLD):
    """Registered nowhere."""


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_sampler_of_ones_own(folder):
    def made():
        return OurSampler(seed=11, **options())
    found = []
    for whole in (True, False):
        data, net = loader(), network()
        tr = sg.BayesianTrainer(net, made(), likelihood=sg.likelihoods.Categorical(), store=folder / str(whole),
                                data=data, burn_in=3, thin=4, checkpoint_every=5)
        if not whole:
            go(net, tr, data, 13)
            tr.close()
            net, data = network(), loader()
            with pytest.raises(ValueError, match="optimizer.*OurSampler"):
                sg.BayesianTrainer.resume(folder / "False", net, data=data)
            tr = sg.BayesianTrainer.resume(folder / "False", net, data=data, optimizer=made())
        go(net, tr, data, STEPS)
        found.append(outcome(net, tr))
        tr.close()
    assert_equal(*found)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_mutant_that_forgets_is_seen(folder, monkeypatch):
    """The comparison can fail: a resumed run whose thermostat starts afresh."""
    from sgmcmc_mx.checkpoint import restoring
    real = restoring.restore

    def forgetful(tr, content, data):
        for states in content["states"]:
            for state in states.values():
                state[1].alpha[:] = 0.1
        real(tr, content, data)
    monkeypatch.setattr(restoring, "restore", forgetful)
    with pytest.raises(AssertionError):
        assert_equal(*both(folder, "sgnht", dict))


@pytest.mark.parametrize("sampler, road", [
    pytest.param(sampler, road, marks=[] if sampler == "sgnht" or road == quick else SLOW)
    for sampler, quick in (("sgld", "two"), ("sghmc", "kvstore"), ("sgnht", "")) for road in ROADS])
def test_states_of_the_trainer_itself(tmp_path, sampler, road):
    """save_states and load_states, with the weights: the chain goes on, and collects at the same steps."""
    contexts, kwargs = ROADS[road]
    found = []
    for whole in (True, False):
        data, net = loader(), network(contexts)
        tr = trainer(net, sampler, {}, None, data, **kwargs)
        if not whole:
            go(net, tr, data, 13)
            kept = [s.step for s in tr.samples]
            tr.save_states(str(tmp_path / "states"))
            net.save_parameters(str(tmp_path / "weights"))
            place = data.state_dict()
            net, data = network(contexts), loader()
            net.load_parameters(str(tmp_path / "weights"), ctx=list(contexts))
            tr = trainer(net, sampler, {}, None, data, **kwargs)
            tr.load_states(str(tmp_path / "states"))
            data.load_state_dict(place)
            assert tr.num_steps == 13
        go(net, tr, data, STEPS)
        steps = [s.step for s in tr.samples]
        found.append(([p.data(contexts[0]).asnumpy() for p in net.collect_params().values()],
                      steps if whole else kept + steps))
    assert found[0][1] == found[1][1]
    for a, b in zip(found[0][0], found[1][0]):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("road", ROADS)
def test_states_of_another_network_are_refused(tmp_path, road):
    contexts, kwargs = ROADS[road]
    data, net = loader(), network(contexts)
    tr = trainer(net, "sgnht", {}, None, data, **kwargs)
    go(net, tr, data, 4)
    tr.save_states(str(tmp_path / "states"))
    other = network(contexts, [lambda: gluon.nn.Dense(6, in_units=6)])
    theirs = trainer(other, "sgnht", {}, None, None, **kwargs)
    go(other, theirs, loader(), 3)
    before, optimizer = outcome_of_states(theirs), theirs._optimizer
    with pytest.raises(ValueError, match="state of parameter .*_(weight|bias) has shape .* another network"):
        theirs.load_states(str(tmp_path / "states"))
    assert theirs._optimizer is optimizer and outcome_of_states(theirs) == before
    go(other, theirs, loader(), 5)


def outcome_of_states(tr):
    from sgmcmc_mx.checkpoint.content import updaters_of
    return [{i: [float(s[0].sum().asscalar()), float(s[1].alpha.asscalar())] for i, s in u.states.items()}
            for u in updaters_of(tr)]


@pytest.mark.parametrize("backend", ["native", "ndarray"])
def test_a_plain_trainer_names_the_parameter(tmp_path, backend, monkeypatch):
    monkeypatch.setenv("SGMCMC_MX_BACKEND", backend)
    monkeypatch.setattr(importlib.import_module("sgmcmc_mx.kernels.backend"), "_chosen", None)
    trainers = []
    for units in (6, 7):
        net = gluon.nn.Dense(units, in_units=3)
        net.initialize()
        tr = gluon.Trainer(net.collect_params(), "sghmc", options(seed=1))
        trainers.append(tr)
        with mx.autograd.record():
            loss = net(nd.ones((2, 3))).sum()
        loss.backward()
        tr.step(2)
    trainers[0].save_states(str(tmp_path / "states"))
    trainers[1].load_states(str(tmp_path / "states"))
    with mx.autograd.record():
        loss = net(nd.ones((2, 3))).sum()
    loss.backward()
    with pytest.raises(ValueError, match="state of parameter .* has shape .* another network"):
        trainers[1].step(2)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("contexts", [ONE, TWO])
@pytest.mark.parametrize("update_every", [None, 4])
def test_control_variates_keep_their_centre(folder, contexts, update_every):
    """Also one that moves (SVRG)."""
    def made(net):
        return sg.ControlVariates(net, sg.likelihoods.Categorical(), (nd.array(X), nd.array(Y)), batch_size=20,
                                  update_every=update_every)

    def onward(tr, data, cv, upto):
        while tr.num_steps < upto:
            for x, y in data:
                cv.backward(*(gluon.utils.split_and_load(a, list(contexts), even_split=False) for a in (x, y)))
                tr.step(len(x))
                if tr.num_steps >= upto:
                    return
    found = []
    for whole in (True, False):
        data, net = loader(), network(contexts)
        cv = made(net)
        tr = trainer(net, "sghmc", {}, folder / str(whole), [data, cv], update_on_kvstore=False)
        if not whole:
            onward(tr, data, cv, 13)
            tr.close()
            net, data = network(contexts), loader()
            for p in net.collect_params().values():
                p.set_data(p.data(contexts[0]) + 0.1)
            cv = made(net)
            tr = sg.BayesianTrainer.resume(folder / "False", net, data=[data, cv])
        onward(tr, data, cv, STEPS)
        found.append(outcome(net, tr, contexts[0]))
        tr.close()
    assert_equal(*found)
    with pytest.raises(ValueError, match="data is a list of 1, and was not in the run"):
        sg.BayesianTrainer.resume(folder / "False", network(contexts), data=[loader()])
