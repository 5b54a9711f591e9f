"""Fields of a request: used, ignored, or refused by name."""

from __future__ import annotations

import base64
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

import pytest

from serving.gateways import (
    QUESTION,
    RED,
    Served,
    data_url,
    image_part,
    png,
    request,
    served,
    text_part,
    user,
)
from visionthink.core.protocol import direct_reply
from visionthink.engines.scripted import ScriptedEngine

DATA = data_url(png())


@pytest.fixture(scope="module")
def server() -> Generator[Served]:
    engine = ScriptedEngine(lambda _: direct_reply("", "red"), profile="agent")
    with served(engine) as running:
        yield running


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "ann", "metadata": {"a": "b"}, "store": True, "service_tier": "auto"},
        {"reasoning_effort": "low", "verbosity": "low", "prompt_cache_key": "k"},
        {"n": 1, "logprobs": False, "top_logprobs": 0, "logit_bias": {}, "modalities": ["text"]},
        {"presence_penalty": 0, "frequency_penalty": 0.0, "response_format": {"type": "text"}},
        {"tools": [], "tool_choice": "none", "functions": [], "parallel_tool_calls": True},
        {"temperature": None, "n": None, "tools": None, "stop": None, "seed": None, "foo": None},
        {"temperature": 2, "top_p": 1, "seed": -5, "stop": ["a", "b"], "max_tokens": 5},
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
    ],
)
def test_fields_that_are_accepted(server: Served, fields: dict[str, Any]):
    reply = server.post(request(**fields))
    assert (reply.status, reply.json["choices"][0]["message"]["content"]) == (200, "red")


def message(content: object, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    # fields of the request that asks about an image → param, a part of the message
    ({"foo": 1, "bar": 2}, "foo", "unknown fields: 'foo', 'bar'"),
    ({"top_k": 5}, "top_k", "unknown fields: 'top_k'"),
    ({"n": 200}, "n", "less than or equal to 128"),
    ({"n": True}, "n", "valid integer"),
    (
        {"logprobs": True, "tools": [{"type": "function"}], "response_format": {"type": "json"}},
        "logprobs",
        "not supported here: logprobs, response_format, tools",
    ),
    ({"presence_penalty": 0.5}, "presence_penalty", "not supported here: presence_penalty"),
    ({"tool_choice": "required"}, "tool_choice", "not supported here: tool_choice"),
    ({"model": None}, "model", "the field 'model' is missing"),
    ({"model": 5}, "model", "model: input should be a valid string; got 5"),
    ({"messages": None}, "messages", "the field 'messages' is missing"),
    ({"messages": []}, "messages", "at least 1 item"),
    ({"messages": "hi"}, "messages", "got a string"),
    ({"messages": ["hi"]}, "messages[0]", "got a string"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "field required"),
    ({"messages": [message("hi", "x")]}, "messages[0].role", "'system', 'developer', 'user'"),
    ({"messages": [message("hi", "tool")]}, "messages[0]", "takes no tools"),
    ({"messages": [message(None)]}, "messages[0].content", "field required"),
    ({"messages": [message([5])]}, "messages[0].content[0]", "got 5"),
    ({"messages": [message([{"type": "text"}])]}, "messages[0].content[0].text", "field required"),
    (
        {"messages": [message([{"type": "input_audio"}])]},
        "messages[0].content[0]",
        "'input_audio'",
    ),
    (
        {"messages": [message([{"type": "image_url", "image_url": DATA}])]},
        "messages[0].content[0].image_url",
        "got a string",
    ),
    ({"messages": [message([RED])]}, "messages[0].content", "no message has text"),
    ({"messages": [message("  ")]}, "messages[0].content", "no message has text"),
    ({"messages": [QUESTION, message("ok", "assistant")]}, "messages[1].role", "must be the user"),
    ({"temperature": "0.5"}, "temperature", "valid number; got a string"),
    ({"temperature": 2.5}, "temperature", "less than or equal to 2; got 2.5"),
    ({"temperature": float("nan")}, "temperature", "finite number"),
    ({"top_p": 0}, "top_p", "greater than 0"),
    ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ({"max_completion_tokens": True}, "max_completion_tokens", "valid integer"),
    ({"seed": 2**70}, "seed", "less than or equal to"),
    ({"stop": ["a"] * 17}, "stop", "at most 16 items"),
    ({"stop": ""}, "stop[0]", "at least 1 character"),
    ({"stream": "yes"}, "stream", "valid boolean"),
    ({"stream_options": 5}, "stream_options", "got 5"),
    ({"visionthink": {"look": "both"}}, "visionthink.look", "'auto', 'low' or 'high'"),
    ({"visionthink": {"lok": "low"}}, "visionthink.lok", "not permitted"),
]


@pytest.mark.parametrize(("fields", "param", "said"), REFUSED)
def test_fields_that_are_refused_by_name(
    server: Served, fields: dict[str, Any], param: str | None, said: str
):
    reply = server.post(request(**fields) | fields)
    error = reply.error
    assert reply.status == 400
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert said in error["message"]
    assert len(error["message"]) <= 500


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b"[1]", "must be a JSON object; got an array"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "nested more than 100 levels"),
        (b'{"model": "\\ud800"}', "not valid JSON"),
    ],
)
def test_a_body_that_is_not_a_request_is_refused(server: Served, body: bytes, said: str):
    reply = server.post(body)
    assert reply.status == 400
    assert said in reply.error["message"]


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("data:image/png;base64,AAAA", "invalid_image", "does not hold an image"),
        (DATA[:-400], "invalid_image", "damaged or cut short"),
        (DATA + "!", "invalid_image_url", "does not hold valid base64"),
        ("data:image/png;base64," + "A" * 5, "invalid_image_url", "does not hold valid base64"),
        ("data:image/png,raw", "invalid_image_url", "must start with data:image/…;base64,"),
        ("data:text/html;base64,AAAA", "invalid_image_url", "must start with data:image/…;base64,"),
        ("data:", "invalid_image_url", "must be a data URL"),
        ("", "invalid_image_url", "must be a data URL"),
        ("/etc/passwd", "invalid_image_url", "must be a data URL"),
        ("file:///etc/passwd", "invalid_image_url", "must be a data URL"),
        ("ftp://example.com/a.png", "invalid_image_url", "must be a data URL"),
        ("https://example.com/a.png", "remote_images_off", "not fetched from URLs here"),
        ("HTTP://example.com/a.png", "remote_images_off", "not fetched from URLs here"),
        (data_url(png(5000, 2)), "invalid_image", "a longer strip than 200:1"),
    ],
)
def test_an_image_url_without_an_image_is_refused(server: Served, url: str, code: str, said: str):
    reply = server.post(request(user("What?", image_part(url))))
    error = reply.error
    assert reply.status == 400
    assert (error["code"], error["param"]) == (code, "messages[0].content[1].image_url")
    assert said in error["message"]


def test_a_path_in_place_of_an_image_opens_no_file(server: Served, monkeypatch: pytest.MonkeyPatch):
    """Paths in the place of images open nothing: no `open` or `stat` of them happens."""
    touched: list[str] = []
    real = __import__("os").stat

    def seen(path: Any, *args: Any, **kwargs: Any) -> Any:
        if "passwd" in str(path):
            touched.append(str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr("os.stat", seen)
    monkeypatch.setattr("visionthink.core.images.os.stat", seen)
    for url in ("/etc/passwd", "file:///etc/passwd", "data:image/png;base64,/etc/passwd"):
        assert server.post(request(user("What?", image_part(url)))).status == 400
    assert touched == []


def test_an_error_never_quotes_the_question(server: Served):
    asked = "What is my diagnosis?"
    for messages in (
        [message(asked, "tool")],
        [message([{"type": "text", "text": [asked]}])],
        asked,
    ):
        assert asked not in server.post(request() | {"messages": messages}).error["message"]


def test_other_paths_and_methods(server: Served):
    missing = server.call("POST", "/v1/completions", b"{}")
    assert (missing.status, missing.error["code"]) == (404, "unknown_url")
    wrong = server.call("GET", "/v1/chat/completions")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert wrong.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_bodies_are_accepted(server: Served, kind: str):
    """Types that a web page may send to another site without asking first are refused."""
    reply = server.call("POST", "/v1/chat/completions", b"{}", {"Content-Type": kind})
    assert reply.status == 415
    assert "Content-Type: application/json" in reply.error["message"]


def test_a_message_of_several_text_parts_is_accepted(server: Served):
    messages = [message([text_part("Why?"), text_part("How?")])]
    assert server.post(request() | {"messages": messages}).status == 200


def wrapped(text: str) -> str:
    return "\n".join(text[at : at + 76] for at in range(0, len(text), 76)) + "\n"


RAW = base64.b64encode(png(colour="#fbefbe")).decode()


@pytest.mark.parametrize(
    "text",
    [
        wrapped(RAW),
        wrapped(RAW).replace("\n", "\r\n"),
        f"{RAW}\n",
        f" {RAW}",
        base64.b64encode(png() + b"\0").decode().rstrip("="),
        base64.b64encode(png() + b"\0\0").decode().rstrip("="),
        base64.urlsafe_b64encode(png(40, 40, "#fbefbe") + b"\xfb\xff\xfe").decode(),
        quote(RAW, safe=""),
    ],
)
def test_base64_as_clients_write_it(server: Served, text: str):
    """In lines of 76 columns, with a line end, without padding, URL-safe, escaped."""
    url = f"data:image/png;base64,{text}"
    assert server.post(request(user("What?", image_part(url)))).status == 200
