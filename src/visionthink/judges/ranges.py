"""Two numbers in one answer (18-25, 3:2, 10 out of 10) and bounds (65+, at least 3)."""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from visionthink.judges.moments import time_of_day
from visionthink.judges.quantity import Quantity, quantity, same_quantity

MOST_CHARACTERS = 60

_SEPARATORS = {"-": "-", "–": "-", "—": "-", "−": "-", "to": "to", "until": "to", "till": "to"}
_SEPARATORS |= {":": ":", "/": "/", "out of": "/", "of": "/", "over": "/", "and": "to"}
_LIKE = {"-": {"-", "to"}, "to": {"-", "to", ":"}, ":": {":", "to"}, "/": {"/"}}
_PAIR = re.compile(
    r"(?P<lead>from\s+|between\s+|(?:page|pages|pp?\.)\s+)?(?P<first>[$€£]?[0-9][^:/–—−]*?)"
    r"(?:\s*(?P<mark>[-–—−:/])\s*|\s+(?P<word>to|until|till|out\sof|of|over|and)\s+)"
    r"(?P<second>[$€£]?[0-9].*)",
    re.IGNORECASE,
)
_YEARS = re.compile(r"\b(1[0-9]|20)([0-9]{2})[/-]([0-9]{2})\b")
_BOUND = re.compile(
    r"(?P<over>>|more\s+than|over|above|greater\s+than|larger\s+than)\s*(?P<a>.+)"
    r"|(?P<least>≥|>=|at\s+least|no\s+(?:less|fewer)\s+than|min(?:imum)?\.?\s+(?:of\s+)?)\s*(?P<b>.+)"
    r"|(?P<under><|less\s+than|fewer\s+than|under|below|smaller\s+than)\s*(?P<c>.+)"
    r"|(?P<most>≤|<=|at\s+most|up\s+to|no\s+more\s+than|max(?:imum)?\.?\s+(?:of\s+)?)\s*(?P<d>.+)"
    r"|(?P<e>.+?)\s*(?P<up>\+|(?:and|or)\s+(?:more|over|older|above|up|higher))"
    r"|(?P<f>.+?)\s*(?:and|or)\s+(?P<down>less|fewer|younger|below|under|lower)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two quantities, and the sign between them: "-", "to", ":" or "/"."""

    sign: str
    first: Quantity
    second: Quantity


@lru_cache(maxsize=4096)
def pair(text: str) -> Pair | None:
    """The two numbers that all of `text` states; None if it states anything else."""
    if not text or len(text) > MOST_CHARACTERS or not any(char.isdigit() for char in text):
        return None
    text = _YEARS.sub(r"\1\2-\1\3", text.strip())
    found = _PAIR.fullmatch(text)
    if found is None:
        return None
    sign = _SEPARATORS[(found["mark"] or " ".join(found["word"].lower().split()))]
    lead = (found["lead"] or "").strip().lower()
    if (lead == "between") != ((found["word"] or "").lower() == "and"):
        return None
    if sign == "/" and found["mark"] is None and lead not in ("", "page"):
        return None
    first, second = quantity(found["first"].strip()), quantity(found["second"].strip())
    if first is None or second is None or first.value < 0 or second.value < 0:
        return None
    if second.unit.dimension and not first.unit.dimension:
        first = Quantity(first.number, second.unit, second.noun)
    return Pair(sign, first, second)


def same_pair(truth: Pair, said: Pair) -> bool | None:
    """Whether two pairs hold the same numbers in the same order.

    None where signs between the same numbers may mean different things: 5/2 and 5 to 2.
    """
    alike = said.sign in _LIKE[truth.sign] or (truth.sign == "/" and said.sign in _LIKE["/"])
    pairs = ((truth.first, said.first), (truth.second, said.second))
    same = all(same_quantity(*both, calculated=True) for both in pairs)
    return False if not same else alike or None


@lru_cache(maxsize=4096)
def bound(text: str) -> tuple[str, Quantity] | None:
    """The sign (>, ≥, < or ≤) and the quantity; None if `text` is no bound."""
    if not text or len(text) > MOST_CHARACTERS:
        return None
    found = _BOUND.fullmatch(text.strip())
    if found is None:
        return None
    limit = quantity(next(found[name] for name in "abcdef" if found[name]).strip())
    if limit is None:
        return None
    signs = {"over": ">", "least": "≥", "under": "<", "most": "≤", "up": "≥", "down": "≤"}
    return next(sign for name, sign in signs.items() if found[name]), limit


def same_bound(truth: tuple[str, Quantity], said: tuple[str, Quantity]) -> bool:
    return truth[0] == said[0] and same_quantity(truth[1], said[1]) is True


@lru_cache(maxsize=1024)
def hours(text: str) -> tuple[int, int] | None:
    """Seconds since midnight from and to, for "9 am - 5 pm"; None if `text` is anything else."""
    found = re.fullmatch(
        r"(?:from\s+)?(.+?)\s*(?:-|–|to|until)\s*(.+)", text.strip(), re.IGNORECASE
    )
    if len(text) > MOST_CHARACTERS or found is None:
        return None
    first, second = time_of_day(found[1]), time_of_day(found[2])
    if first is None or second is None or not (second[2] or first[2]):
        return None
    return first[0], second[0]
