"""Dates and times of day: "December 5, 2019" is 2019-12-05, and "3 p.m." is 15:00."""

from __future__ import annotations

import re
from functools import lru_cache

MOST_CHARACTERS = 40
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY_NAME = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?[,.]{0,2}\s+)?"
_DAY, _YEAR = r"(?P<day>[0-3]?[0-9])(?:st|nd|rd|th)?", r"(?P<year>[12][0-9]{3})"
_DATES = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_DAY_NAME}(?:the\s+)?{_DAY}(?:\s+of)?[\s-]+{_MONTH}(?:,?[\s-]+{_YEAR})?",
        rf"{_DAY_NAME}{_MONTH}\s+(?:the\s+)?{_DAY}(?:,?\s+{_YEAR})?",
        rf"{_MONTH}(?:,|\s+of)?\s+{_YEAR}",
        rf"{_YEAR}[\s-]{_MONTH}(?:[\s-]{_DAY})?",
        r"(?P<year>[12][0-9]{3})([-/.])(?P<number>[01]?[0-9])\2(?P<day>[0-3]?[0-9])",
        r"(?P<year>[12][0-9]{3})[-/](?P<number>[01][0-9])",
        r"(?P<number>[01]?[0-9])[-/.](?P<year>[12][0-9]{3})",
    )
]
_WEEKDAY = re.compile(r"\b(mon|tue|wed|thu|fri|sat|sun)")
_NUMERIC = re.compile(r"([0-3]?[0-9])([-/.])([0-3]?[0-9])\2([12][0-9]{3}|[0-9]{2})")
_TIME = re.compile(
    r"(?P<hour>[0-2]?[0-9])(?:[:.](?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?)?"
    r"\s*(?P<half>[ap]\.?\s?m\.?|noon|o'?clock|h(?:rs|ours)?)?",
    re.IGNORECASE,
)

_HALVES = ("am", "pm", "noon")
_NAMED = {"noon": 43200, "midday": 43200, "midnight": 0}

_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

Date = tuple[int, int, int]
"""Year, month, day; 0 where it is not named."""


@lru_cache(maxsize=4096)
def date(text: str) -> frozenset[Date]:
    """What date all of `text` may name: none, one, or two where day and month may be either way."""
    text = text.strip()
    if not 6 <= len(text) <= MOST_CHARACTERS and not (text and text[0].isalpha() and len(text) > 4):
        return frozenset()
    if numeric := _NUMERIC.fullmatch(text):
        first, second, year = int(numeric[1]), int(numeric[3]), int(numeric[4])
        year += 0 if len(numeric[4]) == 4 else 2000 if year < 50 else 1900
        return frozenset(
            (year, month, day)
            for day, month in ((first, second), (second, first))
            if _exists(month, day)
        )
    for form in _DATES:
        if found := form.fullmatch(text):
            named = found.groupdict()
            month = named.get("month")
            number = _MONTHS.index(month[:3].lower()) + 1 if month else int(named["number"])
            day = int(named.get("day") or 0)
            if not _exists(number, day or 1):
                return frozenset()
            return frozenset({(int(named.get("year") or 0), number, day)})
    return frozenset()


def _exists(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= _DAYS[month]


def same_date(truth: str, said: str) -> bool | None:
    """Whether two texts name the same day or month; None if one is no date, or ambiguous."""
    true, given = date(truth), date(said)
    if not true or not given:
        return None
    days = [set(_WEEKDAY.findall(text.lower())) for text in (truth, said)]
    if all(days) and days[0] != days[1]:
        return False
    if true == given and (len(true) == 1 or _form(truth) == _form(said)):
        return True
    if len(true) == 1 and len(given) == 1 and _less(min(given), min(true)):
        return False  # only a part of the date
    if not true & given:
        true_one, given_one = min(true), min(given)
        named_alike = all(bool(a) == bool(b) for a, b in zip(true_one, given_one, strict=True))
        return False if named_alike else None
    return None


def _less(given: Date, true: Date) -> bool:
    """Whether a date leaves out what the other names, and is equal otherwise."""
    return given != true and all(a in (0, b) for a, b in zip(given, true, strict=True))


def _form(text: str) -> tuple[str, ...]:
    """The numbers of a numeric date in the order written, without leading zeros."""
    return tuple(piece.lstrip("0") for piece in re.findall(r"[0-9]+", text))


@lru_cache(maxsize=4096)
def time_of_day(text: str) -> tuple[int, int, bool] | None:
    """Seconds since midnight (of twelve hours where no half is named), step, whether it says which.

    None unless all of `text` is a time: with a colon, or with am, pm, noon or o'clock.
    """
    text = text.strip()
    if (named := _NAMED.get(text.lower())) is not None:
        return named, 60, True
    if not text or len(text) > 20 or not text[0].isdigit():
        return None
    found = _TIME.fullmatch(text)
    if found is None or not (found["half"] or (found["minute"] and ":" in text)):
        return None
    hour = int(found["hour"])
    half = re.sub(r"[^a-z]", "", (found["half"] or "").lower())
    if half in ("am", "pm"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    elif hour > 24 or (half[:1] == "h" and ":" not in text):
        return None
    elif half == "noon":
        hour = 12
    seconds = hour * 3600 + int(found["minute"] or 0) * 60 + int(found["second"] or 0)
    return seconds, 1 if found["second"] else 60, bool(half in _HALVES or hour > 12 or hour == 0)


def same_time(truth: str, said: str) -> bool | None:
    """Whether two texts name the same time; None if one is no time.

    A half of the day that only one of them names is understood: a clock shows none.
    """
    true, given = time_of_day(truth), time_of_day(said)
    if true is None or given is None:
        return None
    if true[2] and given[2]:
        return true[0] == given[0]
    return (true[0] - given[0]) % 43200 == 0
