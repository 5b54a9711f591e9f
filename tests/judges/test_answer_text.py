"""Answers as text: what `bare` and `normal` drop, what they keep, and edit distance."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionthink.judges.answer_text import bare, distance, last_match, normal, places, similarity

BARE = [
    ("  Paris.\n", "Paris"),
    ("**Paris**", "Paris"),
    ("**Paris.**", "Paris"),
    ("*Paris*", "Paris"),
    ("`Paris`", "Paris"),
    ("<b>Paris</b>", "Paris"),
    ('"Paris".', "Paris"),
    ("'Paris'", "Paris"),
    ("\N{LEFT DOUBLE QUOTATION MARK}Paris\N{RIGHT DOUBLE QUOTATION MARK}", "Paris"),
    ("(red)", "red"),
    ("(B)", "(B)"),
    ("Stop!", "Stop"),
    ("5!", "5!"),
    ("f!", "f!"),
    ("2 * 3 * 4", "2 * 3 * 4"),
    ("?", "?"),
    ("...", "..."),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expected"), BARE)
def test_markup_quotes_and_the_full_stop_are_dropped(text, expected):
    assert bare(text) == expected


EQUAL = [
    ("Paris", "paris."),
    ("the Beatles", "Beatles"),
    ("a dog", "The dog"),
    ("T-shirt", "t shirt"),
    ("U.S.", "US"),
    ("J. K. Rowling", "JK Rowling"),
    ("don't walk", "don\N{RIGHT SINGLE QUOTATION MARK}t walk"),
    ("1,000 people", "1000 people"),
    ("(1, 2)", "(1,2)"),
    ("x + y", "x+y"),
    ("5 %", "5%"),
    ("10\N{SUPERSCRIPT TWO}", "10^2"),
    ("H\N{SUBSCRIPT TWO}O", "H_2O"),
    ("Fe\N{SUPERSCRIPT THREE}\N{SUPERSCRIPT PLUS SIGN}", "Fe^{3+}"),
    ("AT&T", "AT and T"),
    ("first", "1st"),
    ("twenty-first floor", "21st floor"),
    ("grey", "gray"),
    ("colour", "color"),
    ("\N{FULLWIDTH LATIN CAPITAL LETTER A}BC", "abc"),
    ("a\N{ZERO WIDTH SPACE}b", "ab"),
    ("x\N{MINUS SIGN}1", "x-1"),
    ("straße", "STRASSE"),
]


@pytest.mark.parametrize(("first", "second"), EQUAL)
def test_equal_answers_have_one_normal_form(first, second):
    assert normal(first) == normal(second)


DIFFERENT = [
    ("-x", "x"),
    ("\N{MINUS SIGN}5", "5"),
    ("A-", "A"),
    ("A+", "A"),
    ("C#", "C"),
    ("C*", "C"),
    ("Cl-", "Cl"),
    ("f'(x)", "f(x)"),
    ("[0, 1)", "(0, 1]"),
    ("5!", "5"),
    ("5'", '5"'),
    ("10\N{SUPERSCRIPT TWO}", "102"),
    ("2\N{SUPERSCRIPT FIVE}", "25"),
    ("x-y", "x/y"),
    ("x-y", "xy"),
    ("x*y", "x y"),
    (".5", "5"),
    ("5%", "5"),
    ("1.5", "15"),
    ("1,5", "15"),
    ("10:30", "1030"),
    ("Vitamin A", "Vitamin"),
    ("año", "ano"),
    ("\N{INFINITY}", "-\N{INFINITY}"),
    ("\N{SQUARE ROOT}2", "-\N{SQUARE ROOT}2"),
    ("AT&T", "ATT"),
    ("12", "A-12"),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_what_tells_answers_apart_stays(first, second):
    assert normal(first) != normal(second)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=30) | st.text("*_`\x27\x22 .a\u200b", max_size=6))
def test_a_text_that_is_not_blank_has_a_normal_form(text):
    assert bool(normal(text)) == bool(text.strip())


def test_a_run_of_combining_marks_is_left_as_it_is():
    """NFKC sorts the marks of a character, in a time that grows with their square."""
    text = "a" + "\N{COMBINING GRAVE ACCENT BELOW}\N{COMBINING ACUTE ACCENT}" * 20_000
    assert normal(text) == text


PLACES = [
    ("red", "red or dark red", [(0, 3), (12, 15)]),
    ("red", "reddish, hundred", []),
    ("5", "15 and 5", [(7, 8)]),
    ("-5", "x-5", [(1, 3)]),
    ("", "anything", []),
    ("red", "", []),
]


@pytest.mark.parametrize(("part", "text", "expected"), PLACES)
def test_places_are_whole_words(part, text, expected):
    assert list(places(part, text)) == expected


def test_the_last_match():
    found = last_match(re.compile("[0-9]"), "1 and 2")
    assert found is not None
    assert found.span() == (6, 7)
    assert last_match(re.compile("[0-9]"), "none") is None


SIMILAR = [
    ("kitten", "Sitting ", 1 - 3 / 7),
    ("", "", 1.0),
    ("abc", "", 0.0),
    ("abc", "ABC", 1.0),
    ("abcd", "abXd", 0.75),
]


@pytest.mark.parametrize(("first", "second", "expected"), SIMILAR)
def test_similarity_is_one_less_the_share_of_edits(first, second, expected):
    assert similarity(first, second) == expected


@settings(deadline=None)
@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_distance_is_that_of_the_plain_algorithm(first, second):
    row = list(range(len(second) + 1))
    for at, char in enumerate(first, 1):
        diagonal, row[0] = row[0], at
        for to, other in enumerate(second, 1):
            best = min(row[to] + 1, row[to - 1] + 1, diagonal + (char != other))
            diagonal, row[to] = row[to], best
    assert distance(first, second) == row[-1]
