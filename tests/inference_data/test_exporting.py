"""What ArviZ is given: every number held against NumPy's, in a process that has never heard of this package too."""
import json
import pickle
import subprocess
import sys

import arviz
import numpy as np
import pytest
from mxnet import gluon, nd
from scipy import stats
from small_chains import AtOnce, X, Y, build_dense, build_diverging
from trainers import build, make, run, softmax

import sgmcmc_mx as sg

L = sg.likelihoods


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return sg.sample_chains(build_dense, 3, steps=27, store=tmp_path_factory.mktemp("runs") / "a", executor=AtOnce(),
                            seed=5)


@pytest.fixture(scope="module")
def idata(runs):
    return sg.to_inference_data(runs, X, Y)


@pytest.fixture(scope="module")
def net():
    """One as the chains have, with weights of its own."""
    made = gluon.nn.HybridSequential()
    made.add(gluon.nn.Dense(6, activation="tanh", in_units=7), gluon.nn.Dense(3, in_units=6))
    made.initialize()
    return made


def by_hand(samples, x):
    """The logits of every sample of the dense network, in float64."""
    found = []
    for s in samples:
        w = {name: a.asnumpy().astype(np.float64) for name, a in s.items()}
        hidden = np.tanh(x.reshape(len(x), -1) @ w["0.weight"].T + w["0.bias"])
        found.append(hidden @ w["1.weight"].T + w["1.bias"])
    return np.array(found)


def test_groups_dimensions_and_labels(runs, idata):
    assert set(idata.groups()) == {"posterior", "posterior_predictive", "log_likelihood", "sample_stats",
                                   "observed_data"}
    n, draws = len(X), len(runs[0])
    assert dict(idata.log_likelihood.sizes) == {"chain": 3, "draw": draws, "example": n}
    assert idata.posterior_predictive["probability"].dims == ("chain", "draw", "example", "class")
    assert idata.posterior_predictive["y"].dims == ("chain", "draw", "example")
    assert idata.observed_data["y"].dims == ("example",)
    assert idata.posterior["1.weight"].dims == ("chain", "draw", "1.weight_dim_0", "1.weight_dim_1")
    for group in idata.groups():
        assert set(idata[group].dims) == set(idata[group].coords)
    np.testing.assert_array_equal(idata.observed_data["y"], Y)
    assert list(idata.posterior.chain) == [0, 1, 2] and list(idata.posterior.draw) == list(range(draws))


def test_weights_are_the_samples(runs, idata):
    for k, chain in enumerate(runs):
        for d, sample in enumerate(chain):
            for name, a in sample.items():
                np.testing.assert_array_equal(idata.posterior[name][k, d], a.asnumpy())
    assert set(idata.posterior.data_vars) == set(runs[0][0]) and "left_out" not in idata.posterior.attrs


def test_log_likelihood_is_log_p_of_each_example(runs, idata):
    for k, chain in enumerate(runs):
        probs = softmax(by_hand(chain, X))
        np.testing.assert_allclose(idata.posterior_predictive["probability"][k], probs, atol=2e-6)
        expected = np.log(probs[:, np.arange(len(Y)), Y.astype(int)])
        np.testing.assert_allclose(idata.log_likelihood["y"][k], expected, atol=2e-5)
    lppd = np.log(np.exp(idata.log_likelihood["y"].values).mean(axis=(0, 1)))
    np.testing.assert_allclose(sg.metrics.nll(runs.predict(X), Y), -lppd.mean(), rtol=1e-4)


def test_statistics_are_the_samples_readings(runs, idata):
    stats_ = idata.sample_stats
    for k, chain in enumerate(runs):
        for d, sample in enumerate(chain):
            for name in ("step", "weight", "potential", "temperature", "friction"):
                assert float(stats_[name][k, d]) == pytest.approx(getattr(sample, name))
    assert (stats_["step_size"] == 0.05).all() and not stats_["diverging"].any()
    assert "acceptance_rate" not in stats_


def test_loo_and_waic_in_a_process_without_this_package(idata, tmp_path):
    """netCDF, read by plain ArviZ; waic against its definition."""
    idata.to_netcdf(str(tmp_path / "runs.nc"))
    code = """
import json, sys, warnings, arviz
warnings.simplefilter("ignore")
idata = arviz.from_netcdf(sys.argv[1])
loo, waic = arviz.loo(idata, pointwise=True), arviz.waic(idata)
table = arviz.summary(idata, var_names=["1.bias"])
print(json.dumps({"loo": float(loo.elpd_loo), "k": float(loo.pareto_k.max()), "n": int(loo.n_data_points),
                  "waic": float(waic.elpd_waic), "rows": list(table.index),
                  "y": idata.observed_data["y"].values.tolist(),
                  "loaded": [name for name in sys.modules if name.split(".")[0] in ("sgmcmc_mx", "mxnet")]}))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "runs.nc")], capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    log_p = idata.log_likelihood["y"].values.reshape(-1, len(X))
    waic = np.log(np.exp(log_p).mean(axis=0)) - log_p.var(axis=0)
    assert found["waic"] == pytest.approx(waic.sum(), rel=1e-6)
    assert np.isfinite(found["loo"]) and found["n"] == len(X) and found["y"] == Y.tolist()
    assert found["rows"] == ["1.bias[0]", "1.bias[1]", "1.bias[2]"] and not found["loaded"]


def test_loaded_runs_need_network_and_likelihood(runs, idata, net):
    loaded = sg.load(runs.path)
    with pytest.raises(ValueError, match="net is not given.*net=net, likelihood="):
        sg.to_inference_data(loaded, X, Y)
    with pytest.raises(ValueError, match="likelihood is not given"):
        sg.to_inference_data(loaded, X, Y, net)
    before = net[0].weight.data().asnumpy()
    found = sg.to_inference_data(loaded, X, Y, net, likelihood=L.Categorical())
    np.testing.assert_array_equal(net[0].weight.data().asnumpy(), before)
    for group in idata.groups():
        assert found[group].equals(idata[group]), group
    assert set(sg.to_inference_data(loaded).groups()) == {"posterior", "sample_stats"}


def test_a_loader_brings_both_and_batches_do_not_matter(runs, idata):
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(X, Y), 7)
    found = sg.to_inference_data(runs, loader)
    np.testing.assert_allclose(found.log_likelihood["y"], idata.log_likelihood["y"], atol=1e-6)
    np.testing.assert_array_equal(found.observed_data["y"], Y)


def test_drawn_labels_follow_the_predictive_distribution(runs, net):
    """Frequencies of 1,080 labels of each of two examples, against their probabilities, as z."""
    many = [[s for _ in range(60) for s in pickle.loads(pickle.dumps(chain))] for chain in runs]

    def exported(chains, **more):
        return sg.to_inference_data(chains, X[:2], Y[:2], net, likelihood=L.Categorical(), var_names="1.bias", **more)
    found = exported(many)
    y, p = found.posterior_predictive["y"].values, found.posterior_predictive["probability"].values
    for c in range(3):
        z = ((y == c) - p[..., c]).sum(axis=(0, 1)) / np.sqrt((p[..., c] * (1 - p[..., c])).sum(axis=(0, 1)))
        assert (np.abs(z) < 5).all(), z
    few, again, other = (exported(runs, **more).posterior_predictive["y"] for more in ({}, {}, {"seed": 1}))
    np.testing.assert_array_equal(few, again)
    assert (few != other).any()


def test_chains_of_unequal_length_give_their_last_draws(runs):
    parts = [runs[0], runs[1][:3], runs[2]]
    with pytest.warns(UserWarning, match="6, 3, 6 samples.*the last 3 of each"):
        found = sg.to_inference_data(parts)
    np.testing.assert_array_equal(found.sample_stats["step"][0], [s.step for s in runs[0]][-3:])
    np.testing.assert_array_equal(found.sample_stats["step"][1], [s.step for s in runs[1]][:3])
    np.testing.assert_array_equal(found.posterior["1.bias"][2, 0], runs[2][-3]["1.bias"].asnumpy())


def test_a_failed_chain_is_left_out(tmp_path):
    found = sg.sample_chains(build_diverging, 3, steps=24, store=tmp_path / "runs", executor=AtOnce(), seed=5)
    with pytest.warns(UserWarning, match="chain 1 has failed"):
        idata = sg.to_inference_data(found)
    assert list(idata.posterior.chain) == [0, 2]


def test_large_networks_give_projections_and_say_what_is_missing(caplog):
    """784-64-3: the large matrix is left out, and 16 projections of all weights are there."""
    wide = gluon.nn.HybridSequential()
    wide.add(gluon.nn.Dense(64, in_units=784), gluon.nn.Dense(3, in_units=64))
    wide.initialize()
    rng = np.random.RandomState(0)
    arrays = {name: p.shape for name, p in wide._collect_params_with_prefix().items()}
    chains = [[sg.Sample({n: nd.array(rng.randn(*shape)) for n, shape in arrays.items()}, step) for step in range(30)]
              for _ in range(2)]
    with caplog.at_level("INFO", "sgmcmc_mx"):
        found = sg.to_inference_data(chains)
    assert set(found.posterior.data_vars) == {"0.bias", "1.weight", "1.bias", "projection"}
    assert found.posterior.attrs["left_out"] == "0.weight" and "0.weight" in caplog.text
    assert found.posterior["projection"].shape == (2, 30, 16)
    # Directions of length 1 in a space of standard normals.
    z = found.posterior["projection"].values.ravel()
    assert abs(z.mean()) < 5 / np.sqrt(z.size) and abs(z.var() - 1) < 5 * np.sqrt(2 / z.size)
    by_flat = [np.concatenate([s[n].asnumpy().ravel() for n in arrays]) for s in chains[0]]
    values = found.posterior["projection"].values[0]
    fitted = np.linalg.lstsq(np.array(by_flat), values, rcond=None)[0]      # linear in the weights
    np.testing.assert_allclose(np.array(by_flat) @ fitted, values, atol=1e-3)
    few = sg.to_inference_data(chains, projections=3, var_names=["1.bias"])
    assert set(few.posterior.data_vars) == {"1.bias", "projection"}
    np.testing.assert_array_equal(sg.to_inference_data([chains[1]], projections=3).posterior["projection"][0],
                                  sg.to_inference_data(chains, projections=3).posterior["projection"][1])


def test_names_are_chosen_by_patterns(runs):
    assert set(sg.to_inference_data(runs, var_names=".*bias").posterior.data_vars) == {"0.bias", "1.bias"}
    assert list(sg.to_inference_data(runs, var_names=["1.bias"]).posterior.data_vars) == ["1.bias"]
    with pytest.raises(ValueError, match="no parameter is called '1.bais'; did you mean '1.bias'"):
        sg.to_inference_data(runs, var_names="1.bais")


class TestLikelihoods:
    """log p of every likelihood, by SciPy, from a trainer."""

    x = np.random.RandomState(1).randn(60, 4).astype("float32")

    def exported(self, likelihood, y, units=1):
        net = build(units=units)
        tr = run(make(net, "sgld", likelihood, burn_in=4), (self.x, y), 10)
        return tr, sg.to_inference_data(tr, self.x, y)

    def outputs(self, tr):
        return tr.predict(self.x, "identity", samples=True)[None]

    def test_gaussian(self):
        y = self.x[:, :1]
        tr, idata = self.exported(L.Gaussian(0.3), y)
        mean = self.outputs(tr)[..., 0]
        np.testing.assert_allclose(idata.posterior_predictive["mean"], mean, rtol=1e-6)
        np.testing.assert_allclose(idata.log_likelihood["y"], stats.norm.logpdf(y[:, 0], mean, 0.3), rtol=1e-4,
                                   atol=1e-4)
        z = (idata.posterior_predictive["y"].values - mean) / 0.3
        assert abs(z.mean()) < 5 / np.sqrt(z.size) and abs(z.var() - 1) < 5 * np.sqrt(2 / z.size)
        assert idata.observed_data["y"].dims == ("example",)
        assert not np.isnan(idata.sample_stats["potential"]).any() and "temperature" not in idata.sample_stats

    def test_gaussian_of_several_outputs(self):
        y = self.x[:, :3]
        tr, idata = self.exported(L.Gaussian([0.3, 0.5, 0.7]), y, 3)
        assert idata.posterior_predictive["y"].dims == ("chain", "draw", "example", "output")
        assert idata.observed_data["y"].dims == ("example", "output")
        expected = stats.norm.logpdf(y, self.outputs(tr), [0.3, 0.5, 0.7]).sum(axis=-1)
        np.testing.assert_allclose(idata.log_likelihood["y"], expected, rtol=1e-4, atol=1e-4)

    def test_noise_that_comes_with_the_labels(self):
        sigma = np.linspace(0.2, 0.8, 60).astype("float32")[:, None]
        tr, idata = self.exported(L.Gaussian("label"), np.concatenate([self.x[:, :1], sigma], axis=1))
        mean = self.outputs(tr)[..., 0]
        np.testing.assert_allclose(idata.log_likelihood["y"], stats.norm.logpdf(self.x[:, 0], mean, sigma[:, 0]),
                                   rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(idata.observed_data["y"], self.x[:, 0])
        z = (idata.posterior_predictive["y"].values - mean) / sigma[:, 0]
        assert abs(z.var() - 1) < 5 * np.sqrt(2 / z.size)

    def test_bernoulli(self):
        y = (self.x[:, :1] > 0).astype("float32")
        tr, idata = self.exported(L.Bernoulli(), y)
        p = 1 / (1 + np.exp(-self.outputs(tr)[..., 0].astype(float)))
        np.testing.assert_allclose(idata.posterior_predictive["probability"], p, rtol=1e-5)
        np.testing.assert_allclose(idata.log_likelihood["y"], stats.bernoulli.logpmf(y[:, 0], p), rtol=1e-4, atol=1e-5)
        assert set(np.unique(idata.posterior_predictive["y"])) == {0, 1}

    def test_poisson(self):
        y = np.random.RandomState(2).poisson(2, (60, 1)).astype("float32")
        tr, idata = self.exported(L.Poisson(), y)
        rate = np.exp(self.outputs(tr)[..., 0].astype(float))
        np.testing.assert_allclose(idata.posterior_predictive["mean"], rate, rtol=1e-5)
        np.testing.assert_allclose(idata.log_likelihood["y"], stats.poisson.logpmf(y[:, 0], rate), rtol=1e-4, atol=1e-4)

    def test_of_a_loss_of_ones_own(self):
        class Laplace(gluon.loss.Loss):
            def __init__(self):
                super().__init__(None, 0)

            def hybrid_forward(self, F, output, label):
                return F.sum(F.abs(output - label), axis=1) + float(np.log(2))

        y = self.x[:, :1]
        tr, idata = self.exported(Laplace(), y)
        np.testing.assert_allclose(idata.log_likelihood["y"], stats.laplace.logpdf(y[:, 0], self.outputs(tr)[..., 0]),
                                   rtol=1e-4, atol=1e-4)
        assert "posterior_predictive" not in idata.groups()

    def test_gluons_losses_are_refused(self):
        tr, _ = self.exported(L.Gaussian(), self.x[:, :1])
        with pytest.raises(ValueError, match="L2Loss, which need not be -log p.*Gaussian"):
            sg.to_inference_data(tr, self.x, self.x[:, :1], likelihood=gluon.loss.L2Loss())


def test_hmc_and_metropolis_hastings_say_their_acceptance():
    x = np.random.RandomState(1).randn(60, 4).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    for make_chain in (sg.HMC, sg.MetropolisHastings):
        net = gluon.nn.Dense(2, in_units=4)
        net.initialize()
        chain = make_chain(net, L.Categorical(), (x, y), step_size=0.1, seed=0).run(12)
        stats_ = sg.to_inference_data(chain, x, y).sample_stats
        assert (stats_["acceptance_rate"] == chain.acceptance_rate).all() and (stats_["step_size"] == 0.1).all()
        assert not stats_["diverging"].any()
        np.testing.assert_allclose(stats_["potential"][0], [s.potential for s in chain.samples])


def test_divergences_of_hmc_are_counted():
    x = np.random.RandomState(1).randn(60, 4).astype("float32")
    net = gluon.nn.Dense(2, in_units=4)
    net.initialize()
    with pytest.warns(UserWarning, match="diverged"):
        chain = sg.HMC(net, L.Gaussian(), (x, x[:, :2]), step_size=3.0, seed=0).run(12)
    stats_ = sg.to_inference_data(chain).sample_stats
    assert stats_.attrs["divergences"] == [chain.num_divergences] and chain.num_divergences > 0
    assert "diverging" not in stats_


def test_a_step_that_changes_is_told_and_read_off_the_weights():
    x = np.random.RandomState(1).randn(60, 4).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    tr = make(build())
    run(tr, (x, y), 4)
    tr.set_learning_rate(0.02)
    run(tr, (x, y), 4)
    with pytest.warns(UserWarning, match="count differently .* ArviZ counts all draws alike"):
        idata = sg.to_inference_data(tr)
    np.testing.assert_allclose(idata.sample_stats["step_size"][0], [0.05] * 4 + [0.02] * 4, rtol=1e-6)


def test_names_along_dimensions(runs):
    found = sg.to_inference_data(runs, X, Y, coords={"class": ["a", "b", "c"], "example": np.arange(len(X)) + 100})
    assert list(found.posterior_predictive["class"].values) == ["a", "b", "c"]
    assert int(found.log_likelihood.example[0]) == 100 == int(found.observed_data.example[0])
    with pytest.raises(ValueError, match=r"coords\['class'\] has shape \(2,\), and there are 3"):
        sg.to_inference_data(runs, X, Y, coords={"class": ["a", "b"]})
    with pytest.raises(ValueError, match="no dimension 'klass'; there are .*class"):
        sg.to_inference_data(runs, X, Y, coords={"klass": ["a", "b", "c"]})


@pytest.mark.parametrize("given, error, said", [
    (lambda runs: sg.to_inference_data(3), TypeError, "got int; write what sample_chains returns"),
    (lambda runs: sg.to_inference_data([]), ValueError, "no chains in it"),
    (lambda runs: sg.to_inference_data(runs.samples), TypeError, "joined"),
    (lambda runs: sg.to_inference_data(make(build())), ValueError, "no samples yet: 0 steps"),
    (lambda runs: sg.to_inference_data(runs, labels=Y), ValueError, "data are not"),
    (lambda runs: sg.to_inference_data(runs, projections=-1), ValueError, "projections must be at least 0"),
    (lambda runs: sg.to_inference_data(runs, var_names=[3]), TypeError, "var_names must be names"),
    (lambda runs: sg.to_inference_data(runs, X, Y, seed=0.5), ValueError, "seed must be a whole number"),
    (lambda runs: sg.to_inference_data(runs, X, Y, build()), ValueError, "0.weight has shape"),
])
def test_what_cannot_be_exported_is_said(runs, given, error, said):
    with pytest.raises(error, match=said):
        given(runs)


def test_function_samples_have_no_weights(tmp_path):
    x = np.random.RandomState(1).randn(60, 4).astype("float32")
    tr = make(build(), store=sg.FolderStore(tmp_path / "a", inputs=x[:5]), burn_in=2)
    run(tr, (x, (x[:, 0] > 0).astype("float32")), 5)
    tr.close()
    with pytest.raises(ValueError, match="outputs on given inputs"):
        sg.to_inference_data(sg.load(tmp_path / "a"))


def test_importing_draws_no_arviz_in():
    code = "import sys, sgmcmc_mx; sys.exit('arviz' in sys.modules or 'xarray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_arviz_it_says_what_to_install(monkeypatch, runs):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"pip install 'sgmcmc_mx\[arviz\]'"):
        sg.to_inference_data(runs)


def test_arviz_pictures_take_it(idata):
    """Those that go by the groups' and dimensions' names."""
    import matplotlib.pyplot as plt

    arviz.plot_trace(idata, var_names=["1.bias"])
    arviz.plot_rank(idata, var_names=["1.bias"])
    arviz.plot_ppc(idata, num_pp_samples=5)
    plt.close("all")
