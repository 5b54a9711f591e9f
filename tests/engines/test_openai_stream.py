"""Replies that come in pieces, from a server that sends events on real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asking import HELLO, no_environment  # noqa: F401  (the fixture acts by its presence)
from chat_server import Behaviour, ChatServer, Handler, hangs, says, sends, status

from visionthink.core.errors import ServerError
from visionthink.core.types import Completion, Sampling, Usage
from visionthink.engines.openai import OpenAIEngine

USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
DONE = b"data: [DONE]\n\n"


def event(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def total(usage: object) -> bytes:
    return b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\r\n\r\n"


def events(*parts: bytes) -> Behaviour:
    return sends(b"".join(parts), content_type="text/event-stream; charset=utf-8")


def breaks_off(*parts: bytes) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(b"".join(parts))

    return behave


def follow(*script: Behaviour, **options: Any) -> tuple[Completion, list[str]]:
    """The reply, and the different texts that were heard on the way."""
    heard: list[str] = []

    async def run(url: str) -> Completion:
        engine = OpenAIEngine(url, "m", **{"max_retries": 0, "timeout": 5.0} | options)
        try:
            return await engine.stream(HELLO, Sampling(), heard.append)
        finally:
            await engine.close()

    with ChatServer(*script) as server:
        reply = asyncio.run(run(server.url))
        assert server.chats[0].body["stream"] is True
        assert server.chats[0].body["stream_options"] == {"include_usage": True}
    return reply, list(dict.fromkeys(heard))


def test_a_reply_in_pieces():
    parts = (
        event(role="assistant", content=""),
        event(content="hi "),
        event(content="there"),
        event(finish="length"),
        total(USAGE),
        DONE,
    )
    reply, heard = follow(events(*parts))
    assert (reply.text, reply.finish) == ("hi there", "length")
    assert reply.usage == Usage(7, 3, 0, reply.usage.seconds)
    assert heard[-1] == "hi there"
    assert all(reply.text.startswith(text) for text in heard)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought_that_the_server_took_out_is_heard_before_it_is_closed(name: str):
    def behave(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for part in (event(**{name: "It "}), event(**{name: "is"}), event("stop", content="42")):
            handler.wfile.write(part)
            handler.wfile.flush()
            handler.server.owner.stopped.wait(0.05)

    reply, heard = follow(behave)
    assert reply.text == "<think>It is</think>42"
    assert heard == ["<think>It ", "<think>It is", "<think>It is</think>42"]


def test_a_call_in_pieces_is_the_text_that_it_was():
    name = {"index": 0, "id": "c1", "function": {"name": "resize_image", "arguments": ""}}
    halves = ['{"action": ', '"resize"}']
    calls = [name, *({"index": 0, "function": {"arguments": half}} for half in halves)]
    parts = [event(tool_calls=[call]) for call in calls]
    reply, heard = follow(events(*parts, event("tool_calls"), DONE))
    call = '{"name": "resize_image", "arguments": {"action": "resize"}}'
    assert reply.text == f"<tool_call>{call}</tool_call>"
    assert heard == [""]


@pytest.mark.parametrize("text", ["", "hi"])
def test_a_server_that_does_not_stream(text: str):
    reply, heard = follow(says(text, usage=USAGE))
    assert (reply.text, heard) == (text, [])


def test_an_empty_reply_in_pieces():
    assert follow(events(event("stop"), DONE))[0].text == ""


@pytest.mark.parametrize(
    ("behaviour", "reason", "status_code", "said"),
    [
        (breaks_off(event(content="hi")), "unreachable", None, "broke"),
        (events(event(content="hi")), "unreachable", None, "broke off in the middle"),
        (events(b'data: {"error": {"message": "gone wrong"}}\n\n'), "refused", 500, "gone wrong"),
        (events(b"data: {]\n\n"), "no_reply", None, "not JSON"),
        (sends(b"<html>", content_type="text/html"), "no_reply", None, "web page"),
        (status(400, "too long"), "refused", 400, "too long"),
        (status(503), "refused", 503, "failed"),
        (hangs, "timeout", None, "did not reply within 0.5 s"),
    ],
)
def test_what_goes_wrong(behaviour: Behaviour, reason: str, status_code: int | None, said: str):
    with pytest.raises(ServerError, match=said) as caught:
        follow(behaviour, timeout=0.5)
    assert (caught.value.reason, caught.value.status) == (reason, status_code)


def test_a_stream_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visionthink.engines.openai_stream.MAX_BODY", 10_000)
    with pytest.raises(ServerError, match="more than"):
        follow(events(*[event(content="hi")] * 200))


def test_a_cancelled_stream_closes_its_connection():
    """The server's writes fail once the client has gone."""
    failed: list[bool] = []

    def behave(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            for _ in range(600):
                handler.wfile.write(event(content="hi "))
                if handler.server.owner.stopped.wait(0.05):
                    break
        except OSError:
            failed.append(True)

    async def run(url: str) -> None:
        engine = OpenAIEngine(url, "m")
        first = asyncio.Event()
        task = asyncio.create_task(engine.stream(HELLO, Sampling(), lambda _: first.set()))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not failed:
            await asyncio.sleep(0.05)
        await engine.close()

    with ChatServer(behave) as server:
        asyncio.run(asyncio.wait_for(run(server.url), 20))


# Looking up


def look_up(model: str | None, **server: Any) -> OpenAIEngine:
    async def run(url: str) -> OpenAIEngine:
        engine = OpenAIEngine(url, model, max_retries=0)
        try:
            await engine.look_up()
            return engine
        finally:
            await engine.close()

    with ChatServer(**server) as upstream:
        return asyncio.run(run(upstream.url))


def test_looking_up_finds_what_is_not_known():
    assert look_up(None, models=["qwen3-vl"]).about.model == "qwen3-vl"
    assert look_up("a", models=["a", "b"]).about.model == "a"
    assert look_up("a", list_models=status(404)).about.model == "a"


def test_looking_up_a_model_that_is_not_there():
    with pytest.raises(ServerError, match="has no model 'c'; it has a, b"):
        look_up("c", models=["a", "b"])
    with pytest.raises(ServerError, match="failed"):
        look_up("c", list_models=status(500))
