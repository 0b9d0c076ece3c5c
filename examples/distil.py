"""From 400 samples to one network: thinned, written for plain MXNet, and distilled.

5,000 images of handwritten digits, a network 784-50-10. SGNHT samples its posterior, and the average over 400 samples
is what one wants to serve. There are three ways to make it smaller, and the table shows what each of them costs in test
error, negative log likelihood (NLL, nats an image) and calibration error (ECE):

- sg.thin chooses 20 samples, and weights, whose average is nearest to that of all.
- sg.export writes those 20 as one model, which MXNet loads without this package. It is read back here, and asked.
- Distillation trains one network to say what the average says (Hinton, Vinyals & Dean 2015; of a posterior:
  Korattikara et al. 2015). It minimises the cross-entropy between the average's probabilities and its own. It needs
  inputs and no labels, so that it is shown each training image several times, moved by up to two pixels: on the
  training images alone the average has little to teach, for it is sure of them.

The last row is the same network trained as ever, on the labels of the training images, by as many steps: what one would
serve without the average. (Trained on the labels of the moved images it is better than all of them: that a digit that
was moved is the same digit is something that the average was never told.)
"""
import argparse

import _common as common
import mxnet as mx
import numpy as np
from mxnet import gluon

import sgmcmc_mx as sg

HIDDEN = 200        # of the student


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--samples", type=int, default=400)
    add("--keep", type=int, default=20, help="samples that are kept by sg.thin")
    add("--epochs", type=int, default=15, help="epochs of the distillation")
    add("--seed", type=int, default=0)
    add("--out", help="folder for the model (default pictures/distil)")
    add("--quick", action="store_true", help="a few steps, to see that it runs")
    args = parser.parse_args()
    if args.quick:
        args.samples, args.keep, args.epochs = 8, 3, 1
    return args


def sampled(data: sg.datasets.Dataset, samples: int, seed: int) -> sg.BayesianTrainer:
    """A chain of the small network, from random weights."""
    net = common.mlp(784, [50], 10)
    options = {"learning_rate": 0.03, "num_data": len(data.x_train), "wd": 10.0, "friction": 0.03}
    trainer = sg.BayesianTrainer(net, "sgnht", options, sg.likelihoods.Categorical(), burn_in=3000, thin=40, seed=seed)
    batches = sg.data.ArrayLoader(data.x_train, data.y_train, batch_size=100)
    return trainer.sample(batches, 3000 + 40 * samples)


def moved(images: np.ndarray, generator: np.random.RandomState) -> np.ndarray:
    """Each image moved by up to two pixels, up or down and to a side."""
    padded = np.pad(images.reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))
    down, right = generator.randint(5, size=(2, len(images)))
    return np.stack([a[i:i + 28, j:j + 28] for a, i, j in zip(padded, down, right)]).reshape(images.shape)


def student(x: np.ndarray, targets: np.ndarray, epochs: int, seed: int) -> gluon.Block:
    """A network trained to say what ``targets`` says: probabilities of classes, (n, classes)."""
    net = common.mlp(784, [HIDDEN], 10)
    loss = gluon.loss.SoftmaxCrossEntropyLoss(sparse_label=False)
    common.train_sgd(net, loss, common.Batches(x, targets, 100, seed), epochs, learning_rate=0.1)
    return net


def main() -> None:
    args = arguments()
    mx.random.seed(args.seed)
    generator = np.random.RandomState(args.seed)
    data = sg.datasets.mnist_small()
    print(f"sampling, {args.samples} samples ...")
    trainer = sampled(data, args.samples, args.seed)
    few = sg.thin(trainer.samples, args.keep, data.x_train, "softmax", net=trainer.net)
    folder = common.picture_folder(args.out, "distil")
    written = sg.export(few, trainer.net, folder / "digits", "softmax", data=data.x_test[:10])
    model = gluon.SymbolBlock.imports(written.symbol, written.inputs, written.params)

    print("distilling ...")
    images = np.concatenate([moved(data.x_train, generator) for _ in range(1 if args.quick else 8)])
    taught = student(images, sg.predict(trainer.net, few, images, "softmax"), args.epochs, args.seed)
    times = len(images) // len(data.x_train)
    alone = student(data.x_train, np.eye(10, dtype=np.float32)[data.y_train], times * args.epochs, args.seed)

    served = model(mx.nd.array(data.x_test)).asnumpy()
    rows = [("last sample alone", trainer.predict(data.x_test, samples=True)[-1]),
            (f"average of {len(trainer.samples)}", trainer.predict(data.x_test)),
            (f"{len(few)} of them, as exported", served),
            ("distilled, one network", common.probabilities(taught, data.x_test)),
            ("trained on labels", common.probabilities(alone, data.x_test))]
    common.print_table([common.score(name, probs, data.y_test) for name, probs in rows])
    print(f"wrote {written.symbol} and {written.params}: {written.samples} samples, {written.bytes / 1e6:.1f} MB of "
          "weights")


if __name__ == "__main__":
    main()
