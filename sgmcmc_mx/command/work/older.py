"""What earlier versions have kept of a run, in today's words."""
from __future__ import annotations

from typing import Any, Dict, List

from ...tables.columns import GAP, NAMES, NUMBER, Part

__all__ = ["of_format_1"]

_NO_NAME = "(missing)"      # what stood for a missing name


def of_format_1(content: Dict[str, Any]) -> Dict[str, Any]:
    """A column was one dictionary, gaps included; a regression's network said log sigma, and that was not kept."""
    inputs, target = content["inputs"], content["target"]
    if inputs["kind"] == "table":
        parts = [part for column in inputs["columns"] for part in _parts(column)]
        inputs = {**{name: value for name, value in inputs.items() if name != "columns"}, "parts": parts}
    if target["task"] == "regression":
        target = {**target, "link": "log"}
    return {**content, "inputs": inputs, "target": target}


def _parts(column: Dict[str, Any]) -> List[Part]:
    name = column["name"]
    if column["kind"] == "names":
        return [{"kind": NAMES, "name": name, "values": [None if v == _NO_NAME else v for v in column["values"]]}]
    number = {"kind": NUMBER, **{key: column[key] for key in ("name", "fill", "mean", "scale")}}
    return [number] + ([{"kind": GAP, "name": name, "mean": 0.0, "scale": 1.0}] if column["missing"] else [])
