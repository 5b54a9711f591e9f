"""When texts that are not equal clearly mean different things."""

from __future__ import annotations

import pytest

from visionthink.judges.contrasts import clearly_other, clearly_other_number, refuses

OTHER = [
    ("What colour?", "red", "blue"),
    ("What colour?", "red", "not red"),
    ("What colour?", "red", "red or blue"),
    ("What colour?", "red", "red? no, blue"),
    ("What colour?", "red", "anything but red"),
    ("What colour?", "red", "I cannot tell"),
    ("What colour?", "red", "unknown"),
    ("What colour?", "red", "?!"),
    ("Which way?", "left", "right"),
    ("Is it a cat or a lynx?", "cat", "lynx"),
    ("Which grade?", "A", "A-"),
    ("Blood type?", "AB", "AB-"),
    ("x?", "-x", "x"),
    ("x?", "f(x)", "f'(x)"),
    ("x?", "x-y", "x/y"),
    ("x?", "[0, 1)", "(0, 1]"),
    ("Which?", "C", "C*"),
    ("Which row?", "Row 4", "Row 14"),
    ("Where?", "12 High Street", "21 High Street"),
    ("Which code?", "XR-500", "XR-505"),
    ("What does the sign say?", "STOP", "SHOP"),
    ("What does the sign say?", "STOP", "YIELD"),
    ("Where?", "Paris", "London"),
    ("Who?", "Marie Curie", "Albert Einstein"),
    ("What?", "C", "B"),
]


@pytest.mark.parametrize(("question", "truth", "said"), OTHER)
def test_a_text_that_cannot_mean_the_truth(question, truth, said):
    assert clearly_other(question, truth, said) is True


OPEN = [
    ("Where?", "Paris", "the French capital"),
    ("What animal?", "dog", "a puppy"),
    ("What?", "año", "ano"),
    ("What?", "organise", "organize"),
    ("Where?", "High Street", "High St"),
    ("Which city?", "New York City", "NYC"),
    ("Which decade?", "1980s", "80s"),
    ("What is he doing?", "riding a bike", "cycling"),
    ("What colour?", "dark red", "maroon"),
    ("Who?", "doctor", "a person in a white coat"),
    ("What?", "red", "x" * 401),
]


@pytest.mark.parametrize(("question", "truth", "said"), OPEN)
def test_a_text_that_may_mean_the_truth(question, truth, said):
    assert clearly_other(question, truth, said) is False


NUMBERS = [
    ("3", "4 dogs and a cat", True),
    ("3", "3 or 4", True),
    ("3", "more than 3", True),
    ("3", "not 3", True),
    ("3", "3 maybe", True),
    ("3", "3, 4", True),
    ("3", "3? no, wait", True),
    ("3", "I cannot see", True),
    ("3", "several dogs", True),
    ("3", "a few", True),
    ("3", "a trio", False),
    ("3", "trois", False),
    ("3", "3 as far as I see", False),
    ("3", "\N{CJK UNIFIED IDEOGRAPH-4E09}", False),
    ("1.5 million", "1.5 as written", False),
    ("50", "half of 100 %", False),
]


@pytest.mark.parametrize(("truth", "said", "expected"), NUMBERS)
def test_a_reply_that_states_another_number(truth, said, expected):
    assert clearly_other_number("How many dogs?", truth, said) is expected


REFUSALS = [
    ("I cannot tell", True),
    ("I can't see the image.", True),
    ("Sorry, I am not able to read it", True),
    ("It is unclear", True),
    ("The text is not readable", True),
    ("unknown", True),
    ("No idea.", True),
    ("n/a", True),
    ("none of the above", True),
    ("red", False),
    ("No", False),
    ("The man cannot see", False),
    ("", False),
]


@pytest.mark.parametrize(("text", "expected"), REFUSALS)
def test_a_reply_that_gives_no_answer(text, expected):
    assert refuses(text) is expected
