"""Units as people write them: "km/h", "m²", "square feet", "°F", "US$", "kilowatt hours".

A unit is a dimension and its size in that dimension. Case counts in symbols (mW, MW) and not in
names. Spellings that name several units (°: angle or temperature) keep a dimension of their own.
"""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from visionthink.judges.word_classes import words

Dimension = tuple[tuple[str, int], ...]
"""Base quantities with their powers, sorted: (("length", 1), ("time", -1)) is a speed."""


@dataclass(frozen=True, slots=True)
class Unit:
    """`size` in the first unit of its dimension. `customary`: conversions to it are rounded."""

    dimension: Dimension
    size: Fraction
    customary: bool = False

    def times(self, other: Unit, power: int = 1) -> Unit:
        """The product of this unit and a power of another."""
        powers = dict(self.dimension)
        for base, exponent in other.dimension:
            powers[base] = powers.get(base, 0) + exponent * power
        dimension = tuple(sorted((base, n) for base, n in powers.items() if n))
        customary = self.customary or other.customary
        return Unit(dimension, self.size * other.size**power, customary)


ONE = Unit((), Fraction(1))
CELSIUS: Dimension = (("celsius", 1),)
FAHRENHEIT: Dimension = (("fahrenheit", 1),)
POUNDS: Dimension = (("pounds", 1),)
STERLING: Dimension = (("sterling", 1),)
MASS: Dimension = (("mass", 1),)
SHARE: Dimension = (("share", 1),)
ANGLE: Dimension = (("angle", 1),)

_MASS, _LENGTH, _TIME, _CURRENT = "mass", "length", "time", "current"
_ENERGY = {_MASS: 1, _LENGTH: 2, _TIME: -2}
_POWER = {_MASS: 1, _LENGTH: 2, _TIME: -3}
_VOLTAGE = {**_POWER, _CURRENT: -1}

_PREFIXES = {
    **{"k": 3, "M": 6, "G": 9, "T": 12, "m": -3, "u": -6, "n": -9, "p": -12},
    **{"kilo": 3, "mega": 6, "giga": 9, "tera": 12, "milli": -3, "micro": -6, "nano": -9},
    **{"pico": -12, "centi": -2, "deci": -1, "hecto": 2},
}
_METRIC: list[tuple[str, str, dict[str, int], str]] = [
    # symbols, names, dimension, size in kg, m, s, A
    ("m", "meter metre", {_LENGTH: 1}, "1"),
    ("g", "gram gramme", {_MASS: 1}, "0.001"),
    ("s", "second sec", {_TIME: 1}, "1"),
    ("A", "ampere amp", {_CURRENT: 1}, "1"),
    ("Hz", "hertz", {_TIME: -1}, "1"),
    ("N", "newton", {_MASS: 1, _LENGTH: 1, _TIME: -2}, "1"),
    ("Pa", "pascal", {_MASS: 1, _LENGTH: -1, _TIME: -2}, "1"),
    ("J", "joule", _ENERGY, "1"),
    ("W", "watt", _POWER, "1"),
    ("Wh", "watthour", _ENERGY, "3600"),
    ("Ah", "amperehour", {_CURRENT: 1, _TIME: 1}, "3600"),
    ("V", "volt", _VOLTAGE, "1"),
    ("Ω ohm", "ohm", {**_VOLTAGE, _CURRENT: -2}, "1"),
    ("eV", "electronvolt", _ENERGY, "1.602176634e-19"),
    ("L l", "liter litre", {_LENGTH: 3}, "0.001"),
    ("bar", "bar", {_MASS: 1, _LENGTH: -1, _TIME: -2}, "100000"),
    ("cal", "calorie", _ENERGY, "4.184"),
    ("mol", "mole", {"amount": 1}, "1"),
    ("B", "byte", {"data": 1}, "8"),
    ("bit b", "bit", {"data": 1}, "1"),
    ("bps", "", {"data": 1, _TIME: -1}, "1"),
    ("t", "ton tonne", {_MASS: 1}, "1000"),
]
_OTHERS: dict[str, dict[str, str]] = {
    # base quantity and power: {names: size}
    "length 1": {
        "cm": "0.01",
        "dm": "0.1",
        "micron microns": "0.000001",
        "in inch inches ″": "0.0254",
        "ft foot feet ′": "0.3048",
        "yd yard yards yds": "0.9144",
        "mi mile miles": "1609.344",
    },
    "length 2": {
        "sqm": "1",
        "sqft": "0.09290304",
        "ha hectare hectares": "10000",
        "acre acres": "4046.8564224",
    },
    "length 3": {
        "cl cL": "0.00001",
        "dl dL": "0.0001",
        "cc": "0.000001",
        "gal gallon gallons": "0.003785411784",
        "qt quart quarts": "0.000946352946",
        "pint pints": "0.000473176473",
        "tbsp tablespoon tablespoons": "0.00001478676478125",
        "tsp teaspoon teaspoons": "0.00000492892159375",
        "floz": "0.0000295735295625",
    },
    "mass 1": {
        "kilo kilos kgs": "1",
        "lb lbs": "0.45359237",
        "oz ounce ounces": "0.028349523125",
        "stone stones": "6.35029318",
    },
    "time 1": {
        "secs": "1",
        "min mins minute minutes": "60",
        "h hr hrs hour hours": "3600",
        "day days d": "86400",
        "week weeks wk wks": "604800",
    },
    "calendar 1": {
        "month months mo mos": "1",
        "quarter": "3",
        "year years yr yrs": "12",
        "decade decades": "120",
        "century centuries": "1200",
    },
    "angle 1": {
        "° º deg degs degree degrees": "1",
        "rad radian radians": "57.29577951308232",
        "turn turns revolution revolutions": "360",
    },
    "celsius 1": {"°C ℃ centigrade celsius C": "1"},
    "fahrenheit 1": {"°F ℉ fahrenheit F": "1"},
    "kelvin 1": {"kelvin kelvins K": "1"},
    "share 1": {"% percent pct percentage": "0.01"},
    "points 1": {"pp": "1"},
    "pounds 1": {"pound pounds": "1"},
    "dollar 1": {"$ US$ USD dollar dollars bucks": "1", "cent cents ¢": "0.01"},
    "canadian 1": {"CA$ C$ CAD": "1"},
    "australian 1": {"AU$ A$ AUD": "1"},
    "euro 1": {"€ EUR euro euros": "1"},
    "sterling 1": {"£ GBP": "1"},
    "franc 1": {"CHF franc francs": "1"},
    "yen 1": {"¥ JPY yen": "1"},
    "yuan 1": {"RMB CNY yuan": "1"},
    "rupee 1": {"₹ INR Rs rupee rupees": "1"},
    "won 1": {"₩ KRW won": "1"},
    "real 1": {"R$ BRL": "1"},
    "pressure 1": {"psi": "1"},
    "horsepower 1": {"hp horsepower": "1"},
    "decibel 1": {"dB decibel decibels": "1"},
    "pixel 1": {"px pixel pixels": "1"},
    "turn 1": {"rpm": "1"},
}
_COMPOUND = {
    "mph": "mile/hour",
    "mpg": "mile/gallon",
    "kph": "km/h",
    "kmh": "km/h",
    "knot": "1.852 km/h",
    "knots": "1.852 km/h",
}
_CUSTOMARY = words(
    "in inch inches ″ ft foot feet ′ yd yard yards yds mi mile miles sqft acre acres gal gallon "
    "gallons qt quart quarts pint pints tbsp tablespoon tablespoons tsp teaspoon teaspoons floz lb "
    "lbs oz ounce ounces stone stones cal calorie calories rad radian radians "
    "eV"
)
CURRENCIES = (
    *("US$", "CA$", "AU$", "C$", "A$", "R$", "USD", "CAD", "AUD", "EUR", "GBP", "JPY", "CNY"),
    *("RMB", "INR", "KRW", "BRL", "CHF", "Rs"),
)
"""What may stand before a number, beside the signs $ € £ ¥ ₹ ₩."""


def _table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for kind, names in _OTHERS.items():
        base, power = kind.split()
        for spellings, size in names.items():
            for name in spellings.split():
                units[name] = Unit(((base, int(power)),), Fraction(size), name in _CUSTOMARY)
    for symbols, names, powers, size in _METRIC:
        dimension = tuple(sorted(powers.items()))
        for symbol in symbols.split():
            for prefix, exponent in [("", 0), *_PREFIXES.items()]:
                few = symbol in ("t", "bar", "ohm", "cal", "L", "l") and prefix not in (
                    "",
                    "k",
                    "m",
                    "u",
                )
                if len(prefix) > 1 or few or prefix + symbol == "pm":  # 3 pm is a time
                    continue
                scaled = Fraction(size) * Fraction(10) ** exponent
                units.setdefault(prefix + symbol, Unit(dimension, scaled, symbol in _CUSTOMARY))
        for name in names.split():
            for prefix, exponent in [("", 0), *_PREFIXES.items()]:
                if prefix and len(prefix) == 1:
                    continue
                unit = Unit(dimension, Fraction(size) * Fraction(10) ** exponent, name == "calorie")
                plural = name if name == "hertz" else f"{name}s"
                units.setdefault(prefix + name, unit)
                units.setdefault(prefix + plural, unit)
    for symbol in ("B", "b", "T", "G"):  # billion, trillion; never bytes alone
        units.pop(symbol, None)
    return units


_UNITS = _table()
_POWERS = {"square": 2, "squared": 2, "sq": 2, "cubic": 3, "cubed": 3, "cu": 3}
_SUPERSCRIPTS = str.maketrans({"²": "^2", "³": "^3", "⁻": "^-", "¹": "1"})
_SPELLINGS = str.maketrans({"µ": "u", "μ": "u", "\u2126": "Ω", "⋅": "*", "·": "*", "×": "*"})
_FACTOR = re.compile(
    r"\s*(per\b|/|\*|-(?=[A-Za-z]))?\s*"
    r"([%$€£¥₹₩¢″′Ω℃℉]|[°º]\s?[CF]\b|[°º]|US\$|R\$|[A-Za-z]+)\.?(?:\s?\^\s?(-?[1-3])(?![0-9]))?"
)
MOST_FACTORS = 4


@lru_cache(maxsize=4096)
def unit(text: str) -> Unit | None:
    """The unit that all of `text` names; None if it names none."""
    if not text or len(text) > 60:
        return None
    text = text.translate(_SPELLINGS).translate(_SUPERSCRIPTS).strip()
    if known := _named(text):
        return known
    found, at, power, sign = ONE, 0, 1, 1
    last: Unit | None = None
    factors = 0
    while at < len(text):
        factor = _FACTOR.match(text, at)
        if factor is None:
            return None
        at = factor.end()
        joint, name = factor[1], factor[2]
        if joint in ("per", "/"):
            sign = -1
        low = name.lower()
        if low in _POWERS:  # "square feet" and "feet squared"
            if last is not None and low.endswith("ed"):
                found = found.times(last, sign * (_POWERS[low] - 1))
            else:
                power = _POWERS[low]
            continue
        last = _named(name)
        if last is None or (factors and joint is None and sign == 1 and "hour" not in low):
            return None
        exponent = int(factor[3] or 1) * power
        found = found.times(last, sign * exponent)
        factors, power = factors + 1, 1
        if factors > MOST_FACTORS:
            return None
    return found if factors and power == 1 and found.dimension else None


def _named(name: str) -> Unit | None:
    """A unit that has a name of its own. Symbols are read as written, names in any case."""
    if (known := _UNITS.get(name)) is not None:
        return known
    low = name.lower()
    if len(low) > 3 and (known := _UNITS.get(low)) is not None:
        return known
    if low in _COMPOUND:
        size, _, rest = _COMPOUND[low].rpartition(" ")
        whole = unit(rest) or ONE
        return Unit(whole.dimension, whole.size * Fraction(size or 1), customary=low != "kph")
    folded = re.sub(r"[\s.-]+", "", low)
    return {
        "degreescelsius": _UNITS["°C"],
        "degreecelsius": _UNITS["°C"],
        "degreesc": _UNITS["°C"],
        "degreesfahrenheit": _UNITS["°F"],
        "degreefahrenheit": _UNITS["°F"],
        "degreesf": _UNITS["°F"],
        "degc": _UNITS["°C"],
        "degf": _UNITS["°F"],
        "degreesk": _UNITS["kelvin"],
        "percentagepoints": _UNITS["pp"],
        "percentagepoint": _UNITS["pp"],
        "percent": _UNITS["%"],
        "canadiandollars": _UNITS["CA$"],
        "australiandollars": _UNITS["AU$"],
        "usdollars": _UNITS["$"],
        "americandollars": _UNITS["$"],
        "poundssterling": _UNITS["£"],
        "indianrupees": _UNITS["₹"],
        "fluidounces": _UNITS["floz"],
        "fluidounce": _UNITS["floz"],
    }.get(folded)
