"""Rules by the form of the ground truth: right, clearly wrong, or not theirs to tell."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from judges.adversarial_set import cases
from visionthink.core.errors import JudgeError
from visionthink.judges import JudgeOptions, Verdict, open_judge
from visionthink.judges.answer_text import distance, similarity
from visionthink.judges.choices import letters_of, options_in
from visionthink.judges.comparisons import metric_for
from visionthink.judges.rules import Rules
from visionthink.mini.world import FAMILIES, draw

HOW_MANY = "How many?"
ANIMAL = "Which animal is it?\nA. cat\nB. dog\nC. a bird"

# One table a metric: ground truth, prediction, verdict (None: the rule cannot tell)

EXACT = [
    ("Paris", "paris", True),
    ("Paris", "  Paris.\n", True),
    ("Paris", "The answer is **Paris**.", True),
    ("Paris", "So, the final answer is: Paris", True),
    ("Paris", "Paris, France", None),
    ("Paris", "not Paris", None),
    ("Paris", "London", None),
    ("The Beatles", "Beatles", True),
    ("a dog", "the dog", True),
    ("vitamin A", "vitamin", None),
    ("don't walk", "don\N{RIGHT SINGLE QUOTATION MARK}t walk", True),
    ("T-shirt", "t shirt", True),
    ("top left", "top-left", True),
    ("C#", "C", None),
    ("AT&T", "att", None),
    ("10:30", "1030", None),
    ("2020-01-02", "2020/01/02", None),
    ("-5", "5", None),
    ("1,000 people", "1000 people", True),
    ("1,5", "15", None),
    ("1.5", "15", None),
    (".5", "5", None),
    ("5%", "5", None),
    ("?", "!", None),
    ("?", "?", True),
    ("\N{FULLWIDTH LATIN CAPITAL LETTER A}BC", "abc", True),
]
NUMERIC = [
    ("3", "3.0", True),
    ("3", "three", True),
    ("3", "There are 3.", True),
    ("3", "3 apples", True),
    ("3", "about 3", True),
    ("21", "twenty-one", True),
    ("3", "3 or 4", None),
    ("3", "3 pm", None),
    ("3", "3b", None),
    ("3", "Score: 3", None),
    ("3", "4", False),
    ("-5", "5", False),
    ("-5", "\N{MINUS SIGN}5", True),
    ("0", "0", True),
    ("0", "1", False),
    ("4.73", "4.730", True),
    ("4.73", "4.72", None),
    ("47", "74", False),
    ("1,234.5", "1234.5", True),
    ("1.234,5", "1234.5", True),
    ("1 234", "1,234", True),
    ("3,5", "3.5", True),
    ("1.5 million", "1,500,000", True),
    ("1.5 million", "1.5", None),
    ("2k", "2000", True),
    ("1e3", "1000", True),
    ("2.5 x 10^3", "2500", True),
    ("1/2", "0.5", True),
    ("1/2", "\N{VULGAR FRACTION ONE HALF}", True),
    ("1\N{VULGAR FRACTION ONE HALF}", "1.5", True),
    ("1/0", "1", None),
    ("45%", "45", True),
    ("45%", "45 percent", True),
    ("45%", "0.45", True),
    ("45%", "0.46", None),
    ("$3.50", "3.5", True),
    ("$3.50", "3.50 dollars", True),
    ("$5M", "5 million dollars", True),
    ("$5", "\N{EURO SIGN}5", None),
    ("5 km", "5", True),
    ("5 km", "5000 m", True),
    ("5 km", "5 m", None),
    ("5 km", "7 km", False),
    ("5 miles", "8 km", True),
    ("5 miles", "9 km", False),
    ("5 km", "5 kg", None),
    ("180\N{DEGREE SIGN}", "3.14 rad", True),
    ("1 1/2 hours", "90 min", True),
    ("2 lb", "907 g", True),
    ("36 km/h", "10 m/s", True),
    ("9" * 90, "9" * 90, True),
    ("1e999", "1", False),
    ("9" * 5000, "1", None),
]
CHOICE = [
    ("B", "B", True),
    ("B", "b", True),
    ("B", "(B)", True),
    ("B", "B.", True),
    ("B", "Option B", True),
    ("B", "The answer is (B).", True),
    ("B", "B. dog", True),
    ("B", "(B) a dog, I think", True),
    ("B", "dog", True),
    ("B", "A dog.", True),
    ("C", "bird", True),
    ("dog", "B", True),
    ("(B) dog", "B", True),
    ("B", "A", False),
    ("B", "cat", False),
    ("B", "A: cat", False),
    ("B", "B. cat", None),
    ("B", "A or B", None),
    ("B", "D", None),
    ("B", "a horse", None),
    ("B", "ABC", None),
]
YES_NO = [
    ("yes", "Yes, there is one.", True),
    ("yes", "true", True),
    ("No", "no.", True),
    ("yes", "No", False),
    ("no", "Yes.", False),
    ("no", "yes and no", None),
    ("no", "Yes? No!", None),
    ("yes", "there is one", None),
    ("no", "not that I can see", None),
]
LISTS = [
    ("red and blue", "blue, red", True),
    ("red, green and blue", "blue; green; red", True),
    ("red; blue", "[blue, red]", True),
    ("1,000 and 20", "20, 1000", True),
    ("red and blue", "red", None),
    ("red and blue", "red, blue, green", None),
    ("red and red", "red, blue", None),
]
TABLES = [
    *[("exact", "What?", *case) for case in EXACT],
    *[("numeric", HOW_MANY, *case) for case in NUMERIC],
    *[("choice", ANIMAL, *case) for case in CHOICE],
    *[("yes_no", "Is there one?", *case) for case in YES_NO],
    *[("list", "Which?", *case) for case in LISTS],
]


@pytest.mark.parametrize(("metric", "question", "answer", "prediction", "expected"), TABLES)
def test_a_rule_is_right_wrong_or_undecided(metric, question, answer, prediction, expected):
    assert Rules(metric).decide(question, (answer,), prediction) is expected


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


@pytest.mark.parametrize(
    ("question", "answer", "metric"),
    [
        ("Is there one?", "Yes", "yes_no"),
        ("Is it so?", "False.", "yes_no"),
        (ANIMAL, "B", "choice"),
        (ANIMAL, "(B) dog", "choice"),
        (ANIMAL, "dog", "choice"),
        ("Which?", "B", "choice"),
        ("Which?", "(B)", "choice"),
        ("Which?", "b", "text"),
        ("Who?", "A. Lincoln", "text"),
        (HOW_MANY, "42", "numeric"),
        (HOW_MANY, "$1,200.50", "numeric"),
        (HOW_MANY, "12 km", "numeric"),
        (HOW_MANY, "three", "numeric"),
        ("Which code?", "007", "text"),
        ("Which code?", "1E3", "text"),
        ("Which code?", "C5J", "text"),
        ("Where?", "5 Main Street", "text"),
        ("Where?", "Paris, France", "text"),
        ("Which two?", "red and blue", "list"),
        ("Which two?", "red; blue", "list"),
        ("Which two, from left to right?", "red and blue", "text"),
        ("Which?", "red", "text"),
    ],
)
def test_auto_goes_by_the_form_of_the_truth(question, answer, metric):
    assert metric_for(question, answer) == metric


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
metrics = st.sampled_from(("auto", "exact", "numeric", "choice", "yes_no", "anls", "list"))


@settings(deadline=None, max_examples=300)
@given(metrics, anything, anything, anything)
def test_rules_accept_any_text(metric, question, answer, prediction):
    assert Rules(metric).decide(question, (answer,), prediction) in (True, False, None)


@settings(deadline=None, max_examples=300)
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


# Parts


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which? A. cat B. dog", {"A": "cat", "B": "dog"}),
        ("Which?\n(A) a cat\n(B) 2. dog\nAnswer shortly.", {"A": "a cat", "B": "2. dog"}),
        ("Which? A) cat, B) dog", {"A": "cat", "B": "dog"}),
        ("Which? A: cat; B: dog; C: cow", {"A": "cat", "B": "dog", "C": "cow"}),
        ("Who is A. Lincoln?\nA. a man\nB. a ship", {"A": "a man", "B": "a ship"}),
        ("Which? A. cat", {}),
        ("Which? B. cat C. dog", {}),
        ("What is U.S.A. B. about?", {}),
    ],
)
def test_options_in(question, expected):
    assert options_in(question) == expected


def test_letter_of_two_equal_options_is_none():
    assert letters_of("dog", {"A": "dog", "B": "dog"}) is None


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


@pytest.mark.parametrize(
    "text",
    ["a" * 20_000, "1," * 10_000, "1 " * 10_000, "(A) " * 5_000, " and " * 4_000, "'" * 20_000],
    ids=lambda text: text[:4].strip(),
)
def test_the_distance_of_twenty_thousand_characters_is_fast(text):
    for metric in ("auto", "exact", "numeric", "choice", "yes_no", "anls", "list"):
        for asked in ((text, "b", text), ("q", text, text + "b"), ("q", "b", text)):
            Rules(metric).decide(asked[0], (asked[1],), asked[2])
