"""Small runs that are stopped in the middle and kept, so that every later version can be shown to go on from them.

``python tests/helpers/stored_runs.py FOLDER`` stores them by the version at hand: a folder a run, and what the run that
was not stopped came to. Only what users call is called here, so that older versions can run the file, too.
"""
import shutil
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
from runs import STEPS, X, Y, go, loader, network, trainer
from runs import outcome as all_outcome

import sgmcmc_mx as sg

STOPPED = 14
SAMPLERS = {
    "sgld": lambda: {"prior": "fan_in", "lr_scheduler": sg.schedules.CyclicalScheduler(0.05, 8, exploration=0.25)},
    "sghmc": lambda: {"gradient_noise": "estimate", "friction": 0.2, "integrator": "badodab"},
    "sgnht": lambda: {"thermostat": "tensor", "prior": sg.priors.Gamma(every=3),
                      "lr_scheduler": mx.lr_scheduler.FactorScheduler(step=5, factor=0.9, base_lr=0.05)},
    "psgld": lambda: {"temperature": 0.5},
    "frozen": lambda: {"friction": 0.1},        # sghmc of the last layer only
}


def begun(name: str, **options):
    """The network of a run."""
    net = network(**options)
    if name == "frozen":
        net[0].collect_params().setattr("grad_req", "null")
    return net


def outcome(net, tr) -> dict:
    """What a run came to; a sampler without friction has none."""
    return {name: value for name, value in all_outcome(net, tr).items() if value is not None}


def stored_trainer(name: str, folder: Path) -> dict:
    """Leave a run in ``folder`` as it was killed after a step; returns the outcome of the whole one."""
    whole, beside = None, folder.with_name(folder.name + "-whole")
    for place, steps in ((beside, STEPS), (folder, STOPPED)):
        mx.random.seed(5)
        net, data = begun(name), loader()
        tr = trainer(net, "sghmc" if name == "frozen" else name, SAMPLERS[name](), place, data)
        go(net, tr, data, steps)
        whole = whole or outcome(net, tr)
        tr.close()
    shutil.rmtree(beside)
    return whole


def resumed_trainer(folder: Path) -> dict:
    """The outcome of a stored run that goes on to the end."""
    net, data = begun(folder.name, started=False), loader()
    tr = sg.BayesianTrainer.resume(folder, net, data=data)
    go(net, tr, data, STEPS)
    found = outcome(net, tr)
    tr.close()
    return found


def _hmc_outcome(net, chain) -> dict:
    found = {f"weight {n}": p.data().asnumpy() for n, p in net._collect_params_with_prefix().items()}
    found["potential"], found["accepted"] = chain.potential, chain.acceptance_rate
    found["predictions"] = chain.predict(X)
    return found


def stored_hmc(folder: Path) -> dict:
    """As :func:`stored_trainer`, for a chain that sees all data."""
    beside = folder.with_name(folder.name + "-whole")
    whole = None
    for place, upto in ((beside, 8), (folder, 4)):
        mx.random.seed(5)
        net = network()
        chain = sg.HMC(net, sg.likelihoods.Categorical(), (X, Y), num_leapfrog=3, step_size=0.02, seed=3, store=place,
                       checkpoint_every=2)
        chain.run(upto)
        whole = whole or _hmc_outcome(net, chain)
        chain.close()
    shutil.rmtree(beside)
    return whole


def resumed_hmc(folder: Path) -> dict:
    """The outcome of a stored chain that goes on to the end."""
    net = network(started=False)
    chain = sg.HMC.resume(folder, net, (X, Y))
    chain.run(8 - chain.num_steps)
    found = _hmc_outcome(net, chain)
    chain.close()
    return found


def main() -> None:
    root = Path(sys.argv[1])
    root.mkdir(parents=True)
    for name in SAMPLERS:
        np.savez_compressed(root / f"{name}.npz", **stored_trainer(name, root / name))
    np.savez_compressed(root / "hmc.npz", **stored_hmc(root / "hmc"))
    for lock in root.rglob("lock"):
        lock.unlink()


if __name__ == "__main__":
    main()
