"""The workers of a distributed run, and what they tell each other beside MXNet's parameter server."""
from .channel import Channel
from .group import Group, in_a_job

__all__ = ["Channel", "Group", "in_a_job"]
