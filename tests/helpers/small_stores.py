"""Stores without a chain, and processes that do something to them."""
import os
import subprocess
import sys

from mxnet import nd

import sgmcmc_mx as sg

HERE = os.path.dirname(os.path.abspath(__file__))


def sample(step, size=3):
    return sg.Sample({"w": nd.full((size,), step)}, step)


def filled(path, steps=(1, 2, 3), **options):
    """A store with samples, closed."""
    store = sg.FolderStore(path, **options)
    for k in steps:
        store.append(sample(k))
    store.close()
    return store


def process(code, *arguments):
    """A Python process that runs the code, with pipes to talk to it."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([HERE, *filter(None, sys.path)]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
