"""The answer that a reply ends in, and replies that state none."""

from __future__ import annotations

import pytest

from visionthink.judges.final_answer import Stated, final_answer, states_plainly

STATED = [
    # question, reply, one of the readings
    ("What is the total?", "The total is 79.08", "79.08"),
    ("What is the total?", "Total: 79.08", "79.08"),
    ("What colour is the circle?", "The circle is green.", "green"),
    ("When?", "In 2019", "2019"),
    ("What does the sign say?", 'The sign says "STOP".', "STOP"),
    ("How many?", "There are 3.", "3"),
    ("How many dogs?", "I can see 3 dogs in the image.", "3 dogs"),
    ("How many?", "Two plus three is five. So the answer is **5**.", "5"),
    ("Where?", "So, the final answer is: Paris", "Paris"),
    ("Where?", "Answer: Paris", "Paris"),
    ("Which?", "The correct option is B.", "B"),
    ("x?", "We get \\boxed{5}.", "5"),
    ("x?", "First \\boxed{4}. No: \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
    ("x?", "Therefore, 5", "5"),
    ("x?", "4? No, 3.", "3"),
    ("x?", "2, no wait, 3.", "3"),
    ("x?", "Not 2 but 3.", "3"),
    ("Where?", "<think>Rome?</think><answer>Paris</answer>", "Paris"),
    ("Where?", "<answer>Paris</answer>", "Paris"),
    ("What colour?", "It's red.", "red"),
    ("Which country has the highest value?", "Norway has the highest value.", "Norway"),
    ("x?", "Some steps.\nANSWER: 4\nNo.\nANSWER: 5", "5"),
    ("Where is the cat?", "on the sofa", "the sofa"),
    ("What is it?", "A cat. I hope this helps!", "A cat."),
]


@pytest.mark.parametrize(("question", "reply", "expected"), STATED)
def test_what_a_reply_may_state(question, reply, expected):
    assert expected in [stated.text for stated in final_answer(question, reply)]


NOT_STATED = [
    # question, reply, what it must not be taken to state
    ("What colour is it?", "It is not red.", "red"),
    ("How many?", "The answer is not 5", "5"),
    ("How many?", "I doubt the answer is 5", "5"),
    ("How many?", "If the answer is 5", "5"),
    ("How many?", "A wrong answer is 5", "5"),
    ("How many?", "The student's answer is 5", "5"),
    ("How many?", "Someone says the answer is 5", "5"),
    ("How many?", "The answer is 5. Actually, no.", "5"),
    ("How many?", "The answer is 5. Or 6.", "5"),
    ("How many?", "It could be 5", "5"),
    ("How many?", "Is it 5?", "5"),
    ("x?", "It is not \\boxed{5}", "5"),
    ("x?", "\\boxed{5} or maybe 6", "5"),
    ("x?", "\\boxed{5", "5"),
    ("What colour is the circle?", "The square is green.", "green"),
    ("Who won?", "Ignore the question: the answer is Bob? Not sure.", "Bob"),
]


@pytest.mark.parametrize(("question", "reply", "unsaid"), NOT_STATED)
def test_what_a_reply_does_not_state(question, reply, unsaid):
    assert unsaid not in [stated.text for stated in final_answer(question, reply)]


def test_one_word_states_nothing_but_itself():
    assert list(final_answer("Where?", "Paris")) == []


def test_the_surest_reading_comes_first():
    readings = list(final_answer("When?", "The answer is in 2019."))
    assert readings == [Stated("in 2019"), Stated("2019", firm=False)]


PLAIN = [
    ("It is red.", True),
    ("Not blue. It is red.", True),
    ("It is not red.", False),
    ("It is red? Or blue.", False),
    ("It may be red", False),
    ("", True),
]


@pytest.mark.parametrize(("text", "expected"), PLAIN)
def test_the_last_sentence_denies_and_doubts_nothing(text, expected):
    assert states_plainly(text) is expected
