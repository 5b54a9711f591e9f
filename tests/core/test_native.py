"""Plain replies, and calls in a server's own tool format: models that were not trained for this."""

from __future__ import annotations

import asyncio
import json

import pytest
from PIL import Image

from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.episode import run_episode
from visionthink.core.errors import UsageError
from visionthink.core.families import QWEN2_5_VL
from visionthink.core.format import format_valid
from visionthink.core.images import Picture
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import (
    Answer,
    Malformed,
    Reply,
    Request,
    conversation,
    parse_reply,
    profile_for,
    render_tool_call,
    said,
)
from visionthink.core.types import (
    Call,
    Completion,
    Episode,
    Example,
    Message,
    Sampling,
    StopReason,
    Usage,
    conversation_example,
)
from visionthink.engines.scripted import ScriptedEngine

NATIVE, PLAIN = PROFILES["native"], PROFILES["plain"]
PICTURE = Picture(Image.new("RGB", (168, 168)))
GOOD = Call("c1", "resize_image", '{"action": "resize"}')
BAD = Call("c2", "zoom", "{}")


def text(call: Call) -> str:
    return render_tool_call(call.name, call.arguments)


@pytest.mark.parametrize(
    ("reply", "native", "plain"),
    [
        ("It is 4.", Answer("It is 4.", closed=False), ...),
        (" \\boxed{4}\n", Answer("\\boxed{4}", closed=False), ...),
        ("<think>hm</think>\n4", Answer("4", "hm", closed=False), ...),
        ("4</think>", Answer("4</think>", closed=False), ...),
        ("<think>hm", Malformed("there is neither an answer nor a request", "hm"), ...),
        ("", Malformed("there is neither an answer nor a request"), ...),
        (text(GOOD), Request(), Answer(text(GOOD), closed=False)),
        (f"<think>a</think>{text(GOOD)}", Request(thought="a"), Answer(text(GOOD), "a", False)),
        (f"Too small.{text(GOOD)}", Request(answer="Too small."), ...),
        (f"{text(BAD)}{text(GOOD)}", Request(), ...),
        (
            f"Too small.{text(BAD)}",
            Malformed("there is no function 'zoom', only 'resize_image'", failed_call=True),
            ...,
        ),
    ],
)
def test_what_a_plain_reply_means(reply: str, native: Reply, plain: Reply):
    """`...` where the plain profile, which offers no call, reads the same or the text as it is."""
    assert parse_reply(reply, NATIVE) == native
    if plain is not ...:
        assert parse_reply(reply, PLAIN) == plain
    elif "tool_call" in reply:
        assert parse_reply(reply, PLAIN) == Answer(reply, closed=False)
    else:
        assert parse_reply(reply, PLAIN) == native


def test_the_profiles():
    assert profile_for("low", "native") is profile_for("high", "native") is PLAIN
    (function,) = [each["function"] for each in json.loads(NATIVE.tools)]
    assert function["name"] == "resize_image"
    assert function["parameters"]["properties"]["action"]["enum"] == ["resize"]
    assert format_valid(["It is 4."], NATIVE)
    assert format_valid([text(GOOD), "It is 4."], NATIVE)
    assert not format_valid(["It is 4.", "It is 4."], NATIVE)


def test_a_plain_conversation_is_said_as_it_is():
    messages = (
        Message("system", ("Be brief.",)),
        Message("user", (PICTURE, "How many?")),
        Message("assistant", ("Two.",)),
        Message("user", ("Sure?",)),
    )
    assert conversation(PLAIN, messages) == messages
    assert conversation(PLAIN, messages[1:]) == messages[1:]


def test_a_reply_is_sent_back_with_its_first_valid_call():
    usage = Usage(1, 1)
    reply = Completion("Hm <|x|>" + text(BAD) + text(GOOD), "stop", usage, calls=(BAD, GOOD))
    assert said(NATIVE, reply) == Message("assistant", ("Hm < |x|>",), calls=(GOOD,))
    reply = Completion(text(BAD), "stop", usage, calls=(BAD,))
    assert said(NATIVE, reply) == Message("assistant", ("",), calls=(BAD,))
    reply = Completion(text(GOOD), "stop", usage, calls=(GOOD,))
    assert said(PROFILES["agent"], reply) == Message("assistant", (text(GOOD),))


class Server(Engine):
    """An engine that takes tools; each reply is text and calls."""

    @property
    def about(self) -> EngineInfo:
        return EngineInfo("server", QWEN2_5_VL, profile="native", takes_tools=True)

    def __init__(self, *replies: tuple[str, tuple[Call, ...]]) -> None:
        self._replies = iter(replies)

    async def generate(self, messages: object, sampling: Sampling) -> Completion:
        content, calls = next(self._replies)
        rendered = "".join(map(text, calls))
        return Completion(content + rendered, "stop", Usage(1, 1), calls=calls)


def ask(engine: Server, max_turns: int = 2) -> Episode:
    return asyncio.run(run_episode(Example((PICTURE,), "?"), engine, max_turns=max_turns))


def test_an_episode_in_the_format_of_the_server():
    """The call, its response with the original, the answer as it stands."""
    episode = ask(Server(("", (GOOD,)), ("It is 4.", ())))
    system, user, called, response, answered = episode.messages
    assert (system.tools, user.images[0].size) == (NATIVE.tools, (84, 84))
    assert called == Message("assistant", ("",), calls=(GOOD,))
    original = "The images at their original resolution:"
    assert response == Message("tool", (original, PICTURE), call_id="c1")
    assert answered.text == episode.answer == "It is 4."
    assert (episode.requested, episode.format_valid) == (True, True)


def test_a_failed_call_gets_an_error_and_may_be_repeated():
    episode = ask(Server(("", (BAD,)), ("", (GOOD,)), ("4", ())), max_turns=3)
    assert [message.role for message in episode.messages[2:]] == [
        *("assistant", "tool", "assistant", "tool", "assistant")
    ]
    assert episode.messages[3].call_id == "c2"
    assert episode.messages[3].text.startswith("Error: there is no function 'zoom'")
    assert (episode.answer, episode.requested) == ("4", True)


def test_a_call_in_the_last_turn_leaves_the_text_before_it_as_the_answer():
    episode = ask(Server(("", (GOOD,)), ("Perhaps 4.", (GOOD,))))
    assert (episode.answer, episode.stop_reason) == ("Perhaps 4.", StopReason.ANSWERED)
    episode = ask(Server(("", (GOOD,)), ("", (GOOD,))))
    assert (episode.answer, episode.stop_reason) == ("", StopReason.OUT_OF_TURNS)


def test_an_engine_without_tools_is_refused_for_native():
    run = run_episode(Example((PICTURE,), "?"), ScriptedEngine(["4"]), profile="native")
    with pytest.raises(UsageError, match="profile 'native' uses the tool format of a server"):
        asyncio.run(run)


# No image


def test_a_conversation_without_an_image_is_asked_at_look_high():
    """Nothing is there to be looked at; nothing is saved, nothing lost."""
    example = conversation_example((Message("user", ("Why?",)),))
    engine = ScriptedEngine(["<think>hm</think><answer>42</answer>"])
    episode = asyncio.run(run_episode(example, engine, look="high", profile="agent"))
    assert (episode.answer, episode.ledger.vanilla, episode.ledger.ratio) == ("42", 0, 1.0)
    with pytest.raises(UsageError, match="at least one image"):
        asyncio.run(run_episode(example, engine, profile="agent"))
