"""Predictive distributions held against those of long HMC chains: a curve with a gap in its data, and two moons."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from .record import Record
from .truth import Length

__all__ = ["QUICK", "RECORD", "Record"]

RECORD = Record(Path(__file__).parent, {"curve": 400_000, "moons": 100_000},
                {"curve": Length(4, 200, 80, 0.6), "moons": Length(4, 600, 150, 1.0)})

# So short that nothing of it is true: to see that all runs.
QUICK: Dict[str, Any] = {"budgets": {"curve": 1_000, "moons": 1_000},
                         "lengths": {"curve": Length(2, 10, 10, 0.1), "moons": Length(2, 10, 10, 0.2)}}
