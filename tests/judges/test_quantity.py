"""Quantities: what all of a text states, and when two of them agree."""

from __future__ import annotations

from fractions import Fraction

import pytest

from visionthink.judges.quantity import quantity, same_quantity, stem
from visionthink.judges.units import ONE, unit

READ = [
    ("3", 3, "", ""),
    ("-5", -5, "", ""),
    ("\N{MINUS SIGN}5", -5, "", ""),
    ("minus five", -5, "", ""),
    ("-$5.00", -5, "$", ""),
    ("$-5.00", -5, "$", ""),
    ("about 3", 3, "", ""),
    ("three dogs", 3, "", "dog"),
    ("3 red apples", 3, "", "red apple"),
    ("3 people", 3, "", "person"),
    ("5 km", 5, "km", ""),
    ("5km", 5, "km", ""),
    ("45 %", 45, "%", ""),
    ("45 percent", 45, "%", ""),
    ("$3.50", Fraction(7, 2), "$", ""),
    ("3.50 dollars", Fraction(7, 2), "$", ""),
    ("$1.5m", 1_500_000, "$", ""),
    ("1.5 million", 1_500_000, "", ""),
    ("2k", 2000, "", ""),
    ("1 1/2 hours", Fraction(3, 2), "h", ""),
    ("1\N{VULGAR FRACTION ONE HALF}", Fraction(3, 2), "", ""),
    ("10\N{SUPERSCRIPT TWO}", 100, "", ""),
    (
        "1.5 \N{MULTIPLICATION SIGN} 10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT THREE}",
        Fraction(3, 2000),
        "",
        "",
    ),
    ("6 ft 2 in", 74, "in", ""),
    ("3 hours and 15 minutes", 195, "min", ""),
    ("3 dozen", 36, "", ""),
    ("3 squared", 9, "", ""),
    ("two thirds", Fraction(2, 3), "", ""),
    ("twenty one", 21, "", ""),
    ("5'", 5, "ft", ""),
    ('5"', 5, "in", ""),
    ("5 m long", 5, "m", ""),
    ("68 \N{DEGREE SIGN}F", 68, "\N{DEGREE SIGN}F", ""),
    ("68 degrees Fahrenheit", 68, "\N{DEGREE SIGN}F", ""),
]


@pytest.mark.parametrize(("text", "value", "named", "noun"), READ)
def test_a_text_that_is_a_quantity(text, value, named, noun):
    read = quantity(text)
    assert read is not None
    one = unit(named) if named else ONE
    assert one is not None
    assert (read.value, read.unit.dimension, read.unit.size) == (value, one.dimension, one.size)
    assert read.noun == noun


NOT_READ = [
    *("", "dogs", "4 maybe", "4 wrong", "3 or 4", "3 pm", "3b", "Score: 3", "1990s", "5!", "--5"),
    *("3 or so", "5 below zero", "007", "1/0", "3 dog", "3 ones", "5 times 3", "H2O"),
    *("3 plus 4", "-5 below", "2 dogs and 3 cats", "x", "3 to 4", "10/10 stars or so"),
    "9" * 101,
]


@pytest.mark.parametrize("text", NOT_READ)
def test_a_text_that_is_not_all_understood(text):
    assert quantity(text) is None


def test_what_the_question_asks_for_may_follow_the_number():
    words = frozenset({"red", "fish", "tank"})
    read = quantity("3 fish tank", words)
    assert read is not None
    assert (read.value, read.noun) == (3, "fish tank")
    assert quantity("6 blue balls", frozenset({"red", "ball"})) is None


def same(truth: str, said: str, **options) -> bool | None:
    first, second = quantity(truth), quantity(said)
    assert first is not None
    assert second is not None
    return same_quantity(first, second, **options)


PAIRS = [
    ("3", "3.0", True),
    ("3", "three dogs", True),
    ("3", "4", False),
    ("4.73", "4.730", True),
    ("4.73", "4.72", False),
    ("-5", "5", False),
    ("-$5.00", "$5.00", False),
    ("3 dogs", "3 cats", False),
    ("3 dogs", "4 dogs", False),
    ("3 dogs", "3 animals", None),
    ("3 dogs", "3 km", None),
    ("5 km", "5", True),
    ("5 km", "5000 m", True),
    ("5 km", "5 m", False),
    ("5 km", "5 kg", False),
    ("5 minutes", "5 months", False),
    ("3 m", "3 square meters", False),
    ("5 miles", "8 km", True),
    ("5 miles", "9 km", False),
    ("36 km/h", "10 m/s", True),
    ("3 MW", "3 mW", False),
    ("$5", "\N{EURO SIGN}5", False),
    ("45%", "45", True),
    ("45%", "0.45", True),
    ("45%", "0.46", False),
    ("1 hour", "60 minutes", True),
    ("1 year", "12 months", True),
    ("0 \N{DEGREE SIGN}C", "32 \N{DEGREE SIGN}F", True),
    ("20 \N{DEGREE SIGN}C", "20 \N{DEGREE SIGN}F", False),
    ("68 \N{DEGREE SIGN}F", "68\N{DEGREE SIGN}", True),
    ("5 pounds", "\N{POUND SIGN}5", True),
    ("5 pounds", "5 lb", True),
    ("6/8", "3/4", None),
    ("6/8", "6/8", True),
    ("1/2", "0.5", None),
    ("1/3", "0.3333", True),
    ("1/3", "0.33", False),
    ("1.5 million", "1.5", False),
    ("20", "twenty one", False),
]


@pytest.mark.parametrize(("truth", "said", "expected"), PAIRS)
def test_two_quantities(truth, said, expected):
    assert same(truth, said) is expected


def test_a_question_about_numbers_makes_fractions_equal():
    assert same("6/8", "3/4", calculated=True) is True
    assert same("1/2", "0.5", calculated=True) is True
    assert same("1/2", "0.6", calculated=True) is False


def test_a_scale_that_the_question_may_leave_out_cannot_be_told():
    assert same("1.5 million", "1.5", scaled=True) is None
    assert same("1.5 million", "1.6", scaled=True) is False


@pytest.mark.parametrize(("said", "expected"), [("105", True), ("95", True), ("106", False)])
def test_tolerance_is_relative_to_the_truth(said, expected):
    assert same("100", said, tolerance=0.05) is expected


STEMS = [
    ("dogs", "dog"),
    ("berries", "berry"),
    ("boxes", "box"),
    ("glasses", "glass"),
    ("glass", "glass"),
    ("bus", "bus"),
    ("people", "person"),
    ("leaves", "leaf"),
    ("is", "is"),
]


@pytest.mark.parametrize(("word", "expected"), STEMS)
def test_stems(word, expected):
    assert stem(word) == expected
