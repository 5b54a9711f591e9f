"""Conclusions from estimates in all corners, and how many more questions the others take."""

from __future__ import annotations

import itertools

import pytest

from evaluation.test_savings import samples
from visionthink.core.intervals import paired_interval, wilson
from visionthink.evaluation.savings import estimate_text, estimates


def advice(*counts: int) -> tuple[str, str, int | None]:
    """Of questions right at both looks, at high only, at low only, at neither."""
    (row,) = estimates(samples(*counts), ["s"])
    return row["verdict"], row["advice"], row["more_questions"]


@pytest.mark.parametrize(
    ("counts", "verdict", "begins"),
    [
        ((200, 0, 0, 0), "low", "The small image alone is good enough here: look low saves 75.0 %"),
        ((120, 0, 4, 8), "low", "The small image alone is good enough here: look low saves 75.0 %"),
        ((100, 0, 40, 10), "low", "The small image alone is better here: look low scores more"),
        ((50, 25, 5, 20), "train", "Worth training: a model that learns when to request can save"),
        ((70, 30, 0, 0), "train", "Worth training: a model that learns when to request can save"),
        ((30, 70, 0, 0), "train", "Probably worth training: a model that"),
        ((10, 40, 0, 50), "doubtful", "Doubtful: at best 35.0 % of the visual tokens are saved"),
        ((10, 90, 0, 0), "originals", "Not worth it: 90.0 % of the questions need the original"),
        ((24, 76, 0, 0), "originals", "Probably not worth it: 76.0 % of the questions need the"),
    ],
)
def test_the_conclusion_follows_from_the_counts(counts: tuple[int, ...], verdict: str, begins: str):
    found, text, more = advice(*counts)
    assert (found, text[: len(begins)], more) == (verdict, begins, None)


@pytest.mark.parametrize(
    ("counts", "begins"),
    [
        ((0, 0, 0, 1), "No advice: only 0 of 1 answers from the original score right"),
        ((0, 0, 0, 200), "No advice: only 0 of 200 answers from the original score right"),
        ((0, 0, 200, 0), "No advice: only 0 of 200 answers from the original score right"),
        ((12, 0, 0, 88), "No advice: only 12 of 100 answers from the original score right"),
        ((1, 0, 0, 0), "No advice yet: 1 of 1 answers from the original score right, so their"),
        ((2, 0, 0, 0), "No advice yet: 2 of 2 answers from the original score right, so their"),
        ((1, 1, 0, 1), "No advice yet: 2 of 3 answers from the original score right, so their"),
        ((50, 0, 0, 0), "No advice yet: the small image alone scores about as much, but may lose"),
    ],
)
def test_no_advice_is_given_where_nothing_can_be_concluded(counts: tuple[int, ...], begins: str):
    verdict, text, _ = advice(*counts)
    assert (verdict, text[: len(begins)]) == ("unclear", begins)


def test_no_small_sample_gets_advice():
    """Whatever scores right of up to five questions; and every text can be printed."""
    for counts in itertools.product(range(6), repeat=4):
        if 0 < sum(counts) <= 5:
            rows = estimates(samples(*counts), ["s"])
            assert rows[-1]["verdict"] == "unclear", counts
            assert "No advice" in estimate_text(rows)


@pytest.mark.parametrize("right", [1, 3, 8])
def test_how_many_more_questions_make_accuracy_certain_enough(right: int):
    """The fewest at which the interval of the same share is at most 0.2 wide. For all right it is
    z² / (n + z²) wide: 3.84 / (16 + 3.84) = 0.194, and 0.204 at 15.
    """
    _, _, more = advice(right, 0, 0, 0)
    assert more == 16 - right


def test_how_many_more_questions_exclude_a_loss():
    """50 right at both: 0 ± 1.96 sqrt(2 / 52 / 52) = 0.0533; of 54 it is 2.7718 / 56 = 0.0495,
    of 53 0.0504.
    """
    assert advice(50, 0, 0, 0)[2] == 4
    assert paired_interval(0, 0, 54)[0] > -0.05 > paired_interval(0, 0, 53)[0]


def test_all_wrong_takes_as_many_as_the_least_certain_share():
    """One half at n: 1.96 / sqrt(n + 3.84) wide; 0.2 at n = 92.2."""
    assert advice(0, 0, 0, 3)[2] == 93 - 3
    low, high = wilson(0.5, 93) or (0, 1)
    assert high - low <= 0.2
    assert advice(0, 0, 0, 93)[2] is None
