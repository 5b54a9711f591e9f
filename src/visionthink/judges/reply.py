"""Reading a judge's reply. Strict: what is not plainly a verdict is none.

A statement is the word "Score", a colon, and what follows up to the next space on that line; markup
around them does not matter. A reply is a verdict if, its reasoning left out,

- every statement has the same value, and that is exactly 0 or 1,
- at least one statement stands outside quotation marks, or a quoted one is the whole reply.

So `Score: 10`, `Score: 0.5`, `Score: 1.0`, `Score: 1/1`, `Score: 0 or 1` and `{"Score": 1}` are no
verdicts, nor is a reply that quotes `"Score: 1"` and then states `Score: 0`.
"""

# models write these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from typing import Literal

from visionthink.core.protocol import THINK

_HEAD = re.compile(r"""\bscore[*_ \t"'`”’]{0,12}[:：]""", re.IGNORECASE)
_QUOTES = "\"'`“”‘’„«»「『"
# Runs are possessive (*+): tried again at every shorter length, a long one would take for ever.
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


def without_reasoning(text: str) -> str:
    """`text` without its think elements; an unclosed one takes all that follows.

    Some chat templates put the opening tag into the prompt: text before a first closing tag is
    reasoning too.
    """
    opened, closed = THINK
    close, start = text.find(closed), text.find(opened)
    if close >= 0 and (start < 0 or close < start):
        text = text[close + len(closed) :]
    outside: list[str] = []
    at = 0
    while (start := text.find(opened, at)) >= 0:
        outside.append(text[at:start])
        close = text.find(closed, start)
        if close < 0:
            return "".join(outside)
        at = close + len(closed)
    return "".join([*outside, text[at:]])
