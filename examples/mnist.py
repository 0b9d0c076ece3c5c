"""Full MNIST: train a network, then sample from where it stands, and average.

You will see a table with the test error, the negative log likelihood (NLL, nats an image) and the calibration error
(ECE) of the network that SGD found, of the last sample alone, and of the average over all samples, and in
pictures/mnist how the average gets better with every sample.

The defaults were chosen with --validate, which trains on the first 50,000 images and reports on the other 10,000; the
test images had no part in it. With --temperature 1 you see the posterior itself, which is worse: a "cold posterior".
"""
import argparse
import json

import _common as common
import mxnet as mx
import numpy as np

import sgmcmc_mx as sg


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sampler", choices=("sgd", "sgld", "sghmc", "sgnht"), default="sgnht", help="sgd: train only")
    add("--epochs", type=int, default=80, help="epochs of sampling")
    add("--learning-rate", type=float, default=0.2, help="its step size, on SGD's scale; the largest with --cycle")
    add("--friction", type=float, default=0.1, help="per step: 1 - momentum")
    add("--prior", type=float, default=10.0, help="precision of the weights' prior")
    add("--temperature", type=float, default=0.05, help="1 is the posterior, below 1 it is cold")
    add("--cycle", type=float, default=10.0, help="epochs in a cycle of the step size; 0: constant")
    add("--exploration", type=float, default=0.6, help="with --cycle: keep no samples in this first fraction of each "
        "cycle; 0: only the one at its end")
    add("--burn-in", type=float, default=0.0, help="epochs before the first sample")
    add("--thin", type=float, default=1.0, help="epochs between samples")
    add("--sgd-epochs", type=int, default=10)
    add("--sgd-learning-rate", type=float, default=0.1)
    add("--sgd-weight-decay", type=float, default=3e-4)
    add("--start", metavar="FILE", help="keep the SGD network here, or take it from here if the file is there")
    add("--hidden", type=int, nargs="*", default=[400, 400], help="units of the hidden layers")
    add("--batch", type=int, default=100)
    add("--validate", action="store_true", help="train on 50,000 of the training images, report on the other 10,000")
    add("--seed", type=int, default=0)
    add("--out", help="folder for the pictures (default pictures/mnist)")
    add("--json", metavar="FILE", help="write settings, table and curve here")
    add("--progress", action="store_true", help="show a progress bar")
    args = parser.parse_args()
    if args.cycle > args.epochs:
        parser.error(f"--cycle {args.cycle:g} is longer than the run of --epochs {args.epochs}: it would end without a "
                     "sample; write fewer, or --cycle 0")
    return args


def load(validate: bool) -> sg.datasets.Dataset:
    """MNIST, or with ``validate`` its training images alone, the last 10,000 in the place of the test images."""
    data = sg.datasets.mnist()
    if not validate:
        return data
    x, y = data.x_train, data.y_train
    return sg.datasets.Dataset(x[:50000], y[:50000], x[50000:], y[50000:])


def start(args, net, loss_fn, data) -> float:
    """Bring the network where SGD ends; returns the seconds it took, NaN where it was kept from before."""
    try:
        net.load_parameters(args.start or "")
        return float("nan")
    except (OSError, mx.base.MXNetError):
        pass
    batches = common.Batches(data.x_train, data.y_train, args.batch, args.seed)
    seconds = common.train_sgd(net, loss_fn, batches, args.sgd_epochs, args.sgd_learning_rate,
                               weight_decay=args.sgd_weight_decay)
    if args.start:
        net.save_parameters(args.start)
    return seconds


def make_trainer(args, net, loss_fn, num_data: int, epoch: int) -> sg.BayesianTrainer:
    """The sampler, and when it collects."""
    settings = {"learning_rate": args.learning_rate, "num_data": num_data, "wd": args.prior,
                "temperature": args.temperature}
    if args.sampler != "sgld":
        settings["friction"] = args.friction
    thin, cycle = max(1, round(args.thin * epoch)), round(args.cycle * epoch)
    if cycle:
        settings["lr_scheduler"] = sg.schedules.CyclicalScheduler(args.learning_rate, cycle, args.exploration or None)
        thin = thin if args.exploration else cycle
    return sg.BayesianTrainer(net, args.sampler, settings, likelihood=loss_fn, burn_in=round(args.burn_in * epoch),
                              thin=thin, seed=args.seed, progress=args.progress and args.epochs * epoch, kvstore=None)


def run(args, net, loss_fn, data):
    """Run the chain from where the network stands; returns trainer, trace and seconds."""
    batches = common.Batches(data.x_train, data.y_train, args.batch, args.seed + 1000)
    trainer = make_trainer(args, net, loss_fn, len(data.x_train), len(batches))
    trace, seconds = common.sample(trainer, loss_fn, batches, args.epochs * len(batches))
    return trainer, trace, seconds


def main() -> None:
    args = arguments()
    sg.tune_threads()       # MXNet starts with half of the cores
    mx.random.seed(args.seed)
    data, loss_fn = load(args.validate), sg.likelihoods.Categorical()
    net = common.mlp(784, args.hidden, 10)
    seconds = start(args, net, loss_fn, data)
    sgd = common.probabilities(net, data.x_test)
    rows, result = [common.score("SGD network", sgd, data.y_test, seconds)], None
    if args.sampler != "sgd":
        trainer, trace, seconds = run(args, net, loss_fn, data)
        each = trainer.predict(data.x_test, samples=True)
        result = common.averages(each, data.y_test, trainer.samples.weights)
        rows += [common.score("last sample alone", each[-1], data.y_test),
                 common.score(f"average of {len(each)} samples", result.probs, data.y_test, seconds)]
    common.print_table(rows)
    if result:
        folder = common.picture_folder(args.out, "mnist")
        common.draw(folder, data, sgd, each, result)
        common.draw_trace(folder, trace, args.temperature, None if args.cycle else args.friction)
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"settings": vars(args), "table": [r._asdict() for r in rows],
                       "curve": {k: np.round(v, 5).tolist() for k, v in result.curve.items()} if result else None},
                      file, indent=1)


if __name__ == "__main__":
    main()
