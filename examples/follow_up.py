"""What the post's author did next, with a posterior that is right: ten epochs of SGD, then SGNHT, then the average.

A network 784-128-10, batches of 500, SGD at 0.1 for ten epochs, then ``sgnht`` with his a = 0.01 (here ``friction``).
You will see the table of the SGD network (which ten epochs without momentum leave unfinished: much of what follows is
that the chain trains on), of the last sample alone and of the average, and in pictures/follow_up a friction that does
not stay at 0.01: minibatches heat the chain, and the thermostat takes that heat out again.

    python examples/follow_up.py              # a Gluon loop with BayesianTrainer
    python examples/follow_up.py --module     # mx.mod.Module.fit(optimizer='sgnht', ...), samples from its callback
"""
import argparse
import time

import _common as common
import mxnet as mx
import numpy as np

import sgmcmc_mx as sg


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--module", action="store_true", help="use mx.mod.Module instead of Gluon")
    add("--sgd-epochs", type=int, default=10)
    add("--epochs", type=int, default=60, help="epochs of sampling")
    add("--burn-in", type=int, default=10, help="epochs before the first sample")
    add("--learning-rate", type=float, default=0.1)
    add("--friction", type=float, default=0.01, help="the follow-up's a")
    add("--prior", type=float, default=1.0, help="precision of the weights' prior")
    add("--small", action="store_true", help="the 5,000 embedded images instead of all 60,000")
    add("--seed", type=int, default=0)
    add("--out", help="folder for the pictures (default pictures/follow_up)")
    return parser.parse_args()


def settings(args, num_data: int) -> dict:
    """The one place where the sampler is set up; both roads use it."""
    return {"learning_rate": args.learning_rate, "friction": args.friction, "wd": args.prior, "num_data": num_data,
            "seed": args.seed}


def with_gluon(args, data):
    """SGD probabilities, probabilities of every sample, and the seconds each took."""
    loss_fn, net = sg.likelihoods.Categorical(), common.mlp(784, [128], 10)
    batches = common.Batches(data.x_train, data.y_train, 500, args.seed)
    sgd_seconds = common.train_sgd(net, loss_fn, batches, args.sgd_epochs, 0.1, momentum=0.0,
                                   cosine=False)
    sgd = common.probabilities(net, data.x_test)
    epoch = len(batches)
    trainer = sg.BayesianTrainer(net, "sgnht", settings(args, len(data.x_train)), likelihood=loss_fn,
                                 burn_in=args.burn_in * epoch, thin=max(1, epoch // 2), kvstore=None)
    trace, seconds = common.sample(trainer, loss_fn, batches, args.epochs * epoch)
    return sgd, trainer.predict(data.x_test, samples=True), (sgd_seconds, seconds), trace


def with_module(args, data):
    """The same with Module: nothing but the optimizer's name and parameters changes between the two calls of fit."""
    x = mx.sym.Variable("data")
    hidden = mx.sym.Activation(mx.sym.FullyConnected(x, num_hidden=128, name="hidden"), act_type="relu")
    net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=10, name="output"), name="softmax")
    train = mx.io.NDArrayIter(data.x_train, data.y_train, 500, shuffle=True)
    test = mx.io.NDArrayIter(data.x_test, data.y_test, 500)
    module, init = mx.mod.Module(net), mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2.0)
    start = time.perf_counter()
    module.fit(train, initializer=init, optimizer="sgd", optimizer_params={"learning_rate": 0.1},
               num_epoch=args.sgd_epochs)
    sgd, sgd_seconds = module.predict(test).asnumpy(), time.perf_counter() - start

    # Another Module, since a second fit of the first would keep its optimizer ("already initialized, ignoring").
    sampler, weights = mx.mod.Module(net), module.get_params()[0]
    epoch = -(-len(data.x_train) // 500)
    samples, trace = [], common.Trace(args.epochs * epoch // 500)

    def collect(progress) -> None:
        step = progress.epoch * epoch + progress.nbatch + 1
        trace.note(step, sampler._optimizer.kinetic_temperature, sampler._optimizer.thermostat)
        if step > args.burn_in * epoch and step % max(1, epoch // 2) == 0:
            samples.append({name: value.copy() for name, value in sampler.get_params()[0].items()})

    start = time.perf_counter()
    sampler.fit(train, arg_params=weights, optimizer="sgnht", optimizer_params=settings(args, len(data.x_train)),
                num_epoch=args.epochs, batch_end_callback=collect)
    seconds = time.perf_counter() - start
    each = []
    for weights in samples:
        sampler.set_params(weights, {})
        each.append(sampler.predict(test).asnumpy())
    return sgd, np.stack(each), (sgd_seconds, seconds), trace


def main() -> None:
    args = arguments()
    sg.tune_threads()       # MXNet starts with half of the cores
    mx.random.seed(args.seed)
    np.random.seed(args.seed)   # NDArrayIter shuffles with NumPy's generator
    data = sg.datasets.mnist_small() if args.small else sg.datasets.mnist()
    sgd, each, seconds, trace = (with_module if args.module else with_gluon)(args, data)
    result = common.averages(each, data.y_test)
    common.print_table([
        common.score("SGD network", sgd, data.y_test, seconds[0]),
        common.score("last sample alone", each[-1], data.y_test),
        common.score(f"average of {len(each)} samples", result.probs, data.y_test, seconds[1])])
    folder = common.picture_folder(args.out, "follow_up")
    common.draw(folder, data, sgd, each, result)
    common.draw_trace(folder, trace, 1.0, args.friction)


if __name__ == "__main__":
    main()
