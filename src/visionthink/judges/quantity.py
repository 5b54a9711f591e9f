"""Quantities as people write them: "1,234.5 km", "-$3.50", "45 %", "1 1/2 hours", "three dogs".

A text is a quantity only if all of it is understood: a word that is neither a unit nor clearly what
was counted makes it something else, because "3 dozen", "4 maybe" and "2 squared" are not 3, 4, 2.
"""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from visionthink.judges.numbers import SCALES, Number, leading_number
from visionthink.judges.units import (
    ANGLE,
    CELSIUS,
    CURRENCIES,
    FAHRENHEIT,
    MASS,
    ONE,
    POUNDS,
    SHARE,
    STERLING,
    Unit,
    unit,
)
from visionthink.judges.word_classes import exclusive, rows_of
from visionthink.judges.word_classes import words as words_of

MOST_CHARACTERS = 100
"""Longer texts are not quantities; bounds the work on arithmetic as well."""
CONVERTED = Fraction(1, 100)
"""Relative difference allowed where customary units were converted: 5 miles are 8 km."""

_SIGNS = str.maketrans(
    {"−": "-", "–": "-", "﹣": "-", "－": "-", "⁄": "/", "∕": "/", "′": "'", "″": '"', "“": '"'}
    | {"”": '"', "’": "'", "‘": "'", "\u00a0": " ", "\u202f": " ", "\u2009": " "}
)
_HALVES = re.compile(r"(\d)\s?([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")
_SUPERSCRIPT = re.compile(r"(?<=[0-9])([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_SUBSCRIPT = re.compile("[₀-₉]")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_HEAD = re.compile(
    rf"""(?i:(?:about|approximately|approx\.?|around|roughly|circa|ca?\.|exactly|precisely|a\stotal\sof|just|only|definitely|certainly|~|≈|\#|no\.(?=\s?[0-9]))\s*)?
    (?P<sign>[+-]|(?i:minus|negative|plus|positive)\s)?\s?
    (?P<money>[$€£¥₹₩]|(?:{"|".join(map(re.escape, CURRENCIES))})(?=[\s0-9.-]))?
    (?:(?<=Rs)\.)?\s?
    (?P<inner>-(?=[0-9.]))?""",
    re.VERBOSE,
)
_MEASURES = words_of("long tall high wide deep old away apart thick")
_COUNTED = {"piece", "pc", "item", "unit", "person", "point", "star", "time", "vote"}
"""What anything may be counted in, whatever the question asks."""
_NEVER_NOUNS = words_of(
    # operations, multiples, parts, hedges, comparisons, function words, ends of other words
    "squared cubed squares cubes plus minus times percents dozen dozens score scores gross pair "
    "pairs couple couples hundreds thousands millions billions trillions tens halves thirds "
    "quarters fourths fifths sixths sevenths eighths ninths tenths twelfths twentieths hundredths "
    "thousandths or and to than not no per am pm less more fewer by of if but below above under "
    "over off out in on at as is was has does this thus its us yes perhaps always sometimes "
    "unless besides afterwards across wrong false maybe probably possibly guess fake non nor "
    "double triple twice extra additional other others another half most least almost nearly "
    "barely without except only ones bits sets packs packets boxes cases bunches groups teams "
    "dots points mod modulo factorial power root roots log base degrees versus vs ratios "
    "increments versions points radians decimals digits places"
)
_IRREGULAR = {
    **{"people": "person", "persons": "person", "men": "man", "women": "woman", "feet": "foot"},
    **{"children": "child", "mice": "mouse", "geese": "goose", "teeth": "tooth", "sheep": "sheep"},
    **{"fish": "fish", "deer": "deer", "oxen": "ox", "kids": "kid", "policemen": "policeman"},
    **{"knives": "knife", "leaves": "leaf", "loaves": "loaf", "wolves": "wolf", "shelves": "shelf"},
}
_MULTIPLES = {"dozen": Fraction(12), "score": Fraction(20), "gross": Fraction(144)}
_MULTIPLES |= {"halves": Fraction(1, 2), "quarters": Fraction(1, 4), "thirds": Fraction(1, 3)}
_MULTIPLES |= {"tenths": Fraction(1, 10), "hundredths": Fraction(1, 100)}
_MULTIPLE = re.compile(rf"\s+(squared|cubed|{'|'.join(_MULTIPLES)})\b", re.IGNORECASE)
_PART_OF = re.compile(r"(?:of\s+(?:an?|one|the|them|it)\b\s*|an?\s+)")
_NOUNS = re.compile(r"[a-z]+(?:-[a-z]+)?(?: [a-z]+(?:-[a-z]+)?){0,2}")
_SPLIT = re.compile(r"(?<=[a-zA-Z'\"])\s*(?:,?\s*and\s+|,\s*|\s*)(?=[0-9])")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of a unit.

    Attributes:
        noun: stem of what was counted; "" if nothing was named.
        code: the unit is one letter at the number: 12A may be amperes, or a seat.
    """

    number: Number
    unit: Unit = ONE
    noun: str = ""
    code: bool = False

    @property
    def value(self) -> Fraction:
        return self.number.value


@lru_cache(maxsize=8192)
def quantity(
    text: str, words: frozenset[str] = frozenset(), counts: bool = False
) -> Quantity | None:
    """The quantity that all of `text` states; None if it says anything else.

    Args:
        words: stems of the question's words, which may follow the number as what was counted.
        counts: they are what the question counts, so that nothing else may follow.
    """
    if not text or len(text) > MOST_CHARACTERS:
        return None
    if not text.isascii():
        if _SUBSCRIPT.search(text):
            return None
        text = _HALVES.sub(r"\1 \2", text.translate(_SIGNS))
        text = _SUPERSCRIPT.sub(lambda found: "^" + found[1].translate(_RAISED), text)
        text = re.sub(r"[²³]", lambda raised: f"^{raised[0].translate(_RAISED)}", text)
        text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    text = text.strip()
    simple = _simple(text, words, counts)
    return simple if simple is not None else _sum(text)


def _simple(text: str, words: frozenset[str], counts: bool = False) -> Quantity | None:
    head = _HEAD.match(text)
    found = leading_number(text[head.end() :]) if head else None
    if head is None or found is None or (head["sign"] and head["inner"]):
        return None
    number, end = found
    tail = text[head.end() + end :]
    if tail == "s" and number.value >= 20 and number.value % 10 == 0:
        return None  # 1990s, 30s: a decade, or seconds
    if multiple := _MULTIPLE.match(tail):
        number, tail = _multiplied(number, multiple[1].lower()), tail[multiple.end() :]
    money = unit(head["money"]) if head["money"] else None
    if tail:
        read = _tail(tail, money, words, number.step == 0, counts)
        if read is None:
            return None
        scale, named, noun = read
        number = _scaled(number, scale)
    else:
        named, noun = money or ONE, ""
    code = len(tail) == 1 and bool(named.dimension) and (tail.isupper() or tail == "s")
    if (head["sign"] or "+")[0].lower() in "+p" and not head["inner"]:
        return Quantity(number, named, noun, code)
    return Quantity(replace(number, value=-number.value), named, noun, code)


def _tail(
    tail: str, money: Unit | None, words: frozenset[str], parts: bool, counts: bool
) -> tuple[int, Unit, str] | None:
    """Power of ten, unit and noun that follow a number; None if anything else does."""
    spaced = tail[0] in " -"
    rest = tail.strip(" ").removeprefix("-").strip(" ")
    if parts and (part := _PART_OF.match(rest)):
        rest = rest[part.end() :]
    if not rest:
        return (0, money or ONE, "") if not tail.strip() else None
    rest = {"'": "ft", '"': "in", "''": "in"}.get(rest, rest)
    first, _, after = rest.partition(" ")
    scale = 0
    letter = first.upper() if money and first in ("m", "b") else first
    if letter == "K" and tail[0] == " " and money is None:
        letter = "kelvin"
    scales = SCALES.get(letter, SCALES.get(first.lower()) if len(first) > 3 else None)
    if scales is not None:
        scale, rest = scales, after.strip()
        if not rest:
            return scale, money or ONE, ""
    if money is not None and (per := re.fullmatch(r"(?:/|per\s|a\s|each\s)\s*(.+)", rest)):
        one = unit(per[1])
        return None if one is None else (scale, money.times(one, -1), "")
    named = unit(rest)
    if named is None and (cut := rest.rpartition(" "))[2] in _MEASURES:
        named = unit(cut[0])
    if named is not None:
        if money is not None and named.dimension != money.dimension:
            return None
        return scale, named, ""
    if money is not None or not spaced:
        return None  # 2b is a code, not two of something
    noun = _noun(rest, words, counts)
    return None if noun is None else (scale, ONE, noun)


def _noun(text: str, words: frozenset[str], counts: bool) -> str | None:
    """The stem of what was counted, if `text` is clearly a name for that and nothing else."""
    if len(text) < 3 or not _NOUNS.fullmatch(text) or len(text) > 40:
        return None
    named = text.split(" ")
    last = named[-1]
    asked = (stem(last) in words and len(last) > 2) or stem(last) in _COUNTED
    if not asked and _NEVER_NOUNS.intersection(named):
        return None
    if not all(word not in _NEVER_NOUNS or stem(word) in words for word in named):
        return None
    if words and not asked and counts:
        return None  # "How many cats?": "5 dogs"
    if counts and any(word not in words and not rows_of(word) for word in named[:-1]):
        return None  # "How many seats?": "6 empty seats"
    plural = last in _IRREGULAR or (last.endswith("s") and not last.endswith(("ss", "us", "is")))
    if unit(last) is not None or not (asked or (plural and len(last) > 3)):
        return None
    if any(exclusive(word, other) for word in named[:-1] for other in words):
        return None  # "How many red balls?": "6 blue balls"
    return " ".join([*named[:-1], stem(last)])


def _sum(text: str) -> Quantity | None:
    """Several units of one dimension, from the largest: 6 ft 2 in, 3 hours and 15 minutes."""
    pieces = _SPLIT.split(text)
    if not 2 <= len(pieces) <= 4:
        return None
    parts = [_simple(piece.strip(), frozenset()) for piece in pieces]
    total = Fraction(0)
    smaller: Unit | None = None
    for part in parts:
        if part is None or part.noun or not part.unit.dimension or part.value < 0:
            return None
        if smaller and (part.unit.dimension != smaller.dimension or part.unit.size >= smaller.size):
            return None
        smaller = part.unit
        total += part.value * part.unit.size
    return Quantity(Number(total / smaller.size), smaller) if smaller else None


def _multiplied(number: Number, word: str) -> Number:
    value = number.value
    if word in _MULTIPLES:
        return Number(value * _MULTIPLES[word])
    return Number(value**2 if word == "squared" else value**3) if abs(value) < 10**6 else number


def _scaled(number: Number, power: int) -> Number:
    if not power:
        return number
    factor = Fraction(10) ** power
    return Number(number.value * factor, number.step * factor)


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """The singular of a noun, near enough to compare two of them."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


def same_quantity(
    truth: Quantity,
    said: Quantity,
    tolerance: float = 0.0,
    *,
    calculated: bool = False,
    scaled: bool = False,
    measured: bool = False,
) -> bool | None:
    """Whether two quantities agree; None where the numbers do not say.

    A unit or noun that only one of them names is understood: 45 % is 45, and 0.45.

    Args:
        tolerance: relative to the truth; converted customary units get at least 1 %.
        calculated: the question is about numbers, so that 6/8 is 3/4; elsewhere it may be a label.
        measured: the question asks for a measure, so that 12A are amperes and no seat.
        scaled: the question may leave out a scale: "1.5" answers one that asks for millions.
    """
    true, given = truth.value, said.value
    allowed = Fraction(tolerance)
    if truth.noun and said.noun and truth.noun != said.noun:
        pairs = zip(truth.noun.split()[::-1], said.noun.split()[::-1], strict=False)
        other = any(exclusive(*pair) for pair in pairs)
        return None if _near(true, given, allowed) and not other else False
    if (truth.noun and said.unit.dimension) or (said.noun and truth.unit.dimension):
        return None
    if truth.code != said.code and not measured:
        return None
    if truth.unit.dimension and said.unit.dimension:
        if truth.unit.dimension != said.unit.dimension:
            return _other_dimension(truth, said)
        true, given = true * truth.unit.size, given * said.unit.size
        converted = truth.unit.size != said.unit.size
        if converted and truth.unit.customary != said.unit.customary:
            allowed = max(allowed, CONVERTED)
    share = SHARE in (truth.unit.dimension, said.unit.dimension) and truth.unit != said.unit
    if share and _near(true, given, allowed) and abs(true) < 1:
        return None  # 0.5 and 0.5 %
    if _near(true, given, allowed):
        return True if calculated or _same_label(truth.number, said.number) else None
    if SHARE in (truth.unit.dimension, said.unit.dimension) and truth.unit != said.unit:
        plain = said if truth.unit.dimension else truth
        shares = truth.value * truth.unit.size, said.value * said.unit.size
        if abs(plain.value) <= 1 and _near(*shares, allowed):
            return True if calculated or _same_label(truth.number, said.number) else None
        return False
    if _rounds_to(truth.number, said.number) and truth.unit == said.unit:
        return True
    if scaled and any(_near(true, given * factor, allowed) for factor in _FACTORS):
        return None
    return False


def _other_dimension(truth: Quantity, said: Quantity) -> bool | None:
    """The same for two units of different dimensions: degrees and pounds mean several things."""
    dimensions = {truth.unit.dimension, said.unit.dimension}
    equal = truth.value == said.value
    if dimensions == {CELSIUS, FAHRENHEIT}:
        celsius, fahrenheit = truth, said
        if truth.unit.dimension == FAHRENHEIT:
            celsius, fahrenheit = said, truth
        return abs(celsius.value * 9 / 5 + 32 - fahrenheit.value) <= Fraction(1, 2)
    if ANGLE in dimensions and dimensions & {CELSIUS, FAHRENHEIT}:
        return equal
    if POUNDS in dimensions and dimensions & {STERLING, MASS}:
        other = said if truth.unit.dimension == POUNDS else truth
        return equal if other.unit in (unit("£"), unit("lb")) else None
    return False


_FACTORS = tuple(Fraction(10) ** power for power in (2, 3, 6, 9, -2, -3, -6, -9))


def _same_label(truth: Number, said: Number) -> bool:
    """Whether "6/8", which may be a label, was written the same way on both sides."""
    if truth.over and said.over:
        return truth.over == said.over
    return (not truth.over and not said.over) or (
        0 in (truth.step, said.step) and not _whole(truth, said)
    )


def _rounds_to(truth: Number, said: Number) -> bool:
    """Whether a fraction that no decimals write out, as 1/3, is given to four digits or more."""
    exact, decimal = (truth, said) if truth.step == 0 else (said, truth)
    if exact.step != 0 or decimal.step == 0 or abs(decimal.value) < 1000 * decimal.step:
        return False
    return abs(exact.value - decimal.value) <= decimal.step / 2


def _whole(truth: Number, said: Number) -> bool:
    """Whether one side was written in digits, not in words or as ½."""
    return any(number.over is None and number.step != 0 for number in (truth, said))


def _near(truth: Fraction, said: Fraction, allowed: Fraction) -> bool:
    return truth == said or abs(said - truth) <= allowed * abs(truth)
