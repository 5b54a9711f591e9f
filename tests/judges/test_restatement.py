"""Replies in the question's own words around the truth."""

from __future__ import annotations

import pytest

from visionthink.judges.restatement import restates

CASES = [
    ("Where does the arrow point?", "left", "The arrow points to the left.", True),
    ("What colour is the car?", "red", "The car is red.", True),
    ("What colour is the car?", "red", "The colour of the car is red", False),  # another order
    ("What is the man holding?", "umbrella", "The man is holding an umbrella.", True),
    ("Who kicked the dog?", "the man", "The man kicked the dog.", True),
    ("Who kicked the dog?", "the man", "The dog kicked the man.", False),
    ("What is not blue?", "the car", "The car is not blue.", True),
    ("What colour is the car?", "red", "The car is not red.", False),
    ("What is not blue?", "the car", "The car is blue.", False),
    ("Where does the arrow point?", "left", "The sign points to the left.", False),
    ("What colour is the car?", "red", "red or blue", False),
    ("What colour is the car?", "red", "The car is red if lit", False),
    ("What colour is the car?", "red", "red red car", False),
    ("Is the light red or green?", "red", "The light is green red", False),
    ("What colour is the car?", "red", "red", False),  # nothing is restated
    ("What colour is the car?", "red", "The car is dark red", False),
    ("", "red", "It is red", False),
    ("What colour is the car?", "red", "the " * 41 + "red", False),
]


@pytest.mark.parametrize(("question", "truth", "said", "expected"), CASES)
def test_a_reply_restates_the_question_around_the_truth(question, truth, said, expected):
    assert restates(question, truth, said) is expected
