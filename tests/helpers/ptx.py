"""What the code that a CUDA compiler makes of the step has to be like."""

import re

__all__ = ["assert_nothing_is_left_open"]


def assert_nothing_is_left_open(ptx):
    """Every product and sum is rounded as it stands, for the driver may merge those that do not say so. And no array of
    a thread lies in memory, where every access would cost as much as a parameter's."""
    merged = re.search(r"\b(?:mul|add|sub)\.(?:ftz\.)?f(?:32|64)\b.*", ptx)
    assert merged is None, merged.group()
    rough = re.search(r"\b(?:sqrt|rsqrt|rcp|div|lg2|sin|cos)\.(?:approx|full)\.(?:ftz\.)?f32.*", ptx)
    assert rough is None, rough.group()     # ex2.approx is a part of the library's expf
    assert ".local" not in ptx
