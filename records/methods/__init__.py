"""The methods of the records, by the names under which their choices and results are kept."""
from typing import Dict

from ..task import Method
from . import chains, dropout, ensemble, laplace, sgd, swag

__all__ = ["METHODS"]

METHODS: Dict[str, Method] = {
    "sgd": sgd.METHOD,
    "dropout": dropout.METHOD,
    "laplace": laplace.METHOD,
    "swag": swag.METHOD,
    "ensemble": ensemble.METHOD,
    "posterior": chains.POSTERIOR,
    "dirichlet": chains.DIRICHLET,
    "cold": chains.COLD,
}
