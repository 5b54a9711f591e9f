"""Yes and no: what is plainly said, what is taken back, what cannot mean the truth."""

from __future__ import annotations

import pytest

from visionthink.judges.polarity import contradicts, polarity, said_polarity

ALONE = [
    ("yes", True),
    ("Yes.", True),
    ("**True**", True),
    ("yep", True),
    ("no", False),
    ("No!", False),
    ("false", False),
    ("nope", False),
    ("\N{CJK UNIFIED IDEOGRAPH-662F}", True),
    ("No idea", None),
    ("yes and no", None),
    ("not", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), ALONE)
def test_a_text_that_is_yes_or_no(text, expected):
    assert polarity(text) is expected


SAID = [
    ("Yes, there is one.", True),
    ("Yes, it is.", True),
    ("**Yes**, the dog is there.", True),
    ('Yes, it says "no parking".', True),
    ("Yes, it is not a cat.", True),
    ("Yes - it is there.", True),
    ("No, there is not.", False),
    ("No, there is no dog in the image.", False),
    ("No, it is a cat.", False),
    ("No dog.", False),
    ("It is on, yes.", True),
    ("There is a dog.", True),
    ("There is no dog.", False),
    ("Yes? Nope.", None),
    ("Yes, never.", None),
    ("Yes it isn't", None),
    ("Yes, it is not.", None),
    ("No, it is, yep", None),
    ("No, there is a dog.", None),
    ("No, it is.", None),
    ("No idea", None),
    ("No image provided", None),
    ("No. 5", None),
    ("no 5", None),
    ("Yes?", None),
    ("Yes, maybe.", None),
    ("Yes, wait, no.", None),
    ("Yes or no.", None),
    ("yes and no", None),
    ("I cannot say yes", None),
    ("A cat.", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), SAID)
def test_what_a_reply_says(text, expected):
    assert said_polarity("Is there a dog?", text) is expected


RESTATED = [
    ("Is the light on?", "The light is on.", True),
    ("Is the light on?", "The light is not on.", False),
    ("Is the light on?", "The light is off.", None),
    ("Is the light on?", "The fan is on.", None),
    ("Is there one?", "there is one", True),
    ("Does he wear a hat?", "He wears a hat.", None),
    ("What is on?", "What is on?", None),
]


@pytest.mark.parametrize(("question", "text", "expected"), RESTATED)
def test_a_reply_that_restates_the_question(question, text, expected):
    assert said_polarity(question, text) is expected


CONTRADICTIONS = [
    (True, "It is on, no.", True),
    (True, "yes and no", True),
    (False, "yes and no", True),
    (True, "Yes, never", True),
    (True, "Yes it isn't", True),
    (False, "No idea", True),
    (False, "No image provided", True),
    (True, "not yes", True),
    (True, "untrue", True),
    (True, "Yes? Nope.", True),
    (True, "There might be.", False),
    (True, "a dog", False),
    (True, "", False),
    (True, "no " * 200, False),
]


@pytest.mark.parametrize(("truth", "text", "expected"), CONTRADICTIONS)
def test_what_cannot_mean_the_truth(truth, text, expected):
    assert contradicts(truth, text) is expected
