"""The gamma hyperprior: the joint law of weights and precision, by quadrature, at every temperature and grouping."""
import pickle

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.full_data.potential import Potential
from sgmcmc_mx.priors import Gamma
from sgmcmc_mx.samplers import _hyper

from .harness import LIMIT, Walk, assert_agrees, batch_means, worst, z_scores

A, B = 3.0, 2.0
GROUPS, D = 40, 4      # tensors with a precision each


class Chains(Walk):
    """Tensors with U = k (w - 1)^2 / 2 and a precision of their own, moved by ``name``."""

    def __init__(self, name, k, T, by="tensor", every=5, groups=GROUPS, **options):
        self.likelihood = k
        super().__init__(name, [(D,)] * groups, 0.02, data=k, prior=1.0, T=T, **options)
        o = self.optimizer
        o.prior = Gamma(A, B, by=by, every=every)
        o._hyper = _hyper.Hyper(o.prior)

    def gradient_sums(self, w):
        return super().gradient_sums(w) - np.float32(self.batch * self.likelihood / self.N)     # the centre is 1

    def run(self, steps, every):
        rows = []
        for _ in range(steps // every):
            self.step(every)
            lam = np.array(list(self.optimizer.hyper.values()))
            w = self.all.asnumpy().reshape(-1, D).astype(float)
            rows.append((lam, np.log(lam), (w ** 2).mean(1), w.mean(1)))
        lam, log, w2, w = (np.mean(r, axis=0) for r in zip(*rows))
        return {"precision": lam, "log precision": log, "w2": w2, "w": w}


def by_quadrature(k, T, d=D):
    """lambda ~ Gamma(A, B), w | lambda ~ N(0, T/lambda), each of d weights seen through exp(-k (w - 1)^2 / (2 T))."""
    lam = np.exp(np.linspace(np.log(1e-4), np.log(60.0), 20001))
    precision = (lam + k) / T
    mean = k / (lam + k)
    # N(1; 0, T/lam + T/k) to the power of the likelihood, integrated over w
    logp = ((A - 1) * np.log(lam) - B * lam + 0.5 * d * (np.log(lam) - np.log(lam + k))
            - d * 0.5 * k * lam / (lam + k) / T)
    p = np.exp(logp - logp.max()) * lam     # the grid is even in log lambda
    p /= p.sum()
    return {"precision": (p * lam).sum(), "log precision": (p * np.log(lam)).sum(),
            "w2": (p * (1 / precision + mean ** 2)).sum(), "w": (p * mean).sum()}


BADODAB = {"friction": 0.2, "thermal_mass": 1.0, "integrator": "badodab"}


# At T = 1 a temperature that is missing does not show: every sampler at .4, one of them at 1 by default.
@pytest.mark.parametrize("name, options, k, T", [
    ("sgld", {}, 3.0, 1.0), ("sgld", {}, 3.0, 0.4), ("sghmc", {"friction": 0.2}, 3.0, 0.4),
    ("sgnht", BADODAB, 3.0, 0.4),
    pytest.param("sghmc", {"friction": 0.2}, 3.0, 1.0, marks=pytest.mark.slow),
    pytest.param("sgnht", BADODAB, 3.0, 1.0, marks=pytest.mark.slow)])
def test_joint_law(name, options, k, T):
    chains = Chains(name, k, T, **options).step(60)
    assert_agrees(chains.run(600, 10), by_quadrature(k, T))


@pytest.mark.parametrize("T", [0.3, 1.0, 2.0])
def test_without_data_the_precision_keeps_its_hyperprior(T):
    chains = Chains("sgld", 0.0, T).step(100)
    observed = chains.run(600, 10)
    assert_agrees(observed, {"precision": A / B, "log precision": by_quadrature(0.0, T)["log precision"]})


@pytest.mark.parametrize("change, steps", [("d missing", 200), ("half missing", 600), ("rate for scale", 200),
                                           ("T missing", 200), ("prior's shape missing", 200)])
def test_mutants(change, steps, monkeypatch):
    def draw(self, members, seed, step, temperature):
        for place, names, _, weight in members:
            square = (weight.asnumpy().astype(float) ** 2).sum()
            rng = np.random.default_rng([seed, step, place])
            shape, rate = A + 0.5 * weight.size, B + 0.5 * square / temperature
            shape, rate = {"d missing": (A + 0.5, rate), "half missing": (A + weight.size, B + square / temperature),
                           "rate for scale": (shape, 1 / rate), "T missing": (shape, B + 0.5 * square),
                           "prior's shape missing": (shape - A, rate)}[change]
            self.precisions[names[0]] = rng.gamma(shape) / rate

    monkeypatch.setattr(_hyper.Hyper, "draw", draw)
    chains = Chains("sgld", 3.0, 0.4).step(60)
    scores = z_scores(chains.run(steps, 10), by_quadrature(3.0, 0.4))
    assert worst(scores) > LIMIT, scores


@pytest.mark.parametrize("by, groups", [("tensor", {"dense0_weight", "dense0_bias", "dense1_weight", "dense1_bias"}),
                                        ("layer", {"dense0", "dense1"}), ("global", {"all"})])
@pytest.mark.parametrize("road", ["local", "kvstore", "two contexts"])
def test_groups_and_roads(by, groups, road):
    """The same draws along every road, at the steps that are due and no others."""
    contexts = [mx.cpu(0), mx.cpu(1)] if road != "local" else [mx.cpu(0)]
    with mx.name.Prefix("dense"):
        net = gluon.nn.HybridSequential(prefix="")
        with net.name_scope():
            net.add(gluon.nn.Dense(3, in_units=4, prefix="dense0_"), gluon.nn.Dense(2, in_units=3, prefix="dense1_"))
    mx.random.seed(3)
    net.initialize(mx.init.Normal(1.0), ctx=contexts)
    start = {n: p.data(contexts[0]).asnumpy() for n, p in net.collect_params().items()}
    kwargs = {"local": {"kvstore": None}, "kvstore": {"update_on_kvstore": True}, "two contexts": {
        "update_on_kvstore": False}}[road]
    trainer = gluon.Trainer(net.collect_params(), "sgld", {"num_data": 4, "learning_rate": 1e-7, "seed": 5,
                                                           "prior": Gamma(A, B, by=by, every=3)}, **kwargs)
    seen = []
    for _ in range(8):
        with autograd.record():
            losses = [net(nd.ones((4 // len(contexts), 4), ctx=c)).sum() for c in contexts]
        autograd.backward(losses)
        trainer.step(4)
        nd.waitall()
        seen.append(dict(trainer._optimizer.hyper))
    assert seen[0] == seen[1] == seen[2] == {} and set(seen[3]) == groups
    assert seen[3] == seen[4] == seen[5] != seen[6] == seen[7]
    if by == "global":      # the weights have hardly moved: the draw of step 4, by hand
        square = sum((a.astype(float) ** 2).sum() for a in start.values())
        rng = np.random.Generator(np.random.Philox(key=[5, 0], counter=[4, 0, 0, 0]))
        assert seen[3]["all"] == pytest.approx(rng.gamma(A + 0.5 * 23) / (B + 0.5 * square), rel=1e-2)


def test_a_multiplier_of_wd_counts_in_the_draw_and_in_the_precision():
    """w ~ N(0, 1 / (m lambda)): the rate has m |w|^2 / 2, by hand; a multiplier of 0 takes a tensor out."""
    o = mx.optimizer.create("sgld", num_data=4, learning_rate=1e-9, prior=Gamma(A, B, by="global", every=1), seed=5,
                            temperature=0.5, param_idx2name={0: "a", 1: "b", 2: "c"})
    o.set_wd_mult({"a": 4.0, "b": 1.0, "c": 0.0})
    weights = [nd.array(np.arange(1, n + 1)) for n in (3, 5, 7)]
    states = [o.create_state_multi_precision(i, w) for i, w in enumerate(weights)]
    for _ in range(2):
        o.update_multi_precision([0, 1, 2], weights, [nd.zeros(w.shape) for w in weights], states)
    rng = np.random.Generator(np.random.Philox(key=[5, 0], counter=[2, 0, 0, 0]))
    drawn = rng.gamma(A + 0.5 * 8) / (B + 0.5 * (4.0 * 14 + 55) / 0.5)
    assert o.hyper == {"all": pytest.approx(drawn, rel=1e-4)}
    assert [o.precision(i, w.shape) for i, w in enumerate(weights)] == pytest.approx([4 * drawn, drawn, 0.0], rel=1e-4)


def test_a_pickled_sampler_keeps_its_precisions():
    o = mx.optimizer.create("sgld", num_data=4, prior=Gamma(every=2), seed=1)
    w = nd.ones((5,))
    for _ in range(5):
        o.update_multi_precision([0], [w], [nd.ones((5,))], [None])
    other = pickle.loads(pickle.dumps(o))
    assert other.hyper == o.hyper and o.hyper
    for s in (o, other):
        s.update_multi_precision([0], [w.copy()], [nd.ones((5,))], [None])
    assert other.precision(0, (5,)) == o.precision(0, (5,))


def test_loaded_draws_of_parameters_with_other_names_are_told(tmp_path, recwarn):
    """Gluon counts the layers of a process, so a second network's states do not name the first's parameters."""
    def chain(steps, prefix=None, states=None):
        net = gluon.nn.Dense(1, in_units=3, prefix=prefix)
        net.initialize()
        trainer = gluon.Trainer(net.collect_params(), "sgld", {"num_data": 4, "seed": 1, "prior": Gamma(every=2)})
        if states:
            trainer.load_states(states)
        for _ in range(steps):
            with autograd.record():
                loss = net(nd.ones((4, 3))).sum()
            loss.backward()
            trainer.step(4)
        return trainer

    states = str(tmp_path / "states")
    first = chain(4, "a_")
    first.save_states(states)
    again = chain(0, "a_", states)
    assert again.optimizer.hyper == first.optimizer.hyper
    assert again.optimizer.precision(0, (1,)) == first.optimizer.precision(0, (1,)) != 1.0
    chain(3, "a_", states)
    assert not [w for w in recwarn if "the parameters here" in str(w.message)]
    with pytest.warns(UserWarning, match="are of a_bias, a_weight, but the parameters here are b_bias, b_weight"):
        other = chain(1, "b_", states)
    assert set(other.optimizer.hyper) == {"b_weight", "b_bias"}


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match="temperature > 0"):
        mx.optimizer.create("sgld", num_data=3, temperature=0.0, prior=Gamma())
    with pytest.raises(TypeError, match="give it alone"):
        mx.optimizer.create("sgld", num_data=3, prior={".*": Gamma()})
    net = gluon.nn.Dense(2, in_units=2)
    net.initialize()
    with pytest.raises(ValueError, match="matches no parameter"):
        gluon.Trainer(net.collect_params(), "sgld", {"num_data": 3, "prior": Gamma(select="conv")})


# ---------------------------------------------------------------- with full data, and in samples

def gaussian_network():
    """One weight a unit and no data to speak of: y = w x with N(y; 0, 1) at x = 1, U = (w - 1)^2 / 2 for each unit."""
    net = gluon.nn.Dense(D, in_units=1, use_bias=False)
    net.initialize(mx.init.Constant(0.5))
    net.hybridize()
    return net


FULL_DATA = {"MetropolisHastings": {"step_size": 0.5}, "HMC": {"step_size": 0.9, "num_leapfrog": 1}}


def full_data_chain(kind, T, transitions):
    """The samples of a chain that draws its precision before every transition: weights, precisions, potentials."""
    likelihood = sg.likelihoods.Gaussian(1.0)
    likelihood.hybridize()
    chain = getattr(sg, kind)(gaussian_network(), likelihood, (nd.ones((1, 1)), nd.ones((1, D))), temperature=T,
                              prior=Gamma(A, B, every=1), seed=4, **FULL_DATA[kind])
    chain.run(transitions, burn_in=50, adapt=False)
    return (np.stack([s["weight"].asnumpy().ravel() for s in chain.samples]).astype(float),
            np.array([s.hyper["weight"] for s in chain.samples]), np.array([s.potential for s in chain.samples]))


def full_data_scores(w, lam, T):
    series = {"precision": lam, "log precision": np.log(lam), "w2": (w ** 2).mean(1), "w": w.mean(1)}
    return z_scores(batch_means(series, 40), by_quadrature(1.0, T))


@pytest.mark.parametrize("kind, transitions", [
    pytest.param("MetropolisHastings", 1400, marks=pytest.mark.slow), ("HMC", 700)])
def test_joint_law_with_full_data(kind, transitions):
    """The law; and U of every sample, number for number, is that at the precision it was drawn with."""
    w, lam, U = full_data_chain(kind, 0.4, transitions)
    scores = full_data_scores(w, lam, 0.4)
    assert worst(scores) < LIMIT, scores
    exact = 0.5 * ((w - 1) ** 2).sum(1) + 0.5 * lam * (w ** 2).sum(1) + D * 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(U, exact, rtol=1e-5)


FULL_DATA_MUTANTS = {
    "draws not taken": (Potential, "take_draws", lambda real: lambda self, hyper: None),
    "T missing": (_hyper.Hyper, "draw", lambda real: lambda self, members, seed, step, T: real(
        self, members, seed, step, 1.0)),
    "U of the precision before": (sg.HMC, "_evaluate", lambda real: lambda self, position: self._state or real(
        self, position)),
}


@pytest.mark.parametrize("change, transitions", [pytest.param("draws not taken", 700, marks=pytest.mark.slow),
                                                 ("T missing", 300), ("U of the precision before", 50)])
def test_mutants_with_full_data(change, transitions, monkeypatch):
    owner, name, make = FULL_DATA_MUTANTS[change]
    monkeypatch.setattr(owner, name, make(getattr(owner, name)))
    w, lam, U = full_data_chain("HMC", 0.4, transitions)
    if change == "U of the precision before":       # is seen in U at once, in the law late
        exact = 0.5 * ((w - 1) ** 2).sum(1) + 0.5 * lam * (w ** 2).sum(1) + D * 0.5 * np.log(2 * np.pi)
        assert not np.allclose(U, exact, rtol=1e-2)
        return
    scores = full_data_scores(w, lam, 0.4)
    assert worst(scores) > LIMIT, scores


def test_draws_are_part_of_a_sample():
    net = gaussian_network()
    trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 4, "prior": Gamma(every=2), "seed": 1}, thin=1)
    for _ in range(5):
        with autograd.record():
            loss = net(nd.ones((4, 1))).sum()
        loss.backward()
        trainer.step(4)
    drawn = [s.hyper for s in trainer.samples]
    assert drawn[0] == drawn[1] == {} and drawn[2] == drawn[3] != drawn[4]
    assert set(drawn[4]) == {"weight"}
