"""A small byte-level tokenizer: it encodes any text, and the world's own texts in few tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recipes.mini.replies import CLEAR, CLEAR_NOW, TOO_SMALL
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import CALL_BODY
from visionthink.mini import chart, cloth, handwriting, paper, scene, sign
from visionthink.mini.figures import COLOURS, SHAPES

IMAGE = "<|image_pad|>"
END_OF_TURN = "<|im_end|>"
PADDING = "<|endoftext|>"

CONTROL_TOKENS = (
    PADDING,
    "<|im_start|>",
    END_OF_TURN,
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    IMAGE,
    "<|video_pad|>",
)

PROTOCOL_TOKENS = (
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    CALL_BODY,
)

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How text is split before merging: a word with its space, a digit, a run of symbols."""

SHAPE_QUESTIONS = (
    *scene.COLOUR_WORDINGS,
    *scene.PLACE_WORDINGS,
    *scene.PRESENCE_WORDINGS,
)
COLOUR_QUESTIONS = (
    *scene.SHAPE_WORDINGS,
    *chart.VALUE_WORDINGS,
)

MAX_VOCABULARY = 1200
CONTEXT = 4096


def corpus() -> Iterator[str]:
    """Every wording of the world, so that each of its words becomes one token.

    Codes and prices are left out, so they stay one token per character.
    """
    yield from (profile.system for profile in PROFILES.values() if profile.name.startswith("mini"))
    yield from ("system\n", "user\n", "assistant\n", CLEAR, TOO_SMALL, CLEAR_NOW, "ERROR: ")
    yield from (
        *scene.COUNT_WORDINGS,
        *sign.WORDINGS,
        *handwriting.WORDINGS,
        *paper.TAG_WORDINGS,
        *chart.HATCH_WORDINGS,
        *cloth.WORDINGS,
    )
    for shape in SHAPES:
        yield from (w.format(shape=shape) for w in SHAPE_QUESTIONS)
    for colour in COLOURS:
        yield from (w.format(colour=colour) for w in COLOUR_QUESTIONS)
    for good in paper.GOODS:
        yield from (w.format(good=good) for w in paper.PRICE_WORDINGS)
    words = (*COLOURS, *SHAPES, *scene.PLACES, *chart.HATCHINGS, "across", "down", "yes", "no")
    for word in words:
        yield from (word, f" {word}")


def build_tokenizer() -> Any:
    """Train the tokenizer on the corpus; the result is always the same."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_VOCABULARY,
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        show_progress=False,
    )
    bpe.train_from_iterator(corpus(), trainer)
    bpe.add_special_tokens([AddedToken(text, special=True) for text in CONTROL_TOKENS])
    bpe.add_tokens([AddedToken(text, normalized=False) for text in PROTOCOL_TOKENS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        additional_special_tokens=[t for t in CONTROL_TOKENS if t not in (END_OF_TURN, PADDING)],
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    template = Path(__file__).with_name("chat_template.jinja")
    tokenizer.chat_template = template.read_text(encoding="utf-8").rstrip("\n")
    return tokenizer
