"""The post's claim in a minute: with little data, an average over the posterior beats the single best network.

5,000 images of handwritten digits, a network 784-400-400-10, temperature 1. SGD with momentum and a tuned weight decay
trains a network. Then four short chains of SGNHT, each from a trained network of its own, sample the posterior, and
what their samples predict for the 2,000 test images is averaged.

Two things say what is known before the images are seen. Neighbouring pixels have like weights in the first layer
(sg.priors.CorrelatedInputs; SGD has that too, for its weight decay is a prior). And the labels were checked, so that
hardly any is wrong (sg.likelihoods.NoisyDirichlet).

You will see a table with the test error, the negative log likelihood (NLL, nats an image) and the calibration error
(ECE) of the SGD network, of one sample alone, of one chain's average, and of the average over all. A sample alone is
one network that the data allow: it has no more errors than the SGD network, and is too sure of them. The average is
the method.

All settings were chosen on training images that were held out; the test images had no part in it.

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

BATCH, CHAINS, SAMPLES = 100, 4, 60         # SAMPLES: of each chain
PRIOR = {".*weight": sg.priors.Normal(variance=sg.priors.FanIn(10.0)), ".*bias": 1.0}
LIKELIHOOD = sg.likelihoods.NoisyDirichlet(alpha=1e-4)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--steps", type=int, help="steps of each chain (default 1,500; without the compiled step 700)")
    add("--warm-epochs", type=int, default=20, help="of Adam before each chain (default %(default)s)")
    add("--sgd-epochs", type=int, default=60)
    add("--sgd-weight-decay", type=float, default=2e-3)
    add("--seed", type=int, default=0)
    add("--out", help="folder for the pictures (default pictures/quickstart)")
    add("--quick", action="store_true", help="a few steps, to see that it runs")
    args = parser.parse_args()
    if args.quick:
        args.steps, args.sgd_epochs, args.warm_epochs = args.steps or 100, 1, 1
    args.steps = args.steps or (1500 if sg.backend() == "native" else 700)
    return args


def build(chain: sg.Chain, steps: int) -> sg.ChainSetup:
    """A chain on the digits: its network, data, prior and step, and when it collects samples."""
    data = common.smoothed(sg.datasets.mnist_small())
    loader = sg.data.ArrayLoader(data.x_train, data.y_train, batch_size=BATCH)
    burn_in = 3 * steps // 10
    return sg.ChainSetup(common.mlp(784, [400, 400], 10), LIKELIHOOD, loader, "sgnht",
                         {"learning_rate": 0.003, "friction": 0.05, "prior": PRIOR}, burn_in=burn_in,
                         thin=max(1, (steps - burn_in) // SAMPLES))


def main() -> None:
    args = arguments()
    mx.random.seed(args.seed)
    data = common.smoothed(sg.datasets.mnist_small())

    print(f"SGD, {args.sgd_epochs} epochs ...")
    net = common.mlp(784, [400, 400], 10)
    batches = common.Batches(data.x_train, data.y_train, BATCH, args.seed)
    sgd_seconds = common.train_sgd(net, sg.likelihoods.Categorical(), batches, args.sgd_epochs,
                                   weight_decay=args.sgd_weight_decay)
    sgd = common.probabilities(net, data.x_test)

    print(f"{CHAINS} chains of SGNHT, {args.warm_epochs} epochs of Adam and {args.steps:,} steps each ...")
    start = time.perf_counter()
    runs = sg.sample_chains(functools.partial(build, steps=args.steps), CHAINS, steps=args.steps, seed=args.seed,
                            warm_start=sg.WarmStart("adam", epochs=args.warm_epochs))
    seconds = time.perf_counter() - start
    each: List[np.ndarray] = [sg.predict(net, chain, data.x_test, LIKELIHOOD, samples=True) for chain in runs]
    result = common.averages(np.concatenate(each), data.y_test)

    common.print_table([common.score("SGD network", sgd, data.y_test, sgd_seconds),
                        common.score("one sample alone", each[0][-1], data.y_test),
                        common.score("average of one chain", each[0].mean(axis=0), data.y_test),
                        common.score(f"average of {sum(map(len, each))} samples", result.probs, data.y_test, seconds)])
    folder = common.picture_folder(args.out, "quickstart")
    common.draw(folder, sg.datasets.mnist_small(), sgd, np.concatenate(each), result)
    common.save(sg.plot.chain_traces(runs, targets={"temperature": 1.0}), folder, "trace")


if __name__ == "__main__":
    main()
