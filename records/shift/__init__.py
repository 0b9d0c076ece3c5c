"""What networks trained on digits say of other images: clothes, noise, and digits that are turned."""
from __future__ import annotations

from pathlib import Path

from ..little_data import CONTEST
from .record import Record

__all__ = ["RECORD", "Record"]

RECORD = Record(Path(__file__).parent, CONTEST, "5000")
