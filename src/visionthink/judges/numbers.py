"""Numbers as people write them: "1,234.5", "1 1/2", "2.5e3", "twenty-one", "two thirds".

Values are exact fractions, so that 4.730 is 4.73 and 0.1 + 0.2 would be 0.3.
"""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

from text_to_num import text2num

from visionthink.judges.word_classes import words


@dataclass(frozen=True, slots=True)
class Number:
    """A value and how it was written.

    Attributes:
        value: exact.
        step: one unit of the last written digit, 1/100 for 4.73; 0 where nothing was rounded, as in
            1/3 and "two".
        over: numerator and denominator of "6/8", which may be no number but a label.
    """

    value: Fraction
    step: Fraction = Fraction(0)
    over: tuple[int, int] | None = None


_DIGITS = re.compile(
    r"""(?P<whole>[0-9]{1,9})(?:\s+|\s?-\s?|\s?(?:and|&)\s)(?P<part>[0-9]{1,9}\s?/\s?[0-9]{1,9})
      | (?P<ratio>[0-9]{1,20}\s?/\s?[0-9]{1,20})
      | (?P<digits>[0-9][0-9.,'’\u202f\u00a0 ]*[0-9]|[0-9]|\.[0-9]+)
        (?:(?:(?:e|E(?=[+-]))(?=[+-]?[0-9]{1,3}(?![0-9a-zA-Z]))|\s?[×x*·]\s?10\s?(?:\^|\*\*))
           \s?(?P<power>[+-]?[0-9]{1,3})
         | \s?(?:\^|\*\*)\s?(?P<raised>-?[0-9]{1,2}))?
    """,
    re.VERBOSE,
)
_GROUPED = [
    # thousands, the same by lakhs and crores, and 1.234,5 with a decimal comma
    (re.compile(rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+(?:{point}[0-9]+)?"), group)
    for group, point in (
        (",", r"\."),
        (r"\.", ","),
        ("[ \u202f\u00a0]", "[.,]"),
        ("['’]", r"\."),
    )
]
_INDIAN = re.compile(r"[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?")

SCALES = {
    **{"hundred": 2, "thousand": 3, "k": 3, "K": 3, "million": 6, "millions": 6, "mn": 6, "mln": 6},
    **{"mio": 6, "billion": 9, "billions": 9, "bn": 9, "trillion": 12, "tn": 12, "M": 6, "B": 9},
    **{"thousands": 3, "lakh": 5, "lakhs": 5, "crore": 7, "crores": 7, "bln": 9, "T": 12},
}
"""Words and letters that multiply the number before them → power of ten."""

_CARDINALS = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fourty fifty sixty seventy eighty "
    "ninety hundred thousand million billion trillion"
)
_PARTS = {
    **{"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6},
    **{"seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "twelfth": 12, "twentieth": 20},
    **{"hundredth": 100, "thousandth": 1000},
}
_PARTS |= {f"{name}s": size for name, size in _PARTS.items() if name != "halves"}
_AND_PART = re.compile(r"\s+and\s+(?:a|one)\s+(half|third|quarter)\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+")
_SPELT = re.compile(r"[A-Za-z]+(?:[ -]+[A-Za-z]+)*")
MOST_WORDS = 16


def leading_number(text: str) -> tuple[Number, int] | None:
    """The number that `text` begins with and where it ends; None if it begins with none."""
    if not text:
        return None
    if text[0].isalpha():
        return _spelt(text)
    found = _DIGITS.match(text)
    if found is None:
        return None
    number, end = _written(found), found.end()
    if number is not None and (more := _AND_PART.match(text, end)):
        part = Fraction(1, _PARTS[more[1].lower()])
        number, end = Number(number.value + part), more.end()
    return None if number is None else (number, end)


def _written(found: re.Match[str]) -> Number | None:
    if (part := found["part"] or found["ratio"]) is not None:
        over, under = (int(piece) for piece in part.split("/"))
        if under == 0:
            return None
        value = Fraction(int(found["whole"] or 0)) + Fraction(over, under)
        return Number(value, over=None if found["whole"] else (over, under))
    digits = _plain(found["digits"])
    if digits is None:
        return None
    whole, _, decimals = digits.partition(".")
    step = _step(len(decimals))
    value = Fraction(int(whole)) if not decimals else int(whole + decimals) * step
    if found["raised"]:
        return Number(value ** int(found["raised"])) if 0 < value < 10**6 else None
    if found["power"]:
        scale = Fraction(10) ** int(found["power"])
        return Number(value * scale, step * scale)
    return Number(value, step)


@cache
def _step(decimals: int) -> Fraction:
    return Fraction(1, 10**decimals)


def _plain(digits: str) -> str | None:
    """Digits with thousands separators or a decimal comma, in the form 1234.5.

    One comma before three digits separates thousands; before any other number of digits, decimals.
    Leading zeros make a code, which is no number.
    """
    if digits.isdigit():
        return None if digits[0] == "0" and len(digits) > 1 else digits
    if digits.startswith("."):
        return f"0{digits}" if digits[1:].isdigit() else None
    if digits[0] == "0" and digits[1] not in ".,":
        return None
    whole, point, rest = digits.partition(".")
    if point and whole.isdigit() and rest.isdigit():
        return digits
    if digits.startswith("0,") and digits[2:].isdigit():
        return digits.replace(",", ".")
    for form, group in _GROUPED:
        if form.fullmatch(digits):
            joined = re.sub(group + "(?=[0-9]{3}(?![0-9]))", "", digits)
            return joined.replace(",", ".")
    if _INDIAN.fullmatch(digits):
        return digits.replace(",", "")
    whole, comma, rest = digits.partition(",")
    return f"{whole}.{rest}" if comma and whole.isdigit() and rest.isdigit() else None


def _spelt(text: str) -> tuple[Number, int] | None:
    """A number in English words at the start of a text."""
    low = text[:200].lower()
    first = _WORD.match(low)
    if first is None or not (
        first[0] in _CARDINALS or first[0] in _PARTS or first[0] in ("a", "an")
    ):
        return None
    run = _SPELT.match(low)
    ends = [word.end() for word in _WORD.finditer(run[0] if run else "")][:MOST_WORDS]
    for end in reversed(ends):
        if (number := _words(low[:end])) is not None:
            return number, end
    return None


@lru_cache(maxsize=4096)
def _words(text: str) -> Number | None:
    """The number that all words of `text` name."""
    words = re.split(r"[ -]+", text)
    if words[-1] == "and" or words[0] == "and":
        return None
    if words[-1] in ("dozen", "dozens"):
        rest = words[:-1]
        many = Number(Fraction(1)) if rest in (["a"], ["one"], []) else _words(" ".join(rest))
        if rest[-1:] == ["a"] and len(rest) > 1:  # half a dozen
            many = _words(" ".join(rest[:-1]))
        return None if many is None else Number(many.value * 12)
    if words[-1] in _PARTS:
        *before, part = words
        unit = Fraction(1, _PARTS[part])
        if "and" in before:  # two and a half
            at = len(before) - 1 - before[::-1].index("and")
            whole, over = _words(" ".join(before[:at])), _count(before[at + 1 :])
            if whole is None or over is None:
                return None
            return Number(whole.value + over * unit)
        if not before and part not in ("half", "quarter"):
            return None  # an ordinal
        over = _count(before)
        return None if over is None or over > 999 else Number(over * unit)
    if words == ["a", "single"]:
        return Number(Fraction(1))
    if words[0] in ("a", "an"):
        if len(words) == 1 or words[1] not in ("hundred", "thousand", "million", "billion"):
            return None
        text = " ".join(["one", *words[1:]])
    try:
        return Number(Fraction(text2num(text.replace("-", " "), "en")))
    except (ValueError, OverflowError):
        return None


def _count(words: list[str]) -> int | None:
    """How many parts: "two" thirds, "a" half, half."""
    if words in ([], ["a"], ["one"]):
        return 1
    number = _words(" ".join(words)) if all(word in _CARDINALS for word in words) else None
    return None if number is None or number.value.denominator != 1 else int(number.value)


_RUN = re.compile(r"[-+]?[0-9][0-9.,'’ ]*(?:\s?/\s?[0-9]+)?|[A-Za-z]+(?:[ -][A-Za-z]+)*")


def numbers_in(text: str) -> list[Fraction]:
    """All numbers that a text holds, in digits or in words, without their signs."""
    found: list[Fraction] = []
    text = unicodedata.normalize("NFKC", re.sub("(?=[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])", " ", text)).replace(
        "⁄", "/"
    )
    for run in _RUN.finditer(text):
        rest = run[0].lstrip("+-")
        while rest:
            read = leading_number(rest)
            if read is not None:
                found.append(read[0].value)
                rest = rest[read[1] :].lstrip(" -,.'’/")
            elif rest[0].isdigit():
                found.extend(Fraction(int(digits)) for digits in re.findall("[0-9]{1,30}", rest))
                break
            else:
                _, _, rest = rest.partition(" ")
    return found
