"""Conversations as real clients send them, and what the upstream gets of each message."""

from __future__ import annotations

from typing import Any

import pytest

from engines.chat_server import ChatServer, says
from serving.gateways import RED, Reply, data_url, image_part, png, request, served, upstream, user
from visionthink.core.protocol import direct_reply

DIRECT = direct_reply("", "red")
CALL = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"q": "x"}'}}
NEXT = {"role": "user", "content": "And now?"}
SMALL = (84, 84)


def asked(*messages: dict[str, Any], **fields: Any) -> tuple[Reply, list[dict[str, Any]]]:
    """The reply, and the messages that the upstream got after the system message."""
    with ChatServer(says(DIRECT)) as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(request(*messages, **fields))
        assert reply.status == 200, reply.body
    return reply, vllm.chats[0].body["messages"][1:]


@pytest.mark.parametrize("content", [{"content": None}, {}, {"content": ""}])
def test_an_assistant_message_with_calls_and_no_content_stays_as_it_is(content: dict[str, Any]):
    called = {"role": "assistant", **content, "tool_calls": [CALL]}
    tool = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    _, (_, assistant, result, question) = asked(user("Look", RED), called, tool, NEXT)
    assert assistant == {
        "role": "assistant",
        "content": content.get("content"),
        "tool_calls": [CALL],
    }
    assert result == tool
    assert question["role"] == "user"


def test_what_a_tool_returned_may_come_last():
    called = {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]}
    tool = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]}
    _, (_, assistant, result) = asked(user("Look", RED), called, tool)
    assert assistant["content"] == "Let me see."
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "42"}


def test_legacy_functions():
    call = {"name": "lookup", "arguments": "{}"}
    called = {"role": "assistant", "content": None, "function_call": call}
    returned = {"role": "function", "name": "lookup", "content": "42"}
    _, (_, assistant, result, _) = asked(user("Look", RED), called, returned, NEXT)
    assert assistant == called
    assert result == returned


def test_what_a_client_dumps_of_an_earlier_reply():
    """openai's message.model_dump() has every field; thoughts are not sent again."""
    dumped = {
        **{"role": "assistant", "content": "Two.", "refusal": None, "annotations": []},
        **{"audio": None, "function_call": None, "tool_calls": None},
        "reasoning_content": "I counted them.",
    }
    _, (_, assistant, _) = asked(user("How many?", RED), dumped, NEXT)
    assert assistant == {"role": "assistant", "content": "<answer>Two.</answer>"}


@pytest.mark.parametrize(
    "refused",
    [
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]},
    ],
)
def test_a_refusal_is_what_the_assistant_said(refused: dict[str, Any]):
    _, (_, assistant, _) = asked(user("How many?", RED), refused, NEXT)
    assert assistant["content"] == "<answer>I cannot.</answer>"


def test_names_are_kept_and_separate_users():
    ann = {**user("How many?", RED), "name": "ann"}
    bob = {"role": "user", "content": "And how large?", "name": "bob"}
    _, (first, second) = asked(ann, bob)
    assert (first["name"], second["name"]) == ("ann", "bob")


def test_developer_and_system_messages_follow_the_profiles_own():
    with ChatServer(says(DIRECT)) as vllm, served(upstream(vllm.url)) as server:
        developer = {"role": "developer", "content": "Be brief."}
        system = {"role": "system", "content": "In English."}
        assert server.post(request(developer, system, user("Look", RED))).status == 200
    first, *others = vllm.chats[0].body["messages"]
    assert first["content"].endswith("Be brief.\n\nIn English.")
    assert [each["role"] for each in others] == ["user"]


def images(message: dict[str, Any]) -> int:
    content = message["content"]
    return sum("image_url" in part for part in content) if isinstance(content, list) else 0


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
def test_images_stay_in_the_role_that_they_came_in(role: str):
    more = {"tool_call_id": "c1"} if role == "tool" else {}
    message = {"role": role, "content": [{"type": "text", "text": "See"}, RED], **more}
    with ChatServer(says(DIRECT)) as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(request(message, user("What is it?")))
    seen = vllm.chats[0].body["messages"]
    assert [(m["role"], images(m)) for m in seen if images(m)] == [(role, 1)]
    assert [look["size"] for look in reply.json["visionthink"]["looks"]] == [list(SMALL)]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_text", "text": "Hi"},
        {"type": "input_image", "image_url": data_url(png())},
        {"type": "output_text", "text": "Hi"},
    ],
)
def test_parts_of_other_apis_get_a_clear_400(part: dict[str, Any]):
    with ChatServer() as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(request(user(RED, part)))
        alone = server.post(request({"role": "user", "content": [part]}))
    for refused, at in ((reply, "messages[0].content[1]"), (alone, "messages[0].content[0]")):
        assert refused.status == 400
        assert refused.error["param"] == at
        assert f"parts of type '{part['type']}' are those of other APIs" in refused.error["message"]
        assert "'image_url'" in refused.error["message"]
    assert vllm.chats == []


def test_an_image_alone_is_asked_about_by_the_system_message():
    system = {"role": "system", "content": "Describe what you see."}
    with ChatServer(says(DIRECT)) as vllm, served(upstream(vllm.url)) as server:
        assert server.post(request(system, user(RED))).status == 200
        assert server.post(request(user(RED))).status == 400
    assert len(vllm.chats) == 1


def test_a_long_prompt_is_no_question_that_is_too_long():
    asked(user("word " * 10_000, RED))


# detail


def detailed(detail: str | None, colour: str = "red") -> dict[str, Any]:
    part = image_part(png(colour=colour))
    return {**part, "image_url": {**part["image_url"], "detail": detail}}


@pytest.mark.parametrize(
    ("details", "look", "sizes"),
    [
        (["low"], "low", [84]),
        (["high"], "high", [168]),
        (["auto"], "auto", [84]),
        ([None], "auto", [84]),
        (["low", "high"], "low", [84, 168]),
        (["auto", "high"], "auto", [84, 168]),
        (["low", "auto"], "auto", [84, 84]),
    ],
)
def test_detail_chooses_the_look_of_each_image(
    details: list[str | None], look: str, sizes: list[int]
):
    reply, _ = asked(user("Look", *(detailed(each) for each in details)))
    facts = reply.json["visionthink"]
    assert facts["look"] == look
    assert [each["size"][0] for each in facts["looks"]] == sizes


def test_a_request_shows_more_only_of_images_that_are_left_to_the_model():
    from visionthink.core.protocol import request_reply

    parts = [detailed("low"), detailed("auto", "blue"), detailed("high", "green")]
    script = says(request_reply("")), says(DIRECT)
    with ChatServer(*script) as vllm, served(upstream(vllm.url)) as server:
        reply = server.post(request(user("Look", *parts)))
    looks = [
        (each["turn"], each["image"], each["size"][0])
        for each in reply.json["visionthink"]["looks"]
    ]
    assert looks == [(0, 0, 84), (0, 1, 84), (0, 2, 168), (1, 1, 168)]
    assert [images(each) for each in vllm.chats[1].body["messages"]] == [0, 3, 0, 1]


def test_the_name_and_the_field_override_detail():
    reply, _ = asked(user("Look", detailed("low")), model="m:high")
    assert reply.json["visionthink"]["look"] == "high"
    reply, _ = asked(user("Look", detailed("high")), visionthink={"look": "low"})
    assert reply.json["visionthink"]["look"] == "low"


def test_the_same_image_at_two_details():
    reply, _ = asked(user("Look", detailed("low"), detailed("high")))
    assert [each["size"][0] for each in reply.json["visionthink"]["looks"]] == [84, 168]
