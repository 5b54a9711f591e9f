"""What a judge model is asked, and how its reply is read.

The prompts are those of the paper, with the texts filled in as data. Reading is strict. A statement
is the word "Score", a colon, and what follows up to the next space on that line; markup around them
does not matter. A reply is a verdict if, its reasoning left out,

- every statement has the same value, and that is exactly 0 or 1,
- at least one statement stands outside quotation marks, or a quoted one is the whole reply.

So `Score: 10`, `Score: 0.5`, `Score: 1.0`, `Score: 1/1`, `Score: 0 or 1` and `{"Score": 1}` are not
verdicts, nor is a reply that quotes `"Score: 1"` and then states `Score: 0`.
"""

# people and models write these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

from visionthink.core.protocol import TAGS, THINK, plain_text
from visionthink.core.types import Message

# Asking

AGAIN = "\n\nReply with this one line and nothing else, n being 0 or 1:\nScore: n"


def judge_messages(question: str, answers: Sequence[str], prediction: str) -> list[Message]:
    """The system and the user message.

    Several accepted answers are put as one ground truth, separated by " or ". The prediction
    becomes one line, so that it cannot open a section of its own in the prompt.
    """
    texts = {
        "question": as_data(question),
        "ground_truth": " or ".join(as_data(answer) for answer in answers),
        "prediction": " ".join(as_data(prediction).split()),
    }
    # One pass: a placeholder inside a prediction is not filled in.
    user = re.sub(
        r"\{(question|ground_truth|prediction)\}",
        lambda place: texts[place[1]],
        _prompt("judge_user"),
    )
    return [Message("system", (_prompt("judge_system"),)), Message("user", (user,))]


def repeated(messages: Sequence[Message]) -> list[Message]:
    """The messages for asking again after a reply that was not a verdict: at temperature 0 the same
    words would get the same reply.
    """
    *before, user = messages
    return [*before, Message("user", (user.text + AGAIN,))]


def as_data(text: str) -> str:
    """`text` so that nothing in it can act: on the tokenizer, on us, or through the judge's mouth.

    Control tokens and protocol tags are broken up, and "Score: 1" becomes "Score = 1", which the
    judge may quote without stating it. The same is done to question, ground truth and prediction,
    so that equal texts stay equal. Lone surrogates, which no request can carry, become "?".
    """
    text = plain_text(text.encode("utf-8", "replace").decode("utf-8"))
    for tag in TAGS:
        text = text.replace(tag, f"< {tag[1:]}")
    return re.sub(r"\b(score[*_ \t\"'`”’]{0,12})[:：]", r"\1 =", text, flags=re.IGNORECASE)


@cache
def _prompt(name: str) -> str:
    return (files("visionthink.core") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


# Reading

_HEAD = re.compile(r"""\bscore[*_ \t"'`”’]{0,12}[:：]""", re.IGNORECASE)
_QUOTES = "\"'`“”‘’„«»「『"
# Runs are possessive (*+), so that a long one is not tried again at every shorter length.
_VALUE = re.compile(rf"""[*_ \t{_QUOTES}]*+([01])[*_`"'”’»」』.,;!)\]}}]*+(?!\S)""")
_GOES_ON = re.compile(
    r"""[^\S\n]*+(?:[%/]|[(]?out\b|(?:[.,|&+–—-]|\\|or\b|to\b|of\b|and\b)?[^\S\n]*+\d)""",
    re.IGNORECASE,
)
"""What makes a number out of "0" or "1" something else: "0 or 1", "1 / 10", "1 out of 5"."""
_ALONE = re.compile(r"score[*_ \t]{0,4}[:：][*_ \t]{0,4}[01][.]?", re.IGNORECASE)


def read_verdict(text: str) -> Literal[0, 1] | None:
    """The score that a reply states; None if it is not a verdict. Total and linear."""
    text = without_reasoning(text).strip()
    values: set[str | None] = set()
    own = False
    for head in _HEAD.finditer(text):
        values.add(_value_after(text, head.end()))
        before = text[max(0, head.start() - 8) : head.start()].rstrip("*_")
        own = own or before[-1:] not in tuple(_QUOTES)
    if not (own or _ALONE.fullmatch(text.strip(f"*_{_QUOTES}"))) or len(values) != 1:
        return None
    value = values.pop()
    return 1 if value == "1" else 0 if value == "0" else None


def _value_after(text: str, at: int) -> str | None:
    """The 0 or 1 that follows a colon at the end of a statement's head; None if anything else."""
    value = _VALUE.match(text, at)
    if value is None or _GOES_ON.match(text, value.end()):
        return None
    return value[1]


_THOUGHTS = re.compile(rf"{THINK[0]}.*?(?:{THINK[1]}|\Z)", re.DOTALL)


def without_reasoning(text: str) -> str:
    """`text` without its think elements; an unclosed one takes all that follows.

    Some chat templates put the opening tag into the prompt: text before a first closing tag is
    reasoning too.
    """
    opened, closed = THINK
    before, close, after = text.partition(closed)
    if close and opened not in before:
        text = after
    return _THOUGHTS.sub("", text)
