"""The cascade: rules where the case is clear, the model for the rest, and the share of each."""

from __future__ import annotations

import pytest

from engines.chat_server import ChatServer, says, status
from judges.judging import alone, fail, llm, score  # noqa: F401  (alone acts by itself)
from visionthink.judges import JudgeOptions, JudgeStats, Verdict, open_judge

CLEAR = [
    ("How many?", "42", "42.0", 1),
    ("How many?", "42", "17", 0),
    ("Is there one?", "no", "Yes, there is.", 0),
    ("Which?\nA. cat\nB. dog", "A", "B", 0),
    ("Where?", "Paris", "paris.", 1),
    ("Where?", "Paris", " ", 0),
]
UNCLEAR = [
    ("Where?", "Paris", "the French capital"),
    ("How long?", "5 km", "5 blocks"),
    ("How many millions?", "1.5 million", "1.5"),
    ("Is there one?", "no", "I see none"),
    ("Which?\nA. cat\nB. dog", "A", "a kitten"),
]


@pytest.mark.parametrize(("question", "answer", "prediction", "right"), CLEAR)
def test_a_clear_case_asks_no_model(question, answer, prediction, right):
    with ChatServer(says("Score: 1")) as server:
        judge = llm(server.url, kind="cascade")
        assert score(judge, (question, answer, prediction)) == [Verdict(right, "rules")]
    assert server.chats == []


@pytest.mark.parametrize("case", UNCLEAR)
@pytest.mark.parametrize("right", [0, 1])
def test_an_unclear_case_is_decided_by_the_model(case, right):
    with ChatServer(says(f"Score: {right}")) as server:
        assert score(llm(server.url, kind="cascade"), case) == [Verdict(right, "llm")]
    assert len(server.chats) == 1


def test_the_share_of_the_model_is_counted():
    """6 by rules and 5 by the model, which is asked one by one for its tokens."""
    usage = {"prompt_tokens": 100, "completion_tokens": 3}
    with ChatServer(says("Score: 1", usage=usage)) as server:
        judge = llm(server.url, kind="cascade")
        score(judge, *[case[:3] for case in CLEAR])
        before = judge.stats
        score(judge, *UNCLEAR)
    assert judge.stats == JudgeStats(
        calls=5, by_rules=6, by_llm=5, prompt_tokens=500, completion_tokens=15
    )
    assert judge.stats.llm_share == 5 / 11
    assert judge.stats - before == JudgeStats(
        calls=5, by_llm=5, prompt_tokens=500, completion_tokens=15
    )
    assert JudgeStats().llm_share == 0
    assert judge.name == "cascade:auto+llm:m"


def test_rules_alone_leave_the_unclear_cases_undecided():
    """Counted apart from what they decided, and from failures."""
    judge = open_judge(JudgeOptions())
    assert score(judge, *UNCLEAR[:1] * 2, CLEAR[0][:3]) == [
        *[Verdict(None, "rules")] * 2,
        Verdict(1, "rules"),
    ]
    assert judge.stats == JudgeStats(by_rules=1, undecided=2)
    assert judge.stats.llm_share == 0


@pytest.mark.parametrize("metric", ["exact", "anls"])
def test_measures_of_likeness_decide_alone_and_ask_in_a_cascade(metric: str):
    assert score(open_judge(JudgeOptions(metric=metric)), UNCLEAR[0]) == [Verdict(0, "rules")]
    with ChatServer(says("Score: 1")) as server:
        judge = llm(server.url, kind="cascade", metric=metric)
        assert score(judge, UNCLEAR[0]) == [Verdict(1, "llm")]


def test_an_outage_leaves_the_clear_cases():
    with ChatServer(status(500)) as server:
        judge = llm(server.url, kind="cascade", retries=0)
        fail(judge, UNCLEAR[0])
        assert score(judge, CLEAR[0][:3]) == [Verdict(1, "rules")]
    assert (judge.stats.failures, judge.stats.by_rules, judge.stats.by_llm) == (1, 1, 0)
