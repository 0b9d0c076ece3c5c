"""What the tests of this folder start from."""

import numpy as np
import pytest
from full_data_chains import D, K, N


@pytest.fixture
def data():
    r = np.random.RandomState(0)
    return r.normal(size=(N, D)).astype("float32"), r.randint(0, K, N).astype("int32")
