"""A folder with a small table, which the command is called in."""
import pytest
from small_tables import table


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table("good.csv")
    return tmp_path
