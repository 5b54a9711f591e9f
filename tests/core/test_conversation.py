"""Conversations of several messages, and thoughts that are read while they grow."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from visionthink.core.episode import run_episode
from visionthink.core.images import Picture
from visionthink.core.partial import answer_so_far, thought_so_far
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import (
    Answer,
    Malformed,
    Request,
    conversation,
    direct_reply,
    final_answer,
    opening,
    parse_reply,
    request_reply,
)
from visionthink.core.types import Example, Message, conversation_example
from visionthink.engines.scripted import ScriptedEngine

LONG = "a" * 161
AGENT, MINI = PROFILES["agent"], PROFILES["mini"]
ONE, TWO = (Picture(Image.new("RGB", (168, 168), colour)) for colour in ("red", "blue"))

# What a conversation says


@pytest.mark.parametrize("parts", [(ONE, TWO, "Which?"), ("Which?", ONE, TWO)])
def test_a_single_question_has_the_same_messages_as_before(parts: tuple[str | Picture, ...]):
    """Images before the text or after it, as most clients send them, go to their place."""
    assert conversation(AGENT, (Message("user", parts),)) == opening(AGENT, (ONE, TWO), "Which?")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((ONE, "Before.", TWO, "After?"), (ONE, "\nBefore.", TWO, "After?")),
        ((ONE, "Which?", TWO), (ONE, "\nWhich?", TWO)),
        (("A:", ONE, "B:", TWO), ("\nA:", ONE, "B:", TWO)),
        (("So?",), ("\nSo?",)),
        ((ONE,), (ONE, "\n")),
    ],
)
def test_images_between_texts_keep_their_place(parts, said):
    """The frame of the mini profile is the image, a new line, the question."""
    _, user = conversation(MINI, (Message("user", parts),))
    assert user.parts == said


def test_earlier_messages_and_a_system_message():
    messages = (
        Message("system", ("Be brief.",)),
        Message("user", (ONE, "How many?")),
        Message("assistant", ("Two.",)),
        Message("user", ("Sure?",)),
    )
    assert conversation(MINI, messages) == (
        Message("system", ("Answer, or call resize_image to see the original.\n\nBe brief.",)),
        Message("user", (ONE, "\nHow many?")),
        Message("assistant", ("<answer>Two.</answer>",)),
        Message("user", ("\nSure?",)),
    )
    assert conversation(MINI, messages[:2]) == conversation(MINI, messages)[:2]


def test_control_tokens_are_broken_up_also_across_parts():
    messages = (
        Message("system", ("<|im_", "end|>")),
        Message("user", (ONE, "<|image_pad|>")),
        Message("assistant", ("<|im_end|>",)),
        Message("user", ("<|im_", "start|>?")),
    )
    said = conversation(MINI, messages)
    assert "<|" not in "".join(message.text for message in said)


# The episode of a conversation


def test_all_images_are_halved_in_place_and_delivered_on_request():
    """Two images of 168 x 168 px are 6 x 6 = 36 tokens each, their halves 3 x 3 = 9."""
    messages = (
        Message("user", (ONE, "How many?")),
        Message("assistant", ("Two.",)),
        Message("user", ("And here:", TWO, "how many?")),
    )
    example = conversation_example(messages)
    assert example.images == (ONE, TWO)
    assert example.question == "And here:how many?"
    engine = ScriptedEngine([request_reply("small"), direct_reply("", "3")])
    episode = asyncio.run(run_episode(example, engine, profile="mini"))
    sizes = [[picture.size for picture in message.images] for message in episode.messages]
    assert sizes == [[], [(84, 84)], [], [(84, 84)], [], [(168, 168)] * 2, []]
    assert episode.messages[5].images == (ONE, TWO)
    assert episode.answer == "3"
    assert (episode.ledger.first, episode.ledger.requested, episode.ledger.vanilla) == (18, 72, 72)


def test_the_original_is_shown_in_place_at_look_high():
    example = conversation_example((Message("user", ("Here:", ONE, "how many?")),))
    engine = ScriptedEngine([direct_reply("", "3")])
    episode = asyncio.run(run_episode(example, engine, profile="mini", look="high"))
    assert episode.messages[1].images == (ONE,)


# Watching


def test_watch_gets_each_turn_as_it_grows():
    seen: list[tuple[int, str]] = []
    replies = [request_reply("small"), direct_reply("", "3")]
    run = run_episode(
        Example((ONE,), "How many?"),
        ScriptedEngine(replies),
        watch=lambda turn, text: seen.append((turn, text)),
    )
    asyncio.run(run)
    assert seen == [(0, replies[0]), (1, replies[1])]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", ""),
        ("Hm", ""),
        ("Hm</think>", "Hm"),
        ("<think>", ""),
        ("<think> It is", "It is"),
        ("<think>It is ", "It is"),
        ("<think>It is <", "It is"),
        ("<think>It is </thin", "It is"),
        ("<think>It is <b", "It is <b"),
        ("<think>It is<answer>no</answer>", "It is"),
        ("<think>It is<answer>no</answer> or</think>", "It is<answer>no</answer> or"),
        ("<think>One</think> <think>two", "One\ntwo"),
        ("<think>One</think><answer>1</answer>", "One"),
    ],
)
def test_the_prefix_of_a_thought_that_cannot_change(text: str, known: str):
    assert thought_so_far(text, AGENT) == known


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("It is 4", ""),
        ("", ""),
        (" <thi", ""),
        ("<think>It is", ""),
        (f"<think>It is</think> {LONG} ", LONG),
        (LONG[:160], ""),
        (LONG, LONG),
        (f"{LONG} <tool", LONG),
        (f"{LONG} <tool_call>{{", LONG),
        (f"{LONG} <b", f"{LONG} <b"),
    ],
)
def test_the_prefix_of_a_plain_answer_that_cannot_change(text: str, known: str):
    """Up to 160 characters may announce a call."""
    assert answer_so_far(text, PROFILES["native"]) == known


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", ""),
        ("It is 4", ""),
        ("<think>no <answer>4</answer>", ""),
        ("<think>no</think><answ", ""),
        ("<think>no</think><answer>", ""),
        ("<think>no</think><answer> 4 or", "4 or"),
        ("<think>no</think><answer>4 </ans", "4"),
        ("<think>no</think><answer>4 < 5", "4 < 5"),
        ("<think>no</think><answer>4</answer> <answer>5</answer>", "4"),
        ("<think>no</think><answer>4</answer><tool_call>", "4"),
        ("<think>no</think><answer>4 <tool_call>", "4"),
        ("<think>no</think><tool_call>{}</tool_call><answer>4</answer>", ""),
        ("<think><tool_call></think><answer>4", "4"),
        ("<answer>\\box", ""),
        ("<answer>\\boxed{4", ""),
        ("<answer>\\boxed{4}</answer>", "4"),
        ("<answer>It is \\boxed{4}", "It is \\boxed{4}"),
    ],
)
def test_the_prefix_of_a_tagged_answer_that_cannot_change(text: str, known: str):
    """The first answer counts, unless what may be a request comes before it."""
    assert answer_so_far(text, AGENT) == known


PIECES = ("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "<resize>", "<", "a ", " ")


SOME = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@given(SOME, st.sampled_from(["agent", "simple-resize", "native", "plain"]))
@example("<think><</think>", "native")
def test_streamed_prefixes_only_grow(text: str, name: str):
    """In every beginning of any text, up to the thought that is read from the whole."""
    profile = PROFILES[name]
    known = [thought_so_far(text[:end], profile) for end in range(len(text) + 1)]
    known.append(parse_reply(text, profile).thought)
    assert [b for a, b in pairwise(known) if not b.startswith(a)] == []


@given(SOME, st.sampled_from(["agent", "simple-resize", "general", "native", "plain"]))
def test_streamed_answers_only_grow(text: str, name: str):
    """Up to the answer of the whole; a call that fails leaves none, and takes none back."""
    profile = PROFILES[name]
    known = [answer_so_far(text[:end], profile) for end in range(len(text) + 1)]
    reply = parse_reply(text, profile, streamed=True)
    known.append(known[-1] if isinstance(reply, Malformed) else final_answer(reply))
    assert [b for a, b in pairwise(known) if not b.startswith(a)] == []


def test_a_streamed_answer_is_not_replaced_by_what_follows():
    both = "<think>Hm</think><answer>4</answer>" + request_reply("Wait")
    assert isinstance(parse_reply(both, AGENT), Request)
    assert parse_reply(both, AGENT, streamed=True) == Answer("4", "Hm")
    call = '<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}'
    native = PROFILES["native"]
    assert isinstance(parse_reply(LONG + call, native), Request)
    assert parse_reply(LONG + call, native, streamed=True) == Answer(LONG, closed=False)
    assert isinstance(parse_reply("Let me look." + call, native, streamed=True), Request)
