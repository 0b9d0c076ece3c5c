"""How good a predictive distribution is: NumPy arrays in, Python numbers (or one number per example) out.

Shapes of what is of classes:

* ``probs`` is ``(n, classes)``, one distribution a row. For two classes ``(n,)`` or ``(n, 1)`` is read as P(y = 1).
* ``labels`` is ``(n,)`` or ``(n, 1)``, the integers 0 .. classes - 1 (floats are fine if they are whole numbers).

Of regressions ``y`` is ``(n,)`` or ``(n, outputs)``, and what each sample of the weights says of it has the samples as
one more axis in front: ``mean`` ``(samples, n)``, as ``predict(..., 'identity', samples=True)`` returns it.

Logarithms are natural, so entropies and likelihoods are in nats. What cannot be a distribution or a label raises a
``ValueError`` (a ``TypeError`` if it is not an array of numbers at all) before anything is computed.
"""
from .calibrating import TemperatureScaling, calibrate
from .checks import class_labels, sample_weights
from .classes import (
    BrierParts,
    Reliability,
    accuracy,
    brier,
    brier_parts,
    classwise_ece,
    ece,
    ece_if_calibrated,
    entropy,
    mutual_information,
    nll,
    reliability,
)
from .ranking import aupr, auroc, fpr95
from .regression import coverage, crps, crps_of_samples, log_predictive_density, pit, width
from .selective import RiskCoverage, aurc, risk_coverage
from .uniformity import RankBand, rank_band, uniformity

__all__ = ["BrierParts", "RankBand", "Reliability", "RiskCoverage", "TemperatureScaling", "accuracy", "aupr", "auroc",
           "aurc", "brier", "brier_parts", "calibrate", "class_labels", "classwise_ece", "coverage", "crps",
           "crps_of_samples", "ece", "ece_if_calibrated", "entropy", "fpr95", "log_predictive_density",
           "mutual_information", "nll", "pit", "rank_band", "reliability", "risk_coverage", "sample_weights",
           "uniformity", "width"]
