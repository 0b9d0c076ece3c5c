"""Several chains, each in a process of its own, with a store of its own."""
from .runs import ChainFailure, Runs, load
from .sampling import sample_chains
from .setup import Chain, ChainSetup
from .warm_start import WarmStart

__all__ = ["Chain", "ChainFailure", "ChainSetup", "Runs", "WarmStart", "load", "sample_chains"]
