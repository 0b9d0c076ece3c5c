"""docs/correlated_noise.md says what the command that it names says."""
from correlated_table import DOCUMENT, Remedies


def test_the_document_has_the_table_that_its_command_makes():
    """Some of its rows, made anew: all take a quarter of a minute."""
    remedies = Remedies()
    remedies.rows = [remedies.rows[i] for i in (0, 1, 4, 7, 10)]
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for row in remedies.table().splitlines()[2:]:
        assert row in lines
