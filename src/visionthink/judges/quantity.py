"""Numbers as people write them: "1,234.5 km", "$3.50", "45 %", "1 1/2 hours", "three", "2.1e-3".

Values are exact fractions, so that 4.730 is 4.73 and 0.1 + 0.2 would be 0.3. We parse them
ourselves: units libraries read expressions, but no separators, spelt-out numbers or codes (2b).
"""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

MOST_CHARACTERS = 100
"""Longer texts are not quantities; bounds the work on arithmetic as well."""

CONVERTED = Fraction(1, 100)
"""Relative difference allowed where units had to be converted: 5 miles are 8 km."""

_UNITS: dict[str, dict[str, str]] = {
    # dimension: {names: size in the dimension's first unit}
    "length": {
        "m meter meters metre metres": "1",
        "km kilometer kilometers kilometre kilometres": "1000",
        "dm": "0.1",
        "cm centimeter centimeters centimetre centimetres": "0.01",
        "mm millimeter millimeters millimetre millimetres": "0.001",
        "um micrometer micrometers micron microns": "0.000001",
        "nm nanometer nanometers": "0.000000001",
        "in inch inches": "0.0254",
        "ft foot feet": "0.3048",
        "yd yard yards": "0.9144",
        "mi mile miles": "1609.344",
    },
    "angle": {
        "° deg degree degrees": "1",
        "rad radian radians": "57.29577951308232",
        "turn turns revolution revolutions": "360",
    },
    "mass": {
        "g gram grams": "1",
        "kg kilogram kilograms kilo kilos": "1000",
        "mg milligram milligrams": "0.001",
        "t ton tons tonne tonnes": "1000000",
        "lb lbs pound pounds": "453.59237",
        "oz ounce ounces": "28.349523125",
    },
    "time": {
        "s sec secs second seconds": "1",
        "ms millisecond milliseconds": "0.001",
        "min mins minute minutes": "60",
        "h hr hrs hour hours": "3600",
        "day days": "86400",
        "week weeks": "604800",
    },
    "volume": {
        "l L liter liters litre litres": "1",
        "ml mL milliliter milliliters millilitre millilitres": "0.001",
        "cl": "0.01",
        "gal gallon gallons": "3.785411784",
    },
    "speed": {
        "km/h kph kmh": "1",
        "mph": "1.609344",
        "m/s": "3.6",
    },
    "share": {"% percent pct": "0.01"},
    "money $": {"$ dollar dollars usd USD": "1", "cent cents ¢": "0.01"},
    "money €": {"€ euro euros eur EUR": "1"},
    "money £": {"£ gbp GBP": "1"},
    "money ¥": {"¥ yen jpy JPY yuan rmb RMB": "1"},
}
_UNIT = {
    name: (dimension, Fraction(size))
    for dimension, units in _UNITS.items()
    for names, size in units.items()
    for name in names.split()
}
_SCALE = {
    **{"hundred": 2, "thousand": 3, "k": 3, "K": 3},
    **{"million": 6, "millions": 6, "mn": 6, "billion": 9, "billions": 9, "bn": 9},
    **{"trillion": 12, "M": 6, "B": 9},
}
_SPELT = {
    **{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7},
    **{"eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13},
    **{"fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18},
    **{"nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60},
    **{"seventy": 70, "eighty": 80, "ninety": 90},
}
_SIGNS = str.maketrans({"µ": "u", "μ": "u", "⁄": "/", "−": "-", "″": " in", "′": " ft"})
_NO_NOUNS = {
    *("or", "and", "to", "than", "not", "per", "am", "pm", "less", "more", "minus", "plus"),
    *("times", "by", "of", "if", "but"),
}

_NUMBER = r"""(?:
    (?P<whole>[0-9]+)\s+(?P<over>[0-9]+/[0-9]+)         # 1 1/2
  | (?P<ratio>[0-9]+\s?/\s?[0-9]+)
  | (?P<digits>[0-9][0-9.,' ]*[0-9]|[0-9]+|[.][0-9]+)
    (?:(?:e|E(?=[+-])|\s?[×x*]\s?10\s?\^)(?P<power>[+-]?[0-9]{1,3}))?
)"""
_QUANTITY = re.compile(
    rf"""(?:(?:about|approximately|approx\.?|around|roughly|~|≈)\s*)?
    (?P<sign>[+-])?\s?(?P<money>[$€£¥])?
    (?:{_NUMBER}|(?P<word>[A-Za-z]+(?:-[a-z]+)?))
    (?P<tail>.*)""",
    re.VERBOSE | re.DOTALL,
)
_TAIL = re.compile(r"([\s-]*)([°%¢$€£¥]|[A-Za-z]+(?:/[a-z]+)?)")


@dataclass(frozen=True)
class Quantity:
    """`number` as written, of a unit of `size` in its dimension; no dimension: a bare number.

    `noun`: the number is followed by words that are not a known unit.
    """

    number: Fraction
    dimension: str = ""
    size: Fraction = Fraction(1)
    noun: bool = False


def quantity(text: str) -> Quantity | None:
    """The quantity that all of `text` states; None if it says anything else."""
    if len(text) > MOST_CHARACTERS:
        return None
    text = re.sub(r"(\d)([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])", r"\1 \2", text.translate(_SIGNS))
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS).strip()
    found = _QUANTITY.fullmatch(text)
    number = _number(found) if found else None
    tail = _words(found["tail"]) if found else None
    if found is None or number is None or tail is None:
        return None
    if tail and tail[0] in _SCALE and (tail[0] not in _UNIT or found["money"]):
        number *= 10 ** _SCALE[tail.pop(0)]
    unit = found["money"]
    if tail and tail[0] in _UNIT:
        unit = unit or tail[0]
        if _UNIT[unit][0] != _UNIT[tail.pop(0)][0]:
            return None
    if len(tail) > 2 or _NO_NOUNS.intersection(tail) or not all(map(str.islower, tail)):
        return None
    dimension, size = _UNIT[unit] if unit else ("", Fraction(1))
    return Quantity(-number if found["sign"] == "-" else number, dimension, size, bool(tail))


def _words(tail: str) -> list[str] | None:
    """The units and nouns after a number; None if anything else follows."""
    words: list[str] = []
    at = 0
    while at < len(tail):
        if (found := _TAIL.match(tail, at)) is None:
            return None
        word = found[2] if found[2] in _UNIT or len(found[2]) < 4 else found[2].lower()
        if not found[1].isspace() and word not in _UNIT and word not in _SCALE:
            return None  # 2b is a code, not two of something
        words.append(word)
        at = found.end()
    return words


def _number(found: re.Match[str]) -> Fraction | None:
    if found["word"]:
        tens, _, ones = found["word"].lower().partition("-")
        if tens not in _SPELT or (ones and (_SPELT[tens] < 20 or not 0 < _SPELT.get(ones, 0) < 10)):
            return None
        return Fraction(_SPELT[tens] + (_SPELT[ones] if ones else 0))
    if found["digits"]:
        plain = _plain_digits(found["digits"])
        return None if plain is None else Fraction(plain) * Fraction(10) ** int(found["power"] or 0)
    over, under = (found["over"] or found["ratio"]).split("/")
    if int(under) == 0:
        return None
    return Fraction(int(found["whole"] or 0)) + Fraction(int(over), int(under))


def _plain_digits(digits: str) -> str | None:
    """Digits with thousands separators or a decimal comma, in the form 1234.5.

    One comma before three digits separates thousands; before any other number of digits, decimals.
    """
    if re.fullmatch(r"[0-9]*[.]?[0-9]+", digits):
        return digits
    for group, point in ((",", "."), (".", ","), (" ", "."), (" ", ","), ("'", ".")):
        grouped = rf"[0-9]{{1,3}}(?:{re.escape(group)}[0-9]{{3}})+(?:{re.escape(point)}[0-9]+)?"
        if re.fullmatch(grouped, digits):
            return digits.replace(group, "").replace(point, ".")
    return digits.replace(",", ".") if re.fullmatch(r"[0-9]+,[0-9]+", digits) else None


def same_quantity(truth: Quantity, said: Quantity, tolerance: float) -> bool | None:
    """Whether two quantities agree; None where the numbers do not say.

    A unit that only one of them names is understood: 45 % is 45, and 0.45. `tolerance`
    is relative to the truth; converted units get at least 1 %.
    """
    allowed = Fraction(tolerance)
    if truth.dimension == said.dimension:
        if truth.size == said.size:
            return _near(truth.number, said.number, allowed)
        converted = truth.number * truth.size, said.number * said.size
        return _near(*converted, max(allowed, CONVERTED))
    if truth.dimension and said.dimension:
        return None
    if _near(truth.number, said.number, allowed):
        return True
    if "share" in (truth.dimension, said.dimension):
        return _near(truth.number * truth.size, said.number * said.size, allowed) or None
    return None


def far_apart(truth: Quantity, said: Quantity) -> bool:
    """Whether neither rounding nor an understood unit could make two quantities equal.

    True if they are of one kind and more than 5 % apart, and not by a factor of 100, a thousand, a
    million or a billion: "1.5" may answer a question that asks for millions.
    """
    if truth.dimension != said.dimension or said.noun:
        return False
    true, given = truth.number * truth.size, said.number * said.size
    factors = [Fraction(10) ** power for power in (0, 2, 3, 6, 9, -2, -3, -6, -9)]
    return not any(_near(true, given * factor, Fraction(1, 20)) for factor in factors)


def _near(truth: Fraction, said: Fraction, allowed: Fraction) -> bool:
    return abs(said - truth) <= allowed * abs(truth)
