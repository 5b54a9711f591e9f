"""F1, against figures worked out by hand."""

from __future__ import annotations

import pytest

from visionthink.evaluation.statistics import f1


def test_f1_of_yes():
    """Two hits, one false yes, two missed (one of them by an answer that is neither): precision
    2/3, recall 2/4, F1 = 2 · (2/3 · 2/4) / (2/3 + 2/4) = 4/7.
    """
    pairs = [(True, True), (True, True), (False, True), (True, False), (True, None), (False, False)]
    assert f1(pairs) == pytest.approx(4 / 7)


def test_f1_without_any_yes():
    assert f1([(False, False), (False, None)]) is None
    assert f1([(True, False)]) == 0
