"""The scripted engine: queued and computed replies, its token rule, its record of calls."""

import asyncio

import pytest
from PIL import Image

from visionthink.core.engine import EngineInfo
from visionthink.core.errors import EngineError
from visionthink.core.families import QWEN2_5_VL, QWEN3_VL
from visionthink.core.images import Picture
from visionthink.core.types import Completion, Message, Sampling, Usage
from visionthink.engines.scripted import ScriptedEngine, count_tokens

HELLO = (Message("user", ("hello there",)),)


def ask(engine, messages=HELLO, sampling=None) -> Completion:
    return asyncio.run(engine.generate(messages, sampling or Sampling()))


def test_queued_replies_come_in_order_and_run_out():
    engine = ScriptedEngine(["one", "two"])
    assert [ask(engine).text, ask(engine).text] == ["one", "two"]
    with pytest.raises(EngineError, match="asked for reply 3 but was given 2"):
        ask(engine)


def test_a_generator_may_feed_the_queue_and_a_string_is_one_reply():
    assert ask(ScriptedEngine(str(n) for n in range(3))).text == "0"
    assert ask(ScriptedEngine("hello")).text == "hello"


def test_a_function_computes_the_reply_from_the_conversation():
    engine = ScriptedEngine(lambda messages: messages[-1].text.upper())
    assert [ask(engine).text, ask(engine).text] == ["HELLO THERE"] * 2


def test_calls_keep_what_was_asked():
    engine = ScriptedEngine(["a", "b"])
    conversation = [*HELLO]
    ask(engine, conversation)
    conversation.append(Message("assistant", ("a",)))
    ask(engine, conversation, Sampling(max_tokens=5))
    assert engine.calls == [
        (HELLO, Sampling()),
        ((*HELLO, Message("assistant", ("a",))), Sampling(max_tokens=5)),
    ]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        (" \n", 0),
        ("two words", 2),
        ("<b>two words</b>", 9),
        ("3.5 m", 4),
        ("Größe 漢字", 2),
    ],
)
def test_tokens_are_words_and_other_visible_characters(text, tokens):
    assert count_tokens(text) == tokens


@pytest.mark.parametrize(("grid", "visual"), [(QWEN2_5_VL, 32), (QWEN3_VL, 72)])
def test_usage_counts_words_and_visual_tokens(grid, visual):
    """224 x 112 px in cells of 28 px: 8 x 4 = 32 tokens. Cells of 32 px: 7 x 4 cells (ties to even)
    are 28672 px, below the 65536 of this grid, so both sides grow by sqrt(65536 / 25088) = 1.616 to
    362 x 181 px, which is 12 x 6 = 72 cells, rounded up. Words: 1 before the image, 2 after."""
    picture = Picture(Image.new("RGB", (224, 112)))
    engine = ScriptedEngine("a reply.", grid=grid)
    usage = ask(engine, (Message("user", ("look", picture, "what now")),)).usage
    assert usage == Usage(prompt_tokens=3 + visual, completion_tokens=3)


@pytest.mark.parametrize(
    ("max_tokens", "text", "finish"),
    [(3, "one two.", "stop"), (2, "one two", "length"), (1, "one", "length")],
)
def test_max_tokens_cuts_the_reply(max_tokens, text, finish):
    completion = ask(ScriptedEngine("one two."), sampling=Sampling(max_tokens=max_tokens))
    assert (completion.text, completion.finish) == (text, finish)
    assert completion.usage.completion_tokens == max_tokens


def test_a_closed_engine_refuses():
    engine = ScriptedEngine("one")
    asyncio.run(engine.close())
    with pytest.raises(EngineError, match="close"):
        ask(engine)


def test_what_the_engine_says_about_itself():
    engine = ScriptedEngine([], model="m", grid=QWEN3_VL, profile="mini")
    assert engine.about == EngineInfo("m", QWEN3_VL, None, "mini")
