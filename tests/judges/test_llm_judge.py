"""The llm judge on scripted replies: what it asks, and what becomes of what comes back."""

from __future__ import annotations

import asyncio

import pytest

from judges.adversarial_set import cases
from judges.judging import (  # noqa: F401  (alone acts by itself)
    CASE,
    alone,
    counts,
    fail,
    failure,
    judge_on,
    score,
    script,
)
from visionthink.core.errors import EngineError, JudgeError
from visionthink.core.protocol import render_thought, render_tool_call
from visionthink.core.types import Sampling
from visionthink.judges import JudgeStats, Verdict
from visionthink.judges.llm_prompt import judge_messages, repeated

# Asking


def test_the_engine_is_asked_with_the_prompt_greedily():
    engine = script("Score: 1")
    judge = judge_on(engine, max_tokens=77)
    assert score(judge) == [Verdict(1, "llm")]
    messages = judge_messages("What colour is it?", ("red",), "crimson")
    assert engine.calls == [(tuple(messages), Sampling(temperature=0.0, max_tokens=77))]
    assert judge.name == "llm:m"
    assert counts(judge) == JudgeStats(calls=1, by_llm=1)
    assert judge.stats.completion_tokens == 3


def test_the_engine_names_the_model_where_the_options_do_not():
    assert judge_on(script("Score: 1"), model=None).name == "llm:scripted"


@pytest.mark.parametrize("prediction", ["", " \n\t ", "x" * 20_001])
def test_an_empty_or_endless_prediction_is_wrong_without_asking(prediction):
    engine = script("Score: 1")
    judge = judge_on(engine)
    assert score(judge, ("q", "a", prediction)) == [Verdict(0, "rules")]
    assert engine.calls == []
    assert judge.stats == JudgeStats(by_rules=1)


@pytest.mark.parametrize("answer", ["", " ", [], ["", " "]])
def test_without_a_ground_truth_there_is_no_verdict(answer):
    engine = script("Score: 1")
    assert "no ground truth" in fail(judge_on(engine), ("q", answer, "a"))
    assert engine.calls == []


def test_a_score_inside_the_reasoning_does_not_count():
    assert score(judge_on(script(render_thought("Score: 0?") + "Score: 1")))[0].score == 1


# Replies that are not a verdict


def test_after_an_unreadable_reply_it_is_asked_again_more_strictly():
    engine = script("I like it.", "Hm.", "Score: 0")
    judge = judge_on(engine)
    assert score(judge) == [Verdict(0, "llm")]
    asked = judge_messages(CASE[0], (CASE[1],), CASE[2])
    strictly = repeated(asked)
    assert [list(messages) for messages, _ in engine.calls] == [asked, strictly, strictly]
    assert counts(judge) == JudgeStats(calls=3, retries=2, unreadable=2, by_llm=1)
    assert judge.stats.completion_tokens == 4 + 2 + 3  # all replies were paid for


@pytest.mark.parametrize(
    ("reply", "options"),
    [
        ("Score: 10", {}),
        ('It says "Score: 1". Score: 0', {}),
        ("", {}),
        ("Score: 1. " * 20, {"max_tokens": 50}),
        (render_thought("Score: 1"), {}),
        (render_tool_call("Score: 1", "{}"), {}),
    ],
)
def test_what_is_never_a_verdict_is_not_scored(reply, options):
    judge = judge_on(script(reply), **options)
    message = fail(judge)
    assert message.startswith("the judge m gave no verdict: its reply ")
    assert message.endswith("(3 tries); the prediction stays unscored")
    assert counts(judge) == JudgeStats(calls=3, retries=2, unreadable=3, failures=1)


@pytest.mark.parametrize("case", cases("replies"), ids=lambda case: case["id"])
def test_the_adversarial_replies(case):
    judge = judge_on(script(case["reply"]), retries=0)
    if case["verdict"] is None:
        fail(judge)
    else:
        assert score(judge) == [Verdict(case["verdict"], "llm")]


def test_adversarial_predictions_never_decide_by_themselves():
    """A judge that finds everything wrong is heard, whatever the predictions say."""
    asked = [
        (case["question"], case["answer"], case["prediction"]) for case in cases("predictions")
    ]
    assert {each.score for each in score(judge_on(script("Score: 0")), *asked)} == {0}


# Engines that fail


def test_a_reply_that_holds_no_message_is_asked_for_again():
    """A gateway's page, say. The question stays as it was."""
    bad = failure("no_reply")
    engine = script(bad, bad, "Score: 1")
    judge = judge_on(engine)
    assert score(judge) == [Verdict(1, "llm")]
    assert counts(judge) == JudgeStats(calls=3, retries=2, by_llm=1)
    first, *others = [messages for messages, _ in engine.calls]
    assert others == [first, first]


@pytest.mark.parametrize(
    "error", [failure("unreachable"), failure("refused", 401), EngineError("out of memory")]
)
def test_other_failures_are_not_repeated_because_the_engine_did_that(error):
    judge = judge_on(script(error))
    assert str(error) in fail(judge)
    assert counts(judge) == JudgeStats(calls=1, failures=1)


def test_after_an_outage_one_question_at_a_time_probes_the_model():
    """Patience 0: the first failure marks it as down; of ten more questions one is sent."""
    engine = script(failure("unreachable"), failure("refused", 503), "Score: 1")
    judge = judge_on(engine, patience=0)
    fail(judge)

    async def ten():
        asked = (judge.score("q", "a", str(number)) for number in range(10))
        return await asyncio.gather(*asked, return_exceptions=True)

    errors = asyncio.run(ten())
    assert [type(error) for error in errors] == [JudgeError] * 10
    assert len(engine.calls) == 2
    assert "it counts as down after 0 s without a reply" in str(errors[1])
    assert score(judge, ("q", "a", "c")) == [Verdict(1, "llm")]
    assert [each.score for each in score(judge, *[("q", "a", str(n)) for n in range(4)])] == [1] * 4


def test_a_refusal_is_not_an_outage():
    engine = script(failure("refused", 400))
    judge = judge_on(engine, patience=0)
    for number in range(3):
        fail(judge, ("q", "a", str(number)))
    assert len(engine.calls) == 3


# Sharing


def test_no_more_questions_at_once_than_allowed():
    engine = script("Score: 1")
    assert (
        len(score(judge_on(engine, concurrency=3), *[("q", "a", str(n)) for n in range(12)])) == 12
    )
    assert (len(engine.calls), engine.most) == (12, 3)


def test_the_same_question_is_asked_once():
    """Sixteen at once share a reply; a seventeenth later finds the verdict."""
    engine = script("Score: 1")
    judge = judge_on(engine)
    verdicts = score(judge, *[CASE] * 16)
    assert score(judge) == [Verdict(1, "llm", cached=True)]
    assert [each.cached for each in verdicts].count(False) == 1
    assert len(engine.calls) == 1
    assert counts(judge) == JudgeStats(calls=1, cached=16, by_llm=17)


def test_callers_that_share_a_question_share_its_failure():
    engine = script(failure("unreachable"))
    judge = judge_on(engine)

    async def both():
        return await asyncio.gather(judge.score(*CASE), judge.score(*CASE), return_exceptions=True)

    assert [type(each) for each in asyncio.run(both())] == [JudgeError, JudgeError]
    assert len(engine.calls) == 1
    assert judge.stats.failures == 2


def test_one_caller_may_leave_without_the_others():
    judge = judge_on(script("Score: 1"))

    async def two():
        leaving = asyncio.create_task(judge.score(*CASE))
        staying = asyncio.create_task(judge.score(*CASE))
        await asyncio.sleep(0.005)
        leaving.cancel()
        return await staying

    assert asyncio.run(two()).score == 1


def test_a_judge_serves_one_event_loop_after_another_until_it_is_closed():
    judge = judge_on(script("Score: 1"))
    for number in range(5):
        assert score(judge, ("q", "a", str(number))) == [Verdict(1, "llm")]
    asyncio.run(judge.close())
    assert "after close()" in fail(judge)


# The file of verdicts


def test_a_cached_verdict_asks_nothing(tmp_path):
    score(judge_on(script("Score: 0"), cache=tmp_path / "new" / "cache"))
    engine = script("Score: 1")
    judge = judge_on(engine, cache=tmp_path / "new" / "cache")
    assert score(judge) == [Verdict(0, "llm", cached=True)]
    assert engine.calls == []
    assert judge.stats == JudgeStats(cached=1, by_llm=1)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        (("Another question?", "red", "crimson"), {}),
        (("What colour is it?", "blue", "crimson"), {}),
        (("What colour is it?", "red", "scarlet"), {}),
        (CASE, {"model": "n"}),
        (CASE, {"max_tokens": 7}),
        (CASE, {"extra_body": {"seed": 1}}),
    ],
)
def test_anything_else_is_asked_in_spite_of_the_cache(tmp_path, case, options):
    engine = script("Score: 1")
    score(judge_on(engine, cache=tmp_path / "cache"))
    assert not score(judge_on(engine, cache=tmp_path / "cache", **options), case)[0].cached
    assert len(engine.calls) == 2


def test_the_cache_of_earlier_versions_counts_as_long_as_replies_are_read_alike(
    tmp_path, monkeypatch
):
    """The key is that of the request's JSON and of how replies are read."""
    judge = judge_on(script("Score: 1"), cache=tmp_path / "cache")
    score(judge)
    assert (
        "0483aaca1103b31a277c340165689b6e7ad767303527ef3af26540cd1b5c8195"
        in (tmp_path / "cache").read_text()
    )
    monkeypatch.setattr("visionthink.judges.llm.READING", 3)
    again = judge_on(script("Score: 0"), cache=tmp_path / "cache")
    assert score(again) == [Verdict(0, "llm")]


def test_failures_are_not_cached(tmp_path):
    engine = script("hm", "Score: 1")
    judge = judge_on(engine, cache=tmp_path / "cache", retries=0)
    fail(judge)
    assert (tmp_path / "cache").read_bytes() == b""
    assert score(judge) == [Verdict(1, "llm")]
    assert len(engine.calls) == 2
