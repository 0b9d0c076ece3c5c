"""What the tests of this folder start from."""

import pytest

import sgmcmc_mx


@pytest.fixture
def noise_used(monkeypatch):
    """(parameter, step) of all noise that is drawn, in order."""
    used, step = [], sgmcmc_mx.kernels.step

    def noted(job):
        used.extend((t.ordinal, t.count) for t in job.tensors)
        step(job)

    monkeypatch.setattr(sgmcmc_mx.kernels, "step", noted)
    return used
