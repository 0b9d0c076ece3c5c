"""Tables: four regressions and three of classes, beside bde and the methods of the other records."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from .record import Record
from .ways import Size

__all__ = ["QUICK", "RECORD", "Record"]

RECORD = Record(Path(__file__).parent, {
    "airfoil": Size(3_000_000, 3_000, 180.0), "concrete": Size(2_000_000, 2_000, 60.0),
    "bike sharing": Size(600_000, 4_000, 180.0), "diabetes": Size(100_000, 500, 30.0),
    "wine": Size(50_000, 300, 20.0), "breast cancer": Size(50_000, 300, 20.0), "digits": Size(200_000, 1_500, 60.0)})

# So short that nothing of it is true: to see that all runs.
QUICK: Dict[str, Any] = {"sizes": {name: Size(1_000, 50, 1.0, quick=True) for name in ("diabetes", "wine")}}
