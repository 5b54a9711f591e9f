"""The llm judge against a real HTTP server: what it asks, and what becomes of what comes back."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback

import pytest

from engines.chat_server import (
    ChatServer,
    closes_mid_body,
    drips,
    hangs,
    says,
    sends,
    status,
)
from judges.adversarial_set import cases
from judges.judging import CASE, KEY, alone, fail, llm, score  # noqa: F401  (alone acts by itself)
from visionthink.core.errors import JudgeError, UsageError
from visionthink.core.protocol import render_thought
from visionthink.judges import JudgeOptions, JudgeStats, Verdict, open_judge
from visionthink.judges.question import AGAIN, judge_messages

USAGE = {"prompt_tokens": 300, "completion_tokens": 4}
ONE, ZERO = says("Score: 1", usage=USAGE), says("Score: 0", usage=USAGE)

# Asking


def test_what_is_asked_and_what_comes_back(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "max_tokens": None}
    with ChatServer(ONE) as server:
        judge = llm(server.url, extra_body=extra)
        assert score(judge) == [Verdict(1, "llm")]
    (seen,) = server.chats
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.body == {
        "model": "m",
        "messages": judge_messages("What colour is it?", ("red",), "crimson"),
        "temperature": 0,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert judge.name == "llm:m"
    assert judge.stats == JudgeStats(calls=1, by_llm=1, prompt_tokens=300, completion_tokens=4)


def test_a_key_of_another_variable_and_no_key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with ChatServer(ONE) as server:
        score(llm(server.url, api_key_env="JUDGE_KEY"))
        score(llm(server.url))
    assert [seen.headers["authorization"] for seen in server.chats] == [
        f"Bearer {KEY}",
        "Bearer none",
    ]


@pytest.mark.parametrize("prediction", ["", " \n\t ", "x" * 20_001])
def test_nothing_and_too_much_is_wrong_without_asking(prediction):
    with ChatServer(ONE) as server:
        judge = llm(server.url)
        assert score(judge, ("q", "a", prediction)) == [Verdict(0, "rules")]
    assert server.chats == []
    assert judge.stats == JudgeStats(by_rules=1)


@pytest.mark.parametrize("answer", ["", " ", [], ["", " "]])
def test_no_ground_truth_is_no_verdict(answer):
    with ChatServer(ONE) as server:
        assert "no ground truth" in fail(llm(server.url), ("q", answer, "a"))
    assert server.chats == []


def test_a_reasoning_reply_and_text_in_parts():
    thought = render_thought("Score: 0?") + "Score: 1"
    parts = [{"type": "text", "text": "Score: "}, {"type": "text", "text": "0"}]
    with ChatServer(says(thought), says(parts)) as server:
        judge = llm(server.url)
        assert [each.score for each in score(judge) + score(judge, ("q", "a", "b"))] == [1, 0]


# Replies that are no verdict


def test_a_reply_that_is_no_verdict_is_asked_again_more_strictly():
    """Both replies were paid for: 2 * 300 prompt tokens and 2 * 4 completion tokens."""
    with ChatServer(says("I like it.", usage=USAGE), ZERO) as server:
        judge = llm(server.url)
        assert score(judge) == [Verdict(0, "llm")]
    first, second = (seen.body["messages"][1]["content"] for seen in server.chats)
    assert second == first + AGAIN
    assert judge.stats == JudgeStats(
        calls=2, retries=1, unreadable=1, by_llm=1, prompt_tokens=600, completion_tokens=8
    )


@pytest.mark.parametrize(
    "reply",
    [
        says("Score: 10", usage=USAGE),
        says('It says "Score: 1". Score: 0', usage=USAGE),
        says("", usage=USAGE),
        says(None, usage=USAGE),
        says("Score: 1", finish="length", usage=USAGE),
        says(None, refusal="Score: 1", usage=USAGE),
        says(None, reasoning_content="Score: 1", usage=USAGE),
        says(None, tool_calls=[{"function": {"name": "Score: 1"}}], usage=USAGE),
    ],
)
def test_what_is_never_a_verdict_is_no_score(reply):
    """Three tries, each of them paid for."""
    with ChatServer(reply) as server:
        judge = llm(server.url)
        message = fail(judge)
    assert message.startswith("the judge m at http://127.0.0.1")
    assert "(3 tries)" in message
    assert message.endswith("the prediction stays unscored")
    assert judge.stats == JudgeStats(
        calls=3,
        retries=2,
        unreadable=3,
        failures=1,
        prompt_tokens=900,
        completion_tokens=12,
    )


@pytest.mark.parametrize("case", cases("replies"), ids=lambda case: case["id"])
def test_the_adversarial_replies_over_the_wire(case):
    with ChatServer(says(case["reply"])) as server:
        judge = llm(server.url, retries=0)
        if case["verdict"] is None:
            fail(judge)
        else:
            assert score(judge) == [Verdict(case["verdict"], "llm")]


def test_adversarial_predictions_never_decide_by_themselves():
    """A judge that finds everything wrong is heard, whatever the predictions say."""
    asked = [
        (case["question"], case["answer"], case["prediction"]) for case in cases("predictions")
    ]
    with ChatServer(says("Score: 0")) as server:
        assert {each.score for each in score(llm(server.url), *asked)} == {0}


# Servers that fail


@pytest.mark.parametrize(
    "bad",
    [
        status(500),
        status(503),
        status(429),
        status(408),
        sends(b"<html><title>Gateway</title></html>", content_type="text/html"),
        sends(b"[]"),
        sends(b'{"choices": []}'),
        sends(b"\xff\xfe"),
        closes_mid_body,
    ],
)
def test_a_passing_failure_is_tried_again(bad):
    with ChatServer(bad, bad, ONE) as server:
        judge = llm(server.url)
        assert score(judge) == [Verdict(1, "llm")]
    assert (judge.stats.calls, judge.stats.retries, judge.stats.failures) == (3, 2, 0)
    assert [seen.body["messages"] for seen in server.chats] == [
        server.chats[0].body["messages"]
    ] * 3


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (status(500, "out of memory"), "answered 500: “"),
        (sends(b"<html>busy</html>", content_type="text/html"), "no chat completion but “<html>"),
        (closes_mid_body, "the prediction stays unscored"),
    ],
)
def test_a_lasting_failure_is_no_score(bad, said):
    with ChatServer(bad) as server:
        judge = llm(server.url)
        assert said in fail(judge)
    assert (judge.stats.calls, judge.stats.failures, judge.stats.by_llm) == (3, 1, 0)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (400, "answered 400: “{"),
        (401, "refused the API key (401); set the variable OPENAI_API_KEY"),
        (403, "refused the API key (403)"),
        (404, "answered 404"),
    ],
)
def test_a_refusal_is_not_tried_again(code, said):
    with ChatServer(status(code, "no")) as server:
        assert said in fail(llm(server.url))
    assert len(server.chats) == 1


def test_a_redirect_is_not_followed():
    with ChatServer(sends(b"", 307, Location="/elsewhere")) as server:
        assert "answered 307" in fail(llm(server.url))
    assert (len(server.chats), server.lookups) == (1, [])


@pytest.mark.parametrize("bad", [hangs, drips])
def test_a_silent_server_is_given_up(bad):
    with ChatServer(bad) as server:
        judge = llm(server.url, timeout=0.5, retries=1)
        assert "did not reply within 0.5 s (2 tries)" in fail(judge)
    assert len(server.chats) == 2


def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        judge = llm(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        assert "could not be reached" in fail(judge)
    assert judge.stats.calls == 3


def test_an_endless_reply_is_cut_off(monkeypatch):
    monkeypatch.setattr("visionthink.judges.chat.MAX_BODY", 1000)
    with ChatServer(says("x" * 2000)) as server:
        assert "sent more than" in fail(llm(server.url))
    assert len(server.chats) == 1


def test_a_server_that_counts_as_down_is_only_probed():
    """Patience 0: after the first failure every question takes one try, until a reply comes."""
    with ChatServer(status(500), status(500), ONE) as server:
        judge = llm(server.url, patience=0, retries=5)
        fail(judge)
        fail(judge, ("q", "a", "b"))
        assert len(server.chats) == 2
        assert score(judge, ("q", "a", "c")) == [Verdict(1, "llm")]
    assert judge.stats.retries == 0


def test_while_one_probe_is_out_all_others_fail_at_once():
    """One failure marks the server as down; of ten more questions one is sent."""
    with ChatServer(status(500), says("Score: 1", delay=0.3)) as server:
        judge = llm(server.url, patience=0)
        fail(judge)

        async def ten():
            asked = (judge.score("q", "a", str(number)) for number in range(10))
            return await asyncio.gather(*asked, return_exceptions=True)

        results = asyncio.run(ten())
    errors = [each for each in results if isinstance(each, JudgeError)]
    assert len(errors) == 9
    assert "counts as down after 0 s without a reply" in str(errors[0])
    assert len(server.chats) == 2


# Sharing


def test_no_more_requests_at_once_than_allowed():
    asked = [("q", "a", str(number)) for number in range(12)]
    with ChatServer(says("Score: 1", delay=0.1)) as server:
        assert len(score(llm(server.url, concurrency=3), *asked)) == 12
    assert len(server.chats) == 12
    assert server.most_at_once == 3


def test_the_same_question_is_asked_once():
    """Sixteen at once share a request, a seventeenth later finds its verdict."""
    with ChatServer(says("Score: 1", delay=0.05, usage=USAGE)) as server:
        judge = llm(server.url)
        verdicts = score(judge, *[CASE] * 16)
        assert score(judge) == [Verdict(1, "llm", cached=True)]
    assert [each.cached for each in verdicts].count(False) == 1
    assert len(server.chats) == 1
    assert judge.stats == JudgeStats(
        calls=1, cached=16, by_llm=17, prompt_tokens=300, completion_tokens=4
    )


def test_those_who_share_a_request_share_its_failure():
    with ChatServer(status(500)) as server:
        judge = llm(server.url, retries=0)

        async def both():
            return await asyncio.gather(
                judge.score(*CASE), judge.score(*CASE), return_exceptions=True
            )

        assert [type(each) for each in asyncio.run(both())] == [JudgeError, JudgeError]
    assert len(server.chats) == 1
    assert judge.stats.failures == 2


def test_one_caller_may_leave_without_the_others():
    with ChatServer(says("Score: 1", delay=0.2)) as server:
        judge = llm(server.url)

        async def two():
            leaving = asyncio.create_task(judge.score(*CASE))
            staying = asyncio.create_task(judge.score(*CASE))
            await asyncio.sleep(0.05)
            leaving.cancel()
            return await staying

        assert asyncio.run(two()).score == 1


def test_a_judge_serves_one_event_loop_after_another():
    with ChatServer(ONE) as server:
        judge = llm(server.url)
        for number in range(5):
            assert score(judge, ("q", "a", str(number))) == [Verdict(1, "llm")]
        asyncio.run(judge.close())
        assert "after close()" in fail(judge)


# The file of verdicts


def test_a_cached_verdict_makes_no_request(tmp_path):
    with ChatServer(ZERO) as server:
        score(llm(server.url, cache=tmp_path / "new" / "cache"))
        judge = llm(server.url, cache=tmp_path / "new" / "cache")
        assert score(judge) == [Verdict(0, "llm", cached=True)]
    assert len(server.chats) == 1
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
def test_whatever_is_asked_otherwise_is_asked(tmp_path, case, options):
    with ChatServer(ONE) as server:
        score(llm(server.url, cache=tmp_path / "cache"))
        assert not score(llm(server.url, cache=tmp_path / "cache", **options), case)[0].cached
    assert len(server.chats) == 2


def test_failures_are_not_kept(tmp_path):
    with ChatServer(says("hm"), ONE) as server:
        judge = llm(server.url, cache=tmp_path / "cache", retries=0)
        fail(judge)
        assert (tmp_path / "cache").read_bytes() == b""
        assert score(judge) == [Verdict(1, "llm")]
    assert len(server.chats) == 2


# Secrets


@pytest.mark.parametrize(
    "bad",
    [
        status(401, f"Incorrect API key: {KEY[:-1]}*"),
        status(400, f"your header was Bearer {KEY}"),
        status(500, KEY),
        sends(KEY.encode()),
        says(f"The key is {KEY}"),
        says(f"{KEY}", finish="length"),
        hangs,
        closes_mid_body,
    ],
)
def test_the_key_is_neither_in_errors_nor_logs_nor_the_cache(bad, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with ChatServer(bad, bad, ONE) as server:
        judge = llm(server.url, retries=0, timeout=0.5, cache=tmp_path / "cache")
        for _ in range(2):
            with pytest.raises(JudgeError) as caught:
                score(judge)
            assert KEY[:-1] not in "".join(traceback.format_exception(caught.value))
        score(llm(server.url, cache=tmp_path / "cache"))
    assert KEY[:-1] not in caplog.text
    assert KEY[:-1] not in (tmp_path / "cache").read_text()
    assert KEY[:-1] not in repr(judge.stats)


# Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": None}, "needs base_url"),
        ({"model": None}, "needs model"),
        ({"base_url": "127.0.0.1:8000/v1"}, "is not valid"),
        ({"base_url": "http://host:99999/v1"}, "is not valid"),
        ({"base_url": "http://host/v1?key=1"}, "is not valid"),
        ({"base_url": f"http://me:{KEY}@host/v1"}, "must hold no user"),
        ({"cache": "/"}, "cannot be opened"),
    ],
)
def test_options_that_cannot_work(options, said):
    given = {"kind": "llm", "base_url": "http://127.0.0.1:1/v1", "model": "m"} | options
    with pytest.raises(UsageError, match=said) as caught:
        open_judge(JudgeOptions.model_validate(given))
    assert KEY not in str(caught.value)


def test_a_key_that_cannot_be_one(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\n123")
    with pytest.raises(UsageError, match="has characters that no key has") as caught:
        llm("http://127.0.0.1:1/v1")
    assert "123" not in str(caught.value)
