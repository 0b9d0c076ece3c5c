"""The citation file is of this version."""
import re
from pathlib import Path

import sgmcmc_mx

CITATION = Path(__file__).resolve().parents[2] / "CITATION.cff"


def test_the_version_is_the_package_s():
    said = re.search(r"^version: (.+)$", CITATION.read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert sgmcmc_mx.__version__.startswith(said)
