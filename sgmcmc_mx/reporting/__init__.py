"""A page on what came of chains: verdicts first, then scores, pictures, examples, tables and how it was made."""
from .report import report
from .watching import watching

__all__ = ["report", "watching"]
