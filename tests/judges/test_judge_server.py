"""The llm judge on a real HTTP server and on a local model: requests, secrets, and bounds."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
import traceback

import pytest

from engines.chat_server import ChatServer, Handler, closes_mid_body, hangs, says, sends, status
from judges.judging import (  # noqa: F401  (alone acts by itself)
    CASE,
    KEY,
    alone,
    fail,
    llm,
    score,
)
from visionthink.core.errors import JudgeError, UsageError
from visionthink.judges import JudgeOptions, JudgeStats, Verdict, open_judge
from visionthink.judges.llm_prompt import judge_messages
from visionthink.mini import CHECKPOINTS

USAGE = {"prompt_tokens": 300, "completion_tokens": 4}
ONE, ZERO = says("Score: 1", usage=USAGE), says("Score: 0", usage=USAGE)


def test_what_is_sent_and_what_comes_back(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "max_tokens": None}
    with ChatServer(ONE) as server:
        judge = llm(server.url, extra_body=extra)
        assert score(judge) == [Verdict(1, "llm")]
    (seen,) = server.chats
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    system, user = judge_messages("What colour is it?", ("red",), "crimson")
    assert seen.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": system.text},
            {"role": "user", "content": user.text},
        ],
        "temperature": 0,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert judge.name == "llm:m"
    assert judge.stats == JudgeStats(calls=1, by_llm=1, prompt_tokens=300, completion_tokens=4)


def test_the_key_of_another_variable_and_no_key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with ChatServer(ONE) as server:
        score(llm(server.url, api_key_env="JUDGE_KEY"))
        score(llm(server.url))
    assert [seen.headers["authorization"] for seen in server.chats] == [
        f"Bearer {KEY}",
        "Bearer none",
    ]


@pytest.mark.parametrize(
    "reply",
    [
        says([{"type": "text", "text": "Score: "}, {"type": "text", "text": "0"}]),
        says("Score: 0", reasoning_content="Score: 1"),
    ],
)
def test_text_in_parts_and_reasoning_that_the_server_took_out(reply):
    with ChatServer(reply) as server:
        assert score(llm(server.url))[0].score == 0


@pytest.mark.parametrize(
    "reply",
    [
        says(None),
        says("Score: 1", finish="length"),
        says(None, reasoning_content="Score: 1"),
        says(None, tool_calls=[{"function": {"name": "Score: 1"}}]),
    ],
)
def test_a_score_outside_of_a_whole_reply_is_not_a_verdict(reply):
    with ChatServer(reply) as server:
        fail(llm(server.url, retries=1))
    assert len(server.chats) == 2


@pytest.mark.parametrize(
    "bad",
    [
        status(500),
        status(429),
        sends(b"<html><title>Gateway</title></html>", content_type="text/html"),
        sends(b'{"choices": []}'),
        closes_mid_body,
    ],
)
def test_a_passing_failure_is_tried_again(bad):
    with ChatServer(bad, ONE) as server:
        judge = llm(server.url)
        assert score(judge) == [Verdict(1, "llm")]
    assert len(server.chats) == 2
    assert server.chats[0].body == server.chats[1].body


def test_a_refusal_names_the_variable_of_the_key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with ChatServer(status(401, "no")) as server:
        said = fail(llm(server.url, api_key_env="JUDGE_KEY"))
    assert "refused the API key (401); the key is that of JUDGE_KEY; set JUDGE_KEY or" in said


@pytest.mark.parametrize("code", [400, 404])
def test_a_refusal_is_not_tried_again(code):
    with ChatServer(status(code, "no")) as server:
        assert f"{code}" in fail(llm(server.url))
    assert len(server.chats) == 1


def test_a_server_that_is_not_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        judge = llm(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", retries=0)
        assert "the connection was refused" in fail(judge)


def test_an_endless_error_body_fills_no_memory():
    """It would be gigabytes; the engine stops reading after 16 MiB."""

    def endless(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(500)
        handler.send_header("Content-Type", "text/plain")
        handler.send_header("Content-Length", str(2**40))
        handler.end_headers()
        ended = time.monotonic() + 5
        while time.monotonic() < ended and not handler.server.owner.stopped.is_set():
            handler.wfile.write(b"x" * 2**20)

    with ChatServer(endless) as server:
        judge = llm(server.url, retries=0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fail(judge)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


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
    ],
)
def test_the_key_is_neither_in_errors_nor_logs_nor_the_cache(bad, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with ChatServer(bad, ONE) as server:
        judge = llm(server.url, retries=0, timeout=0.5, cache=tmp_path / "cache")
        with pytest.raises(JudgeError) as caught:
            score(judge)
        assert KEY[:-1] not in "".join(traceback.format_exception(caught.value))
        score(judge)
    assert KEY[:-1] not in caplog.text
    assert KEY[:-1] not in (tmp_path / "cache").read_text()
    assert KEY[:-1] not in repr(judge.stats)


def test_a_local_model_can_judge():
    """The embedded one never says "Score:"; that it replied is enough here."""
    model = str(CHECKPOINTS / "mini")
    judge = open_judge(JudgeOptions(kind="llm", engine="hf", model=model, retries=0, max_tokens=4))

    async def run() -> str:
        try:
            await judge.score(*CASE)
        except JudgeError as error:
            return str(error)
        finally:
            await judge.close()
        return ""

    said = asyncio.run(run())
    assert said.startswith(f"the judge {model:.60} gave no verdict: its reply")
    assert (judge.stats.calls, judge.stats.unreadable) == (1, 1)
    assert 1 <= judge.stats.completion_tokens <= 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": None}, "needs base_url"),
        ({"model": None}, "needs model"),
        ({"engine": "hf", "model": None}, "needs model"),
        ({"base_url": "127.0.0.1:8000/v1"}, "must start with http"),
        ({"base_url": "http://host:99999/v1"}, "is not valid"),
        ({"base_url": "http://host/v1?key=1"}, "must hold no user"),
        ({"base_url": f"http://me:{KEY}@host/v1"}, "must hold no user"),
        ({"cache": "/"}, "cannot open the judge's cache"),
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
