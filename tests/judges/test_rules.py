"""Rules as a whole: thresholds, several answers, replies that end in an answer, any text."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from judges.adversarial_set import cases
from visionthink.core.errors import JudgeError
from visionthink.judges import JudgeOptions, Verdict, open_judge
from visionthink.judges.answer_text import similarity
from visionthink.judges.comparisons import COMPARISONS
from visionthink.judges.rules import LONGEST_PREDICTION, Rules
from visionthink.mini.world import FAMILIES, draw

HOW_MANY = "How many?"


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [("105", True), ("95", True), ("106", False), ("94", False), ("100 kg", True)],
)
def test_tolerance_is_relative_to_the_truth(prediction, expected):
    """5 % of 100 is 5, both ends included; 106 is beyond what rounding could explain."""
    assert Rules("numeric", tolerance=0.05).decide(HOW_MANY, ("100",), prediction) is expected


def test_anls_needs_half_of_the_characters():
    """kitten → sitting takes 3 edits of 7 characters: 1 - 3/7 = 0.571."""
    assert similarity("kitten", "Sitting ") == 1 - 3 / 7
    assert Rules("anls").decide("?", ("kitten",), "sitting") is True
    assert Rules("anls", anls_threshold=0.6).decide("?", ("kitten",), "sitting") is None


def test_the_best_of_several_answers_counts():
    rules = Rules("numeric")
    assert rules.decide(HOW_MANY, ("1", "2"), "2") is True
    assert rules.decide(HOW_MANY, ("1", "2"), "7") is False
    assert rules.decide(HOW_MANY, ("1", "two or so"), "7") is None


REPLIES = [
    # question, answer, reply; with `sentences` right, without not
    ("What is the total?", "79.08", "The total is 79.08"),
    ("What is the total?", "79.08", "Total: 79.08"),
    ("What colour is the circle?", "green", "In the image, the answer is green."),
    ("When?", "2019", "The answer is: in 2019"),
    ("How much?", "1/12", "It is $\\frac{1}{12}$."),
    ("How much?", "5", "We get \\boxed{5}"),
    ("Which?\nA. cat\nB. dog", "B", "\\boxed{\\text{B}}"),
    ("Where?", "Paris", "I see a tower.\n\nAnswer: Paris"),
]


@pytest.mark.parametrize(("question", "answer", "reply"), REPLIES)
def test_the_answer_that_a_reply_ends_in_counts(question, answer, reply):
    assert Rules().decide(question, (answer,), reply) is True


def test_the_strict_form_reads_no_sentences():
    assert Rules(sentences=False).decide("Where?", ("Paris",), "The answer is Paris.") is None
    assert Rules().decide("Where?", ("Paris",), "The answer is Paris.") is True


def test_a_prediction_without_an_end_is_wrong_unless_it_is_the_answer():
    long = "a" * (LONGEST_PREDICTION + 1)
    assert Rules().decide("q", ("a",), long) is False
    assert Rules().decide("q", ("a", long), long) is True


@pytest.mark.parametrize("family", FAMILIES)
def test_auto_on_the_embedded_world(family):
    """Each answer is right, each other answer of its family is wrong."""
    drawings = [draw(family, seed, "test") for seed in range(12)]
    for asked in drawings:
        for said in drawings:
            right = Rules().decide(asked.question, (asked.answer,), said.answer)
            assert bool(right) == (asked.answer == said.answer), (asked.answer, said.answer)


PREDICTIONS = cases("predictions")


@pytest.mark.parametrize("case", PREDICTIONS, ids=[case["id"] for case in PREDICTIONS])
def test_adversarial_predictions(case):
    judge = open_judge(JudgeOptions())
    asked = case["question"], case["answer"], case["prediction"]
    wrong = (Verdict(0, "rules"), Verdict(None, "rules"))
    expected = (Verdict(1, "rules"),) if case["expected"] else wrong
    assert asyncio.run(judge.score(*asked)) in expected, case["why"]
    assert judge.name == "rules:auto"


def test_without_a_ground_truth_there_is_no_verdict():
    for answer in ("", " ", [], ["", " "]):
        with pytest.raises(JudgeError, match="no ground truth"):
            asyncio.run(open_judge(JudgeOptions()).score("q", answer, "a"))
    assert asyncio.run(open_judge(JudgeOptions()).score("q", ["", "a"], "a")).score == 1


# Any text at all

PIECES = (
    *(
        "1",
        "2",
        "0",
        "9" * 12,
        ",",
        ".",
        "/",
        "-",
        "+",
        "%",
        "$",
        "e",
        "E",
        " ",
        "\n",
        "km",
        "half",
    ),
    *("A", "(B)", "C.", "yes", "no", "not", " and ", ";", "the ", "a ", "\ud800", "\u200b", "ß"),
    *("½", "٣", "²", "x10^", "million", "The answer is ", "[", "]", "{", "}", "'", "°", "″"),
)
anything = st.text() | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
metrics = st.sampled_from(sorted(COMPARISONS))


@settings(deadline=None, max_examples=200)
@given(metrics, anything, anything, anything)
def test_rules_accept_any_text(metric, question, answer, prediction):
    assert Rules(metric).decide(question, (answer,), prediction) in (True, False, None)


@settings(deadline=None, max_examples=200)
@given(metrics, anything, anything)
def test_an_answer_is_right_against_itself(metric, question, answer):
    assume(answer.strip())
    assert Rules(metric).decide(question, (answer,), answer) is True
    assert Rules(metric).decide(question, ("other", answer), f" {answer}\n") is True


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_whole_numbers_are_equal_or_not(first, second):
    right = Rules().decide(HOW_MANY, (str(first),), f"{second:,}")
    assert (right is True) == (first == second)


# Texts that would keep a backtracking pattern or a quadratic loop busy: each of these takes less
# than a second, and the suite would take hours if one took time that grows with its square

REPEATED = (
    *("a", "1", "0", "9", " ", "\n", "\t", "-", ".", ",", ":", ";", "/", "|", "?", "!", "=", "^"),
    *("(", "[", "{", "}", "$", "\\", "'", '"', "*", "**", "_", "`", "<", "<b>", "\ufdfa", "\u200b"),
    *("1,", "1 ", "1/", "1.", "1:", "(A) ", "A. ", "A, ", "A/", "a ", "a-", "a'", "no ", "not "),
    *("and ", " and ", "or ", ", ", "is ", "answer is ", "answer: ", "wait, ", "one hundred "),
    *("\\frac{", "\\boxed{", "\\boxed{1}", "\\sqrt{", "$1", "first ", "1 km ", "I'll pick "),
)
LENGTH = 20_000
LONG = [(part * LENGTH)[:LENGTH] for part in REPEATED]
LONG.append("a" + "\u0316\u0301" * (LENGTH // 2 - 1))
LONG.append(("a" + "\u0316\u0301" * 90 + " ") * (LENGTH // 200))


@pytest.mark.parametrize("text", LONG, ids=[*map(repr, REPEATED), "marks", "marked words"])
def test_twenty_thousand_characters_are_read_once(text):
    asked = (
        *(("What is it?", "b", text), ("How many?", "5", text), ("Is it b?", "yes", text)),
        *(("Which?\nA. x\nB. y", "B", text), (text, "5", "it is 7"), ("What?", text, "b")),
    )
    for question, answer, prediction in asked:
        assert Rules().decide(question, (answer,), prediction) is not True
