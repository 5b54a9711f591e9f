"""Answers compared as text: without case, spacing, articles and quotes; by edit distance.

Nothing is dropped that tells two answers apart: signs, operators, brackets, primes and other marks
at a letter or number stay.
"""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

LONGEST_WORD = 200
"""Characters. A longer word is compared as it is written."""

_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_LETTERS = str.maketrans(
    {"−": "-", "‐": "-", "‑": "-", "–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"'}
    | {"♯": "#", "♭": "b", "«": '"', "»": '"', "„": '"', "′": "'", "″": '"', "…": "...", "−": "-"}
    | dict.fromkeys("\u200b\u200c\u200d\ufeff\u00ad")
)
_WRAPS = [
    re.compile(form, re.DOTALL)
    for form in (
        r"\*\*(?P<kept>[^*]+)\*\*",
        r"\*(?P<kept>[^*\s](?:[^*]*[^*\s])?)\*",
        r"__(?P<kept>[^_]+)__",
        r"_(?P<kept>[^_]+)_",
        r"`+(?P<kept>[^`]+)`+",
        r"<(b|i|em|strong|u|p|span)>(?P<kept>[^<]+)</\1>",
        r"\((?P<kept>[A-Za-z][A-Za-z ]+[A-Za-z])\)",
        r"\"(?P<kept>[^\"]+)\"",
        r"'(?P<kept>[^']+)'",
    )
]
_SAME_WORDS = {"grey": "gray", "colour": "color", "colours": "colors", "centre": "center"}
_SAME_WORDS |= {"infinity": "∞", "theatre": "theater", "metre": "meter", "metres": "meters"}
_SAME_WORD = re.compile(rf"\b(?:{'|'.join(_SAME_WORDS)})\b")
_FORMULA = re.compile(r"[-+=/*<>≤≥]")
_NOT_FORMULA = re.compile(r"[^\W\d_]{3}|['\"]|[a-z] [a-z]")
_STEPS = [
    (re.compile(form), put)
    for form, put in (
        (r"\b([a-z]{1,2})\.\s?(?=[a-z]{1,2}(?![a-z0-9]))", r"\1"),  # u.s.a., j. k. rowling
        (r"(?<!\w)\*\*|\*\*(?!\w)", ""),
        (r"(?<=[a-z0-9])'(?=[a-z])", ""),  # don't, 1990's
        (r"\^\{?([0-9]*[+-])\}?$", r"\1"),  # Fe^{3+}
        (r"(?<=[a-z])_\{?([0-9])\}?", r"\1"),  # H_2O
        (r"(?<=[a-z]{3})'(?![\w(])", ""),  # the dogs'
        (r"(?<![0-9a-z.,])([0-9]{1,3}(?:,[0-9]{3})+)(?![0-9]*,?[0-9])", None),  # 1,000
        (r"(?<=[a-z][a-z])-(?=[a-z])|(?<=[a-z])-(?=[a-z][a-z])", " "),  # t-shirt, but not x-y
        (r"\s+-\s+(?=[a-z]{2})|(?<=[a-z]{2})\s+-\s+", " "),
        (r"\s*([()\[\]{}=+*/^<>|±×÷])\s*", r"\1"),
        (r"([(\[{][^()\[\]{}]*[)\]}])", None),  # (1, 2)
        (r"(?<=[a-z])[,;:](?=\s)|(?<=[0-9])[,;:](?=\s+[a-z])", " "),
        (r"(?<=[a-z]{2})[.](?=\s|$)", " "),
        (r"\s*&\s*", " and "),
        (r"(?<=[0-9])\s+(?=[%°])|(?<=[°'])\s+(?=[0-9nsew])", ""),
        (r"(?<=[0-9])_(?=[0-9])", "_"),
        (r"\bthe\s+(?=\S)", ""),
        (r"(?<![^\s])an?\s+(?=[a-z]{2})", ""),
        (r"(?<=[0-9])\s+!", "!"),
        (r"(?<=^[a-z])\s+([+-])$|(?<=^[a-z]{2})\s+([+-])$", r"\1\2"),
        (r"\s+", " "),
    )
]
_PLAIN = re.compile(r"[a-z0-9 ]+")
_ARTICLES = [step for step in _STEPS if "an?" in step[0].pattern or "the" in step[0].pattern]


@lru_cache(maxsize=8192)
def bare(text: str) -> str:
    """`text` without markup and quotes around it and without the full stop of a sentence."""
    text = text.strip()
    for _ in range(4):
        before = text
        if not text or text[-1] not in "*_`\"'.!”’»,;:。！)>":
            break
        for wrap in _WRAPS:
            if found := wrap.fullmatch(text):
                text = found["kept"].strip()
        if text[:1] in "“«" and text[-1:] in "”»" and len(text) > 2:
            text = text[1:-1].strip()
        text = _without_stop(text)
        if text == before:
            break
    return text


def _without_stop(text: str) -> str:
    """Without final punctuation, but for what belongs to the answer: 5!, f!."""
    cut = text.rstrip(".,;:。！").rstrip()
    if cut.endswith("!"):
        words = cut.rstrip("!")
        cut = words if len(words) > 1 and words[-2:].isalpha() else cut
    return cut or text


@lru_cache(maxsize=8192)
def normal(text: str) -> str:
    """`text` in a form in which equal answers are equal."""
    text = bare(text)
    folded = text.casefold()
    if folded.isascii() and folded.isalnum():
        return _SAME_WORDS.get(folded) or _ORDINALS.get(folded, folded)
    words = text.split()
    if not text.isascii():
        words = map(_composed, words)
    folded = " ".join(words).casefold()
    if _FORMULA.search(folded) and not _NOT_FORMULA.search(folded):
        return folded.replace(" ", "")
    short = _SAME_WORD.sub(lambda found: _SAME_WORDS[found[0]], folded)
    short = _ORDINAL.sub(_in_digits, short)
    for form, put in _ARTICLES if _PLAIN.fullmatch(short) else _STEPS:
        short = form.sub(_joined if put is None else put, short)
    return short.strip() or folded


def _composed(word: str) -> str:
    """A word in NFKC, which takes time that grows with the square of a run of combining marks."""
    if len(word) > LONGEST_WORD:
        return word
    word = _SUPERSCRIPTS.sub(_raised, word.translate(_LETTERS))
    return unicodedata.normalize("NFKC", word)


def _raised(found: re.Match[str]) -> str:
    """A power, 10^2, or the charge of an ion, Fe3+."""
    plain = unicodedata.normalize("NFKC", found[0]).replace("−", "-")
    return plain if plain[-1] in "+-" else f"^{plain}"


_ORDINALS = {
    **{"first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th"},
    **{"sixth": "6th", "seventh": "7th", "eighth": "8th", "ninth": "9th", "tenth": "10th"},
    **{"eleventh": "11th", "twelfth": "12th", "thirteenth": "13th", "fourteenth": "14th"},
    **{"fifteenth": "15th", "sixteenth": "16th", "seventeenth": "17th", "eighteenth": "18th"},
    **{"nineteenth": "19th", "twentieth": "20th", "thirtieth": "30th", "fortieth": "40th"},
    **{"fiftieth": "50th", "sixtieth": "60th", "seventieth": "70th", "eightieth": "80th"},
    **{"ninetieth": "90th", "hundredth": "100th"},
}
_TENS = {
    **{"twenty": "2", "thirty": "3", "forty": "4", "fifty": "5", "sixty": "6", "seventy": "7"},
    **{"eighty": "8", "ninety": "9"},
}
_ORDINAL = re.compile(rf"\b(?:({'|'.join(_TENS)})[ -])?({'|'.join(_ORDINALS)})\b")


def _in_digits(found: re.Match[str]) -> str:
    return _TENS.get(found[1] or "", "") + _ORDINALS[found[2]]


def _joined(found: re.Match[str]) -> str:
    """Digits without separators, and what stands in brackets without spaces at its commas."""
    text = found[1]
    if text[0] in "([{":
        return re.sub(r"\s*([,;])\s*", r"\1", text)
    return text.replace(",", "")


def last_match(form: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last place where a pattern matches."""
    found = None
    for match in form.finditer(text):
        found = match
    return found


def places(part: str, text: str) -> Iterator[tuple[int, int]]:
    """Where `part` stands in `text` as whole words: starts and ends."""
    at = text.find(part) if part else -1
    while at >= 0:
        end = at + len(part)
        before, after = text[at - 1 : at], text[end : end + 1]
        if not (before.isalnum() and part[0].isalnum()) and not (
            after.isalnum() and part[-1].isalnum()
        ):
            yield at, end
        at = text.find(part, end)


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
