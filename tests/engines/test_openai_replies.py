"""What real and broken servers send back, as the openai engine reads it."""

import contextlib
import json
import re
import time
from typing import Any

import pytest
from asking import HELLO, KEY, ask, fail, no_environment  # noqa: F401  (a fixture)
from chat_server import ChatServer, closes_mid_body, drips, hangs, says, sends, status
from hypothesis import given, settings
from hypothesis import strategies as st

from visionthink.core.errors import ServerError
from visionthink.core.protocol import render_thought, render_tool_call
from visionthink.engines.openai_replies import Server, read_reply

BASE64 = "iVBORw0KGgo" * 20


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_what_server_parsers_took_out_is_put_back(name):
    """In the order in which the model wrote it: thought, text, calls."""
    call = {"type": "function", "function": {"name": "resize_image", "arguments": '{"a": 1}'}}
    taken: dict[str, Any] = {name: "hm"}
    replies = (
        says(None, finish="tool_calls", tool_calls=[call], **taken),
        says("text", tool_calls=[], **taken),
        says(None, finish="length", **taken),
    )
    with ChatServer(*replies) as server:
        texts = [reply.text for reply in ask(server.url, HELLO, HELLO, HELLO)]
    thought = render_thought("hm")
    assert texts == [
        thought + render_tool_call("resize_image", '{"a": 1}'),
        thought + "text",
        thought,
    ]


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (says([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab"),
        (says(None, refusal="I cannot"), "I cannot"),
        (says(""), ""),
        (says("lone \ud800"), "lone ?"),
    ],
)
def test_unusual_messages(reply, text):
    with ChatServer(reply) as server:
        assert ask(server.url)[0].text == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
)
FIELDS = ("content", "refusal", "reasoning", "tool_calls", "function", "name", "arguments", "text")
MESSAGE = st.recursive(
    JSON,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
)


@settings(max_examples=200, deadline=None)
@given(message=MESSAGE, choices=JSON, usage=JSON)
def test_any_json_is_a_reply_or_a_server_error(message, choices, usage):
    for value in ({"choices": [{"message": message}], "usage": usage}, {"choices": choices}, usage):
        with contextlib.suppress(ServerError):
            read_reply(Server("http://h/v1", "none", ""), json.dumps(value).encode(), 0.0)


# Failures

CHOICE = b'{"choices": [{"message": {"content": null}}]}'
FAILURES = {  # behaviour, requests that must arrive with max_retries=1, what the message says
    "400": (
        status(400, "max_tokens\x1b[1m is\n too large"),
        1,
        r"\(400\): “max_tokens \[1m is too",
    ),
    "detail": (sends(b'{"detail": [{"msg": "no image"}]}', 422), 1, r"\(422\): “no image”"),
    "401": (status(401), 1, r"the API key \(401\).*no key was given.*OPENAI_API_KEY"),
    "403": (status(403), 1, r"the API key \(403\)"),
    "404": (status(404, "odd"), 1, r"refused the request \(404\): “odd”"),
    "429": (status(429, "slow down"), 2, r"\(429, 2 tries\): “slow down”; wait"),
    "429, long": (
        sends(b"{}", 429, **{"Retry-After": "999"}),
        1,
        r"is at its limit \(429\): “{}”; wait",
    ),
    "500": (status(500, "boom"), 2, r"failed \(500, 2 tries\): “boom”; see the server's log"),
    "503 page": (
        sends(b"<title>Gone</title>", 503, **{"Retry-After-Ms": "1"}),
        2,
        r"\(503, 2 tries\): “Gone”",
    ),
    "redirect": (
        sends(b"", 301, Location="https://h/v1/chat/completions"),
        1,
        r"redirects to https://h/v1 \(301\); use that",
    ),
    "page": (
        sends(b"<html><title>Hello</title>", content_type="text/html"),
        1,
        r"sent a web page instead of JSON: “Hello”",
    ),
    "cut JSON": (sends(b'{"choices": ['), 1, "not JSON"),
    "deep JSON": (sends(b"[" * 200_000), 1, "not JSON"),
    "empty": (sends(b""), 1, r"not JSON: “\(empty\)”"),
    "list": (sends(b"[]"), 1, "not an object"),
    "error 200": (sends(b'{"error": {"message": "gone"}}'), 1, "without a choice: “gone”"),
    "no choices": (sends(b'{"choices": []}'), 1, "without a choice"),
    "no message": (sends(b'{"choices": [{}]}'), 1, "a choice without a message"),
    "null": (sends(CHOICE), 1, "neither text nor a tool call"),
    "bad call": (says(None, tool_calls=[{"id": "1"}]), 1, "a tool call without a function"),
    "huge": (sends(b" " * (17 * 2**20)), 1, "sent more than 16 MiB"),
    "huge error": (sends(b"too much " * 2**20, 400), 1, r"\(400\): “too much too much"),
    "closes": (closes_mid_body, 2, r"broke the connection \(2 tries\): “.*Not enough data"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_say_what_came_and_what_to_do(name):
    behaviour, requests, message = FAILURES[name]
    with ChatServer(behaviour) as server:
        assert re.search(message, fail(server.url))
        assert len(server.chats) == requests


@pytest.mark.parametrize(("behaviour", "requests"), [(hangs, 2), (drips, 1)])
def test_a_silent_or_endless_server_times_out(behaviour, requests):
    """A silent try is repeated. A body that goes on and on is not: its first byte was in time."""
    with ChatServer(behaviour) as server:
        assert "did not reply within 0.2 s" in fail(server.url, timeout=0.2)
        assert len(server.chats) == requests


def test_an_error_body_without_end_is_read_only_at_its_start():
    """The server writes blocks of 1 MiB until the client leaves: what fits into socket buffers."""
    written: list[int] = []

    def behave(handler):
        handler.close_connection = True
        handler.send_response(500)
        handler.send_header("Content-Type", "text/plain")
        handler.end_headers()
        count = 0
        try:
            while not handler.server.owner.stopped.is_set():
                count += handler.wfile.write(b"no end " * (2**20 // 7))
        finally:
            written.append(count)

    with ChatServer(behave) as server:
        assert "failed (500): “no end no end" in fail(server.url, max_retries=0)
        while not written:
            time.sleep(0.01)
    assert written[0] < 32 * 2**20


def test_an_error_body_that_never_ends_in_time_is_still_that_error():
    with ChatServer(lambda handler: drips(handler, 500)) as server:
        assert "failed (500); see the server's log" in fail(server.url, timeout=0.2, max_retries=0)


def test_connection_refused():
    with ChatServer() as server:
        url = server.url
    assert re.search(r"the connection was refused \(2 tries\).*; start the server", fail(url))


def test_unknown_host():
    assert "there is no such host" in fail("http://nosuch.invalid/v1", max_retries=0)


def test_tls_on_a_plain_port():
    with ChatServer() as server:
        assert "TLS failed" in fail(server.url.replace("http", "https"), max_retries=0)


def test_a_server_that_recovers_is_asked_again():
    with ChatServer(status(500), status(429), says("at last")) as server:
        assert ask(server.url, max_retries=2)[0].text == "at last"
        assert len(server.chats) == 3


def test_a_wrong_model_and_a_wrong_path_are_told_apart():
    with ChatServer(status(404, "no model"), models=["a", "b"]) as server:
        assert re.search(
            r"no model 'c' \(404\): “no model”; it has a, b", fail(server.url, model="c")
        )
        assert fail(server.root).endswith("correct the base URL: it usually ends in /v1")
        assert len(server.chats) == 1


@pytest.mark.parametrize("code", [200, 400, 401, 404, 500])
def test_neither_key_nor_image_reaches_an_error(code, caplog):
    caplog.set_level("DEBUG")
    echo = f"{KEY} data:image/png;base64,{BASE64} and {BASE64}".encode()
    with ChatServer(sends(echo, code, **{"Retry-After-Ms": "1"})) as server:
        message = fail(server.url, api_key=KEY)
    if code == 401:  # nothing is quoted there: servers repeat most of the key
        assert "“" not in message
    else:
        assert "(key) (data) and (data)" in message
    assert KEY not in message
    assert KEY not in caplog.text
    assert BASE64 not in caplog.text
