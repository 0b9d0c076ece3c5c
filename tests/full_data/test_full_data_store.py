"""Chains that see all data keep their samples in a folder and go on from it, bit for bit."""
import numpy as np
import pytest
from runs import X, Y, assert_equal, network

import sgmcmc_mx as sg

KINDS = {
    "mh": (sg.MetropolisHastings, {"step_size": 0.05}),
    "mh-tuned": (sg.MetropolisHastings, {}),
    "hmc": (sg.HMC, {"num_leapfrog": 3, "step_size": 0.05}),
    "hmc-tuned": (sg.HMC, {"integration_time": 0.3, "mass": {".*weight": 2.0}, "jitter": 0.2}),
    "hmc-arrays": (sg.HMC, {"num_leapfrog": 2, "mass": {"1.bias": np.array([1.0, 2.0, 3.0], "float32")}}),
    "hmc-hyper": (sg.HMC, {"num_leapfrog": 2, "prior": sg.priors.Gamma(every=3, by="layer")}),
    "mh-hyper": (sg.MetropolisHastings, {"prior": sg.priors.Gamma(every=2), "temperature": 0.5}),
    "hmc-prior": (sg.HMC, {"num_leapfrog": 2, "prior": {".*weight": "fan_in"}}),
}
SLOW = pytest.mark.slow
PLAN = {"num_samples": 6, "burn_in": 9, "thin": 2}


def chain(kind, net, store=None, **more):
    cls, options = KINDS[kind]
    return cls(net, sg.likelihoods.Categorical(), (X, Y), seed=5, batch_size=30, store=store, **{**options, **more})


def found(net, c):
    out = {n: p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    for s in c.samples:
        out.update({f"{s.step} {n}": a.asnumpy() for n, a in s.items()})
        out.update({f"{s.step} U": s.potential, **{f"{s.step} {n}": v for n, v in (s.hyper or {}).items()}})
    return {**out, "predictions": c.predict(X), "step size": c.step_size, "rate": c.acceptance_rate}


class Enough(Exception):
    """The run is given up."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a kind of chain comes to that is never given up."""
    known = {}

    def of(kind):
        if kind not in known:
            net = network()
            c = chain(kind, net, tmp_path_factory.mktemp(kind) / "whole", checkpoint_every=4).run(**PLAN)
            known[kind] = found(net, c)
            c.close()
        return known[kind]
    return of


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind, after", [
    pytest.param(kind, after, marks=[] if kind in ("mh-tuned", "hmc-tuned") or i % 3 == j else SLOW)
    for i, kind in enumerate(KINDS) for j, after in enumerate([5, 13, 20])])
def test_given_up_and_resumed(tmp_path, kind, after, monkeypatch, whole):
    net = network()
    c = chain(kind, net, tmp_path / "parts", checkpoint_every=4)
    real = type(c)._transition

    def given_up(self, state, step):
        if step > after:
            raise Enough
        return real(self, state, step)
    with monkeypatch.context() as m:
        m.setattr(type(c), "_transition", given_up)
        with pytest.raises(Enough):
            c.run(**PLAN)
    c.close()
    net = network(started=False)
    c = KINDS[kind][0].resume(tmp_path / "parts", net, (X, Y))
    assert 0 < c.num_steps <= after
    c.finish()
    assert_equal(found(net, c), whole(kind))
    assert c.num_steps == 21 and c.finish() is c and c.num_steps == 21
    c.close()


def test_the_same_samples_as_in_memory(tmp_path):
    a, b = network(), network()
    kept = chain("hmc", a, tmp_path / "run").run(**PLAN)
    memory = chain("hmc", b).run(**PLAN)
    assert_equal(found(a, kept), found(b, memory))
    kept.close()
    loaded = sg.load(tmp_path / "run")
    assert loaded.header["sampler"] == "hmc" and len(loaded) == 6
    np.testing.assert_array_equal(sg.predict(a, loaded, X, "softmax"), memory.predict(X))


def test_another_kind_of_chain_is_named(tmp_path):
    chain("hmc", network(), tmp_path / "run").run(2).close()
    with pytest.raises(sg.CheckpointError, match=r"is one of HMC; write HMC.resume\(...\)"):
        sg.MetropolisHastings.resume(tmp_path / "run", network(), (X, Y))
    with pytest.raises(sg.CheckpointError, match=r"HMC.resume"):
        sg.BayesianTrainer.resume(tmp_path / "run", network())


def test_a_single_step_at_a_time(tmp_path):
    net = network()
    c = chain("mh", net, tmp_path / "run", checkpoint_every=2)
    for _ in range(4):
        c.step()
    c.collect()
    c.close()
    again = sg.MetropolisHastings.resume(tmp_path / "run", network(), (X, Y))
    assert again.num_steps == 4 and len(again.samples) == 1
    c2 = chain("mh", network())
    for _ in range(4):
        c2.step()
    assert c2.step() == again.step()
    again.close()
