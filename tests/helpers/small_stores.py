"""Stores without a chain, and processes that do something to them."""
from forks import Process
from mxnet import nd

import sgmcmc_mx as sg


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
    return Process(code, *arguments)
