"""Whatever is sent, the server answers with a success or an error in OpenAI's form, never a 500."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.gateways import QUESTION, RED, Served, data_url, png, served
from visionthink.core.protocol import direct_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.request import IGNORED, NEUTRAL, ChatRequest

PNG = png(56, 56)

fuzzing = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def server() -> Generator[Served]:
    engine = ScriptedEngine(lambda _: direct_reply("", "red"), profile="agent")
    with served(engine) as running:
        yield running


def check(server: Served, body: bytes, **headers: str) -> int:
    """An answer, or an error that the client made."""
    reply = server.post(body, **headers)
    if reply.status == 200:
        assert b"red" in reply.body
    else:
        assert 400 <= reply.status < 500
        assert reply.error["type"] == "invalid_request_error"
    return reply.status


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
names = st.sampled_from([*ChatRequest.model_fields, *IGNORED, *NEUTRAL]) | st.text(max_size=10)


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
