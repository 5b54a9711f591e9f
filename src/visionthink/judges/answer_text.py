"""Answers compared as text: without case, spacing, punctuation and lead-ins; by edit distance."""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata

_KEPT = "%#@&"
"""Punctuation that carries meaning: 5%, C#, R&D."""

_LEAD_IN = re.compile(
    r"""(?:(?:so|thus|hence|therefore)\b,?\s+)?
        (?:(?:the\s+|my\s+)?(?:(?:final|correct|right)\s+)?(?:answer|result)\s*(?:\s+is\b|:|=)\s*:?
          |(?:it|this|that|there)(?:\s+(?:is|are)\b|['’]s\b)
          |=)
        \s*(?=\S)""",
    re.IGNORECASE | re.VERBOSE,
)


def bare(text: str) -> str:
    """`text` without what answers are wrapped in: "The answer is **Paris**." becomes "Paris"."""
    text = text.strip()
    if lead := _LEAD_IN.match(text):
        text = text[lead.end() :]
    text = text.strip().strip('*_`"“”').strip()
    without_stop = text.rstrip(".!").rstrip()
    return without_stop or text


def normal(text: str) -> str:
    """`text` in a form in which equal answers are equal.

    Case, spacing, kind of quotes and dashes, markup, articles and punctuation between words make no
    difference. What stands in or at a number (sign, point, comma, slash, colon, percent) does,
    except for commas between groups of three digits.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = re.sub(r"(?<![0-9.,])([0-9]{1,3}(?:,[0-9]{3})+)(?![0-9.]*,?[0-9])", _joined, folded)
    kept = "".join(
        _kept(folded[at - 1 : at], char, folded[at + 1 : at + 2]) for at, char in enumerate(folded)
    )
    words = kept.split()
    named = [word for word in words if word != "the"]
    if len(named) > 1 and named[0] in ("a", "an"):
        named = named[1:]
    return " ".join(named or words) or " ".join(folded.split())


def _joined(number: re.Match[str]) -> str:
    return number[1].replace(",", "")


def _kept(before: str, char: str, after: str) -> str:
    """What becomes of one character between its neighbours."""
    category = unicodedata.category(char)
    if category[0] in "ZC":
        return " "
    if category[0] != "P" or char in _KEPT:
        return char
    if category == "Pd" or char == "-":
        return "-" if after.isdigit() and not before.isalpha() else " "
    if char in "'’":
        return "" if before.isalpha() and after.isalpha() else " "
    if char == "." and after.isdigit() and not before.isalpha():
        return char
    if char in ",:/" and before.isdigit() and after.isdigit():
        return char
    return " "


def similarity(first: str, second: str) -> float:
    """Normalised Levenshtein similarity, as ANLS uses it (arXiv 1905.13648).

    1 - distance / longer length, without outer spaces and case; 1 where both are empty.
    """
    first, second = first.strip().casefold(), second.strip().casefold()
    longer = max(len(first), len(second))
    return 1 - distance(first, second) / longer if longer else 1.0


def distance(first: str, second: str) -> int:
    """Fewest insertions, deletions and replacements that turn one text into the other.

    Columns of the edit matrix are kept as bits of two integers (vertical steps up and down), so
    that 20,000 characters take a moment.
    """
    if not first:
        return len(second)
    where: dict[str, int] = {}
    for at, char in enumerate(first):
        where[char] = where.get(char, 0) | 1 << at
    full, last = (1 << len(first)) - 1, 1 << len(first) - 1
    up, down, steps = full, 0, len(first)
    for char in second:
        match = where.get(char, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        rises = down | ~(diagonal | up) & full
        falls = up & diagonal
        steps += bool(rises & last) - bool(falls & last)
        rises = (rises << 1 | 1) & full
        falls = falls << 1 & full
        up = falls | ~(match | down | rises) & full
        down = rises & (match | down)
    return steps
