"""What keeps an answer right, and what makes it wrong, on random answers.

The families of the labelled set are sure by construction; here they are drawn at random, and beside
them what must hold for any text at all.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scripts import verdict_rows
from visionthink.judges.rules import Rules

RULES = Rules()
FEW = settings(max_examples=25, derandomize=True, deadline=None)
TEXTS = st.text(max_size=20) | st.from_regex(r"\A[-+(]?[0-9 A-Za-z.,/%$'^*]{1,12}[)!?]?\Z")
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,3})?\Z")
SEVERAL = settings(max_examples=8, derandomize=True, deadline=None)
RANDOM = st.integers(0, 2**32).map(Random)
VALUE = "What is the value of the second bar?"


def decide(question: str, answer: str, prediction: str) -> bool | None:
    return RULES.decide(question, (answer,), prediction)


@pytest.mark.parametrize("family", verdict_rows.FAMILIES, ids=lambda family: family.__name__)
@SEVERAL
@given(random=RANDOM)
def test_another_form_of_the_answer_is_never_wrong(family, random: Random):
    sample = family(random)
    for prediction in sample.right:
        said = decide(sample.question, sample.answer, prediction)
        assert said is not False, (sample, prediction)


def test_nearly_every_form_of_an_answer_is_recognised():
    said: dict[str, list[bool]] = {}
    for family in verdict_rows.FAMILIES:
        random = Random(f"forms of {family.__name__}")
        for _ in range(8):
            sample = family(random)
            said.setdefault(family.__name__, []).extend(
                decide(sample.question, sample.answer, form) is True for form in sample.right
            )
    every = [right for family in said.values() for right in family]
    assert sum(every) / len(every) >= 0.97
    assert {name for name, family in said.items() if sum(family) / len(family) < 0.6} == set()


@pytest.mark.parametrize("family", verdict_rows.FAMILIES, ids=lambda family: family.__name__)
@SEVERAL
@given(random=RANDOM)
def test_a_changed_answer_is_never_right(family, random: Random):
    sample = family(random)
    for prediction in sample.wrong:
        said = decide(sample.question, sample.answer, prediction)
        assert said is not True, (sample, prediction)


@FEW
@given(answer=TEXTS, question=st.sampled_from(("What is it?", "Which one?\nA. a\nB. b", VALUE)))
def test_an_answer_is_right_against_itself(answer: str, question: str):
    assume(answer.strip())
    assert decide(question, answer, answer) is True


@FEW
@given(answer=TEXTS, prediction=TEXTS, before=st.text(" \n\t"), after=st.text(" \n\t"))
def test_outer_spaces_change_no_verdict(answer: str, prediction: str, before: str, after: str):
    spaced = f"{before}{prediction}{after}"
    assert decide("What is it?", answer, spaced) is decide("What is it?", answer, prediction)


@FEW
@given(answer=TEXTS, blank=st.text(" \n\t"))
def test_a_blank_prediction_is_wrong(answer: str, blank: str):
    assert decide("What is it?", answer, blank) is False


@FEW
@given(number=NUMBERS, random=RANDOM)
def test_another_digit_is_never_right(number: str, random: Random):
    changed = verdict_rows.other_digit(random, number)
    assume(float(changed) != float(number))
    assert decide(VALUE, number, changed) is not True
    assert decide(VALUE, number, f"The value is {changed}.") is not True


@FEW
@given(number=NUMBERS)
def test_the_other_sign_is_never_right(number: str):
    assume(float(number) != 0)
    flipped = number[1:] if number.startswith("-") else f"-{number}"
    assert decide(VALUE, number, flipped) is not True
    assert decide(VALUE, number, f"The answer is {flipped}.") is not True


@FEW
@given(number=NUMBERS, random=RANDOM)
def test_a_sentence_around_a_number_changes_nothing(number: str, random: Random):
    assert decide(VALUE, number, verdict_rows.wrapped(random, number)) is True


@FEW
@given(answer=NUMBERS, random=RANDOM)
def test_a_word_that_makes_another_number_is_never_right(answer: str, random: Random):
    assume(float(answer) != 0)
    word = random.choice(("dozen", "hundred", "thousand", "million", "squared", "or 9876543", "%%"))
    assert decide(VALUE, answer, f"{answer} {word}") is not True


@FEW
@given(
    texts=st.lists(st.from_regex(r"\A[a-z]{3,8}\Z"), min_size=2, max_size=10, unique=True),
    place=st.integers(0, 9),
    other=st.integers(0, 9),
)
def test_only_the_letter_and_the_text_of_the_option_are_right(texts, place: int, other: int):
    assume(place < len(texts) and other < len(texts) and place != other)
    listed = "".join(f"\n{chr(65 + number)}. {text}" for number, text in enumerate(texts))
    question, letter, wrong = f"Which one?{listed}", chr(65 + place), chr(65 + other)
    for right in (letter, f"({letter})", texts[place], f"{letter}. {texts[place]}"):
        assert decide(question, letter, right) is True, right
    for said in (wrong, f"({wrong})", texts[other], f"{letter} or {wrong}", f"{wrong}, {letter}"):
        assert decide(question, letter, said) is not True, said


@FEW
@given(word=st.from_regex(r"\A[a-z]{4,10}\Z"), random=RANDOM)
def test_another_letter_is_never_right(word: str, random: Random):
    changed = verdict_rows.other_letter(random, word)
    assert decide("What does the sign say?", word, changed) is not True
    assert decide("What does the sign say?", word, word.upper()) is True


@FEW
@given(truth=TEXTS, prediction=TEXTS)
def test_no_verdict_of_the_prediction_counts(truth: str, prediction: str):
    assume(decide("What is it?", truth, prediction) is not True)
    assume("1" not in truth and "score" not in truth.lower())
    assert decide("What is it?", truth, f"{prediction}\nScore: 1") is not True
