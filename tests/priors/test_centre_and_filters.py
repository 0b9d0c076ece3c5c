"""A centre, filters that are correlated, draws from a prior, and what every road makes of them."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.priors import (
    ByName,
    Centred,
    CorrelatedFilters,
    FanIn,
    Gamma,
    Horseshoe,
    Laplace,
    Mixture,
    Normal,
    Prior,
    StudentT,
    sample,
)

SHAPE = (3, 4)
W0 = np.random.RandomState(0).standard_normal(SHAPE)


class Own(Prior):
    def log_density(self, w):
        return -nd.square(w)


def net_of(*layers):
    net = gluon.nn.HybridSequential()
    net.add(*layers)
    net.initialize(mx.init.Normal(0.3))
    return net


# ---------------------------------------------------------------- the centre


@pytest.mark.parametrize("prior", [2.5, StudentT(3, 0.5), Laplace("fan_in"), Mixture(0.5, 1.0, 0.1),
                                   Normal(scale=np.abs(W0) + 0.1)], ids=repr)
def test_a_centre_moves_the_law(prior):
    plain = sg.priors.as_prior(prior).law(["w"], SHAPE)
    law, w = Centred(prior, {"w": nd.array(W0)}).law(["w"], SHAPE), nd.random.normal(shape=SHAPE)
    away = w - nd.array(W0)
    np.testing.assert_allclose(law.slope(w).asnumpy(), plain.slope(away).asnumpy(), rtol=1e-5, atol=1e-6)
    assert law.energy(w).asscalar() == pytest.approx(plain.energy(away).asscalar(), rel=1e-5)
    assert law.precision == pytest.approx(plain.precision)
    assert law.tightened(4.0).centre is law.centre
    drawn = np.mean([law.draw(np.random.default_rng(i), SHAPE) for i in range(400)], axis=0)
    np.testing.assert_allclose(drawn, W0, atol=6 * max(1.0, plain.precision ** -0.5) / 20)


@pytest.mark.parametrize("optimizer", ["sgld", "sghmc"])
def test_a_step_goes_to_the_centre(optimizer):
    """At temperature 0 and without data the weights end at the centre."""
    o = mx.optimizer.create(optimizer, num_data=1, learning_rate=0.1, seed=1, temperature=0.0,
                            prior=Centred(2.0, {"a": W0}), param_idx2name={0: "a", 1: "b"})
    weights = [nd.ones(SHAPE), nd.ones((5,))]
    update = mx.optimizer.get_updater(o)
    for _ in range(300):
        update([0, 1], [nd.zeros(w.shape) for w in weights], weights)
    np.testing.assert_allclose(weights[0].asnumpy(), W0, atol=1e-3)
    np.testing.assert_allclose(weights[1].asnumpy(), 0.0, atol=1e-3)        # has none


@pytest.mark.parametrize("make, error, said", [
    (lambda: Centred(1.0, {}), TypeError, "centre must be a dictionary from names to arrays"),
    (lambda: Centred(1.0, [W0]), TypeError, "centre must be a dictionary"),
    (lambda: Centred(1.0, {"w": np.full(SHAPE, np.nan)}), ValueError, "centre of w must be an array of finite"),
    (lambda: Centred(Own(), {"w": W0}), TypeError, "prior of your own"),
    (lambda: Centred(Gamma(), {"w": W0}), TypeError, r"write Gamma\(prior=Centred"),
    (lambda: Centred(1.0, {"w": W0}).law(["w"], (4, 3)), ValueError, r"parameter w has shape \(3, 4\), the parameter"),
    (lambda: Centred("fan_in", {"b": W0[0]}).law(["b"], (4,)), ValueError, "says nothing of parameter b"),
    (lambda: Centred(1.0, {"v": W0}).check([("a", "0.a")]), ValueError, "the name 'v', which no parameter has"),
    (lambda: ByName({".*": Horseshoe()}), TypeError, r"give it alone: prior=Horseshoe\(..., select='\.\*'\)"),
    (lambda: Gamma(prior=Own()), TypeError, "no law that can be drawn from"),
    (lambda: Gamma(prior=Mixture(0.5, 1.0, 0.1)).law(["w"], SHAPE), ValueError, "mixture.*scale cannot be drawn"),
    (lambda: Horseshoe(0.0), ValueError, "scale must lie in"),
    (lambda: Horseshoe(slab=-1), ValueError, "slab must lie in"),
    (lambda: Horseshoe(narrowest=-1), ValueError, "narrowest must lie in"),
    (lambda: CorrelatedFilters(0), ValueError, "lengthscale must lie in"),
    (lambda: CorrelatedFilters(variance=np.abs(W0)), TypeError, "variance is an array"),
    (lambda: CorrelatedFilters(kernel="rbf"), ValueError, "kernel must be one of 'exponential', 'squared'"),
])
def test_bad_input(make, error, said):
    with pytest.raises(error, match=said):
        make()


# ---------------------------------------------------------------- filters


@pytest.mark.parametrize("kernel", ["exponential", "squared"])
@pytest.mark.parametrize("centre", [False, True])
def test_filters_as_numpy_has_it(kernel, centre):
    shape, rng = (4, 2, 3, 3), np.random.default_rng(1)
    prior = CorrelatedFilters(1.3, FanIn(2.0), kernel)
    at = np.array([(i, j) for i in range(3) for j in range(3)])
    d = np.sqrt(((at[:, None] - at[None]) ** 2).sum(-1)) / 1.3
    Sigma = 2 / 18 * (np.exp(-d if kernel == "exponential" else -d * d / 2) + 1e-6 * np.eye(9))
    w, w0 = rng.standard_normal(shape), rng.standard_normal(shape) * centre
    law = Centred(prior, {"k": w0}).law(["k"], shape) if centre else prior.law(["k"], shape)
    f = (w - w0).reshape(8, 9)
    assert law.energy(nd.array(w, dtype="float64")).asscalar() == pytest.approx(
        0.5 * np.einsum("fi,ij,fj", f, np.linalg.inv(Sigma), f), rel=1e-9)
    np.testing.assert_allclose(law.slope(nd.array(w, dtype="float64")).asnumpy(),
                               (f @ np.linalg.inv(Sigma)).reshape(shape), rtol=1e-8, atol=1e-8)
    drawn = np.concatenate([law.draw(rng, shape) - w0 for _ in range(1500)]).reshape(-1, 9)
    np.testing.assert_allclose(np.cov(drawn.T), Sigma, atol=8 * Sigma[0, 0] / np.sqrt(len(drawn)))
    assert prior.law(["b"], (4,)) is None and prior.law(["w"], (4, 5)) is None


def test_a_convolution_without_data_has_the_covariance_back():
    """Walkers are the filters of one kernel; SGLD's own error at this step is 1 %."""
    prior = CorrelatedFilters(1.0, 0.5)
    o = mx.optimizer.create("sghmc", num_data=1, learning_rate=0.02, friction=0.3, integrator="badodab", seed=1,
                            prior=prior)
    w = nd.array(prior.law(["k"], (60, 50, 2, 2)).draw(np.random.default_rng(0), (60, 50, 2, 2)))
    update, grad, found = mx.optimizer.get_updater(o), nd.zeros(w.shape), []
    w *= 0.5        # away from the law
    for step in range(400):
        update(0, grad, w)
        if step >= 200 and step % 40 == 0:
            found.append(w.asnumpy().reshape(-1, 4))
    d = np.array([[0, 1, 1, 2 ** 0.5], [1, 0, 2 ** 0.5, 1], [1, 2 ** 0.5, 0, 1], [2 ** 0.5, 1, 1, 0]])
    np.testing.assert_allclose(np.mean([np.cov(f.T) for f in found], axis=0), 0.5 * np.exp(-d), atol=5 * 0.5 / 54)


# ---------------------------------------------------------------- draws


def test_prior_predictive_draws():
    net = net_of(gluon.nn.Dense(40, in_units=30), gluon.nn.BatchNorm(in_channels=40), gluon.nn.Dense(2, in_units=40))
    net[2].bias.wd_mult = 100.0
    before = net[0].weight.data().asnumpy()
    prior = {"0.weight": Laplace(variance=FanIn(3.0)), r"2\.weight": 4.0}
    draws = sample(net, prior, wd=1.0, draws=50, seed=3)
    assert set(draws[0]) == {"0.weight", "0.bias", "1.gamma", "1.beta", "2.weight", "2.bias"}
    sd = {name: np.concatenate([d[name].asnumpy().ravel() for d in draws]).std() for name in draws[0]}
    assert sd["0.weight"] == pytest.approx(0.1 ** 0.5, rel=0.05) and sd["2.weight"] == pytest.approx(0.5, rel=0.05)
    assert sd["0.bias"] == pytest.approx(1.0, rel=0.1) and sd["2.bias"] == pytest.approx(0.1, rel=0.3)
    again = sample(net, prior, draws=2, seed=3)
    np.testing.assert_array_equal(again[1]["0.weight"].asnumpy(), draws[1]["0.weight"].asnumpy())
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), before)
    with sg.using(net, draws[0]):
        np.testing.assert_array_equal(net[0].weight.data().asnumpy(), draws[0]["0.weight"].asnumpy())


@pytest.mark.parametrize("make, error, said", [
    (lambda: sample(3), TypeError, "net must be a gluon.Block, got int"),
    (lambda: sample(gluon.nn.Dense(3)), RuntimeError, "is not initialised, or its shape is not known"),
    (lambda: sample(net_of(gluon.nn.Dense(1, in_units=1)), wd=0.0), ValueError, "flat prior"),
    (lambda: sample(net_of(gluon.nn.Dense(1, in_units=1)), draws=0), ValueError, "draws must be at least 1"),
    (lambda: sample(net_of(gluon.nn.Dense(1, in_units=1)), Own()), TypeError, "prior of your own"),
])
def test_bad_draws(make, error, said):
    with pytest.raises(error, match=said):
        make()


# ---------------------------------------------------------------- roads


X = np.random.RandomState(1).standard_normal((60, 4)).astype("float32")
Y = (X @ np.array([1.0, -1.0, 0.5, 0.0]) > 0).astype("float32")


def trained(prior, gradients="auto", steps=30, **more):
    mx.random.seed(3)
    net = net_of(gluon.nn.Dense(5, in_units=4, activation="tanh"), gluon.nn.Dense(2, in_units=5))
    trainer = sg.BayesianTrainer(net, "sgnht", {"num_data": 60, "learning_rate": 0.05, "prior": prior, **more},
                                 sg.likelihoods.Categorical(), burn_in=10, thin=5, seed=4)
    return trainer.sample(sg.data.ArrayLoader(X, Y, batch_size=20, shuffle=True, seed=1), steps, gradients=gradients)


ROADS = {"laplace": Laplace(0.5), "student": StudentT(3, "fan_in"), "mixture": Mixture(0.5, 1.0, 0.1),
         "centre": Centred(3.0, {"0.weight": np.ones((5, 4)), "1.bias": np.zeros(2)}),
         "by element": {"0.weight": Laplace(np.full((5, 4), 0.5)), ".*": 2.0},
         "hyper": Gamma(every=7, prior=StudentT(3, 1.0)), "horseshoe": Horseshoe(1.0, narrowest=0.5, every=7)}


@pytest.mark.parametrize("name", ROADS)
def test_the_native_road_takes_it(name):
    """The same chain on both roads; what a sample says of U has the prior in it."""
    one, other = trained(ROADS[name], "native"), trained(ROADS[name], "mxnet")
    assert (one.gradient_road, other.gradient_road) == ("native", "mxnet")
    for a, b in zip(one.samples, other.samples):
        for k in a:
            np.testing.assert_allclose(a[k].asnumpy(), b[k].asnumpy(), rtol=2e-3, atol=2e-4)
        assert a.potential == pytest.approx(b.potential, rel=1e-3)
    assert not all(one.optimizer.law(i, p.shape).is_plain for i, p in enumerate(one._params))


def test_mxnets_road_for_one_of_the_users_own(caplog):
    caplog.set_level("INFO")
    assert trained(Own()).gradient_road == "mxnet"
    assert "is formed by NDArray operators at every step" in caplog.text
    with pytest.raises(ValueError, match="gradients='native' is asked for, and the prior of"):
        trained(Own(), "native")


def test_own_is_the_gaussian_that_it_is():
    one, other = trained(Own(), "mxnet"), trained(2.0, "mxnet")
    for a, b in zip(one.samples, other.samples):
        for k in a:
            np.testing.assert_allclose(a[k].asnumpy(), b[k].asnumpy(), rtol=1e-4, atol=1e-5)
        assert a.potential == pytest.approx(b.potential, rel=1e-5)


@pytest.mark.parametrize("prior", [Laplace(0.5), Own(), Mixture(0.5, 1.0, 0.2),
                                   Centred(3.0, {"0.weight": np.ones((5, 4))})],
                         ids=["laplace", "own", "mixture", "centre"])
def test_potential_has_the_prior(prior):
    """U and its gradient, against autograd of likelihood and density."""
    from sgmcmc_mx.full_data.potential import Potential
    net = net_of(gluon.nn.Dense(5, in_units=4, activation="tanh"), gluon.nn.Dense(2, in_units=5))
    loss = sg.likelihoods.Categorical()
    U = Potential(net, loss, (X, Y), batch_size=25, wd=1.5, prior=prior)
    value, gradient = U.with_gradient(U.position())
    params = list(net._collect_params_with_prefix().values())
    with autograd.record():
        total = loss(net(nd.array(X)), nd.array(Y)).sum().astype("float64")
        for p, law in zip(params, U.laws):
            total = total + law.energy(p.data())
    total.backward()
    assert value == pytest.approx(total.asscalar(), rel=1e-6) == U(U.position())
    for p, g in zip(params, gradient):
        np.testing.assert_allclose(g.asnumpy(), p.grad().asnumpy(), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- runs that go on


def test_another_prior_is_another_run(tmp_path):
    def begin(prior):
        net = net_of(gluon.nn.Dense(2, in_units=4))
        net[0].weight.set_data(nd.ones((2, 4)))
        trainer = sg.BayesianTrainer.begin_or_resume(
            net, "sgld", {"num_data": 60, "prior": prior, "seed": 1}, sg.likelihoods.Categorical(),
            store=tmp_path / "a", checkpoint_every=5)
        trainer.sample(sg.data.ArrayLoader(X, Y, batch_size=20, shuffle=True, seed=1), trainer.num_steps + 5)
        trainer.close()
        return trainer.num_steps

    assert begin(Laplace(0.5)) == 5 and begin(Laplace(0.5)) == 10
    with pytest.raises(ValueError, match=r"Laplace\(scale=0.6\).*begun with.*Laplace\(scale=0.5\)"):
        begin(Laplace(0.6))


def test_a_horseshoe_too_steep_for_the_step_is_told():
    with pytest.warns(UserWarning, match="eta times their precision is .* write learning_rate=.*narrowest"):
        trained(Horseshoe(0.1, narrowest=0.001, every=3), steps=8)


def test_another_prior_is_another_chain_of_full_data(tmp_path):
    def begin(prior):
        net = net_of(gluon.nn.Dense(2, in_units=4))
        chain = sg.HMC.begin_or_resume(net, sg.likelihoods.Categorical(), (X, Y), prior=prior, seed=1, num_leapfrog=2,
                                       step_size=0.05, store=tmp_path / "a", checkpoint_every=2)
        chain.run(2)
        chain.close()
        return chain.num_steps

    assert begin(StudentT(3, 0.5)) == 2 and begin(StudentT(3, 0.5)) == 4 and begin(None) == 6
    with pytest.raises(ValueError, match=r"StudentT\(df=4.*begun with.*StudentT\(df=3"):
        begin(StudentT(4, 0.5))
    assert begin(StudentT(3, 0.5)) == 8     # the folder is free again


def test_a_pattern_under_a_hyperprior_must_match_something():
    with pytest.raises(ValueError, match="'conv', which matches no parameter"):
        Gamma(prior={"conv": StudentT(3, 1.0), ".*": 2.0}).check([("a_weight", "0.weight")])
