"""Options that a question lists, letters that a reply picks, replies that miss the true one."""

from __future__ import annotations

import pytest

from visionthink.judges.choices import letters_of, misses, names_letter, options_in, with_text

LISTED = [
    ("Which? A. cat B. dog", {"A": "cat", "B": "dog"}),
    ("Which?\n(A) a cat\n(B) 2. dog\nAnswer shortly.", {"A": "a cat", "B": "2. dog"}),
    ("Which? A) cat, B) dog", {"A": "cat", "B": "dog"}),
    ("Which? A: cat; B: dog; C: cow", {"A": "cat", "B": "dog", "C": "cow"}),
    ("Which?\n[A] cat\n[B] dog", {"A": "cat", "B": "dog"}),
    ("Which?\na. cat\nb. dog", {"A": "cat", "B": "dog"}),
    ("Which?\nA - cat\nB - dog", {"A": "cat", "B": "dog"}),
    ("Who is A. Lincoln?\nA. a man\nB. a ship", {"A": "a man", "B": "a ship"}),
    (
        "Which?\nA. vitamin A.\nB. vitamin B.\nC. iron",
        {"A": "vitamin A.", "B": "vitamin B.", "C": "iron"},
    ),
    ("Which? A. cat", {}),
    ("Which? B. cat C. dog", {}),
    ("What is U.S.A. B. about?", {}),
    ("Which?", {}),
    ("", {}),
]


@pytest.mark.parametrize(("question", "expected"), LISTED)
def test_options_in(question, expected):
    assert options_in(question) == expected


ANIMALS = {"A": "cat", "B": "dog", "C": "a bird", "D": "none of these"}
PICKED = [
    ("B", "B"),
    ("b", "B"),
    ("(B)", "B"),
    ("B.", "B"),
    ("**B**", "B"),
    ("Option B", "B"),
    ("The correct option is B", None),  # a sentence: final_answer reads it
    ("B is correct", "B"),
    ("I choose B", "B"),
    ("I'd go with (B)", "B"),
    ("B. dog", "B"),
    ("B - dog", "B"),
    ("(B) a dog, I think", "B"),
    ("dog", "B"),
    ("A dog.", "B"),
    ("bird", "C"),
    ("A, C", "AC"),
    ("A and C", "AC"),
    ("A/B", "AB"),
    ("A, B", "AB"),
    ("AC", "AC"),
    ("A. cat, C. a bird", "AC"),
    ("none of these", "D"),
    ("E", None),
    ("B. cat", None),
    ("A or B", None),
    ("B or C, hard to say", None),
    ("not B", None),
    ("a horse", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), PICKED)
def test_the_letters_that_a_reply_picks(text, expected):
    assert letters_of(text, ANIMALS) == (None if expected is None else frozenset(expected))


def test_without_options_only_letters_are_read():
    assert letters_of("B", {}) == {"B"}
    assert letters_of("dog", {}) is None
    assert letters_of("AC", {}) is None


def test_two_options_with_one_text_cannot_be_told_apart():
    twice = {"A": "dog", "B": "dog"}
    assert letters_of("dog", twice) is None
    assert with_text("dog", twice) is None
    assert with_text("dog", ANIMALS) == {"B"}
    assert with_text("dog", {}) is None


@pytest.mark.parametrize(
    ("text", "expected"), [("B. blue", True), ("(B) blue", True), ("blue", False), ("B", False)]
)
def test_a_letter_with_its_mark(text, expected):
    assert names_letter(text) is expected


MISSES = [
    ("B", "B. cat", True),
    ("B", "A or B", True),
    ("B", "not B", True),
    ("B", "(B) is wrong", True),
    ("B", "B? no, wait, C", True),
    ("B", "cat", True),
    ("B", "the cat is on the left", True),
    ("B", "all of the above", True),
    ("B", "E", True),
    ("B", "a puppy", False),
    ("B", "the dog is on the left", False),
    ("B", "x" * 401, False),
    ("AC", "dog", True),
    ("AC", "cat or so", False),
]


@pytest.mark.parametrize(("truth", "text", "expected"), MISSES)
def test_what_cannot_mean_the_true_option(truth, text, expected):
    assert misses(frozenset(truth), text, ANIMALS) is expected
