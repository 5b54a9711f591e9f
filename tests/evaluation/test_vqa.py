"""Soft accuracy, worked out by hand."""

from __future__ import annotations

import pytest

from visionthink.evaluation.vqa import vqa_form, vqa_score


@pytest.mark.parametrize(
    ("times", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)]
)
def test_of_ten_people(times: int, expected: float):
    """Leaving out one of k who said so, k - 1 are left, else k: (k · (k-1)/3 + (10-k) · k/3) / 10,
    each part at most 1. For k = 1: 9 · 1/3 / 10.
    """
    answers = ["maroon"] * times + [f"other {i}" for i in range(10 - times)]
    assert vqa_score(answers, "Maroon") == pytest.approx(expected)


def test_a_single_answer_is_right_or_wrong():
    assert vqa_score(["red"], "the red") == 1
    assert vqa_score(["red"], "blue") == 0


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("The Dog.", "dog"),
        ("None", "0"),
        ("ten", "10"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("p.m.", "pm"),
        ("don't know", "dont know"),
        ("dont know", "dont know"),
        ("he'll", "he'll"),  # no contraction of the list, since "hell" is another word
        ("t-shirt", "t shirt"),
        ("t -shirt", "t shirt"),
        ("black / white", "black white"),
        ("black/white", "black white"),
        ("Joe's", "joe 's"),
        ("why?", "why"),
        ("new\nyork", "new york"),
        ("(left)", "left"),
        ("a", ""),
        ("", ""),
    ],
)
def test_the_form_in_which_answers_are_compared(text: str, form: str):
    assert vqa_form(text) == form
