"""Runs that earlier versions have left in a folder go on: what a checkpoint calls a class stays known.

``stored/<day>`` was made by ``python tests/helpers/stored_runs.py stored/<day>`` on that day's version. Other
processors round otherwise, so the numbers are compared to what ten steps can make of that; on the same one they are
equal.
"""
import shutil
from pathlib import Path

import numpy as np
import pytest
from stored_runs import SAMPLERS, resumed_hmc, resumed_trainer, stored_trainer

STORED = Path(__file__).parent / "stored"
DAYS = sorted(path.name for path in STORED.iterdir())
RUNS = sorted((path.parent.name, path.name) for path in STORED.glob("*/*") if path.is_dir())


def compare(found: dict, whole: Path) -> None:
    with np.load(whole) as expected:
        assert set(found) == set(expected.files)
        for name in expected.files:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("day, name", RUNS)
def test_goes_on(day, name, tmp_path):
    folder = shutil.copytree(STORED / day / name, tmp_path / name)
    resume = resumed_hmc if name == "hmc" else resumed_trainer
    compare(resume(folder), STORED / day / f"{name}.npz")


def test_all_kinds_are_there():
    assert {name for _, name in RUNS} == {*SAMPLERS, "hmc"}


def test_the_comparison_can_fail(tmp_path):
    with pytest.raises(AssertionError):
        compare(stored_trainer("sghmc", tmp_path / "other"), STORED / DAYS[0] / "psgld.npz")
