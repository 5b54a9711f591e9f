"""Ids and traces of a request on their way to the upstream and back; CORS; tokens counted twice."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from engines.chat_server import ChatServer, says, sends
from serving.gateways import KEY, QUESTION, request, served, upstream, user
from visionthink.core.protocol import direct_reply, request_reply

TEXT = user("Why?")
ASKS, DIRECT = says(request_reply("")), says(direct_reply("", "red"))
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IDS = {"X-Request-Id": "abc-1", "traceparent": TRACE, "tracestate": "a=b"}


@pytest.mark.parametrize("question", [QUESTION, TEXT])
def test_a_clients_ids_reach_every_turn_and_come_back(question: dict[str, Any]):
    with ChatServer(ASKS, DIRECT) as vllm, served(upstream(vllm.url)) as server:
        for stream in (False, True):
            reply = server.post(request(question, stream=stream), **IDS)
            assert {n: reply.headers[n.lower()] for n in IDS} == IDS
    assert len(vllm.chats) >= 2
    for seen in vllm.chats:
        assert {name: seen.headers[name.lower()] for name in IDS} == IDS


def test_without_an_id_one_is_made(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with ChatServer(DIRECT) as vllm, served(upstream(vllm.url), log=str(path)) as server:
        replies = [server.post(request(each)) for each in (QUESTION, TEXT, {"role": "x"})]
        odd = server.post(request(), **{"X-Request-Id": "a b"})
    ids = [reply.headers["x-request-id"] for reply in (*replies, odd)]
    assert len(set(ids)) == 4
    assert all(each.startswith("req-") for each in ids)
    assert [seen.headers["x-request-id"] for seen in vllm.chats] == [ids[0], ids[1], ids[2], ids[3]]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["request_id"] for line in lines] == ids
    assert [line["client"] for line in lines] == ["127.0.0.1"] * 4


def test_the_log_names_the_upstream_and_what_was_wrong(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with ChatServer(DIRECT) as vllm, served(upstream(vllm.url), log=str(path)) as server:
        server.post(request())
        server.post(request(TEXT))
        server.post(request(n=0))
    asked, passed, refused = (json.loads(line) for line in path.read_text().splitlines())
    assert (asked["upstream"], passed["upstream"]) == (vllm.url, vllm.url)
    assert passed["passed"] == "text"
    assert refused["param"] == "n"


@pytest.mark.parametrize(("own", "sent"), [(None, f"Bearer {KEY}"), ("sk-up", "Bearer sk-up")])
def test_a_clients_key_reaches_an_upstream_that_has_none_of_ours(own: str | None, sent: str):
    with ChatServer(DIRECT) as vllm, served(upstream(vllm.url, api_key=own or "")) as server:
        assert server.post(request(), Authorization=f"Bearer {KEY}").status == 200
    assert vllm.chats[0].headers["authorization"] == sent


def test_a_clients_key_of_this_server_reaches_no_upstream():
    with (
        ChatServer(DIRECT) as vllm,
        served(upstream(vllm.url, api_key=""), keys=[KEY], api_key_env="KEYS") as server,
    ):
        assert server.post(request(), Authorization=f"Bearer {KEY}").status == 200
    assert KEY not in str(vllm.chats[0].headers)


# CORS

PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def test_cors_is_off():
    with ChatServer(DIRECT) as vllm, served(upstream(vllm.url)) as server:
        reply = server.call("OPTIONS", "/v1/chat/completions", None, PREFLIGHT)
        assert reply.status == 405
        posted = server.post(request(), Origin="https://app.example")
        assert "access-control-allow-origin" not in {**reply.headers, **posted.headers}


def test_cors_by_setting():
    options = {"cors": ["https://app.example"], "api_key_env": "KEYS"}
    other = ChatServer(DIRECT, other=sends(b"{}"))
    with other as vllm, served(upstream(vllm.url), keys=[KEY], **options) as server:
        reply = server.call("OPTIONS", "/v1/chat/completions", None, PREFLIGHT)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (
            200,
            "https://app.example",
        )
        key = {"Authorization": f"Bearer {KEY}"}
        posted = server.post(request(), Origin="https://app.example", **key)
        assert posted.headers["access-control-allow-origin"] == "https://app.example"
        assert posted.headers["access-control-expose-headers"] == "x-request-id"
        file = server.call("POST", "/v1/files", b"x", {"Origin": "https://app.example", **key})
        assert file.status == 200
        strange = server.post(request(), Origin="https://evil.example", **key)
        assert "access-control-allow-origin" not in strange.headers


# Counted twice


def counted(*image_tokens: int | None) -> list[Any]:
    """Replies of two turns that count this many image tokens."""
    texts = (request_reply(""), direct_reply("", "red"))
    return [
        says(
            text,
            usage={
                **{"prompt_tokens": 90, "completion_tokens": 5},
                "prompt_tokens_details": {"cached_tokens": 3}
                | ({} if count is None else {"image_tokens": count}),
            },
        )
        for text, count in zip(texts, image_tokens, strict=True)
    ]


@pytest.mark.parametrize(
    ("tokens", "warned"),
    [((9, 45), False), ((None, None), False), ((9, 44), True), ((12, 48), True)],
)
def test_image_tokens_are_compared_with_the_upstreams(
    tokens: tuple[int | None, int | None], warned: bool, caplog: pytest.LogCaptureFixture
):
    """9 in the first prompt, 9 + 36 in the second."""
    with (
        caplog.at_level(logging.WARNING, "visionthink"),
        ChatServer(*counted(*tokens)) as vllm,
        served(upstream(vllm.url)) as server,
    ):
        usage = server.post(request()).json["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 6, "image_tokens": 9 + 45}
    said = [record.getMessage() for record in caplog.records]
    assert any("does the grid fit" in line for line in said) == warned
