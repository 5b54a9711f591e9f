"""Means and their errors, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from visionthink.core.means import mean, stderr


def test_mean_and_standard_error():
    """1, 1, 0, 0: mean 1/2, variance (4 · 1/4) / 3 = 1/3, error sqrt(1/3 / 4) = sqrt(1/12)."""
    assert mean([1, 1, 0, 0]) == 0.5
    assert stderr([1, 1, 0, 0]) == pytest.approx(math.sqrt(1 / 12))


def test_fewer_than_two_values_have_no_standard_error():
    assert (mean([]), stderr([]), stderr([0.3])) == (None, None, None)
    assert stderr([0.3, 0.3, 0.3]) == 0
