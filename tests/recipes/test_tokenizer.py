"""The tokenizer encodes anything, keeps the protocol's tokens whole, and renders ChatML."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.mini.tokenizer import (
    CONTROL_TOKENS,
    END_OF_TURN,
    MAX_VOCABULARY,
    PADDING,
    PROTOCOL_TOKENS,
    build_tokenizer,
)
from visionthink.core.protocol import ANSWER, CALL, CALL_BODY, RESPONSE, THINK

TOKENIZER = build_tokenizer()


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_round_trips(text):
    assert TOKENIZER.decode(ids(text)) == text


def test_same_tokenizer_each_time():
    assert build_tokenizer().get_vocab() == TOKENIZER.get_vocab()
    assert len(TOKENIZER) <= MAX_VOCABULARY


@pytest.mark.parametrize("token", CONTROL_TOKENS + PROTOCOL_TOKENS)
def test_token_is_whole(token):
    assert len(ids(token)) == 1


def test_only_control_tokens_are_special():
    assert set(TOKENIZER.all_special_tokens) == set(CONTROL_TOKENS)
    text = f"{THINK[0]}x{THINK[1]}{CALL[0]}{CALL_BODY}{CALL[1]}{END_OF_TURN}"
    assert TOKENIZER.decode(ids(text), skip_special_tokens=True) == text[: -len(END_OF_TURN)]


def test_protocol_tokens_are_the_protocols():
    assert (*THINK, *ANSWER, *CALL, *RESPONSE, CALL_BODY) == PROTOCOL_TOKENS


def test_ends():
    assert (TOKENIZER.eos_token, TOKENIZER.pad_token) == (END_OF_TURN, PADDING)


def test_codes_and_prices_are_one_token_a_character():
    assert len(ids("4.73")) == 4
    assert len(ids("K7Q")) == 3
    assert len(ids("HLLWAT")) == 6


def test_world_words_are_one_token():
    assert len(ids("What colour is the circle?")) == 6
    assert len(ids("How much is the tea?")) == 6


def test_chat_template():
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    talk = [
        {"role": "system", "content": "Look."},
        {
            "role": "user",
            "content": [
                {"type": "image"},
                {"type": "image"},
                {"type": "text", "text": "\nWhat now?"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": " So. "}]},
    ]
    opening = (
        "<|im_start|>system\nLook.<|im_end|>\n"
        f"<|im_start|>user\n{image}{image}\nWhat now?<|im_end|>\n"
    )
    reply = "<|im_start|>assistant\n So. <|im_end|>\n"
    assert TOKENIZER.apply_chat_template(talk, tokenize=False) == opening + reply
    prompt = TOKENIZER.apply_chat_template(talk[:2], tokenize=False, add_generation_prompt=True)
    assert prompt == opening + "<|im_start|>assistant\n"


def test_chat_template_keeps_earlier_turns_as_they_were():
    talk = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "\nWhere?"}]},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
    ]
    renders = [TOKENIZER.apply_chat_template(talk[:n], tokenize=False) for n in range(1, 5)]
    for shorter, longer in itertools.pairwise(renders):
        assert longer.startswith(shorter)
    assert "system" not in renders[0]
