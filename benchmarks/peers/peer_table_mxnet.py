"""This package on a small network for a table: the trainer's own loop, and chains side by side."""
from __future__ import annotations

import common

import sgmcmc_mx as sg  # isort: skip

import mxnet as mx
from mxnet_network import network

from sgmcmc_mx.kernels import native
from sgmcmc_mx.trainer.roads import go, road_of


class Peer:
    def __init__(self, sampler, form, work, x, y):
        sg.tune_threads(common.THREADS)
        native.threads(common.THREADS)
        self.chains, self.steps_a_call = work.chains, 500 * work.chains
        self.roads = []
        for seed in range(work.chains):
            net = network(common.layers(work, seed))
            # SGLD's drift is half its learning rate here.
            rate = common.TABLE_LEARNING_RATE * (2 if sampler == "sgld" else 1)
            options = {"learning_rate": rate, "num_data": len(x)}
            if sampler != "sgld":
                options["friction"] = common.FRICTION
            trainer = sg.BayesianTrainer(net, sampler, options, sg.likelihoods.Gaussian(1.0), burn_in=1 << 60,
                                         seed=seed, kvstore=None)
            data = sg.data.ArrayLoader(x, y, batch_size=work.batch, seed=seed)
            self.roads.append(road_of(trainer, data, "mxnet" if form == "MXNet's operators" else "native"))

    def advance(self, steps):
        go(self.roads, self.roads[0].trainer.num_steps + steps // self.chains)

    def wait(self):
        mx.nd.waitall()


if __name__ == "__main__":
    common.main(Peer, {"sgmcmc_mx": sg.__version__, "mxnet": mx.__version__})
