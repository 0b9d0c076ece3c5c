"""Sample a small classifier by two chains, and write what ArviZ is given of them: python -I export.py FILE"""

import sys

import sgmcmc_mx as sg  # isort: skip  (before mxnet)
import arviz
import mxnet as mx
import numpy as np
from mxnet import gluon

N, HELD_OUT = 200, 40


def main():
    rng = np.random.RandomState(0)
    x = rng.randn(N + HELD_OUT, 4).astype("float32")
    y = (np.abs(x).argmax(axis=1) % 3).astype("float32")
    chains = []
    for k in range(2):
        mx.random.seed(k)
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(8, "tanh", in_units=4), gluon.nn.Dense(3, in_units=8))
        net.initialize(mx.init.Xavier())
        options = {"learning_rate": 0.05, "num_data": N}
        trainer = sg.BayesianTrainer(net, "sgnht", options, sg.likelihoods.Categorical(), seed=k, burn_in=500, thin=20)
        chains.append(trainer.sample(sg.data.ArrayLoader(x[:N], y[:N], batch_size=20), 2500))
    idata = sg.to_inference_data(chains, x[N:], y[N:])
    idata.to_netcdf(sys.argv[1])
    probs = np.mean([chain.predict(x[N:]) for chain in chains], axis=0)
    lppd = np.log(np.exp(idata.log_likelihood["y"].values).mean(axis=(0, 1))).sum()
    if abs(lppd + HELD_OUT * sg.metrics.nll(probs, y[N:])) > 1e-3:
        raise SystemExit(f"error: the log likelihood gives {lppd}, and predict another density")
    print(f"ArviZ {arviz.__version__} wrote {', '.join(idata.groups())} with NumPy {np.__version__}")


main()
