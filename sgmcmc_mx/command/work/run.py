"""A run of the command as it lies in a store: its network and likelihood, and what predicts new rows."""
from __future__ import annotations

import os
from typing import Any, Dict, Mapping, Optional, Tuple

import mxnet as mx
import numpy as np

from ...chains import Runs, load
from ...errors import StoreError
from ...fitting.folder import Folder
from ...likelihoods import Categorical, Gaussian, Likelihood
from ...store.reading import MANIFEST, folder_of
from ...tables.units import InUnits
from .examples import CLASSIFICATION, inputs_of
from .files import Data, is_call, read_data, sha256_of
from .networks import networks_of
from .recipe import Recipe, read_recipe

__all__ = ["NotYet", "StoredRun", "confirmed", "in_units", "likelihood_of", "networks_for", "opened", "prepared",
           "training_data", "unscaled"]


class NotYet(StoreError):
    """A run that has no samples to look at, and may have some later."""


class StoredRun:
    """Chains that can predict, a number in the target's own unit.

    ``net`` has weights of no meaning, until a sample's are put in.
    """

    def __init__(self, recipe: Recipe, runs: Runs, net: Any) -> None:
        self.recipe, self.runs, self.net = recipe, runs, net
        self.likelihood = in_units(recipe.target)

    def inputs(self, data: Data) -> np.ndarray:
        """New rows as the network takes them."""
        return prepared(self.recipe, data)

    def predict(self, x: np.ndarray, **options: Any) -> Any:
        """The average over the samples of all chains; see :func:`sgmcmc_mx.predict`."""
        return self.runs.predict(x, self.likelihood, net=self.net, **options)


def opened(store: str, network: Optional[str] = None) -> StoredRun:
    """The run in a store, if it has samples; else :class:`NotYet`."""
    folder = folder_of(store)
    if not os.path.lexists(folder) or folder.is_dir() and not any(folder.iterdir()):
        raise NotYet(f"{folder} is not there, or empty; give the folder that was `train`'s --store")
    recipe = read_recipe(folder)
    confirmed(recipe.options["network"], network, "--network")
    chosen = Folder(folder).read()
    if chosen is None:
        raise NotYet(f"{folder} has no samples yet: its run was stopped before the chains began; go on with "
                         f"`sgmcmc-mx resume {folder}`")
    runs = load(folder)
    # A chain that has kept nothing has no manifest yet, and what it says of its progress is older than its samples.
    begun = folder.glob(f"chain-*/{MANIFEST}")
    if not isinstance(runs, Runs) or not any(len(load(manifest.parent)) for manifest in begun):
        raise NotYet(f"{folder} has no samples yet; go on with `sgmcmc-mx resume {folder}`")
    nets, shape = networks_for(recipe)
    net = nets[chosen["network"]] if len(nets) > 1 else next(iter(nets.values()))
    made = net()
    made.initialize()
    made(mx.nd.zeros((1, *shape)))      # layers that wait for their shapes have them now
    return StoredRun(recipe, runs, made)


def confirmed(name: str, given: Optional[str], option: str) -> None:
    """A store may come from elsewhere: code that it names runs only where the user names it, too."""
    if is_call(name) and given != name:
        raise ValueError(f"the run's {option[2:]} is the function {name}, and a store does not say what is run here; "
                         f"write {option} {name} if that is yours")


def likelihood_of(target: Mapping[str, Any]) -> Likelihood:
    """Of classes, or of standardised numbers whose spread depends on the row."""
    return Categorical() if target["task"] == CLASSIFICATION else Gaussian("learned", link=target["link"])


def in_units(target: Mapping[str, Any]) -> Likelihood:
    """What the same networks say of the target as the data have it."""
    if target["task"] == CLASSIFICATION:
        return Categorical()
    return InUnits("learned", target["mean"], target["scale"], target["link"])


def unscaled(labels: np.ndarray, target: Mapping[str, Any]) -> np.ndarray:
    """Labels as the data have them: of a regression they were standardised."""
    if target["task"] == CLASSIFICATION:
        return labels
    return target["mean"] + target["scale"] * labels.astype(np.float64)


def networks_for(recipe: Recipe) -> Tuple[Dict[str, Any], Tuple[int, ...]]:
    """The networks of a run, by name, and the shape of an example."""
    return networks_of(recipe.options, recipe.target, recipe.inputs["shape"])


def training_data(recipe: Recipe, path: Optional[str] = None, labels: Optional[str] = None) -> Data:
    """The data that a run was begun with, from where they lie now; other data are refused."""
    confirmed(recipe.options["data"], path, "--data")
    places = [path or recipe.options["data"], labels or recipe.options["labels"]]
    for source, place in zip(recipe.sources, filter(None, places)):
        if sha256_of(place) != source["sha256"]:
            raise ValueError(f"{place} is not the file that the run was begun with: its SHA-256 is another; give that "
                             "file by --data, or begin a new run")
    return read_data(*places)


def prepared(recipe: Recipe, data: Data) -> np.ndarray:
    """Rows as the run's network takes them."""
    x = inputs_of(data, recipe.inputs)
    return x.reshape((len(x), *networks_for(recipe)[1]))
