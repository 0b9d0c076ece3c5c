"""One chain against four short ones at the same number of gradients, on 5,000 digits.

Each of the four is trained from initial weights of its own and then sampled for a quarter of the steps. The one chain
gets the gradients of all four: it is trained once, and sampled for the rest. Four processes share the cores. Called
again with the same folder it goes on where it was, or shows what is there.
"""
import argparse
import functools
import os

import _common as common
import numpy as np

import sgmcmc_mx as sg

BATCH, CHAINS, EPOCH = 100, 4, 50       # EPOCH: steps


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--folder", default="runs/chains", help="where samples and checkpoints are kept (default %(default)s)")
    add("--steps", type=int, default=4000, help="of each of the four chains (default %(default)s)")
    add("--warm-epochs", type=int, default=10)
    add("--seed", type=int, default=0)
    add("--quick", action="store_true", help="a few steps only, to see it run")
    add("--out", help="folder for pictures (default pictures/chains)")
    return parser.parse_args()


def build(chain: sg.Chain, burn_in: int, thin: int) -> sg.ChainSetup:
    """A chain on the digits. Its initial weights and the order of its batches follow from its seed."""
    data = sg.datasets.mnist_small()
    net = common.mlp(784, [100], 10)
    loader = sg.data.ArrayLoader(data.x_train, data.y_train, batch_size=BATCH)
    return sg.ChainSetup(net, sg.likelihoods.Categorical(), loader, "sgnht", {"learning_rate": 0.05, "wd": 10.0},
                         burn_in=burn_in, thin=thin)


def sampled(args, name: str, chains: int, steps: int, samples: int) -> sg.Runs:
    """Chains of so many steps, half of them burn-in at most, with so many samples each."""
    burn_in = min(steps, args.steps) // 2
    warm_start = sg.WarmStart("sgd", {"learning_rate": 0.1, "momentum": 0.9}, epochs=args.warm_epochs)
    of_these = functools.partial(build, burn_in=burn_in, thin=(steps - burn_in) // samples)
    return sg.sample_chains(of_these, chains, steps=steps, seed=args.seed, warm_start=warm_start, progress=True,
                            store=os.path.join(args.folder, name))


def main() -> None:
    args = arguments()
    if args.quick:
        args.steps, args.warm_epochs = min(args.steps, 40), 1
    warm, samples = args.warm_epochs * EPOCH, min(20, args.steps // 4)
    steps = CHAINS * args.steps + (CHAINS - 1) * warm
    one = sampled(args, "one", 1, steps, CHAINS * samples)
    four = sampled(args, "four", CHAINS, args.steps, samples)
    data = sg.datasets.mnist_small()
    print(f"gradients: {warm + steps} for one chain, {CHAINS * (warm + args.steps)} for {CHAINS}")
    each = [one.predict(data.x_test, samples=True)]
    each += [sg.predict(common.mlp(784, [100], 10), chain, data.x_test, "softmax", samples=True) for chain in four]
    rows = [common.score(f"one chain, {len(one.samples)} samples", each[0].mean(axis=0), data.y_test)]
    rows += [common.score(f"chain {k} of {CHAINS} alone", probs.mean(axis=0), data.y_test)
             for k, probs in enumerate(each[1:])]
    rows.append(common.score(f"{CHAINS} chains, {len(four.samples)} samples", four.predict(data.x_test), data.y_test))
    common.print_table(rows)
    ax = sg.plot.function_space(each, names=["one chain", *(f"chain {k}" for k in range(CHAINS))])
    common.save(ax, common.picture_folder(args.out, "chains"), "function_space")
    try:
        rhat = sg.diagnostics.rhat(four, data.x_test, data.y_test)
    except ImportError as e:
        print(e)
        return
    print(f"R-hat of log p(y | x) over the {CHAINS} chains: median {np.median(rhat):.2f}, of {(rhat > 1.1).mean():.0%} "
          f"of the test digits above 1.1, largest {rhat.max():.2f}")


if __name__ == "__main__":
    main()
