"""Pictures of what chains predict and how they ran: arrays in, matplotlib Axes out.

Every function draws into ``ax`` and returns it; without one it opens a new figure with pyplot. Matplotlib is imported
when the first picture is drawn, and nothing here shows or saves: ``ax.figure.savefig('reliability.png')``. Colours are
told apart by colour-blind readers, and chains by markers or places too.
"""
from .averages import error_by_chains
from .calibration import sbc
from .chains import chain_traces, function_space, r_hats, ranks
from .classes import error_by_samples, reliability, uncertain_images
from .lines import band, trace
from .trust import ood_histograms, risk_coverage
from .weights import pairs, predictive_bands

__all__ = ["band", "chain_traces", "error_by_chains", "error_by_samples", "function_space", "ood_histograms", "pairs",
           "predictive_bands", "r_hats", "ranks", "reliability", "risk_coverage", "sbc", "trace", "uncertain_images"]
