"""Where things lie in a checkout, for tests that start processes of their own."""
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
ROOT = HELPERS.parent.parent
