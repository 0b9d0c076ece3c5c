"""The post's claim in two minutes: with little data, an average over the posterior beats the single best network.

5,000 images of handwritten digits, a network 784-400-400-10, temperature 1. SGD with momentum and a tuned weight decay
trains a network. Then four short chains of SGNHT, each from an SGD network of its own, sample the posterior, and what
their samples predict for the 2,000 test images is averaged. 500 of the training images are kept apart: on them the
probabilities of either get a temperature (sg.calibrate), so that neither loses by being too sure or not sure enough.

You will see a table with the test error, the negative log likelihood (NLL, nats an image) and the calibration error
(ECE) of the SGD network, of one sample alone, of one chain's average, and of the average over all. A sample alone is
worse than the SGD network: it is one network that the data allow, not the best one. The average is the method.

Prior, step and SGD's weight decay are those that held-out training images chose for the record "little data"
(docs/records.md), where other methods stand beside it.

Pictures, in pictures/quickstart: least_sure (the digits the average is least sure of, and what it thinks of them),
reliability (how often it is right when it says 80 %), error_by_samples and nll_by_samples (what each further sample
is worth), and trace (potential, temperature and friction of
every chain: the thermostat at work).
"""
import argparse
import functools
import time
from typing import List

import _common as common
import mxnet as mx
import numpy as np

import sgmcmc_mx as sg

BATCH, CHAINS, SAMPLES, HELD_OUT = 100, 4, 60, 500      # SAMPLES: of each chain
PRIOR = {".*weight": sg.priors.Normal(variance=sg.priors.FanIn(100.0)), ".*bias": 1.0}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--steps", type=int, help="steps of each chain (default 3,500; without the compiled step 1,000)")
    add("--warm-epochs", type=int, default=20, help="of SGD before each chain (default %(default)s)")
    add("--sgd-epochs", type=int, default=20)
    add("--sgd-weight-decay", type=float, default=2e-3)
    add("--seed", type=int, default=0)
    add("--out", help="folder for the pictures (default pictures/quickstart)")
    add("--quick", action="store_true", help="a few steps, to see that it runs")
    args = parser.parse_args()
    if args.quick:
        args.steps, args.sgd_epochs, args.warm_epochs = args.steps or 100, 1, 1
    args.steps = args.steps or (3500 if sg.backend() == "native" else 1000)
    return args


def build(chain: sg.Chain, steps: int) -> sg.ChainSetup:
    """A chain on the digits: its network, data, prior and step, and when it collects samples."""
    data = sg.datasets.mnist_small()
    loader = sg.data.ArrayLoader(data.x_train[HELD_OUT:], data.y_train[HELD_OUT:], batch_size=BATCH)
    burn_in = 3 * steps // 10
    return sg.ChainSetup(common.mlp(784, [400, 400], 10), sg.likelihoods.Categorical(), loader, "sgnht",
                         {"learning_rate": 0.02, "friction": 0.05, "prior": PRIOR}, burn_in=burn_in,
                         thin=max(1, (steps - burn_in) // SAMPLES))


def calibrated(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the test images, at the temperature that fits the held-out ones, which come first, best."""
    return sg.calibrate(probs[:HELD_OUT], labels[:HELD_OUT])(probs[HELD_OUT:])


def main() -> None:
    args = arguments()
    mx.random.seed(args.seed)
    data = sg.datasets.mnist_small()
    x = np.concatenate([data.x_train[:HELD_OUT], data.x_test])
    labels = np.concatenate([data.y_train[:HELD_OUT], data.y_test])

    print(f"SGD, {args.sgd_epochs} epochs ...")
    net, likelihood = common.mlp(784, [400, 400], 10), sg.likelihoods.Categorical()
    batches = common.Batches(data.x_train[HELD_OUT:], data.y_train[HELD_OUT:], BATCH, args.seed)
    sgd_seconds = common.train_sgd(net, likelihood, batches, args.sgd_epochs, weight_decay=args.sgd_weight_decay)
    sgd = calibrated(common.probabilities(net, x), labels)

    print(f"{CHAINS} chains of SGNHT, {args.warm_epochs} epochs of SGD and {args.steps:,} steps each ...")
    start = time.perf_counter()
    warm_start = sg.WarmStart("sgd", {"learning_rate": 0.1, "momentum": 0.9, "wd": 3e-4}, epochs=args.warm_epochs)
    runs = sg.sample_chains(functools.partial(build, steps=args.steps), CHAINS, steps=args.steps, seed=args.seed,
                            warm_start=warm_start)
    seconds = time.perf_counter() - start
    each: List[np.ndarray] = [sg.predict(net, chain, x, likelihood, samples=True) for chain in runs]
    result = common.averages(np.concatenate(each)[:, HELD_OUT:], data.y_test)
    average = calibrated(np.concatenate(each).mean(axis=0), labels)

    count = sum(map(len, each))
    common.print_table([common.score("SGD network", sgd, data.y_test, sgd_seconds),
                        common.score("one sample alone", each[0][-1][HELD_OUT:], data.y_test),
                        common.score("average of one chain", calibrated(each[0].mean(axis=0), labels), data.y_test),
                        common.score(f"average of {count} samples", average, data.y_test, seconds)])
    folder = common.picture_folder(args.out, "quickstart")
    common.draw(folder, data, sgd, np.concatenate(each)[:, HELD_OUT:], result._replace(probs=average))
    common.save(sg.plot.chain_traces(runs, targets={"temperature": 1.0}), folder, "trace")


if __name__ == "__main__":
    main()
