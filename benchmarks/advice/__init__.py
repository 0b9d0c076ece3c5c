"""Whether the settings that sg.suggest proposes hold, on eight problems and from ten starts each."""
from .table import run

__all__ = ["run"]
