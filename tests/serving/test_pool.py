"""Several upstreams: the choice among them, failures, retries and recovery."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engines.chat_server import (
    Behaviour,
    ChatServer,
    Handler,
    Seen,
    closes_mid_body,
    hangs,
    says,
    sends,
    status,
)
from serving.gateway_process import wait_for
from serving.gateways import RED, Served, image_part, png, request, served, upstream, user
from visionthink.core.errors import ServerError
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.api_error import ApiError
from visionthink.serving.pool import Backend, Pool

ANSWER, ASK = says(direct_reply("", "red")), says(request_reply(""))

# Which one is asked


def backend(name: str, check: Callable[[], Coroutine[Any, Any, None]] | None = None) -> Backend:
    return Backend(name, ScriptedEngine([]), check)


def names_of(pool: Pool, *keys: bytes) -> list[str]:
    """Which backend each key gets while all of them are in progress."""
    leases = [pool.lease(key) for key in keys]
    for lease in leases:
        lease.__enter__()
    names = [b.name for b in pool.backends for _ in range(b.running)]
    for lease in leases:
        lease.__exit__(None, None, None)
    assert [b.running for b in pool.backends] == [0] * len(pool.backends)
    return names


def test_new_images_go_to_the_least_busy():
    assert names_of(Pool([backend("a"), backend("b")]), b"1", b"2", b"3") == ["a", "a", "b"]


def test_an_image_goes_where_it_was_unless_that_is_much_busier():
    """Image 2 is at home at b, which may run 8 more than a: of 10 requests b gets 9, then a."""
    pool = Pool([backend("a"), backend("b")])
    with pool.lease(b"1"), pool.lease(b"2"):
        pass
    assert names_of(pool, *[b"2"] * 10) == ["a", *["b"] * 9]


def test_the_number_of_remembered_images_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visionthink.serving.pool.MAX_HOMES", 2)
    pool = Pool([backend("a"), backend("b")])
    for number in range(5):
        with pool.lease(bytes([number])):
            pass
    assert list(pool._homes) == [bytes([3]), bytes([4])]


def test_a_lease_without_a_reachable_upstream_raises_503():
    async def dead() -> None:
        raise ConnectionError

    pool = Pool([backend("a", dead)], check_seconds=2.5)
    assert not pool.ready
    with pytest.raises(ApiError) as caught, pool.lease(b"1"):
        pass
    assert (caught.value.status, caught.value.retry_after) == (503, 3)


# Real servers


def ask(server: Served, **fields: Any) -> int:
    return server.post(request(**fields)).status


def digest(seen: Seen) -> list[Any]:
    """The image parts of what an upstream was asked."""
    parts = [m["content"] for m in seen.body["messages"] if isinstance(m["content"], list)]
    return [part for message in parts for part in message if part["type"] == "image_url"]


def test_both_turns_go_to_one_upstream_with_the_same_bytes():
    with (
        ChatServer(ASK, ANSWER) as one,
        ChatServer(ASK, ANSWER) as two,
        served(upstream(one.url), upstream(two.url)) as server,
    ):
        assert ask(server) == 200
        first, second = one.chats
        assert two.chats == []
    assert digest(second)[: len(digest(first))] == digest(first)
    assert digest(second)[-1] == RED  # the original as it was sent


def test_images_are_spread_over_upstreams_and_each_stays_with_its_own():
    with (
        ChatServer(ANSWER) as one,
        ChatServer(ANSWER) as two,
        served(upstream(one.url), upstream(two.url)) as server,
    ):
        colours = ["red", "blue", "green", "white"]
        parts = [image_part(png(colour=colour)) for colour in colours]
        for _ in range(3):
            with ThreadPoolExecutor(4) as threads:
                asked = [request(user("What?", part)) for part in parts]
                assert {reply.status for reply in threads.map(server.post, asked)} == {200}
        seen = [{str(digest(chat)) for chat in each.chats} for each in (one, two)]
        assert len(seen[0] | seen[1]) == 4
        assert seen[0] & seen[1] == set()


@pytest.mark.parametrize(
    "broken",
    [status(500), status(503), status(429), closes_mid_body],
    ids=["500", "503", "429", "closes mid-body"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_another_upstream_takes_over(broken: Behaviour, stream: bool):
    with (
        ChatServer(broken) as one,
        ChatServer(ANSWER) as two,
        served(upstream(one.url), upstream(two.url), retries=1) as server,
    ):
        assert b"red" in server.post(request(stream=stream)).body
        assert (len(one.chats), len(two.chats)) == (1, 1)
        assert [b.running for b in server.gateway.pool.backends] == [0, 0]
        assert server.metric(f'visionthink_upstream_failures_total{{upstream="{one.url}"}}') == 1


@pytest.mark.parametrize(
    ("behaviour", "code", "error"),
    [
        (status(400, "max_model_len is 2048"), 400, "upstream_refused"),
        (status(401), 502, "upstream_failed"),
        (status(404), 502, "upstream_failed"),
        (status(429), 429, "upstream_busy"),
        (status(500), 502, "upstream_failed"),
        (sends(b"<html>"), 502, "upstream_failed"),
        (closes_mid_body, 503, "upstream_unreachable"),
    ],
)
def test_upstream_failures_become_statuses_and_codes(behaviour: Behaviour, code: int, error: str):
    """No address of the upstream; its own words only where the request is at fault."""
    with ChatServer(behaviour) as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(request())
        assert (reply.status, reply.error["code"]) == (code, error)
        assert "127.0.0.1" not in reply.body.decode()
        assert ("max_model_len" in reply.error["message"]) == (code == 400)
        assert ("retry-after" in reply.headers) == (code in (429, 503))


def test_a_request_that_an_upstream_refuses_is_not_retried():
    with (
        ChatServer(status(400)) as one,
        ChatServer(ANSWER) as two,
        served(upstream(one.url), upstream(two.url), retries=3) as server,
    ):
        assert ask(server) == 400
        assert (len(one.chats), len(two.chats)) == (1, 0)


def test_the_number_of_retries_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visionthink.serving.pool.BACK_OFF", 0.01)
    with ChatServer(status(500)) as vllm, served(upstream(vllm.url), retries=2) as server:
        assert ask(server) == 502
        assert len(vllm.chats) == 3


def test_an_upstream_that_dies_in_a_request_and_comes_back(monkeypatch: pytest.MonkeyPatch):
    """The request in progress fails with one clear error; a later one succeeds without help."""

    def dies(handler: Handler) -> None:
        handler.close_connection = True
        alive[0] = False

    alive = [True]

    def listed(handler: Handler) -> None:
        if not alive[0]:
            handler.close_connection = True
            return
        handler.send_json(200, {"data": [{"id": "qwen2.5-vl"}]})

    with (
        ChatServer(dies, ANSWER, list_models=listed) as vllm,
        served(upstream(vllm.url)) as server,
    ):
        name = f'visionthink_upstream_up{{upstream="{vllm.url}"}}'
        assert server.metric(name) == 1
        assert server.call("GET", "/ready").status == 200
        assert ask(server) == 503
        wait_for(lambda: server.call("GET", "/ready").status == 503)
        reply = server.call("GET", "/ready")
        assert (reply.status, reply.json) == (503, {"status": "unreachable", "alive": 0, "of": 1})
        assert server.metric(name) == 0
        assert ask(server) == 503
        assert len(vllm.chats) == 1
        alive[0] = True
        deadline = time.monotonic() + 60
        while server.call("GET", "/ready").status != 200:
            assert time.monotonic() < deadline
        assert ask(server) == 200


def test_7_one_cut_stream_does_not_turn_others_away():
    """Of a single upstream: the cut request fails, and of the others none does."""

    def cut(handler: Handler) -> None:
        handler.close_connection = True

    with (
        ChatServer(cut, ANSWER) as vllm,
        served(upstream(vllm.url), check_seconds=30.0) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        assert ask(server) == 503
        assert server.call("GET", "/ready").status == 200
        assert list(pool.map(lambda _: ask(server), range(16))) == [200] * 16


def test_7_a_check_that_fails_once_does_not_turn_others_away():
    """The last living upstream must miss two; of several, one that misses is left out at once."""
    missing = {"a"}

    def check(name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def checked() -> None:
            if name in missing:
                raise ServerError(name)

        return checked

    async def story() -> None:
        pool = Pool([backend(name, check(name)) for name in "ab"])
        await pool.check()
        assert [each.alive for each in pool.backends] == [False, True]
        missing.add("b")
        await pool.check()
        assert [each.alive for each in pool.backends] == [False, True]
        await pool.check()
        assert not pool.ready
        missing.clear()
        await pool.check()
        assert [each.alive for each in pool.backends] == [True, True]

    asyncio.run(story())


def test_an_upstream_that_hangs_does_not_block_the_other():
    with (
        ChatServer(hangs) as one,
        ChatServer(ANSWER) as two,
        served(upstream(one.url, timeout=60), upstream(two.url)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        stuck = pool.submit(ask, server)
        while not one.chats:
            time.sleep(0.01)
        assert server.post(request(user("?", image_part(png(colour="blue"))))).status == 200
        assert not stuck.done()
        one.stopped.set()
        assert stuck.result() == 503


def test_an_upstream_of_another_model_is_not_asked():
    with (
        ChatServer(ANSWER, models=["other"]) as one,
        ChatServer(ANSWER) as two,
        served(upstream(one.url), upstream(two.url)) as server,
    ):
        assert ask(server) == 200
        assert (len(one.chats), len(two.chats)) == (0, 1)
        assert "has no model 'qwen2.5-vl'; it has other" in server.gateway.pool.backends[0].problem


# The server's own tool format

CALL = {
    "id": "call-7",
    "type": "function",
    "function": {"name": "resize_image", "arguments": '{"action": "resize"}'},
}


def test_the_native_profile_offers_a_tool_and_delivers_the_original():
    """Tools go out, its call comes back, the original follows in a message of the user's."""
    called = says(None, tool_calls=[CALL], finish="tool_calls")
    with (
        ChatServer(called, says("It is red.")) as vllm,
        served(upstream(vllm.url), profile="native") as server,
    ):
        reply = server.client().chat.completions.create(**request())
        assert reply.choices[0].message.content == "It is red."
        first, second = (chat.body for chat in vllm.chats)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["resize_image"]
    assert first["tool_choice"] == "auto"
    assert second["tools"] == first["tools"]
    assert second["tool_choice"] == "none"
    assert second["messages"][:2] == first["messages"]
    called_, response, image = second["messages"][2:]
    assert called_ == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert response["role"] == "tool"
    assert response["tool_call_id"] == "call-7"
    assert response["content"] == "The images at their original resolution:"
    assert image == {"role": "user", "content": [RED]}


@pytest.mark.parametrize("look", ["low", "high"])
def test_a_fixed_look_offers_no_tools(look: str):
    """And adds no text: the message is sent as the client wrote it."""
    with ChatServer(says("red")) as vllm, served(upstream(vllm.url), profile="native") as server:
        asked = request(user("What?", image_part(png(28, 28))), model=f"m:{look}")
        assert server.post(asked).status == 200
        body = vllm.chats[0].body
    assert "tools" not in body
    (message,) = body["messages"]
    assert [part["type"] for part in message["content"]] == ["image_url", "text"]
    assert message["content"][1]["text"] == "What?"


def test_a_call_in_a_stream():
    def event(**delta: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return b"data: %s\n\n" % __import__("json").dumps({"choices": [choice]}).encode()

    pieces = [event(content="Let me look."), event(tool_calls=[{"index": 0, **CALL}])]
    called = sends(b"".join([*pieces, b"data: [DONE]\n\n"]), content_type="text/event-stream")
    with (
        ChatServer(called, says("It is red.")) as vllm,
        served(upstream(vllm.url), profile="native") as server,
    ):
        chunks = list(server.client().chat.completions.create(**request(stream=True)))
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert said == "It is red."
        assert vllm.chats[1].body["messages"][2]["content"] == "Let me look."


def test_the_native_format_needs_a_server():
    from visionthink.core.errors import UsageError

    with (
        pytest.raises(UsageError, match="name one by --upstream"),
        served(ScriptedEngine([]), profile="native"),
    ):
        pass


def test_the_pool_closes_its_engines():
    engine = ScriptedEngine(["x"])
    asyncio.run(Pool([Backend("a", engine)]).close())
    assert engine._closed
