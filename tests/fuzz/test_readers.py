"""A short hunt with fixed seeds, so that a reader that breaks is seen before the long one (``readers.py``)."""
import random

import pytest

from . import readers


@pytest.mark.parametrize("name", readers.READERS)
def test_damaged_files_get_the_documented_exception(name):
    reader, rng = readers.READERS[name], random.Random(name)
    seeds = reader.seeds()
    for _ in range(reader.short):
        blob = readers.mutated(seeds, rng)
        wrong = readers.verdict(reader, blob)
        assert not wrong, (wrong, blob[:200])


@pytest.mark.parametrize("name", readers.READERS)
def test_good_files_are_read(name):
    reader = readers.READERS[name]
    reader.read(reader.seeds()[0])


def test_the_hunt_finds(tmp_path, capsys):
    """A reader that trusts a length is found out, and its file is kept."""
    def trusting(blob):
        if len(blob) < 1 + blob[0]:
            raise OSError("truncated")
        blob[1:][blob[0] - 1]

    reader = readers.Reader(trusting, (OSError,), lambda: [b"\3abc", b"\0"])
    assert readers.verdict(reader, b"\3abc") == readers.verdict(reader, b"\3ab") == ""
    assert readers.verdict(reader, b"").startswith("IndexError")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(readers.READERS, "trusting", reader)
        assert readers.hunt("trusting", 0.2, 0, tmp_path) > 0
    kept = [path for path in tmp_path.iterdir() if path.name != "last"]
    assert kept and all(readers.verdict(reader, path.read_bytes()) for path in kept)
    assert "IndexError" in capsys.readouterr().out
