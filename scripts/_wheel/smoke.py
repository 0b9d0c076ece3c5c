"""Use an installed sgmcmc_mx a little: python -I smoke.py VERSION native|ndarray

Every sampler takes some steps; samples are collected, kept and predicted with. Run where no compiler is on PATH.
"""

import os
import shutil
import sys
import sysconfig
import tempfile

import sgmcmc_mx as sg  # isort: skip  (before mxnet)
import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

COMPILERS = ("cc", "gcc", "clang", "c99", "tcc")
OPTIMIZERS = {"sgld": {}, "sghmc": {}, "sgnht": {}, "psgld": {}, "sasghmc": {"burn_in": 5}}


def must(truth, said):
    if not truth:
        raise SystemExit(f"error: {said}")


def check_installed(version, backend):
    here = os.path.realpath(os.path.dirname(sg.__file__))
    site = os.path.realpath(sysconfig.get_path("purelib"))
    must(os.path.dirname(here) == site, f"sgmcmc_mx was imported from {here}, not from {site}")
    must(sg.__version__ == version, f"version {sg.__version__} is installed, expected {version}")
    must(os.path.exists(os.path.join(here, "py.typed")), "py.typed is not installed")
    there = [name for name in COMPILERS if shutil.which(name)]
    must(not there, f"a compiler is on PATH: {there}")
    must(sg.backend() == backend, f"the steps are carried out by {sg.backend()!r}, expected {backend!r}")


def network():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(20, "relu", in_units=784), gluon.nn.Dense(10, in_units=20))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def check_probabilities(name, probs, rows):
    must(probs.shape == (rows, 10), f"{name} predicted an array of shape {probs.shape}")
    must(np.isfinite(probs).all() and np.allclose(probs.sum(1), 1, atol=1e-4), f"{name} predicted no probabilities")


def sample(name, options, x, y, test, store=None):
    """Ten steps of one optimizer; returns its predictions."""
    mx.random.seed(0)
    net, loss_fn = network(), sg.likelihoods.Categorical()
    before = net[0].weight.data().asnumpy()
    options = {"learning_rate": 1e-3, "num_data": len(x), **options}
    trainer = sg.BayesianTrainer(net, name, options, loss_fn, burn_in=4, thin=2, seed=0, store=store)
    data, label = mx.nd.array(x), mx.nd.array(y)
    for _ in range(10):
        with autograd.record():
            loss = loss_fn(net(data), label)
        loss.backward()
        trainer.step(len(x))
    must(len(trainer.samples) == 3, f"{name} collected {len(trainer.samples)} samples, expected 3")
    must((net[0].weight.data().asnumpy() != before).all(), f"{name} left weights where they were")
    probs = trainer.predict(test)
    check_probabilities(name, probs, len(test))
    if store is not None:
        trainer.close()
        kept = sg.predict(network(), sg.load(store), test, "softmax")
        must((kept == probs).all(), "samples that were stored predict something else")
    return probs


def sample_full_data(kind, x, y, test, **options):
    chain = kind(network(), sg.likelihoods.Categorical(), (x, y), seed=0, **options)
    check_probabilities(kind.__name__, chain.run(num_samples=3, burn_in=2).predict(test), len(test))


def main(version, backend):
    check_installed(version, backend)
    digits = sg.datasets.mnist_small()
    x, y, test = digits.x_train[:100], digits.y_train[:100], digits.x_test[:50]
    for name, options in OPTIMIZERS.items():
        sample(name, options, x, y, test)
    again = [sample("sgnht", {}, x, y, test) for _ in range(2)]
    must((again[0] == again[1]).all(), "one seed gave two chains")
    with tempfile.TemporaryDirectory() as folder:
        sample("sghmc", {}, x, y, test, store=os.path.join(folder, "run"))
    sample_full_data(sg.HMC, x, y, test, num_leapfrog=3)
    sample_full_data(sg.MetropolisHastings, x, y, test)
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, MXNet {mx.__version__}: {backend}")


if __name__ == "__main__":
    main(*sys.argv[1:])
