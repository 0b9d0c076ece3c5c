"""bde (sklearn-contrib-bde, Sommer et al. 2025) on arrays from a file. It runs in an environment of its own, with JAX.

    python peer.py task.npz outputs.npz --seed 0

task.npz has x, y and x_test, standardised; labels that are integers are classes. outputs.npz gets what every sampled
network says of x_test: ``mean`` and ``sigma``, (samples, rows), or ``logits``, (samples, rows, classes); the seconds of
all cores; and how many gradients over all data it took, all members together.
"""
from __future__ import annotations

import argparse
import os
import time

import numpy as np

# Those of the package's own benchmark of regressions.
SETTINGS = {"n_members": 10, "hidden_layers": [16, 16, 16, 16], "epochs": 1200, "validation_split": 0.15, "lr": 1e-3,
            "weight_decay": 1e-4, "warmup_steps": 50_000, "n_samples": 1_000, "n_thinning": 10, "patience": 20}
QUICK = {"epochs": 5, "warmup_steps": 50, "n_samples": 20, "n_thinning": 10}
GRADIENTS = 2       # of a step of the microcanonical integrator (McLachlan's)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("outputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="so short that nothing of it is true")
    options = parser.parse_args()
    os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={os.cpu_count()}")
    import jax
    from bde import BdeClassifier, BdeRegressor
    from bde.loss import CategoricalCrossEntropy, GaussianNLL

    with np.load(options.task) as file:
        x, y, x_test = file["x"], file["y"], file["x_test"]
    settings = {**SETTINGS, **(QUICK if options.quick else {}), "seed": options.seed}
    began = time.process_time()
    if y.dtype.kind in "iu":
        model = BdeClassifier(loss=CategoricalCrossEntropy(), **settings).fit(x, y)
    else:
        model = BdeRegressor(loss=GaussianNLL(), **settings).fit(x, y)
    raw = np.asarray(model.predict(x_test, raw=True))
    raw = raw.reshape((-1, *raw.shape[2:]))
    found = {"logits": raw} if y.dtype.kind in "iu" else {
        "mean": raw[..., 0], "sigma": np.asarray(jax.nn.softplus(raw[..., 1])) + 1e-6}
    steps = GRADIENTS * (settings["warmup_steps"] + settings["n_samples"]) + settings["epochs"]
    np.savez(options.outputs, **found, seconds=time.process_time() - began, gradients=settings["n_members"] * steps)


if __name__ == "__main__":
    main()
