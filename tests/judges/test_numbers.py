"""Numbers as people write them, in digits and in words."""

from __future__ import annotations

from fractions import Fraction

import pytest

from visionthink.judges.numbers import Number, leading_number, numbers_in

WHOLE = [
    # text, value, step: one unit of the last digit
    ("3", Fraction(3), 1),
    ("4.73", Fraction(473, 100), Fraction(1, 100)),
    ("4.730", Fraction(473, 100), Fraction(1, 1000)),
    (".5", Fraction(1, 2), Fraction(1, 10)),
    ("1,234.5", Fraction(2469, 2), Fraction(1, 10)),
    ("1.234,5", Fraction(2469, 2), Fraction(1, 10)),
    ("1 234", Fraction(1234), 1),
    ("1'234", Fraction(1234), 1),
    ("1,00,000", Fraction(100_000), 1),
    ("3,5", Fraction(7, 2), Fraction(1, 10)),
    ("0,125", Fraction(1, 8), Fraction(1, 1000)),
    ("1,234", Fraction(1234), 1),
    ("1e3", Fraction(1000), 1000),
    ("2.5e-3", Fraction(1, 400), Fraction(1, 10_000)),
    ("2.5 x 10^3", Fraction(2500), 100),
    ("10^6", Fraction(10**6), 0),
    ("2**5", Fraction(32), 0),
    ("1/3", Fraction(1, 3), 0),
    ("1 1/2", Fraction(3, 2), 0),
    ("1-1/2", Fraction(3, 2), 0),
    ("1 and a half", Fraction(3, 2), 0),
    ("three", Fraction(3), 0),
    ("twenty-one", Fraction(21), 0),
    ("twenty one", Fraction(21), 0),
    ("one hundred and five", Fraction(105), 0),
    ("a hundred", Fraction(100), 0),
    ("a dozen", Fraction(12), 0),
    ("two dozen", Fraction(24), 0),
    ("half", Fraction(1, 2), 0),
    ("two thirds", Fraction(2, 3), 0),
    ("three and a half", Fraction(7, 2), 0),
    ("9" * 30, Fraction(10**30 - 1), 1),
]


@pytest.mark.parametrize(("text", "value", "step"), WHOLE)
def test_a_number_and_its_last_digit(text, value, step):
    found = leading_number(text)
    assert found is not None
    number, end = found
    assert (number.value, end) == (value, len(text))
    assert number.step == step


def test_a_fraction_keeps_how_it_was_written():
    assert leading_number("6/8") == (Number(Fraction(3, 4), over=(6, 8)), 3)
    assert leading_number("1 6/8") == (Number(Fraction(7, 4)), 5)


NONE = ["", "x", "-3", "007", "1/0", "1.2.3", "1,2,3", "many", "and", "a", "a cat"]


@pytest.mark.parametrize("text", NONE)
def test_what_begins_with_no_number(text):
    assert leading_number(text) is None


ENDS = [
    ("3 dogs", 3, 1),
    ("twenty one dogs", 21, 10),
    ("5km", 5, 1),
    ("3. dog", 3, 1),
    ("two dogs and one cat", 2, 3),
]


@pytest.mark.parametrize(("text", "value", "end"), ENDS)
def test_a_number_ends_where_its_digits_or_words_end(text, value, end):
    found = leading_number(text)
    assert found is not None
    assert (found[0].value, found[1]) == (value, end)


HELD = [
    ("no number", []),
    ("12 of 20", [12, 20]),
    ("two or three dogs", [2, 3]),
    ("in 1990s", [1990]),
    ("-4 degrees", [4]),
    ("1\N{VULGAR FRACTION ONE HALF} hours", [Fraction(3, 2)]),
    ("room A12", [12]),
    ("3/4 cup", [Fraction(3, 4)]),
]


@pytest.mark.parametrize(("text", "expected"), HELD)
def test_all_numbers_of_a_text(text, expected):
    assert numbers_in(text) == expected
