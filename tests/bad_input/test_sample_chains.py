"""sample_chains and what it is given: wrong arguments."""
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from small_chains import AtOnce, build

import sgmcmc_mx as sg

from .harness import check, rows

STEPS, HOW = "such as steps=5000", "def build(chain): return sg.ChainSetup(net, likelihood, data, ...)"


def chains(made=build, chains=2, **options):
    """A call that asks for chains; nothing of it may begin."""
    return lambda world: sg.sample_chains(made, chains, **{"steps": 4, "executor": AtOnce(), **options})


def warm(*args, **options):
    return lambda world: sg.WarmStart(*args, **options)


ARGUMENTS = rows([
    ("build is no function", chains("build"), TypeError, "build", "'build'", HOW),
    ("build is a lambda", chains(lambda chain: None), TypeError, "build", "lambda", HOW),
    ("build is a class", chains(sg.ChainSetup), TypeError, "build", "ChainSetup", HOW),
    ("no chains", chains(chains=0), ValueError, "chains", "got 0", "such as chains=4"),
    ("chains is a list", chains(chains=[1]), TypeError, "chains", "got [1]", "such as chains=4"),
    ("steps is 0", chains(steps=0), ValueError, "steps", "got 0", STEPS),
    ("steps is text", chains(steps="many"), TypeError, "steps", "'many'", STEPS),
    ("threads for executor", chains(executor=ThreadPoolExecutor(1)), TypeError, "executor", "ThreadPoolExecutor",
     "give a ProcessPoolExecutor"),
    ("executor is a class", chains(executor=AtOnce), TypeError, "executor", "AtOnce", "leave it out"),
    ("executor is a number", chains(executor=2), TypeError, "executor", "got 2", "leave it out"),
    ("max_workers beside executor", chains(max_workers=2), ValueError, "max_workers", "2", "leave it out"),
    ("max_workers is 0", chains(max_workers=0, executor=None), ValueError, "max_workers", "got 0", "None for as many"),
    ("seed is negative", chains(seed=-1), ValueError, "seed", "got -1", "a whole number below 2**64"),
    ("store is a number", chains(store=3), TypeError, "store", "3", "write store='runs/a'"),
    ("store is empty", chains(store=""), ValueError, "store", "''", "write store='runs/a'"),
    ("threads is 0", chains(threads=0), ValueError, "threads", "got 0", "threads=1"),
    ("context is text", chains(context="gpu"), TypeError, "context", "'gpu'", "leave it out for mx.cpu()"),
    ("no contexts", chains(context=[]), TypeError, "context", "[]", "leave it out for mx.cpu()"),
    ("restarts is negative", chains(restarts=-1), ValueError, "restarts", "got -1", "begun again"),
    ("progress is a number", chains(progress=3), TypeError, "progress", "got 3", "True shows one bar"),
    ("weights by nothing", chains(weights="equal"), ValueError, "weights", "'equal'", "'chain', 'sample'"),
    ("warm_start is a number", chains(warm_start=3), TypeError, "warm_start", "got 3",
     "sg.WarmStart('adam', epochs=20)"),
    ("warm_start is no file", chains(warm_start="no.params"), ValueError, "warm_start", "'no.params'",
     "the path of a .params file"),
    ("one file of two", chains(warm_start=["a.params"]), ValueError, "warm_start", "a list of 1 files for chains=2",
     "one for each chain"),
])

WARM = rows([
    ("unknown optimizer", warm("adm"), ValueError, "optimizer", "'adm'", "did you mean 'adam'?"),
    ("optimizer is None", warm(None), ValueError, "optimizer", "None", "write 'adam' or 'sgd'"),
    ("params is a list", warm("sgd", [0.1]), TypeError, "optimizer_params", "[0.1]", "{'learning_rate': 0.001}"),
    ("epochs and steps", warm(epochs=2, steps=3), ValueError, "epochs", "2", "write one of them"),
    ("epochs is 0", warm(epochs=0), ValueError, "epochs", "got 0", "write epochs=10"),
    ("steps is a fraction", warm(steps=1.5), ValueError, "steps", "1.5", "write steps=10"),
    ("held_out is all", warm(held_out=1.0), ValueError, "held_out", "got 1.0", "such as 0.1"),
    ("held_out is NaN", warm(held_out=np.nan), ValueError, "held_out", "nan", "such as 0.1"),
    ("patience without a part", warm(patience=3), ValueError, "patience", "3", "write held_out=0.1"),
    ("likelihood is text", warm(likelihood="softmax"), TypeError, "likelihood", "'softmax'",
     "sg.likelihoods.Categorical()"),
])


@pytest.mark.parametrize("row", ARGUMENTS + WARM)
def test_arguments(world, row):
    check(world, row)


def test_places_of_chains(tmp_path):
    runs = sg.sample_chains(build, 1, steps=8, executor=AtOnce())
    with pytest.raises(IndexError, match="chain 1 is not there; there are 1"):
        runs[1]
    with pytest.raises(TypeError, match="chain 'a' is not there; write a whole number"):
        runs["a"]
    with pytest.raises(ValueError, match="weights must be one of 'chain', 'sample', got 'x'"):
        runs.joined("x")


def build_with(options, chain):
    return dataclasses.replace(build(chain), **options)


class Trained(sg.likelihoods.Categorical):
    """What a warm start must not come to."""

    def forward(self, *args):
        raise AssertionError("the warm start has begun")


@pytest.mark.parametrize("options, told", [
    ({"optimizer": "sgld", "max_temperature": 3.0}, "max_temperature=3 is for samplers with momentum, and SGLD"),
    ({"optimizer": "sngt"}, "optimizer 'sngt' is not known; did you mean 'sgnht'"),
    ({"optimizer_params": {"learning_rate": -1.0}}, "learning_rate .* got -1"),
    ({"thin": 0}, "thin .* got 0"),
    ({"on_divergence": "stop"}, "on_divergence must be one of 'raise', 'halve', got 'stop'"),
    ({"store_options": {"keep_last": 0}}, "keep_last .* got 0"),
])
def test_wrong_options_of_a_chain_are_told_before_its_warm_start(options, told):
    start = sg.WarmStart("sgd", steps=1, likelihood=Trained())
    with pytest.raises(RuntimeError, match=told):
        sg.sample_chains(partial(build_with, options), 1, steps=4, executor=AtOnce(), warm_start=start)
