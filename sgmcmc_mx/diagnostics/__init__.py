"""Whether chains have converged, asked of their predictions first, and what to change where they have not.

R-hat, effective sample sizes and Monte-Carlo errors are ArviZ's: ``pip install 'sgmcmc_mx[arviz]'``.
"""
from .between import Between, agreement, total_variation
from .calibration import Calibration
from .convergence import Convergence, Course, convergence
from .halving import step_halving
from .measures import ess, mcse, rhat
from .sbc import sbc
from .stein import SteinDiscrepancy, stein_discrepancy
from .summary import summary
from .table import Row, Summary
from .temperatures import temperatures

__all__ = ["Between", "Calibration", "Convergence", "Course", "Row", "SteinDiscrepancy", "Summary", "agreement",
           "convergence", "ess", "mcse", "rhat", "sbc", "step_halving", "stein_discrepancy", "summary", "temperatures",
           "total_variation"]
