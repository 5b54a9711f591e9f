"""Units by their spellings: dimension, size, case."""

from __future__ import annotations

from fractions import Fraction

import pytest

from visionthink.judges.units import ONE, unit

SAME = [
    ("km", "kilometers"),
    ("km", "Kilometres"),
    ("km/h", "kilometers per hour"),
    ("km/h", "kph"),
    ("mph", "miles per hour"),
    ("m\N{SUPERSCRIPT TWO}", "square meters"),
    ("m^2", "meters squared"),
    ("sq ft", "square feet"),
    ("\N{DEGREE SIGN}F", "degrees Fahrenheit"),
    ("\N{DEGREE SIGN}C", "degrees Celsius"),
    ("%", "percent"),
    ("%", "per cent"),
    ("US$", "dollars"),
    ("USD", "$"),
    ("\N{EURO SIGN}", "euros"),
    ("kWh", "kilowatt hours"),
    ("\N{GREEK SMALL LETTER MU}m", "um"),
    ("\N{OHM SIGN}", "ohms"),
    ("lb", "lbs"),
    ("h", "hrs"),
    ("min", "minutes"),
    ("yr", "years"),
    ("m/s", "meters per second"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_spellings_of_one_unit(first, second):
    one, other = unit(first), unit(second)
    assert one is not None
    assert other is not None
    assert (one.dimension, one.size) == (other.dimension, other.size)


SIZES = [
    # one of the first is so many of the second
    ("km", "m", 1000),
    ("cm", "mm", 10),
    ("mile", "m", Fraction("1609.344")),
    ("ft", "in", 12),
    ("hour", "s", 3600),
    ("km/h", "m/s", Fraction(5, 18)),
    ("kWh", "J", 3_600_000),
    ("m^2", "cm^2", 10_000),
    ("year", "months", 12),
    ("dollar", "cents", 100),
    ("MW", "mW", 10**9),
    ("kg", "g", 1000),
    ("L", "ml", 1000),
]


@pytest.mark.parametrize(("first", "second", "times"), SIZES)
def test_one_dimension_has_exact_sizes(first, second, times):
    one, other = unit(first), unit(second)
    assert one is not None
    assert other is not None
    assert one.dimension == other.dimension
    assert one.size / other.size == times


DIMENSIONS = [
    ("m", "m^2"),
    ("km", "km/h"),
    ("minute", "month"),
    ("\N{DEGREE SIGN}C", "\N{DEGREE SIGN}F"),
    ("\N{DEGREE SIGN}", "\N{DEGREE SIGN}C"),
    ("$", "\N{EURO SIGN}"),
    ("US$", "CA$"),
    ("pound", "lb"),
    ("pound", "\N{POUND SIGN}"),
    ("W", "Wh"),
    ("V", "A"),
    ("%", "percentage points"),
    ("s", "Hz"),
]


@pytest.mark.parametrize(("first", "second"), DIMENSIONS)
def test_units_that_cannot_be_converted(first, second):
    one, other = unit(first), unit(second)
    assert one is not None
    assert other is not None
    assert one.dimension != other.dimension


@pytest.mark.parametrize(
    "text", ["", "dogs", "dozen", "pm", "B", "squared", "square", "a", "km dogs", "m m m m m m"]
)
def test_what_is_no_unit(text):
    assert unit(text) is None


def test_a_unit_times_its_inverse_is_one():
    metre = unit("m")
    assert metre is not None
    assert metre.times(metre, -1) == ONE


@pytest.mark.parametrize(("text", "expected"), [("mile", True), ("km", False), ("mph", True)])
def test_customary_units_are_converted_with_rounding(text, expected):
    found = unit(text)
    assert found is not None
    assert found.customary is expected
