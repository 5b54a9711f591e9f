"""The server answers anything with a success or an error in OpenAI's form, never with a 500.

The examples are fixed; FUZZ=5000 tries that many random ones of each kind.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.gateways import (
    KEY,
    QUESTION,
    RED,
    Reply,
    Served,
    data_url,
    image_part,
    png,
    request,
    served,
    user,
)
from visionthink.core.protocol import direct_reply
from visionthink.engines.hf import HFEngine
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini import CHECKPOINTS
from visionthink.serving.known_fields import KNOWN

PNG = png(56, 56)

fuzzing = settings(
    max_examples=int(os.environ.get("FUZZ", "80")),
    deadline=None,
    derandomize="FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def server() -> Generator[Served]:
    engine = ScriptedEngine(lambda _: direct_reply("", "red"), profile="agent")
    with served(engine) as running:
        yield running
        check_health(running)


@pytest.fixture(scope="module")
def embedded() -> Generator[Served]:
    with served(HFEngine(CHECKPOINTS / "mini", device="cpu")) as running:
        yield running
        check_health(running)


def check_health(server: Served) -> None:
    """Nothing failed, nothing is left over, and the next request is answered."""
    assert server.metric('visionthink_requests_total{outcome="failed"}') == 0
    assert (server.gateway.admission.running, server.gateway.admission.waiting) == (0, 0)
    assert server.post(request(max_completion_tokens=9)).status == 200


def check(server: Served, body: bytes, **headers: str) -> Reply:
    """An answer, or an error that the client made."""
    reply = server.post(body, **headers)
    if reply.status == 200:
        assert b"red" in reply.body
    else:
        assert 400 <= reply.status < 500
        assert reply.error["type"] == "invalid_request_error"
    return reply


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
encoded = st.sampled_from([data_url(PNG), data_url(PNG)[:-9], "data:image/png;base64,"])
urls = encoded | st.binary(max_size=99).map(data_url) | st.text(max_size=30)
parts = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=30)),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, urls),
    json_values,
)
roles = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
messages = st.lists(
    st.fixed_dictionaries(
        {"role": roles, "content": st.text(max_size=30) | st.lists(parts, max_size=4)}
    )
    | st.just(QUESTION)
    | json_values,
    max_size=4,
)
names = st.sampled_from(sorted(KNOWN)) | st.text(max_size=10)


@fuzzing
@given(st.binary(max_size=500))
def test_any_bytes(server: Served, body: bytes):
    check(server, body)


@fuzzing
@given(json_values)
def test_any_json(server: Served, value: Any):
    check(server, json.dumps(value).encode("utf-8", "surrogatepass"))


@fuzzing
@given(messages, st.sampled_from(["m", "m:low", "m:high", "m:trace", "x"]), st.booleans())
def test_any_messages(server: Served, said: list[Any], model: str, stream: bool):
    asked = {"model": model, "messages": [*said, QUESTION], "stream": stream}
    check(server, json.dumps(asked).encode())


@fuzzing
@given(st.dictionaries(names, json_values, max_size=3))
def test_any_fields(server: Served, fields: dict[str, Any]):
    asked = {"model": "m", "messages": [QUESTION]} | fields
    check(server, json.dumps(asked).encode("utf-8", "surrogatepass"))


@fuzzing
@given(st.data())
def test_any_damage_to_an_image(server: Served, data: st.DataObject):
    """Bytes of a real image replaced: it is still one, or it is refused."""
    damaged = bytearray(PNG)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    part = {"type": "image_url", "image_url": {"url": data_url(bytes(damaged))}}
    question = {"role": "user", "content": [part, {"type": "text", "text": "?"}]}
    check(server, json.dumps({"model": "m", "messages": [question]}).encode())


@fuzzing
@given(st.text(max_size=200), st.lists(st.text(min_size=1, max_size=5), max_size=4))
def test_any_text(server: Served, text: str, stop: list[str]):
    """Also text that spells tags, placeholders and control tokens, and any stop sequence."""
    said = [{"type": "text", "text": text + "{image}<|im_end|><answer>?"}, RED]
    asked = {"model": "m", "messages": [{"role": "user", "content": said}], "stop": stop}
    reply = server.post(json.dumps(asked).encode("utf-8", "surrogatepass"))
    assert reply.status in (200, 400)


@fuzzing
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
    st.text("abc/%.:~?#é\x7f ", max_size=20),
)
def test_any_path(server: Served, method: str, path: str):
    from urllib.parse import quote

    reply = server.call(method, quote("/" + path, safe="/%.:?"))
    assert reply.status < 500
    if reply.status >= 400 and method != "HEAD":
        assert reply.error["message"]


VALID = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        user("What is it?", image_part(PNG)),
        {"role": "assistant", "content": [{"type": "text", "text": "A square."}]},
        user(image_part(PNG), "What colour?"),
    ],
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 99,
    "seed": 1,
    "stop": [";"],
    "stream_options": {"include_usage": True},
    "visionthink": {"look": "auto", "trace": True},
    "n": 1,
    "user": "me",
}

ODD = (
    *("NaN", "-Infinity", "1e999", "-0.0", "1e-999", "9" * 5000, "-" + "9" * 400, "0x10", "01"),
    *("null", "true", "{}", "[]", '""', "[[[]]]", '{"": {"": []}}', '{"a": 1, "a": 2}'),
    *(r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', '"\x00"', r'"\q"', '"', "'m'", "/**/", ","),
    *("[" * 10_000, "[" * 10_000 + "]" * 10_000, '{"a":' * 10_000, '"' + "x" * 300_000 + '"'),
)
odd = st.sampled_from(ODD).map(str.encode) | st.sampled_from(
    [b"\xff", b'"\xed\xa0\x80"', b"\xef\xbb\xbf"]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to a JSON value and to all that is inside of it."""
    inside: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        inside = enumerate(value)
    return [path, *(found for key, each in inside for found in places(each, (*path, key)))]


@fuzzing
@given(st.sampled_from(places(VALID)), odd)
def test_an_odd_value_anywhere(server: Served, path: tuple[Any, ...], value: bytes):
    check(server, replaced(VALID, path, value))


def replaced(value: Any, path: tuple[Any, ...], text: bytes) -> bytes:
    """A value as JSON, with `text` as it is in place of what is at `path`."""
    if not path:
        return text
    marked = json.loads(json.dumps(value))
    at = marked
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = "HERE"
    return json.dumps(marked).encode().replace(b'"HERE"', text)


@fuzzing
@given(st.data())
def test_any_change_of_the_text_of_a_request(server: Served, data: st.DataObject):
    """Pieces cut out, doubled, or replaced by odd ones: keys twice, half a string, wrong UTF-8."""
    body = json.dumps(VALID).encode()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.integers(0, 40)))
        piece = data.draw(odd | st.binary(max_size=9) | st.just(body[start:end] * 2))
        body = body[:start] + piece + body[end:]
    check(server, body)


words = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)
kinds = st.sampled_from(
    ["application/json; charset=utf-16", "APPLICATION/JSON", "text/json", "*/*"]
)
headers = st.sampled_from(
    ["Accept", "Authorization", "Content-Encoding", "Cookie", "Expect", "Origin", "X-Api-Key"]
)


@fuzzing
@given(kinds | words, st.dictionaries(headers, words))
def test_any_headers(server: Served, kind: str, others: dict[str, str]):
    """Odd types of content, and headers that this server does not look at."""
    reply = server.post(request(), **{"Content-Type": kind} | others)
    assert reply.status in (200, 415)
    assert reply.status == 200 or reply.error["message"]


@fuzzing
@given(words)
def test_no_arbitrary_text_is_accepted_as_a_key(locked: Served, guess: str):
    reply = locked.post(request(), Authorization=guess)
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")


@pytest.fixture(scope="module")
def locked() -> Generator[Served]:
    with served(ScriptedEngine([]), keys=[KEY]) as running:
        yield running


@fuzzing
@given(st.data())
def test_any_chunks(server: Served, data: st.DataObject):
    """A body without a length, in pieces of any size, whole or cut off anywhere."""
    whole = json.dumps(VALID).encode()
    body = whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", iter(pieces), headers)
    response = connection.getresponse()
    said = json.loads(response.read())
    connection.close()
    assert response.status == (200 if len(body) == len(whole) else 400)
    assert ("error" in said) == (response.status == 400)


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 30])
def test_odd_lengths(server: Served, length: str):
    """They do not get past HTTP, so no error in OpenAI's form comes back."""
    assert server.post(b"", **{"Content-Length": length}).status == 400


@settings(fuzzing, max_examples=fuzzing.max_examples // 4)
@given(
    st.text(max_size=60),
    st.integers(1, 260),
    st.integers(1, 260),
    st.sampled_from(["m", "m:low", "m:high"]),
    st.lists(messages, max_size=2),
)
def test_any_text_and_any_size_reach_a_real_model(
    embedded: Served, text: str, width: int, height: int, model: str, said: list[Any]
):
    """Chat template, tokenizer, image processor and network take what the server lets through."""
    question = user(f"?{text}", image_part(png(width, height)))
    asked = request(*said, question, model=model, max_completion_tokens=2, stream=bool(width % 2))
    reply = embedded.post(json.dumps(asked).encode("utf-8", "surrogatepass"))
    assert reply.status == 200 or reply.error["type"] == "invalid_request_error"
