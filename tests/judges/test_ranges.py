"""Ranges, ratios, ratings, bounds and opening hours."""

from __future__ import annotations

import pytest

from visionthink.judges.ranges import bound, hours, pair, same_bound, same_pair

PAIRS = [
    ("18-25", "-", 18, 25),
    ("18\N{EN DASH}25", "-", 18, 25),
    ("18 to 25", "to", 18, 25),
    ("from 18 to 25", "to", 18, 25),
    ("between 18 and 25", "to", 18, 25),
    ("pages 3-7", "-", 3, 7),
    ("3:2", ":", 3, 2),
    ("10/10", "/", 10, 10),
    ("7 out of 10", "/", 7, 10),
    ("2019/20", "-", 2019, 2020),
    ("1998-99", "-", 1998, 1999),
    ("5-10 km", "-", 5, 10),
]


@pytest.mark.parametrize(("text", "sign", "first", "second"), PAIRS)
def test_two_numbers_and_their_sign(text, sign, first, second):
    found = pair(text)
    assert found is not None
    assert (found.sign, found.first.value, found.second.value) == (sign, first, second)


@pytest.mark.parametrize(
    "text",
    ["", "18", "red-blue", "18 and 25", "between 18 to 25", "-5 to 5", "3:2:1", "18-25 or so"],
)
def test_what_is_no_pair(text):
    assert pair(text) is None


SAME_PAIRS = [
    ("18-25", "18 to 25", True),
    ("18-25", "18\N{EN DASH}25", True),
    ("18-25", "between 18 and 25", True),
    ("18-25", "18-26", False),
    ("18-25", "25-18", False),
    ("18-25", "18/25", None),
    ("5-10 km", "5 to 10 km", True),
    ("5-10 km", "5 to 10 kg", False),
    ("3:2", "3 to 2", True),
    ("3:2", "2:3", False),
    ("3:2", "3-2", None),
    ("7/10", "7 out of 10", True),
    ("7/10", "7-10", None),
    ("2019/20", "2019-2020", True),
]


@pytest.mark.parametrize(("truth", "said", "expected"), SAME_PAIRS)
def test_two_pairs(truth, said, expected):
    true, given = pair(truth), pair(said)
    assert true is not None
    assert given is not None
    assert same_pair(true, given) is expected


BOUNDS = [
    ("65+", "\N{GREATER-THAN OR EQUAL TO}", 65),
    ("65 and over", "\N{GREATER-THAN OR EQUAL TO}", 65),
    ("65 or older", "\N{GREATER-THAN OR EQUAL TO}", 65),
    ("at least 3", "\N{GREATER-THAN OR EQUAL TO}", 3),
    ("more than 3", ">", 3),
    ("over $5", ">", 5),
    ("> 3", ">", 3),
    (">= 3", "\N{GREATER-THAN OR EQUAL TO}", 3),
    ("less than 3", "<", 3),
    ("under 18", "<", 18),
    ("at most 3", "\N{LESS-THAN OR EQUAL TO}", 3),
    ("up to 3", "\N{LESS-THAN OR EQUAL TO}", 3),
    ("no more than 3", "\N{LESS-THAN OR EQUAL TO}", 3),
    ("3 or fewer", "\N{LESS-THAN OR EQUAL TO}", 3),
]


@pytest.mark.parametrize(("text", "sign", "value"), BOUNDS)
def test_a_bound_and_its_sign(text, sign, value):
    found = bound(text)
    assert found is not None
    assert (found[0], found[1].value) == (sign, value)


@pytest.mark.parametrize("text", ["", "65", "over there", "+", "3 or 4", "at least a few"])
def test_what_is_no_bound(text):
    assert bound(text) is None


SAME_BOUNDS = [
    ("65+", "65 or older", True),
    ("65+", "at least 65", True),
    ("65+", "more than 65", False),
    ("65+", "under 65", False),
    ("65+", "66+", False),
    ("at most 3", "3 or fewer", True),
]


@pytest.mark.parametrize(("truth", "said", "expected"), SAME_BOUNDS)
def test_two_bounds(truth, said, expected):
    true, given = bound(truth), bound(said)
    assert true is not None
    assert given is not None
    assert same_bound(true, given) is expected


HOURS = [
    ("9 am - 5 pm", (32_400, 61_200)),
    ("9:00 am to 5:00 pm", (32_400, 61_200)),
    ("from 9:00 until 17:00", (32_400, 61_200)),
    ("9-5", None),
    ("9:00-11:00", None),
    ("9 am", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), HOURS)
def test_opening_hours(text, expected):
    assert hours(text) == expected
