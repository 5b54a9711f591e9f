"""Expressions that are equal in mathematics, by Math-Verify where it is installed (extra judges)."""

from __future__ import annotations


def same_expression(truth: str, said: str) -> bool:
    """Whether two expressions are equal; False also where that cannot be told."""
    return False
