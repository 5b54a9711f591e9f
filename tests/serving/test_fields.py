"""What each field of a request becomes on its way to an upstream, turn by turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engines.chat_server import ChatServer, Seen, says
from serving.gateways import QUESTION, Reply, request, served, upstream
from serving.test_stream import events, spell, streams
from visionthink.core.protocol import direct_reply, request_reply

DIRECT = says(direct_reply("I see.", "red"))
ASKS = says(request_reply("Too small."))
OURS = {"model", "messages"}
"""Fields that each turn has."""


def turns(*script: Any, options: dict[str, Any] | None = None, **fields: Any) -> list[Seen]:
    """What the upstream got for a request with these fields."""
    with ChatServer(*(script or (ASKS, DIRECT))) as vllm:
        with served(upstream(vllm.url), **(options or {})) as server:
            reply = server.post(request(**fields))
            assert reply.status == 200, reply.body
        return vllm.chats


def more(seen: Seen) -> dict[str, Any]:
    return {name: value for name, value in seen.body.items() if name not in OURS}


FORWARDED: dict[str, Any] = {
    # OpenAI's
    "temperature": 1.7,
    "top_p": 0.5,
    "seed": 7,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "logit_bias": {"5": -100},
    "logprobs": True,
    "top_logprobs": 3,
    "user": "ann",
    "metadata": {"a": "b"},
    "store": False,
    "service_tier": "auto",
    "reasoning_effort": "low",
    "verbosity": "low",
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "modalities": ["text"],
    "parallel_tool_calls": False,
    # vLLM's and SGLang's
    "top_k": 20,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "length_penalty": 0.9,
    "chat_template_kwargs": {"enable_thinking": False},
    "mm_processor_kwargs": {"max_pixels": 9},
    "stop_token_ids": [3],
    "bad_words": ["x"],
    "min_tokens": 2,
    "ignore_eos": False,
    "priority": 1,
    "vllm_xargs": {"a": 1},
    "lora_path": "l",
    # nobody's
    "x_of_tomorrow": {"deep": [1, None, "é"]},
}


@pytest.mark.parametrize("name", FORWARDED)
def test_a_field_is_forwarded_in_every_turn(name: str):
    first, second = turns(**{name: FORWARDED[name]})
    assert more(first) == more(second) == {name: FORWARDED[name]}


def test_what_the_client_leaves_out_stays_out():
    assert [more(seen) for seen in turns()] == [{}, {}]
    assert [more(seen) for seen in turns(temperature=None, top_k=None, seed=None)] == [{}, {}]


@pytest.mark.parametrize("model", ["m:low", "m:high"])
def test_what_is_left_out_stays_out_of_fixed_looks_too(model: str):
    assert [more(seen) for seen in turns(DIRECT, model=model)] == [{}]


def test_the_temperature_of_the_servers_options_holds_where_the_client_names_none():
    options = {"temperature": 0.0}
    assert [more(seen) for seen in turns(options=options)] == [{"temperature": 0.0}] * 2
    chosen = turns(options=options, temperature=0.3)
    assert [more(seen) for seen in chosen] == [{"temperature": 0.3}] * 2


@pytest.mark.parametrize(
    ("fields", "options", "first", "second"),
    [
        # The agent thinks in each turn, so 1024 come on top; its replies used 5 of them.
        ({"max_tokens": 16}, {}, {"max_tokens": 1040}, {"max_tokens": 1035}),
        ({"max_tokens": 16}, {"profile": "native"}, {"max_tokens": 16}, {"max_tokens": 11}),
        (
            *({"max_completion_tokens": 90}, {}),
            *({"max_completion_tokens": 90}, {"max_completion_tokens": 85}),
        ),
        (
            *({"max_completion_tokens": 90, "max_tokens": 3}, {}),
            *({"max_completion_tokens": 90}, {"max_completion_tokens": 85}),
        ),
    ],
)
def test_a_token_limit_bounds_all_turns_together_under_the_name_that_the_client_uses(
    fields: dict[str, Any], options: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
):
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    asks = says(request_reply("Too small."), usage=usage)
    if options:
        call = {"name": "resize_image", "arguments": '{"action": "resize"}'}
        calls = [{"id": "c", "type": "function", "function": call}]
        asks = says(None, usage=usage, tool_calls=calls)
    seen = turns(asks, DIRECT, options=options, **fields)
    limits = ("max_tokens", "max_completion_tokens")
    assert [{n: v for n, v in s.body.items() if n in limits} for s in seen] == [first, second]


def test_unknown_fields_are_named_in_the_log(tmp_path: Path):
    path = tmp_path / "requests.jsonl"
    turns(options={"log": str(path)}, top_k=3, x_of_tomorrow=1, y="secret")
    (line,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert line["unknown_fields"] == ["x_of_tomorrow", "y"]
    assert "secret" not in path.read_text()


def test_stop_is_for_the_answer_and_not_for_thoughts():
    seen = turns(says(direct_reply("One; two.", "red; blue")), stop=";")
    assert [more(each) for each in seen] == [{}]


# Choices and logprobs


def ask(*script: Any, **fields: Any) -> tuple[Reply, list[Seen]]:
    with ChatServer(*script) as vllm, served(upstream(vllm.url)) as server:
        return server.post(request(**fields)), vllm.chats


def test_each_of_n_choices_is_an_episode_of_its_own():
    usage = {"prompt_tokens": 10, "completion_tokens": 4}
    script = [says(direct_reply("", "red"), usage=usage)]
    reply, seen = ask(*script, n=3, seed=7)
    choices = reply.json["choices"]
    assert [each["index"] for each in choices] == [0, 1, 2]
    assert [each["message"]["content"] for each in choices] == ["red"] * 3
    assert sorted(each.body["seed"] for each in seen) == [7, 8, 9]
    assert reply.json["usage"]["prompt_tokens"] == 30
    assert reply.json["usage"]["visionthink"]["visual_tokens"]["processed"] == 27
    assert len(reply.json["visionthink"]["choices"]) == 3


def test_n_choices_in_a_stream():
    parts = events(*spell(direct_reply("", "red")))
    reply, _ = ask(streams(*parts), n=2, stream=True)
    rows = reply.body.decode().split("\n\n")[:-2]
    chunks = [json.loads(row.removeprefix("data: "))["choices"][0] for row in rows]
    for index in (0, 1):
        mine = [each for each in chunks if each["index"] == index]
        assert "".join(each["delta"].get("content", "") for each in mine) == "red"
        assert [each["finish_reason"] for each in mine if each["finish_reason"]] == ["stop"]


def logged(*tokens: str) -> dict[str, Any]:
    return {"content": [{"token": token, "logprob": -0.5, "top_logprobs": []} for token in tokens]}


REPLY = ("<think>", "I see.", "</think>", "<answer>", "light ", "red", "</answer>")


def test_logprobs_are_those_of_the_answer():
    choice = {"message": {"content": "".join(REPLY)}, "logprobs": logged(*REPLY)}
    body = json.dumps({"choices": [choice]}).encode()
    reply, _ = ask(lambda handler: handler.send(200, "application/json", body), logprobs=True)
    assert reply.json["choices"][0]["logprobs"] == logged("light ", "red")


def test_logprobs_in_a_stream_come_with_the_end():
    rows = [
        {"choices": [{"index": 0, "delta": {"content": token}, "logprobs": logged(token)}]}
        for token in REPLY
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    parts = [b"data: %s\n\n" % json.dumps(row).encode() for row in [*rows, end]]
    reply, _ = ask(streams(*parts, b"data: [DONE]\n\n"), logprobs=True, stream=True)
    rows = reply.body.decode().split("\n\n")[:-2]
    last = json.loads(rows[-1].removeprefix("data: "))["choices"][0]
    assert (last["finish_reason"], last["logprobs"]) == ("stop", logged("light ", "red"))


def test_the_question_itself_is_what_it_was():
    """The default profile of upstreams is the agent's: a system message and a frame."""
    first, second = turns()
    assert [each["role"] for each in first.body["messages"]] == ["system", "user"]
    assert [each["role"] for each in second.body["messages"]] == [
        *("system", "user"),
        *("assistant", "user"),
    ]
    assert second.body["messages"][:2] == first.body["messages"]
    assert QUESTION["content"][0]["text"] in json.dumps(first.body["messages"][1])
