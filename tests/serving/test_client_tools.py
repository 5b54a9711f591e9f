"""The client's own functions beside the request for a look."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.chat_server import ChatServer, says
from serving.gateways import QUESTION, Reply, request, served, upstream
from serving.test_stream import events, streams
from visionthink.core.protocol import direct_reply


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


LOOKUP = tool("lookup")


def call(name: str, number: int = 1, arguments: str = '{"q": "x"}') -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"c{number}", "type": "function", "function": function}


OURS = call("resize_image", 9, '{"action": "resize"}')


def ask(
    *script: Any, profile: str = "native", options: dict[str, Any] | None = None, **fields: Any
) -> tuple[Reply, list[dict[str, Any]]]:
    with (
        ChatServer(*script) as vllm,
        served(upstream(vllm.url), profile=profile, **(options or {})) as server,
    ):
        reply = server.post(request(**fields) | fields)
    return reply, [seen.body for seen in vllm.chats]


def offered(body: dict[str, Any]) -> list[str]:
    return [each["function"]["name"] for each in body["tools"]]


def test_functions_are_offered_after_ours_and_a_call_ends_the_request():
    calls = [call("lookup", 1), call("lookup", 2)]
    reply, (body,) = ask(says("Let me see.", tool_calls=calls), tools=[LOOKUP])
    assert offered(body) == ["resize_image", "lookup"]
    assert body["tools"][1] == LOOKUP
    assert body["tool_choice"] == "auto"
    choice = reply.json["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == calls
    assert choice["message"]["content"] == "Let me see."
    assert reply.json["visionthink"]["stop_reason"] == "called"


def test_a_call_without_words_has_no_content():
    reply, _ = ask(says(None, tool_calls=[call("lookup")]), tools=[LOOKUP])
    assert reply.json["choices"][0]["message"]["content"] is None


def test_our_look_comes_first_and_then_the_clients_call():
    script = says(None, tool_calls=[OURS]), says(None, tool_calls=[call("lookup")])
    reply, (first, second) = ask(*script, tools=[LOOKUP])
    assert offered(first) == offered(second) == ["resize_image", "lookup"]
    assert second["tool_choice"] == "auto"
    assert reply.json["choices"][0]["finish_reason"] == "tool_calls"
    assert reply.json["usage"]["visionthink"]["requested"] is True


def test_both_at_once_is_the_clients_call():
    reply, bodies = ask(says(None, tool_calls=[OURS, call("lookup")]), tools=[LOOKUP])
    assert len(bodies) == 1
    assert reply.json["choices"][0]["message"]["tool_calls"] == [call("lookup")]


def test_the_result_of_a_call_continues_with_what_was_delivered():
    """The look that came before the client's call stands before it again, word for word."""
    script = (
        says(None, tool_calls=[OURS]),
        says(None, tool_calls=[call("lookup")]),
        says("It is 42."),
    )
    with ChatServer(*script) as vllm, served(upstream(vllm.url), profile="native") as server:
        called = server.post(request(tools=[LOOKUP])).json["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
        reply = server.post(request(QUESTION, called, result, tools=[LOOKUP]))
    assert reply.json["choices"][0]["message"]["content"] == "It is 42."
    _, second, third = (seen.body for seen in vllm.chats)
    said = third["messages"][len(second["messages"]) :]
    assert third["messages"][: len(second["messages"])] == second["messages"]
    assert said[0]["tool_calls"] == [call("lookup")]
    assert said[1] == result
    assert (offered(third), third["tool_choice"]) == (["resize_image", "lookup"], "auto")


def test_tool_choice_none_offers_only_ours():
    reply, (body,) = ask(says("red"), tools=[LOOKUP], tool_choice="none", parallel_tool_calls=True)
    assert offered(body) == ["resize_image"]
    assert "parallel_tool_calls" not in body
    assert reply.json["choices"][0]["message"]["content"] == "red"


def test_tool_choice_required_holds_in_every_turn():
    script = says(None, tool_calls=[OURS]), says(None, tool_calls=[call("lookup")])
    _, bodies = ask(*script, tools=[LOOKUP], tool_choice="required", parallel_tool_calls=False)
    assert [body["tool_choice"] for body in bodies] == ["required"] * 2
    assert [body["parallel_tool_calls"] for body in bodies] == [False] * 2


@pytest.mark.parametrize("model", ["m:low", "m:high"])
def test_functions_with_a_fixed_look(model: str):
    reply, (body,) = ask(says(None, tool_calls=[call("lookup")]), tools=[LOOKUP], model=model)
    assert offered(body) == ["lookup"]
    assert reply.json["choices"][0]["message"]["tool_calls"] == [call("lookup")]


def test_calls_in_a_stream():
    parts = events({"content": "Hm."}, {"tool_calls": [{"index": 0, **call("lookup")}]})
    with (
        ChatServer(streams(*parts)) as vllm,
        served(upstream(vllm.url), profile="native") as server,
    ):
        chunks = list(
            server.client().chat.completions.create(**request(stream=True, tools=[LOOKUP]))
        )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "Hm."
    (made,) = [each for delta in deltas for each in delta.tool_calls or ()]
    assert (made.index, made.id) == (0, "c1")
    assert made.function is not None
    assert (made.function.name, made.function.arguments) == ("lookup", '{"q": "x"}')
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_openai_clients_tools_helper():
    with (
        ChatServer(says(None, tool_calls=[call("lookup")])) as vllm,
        served(upstream(vllm.url), profile="native") as server,
    ):
        reply = server.client().chat.completions.create(**request(tools=[LOOKUP]))
    (made,) = reply.choices[0].message.tool_calls or [None]
    assert made is not None
    assert made.type == "function"
    assert made.function.name == "lookup"


# What cannot be merged goes to the upstream untouched


@pytest.mark.parametrize(
    ("profile", "fields", "why"),
    [
        ("agent", {"tools": [LOOKUP]}, "the profile 'agent' has no functions"),
        ("native", {"functions": [LOOKUP["function"]]}, "the field functions is not merged"),
        (
            "native",
            {
                "tools": [LOOKUP],
                "tool_choice": {"type": "function", "function": {"name": "lookup"}},
            },
            "tool_choice names a function",
        ),
        ("native", {"tools": [tool("resize_image")]}, "has the name of ours"),
        ("native", {"tools": [{"type": "custom", "custom": {}}]}, "other than functions"),
    ],
)
def test_what_cannot_be_merged_goes_untouched_and_the_usage_says_why(
    profile: str, fields: dict[str, Any], why: str
):
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    reply, (body,) = ask(says("red", usage=usage), profile=profile, **fields)
    assert body == {**request(**fields), "model": "qwen2.5-vl"}
    assert why in reply.json["usage"].pop("visionthink")["untouched"]
    assert reply.json["choices"][0]["message"]["content"] == "red"


def test_the_usage_of_a_stream_says_why_too():
    with (
        ChatServer(streams(*events({"content": "red"}))) as vllm,
        served(upstream(vllm.url)) as server,
    ):
        reply = server.post(request(stream=True, tools=[LOOKUP]), **{"Accept-Encoding": "gzip"})
        counted = server.metric('visionthink_passed_total{reason="unsupported",status="200"}')
    assert counted == 1
    assert "accept-encoding" not in vllm.chats[0].headers
    *_, usage, end = reply.body.decode().strip().split("\n\n")
    assert end == "data: [DONE]"
    said = json.loads(usage.removeprefix("data: "))["usage"]
    assert "no functions" in said["visionthink"]["untouched"]


def test_without_passthrough_it_is_refused():
    reply, bodies = ask(
        says("red"), profile="agent", options={"passthrough": False}, tools=[LOOKUP]
    )
    assert (reply.status, reply.error["code"], bodies) == (400, "unsupported_parameter", [])


# Fail open


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([{"role": "user", "content": [*QUESTION["content"], {"type": "input_audio"}]}], "audio"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x://y"}}]}],
            "must be a data URL",
        ),
    ],
)
def test_fail_open_sends_what_is_refused_to_the_upstream_with_a_reason(
    messages: list[dict[str, Any]], why: str
):
    refused, none = ask(says("red"), profile="agent", messages=messages)
    assert (refused.status, none) == (400, [])
    reply, (body,) = ask(
        says(direct_reply("", "red")),
        profile="agent",
        options={"fail_open": True},
        messages=messages,
    )
    assert body["messages"] == messages
    assert why in reply.json["usage"]["visionthink"]["untouched"]
