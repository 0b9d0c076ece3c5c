"""A session with every value held against its hint, in a process of its own: run by tests/test_hints.py.

What the package says of its types is looked at by typeguard while it runs. The first value that is not what a hint says
ends the session.
"""
import concurrent.futures
import sys
import tempfile
import warnings
from pathlib import Path

import typeguard

typeguard.config.collection_check_strategy = typeguard.CollectionCheckStrategy.ALL_ITEMS
typeguard.install_import_hook("sgmcmc_mx")

import matplotlib  # noqa: E402

import sgmcmc_mx as sg  # noqa: E402  (before mxnet, which it makes importable)

matplotlib.use("Agg")

import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402
from mxnet import autograd, gluon  # noqa: E402
from mxnet.gluon.contrib.estimator import Estimator  # noqa: E402

CLASSES = sg.likelihoods.Categorical()


def network(outputs: int = 3):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(5, activation="tanh", in_units=4), gluon.nn.Dense(outputs, in_units=5))
    net.initialize(mx.init.Xavier())
    return net


def data(outputs: int = 3):
    rng = np.random.RandomState(0)
    x = rng.standard_normal((40, 4)).astype(np.float32)
    return x, (np.arange(40) % 3 if outputs == 3 else x[:, :1]).astype(np.float32)


def steps(trainer, loader, number: int, backward=None) -> None:
    while number > 0:
        for x, y in loader:
            if backward is None:
                with autograd.record():
                    loss = trainer.likelihood(trainer.net(x), y)
                loss.backward()
            else:
                backward(x, y)
            trainer.step(len(x))
            number -= 1
            if number == 0:
                break


def every_sampler() -> None:
    options = {"sgld": {"prior": "fan_in"}, "sghmc": {"gradient_noise": "estimate", "prior": {".*weight": 2.0}},
               "sgnht": {"prior": sg.priors.Gamma()}, "psgld": {"gamma": "fisher", "prior": sg.priors.Laplace(1.0)},
               "sasghmc": {"burn_in": 2, "prior": {".*weight": sg.priors.StudentT(3, "fan_in"), ".*": 2.0}},
               "msgnht_s_badodab": {"a": 0.2, "prior": sg.priors.Horseshoe(1.0, narrowest=0.5, every=2)}}
    print([len(draw) for draw in sg.priors.sample(network(), sg.priors.Mixture(0.5, 1.0, 0.1), draws=2, seed=1)])
    loader = gluon.data.DataLoader(gluon.data.ArrayDataset(*data()), 10)
    for name, its in options.items():
        its = {"learning_rate": 0.01, "num_data": 40, "seed": 0, "clip_gradient": None, **its}
        trainer = sg.BayesianTrainer(network(), name, its, CLASSES, burn_in=2, thin=2, progress=name == "sgnht")
        steps(trainer, loader, 8)
        probs = trainer.predict(data()[0])
        sg.metrics.ece(probs, data()[1]), sg.metrics.nll(probs, data()[1])
        print(trainer.temperature, trainer.friction, trainer.potential, trainer.samples[0].readings)


def stored(folder: Path) -> None:
    frozen = network()
    frozen[0].collect_params().setattr("grad_req", "null")
    for store in (folder.with_name("frozen"), None):
        with sg.BayesianTrainer(frozen, "sgld", {"num_data": 40}, CLASSES, store=store) as trainer:
            steps(trainer, gluon.data.DataLoader(gluon.data.ArrayDataset(*data()), 10), 9)
        print([len(s) for s in trainer.samples])
    print([len(s) for s in sg.load(folder.with_name("frozen"))])
    loader = sg.data.ResumableLoader(gluon.data.ArrayDataset(*data()), 10, seed=1)
    schedule = sg.schedules.CyclicalScheduler(0.02, 4, 0.5)
    with sg.BayesianTrainer(network(), "sghmc", {"lr_scheduler": schedule, "num_data": 40, "seed": 0}, CLASSES,
                            thin=2, store=folder, data=loader) as trainer:
        steps(trainer, loader, 9)
    with sg.BayesianTrainer.resume(folder, network(), data=loader) as trainer:
        steps(trainer, loader, 4)
        each = trainer.predict(data()[0], samples=True)
    found = sg.load(folder)
    joined = sg.join([found, trainer.samples[1:]], weights="chain")
    print(joined, joined[1:].weights, [net(mx.nd.array(data()[0])).shape for net in sg.networks(network(), joined)])
    with sg.using(network(), joined[0]) as net:
        print([net(mx.nd.array(data()[0])).shape for net in trainer.networks(net)])
    sg.predict(network(), found[1:], gluon.data.DataLoader(data()[0], 7), "softmax")
    sg.plot.uncertain_images(np.zeros((40, 3, 3)), each, data()[1], weights=found.weights)
    sg.plot.reliability(each.mean(axis=0), data()[1])
    sg.plot.trace([s.step for s in found], [s.weight for s in found], target=1)
    sg.metrics.mutual_information(each)
    wrong, mean = (data()[1] == 0).astype(int), each.mean(axis=0)
    print(sg.metrics.aurc(mean, data()[1]), sg.metrics.brier_parts(mean, data()[1]), sg.metrics.classwise_ece(
        mean, data()[1]), sg.metrics.aupr(sg.metrics.entropy(mean), wrong), sg.metrics.fpr95(mean[:, 0], wrong))


def regression(folder: Path) -> None:
    x, y = data(1)
    chain = sg.HMC(network(1), sg.likelihoods.Gaussian(0.5), (x, y), num_leapfrog=2, mass={".*weight": 2.0}, seed=0,
                   store=folder)
    result = chain.run(3, burn_in=3, progress=True).predict(x, quantiles=(0.1, 0.9))
    order = np.argsort(x[:, 0])
    sg.plot.band(x[order, 0], result.mean[order], result.std[order], truth=y[order])
    means = chain.predict(x, "identity", samples=True)
    for score in (sg.metrics.crps, sg.metrics.pit, sg.metrics.log_predictive_density):
        print(score(y, means, 0.5).shape)
    print(sg.metrics.crps_of_samples(y, means).shape, sg.metrics.coverage(y, *result.quantiles),
          sg.metrics.width(*result.quantiles))
    chain.close()
    sg.HMC.resume(folder, network(1), (x, y)).finish().close()
    sg.MetropolisHastings(network(), CLASSES, [tuple(map(mx.nd.array, data()))], seed=0).run(2)


def other_likelihoods() -> None:
    L, random = sg.likelihoods, np.random.default_rng(0)
    x, counts = data()
    for likelihood in (L.StudentT(4, 0.5), L.StudentT(3.0, [1.0, 2.0, 3.0]), L.NegativeBinomial(2), L.Ordinal(),
                       L.Categorical(label_noise=0.1), L.NoisyDirichlet(0.1)):
        net, y = network(), counts if isinstance(likelihood, L.Categorical) else np.tile(counts[:, None], 3)
        trainer = sg.BayesianTrainer(net, "sgld", {"num_data": 40}, likelihood, seed=0)
        trainer.sample(sg.data.ArrayLoader(x, y, batch_size=10), 3)
        found = trainer.predict(x, quantiles=(0.5,) if likelihood.kind == "regression" else ())
        print(likelihood, likelihood.arguments(), type(found))
        if not isinstance(likelihood, L.NoisyDirichlet):
            likelihood.draw(np.zeros((4, 3)), random)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv1D(3, 3, in_channels=1), gluon.nn.BatchNorm(in_channels=3), gluon.nn.Dense(1, in_units=6),
            sg.nn.LogSigma(initial=-1))
    net.initialize()
    sg.nn.refresh_batchnorm(net, x[:, None])
    print(sg.nn.convert_batchnorm(net, "group"), sg.nn.FilterResponseNorm(learn_epsilon=True))
    L.Gaussian("global")(net(mx.nd.array(x[:, None])), mx.nd.zeros((40, 1)))
    scale = sg.calibrate(np.tile([0.6, 0.4], (3, 1)), [0, 0, 1])
    print(scale, scale([0.2, 0.8]), scale(np.log([[0.2, 0.8]]), log=True))


def tuned() -> None:
    net, pair = gluon.nn.Dense(3, in_units=4), data()
    net.initialize(mx.init.Xavier())
    suggestion = sg.suggest(net, CLASSES, pair, batch_size=10, steps=50, batches=4, pilot=5)
    trainer = sg.BayesianTrainer(net, suggestion.optimizer, suggestion.optimizer_params, CLASSES,
                                 **suggestion.trainer_params)
    sg.ChainSetup(net, CLASSES, sg.data.ArrayLoader(*pair, batch_size=suggestion.batch_size), **suggestion.setup_params)
    variates = sg.ControlVariates(net, CLASSES, pair, update_every=3)
    steps(trainer, gluon.data.DataLoader(gluon.data.ArrayDataset(*pair), 10), 5, variates.backward)
    with sg.tune_threads(1):
        print(suggestion, sg.backend())


class AtOnce(concurrent.futures.Executor):
    def submit(self, fn, *args, **kwargs):
        future: concurrent.futures.Future = concurrent.futures.Future()
        future.set_result(fn(*args, **kwargs))
        return future


def build(chain):
    loader = sg.data.ResumableLoader(gluon.data.ArrayDataset(*data()), 10)
    return sg.ChainSetup(network(), CLASSES, loader, "sghmc", {"learning_rate": 0.01}, thin=2)


def diagnosed(runs) -> None:
    chains = [list(chain) * 4 for chain in runs]
    options = {"net": network(), "likelihood": "softmax"}
    for of in ("log_likelihood", "probabilities", "potential", "weights", "projections"):
        sg.diagnostics.rhat(chains, *data(), of=of, weights="0.bias", **options)
    print(sg.diagnostics.summary(chains, *data(), **options), sg.diagnostics.ess(chains, *data(), **options).shape)
    with tempfile.TemporaryDirectory() as folder:
        print(sg.report(chains, *data(), classes=list("abc"), path=Path(folder) / "a.html", **options))
    print(sg.diagnostics.temperatures(chains, data(), gradients=16, directions=2, **options))
    print(sg.diagnostics.step_halving(chains, *data(), setup=runs.setup, steps=32, starts=4))
    calibrated = sg.diagnostics.sbc(lambda net, labels, seed: chains[0], network(), data()[0], CLASSES, simulations=20)
    print(calibrated, sg.plot.sbc(calibrated.ranks, calibrated.draws, calibrated.quantities))
    print(sg.diagnostics.total_variation(chains, data()[0], **options), sg.diagnostics.mcse(chains, of="potential"))


def several(folder: Path) -> None:
    start = sg.WarmStart("adam", {"learning_rate": 0.01}, epochs=2, held_out=0.2, patience=1)
    runs = sg.sample_chains(build, 2, steps=6, executor=AtOnce(), store=folder, warm_start=start, progress=True)
    print(runs, runs.steps, runs.failures, runs[0], runs[:1], runs.predict(data()[0]).shape)
    print(sg.predict(network(), sg.load(folder), data()[0], "softmax").shape, sg.load(folder).joined("sample"))
    print(sg.predict(network(), list(runs), data()[0], "softmax").shape)
    print(sg.to_inference_data(runs, *data(), var_names=".*bias", projections=2, coords={"class": list("abc")}))
    sg.report(folder, data()[0], net=network(), likelihood="softmax", watch=1, path=folder.parent / "a.html")
    sg.plot.chain_traces(runs, targets={"temperature": 1.0})
    each = [sg.predict(network(), chain, data()[0], "softmax", samples=True) for chain in runs]
    sg.plot.function_space(each, names=["a", "b"])
    sg.plot.ranks([[s.potential for s in chain] for chain in runs], bins=3), sg.plot.r_hats([1.0, 1.2])
    sg.plot.error_by_chains([[5.0, 4.0], [3.0, 2.0]], {"SGD": 4.5}, log=True)
    sg.plot.pairs(np.stack([[s["1.bias"].asnumpy() for s in chain] for chain in runs]), chains=[0, 1])
    uncertainty = sg.metrics.entropy(each[0].mean(axis=0))
    sg.plot.risk_coverage(uncertainty, data()[1] > 0), sg.plot.ood_histograms(uncertainty, {"others": uncertainty})
    sg.plot.reliability(each[0].mean(axis=0), data()[1], confidence=0.9)
    sg.plot.predictive_bands(np.arange(40), each[0][..., 0], data=([0.0, 1.0], [1, 2]))
    diagnosed(runs)


def served(folder: Path) -> None:
    folder.mkdir()
    x, y = data()
    net, loader = network(), sg.data.ResumableLoader(gluon.data.ArrayDataset(x, y), 10)
    trainer = sg.BayesianTrainer(net, "sgld", {"learning_rate": 0.01}, CLASSES)
    trainer.sample(loader, 8)
    few = sg.thin(trainer.samples, 3, x, CLASSES, net=net)
    few.save(folder / "few")
    print(few, sg.thin(trainer.samples, 3, x, "softmax", net=net, weights="equal").distance)
    print(sg.export(few, net, folder / "model", CLASSES, members=True, data=x[:5]))
    curve = network(2)
    law, drawn = sg.likelihoods.Gaussian("learned"), [sg.Sample(dict(_arrays(curve)), step=1)]
    print(sg.export(drawn, curve, folder / "curve", law, quantiles=(0.05, 0.95), data=(x[:5],)))
    metric = sg.estimator.AverageMetric("nll")
    metric.update([mx.nd.array(y)], [mx.nd.array(trainer.predict(x))])
    print(metric.get())
    scores = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="fc")
    module = mx.mod.Module(mx.sym.SoftmaxOutput(scores, name="softmax"), context=mx.cpu())
    keep = sg.estimator.ModuleSamples(burn_in=2, thin=2, scalars=sg.estimator.Scalars(Writer()))
    module.fit(mx.io.NDArrayIter(x, y, batch_size=10), optimizer="sgld", num_epoch=2, batch_end_callback=keep,
               optimizer_params={"learning_rate": 0.01, "num_data": 40})
    print(sg.predict(keep.network(scores), keep.samples, x, "softmax").shape)
    handler = sg.estimator.SamplingHandler("sgnht", {"learning_rate": 0.01, "num_data": 40}, burn_in=2, thin=2,
                                           held_out=(x, y), scores=("nll",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # of what MXNet's Estimator thinks of the loss
        estimator = Estimator(network(), CLASSES, train_metrics=mx.metric.Accuracy())
    batches = gluon.data.DataLoader(gluon.data.ArrayDataset(x, y), batch_size=10)
    estimator.fit(batches, epochs=2, event_handlers=[handler])
    print(handler.history, handler.prediction.shape)


class Writer:
    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        print(tag, value, global_step)


def _arrays(net):
    return ((name, p.data().copy()) for name, p in net._collect_params_with_prefix().items())


def fitted(folder: Path) -> None:
    x, y = data()
    options = {"budget": "40 steps", "chains": 2, "samples": 8, "optimizer_params": {"learning_rate": 0.005}}
    found = sg.fit(network, CLASSES, x, y, warm_start=None, prior=1.0, store=folder, validation=0.2, **options)
    print(found, found.chosen, found.predict(x).shape, found.summary().verdict)
    print(found.resume("10 steps").held_out, found.looked_at[0].shape)
    regressor = sg.BayesianRegressor(hidden=4, activation="tanh", training=None, **options).fit(x, y)
    print(regressor.predict(x[:4], interval=0.9), regressor.predict(x, return_std=True), regressor.summary().verdict)
    print(regressor.predict(x, samples=True).shape, regressor.log_predictive_density(x, y).shape, regressor.score(x, y))
    classifier = sg.BayesianClassifier(hidden=(4,), activation="tanh", training=None, **options).fit(x, y.astype(int))
    print(classifier.predict(x).shape, classifier.predict_proba(x).shape, classifier.resume("10 steps").chosen_)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        every_sampler()
        stored(Path(folder) / "a")
        regression(Path(folder) / "b")
        other_likelihoods()
        several(Path(folder) / "c")
        tuned()
        served(Path(folder) / "d")
        fitted(Path(folder) / "e")
    try:
        sg.metrics.ece([[0.5, 0.5]], [0], bins=15.5)
    except typeguard.TypeCheckError:
        print("every value was held against its hint")
    else:
        sys.exit("nothing looks at the hints")


if __name__ == "__main__":
    main()
