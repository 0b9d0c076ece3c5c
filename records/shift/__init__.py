"""What networks trained on digits say of other images: clothes, noise, and digits that are turned."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from ..little_data import CONTEST
from .record import Record

__all__ = ["QUICK", "RECORD", "Record"]

RECORD = Record(Path(__file__).parent, CONTEST, "5000")

# So short that nothing of it is true: to see that all runs.
QUICK: Dict[str, Any] = {"contest": CONTEST, "part": "5000", "budget": 60}
