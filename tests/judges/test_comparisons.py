"""One table a metric: ground truth, prediction, verdict. None: the rule cannot tell."""

from __future__ import annotations

import pytest

from visionthink.judges.comparisons import metric_for, same_text
from visionthink.judges.rules import Rules

HOW_MANY = "How many?"
ANIMAL = "Which animal is it?\nA. cat\nB. dog\nC. a bird"

EXACT = [
    ("Paris", "paris", True),
    ("Paris", "  Paris.\n", True),
    ("Paris", "The answer is **Paris**.", True),
    ("Paris", "So, the final answer is: Paris", True),
    ("Paris", "Paris, France", None),
    ("Paris", "not Paris", None),
    ("Paris", "London", None),
    ("The Beatles", "Beatles", True),
    ("vitamin A", "vitamin", None),
    ("T-shirt", "t shirt", True),
    ("C#", "C", None),
    ("10:30", "1030", None),
    ("2020-01-02", "2020/01/02", None),
    ("-5", "5", None),
    ("1,5", "15", None),
    ("5%", "5", None),
    ("?", "!", None),
    ("?", "?", True),
]
TEXT = [
    ("Paris", "the French capital", None),
    ("Paris", "London", False),
    ("Paris", "not Paris", False),
    ("Paris", "Paris or Rome", False),
    ("red", "crimson", None),
    ("red", "blue", False),
    ("-x", "x", False),
    ("A", "A-", False),
    ("f(x)", "f'(x)", False),
    ("x-y", "x/y", False),
    ("e-mail", "email", True),
    ("XR-500", "XR500", True),
    ("XR-500", "XR501", False),
    ("555-1234", "5551234", True),
    ("car", "automobile", True),
]
NUMERIC = [
    ("3", "3.0", True),
    ("3", "three", True),
    ("3", "There are 3.", True),
    ("3", "3 apples", True),
    ("3", "about 3", True),
    ("3", "trois", None),
    ("3", "3 or 4", False),
    ("3", "3 dozen", False),
    ("3", "3 squared", False),
    ("4", "4 maybe", False),
    ("20", "twenty one", False),
    ("2", "two thirds", False),
    ("3", "4", False),
    ("-5", "5", False),
    ("5", "5 below zero", None),
    ("-$5.00", "$5.00", False),
    ("4.73", "4.72", False),
    ("1 234", "1,234", True),
    ("1.5 million", "1,500,000", True),
    ("1.5 million", "1.5", False),
    ("1/2", "0.5", None),
    ("1/2", "\N{VULGAR FRACTION ONE HALF}", True),
    ("1\N{VULGAR FRACTION ONE HALF}", "1.5", True),
    ("6/8", "3/4", None),
    ("1/0", "1", None),
    ("45%", "45 percent", True),
    ("45%", "0.45", True),
    ("45%", "0.46", False),
    ("$5", "\N{EURO SIGN}5", False),
    ("5 km", "5 m", False),
    ("5 km", "5 kg", False),
    ("5 km", "5 blocks", None),
    ("5 minutes", "5 months", False),
    ("3 MW", "3 mW", False),
    ("180\N{DEGREE SIGN}", "3.14 rad", True),
    ("9" * 90, "9" * 90, True),
    ("1e999", "1", False),
    ("9" * 5000, "1", None),
]
CHOICE = [
    ("B", "B", True),
    ("B", "(B) a dog, I think", True),
    ("B", "The answer is (B).", True),
    ("B", "A dog.", True),
    ("dog", "B", True),
    ("(B) dog", "B", True),
    ("B", "A", False),
    ("B", "cat", False),
    ("B", "B. cat", False),
    ("B", "A or B", False),
    ("B", "D", False),
    ("B", "ABC", False),
    ("C", "A, C", False),
    ("A", "(A) is wrong, the answer is (B)", False),
    ("B", "a horse", None),
    ("B", "a puppy", None),
]
YES_NO = [
    ("yes", "Yes, there is one.", True),
    ("yes", "true", True),
    ("yes", "there is one", True),
    ("No", "no.", True),
    ("yes", "No", False),
    ("no", "yes and no", False),
    ("no", "No idea", False),
    ("yes", "Yes, never", False),
    ("yes", 'Yes, it says "no parking".', True),
    ("no", "not that I can see", None),
    ("no", "I see none", None),
]
LISTS = [
    ("red and blue", "blue, red", True),
    ("red, green and blue", "blue; green; red", True),
    ("red; blue", "[blue, red]", True),
    ("1,000 and 20", "20, 1000", True),
    ("2 dogs and 3 cats", "3 cats, 2 dogs", True),
    ("2 dogs and 3 cats", "3 dogs and 2 cats", False),
    ("red and blue", "red", False),
    ("red and blue", "red, blue, green", False),
    ("red and red", "red, blue", False),
    ("red and blue", "crimson and navy", None),
]
DATES = [
    ("December 5, 2019", "2019-12-05", True),
    ("December 5, 2019", "December 6, 2019", False),
    ("December 5, 2019", "05/12/2019", None),
]
TIMES = [
    ("3:45 pm", "15:45", True),
    ("3:45 pm", "3:45 am", False),
    ("9 am - 5 pm", "9:00 am to 5:00 pm", True),
    ("9 am - 5 pm", "9 am to 6 pm", False),
]
RANGES = [
    ("18-25", "18 to 25", True),
    ("18-25", "18", False),
    ("18-25", "18-26", False),
    ("65+", "65 and over", True),
    ("65+", "65", False),
    ("65+", "under 65", False),
]
TABLES = [
    *[("exact", "What?", *case) for case in EXACT],
    *[("text", "What?", *case) for case in TEXT],
    *[("numeric", HOW_MANY, *case) for case in NUMERIC],
    *[("choice", ANIMAL, *case) for case in CHOICE],
    *[("yes_no", "Is there one?", *case) for case in YES_NO],
    *[("list", "Which?", *case) for case in LISTS],
    *[("date", "When?", *case) for case in DATES],
    *[("time", "When?", *case) for case in TIMES],
    *[("range", "Which range?", *case) for case in RANGES],
]


@pytest.mark.parametrize(("metric", "question", "answer", "prediction", "expected"), TABLES)
def test_a_rule_is_right_wrong_or_undecided(metric, question, answer, prediction, expected):
    assert Rules(metric).decide(question, (answer,), prediction) is expected


ASKED = [
    # what the question asks for decides
    ("What fraction is shaded?", "1/2", "0.5", True),
    ("What fraction is shaded?", "6/8", "3/4", True),
    ("What is the time signature?", "6/8", "3/4", False),
    ("What rating did it get?", "10/10", "1", False),
    ("How long is it in meters?", "3", "300 cm", True),
    ("How long is it in meters?", "3", "3 cm", False),
    ("How many millions?", "1.5 million", "1.5", None),
    ("How many dogs?", "0", "none", True),
    ("How many dogs?", "0", "There are no dogs.", True),
    ("How many dogs?", "0", "There are no cats.", None),
    ("Which bar is highest?", "A", "Bar A", True),
    ("Which bar is highest?", "A", "Bar B", False),
    ("What is the chemical symbol?", "Co", "CO", False),
    ("What is the abbreviation?", "CO", "co", True),
    ("List the colours in order.", "red, blue", "blue, red", False),
    ("Which?\nA. 2 m\nB. 3 m\nC. 30 cm", "B", "300 cm", True),
    ("Is it red or green?", "red", "green", False),
]


@pytest.mark.parametrize(("question", "answer", "prediction", "expected"), ASKED)
def test_what_the_question_asks_for_decides(question, answer, prediction, expected):
    assert Rules().decide(question, (answer,), prediction) is expected


METRICS = [
    ("Is there one?", "Yes", "yes_no"),
    ("Is it so?", "False.", "yes_no"),
    (ANIMAL, "B", "choice"),
    (ANIMAL, "(B) dog", "choice"),
    (ANIMAL, "dog", "choice"),
    ("Which?", "B", "choice"),
    ("Which?", "(B)", "choice"),
    ("Which?", "(D) Alina", "choice"),
    ("Which?", "b", "text"),
    ("Who?", "A. Lincoln", "text"),
    (HOW_MANY, "42", "numeric"),
    (HOW_MANY, "$1,200.50", "numeric"),
    (HOW_MANY, "12 km", "numeric"),
    (HOW_MANY, "three", "numeric"),
    (HOW_MANY, "none", "numeric"),
    ("Which version?", "3.10", "text"),
    ("Which code?", "007", "text"),
    ("Which code?", "1E3", "text"),
    ("Which code?", "C5J", "text"),
    ("When?", "December 5, 2019", "date"),
    ("When?", "3:45 pm", "time"),
    ("When?", "9 am - 5 pm", "time"),
    ("Which ages?", "18-25", "range"),
    ("Which ages?", "65+", "range"),
    ("Where?", "5 Main Street", "text"),
    ("Where?", "Paris, France", "text"),
    ("Which two?", "red and blue", "list"),
    ("Which two?", "red; blue", "list"),
    ("Which two colours?", "red, blue", "list"),
    ("Which?", "red", "text"),
]


@pytest.mark.parametrize(("question", "answer", "metric"), METRICS)
def test_auto_goes_by_the_form_of_the_truth(question, answer, metric):
    assert metric_for(question, answer) == metric


def test_the_same_text():
    assert same_text("the Tea", "tea.")
    assert not same_text("tea", "green tea")
