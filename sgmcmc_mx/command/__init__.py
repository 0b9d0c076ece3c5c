"""The console command ``sgmcmc-mx``: a file a subcommand. What needs MXNet lies in ``work`` and is imported late."""
from .program import main

__all__ = ["main"]
