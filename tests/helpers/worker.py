"""A worker of a job: its part of a small chain. The only argument is JSON; see ``chain``."""
import hashlib
import json
import os
import signal
import sys

import sgmcmc_mx as sg  # isort: skip  (first: it makes MXNet importable)

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from sgmcmc_mx.workers import group

EXAMPLES, BATCH, INPUTS = 96, 16, 12


def network(seed):
    """A small network, and its first weights."""
    mx.random.seed(seed)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(20, in_units=INPUTS, activation="tanh"), gluon.nn.Dense(1, in_units=20))
    net.initialize(mx.init.Normal(0.3))
    return net


def batches(rank, size):
    """What one of ``size`` workers gets: each batch is dealt out among them."""
    rng = np.random.RandomState(0)
    x = rng.standard_normal((EXAMPLES, INPUTS)).astype("float32")
    y = np.sin(x.sum(axis=1, keepdims=True)).astype("float32")
    mine = gluon.data.ArrayDataset(x[rank::size], y[rank::size])
    return sg.data.ResumableLoader(mine, batch_size=BATCH // size, shuffle=False)


def chain(steps=12, sampler="sghmc", store=None, same_seed=True, kvstore=None, out=None, kill=None, fail=None,
          fewer=None, batch=None, rank_options=None, jitter=False, resume=False, sample=False, grace=None):
    """Make the chain up to a step; returns trainer and network.

    ``kill=[rank, step]``, ``fail``: that worker dies, or raises, after that step. ``fewer``: it makes so many steps.
    ``batch=[rank, number]``: what it gives step(), or what all give where rank is None. ``rank_options``: sampler's
    arguments of worker 1. ``jitter``: inputs are moved by NumPy's generator, which is each worker's own. ``sample``:
    the loop is the trainer's own. ``grace``: seconds that a worker has, after a loss, in which MXNet may hang.
    """
    if grace is not None:
        group.GRACE = grace
    rank, size = (0, 1) if kvstore is None else (kvstore.rank, kvstore.num_workers)
    net = network(7 if rank == 0 or same_seed else 100 + rank)
    np.random.seed(rank)
    loader, loss_fn = batches(rank, size), sg.likelihoods.Gaussian(0.5)
    settings = {"num_data": EXAMPLES, "learning_rate": 0.02, "seed": 3}
    if rank_options is not None and rank == 1:
        settings.update(rank_options)
    more = {"data": loader, "checkpoint_every": 5, "thin": 4, "kvstore": kvstore}
    if resume:
        trainer = sg.BayesianTrainer.resume(store, net, data=loader, kvstore=kvstore)
    elif store is not None:
        trainer = sg.BayesianTrainer.begin_or_resume(net, sampler, settings, loss_fn, store=store, **more)
    else:
        trainer = sg.BayesianTrainer(net, sampler, settings, loss_fn, **more)
    print("begun at", trainer.num_steps, flush=True)
    number = BATCH if batch is None or batch[0] not in (None, rank) else batch[1]
    steps = steps if fewer is None or fewer[0] != rank else fewer[1]
    if sample:
        trainer.sample(loader, steps)
    while trainer.num_steps < steps:
        for x, y in loader:
            if jitter:
                x = x + mx.nd.array(0.1 * np.random.standard_normal(x.shape))
            with autograd.record():
                loss = loss_fn(net(x), y)
            loss.backward()
            trainer.step(number)
            mx.nd.waitall()
            if kill == [rank, trainer.num_steps]:
                os.kill(os.getpid(), signal.SIGKILL)
            if fail == [rank, trainer.num_steps]:
                raise ArithmeticError("as the test has asked for")
            if trainer.num_steps == steps:
                break
    trainer.close()
    if out is not None:
        net.save_parameters(f"{out}-{rank}.params")
    return trainer, net


def told(trainer, net):
    """What a test compares."""
    digest = hashlib.sha256(b"".join(p.data().asnumpy().tobytes() for p in net.collect_params().values()))
    return f"steps {trainer.num_steps} samples {len(trainer.samples)} weights {digest.hexdigest()}"


if __name__ == "__main__":
    import logging

    logging.basicConfig()
    asked = json.loads(sys.argv[1])
    print(told(*chain(kvstore=mx.kv.create(asked.pop("kv", "dist_sync")), **asked)), flush=True)
