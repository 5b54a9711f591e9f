"""What answers score by each metric."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from engines.chat_server import ChatServer, says, status
from visionthink.core.errors import JudgeError, UsageError
from visionthink.evaluation.metrics import METRICS, Score, Scorer, metric_names, said_yes
from visionthink.evaluation.suites import SuiteOptions, with_judging
from visionthink.judges import JudgeOptions


def score(metric: str, answers: str | Sequence[str], said: str, question: str = "") -> float:
    accepted = (answers,) if isinstance(answers, str) else tuple(answers)
    return asyncio.run(Scorer(metric).score(question, accepted, said)).value


@pytest.mark.parametrize("metric", metric_names())
def test_an_answer_is_right_against_itself_and_nothing_is_wrong(metric: str):
    assert score(metric, "yes", "yes") == 1
    assert score(metric, "yes", "  ") == 0


@pytest.mark.parametrize(
    ("metric", "answer", "said", "expected"),
    [
        ("auto", "1,200", "1200", 1),
        ("auto", "yes", "Yes, it is.", 1),
        ("exact", "the tea", "Tea.", 1),
        ("exact", "tea", "a cup of tea", 0),
        ("numeric", "3.5", "about 3.50", 1),
        ("list", "red and blue", "blue, red", 1),
        ("yes_no", "no", "yes", 0),
        ("yes_no", "no", "maybe", 0),
        ("contains", "Tea\nroom", "the TEA ROOM is open", 1),
        ("contains", "tea", "coffee", 0),
    ],
)
def test_rules(metric: str, answer: str, said: str, expected: float):
    assert score(metric, answer, said) == expected


def test_choice_reads_the_options_of_the_question():
    assert score("choice", "B", "blue", "Which? A. red B. blue") == 1
    assert score("choice", "B", "red", "Which? A. red B. blue") == 0


@pytest.mark.parametrize(
    ("answer", "said", "relaxed", "strict"),
    [
        ("100.5", "105", 1, 1),  # 4.5 of 100.5 is 4.48 %
        ("100.5", "106", 0, 0),  # 5.47 %
        ("2024", "1960", 1, 0),  # 64 of 2024 is 3.2 %: a year, so it must be met
        ("100", "105", 1, 0),  # on the edge, and a whole number
        ("0.5", "0.524", 1, 1),
        ("47%", "47", 0, 1),  # 0.47 and 47
        ("47%", "0.47", 1, 1),
        ("1,200", "1200", 0, 1),  # no number to `relaxed`
        ("0", "0.0", 0, 1),  # it divides by 0, so the text decides
        ("0", "0", 1, 1),
        ("Blue", "blue ", 1, 1),
        ("blue", "light blue", 0, 0),
        ("nan", "nan", 1, 1),
        ("-3.2", "3.2", 0, 0),
    ],
)
def test_relaxed_and_relaxed_strict(answer: str, said: str, relaxed: float, strict: float):
    assert score("relaxed", answer, said) == relaxed
    assert score("relaxed_strict", answer, said) == strict


@pytest.mark.parametrize(
    ("answer", "said", "expected"),
    [
        ("[Rome, Oslo]", "['rome', 'oslo']", 1),
        ("[Rome, Oslo]", "[Rome]", 1 / 2),
        ("[Rome]", "[Rome, Oslo, Bern]", 1 / 3),
        ("[2019, 4.5]", "[2019, 4.6]", 1),
        ("2019", "2020", 0),  # a year
        ("2100", "2101", 1),
        ("47%", "47", 1),
        ("0", "0.0", 1),
        ("0", "0.1", 0),
        ("Receipt", "recipt", 6 / 7),
        ("ab", "abcd", 0),  # one half is not enough
    ],
)
def test_relaxed_list(answer: str, said: str, expected: float):
    assert score("relaxed_list", answer, said) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "said", "expected"),
    [
        ("x ^ { 2 }", "$x^{2}$", 1),
        ("x^2", "X^2", 0),
        ("1\n2", "12", 1),
    ],
)
def test_contains_formula(answer: str, said: str, expected: float):
    assert score("contains_formula", answer, said) == expected


def test_full_width_digits_are_digits():
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in "42")
    assert score("contains", "42", f"It is {wide}") == 1
    assert score("contains", wide, "42") == 1


def test_anls():
    """Receipt and recipt are 1 edit apart over 7 letters: 6/7. Tea and toe are 2 of 3 apart: 1/3,
    below one half. The best of several answers counts. A sharp s is not two s, but counts as long.
    """
    sharp = chr(0xDF)
    assert score("anls", f"Stra{sharp}e", "Strasse") == pytest.approx(1 - 2 / 7)
    assert score("anls", f"Stra{sharp}e", "Strabe") == pytest.approx(1 - 1 / 7)
    assert score("anls", "Receipt", "recipt") == pytest.approx(6 / 7)
    assert score("anls", "tea", "toe") == 0
    assert score("anls", ["coffee", "re  ceipt"], "re ceipt") == 1


def test_said_yes():
    assert [said_yes(text) for text in ("Yes.", "no, it is not", "It is red")] == [
        True,
        False,
        None,
    ]


def test_a_judge_decides_and_is_named():
    with ChatServer(says("Score: 1")) as server:
        options = JudgeOptions(kind="cascade", base_url=server.url, model="judge", retries=0)

        async def scores() -> list[Score]:
            scorer = Scorer("judge", options)
            found = [await scorer.score("Which?", ("tea",), said) for said in ("tea", "chai", "")]
            await scorer.close()
            return found

        assert asyncio.run(scores()) == [Score(1, "rules"), Score(1, "llm"), Score(0, "rules")]
        assert len(server.chats) == 1


@pytest.mark.parametrize("metric", ["auto", "numeric", "judge"])
def test_what_cannot_be_told_is_wrong_and_marked(metric: str):
    """Rules alone: right, clearly wrong, empty, and 3 in words that no rule knows."""
    scorer = Scorer(metric)

    async def scores() -> list[Score]:
        asked = [("3", "3"), ("3", "40"), ("3", ""), ("3", "trois")]
        return [await scorer.score("How many?", (truth,), said) for truth, said in asked]

    assert asyncio.run(scores()) == [
        Score(1, "rules"),
        Score(0, "rules"),
        Score(0, "rules"),
        Score(0, "rules", decided=False),
    ]


@pytest.mark.parametrize("metric", ["exact", "relaxed", "relaxed_strict", "anls", "contains"])
def test_measures_of_the_text_always_decide(metric: str):
    found = asyncio.run(Scorer(metric).score("Where?", ("Paris",), "the capital of France"))
    assert found == Score(0, "rules")


def test_a_judge_that_fails_scores_nothing():
    with ChatServer(status(500)) as server:
        options = JudgeOptions(kind="llm", base_url=server.url, model="judge", retries=0)
        with pytest.raises(JudgeError, match=r"failed \(500\)"):
            asyncio.run(Scorer("judge", options).score("Which?", ("tea",), "chai"))


def test_a_judge_needs_its_options():
    with pytest.raises(UsageError):
        Scorer("judge", JudgeOptions(kind="llm"))


def test_a_metric_is_one_row(monkeypatch: pytest.MonkeyPatch):
    """One that exists only here is accepted by options and scores."""
    monkeypatch.setitem(METRICS, "start", lambda _, answers, said: float(said[0] == answers[0][0]))
    assert with_judging(None, "start", None, None) == {"metric": "start", "judge": None}
    assert SuiteOptions(metric="start").scored_by == "start"
    assert score("start", "tea", "two") == 1
    assert score("start", "tea", "cup") == 0
