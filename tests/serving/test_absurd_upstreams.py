"""Upstreams that send nonsense: 502 and clean text, never a 500, never raw to the terminal."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import pytest

from engines.chat_server import Behaviour, ChatServer, Handler, says
from serving.gateways import QUESTION, Served, request, served, upstream, user
from visionthink.cli.serve import _OneLine
from visionthink.core.errors import ServerError
from visionthink.core.protocol import direct_reply
from visionthink.engines.openai_replies import Server, read_models

RED = direct_reply("", "red")
HUGE = 10**400
ESCAPE = "\x1b[31m\r\n\x07\u202e"


def reply(usage: object = None, **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": RED}
    return {"choices": [{"index": 0, "message": message, **choice}], "usage": usage}


def usage(**counts: Any) -> dict[str, Any]:
    return {"prompt_tokens": 1, "completion_tokens": 1, **counts}


def raw(body: bytes, kind: str = "application/json", **headers: str) -> Behaviour:
    def send(handler: Handler) -> None:
        handler.send(200, kind, body, {name.replace("_", "-"): v for name, v in headers.items()})

    return send


def as_json(value: object) -> Behaviour:
    return raw(json.dumps(value).encode())


def events(*values: object) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


PACKED = gzip.compress(json.dumps(reply(usage())).encode())
STREAM = gzip.compress(
    events({"choices": [{"index": 0, "delta": {"content": RED}, "finish_reason": "stop"}]})
)


@pytest.mark.parametrize(
    "behaviour",
    [
        as_json(reply(usage(prompt_tokens=HUGE))),
        as_json(reply(usage(completion_tokens=HUGE))),
        as_json(reply(usage(prompt_tokens_details={"cached_tokens": HUGE}))),
        raw(json.dumps(reply(usage())).replace('s": 1', 's": ' + "9" * 5000).encode()),
        raw(json.dumps(reply(usage(), logprobs={"a": float("nan")})).encode()),
        raw(json.dumps(reply(usage(), logprobs={"a": 1})).replace(": 1}", ": 1e999}").encode()),
        raw(PACKED[: len(PACKED) // 2] + b"garbage", Content_Encoding="gzip"),
        raw(b"not gzip at all", Content_Encoding="gzip"),
        raw(b"[" * 100_000),
    ],
    ids=[
        *("prompt", "completion", "cached", "digits", "nan", "infinity", "broken-gzip", "no-gzip"),
        "deep",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_8_nonsense_is_a_502(behaviour: Behaviour, stream: bool):
    with ChatServer(behaviour) as vllm, served(upstream(vllm.url)) as server:
        assert outcome(server, stream) == "upstream_failed"


def test_8_a_broken_gzip_in_a_stream_is_a_502():
    for body in (STREAM[: len(STREAM) // 2] + b"garbage", b"no gzip"):
        cut = raw(body, "text/event-stream", Content_Encoding="gzip")
        with ChatServer(cut) as vllm, served(upstream(vllm.url)) as server:
            assert outcome(server, stream=True) == "upstream_failed"


def outcome(server: Served, stream: bool) -> str:
    """The code of the error, which is the only thing that a stream may have begun with."""
    got = server.post(request(QUESTION, stream=stream))
    if got.status == 200:
        events = [line[6:] for line in got.body.split(b"\n") if line.startswith(b"data: {")]
        return json.loads(events[-1])["error"]["code"]
    assert got.status == 502
    return got.error["code"]


@pytest.mark.parametrize("stream", [False, True])
def test_8_lone_surrogates_reach_no_client(stream: bool):
    """In the text, in what is logged of it, and in the log probabilities of its tokens."""
    odd = direct_reply("\ud800", "red \udfff")
    logprobs = {"content": [{"token": "\ud800", "logprob": -1.0, "bytes": None}]}
    behaviour = as_json(
        {
            "choices": [{"index": 0, "message": {"content": odd}, "logprobs": logprobs}],
            "usage": usage(),
        }
    )
    with ChatServer(behaviour) as vllm, served(upstream(vllm.url)) as server:
        got = server.post(request(QUESTION, stream=stream))
        assert got.status == 200
        assert "red ?" in got.body.decode("utf-8")


@pytest.mark.parametrize("name", ["a" * 5000, f"model{ESCAPE}", "model\ud800", "a\nb"])
def test_8_a_model_name_that_is_no_name_is_refused_in_one_clean_line(name: str):
    server = Server("http://127.0.0.1:1/v1", "none", "no key was given")
    with pytest.raises(ServerError) as caught:
        read_models(server, json.dumps({"data": [{"id": name}]}).encode())
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) <= 300


@pytest.mark.parametrize("name", ["a" * 5000, f"model{ESCAPE}"])
def test_8_no_server_answers_500_because_of_a_name(name: str, caplog: pytest.LogCaptureFixture):
    with (
        ChatServer(says(RED), models=["qwen2.5-vl", name]) as vllm,
        served(upstream(vllm.url)) as server,
    ):
        assert server.post(request(QUESTION)).status in (200, 502, 503)
        assert server.call("GET", "/v1/models").status == 200
        assert server.post(request(user("?"), model=name)).status != 500
        assert server.call("GET", "/metrics").status == 200
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_8_the_terminal_gets_no_control_characters():
    record = logging.LogRecord("a", logging.INFO, "", 0, "upstream %s", (ESCAPE,), None)
    assert _OneLine("%(message)s").format(record) == r"upstream \x1b[31m\r\n\x07\u202e"
