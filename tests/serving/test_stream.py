"""Streams, with the unmodified openai client and byte for byte."""

from __future__ import annotations

import itertools
import json
import threading
import time
from typing import Any

import openai
import pytest
from openai import APIError, Stream
from openai.types.chat import ChatCompletionChunk

from engines.chat_server import Behaviour, ChatServer, Handler, closes_mid_body, says, status
from serving.gateway_process import wait_for
from serving.gateways import QUESTION, Served, image_part, request, served, upstream, user
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.engines.hf import HFEngine
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini import CHECKPOINTS

DIRECT = direct_reply("I see.", "red")
REQUEST = request_reply("Too small.")


def stream(server: Served, *messages: Any, **fields: Any) -> Stream[ChatCompletionChunk]:
    return server.client().chat.completions.create(**request(*messages, stream=True, **fields))


def deltas(server: Served, **fields: Any) -> list[dict[str, Any]]:
    """The deltas of a stream, without unset fields."""
    chunks = list(stream(server, **fields))
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    said = [chunk.choices[0].delta.model_dump(exclude_unset=True) for chunk in chunks]
    assert said[0] == {"role": "assistant", "content": "", "refusal": None}
    assert said[-1] == {}
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"
    return said[1:-1]


def events(*pieces: dict[str, Any], finish: str = "stop", usage: object = None) -> list[bytes]:
    """What an upstream sends for these deltas."""
    rows: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": piece, "finish_reason": None}]} for piece in pieces
    ]
    rows.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    rows.append({"choices": [], "usage": usage or {"prompt_tokens": 5, "completion_tokens": 2}})
    return [b"data: %s\n\n" % json.dumps(row).encode() for row in rows] + [b"data: [DONE]\n\n"]


def streams(
    *parts: bytes, gate: threading.Event | None = None, held: int = 0, breaks: bool = False
) -> Behaviour:
    """Sends these events; those from number `held` on wait for the gate."""

    def behave(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        if breaks:
            handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for number, part in enumerate(parts):
            if gate is not None and number == held:
                assert gate.wait(30)
            handler.wfile.write(part)
            handler.wfile.flush()

    return behave


def spell(text: str) -> list[dict[str, Any]]:
    """Deltas of a character each."""
    return [{"content": char} for char in text]


# An engine that does not stream gives one piece a turn


def test_a_direct_answer_in_turns():
    with served(ScriptedEngine([DIRECT], profile="agent")) as server:
        assert deltas(server) == [{"reasoning_content": "I see."}, {"content": "red"}]


def test_a_requested_answer_in_turns():
    with served(ScriptedEngine([REQUEST, DIRECT], profile="agent")) as server:
        *thoughts, answer = deltas(server)
    thought = "".join(delta["reasoning_content"] for delta in thoughts)
    assert (thought, answer) == ("Too small.\n\nI see.", {"content": "red"})


def test_while_streaming_the_first_of_answer_and_request_decides():
    """It was sent already when the request came; unstreamed the model would see the original."""
    both = "<think>Hm.</think><answer>blue</answer>" + REQUEST
    with served(ScriptedEngine([both, DIRECT, both], profile="agent")) as server:
        assert server.post(request()).json["choices"][0]["message"]["content"] == "red"
        said = "".join(delta.get("content", "") for delta in deltas(server))
        assert said == "blue"


def test_a_request_that_comes_first_is_served_while_streaming():
    first = REQUEST + "<answer>blue</answer>"
    with served(ScriptedEngine([first, DIRECT], profile="agent")) as server:
        assert deltas(server)[-1] == {"content": "red"}


LONG = "It is red, and round, and " + "very " * 30 + "small."


@pytest.mark.parametrize(
    ("profile", "written", "answer", "whole"),
    [
        ("agent", "<think>Hm.</think><answer>It is red.</answer>", "It is", "It is red."),
        # Up to 160 characters may announce a call.
        ("native", LONG, LONG[:161], LONG),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"stop": ["!!!"]}])
def test_an_answer_arrives_while_the_upstream_still_writes(
    profile: str, written: str, answer: str, whole: str, fields: dict[str, Any]
):
    """The gate opens only when the first words have arrived here; a stop sequence of three
    characters may begin with the last two.
    """
    gate = threading.Event()
    held = written.index(answer) + len(answer) + 4
    parts = events(*spell(written))
    with (
        ChatServer(streams(*parts, gate=gate, held=held)) as vllm,
        served(upstream(vllm.url), profile=profile) as server,
    ):
        said = ""
        for chunk in stream(server, **fields):
            said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            if said.startswith(answer):
                gate.set()
        assert said == whole


def test_a_stop_sequence_ends_a_stream_wherever_it_is_cut():
    parts = events(*spell("<think>Hm.</think><answer>red;; blue;;; green</answer>"))
    with ChatServer(streams(*parts)) as vllm, served(upstream(vllm.url)) as server:
        chunks = list(stream(server, stop=";;;"))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "red;; blue"


def test_the_bytes_of_a_stream():
    """As OpenAI's: events of one line, `usage` null until the last, which has no choice, [DONE]."""
    with served(ScriptedEngine([DIRECT], profile="agent")) as server:
        reply = server.post(request(stream=True, stream_options={"include_usage": True}))
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    *rows, end = reply.body.decode().split("\n\n")[:-1]
    assert end == "data: [DONE]"
    chunks = [json.loads(row.removeprefix("data: ")) for row in rows]
    assert [chunk["usage"] is None for chunk in chunks] == [True] * 4 + [False]
    assert [len(chunk["choices"]) for chunk in chunks] == [1, 1, 1, 1, 0]
    assert chunks[3]["visionthink"]["stop_reason"] == "answered"
    assert chunks[4]["usage"]["completion_tokens"] == 18
    assert chunks[4]["usage"]["visionthink"]["saved_ratio"] == 0.75
    plain = {"id", "object", "created", "model", "choices", "usage"}
    assert [set(chunk) for chunk in chunks[:3]] == [plain] * 3


def test_without_include_usage_no_usage_is_sent():
    with served(ScriptedEngine([DIRECT], profile="agent")) as server:
        chunks = list(stream(server))
    assert [chunk.usage for chunk in chunks] == [None] * 4


def test_stop_sequences_and_empty_answers():
    replies = [direct_reply("", "red; blue"), direct_reply("", "")]
    with served(ScriptedEngine(replies, profile="agent")) as server:
        assert deltas(server, stop=";") == [{"content": "red"}]
        assert deltas(server) == []


# A model in this process streams token by token


def test_thoughts_arrive_while_the_embedded_model_still_computes():
    """The tag is of a strong family: a thought, a request, a thought, and only then the answer.

    The fifth token of the first thought is computed only when the first has arrived here.
    """
    engine = HFEngine(CHECKPOINTS / "mini", device="cpu")
    gate, forwards = threading.Event(), itertools.count(1)

    def hold(*_: Any) -> None:
        if next(forwards) == 6:
            assert gate.wait(30)

    engine.checkpoint.model.register_forward_pre_hook(hold)
    tag = image_part((CHECKPOINTS.parent / "samples" / "tag.png").read_bytes())
    question = user("What code is on the tag?", tag)
    with served(engine) as server:
        pieces: list[dict[str, Any]] = []
        for chunk in stream(server, question):
            pieces.append(chunk.choices[0].delta.model_dump(exclude_unset=True))
            if "reasoning_content" in pieces[-1]:
                gate.set()
        reply = server.post(request(question)).json["choices"][0]["message"]
    for name in ("reasoning_content", "content"):
        assert "".join(piece.get(name, "") for piece in pieces) == reply[name]
    assert pieces[-1] == {}
    assert reply["content"] == "UJA"


@pytest.mark.parametrize("profile", [None, "plain"])
def test_a_stream_adds_up_to_the_reply_that_is_not_streamed(profile: str | None):
    """Greedy, so that both say the same; the plain profile has no tags to end an answer by."""
    colour = image_part((CHECKPOINTS.parent / "samples" / "colour.png").read_bytes())
    question = user("Which colour does the triangle have?", colour)
    look = "low" if profile else "auto"
    with served(HFEngine(CHECKPOINTS / "mini", device="cpu"), profile=profile, look=look) as server:
        for model in ("m", "m:high"):
            fields = {"model": model, "max_completion_tokens": 30}
            whole = server.post(request(question, **fields)).json["choices"][0]["message"]
            made = {"content": "", "reasoning_content": ""}
            for chunk in stream(server, question, **fields):
                for name in made:
                    made[name] += chunk.choices[0].delta.model_dump().get(name) or ""
            assert made == {name: whole[name] for name in made}
            assert whole["content"]


# An upstream that streams


def test_thoughts_arrive_while_an_upstream_still_writes():
    """The gate opens only when the first words have arrived here."""
    gate = threading.Event()
    parts = events(*spell("<think>Let me see"), *spell(" more.</think><answer>red</answer>"))
    with (
        ChatServer(streams(*parts, gate=gate, held=17)) as vllm,
        served(upstream(vllm.url)) as server,
    ):
        said = ""
        for chunk in stream(server):
            said += (chunk.choices[0].delta.model_extra or {}).get("reasoning_content", "")
            if said == "Let me see":
                gate.set()
        assert said == "Let me see more."


def test_a_stream_begins_when_the_model_does():
    """Its first piece is an opening tag: nothing to send yet but the beginning."""
    gate = threading.Event()
    parts = events(*spell(DIRECT))
    with (
        ChatServer(streams(*parts, gate=gate, held=1)) as vllm,
        served(upstream(vllm.url)) as server,
    ):
        chunks = iter(stream(server))
        assert next(chunks).choices[0].delta.role == "assistant"
        gate.set()
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "red"


def test_two_turns_of_an_upstream():
    first = streams(*events(*spell(REQUEST)))
    second = streams(*events(*spell(DIRECT)))
    with ChatServer(first, second) as vllm, served(upstream(vllm.url)) as server:
        said = deltas(server)
        joined = {
            name: "".join(delta.get(name, "") for delta in said)
            for name in ("content", "reasoning_content")
        }
        assert joined == {"content": "red", "reasoning_content": "Too small.\n\nI see."}
        assert server.metric('visionthink_tokens_total{kind="prompt"}') == 10


def test_a_plain_answer_is_streamed_word_by_word():
    """Nothing can follow a reply at look high, so its words are sent on as they are."""
    gate = threading.Event()
    parts = events(*spell("It is red and round."))
    with (
        ChatServer(streams(*parts, gate=gate, held=9)) as vllm,
        served(upstream(vllm.url), profile="native") as server,
    ):
        said = ""
        for chunk in stream(server, model="m:high"):
            said += chunk.choices[0].delta.content or "" if chunk.choices else ""
            if said == "It is red":
                gate.set()
        assert said == "It is red and round."


# What goes wrong


def test_an_error_before_the_first_word_has_a_status():
    with ChatServer(status(400, "too long")) as vllm, served(upstream(vllm.url)) as server:
        with pytest.raises(openai.BadRequestError, match="too long"):
            stream(server)
        assert server.metric('visionthink_requests_total{outcome="refused"}') == 1


def test_an_error_after_the_first_word_is_an_event():
    """The turn is not asked for again: some of it was passed on."""
    cut = [streams(*events(*spell("<think>Hm"))[:-3], breaks=True)]
    with (
        ChatServer(*cut, says(DIRECT)) as vllm,
        served(upstream(vllm.url), retries=2) as server,
    ):
        reply = server.post(request(stream=True))
        assert reply.status == 200
        *_, error, end, _ = reply.body.decode().split("\n\n")
        assert json.loads(error.removeprefix("data: "))["error"]["code"] == "upstream_unreachable"
        assert end == "data: [DONE]"
        assert len(vllm.chats) == 1
        assert server.metric('visionthink_requests_total{outcome="failed"}') == 1
    with (
        ChatServer(*cut) as vllm,
        served(upstream(vllm.url)) as server,
        pytest.raises(APIError, match="cannot be reached"),
    ):
        list(stream(server))


def test_a_second_turn_that_fails_before_its_first_word_is_retried():
    """The first turn was sent; the second fails before its first word, and is repeated."""
    first, second = streams(*events(*spell(REQUEST))), streams(*events(*spell(DIRECT)))
    with (
        ChatServer(first, closes_mid_body, second) as vllm,
        served(upstream(vllm.url), retries=1) as server,
    ):
        assert "".join(delta.get("content", "") for delta in deltas(server)) == "red"
        assert len(vllm.chats) == 3
        assert vllm.chats[1].body == vllm.chats[2].body


def test_a_client_that_leaves_a_stream_frees_the_upstream():
    """The upstream's writes fail once the server has hung up on it."""
    hung_up = threading.Event()

    def behave(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            for part in events(*spell("<think>" + "on and on " * 500)):
                handler.wfile.write(part)
                if handler.server.owner.stopped.wait(0.02):
                    break
        except OSError:
            hung_up.set()

    with ChatServer(behave) as vllm, served(upstream(vllm.url)) as server:
        chunks = stream(server, user("What colour?", QUESTION["content"][1]))
        assert len([next(chunks) for _ in range(3)]) == 3
        chunks.close()
        assert hung_up.wait(30)
        while server.gateway.admission.running:
            time.sleep(0.01)
        wait_for(lambda: server.metric('visionthink_requests_total{outcome="gone"}') == 1)
