"""From a trained network to a posterior over its last layer.

SGD trains a network 784-400-400-10 on 5,000 images of handwritten digits. Then all but the last layer is
frozen (grad_req='null'), and SGNHT samples the 4,010 weights of the last layer at temperature 1. What does not move is
kept once and not with every sample, and predict runs it once for all samples.

You will see a table with the test error, the negative log likelihood (NLL, nats an image) and the calibration error
(ECE) of the SGD network and of the average, and what a sample takes in a folder and in a prediction, beside what it
would take if all weights moved. The features stay those that SGD has found, so that the average corrects how sure the
network is rather than what it sees.

Picture, in pictures/pretrained: reliability (how often each is right when it says 80 %).
"""
import argparse
import tempfile
import time
from pathlib import Path

import _common as common
import mxnet as mx

import sgmcmc_mx as sg


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--layers", type=int, default=1, help="how many layers are sampled, from the last")
    add("--steps", type=int, help="steps of sampling (default 10,000)")
    add("--sgd-epochs", type=int, default=20)
    add("--seed", type=int, default=0)
    add("--validate", action="store_true", help="score on 1,000 of the training images, with which settings are chosen")
    add("--learning-rate", type=float, default=0.1)
    add("--prior", type=float, default=30.0, help="precision of the prior of the sampled weights")
    add("--out", help="folder for the picture (default pictures/pretrained)")
    add("--quick", action="store_true", help="a few steps, to see that it runs")
    args = parser.parse_args()
    if args.quick:
        args.steps, args.sgd_epochs = args.steps or 300, 1
    args.steps = args.steps or 10000
    return args


def main() -> None:
    args = arguments()
    mx.random.seed(args.seed)
    data = sg.datasets.mnist_small()
    x, y, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test
    if args.validate:
        x, y, x_test, y_test = x[:4000], y[:4000], x[4000:], y[4000:]
    batches = common.Batches(x, y, 100, args.seed)
    net, loss_fn = common.mlp(784, [400, 400], 10), sg.likelihoods.Categorical()

    print(f"SGD, {args.sgd_epochs} epochs ...")
    sgd_seconds = common.train_sgd(net, loss_fn, batches, args.sgd_epochs, weight_decay=3e-4)
    sgd = common.probabilities(net, x_test)

    for layer in net[:-args.layers]:
        layer.collect_params().setattr("grad_req", "null")
    net.hybridize(static_alloc=True)        # compiled anew, with fewer gradients
    print(f"SGNHT on the last {args.layers} of {len(net)} layers, {args.steps} steps ...")
    with tempfile.TemporaryDirectory() as folder:
        params = {"learning_rate": args.learning_rate, "num_data": len(x), "wd": args.prior, "friction": 0.1}
        trainer = sg.BayesianTrainer(net, "sgnht", params, loss_fn, burn_in=args.steps // 5, thin=max(1, args.steps // 200),
                                     seed=args.seed, kvstore=None, store=folder)
        _, seconds = common.sample(trainer, loss_fn, batches, args.steps)
        trainer.close()
        samples = sg.load(folder)
        start = time.perf_counter()
        probs = sg.predict(net, samples, x_test, "softmax")
        one_trunk = time.perf_counter() - start
        apart = sg.MemoryStore([sg.Sample({n: a.copy() for n, a in s.items()}, s.step, s.weight) for s in samples])
        start = time.perf_counter()
        sg.predict(net, apart, x_test, "softmax")
        whole = time.perf_counter() - start
        size = sum(f.stat().st_size for f in Path(folder).glob("sample-*.params")) / len(samples)

    common.print_table([common.score("SGD network", sgd, y_test, sgd_seconds),
                        common.score(f"average of {len(samples)} samples", probs, y_test, seconds)])
    every = sum(a.size for a in apart[0].values()) * 4
    print(f"a sample takes {size / 1000:.1f} kB in a folder; with all weights it would take {every / 1000:,.0f} kB")
    print(f"predict takes {one_trunk:.2f} s; run as if all weights moved it takes {whole:.2f} s\n")
    ax = sg.plot.reliability(sgd, y_test, label="SGD network")
    common.save(sg.plot.reliability(probs, y_test, ax=ax, label="average over the last layer"),
                common.picture_folder(args.out, "pretrained"), "reliability")


if __name__ == "__main__":
    main()
