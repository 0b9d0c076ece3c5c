"""Predictive distributions on the disk: HMC's, which is dear, and what the picture shows beside it."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

import numpy as np

__all__ = ["put", "read"]


def read(path: Path) -> Dict[str, np.ndarray]:
    """All that is there, by names such as 'moons/hmc'."""
    if not path.exists():
        return {}
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def put(path: Path, name: str, cells: np.ndarray) -> None:
    """Keep one, in the place of that of the same name."""
    found = {**read(path), name: cells.astype(np.float32)}
    written = path.with_suffix(".new.npz")
    np.savez_compressed(written, **found)
    os.replace(written, path)
