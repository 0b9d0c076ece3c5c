"""A probability distribution over new data, in one dimension.

A small network learns a curve from a handful of noisy observations that leave a gap. You will see a picture
(pictures/regression/band.png) with two bands: where the function lies, which widens where there are no data, and
where a new observation falls, which adds the noise that is there everywhere. The table says the same in numbers: the
standard deviation of a prediction, split into noise and weights, and how often a 95 % interval holds a new observation,
near the data and away from them.
"""
import argparse

import _common as common
import mxnet as mx
import numpy as np

import sgmcmc_mx as sg
from sgmcmc_mx import plot

NOISE = 0.2
NEAR = 0.15     # nearer to an observation than this counts as "among the data"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sampler", choices=("sgld", "sghmc", "sgnht"), default="sgnht")
    add("--steps", type=int, default=25000)
    add("--learning-rate", type=float, default=1e-4)
    add("--friction", type=float, default=0.01)
    add("--data", type=int, default=60, help="observations; every step sees them all")
    add("--seed", type=int, default=0)
    add("--out", help="folder for the picture (default pictures/regression)")
    return parser.parse_args()


def truth(x: np.ndarray) -> np.ndarray:
    """The curve behind the data."""
    return np.sin(2.0 * x) + 0.3 * x


def observe(args):
    """Noisy observations in [-2, -0.7] and [0.6, 2], none between and none outside; shape (n, 1) each."""
    random = np.random.RandomState(args.seed)
    left = random.uniform(-2.0, -0.7, args.data // 2)
    right = random.uniform(0.6, 2.0, args.data - args.data // 2)
    x = np.sort(np.concatenate([left, right]))[:, None]
    return x, truth(x) + NOISE * random.standard_normal(x.shape), random


def sample(args, x: np.ndarray, y: np.ndarray) -> sg.BayesianTrainer:
    """Train a little, so that the chain does not begin on a slope, then sample."""
    net, loss_fn = common.mlp(1, [50, 50], 1), sg.likelihoods.Gaussian(sigma=NOISE)
    batches = common.Batches(x, y, len(x), args.seed)
    common.train_sgd(net, loss_fn, batches, 1000, learning_rate=2e-4)
    settings = {"learning_rate": args.learning_rate, "num_data": len(x),
                # Twice the variance of the initial weights, and biases wide enough for a bend anywhere from -3 to 3.
                "prior": {".*weight": sg.priors.FanIn(4.0), ".*bias": 0.25}}
    if args.sampler != "sgld":
        settings["friction"] = args.friction
    trainer = sg.BayesianTrainer(net, args.sampler, settings, likelihood=loss_fn, burn_in=args.steps // 5,
                                 thin=max(1, args.steps // 500), seed=args.seed, kvstore=None)
    common.sample(trainer, loss_fn, batches, args.steps)
    return trainer


def main() -> None:
    args = arguments()
    sg.tune_threads()       # MXNet starts with half of the cores
    mx.random.seed(args.seed)
    x, y, random = observe(args)
    trainer = sample(args, x, y)
    grid = np.linspace(-3.0, 3.0, 400)[:, None]
    prediction = trainer.predict(grid, quantiles=(0.025, 0.975))

    # New observations at every point of the grid, to see how often the interval holds them.
    fresh = truth(grid) + NOISE * random.standard_normal((400, 200))
    low, high = prediction.quantiles
    held = ((fresh >= low) & (fresh <= high)).mean(axis=1)
    distance = np.abs(grid - x.T).min(axis=1)
    inside = (grid[:, 0] > x.min()) & (grid[:, 0] < x.max())
    print(f"\n{len(trainer.samples)} samples of {args.steps} steps; standard deviations are means over the region\n")
    print("where               std   of noise   of weights   new observations in the 95 % interval")
    for name, where in (("among the data", distance < NEAR), ("in the gap", (distance >= NEAR) & inside),
                        ("outside", (distance >= NEAR) & ~inside)):
        std, noise, weights = (a[where, 0].mean() for a in
                               (prediction.std, prediction.noise_std, prediction.weight_std))
        print(f"{name:16} {std:6.3f}   {noise:8.3f}   {weights:10.3f}   {100 * held[where].mean():14.1f} %")
    print()
    ax = plot.band(grid, prediction.mean, prediction.std, prediction.weight_std, data=(x, y), truth=truth(grid))
    ax.set_ylim(-3, 3)
    common.save(ax, common.picture_folder(args.out, "regression"), "band")


if __name__ == "__main__":
    main()
