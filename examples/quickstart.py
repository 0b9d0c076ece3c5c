"""The post's claim in two minutes: with little data, an average over the posterior beats the single best network.

5,000 images of handwritten digits, a network 784-400-400-10. First SGD with momentum trains it. Then SGNHT starts from
those weights and samples the posterior at temperature 1, and what every sample predicts for the 2,000 test images is
averaged. You will see a table with the test error, the negative log likelihood (NLL, nats an image) and the calibration
error (ECE) of the SGD network, of the last sample alone, and of the average. A sample alone is worse than the SGD
network: it is one network that the data allow, not the best one. The average is the method.

sg.suggest measures minibatch noise and curvature on the training images, judges the step given and proposes friction,
thermostat, burn-in and thinning, each with its reason. With a weight decay tuned for it
(--sgd-weight-decay 0.002) the SGD network is better calibrated than the average and level in NLL; in error it stays
behind.

Pictures, in pictures/quickstart: least_sure (the digits the average is least sure of, and what it thinks of them),
reliability (how often it is right when it says 80 %), error_by_samples and nll_by_samples (what each further sample
is worth), and trace (temperature and friction: the thermostat at work).
"""
import argparse

import _common as common
import mxnet as mx

import sgmcmc_mx as sg


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--steps", type=int, help="steps of sampling (default 28,000; without the compiled step 6,000)")
    add("--sgd-epochs", type=int, default=20)
    add("--sgd-weight-decay", type=float, default=3e-4)
    add("--seed", type=int, default=0)
    add("--out", help="folder for the pictures (default pictures/quickstart)")
    add("--quick", action="store_true", help="a few steps, to see that it runs")
    args = parser.parse_args()
    if args.quick:
        args.steps, args.sgd_epochs = args.steps or 100, 1
    args.steps = args.steps or (28000 if sg.backend() == "native" else 6000)
    return args


def main() -> None:
    args = arguments()
    mx.random.seed(args.seed)
    data = sg.datasets.mnist_small()
    batches = common.Batches(data.x_train, data.y_train, 100, args.seed)
    net, loss_fn = common.mlp(784, [400, 400], 10), sg.likelihoods.Categorical()

    print(f"SGD, {args.sgd_epochs} epochs ...")
    sgd_seconds = common.train_sgd(net, loss_fn, batches, args.sgd_epochs, weight_decay=args.sgd_weight_decay)
    sgd = common.probabilities(net, data.x_test)

    advice = sg.suggest(net, loss_fn, (data.x_train, data.y_train), "sgnht", {"wd": 3.0, "learning_rate": 0.02},
                        batch_size=100, steps=args.steps, pilot=30 if args.quick else 300)
    print(f"{advice}\nSGNHT from there, {args.steps} steps ...")
    trainer = sg.BayesianTrainer(net, advice.optimizer, advice.optimizer_params, likelihood=loss_fn, seed=args.seed,
                                 kvstore=None, **advice.trainer_params)
    trace, seconds = common.sample(trainer, loss_fn, batches, args.steps)
    each = trainer.predict(data.x_test, samples=True)
    result = common.averages(each, data.y_test)

    common.print_table([common.score("SGD network", sgd, data.y_test, sgd_seconds),
                        common.score("last sample alone", each[-1], data.y_test),
                        common.score(f"average of {len(each)} samples", result.probs, data.y_test, seconds)])
    folder = common.picture_folder(args.out, "quickstart")
    common.draw(folder, data, sgd, each, result)
    common.draw_trace(folder, trace, temperature=1.0, friction=advice.friction)


if __name__ == "__main__":
    main()
