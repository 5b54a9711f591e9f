"""What a question asks for, as far as its words tell: nouns, units, alternatives, labels."""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from functools import lru_cache

from visionthink.judges.answer_text import normal
from visionthink.judges.quantity import stem
from visionthink.judges.units import SHARE, Unit, unit
from visionthink.judges.word_classes import words

MOST_CHARACTERS = 4000
"""Of a question, from its start, that are read."""

WORDS = re.compile(r"[a-z0-9]+(?:['’][a-z]+)?")

_CALCULATED = re.compile(
    r"\b(?:fractions?|ratio|share|portion|probability|simplif\w+|reduce[ds]?|calculate|compute|"
    r"solve|evaluate|equations?|sum|product|divided|quotient|proportion|percent\w*|chance|"
    r"how much|slope|solution|what part|which part|lowest terms|equals?|value of)\b|[=+√^\\]|"
    r"\bwhat is [0-9x]",
    re.IGNORECASE,
)
_LABELS = re.compile(
    r"\b(?:signature|rating|rated|score|page|date|stamp|size|label|aperture|pressure|odds|plate|read|"
    r"reads|written|shown on|say|says|wrench|pipe)\b",
    re.IGNORECASE,
)
_MEASURED = re.compile(
    r"\b(?:temperature|power|voltage|current|how long|how fast|how much|time|measured|value|speed|"
    r"weight|capacity|energy|force|resistance|duration|reading)\b",
    re.IGNORECASE,
)
_NAMES = re.compile(
    r"\b(?!the\b)[a-z]+ number\b(?! of)|\bwhat number\b|\b(?:which|what) year\b|\bapartment\b|"
    r"\brelease\b|\bresolution\b|\bfigure's\b|\bwho\b",
    re.IGNORECASE,
)
_OPERATIONS = words(
    "difference average total sum more fewer less before after second third least mean ratio "
    "combined minus increase decrease change"
)
_SCALED = re.compile(r"\b(?:thousands?|millions?|billions?|mn|bn|in k)\b", re.IGNORECASE)
_CASED = re.compile(
    r"\b(?:formula|symbol|element|compound|molecule|variable|chemical|units?|function)\b",
    re.IGNORECASE,
)
_ORDERED = re.compile(
    r"\b(?:order|sequence|from \w+ to \w+|first|then|respectively|steps|rank|sort\w*|top|starting|"
    r"ascending|descending|the \w+ and (?:the )?\w+(?= of| coordinates|\?))",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    r"\b(?:which|what|name|list|give)\b.*?"
    r"\b(?:two|three|four|five|items|order|sequence|\w{3,}s are|names)\b"
    r"|\bcolou?rs\b|\bcountries\b",
    re.IGNORECASE | re.DOTALL,
)
_READ = re.compile(
    r"\b(?:say|says|read|reads|written|writing|text|title|titled|spell|spelled|spelt|word|"
    r"brand|logo|label|labelled|labeled|plate|code|caption|heading|headline|letters|printed|"
    r"on the sign|email|website)\b",
    re.IGNORECASE,
)
_IN_UNIT = re.compile(
    r"\bin ([a-zA-Z°%$€£/²³]+(?: (?:per|of|dollars|feet|meters|metres) ?\w*)?)|\(([^()]{1,20})\)"
)
_ASKED = re.compile(
    r"\b(?:which|what)\s+(?:(?:is|are|was|were)\s+)?(?:of\s+)?(?:(?:the|these|this)\s+)?"
    r"((?:[a-z]+\s?){1,3})"
)
_COUNTED = re.compile(
    r"\bhow many ((?:[a-z-]+\s?){1,5}?)"
    r"(?=\s?(?:are|is|were|was|do|does|did|can|have|has|in|on|of|$|\?))"
)
_NOT_ASKED = words(
    "is are was were do does did has have had can will would of in on at to for by from with and "
    "or that not value answer total largest smallest highest lowest first second last left right"
)


@lru_cache(maxsize=1024)
def question_words(question: str) -> frozenset[str]:
    """Stems of the words of a question."""
    return frozenset(map(stem, WORDS.findall(question[:MOST_CHARACTERS].lower())))


@lru_cache(maxsize=1024)
def asked_nouns(question: str) -> frozenset[str]:
    """Stems of what a question asks for: {"room", "number"} in "What is the room number of …?"."""
    if not question.strip():
        return frozenset({"bar", "line", "option", "figure"})
    found: set[str] = set()
    for phrase in _ASKED.finditer(question[:MOST_CHARACTERS].lower()):
        for word in phrase[1].split()[:3]:
            if word in _NOT_ASKED:
                break
            found.add(stem(word))
    return frozenset(found)


@lru_cache(maxsize=1024)
def counts_something(question: str) -> bool:
    """Whether it is "How many …" of something that is named."""
    return _COUNTED.search(question[:MOST_CHARACTERS].lower()) is not None


@lru_cache(maxsize=1024)
def counted(question: str) -> frozenset[str]:
    """Stems of what "How many …" counts: {"red", "ball"}; all words where it counts nothing."""
    found = _COUNTED.search(question[:MOST_CHARACTERS].lower())
    return frozenset(map(stem, found[1].split())) if found else question_words(question)


@lru_cache(maxsize=1024)
def asked_unit(question: str) -> Unit | None:
    """The unit that a number without one has: metres in "How long in metres?", years of an age."""
    question = question[:MOST_CHARACTERS]
    if re.search(r"\bhow old\b", question, re.IGNORECASE):
        return unit("years")
    many = re.search(r"\b(?:how many|number of)\s+([a-z]+)", question, re.IGNORECASE)
    if many and (one := unit(many[1])) is not None:
        return one
    found = [unit(form[1] or form[2]) for form in _IN_UNIT.finditer(question)]
    units = [each for each in found if each is not None and each.dimension != SHARE]
    return units[-1] if units else None


@lru_cache(maxsize=1024)
def alternatives_in(question: str) -> frozenset[str]:
    """What a question offers: "Is the light red, amber or green?"."""
    if " or " not in question:
        return frozenset()
    found: set[str] = set()
    for sentence in re.split(r"[?!.\n]", question[:MOST_CHARACTERS]):
        if " or " not in sentence:
            continue
        *before, last = re.split(r",? or ", sentence)
        pieces = [piece for part in before for piece in re.split(r",|:", part)]
        found.update(normal(piece) for piece in [*pieces, last])
        if words := before[-1].split():
            found.add(normal(words[-1]))
        if pieces[0].strip() and all(len(piece.split()) <= 2 for piece in pieces[1:]):
            found.add(normal(pieces[0].split()[-1]))
    return frozenset(found)


def _about(form: re.Pattern[str], question: str) -> bool:
    return form.search(question[:MOST_CHARACTERS]) is not None


@lru_cache(maxsize=1024)
def is_about_labels(question: str) -> bool:
    """Whether a fraction is read off: 6/8 as a time signature, 10/10 as a rating."""
    return _about(_LABELS, question)


@lru_cache(maxsize=1024)
def is_about_numbers(question: str) -> bool:
    """Whether 6/8 and 3/4 answer it alike."""
    return not question.strip() or (_about(_CALCULATED, question) and not _about(_LABELS, question))


@lru_cache(maxsize=1024)
def is_measured(question: str) -> bool:
    """Whether 60W answers it as 60 watts, and not as a code."""
    return _about(_MEASURED, question)


@lru_cache(maxsize=1024)
def leaves_out_a_scale(question: str) -> bool:
    """Whether "1.5" may answer it with millions."""
    return _about(_SCALED, question)


@lru_cache(maxsize=1024)
def is_cased(question: str) -> bool:
    """Whether case tells answers apart: Co and CO as formulas."""
    return _about(_CASED, question)


@lru_cache(maxsize=1024)
def is_ordered(question: str) -> bool:
    """Whether the order of a list is part of the answer."""
    return _about(_ORDERED, question)


@lru_cache(maxsize=1024)
def asks_for_a_name(question: str) -> bool:
    """Whether a number answers it as a name: a page, a house, a year."""
    return _about(_NAMES, question)


@lru_cache(maxsize=1024)
def operation_in(question: str) -> frozenset[str]:
    """What a question does with several values: {"difference"}, {"total"}."""
    return _OPERATIONS & question_words(question)


@lru_cache(maxsize=1024)
def asks_for_several(question: str) -> bool:
    """Whether an answer with commas is a list."""
    return _about(_SEVERAL, question)


@lru_cache(maxsize=1024)
def is_read_off(question: str) -> bool:
    """Whether the answer is words that stand in the image."""
    return _about(_READ, question)
