"""A run that can be stopped at any moment and goes on where it was: Ctrl-C, pull the plug, kill -9, and call it again.

It samples on 5,000 digits from random weights and keeps samples and checkpoints in a folder. Called again with the same
folder it resumes. At the end it prints the error of the average, and a checksum of all predictions: they are the same,
bit for bit, however often the run was interrupted, and another folder with the same seed gives them too.
"""
import argparse
import hashlib

import _common as common
import mxnet as mx
from mxnet import gluon

import sgmcmc_mx as sg


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--folder", default="runs/interrupted", help="where samples and checkpoints are kept (default %(default)s)")
    add("--epochs", type=int, default=120)
    add("--burn-in", type=int, default=1000, help="steps (default %(default)s)")
    add("--seed", type=int, default=0)
    return parser.parse_args()


def start(args, net, loss_fn, loader) -> sg.BayesianTrainer:
    """The run of this folder: the one that is there, or a new one."""
    settings = {"learning_rate": 0.05, "num_data": loader.place.length, "wd": 10.0}
    trainer = sg.BayesianTrainer.begin_or_resume(net, "sgnht", settings, loss_fn, burn_in=args.burn_in,
                                                 thin=100, seed=args.seed, kvstore=None, store=args.folder,
                                                 checkpoint_every=100, data=loader)
    if trainer.num_steps:
        print(f"resumed at step {trainer.num_steps}, with {len(trainer.samples)} samples")
    return trainer


def main() -> None:
    args = arguments()
    sg.tune_threads()       # MXNet starts with half of the cores
    mx.random.seed(args.seed)
    data, loss_fn = sg.datasets.mnist_small(), sg.likelihoods.Categorical()
    net = common.mlp(784, [100], 10)
    loader = sg.data.ResumableLoader(gluon.data.ArrayDataset(data.x_train, data.y_train), 100, seed=args.seed)
    with start(args, net, loss_fn, loader) as trainer:
        while loader.epoch < args.epochs:
            for x, y in loader:
                common.gradient(net, loss_fn, x, y)
                trainer.step(len(x))
        probs = trainer.predict(data.x_test)
        print(f"step {trainer.num_steps}, {trainer.samples}")
    print(f"error of the average {100 - 100 * sg.metrics.accuracy(probs, data.y_test):.2f} %, "
          f"NLL {sg.metrics.nll(probs, data.y_test):.4f}")
    print(f"predictions {hashlib.sha256(probs.tobytes()).hexdigest()[:16]}")


if __name__ == "__main__":
    main()
