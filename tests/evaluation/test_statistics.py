"""Intervals and F1, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from visionthink.evaluation.statistics import f1, paired_bootstrap


def test_equal_scores_have_an_interval_of_zero_width():
    assert paired_bootstrap([0.0] * 50) == {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert paired_bootstrap([1.0] * 50) == {"difference": 1.0, "low": 1.0, "high": 1.0}


def test_the_interval_of_two_pairs():
    """Resamples of (1, -1) have the means -1, 0 and 1 with the chances 1/4, 1/2 and 1/4, so that
    both ends of a 95 % interval are the extremes.
    """
    assert paired_bootstrap([1.0, -1.0]) == {"difference": 0.0, "low": -1.0, "high": 1.0}


def test_one_pair_has_no_interval():
    assert paired_bootstrap([1.0]) is None
    assert paired_bootstrap([]) is None


def test_a_large_sample_has_the_normal_interval():
    """900 wins of 10,000 and 400 losses: mean 0.05, variance 0.13 - 0.0025 = 0.1275, standard error
    0.003571; ±1.96 of it is 0.0430 to 0.0570. A bootstrap of 10,000 is within a tenth of an error.
    """
    found = paired_bootstrap([1.0] * 900 + [-1.0] * 400 + [0.0] * 8700)
    assert found is not None
    assert found["difference"] == 0.05
    assert found["low"] == pytest.approx(0.0430, abs=0.0004)
    assert found["high"] == pytest.approx(0.0570, abs=0.0004)


def test_scores_that_are_all_different():
    """0.001 to 1.000: mean 0.5005, standard error 0.2887 / sqrt(1000) = 0.00913. So many distinct
    values are drawn in several rounds.
    """
    found = paired_bootstrap([i / 1000 for i in range(1, 1001)] * 5)
    assert found is not None
    assert found["difference"] == pytest.approx(0.5005)
    assert found["low"] == pytest.approx(0.5005 - 1.96 * 0.2887 / math.sqrt(5000), abs=0.0005)
    assert found["high"] == pytest.approx(0.5005 + 1.96 * 0.2887 / math.sqrt(5000), abs=0.0005)


def test_an_interval_is_reproduced_by_its_seed():
    differences = [i**0.5 for i in range(60)]
    assert paired_bootstrap(differences, 1) == paired_bootstrap(differences, 1)
    assert paired_bootstrap(differences, 1) != paired_bootstrap(differences, 2)


def test_f1_of_yes():
    """Two hits, one false yes, two missed (one of them by an answer that is neither): precision
    2/3, recall 2/4, F1 = 2 · (2/3 · 2/4) / (2/3 + 2/4) = 4/7.
    """
    pairs = [(True, True), (True, True), (False, True), (True, False), (True, None), (False, False)]
    assert f1(pairs) == pytest.approx(4 / 7)


def test_f1_without_any_yes():
    assert f1([(False, False), (False, None)]) is None
    assert f1([(True, False)]) == 0
