"""A look that was delivered stands in its place in later requests of the conversation."""

from __future__ import annotations

from typing import Any

import pytest

from engines.chat_server import ChatServer, says
from serving.gateways import RED, Served, image_part, png, request, served, upstream, user
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.serving.delivered import DeliveredLooks

ASKS, RED_IT_IS = request_reply("Too small."), direct_reply("Now I see.", "red")
NEXT = {"role": "user", "content": "And how large?"}
SAID = {"role": "assistant", "content": "red"}
SCRIPT = says(ASKS), says(RED_IT_IS), says(direct_reply("", "large"))
FIRST = user("What colour?", RED)


def follow_up(*messages: Any, **fields: Any) -> Any:
    return request(*(messages or (FIRST, SAID, NEXT)), **fields)


def prompts(vllm: ChatServer) -> list[list[dict[str, Any]]]:
    return [seen.body["messages"] for seen in vllm.chats]


def test_a_follow_up_begins_with_the_very_messages_of_the_turn_before():
    """The first request took two turns; the second needs one, and asks for no image again."""
    with ChatServer(*SCRIPT) as vllm, served(upstream(vllm.url)) as server:
        assert server.post(request(FIRST)).json["visionthink"]["looks"][1]["size"] == [168, 168]
        reply = server.post(follow_up())
    _, second, third = prompts(vllm)
    assert third[: len(second)] == second
    assert third[len(second) :][0] == {"role": "assistant", "content": RED_IT_IS}
    assert len(third) == len(second) + 2
    assert reply.json["choices"][0]["message"]["content"] == "large"
    usage = reply.json["usage"]["visionthink"]
    assert usage["requested"] is False
    assert usage["visual_tokens"] == {"first": 45, "requested": 0, "processed": 45, "vanilla": 36}
    looks = [(look["turn"], look["size"]) for look in reply.json["visionthink"]["looks"]]
    assert looks == [(0, [84, 84]), (0, [168, 168])]


def test_the_same_in_streams_and_content_parts():
    said = {"role": "assistant", "content": [{"type": "text", "text": "red"}]}
    with ChatServer(*SCRIPT) as vllm, served(upstream(vllm.url)) as server:
        assert server.post(request(FIRST, stream=True)).status == 200
        assert server.post(follow_up(FIRST, said, NEXT, stream=True)).status == 200
    _, second, third = prompts(vllm)
    assert third[: len(second)] == second


def test_a_third_question_keeps_both():
    with ChatServer(*SCRIPT) as vllm, served(upstream(vllm.url)) as server:
        server.post(request(FIRST))
        server.post(follow_up())
        large = {"role": "assistant", "content": "large"}
        server.post(follow_up(FIRST, SAID, NEXT, large, {"role": "user", "content": "Why?"}))
    third, fourth = prompts(vllm)[2:]
    assert fourth[: len(third)] == third
    assert fourth[len(third)] == {"role": "assistant", "content": "<answer>large</answer>"}


def test_a_request_fetches_only_what_was_not_delivered():
    """The red image was delivered; the second request is for the blue one alone."""
    blue = image_part(png(colour="blue"))
    script = says(ASKS), says(RED_IT_IS), says(ASKS), says(direct_reply("", "blue"))
    with ChatServer(*script) as vllm, served(upstream(vllm.url)) as server:
        server.post(request(FIRST))
        reply = server.post(follow_up(FIRST, SAID, user("And this?", blue)))
    assert len(vllm.chats) == 4
    looks = reply.json["visionthink"]["looks"]
    assert [(look["turn"], look["image"], look["size"][0]) for look in looks] == [
        *((0, 0, 84), (0, 1, 84), (0, 0, 168)),
        (1, 1, 168),
    ]


def test_a_request_for_what_is_there_already_gets_an_error_message():
    script = says(ASKS), says(RED_IT_IS), says(ASKS), says(direct_reply("", "large"))
    with ChatServer(*script) as vllm, served(upstream(vllm.url)) as server:
        server.post(request(FIRST))
        reply = server.post(follow_up())
    assert reply.json["choices"][0]["message"]["content"] == "large"
    assert "it is shown already" in str(prompts(vllm)[3][-1]["content"])


def forgets(server: Served, vllm: ChatServer, body: dict[str, Any], **headers: str) -> None:
    before = len(vllm.chats)
    assert server.post(body, **headers).status == 200
    assert "Too small." not in str(vllm.chats[before].body["messages"][2:])


def test_other_tenants_images_answers_and_looks_get_nothing():
    script = says(ASKS), says(RED_IT_IS), says(direct_reply("", "large"))
    blue = image_part(png(colour="blue"))
    with ChatServer(*script) as vllm, served(upstream(vllm.url)) as server:
        server.post(request(FIRST), Authorization="Bearer ann")
        ann = {"Authorization": "Bearer ann"}
        forgets(server, vllm, follow_up(), Authorization="Bearer bob")
        forgets(server, vllm, follow_up())
        forgets(server, vllm, follow_up(user("What colour?", blue), SAID, NEXT), **ann)
        other = {"role": "assistant", "content": "green"}
        forgets(server, vllm, follow_up(FIRST, other, NEXT), **ann)
        forgets(server, vllm, follow_up(model="m:low"), **ann)
        before = len(vllm.chats)
        server.post(follow_up(), **ann)
        assert "Too small." in str(vllm.chats[before].body["messages"][2:])


def test_a_system_message_may_change():
    """Many clients put the time into it."""
    with ChatServer(*SCRIPT) as vllm, served(upstream(vllm.url)) as server:
        server.post(request({"role": "system", "content": "It is 10:00."}, FIRST))
        server.post(follow_up({"role": "system", "content": "It is 10:01."}, FIRST, SAID, NEXT))
    _, second, third = prompts(vllm)
    assert third[1 : len(second)] == second[1:]


def test_an_answer_at_once_is_kept_without_its_thought():
    script = says(RED_IT_IS), says(direct_reply("", "large"))
    with ChatServer(*script) as vllm, served(upstream(vllm.url)) as server:
        server.post(request(FIRST))
        server.post(follow_up())
    assert prompts(vllm)[1][2] == {"role": "assistant", "content": "<answer>red</answer>"}


def test_under_the_native_profile_the_call_and_its_result_stand_again():
    call = {"name": "resize_image", "arguments": '{"action": "resize"}'}
    calls = [{"id": "c7", "type": "function", "function": call}]
    script = says(None, tool_calls=calls), says("It is red."), says("Large.")
    said = {"role": "assistant", "content": "It is red."}
    with ChatServer(*script) as vllm, served(upstream(vllm.url), profile="native") as server:
        server.post(request(FIRST))
        server.post(follow_up(FIRST, said, NEXT))
    _, second, third = prompts(vllm)
    assert third[: len(second)] == second
    assert [m["role"] for m in third[len(second) :]] == ["assistant", "user"]


@pytest.mark.parametrize("most", [0, 3_000])
def test_what_is_kept_is_bounded(most: int):
    """An episode of about 900 bytes: three of them fit into 3,000."""
    with ChatServer(says(ASKS), says(RED_IT_IS)) as vllm, served(upstream(vllm.url)) as server:
        server.gateway.delivered = looks = DeliveredLooks(most)
        for _ in range(4):
            server.post(request(FIRST, model="m"))
        assert looks.bytes <= most
