"""What a question's words tell about its answer."""

from __future__ import annotations

import pytest

from visionthink.judges import question as asked
from visionthink.judges.units import unit


def test_words_are_stems():
    assert asked.question_words("How many Red Boxes?") == {"how", "many", "red", "box"}


NOUNS = [
    ("What is the room number?", {"room", "number"}),
    ("Which bar is highest?", {"bar"}),
    ("What colour is the car?", {"colour"}),
    ("Which of the lines rises?", {"line", "rise"}),
    ("Where is it?", set()),
    ("", {"bar", "line", "option", "figure"}),
]


@pytest.mark.parametrize(("question", "expected"), NOUNS)
def test_what_is_asked_for(question, expected):
    assert asked.asked_nouns(question) == expected


UNITS = [
    ("How long is it in meters?", "m"),
    ("How long is it (cm)?", "cm"),
    ("What is the speed in km/h?", "km/h"),
    ("How old is he?", "years"),
    ("How much, in dollars?", "$"),
    ("How many are in the box?", None),
    ("What share in %?", None),
    ("How long is it?", None),
]


@pytest.mark.parametrize(("question", "expected"), UNITS)
def test_the_unit_of_a_number_without_one(question, expected):
    assert asked.asked_unit(question) == (unit(expected) if expected else None)


ALTERNATIVES = [
    ("Is the light red, amber or green?", {"red", "amber", "green"}),
    ("Is it a cat or a dog?", {"cat", "dog"}),
    ("What is it?", set()),
]


@pytest.mark.parametrize(("question", "expected"), ALTERNATIVES)
def test_what_a_question_offers(question, expected):
    offered = asked.alternatives_in(question)
    assert expected <= offered
    assert bool(expected) == bool(offered)


KINDS = [
    (asked.is_about_labels, "What is the time signature?", True),
    (asked.is_about_labels, "What rating did it get?", True),
    (asked.is_about_labels, "What fraction is shaded?", False),
    (asked.is_about_numbers, "What fraction is shaded?", True),
    (asked.is_about_numbers, "Simplify 6/8.", True),
    (asked.is_about_numbers, "What fraction is written on the sign?", False),
    (asked.is_about_numbers, "What is the time signature?", False),
    (asked.is_about_numbers, "What is it?", False),
    (asked.is_about_numbers, "", True),
    (asked.leaves_out_a_scale, "How many millions?", True),
    (asked.leaves_out_a_scale, "How many?", False),
    (asked.is_cased, "What is the chemical formula?", True),
    (asked.is_cased, "What is the capital?", False),
    (asked.is_ordered, "List them in order.", True),
    (asked.is_ordered, "Which two, from left to right?", True),
    (asked.is_ordered, "Which two?", False),
    (asked.asks_for_several, "Which two colours are there?", True),
    (asked.asks_for_several, "Name the three cities.", True),
    (asked.asks_for_several, "Which city?", False),
    (asked.is_read_off, "What does the sign say?", True),
    (asked.is_read_off, "What colour is the sign?", False),
]


@pytest.mark.parametrize(("kind", "question", "expected"), KINDS)
def test_kinds_of_questions(kind, question, expected):
    assert kind(question) is expected


def test_a_question_is_read_up_to_its_limit():
    filler = "x" * asked.MOST_CHARACTERS
    assert asked.is_read_off("What does it say? " + filler) is True
    assert asked.is_read_off(f"{filler} What does it say?") is False
    assert "say" not in asked.question_words(f"{filler} say")
