"""Answers that contain the truth as whole words and numbers."""

from __future__ import annotations

import pytest

from visionthink.core.mentions import mentions


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("79.08", "Total: 79.08"),
        ("STOP", 'The sign says "stop".'),
        ("new york", "New\n York City"),
        ("1", "It is 1."),
        ("1", "1, 2"),
        ("1", "2-1"),
        ("A", "The answer is A"),
        ("A", "(A) a cat"),
        ("A", "A. cat"),
        ("5", "It costs $5"),
        ("-1", "x = -1"),
        ("né", "Il est né ici"),
        ("?", "why?!"),
    ],
)
def test_contained(answer: str, said: str):
    assert mentions([answer], said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("red", "infrared"),
        ("red", "redder"),
        ("1", "10"),
        ("1", "21"),
        ("1", "1.5"),
        ("1", "1,000"),
        ("1", "1/2"),
        ("5", "-5"),
        ("5", "it is \u22125"),
        ("A", "A cat"),
        ("A", "a"),
        ("I", "I think so"),
        ("$5", "$5.50"),
        ("tea", ""),
        (" ", "a b"),
    ],
)
def test_not_contained(answer: str, said: str):
    assert not mentions([answer], said)


def test_any_of_the_answers():
    assert mentions(["tea", "chai"], "a chai latte")
    assert not mentions([], "a chai latte")
