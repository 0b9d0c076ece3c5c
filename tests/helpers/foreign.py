"""What tests of other libraries share: where they are skipped, and the digits that come with scikit-learn."""
import importlib.util

import numpy as np
import pytest
from sklearn.datasets import load_digits


def needs(package):
    """A mark: skipped where a package is missing, as it is in the ordinary environment."""
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"needs {package}, which scripts/clients installs")


def digits():
    """1,797 digits of 8 x 8 pixels in [0, 1], and their labels."""
    found = load_digits()
    return (found.images / 16.0).astype(np.float32), found.target.astype(np.float32)
