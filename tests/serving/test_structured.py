"""Structured output: the answer has the form that the client demands."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from pydantic import BaseModel

from engines.chat_server import ChatServer, says
from serving.gateways import QUESTION, Reply, request, served, upstream
from serving.test_stream import events, spell, streams
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.serving.api_error import ApiError
from visionthink.serving.structured import CONSTRAINTS, form_of

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string"}},
    "required": ["colour"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "Seen", "schema": SCHEMA, "strict": True}}
RED = '{"colour": "red"}'


def ask(*replies: str, **fields: Any) -> tuple[Reply, list[dict[str, Any]]]:
    """The reply, and the bodies that the upstream got."""
    with ChatServer(*map(says, replies)) as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(request(**fields))
    return reply, [seen.body for seen in vllm.chats]


def content(reply: Reply) -> str:
    return reply.json["choices"][0]["message"]["content"]


@pytest.mark.parametrize("answer", [RED, f"```json\n{RED}\n```", f"```\n{RED}```"])
def test_an_answer_that_follows_the_schema_is_the_answer(answer: str):
    """The free turn is not constrained: the model could neither think nor request."""
    reply, bodies = ask(direct_reply("Hm.", answer), response_format=FORMAT)
    assert content(reply) == RED
    assert len(bodies) == 1
    assert "response_format" not in bodies[0]
    assert "guided" not in reply.json["usage"]["visionthink"]


def test_another_answer_is_asked_for_once_more_on_the_same_prefix():
    script = request_reply("Small."), direct_reply("Hm.", "It is red."), RED
    reply, bodies = ask(*script, response_format=FORMAT, top_k=3)
    free, guided = bodies[1:]
    assert content(reply) == RED
    assert guided["response_format"] == FORMAT
    assert ("response_format" in free, free["top_k"], guided["top_k"]) == (False, 3, 3)
    assert guided["messages"][: len(free["messages"])] == free["messages"]
    said, asked = guided["messages"][len(free["messages"]) :]
    assert said == {"role": "assistant", "content": script[1]}
    assert asked["role"] == "user"
    assert json.dumps(SCHEMA) in asked["content"]
    assert reply.json["usage"]["visionthink"]["guided"] is True
    assert reply.json["visionthink"]["stop_reason"] == "answered"
    assert reply.json["choices"][0]["message"]["reasoning_content"] == "Small.\n\nHm."


def test_a_malformed_reply_is_asked_for_once_more_too():
    reply, _ = ask("<think>Hm</think>", RED, response_format=FORMAT)
    assert (content(reply), reply.json["choices"][0]["finish_reason"]) == (RED, "stop")


def test_a_json_object():
    reply, bodies = ask(direct_reply("", "[1]"), "{}", response_format={"type": "json_object"})
    assert (content(reply), len(bodies)) == ("{}", 2)
    reply, bodies = ask(direct_reply("", "{}"), response_format={"type": "json_object"})
    assert (content(reply), len(bodies)) == ("{}", 1)


def test_text_is_no_demand():
    reply, bodies = ask(direct_reply("", "red"), response_format={"type": "text"})
    assert (content(reply), len(bodies)) == ("red", 1)


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("guided_json", SCHEMA, RED),
        ("guided_json", json.dumps(SCHEMA), RED),
        ("structured_outputs", {"json": SCHEMA}, RED),
        ("json_schema", json.dumps(SCHEMA), RED),
        ("guided_choice", ["red", "blue"], "red"),
        ("structured_outputs", {"choice": ["red", "blue"]}, "red"),
    ],
)
def test_constraints_of_vllm_and_sglang(field: str, value: object, right: str):
    """They would forbid the free turn its thought; the guided turn gets them as they came."""
    reply, bodies = ask(direct_reply("", right), **{field: value})
    assert (content(reply), len(bodies)) == (right, 1)
    reply, bodies = ask(direct_reply("", "green"), right, **{field: value})
    assert content(reply) == right
    assert [body.get(field) for body in bodies] == [None, value]


@pytest.mark.parametrize("field", ["guided_regex", "guided_grammar", "regex", "ebnf"])
def test_what_cannot_be_checked_here_is_always_guided(field: str):
    assert field in CONSTRAINTS
    reply, bodies = ask(direct_reply("", "r"), "red", **{field: "r.*"})
    assert (content(reply), len(bodies)) == ("red", 2)


def test_the_openai_clients_parse():
    class Seen(BaseModel):
        colour: str

    script = says(direct_reply("", "It is red.")), says(RED)
    with ChatServer(*script) as vllm, served(upstream(vllm.url)) as server:
        parsed = server.client().chat.completions.parse(
            model="m",
            messages=[QUESTION],  # type: ignore[list-item]
            response_format=Seen,
        )
    assert parsed.choices[0].message.parsed == Seen(colour="red")


def test_a_guided_answer_is_streamed_and_a_wrong_one_is_not():
    """The gate opens only when the first half of the guided answer has arrived here."""
    gate = threading.Event()
    free = streams(*events(*spell(direct_reply("Hm.", "It is red."))))
    guided = streams(*events(*spell(RED)), gate=gate, held=9)
    with ChatServer(free, guided) as vllm, served(upstream(vllm.url)) as server:
        said = ""
        for chunk in server.client().chat.completions.create(
            **request(stream=True, response_format=FORMAT)
        ):
            said += chunk.choices[0].delta.content or ""
            if said == RED[:9]:
                gate.set()
    assert said == RED


def test_a_right_answer_is_sent_when_it_is_whole():
    parts = streams(*events(*spell(direct_reply("Hm.", RED))))
    with ChatServer(parts) as vllm, served(upstream(vllm.url)) as server:
        stream = server.client().chat.completions.create(
            **request(stream=True, response_format=FORMAT)
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == RED
    assert len(vllm.chats) == 1


def test_a_schema_that_is_none_is_refused():
    broken = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "colour"}}}
    reply, bodies = ask(direct_reply("", "red"), response_format=broken)
    assert (reply.status, reply.error["param"], bodies) == (400, "response_format", [])
    assert "this is not a JSON schema" in reply.error["message"]


def test_a_local_model_takes_no_demands():
    from visionthink.engines.scripted import ScriptedEngine

    with served(ScriptedEngine([direct_reply("", "red")], profile="agent")) as server:
        assert server.post(request(response_format=FORMAT)).status == 400


# What a schema may not do


def reads(schema: object, answer: str) -> str | None:
    form = form_of({"guided_json": schema})
    assert form is not None
    return form.read(answer)


def nested(depth: int) -> dict[str, Any]:
    """Each level is checked twice by the one above: 2 ** depth steps."""
    levels = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(depth)}
    return {"$defs": {**levels, f"l{depth}": {}}, "$ref": "#/$defs/l0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(a+)+$"},
        {"patternProperties": {"(a+)+$": {}}, "additionalProperties": False},
        {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "(a+)+$"},
        {"allOf": [{"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "(a+)+$"}]},
        nested(40),
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "#"},
    ],
)
def test_a_hostile_schema_is_not_followed_but_guided(schema: dict[str, Any]):
    """Patterns that explode, checks that double at each level, addresses, and a circle."""
    began = time.process_time()
    assert reads(schema, json.dumps("a" * 40 + "!")) is None or "$ref" in schema
    assert reads(schema, json.dumps({"a" * 40 + "!": 1})) is None or "$ref" in schema
    assert time.process_time() - began < 20


def test_a_reference_is_never_fetched(monkeypatch: pytest.MonkeyPatch):
    opened: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", opened.append)
    assert reads({"$ref": "http://example.com/schema.json"}, "{}") is None
    assert opened == []


@pytest.mark.parametrize("answer", ["NaN", "Infinity", "{", "", "[" * 100_000])
def test_what_is_no_json_is_not_taken_for_it(answer: str):
    assert reads({}, answer) is None


def test_a_schema_without_end_is_refused():
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"not": deep}
    with pytest.raises(ApiError, match="too deep"):
        form_of({"guided_json": deep})
