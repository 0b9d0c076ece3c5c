"""Full MNIST at temperature 1: four chains of the posterior, each from an SGD network of its own, and their average.

The network is that of Korattikara et al. (2015), 784-400-400-10. Neighbouring pixels have like weights in the first
layer (--lengthscale), for the SGD network as for the chains, and the likelihood says that hardly any label is wrong
(--alpha).

You will see a table with the test error, the negative log likelihood (NLL, nats an image) and the calibration error
(ECE) of a network that SGD found, of the last sample alone, of one chain's average and of the average over all, and in
pictures/mnist how the average gets better with every sample.

The defaults are those that held-out training images chose for the record of this network (docs/records.md). --validate
trains on the first 50,000 images and reports on the other 10,000.
"""
import argparse
import functools
import json
import time
from typing import Any, Dict

import _common as common
import mxnet as mx
import numpy as np

import sgmcmc_mx as sg


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sampler", choices=("sgd", "sgld", "sghmc", "sgnht"), default="sgnht", help="sgd: train only")
    add("--chains", type=int, default=4, help="each in a process of its own")
    add("--epochs", type=float, default=20.0, help="epochs of sampling, each chain (default %(default)g)")
    add("--learning-rate", type=float, default=0.002, help="step size, on SGD's scale; the largest with --cycle")
    add("--friction", type=float, default=0.05, help="per step: 1 - momentum")
    add("--prior", type=float, default=10.0, help="the prior of the weights is N(0, this / fan_in)")
    add("--lengthscale", type=float, default=1.0, help="of the first layer's prior, in pixels; 0: independent pixels")
    add("--alpha", type=float, default=1e-4, help="of the noisy Dirichlet likelihood; 0: softmax")
    add("--temperature", type=float, default=1.0, help="1 is the posterior, below 1 it is cold")
    add("--cycle", type=float, default=0.0, help="epochs in a cycle of the step size; 0: constant")
    add("--exploration", type=float, default=0.6, help="with --cycle: keep no samples in this first fraction of each "
        "cycle; 0: only the one at its end")
    add("--burn-in", type=float, default=6.0, help="epochs before the first sample")
    add("--thin", type=float, default=0.35, help="epochs between samples")
    add("--warm-epochs", type=int, default=5, help="of SGD before each chain")
    add("--sgd-epochs", type=int, default=20)
    add("--sgd-learning-rate", type=float, default=0.1)
    add("--sgd-weight-decay", type=float, default=3e-4)
    add("--hidden", type=int, nargs="*", default=[400, 400], help="units of the hidden layers")
    add("--batch", type=int, default=100)
    add("--validate", action="store_true", help="train on 50,000 of the training images, report on the other 10,000")
    add("--seed", type=int, default=0)
    add("--store", metavar="FOLDER", help="keep samples and checkpoints there; started again, it goes on")
    add("--out", help="folder for the pictures (default pictures/mnist)")
    add("--json", metavar="FILE", help="write settings, table and curve here")
    add("--progress", action="store_true", help="show a progress bar")
    args = parser.parse_args()
    for name in ("chains", "sgd_epochs", "batch"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} {getattr(args, name)}: write 1 or more")
    if args.cycle > args.epochs:
        parser.error(f"--cycle {args.cycle:g} is longer than the run of --epochs {args.epochs:g}: it would end without "
                     "a sample; write fewer, or --cycle 0")
    if args.burn_in >= args.epochs:
        parser.error(f"--burn-in {args.burn_in:g} takes all of --epochs {args.epochs:g}: no sample would be kept; "
                     "write a shorter one")
    return args


def load(args: argparse.Namespace) -> sg.datasets.Dataset:
    """MNIST; with ``--validate`` its last 10,000 training images in the place of the test images."""
    data = sg.datasets.mnist()
    if not args.validate:
        return data
    x, y = data.x_train, data.y_train
    return sg.datasets.Dataset(x[:50000], y[:50000], x[50000:], y[50000:])


def seen(images: sg.datasets.Dataset, args: argparse.Namespace) -> sg.datasets.Dataset:
    """The images as the network sees them."""
    return common.smoothed(images, args.lengthscale) if args.lengthscale else images


def likelihood_of(args: argparse.Namespace) -> Any:
    return sg.likelihoods.NoisyDirichlet(args.alpha) if args.alpha else sg.likelihoods.Categorical()


def build(chain: sg.Chain, args: argparse.Namespace) -> sg.ChainSetup:
    """A chain: its network, data, prior and step, and when it collects samples."""
    data = seen(load(args), args)
    loader = sg.data.ArrayLoader(data.x_train, data.y_train, batch_size=args.batch)
    epoch = len(loader)
    settings: Dict[str, Any] = {
        "learning_rate": args.learning_rate, "temperature": args.temperature,
        "prior": {".*weight": sg.priors.Normal(variance=sg.priors.FanIn(args.prior)), ".*bias": 1.0}}
    if args.sampler != "sgld":
        settings["friction"] = args.friction
    thin, cycle = max(1, round(args.thin * epoch)), round(args.cycle * epoch)
    if cycle:
        settings["lr_scheduler"] = sg.schedules.CyclicalScheduler(args.learning_rate, cycle, args.exploration or None)
        thin = thin if args.exploration else cycle
    return sg.ChainSetup(common.mlp(784, args.hidden, 10), likelihood_of(args), loader, args.sampler, settings,
                         burn_in=round(args.burn_in * epoch), thin=thin)


def main() -> None:
    args = arguments()
    sg.tune_threads()       # MXNet starts with half of the cores
    mx.random.seed(args.seed)
    images, net = load(args), common.mlp(784, args.hidden, 10)
    data = seen(images, args)
    batches = common.Batches(data.x_train, data.y_train, args.batch, args.seed)
    seconds = common.train_sgd(net, sg.likelihoods.Categorical(), batches, args.sgd_epochs, args.sgd_learning_rate,
                               weight_decay=args.sgd_weight_decay)
    sgd = common.probabilities(net, data.x_test)
    rows, result = [common.score("SGD network", sgd, data.y_test, seconds)], None
    if args.sampler != "sgd":
        steps, lr = args.warm_epochs * len(batches), args.sgd_learning_rate
        schedule = mx.lr_scheduler.CosineScheduler(steps, base_lr=lr, final_lr=lr / 10)
        warm_start = sg.WarmStart(
            "sgd", {"learning_rate": lr, "momentum": 0.9, "wd": args.sgd_weight_decay, "lr_scheduler": schedule},
            steps=steps, likelihood=sg.likelihoods.Categorical())
        start = time.perf_counter()
        runs = sg.sample_chains(functools.partial(build, args=args), args.chains, seed=args.seed, store=args.store,
                                steps=round(args.epochs * len(batches)), warm_start=warm_start, progress=args.progress)
        seconds = time.perf_counter() - start
        each = [sg.predict(net, chain, data.x_test, likelihood_of(args), samples=True) for chain in runs]
        result = common.averages(np.concatenate(each), data.y_test)
        rows += [common.score("last sample alone", each[0][-1], data.y_test),
                 common.score("average of one chain", each[0].mean(axis=0), data.y_test),
                 common.score(f"average of {sum(map(len, each))} samples", result.probs, data.y_test, seconds)]
    common.print_table(rows)
    if result:
        folder = common.picture_folder(args.out, "mnist")
        common.draw(folder, images, sgd, np.concatenate(each), result)
        common.save(sg.plot.chain_traces(runs, targets={"temperature": args.temperature}), folder, "trace")
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"settings": vars(args), "table": [r._asdict() for r in rows],
                       "curve": {k: np.round(v, 5).tolist() for k, v in result.curve.items()} if result else None},
                      file, indent=1)


if __name__ == "__main__":
    main()
