"""The blocks of docs/five_lines.md run one after the other, as a reader runs them."""
import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "five_lines.md"


def test_the_page_runs(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(compile(block, str(PAGE), "exec"), names)
    assert (names["low"] < names["mean"]).all() and (names["mean"] < names["high"]).all()
    assert np.allclose(names["probability"].sum(axis=1), 1.0) and names["probabilities"].shape == (100, 10)
    printed = capsys.readouterr().out
    assert "4 chains of 100 samples" in printed and "learning_rate = 0.02" in printed
