"""Rules that compare a prediction with the ground truth, one rule per form of ground truth.

A comparison says True (right), False (clearly wrong) or None (it cannot tell). Every function is
total: it has a value for any texts, and an answer that is not blank is always right against itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from visionthink.judges.answer_text import bare, normal, similarity
from visionthink.judges.judge import JudgeOptions
from visionthink.judges.quantity import Quantity, far_apart, quantity, same_quantity

_POLARITY = {"yes": True, "true": True, "no": False, "false": False}
_OPPOSITES = {True: {"no", "false", "not"}, False: {"yes", "true"}}
_ORDERED = re.compile(r"\b(?:order|sequence|from \w+ to \w+|first|then|respectively)\b", re.I)


@dataclass(frozen=True)
class Rules:
    """Which comparison is made, with its thresholds.

    Args:
        metric: a name in `COMPARISONS`; auto takes it from the form of each ground truth.
        tolerance: relative difference that `numeric` forgives.
        anls_threshold: smallest similarity that `anls` accepts.
    """

    metric: str = "auto"
    tolerance: float = 0.0
    anls_threshold: float = 0.5

    @classmethod
    def of(cls, options: JudgeOptions) -> Rules:
        return cls(options.metric, options.tolerance, options.anls_threshold)

    def decide(self, question: str, answers: Sequence[str], prediction: str) -> bool | None:
        """Right if it matches any answer; clearly wrong if it clearly misses every answer."""
        if not prediction.strip():
            return False
        compare = COMPARISONS[self.metric]
        found = [
            same_text(answer, prediction) or compare(self, question, answer, prediction)
            for answer in answers
        ]
        if any(found):
            return True
        return None if None in found else False


def same_text(answer: str, prediction: str) -> bool:
    """The metric `exact`, which is also the first step of all others."""
    truths = {normal(answer), normal(bare(answer))}
    return normal(prediction) in truths or normal(bare(prediction)) in truths


def metric_for(question: str, answer: str) -> str:
    """What `auto` compares: the form of the ground truth, seen with the question.

    Answers with commas alone are compared as text, since "Paris, France" is not a list, and so are
    lists where the question gives an order.
    """
    if normal(answer) in _POLARITY:
        return "yes_no"
    if (options := options_in(question)) and letter_of(answer, options):
        return "choice"
    if re.fullmatch(r"[A-J]|\([A-J]\)", answer.strip()):
        return "choice"
    if (number := quantity(answer)) and not number.noun and not re.match(r"0\d", answer.strip()):
        return "numeric"
    listed = re.search(r";|\s(?:and|&)\s", answer) and len(_items(answer)) > 1
    return "list" if listed and not _ORDERED.search(question) else "exact"


# Comparisons. `decide` has compared the texts before.


def _auto(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    return COMPARISONS[metric_for(question, answer)](rules, question, answer, prediction)


def _exact(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    return None


def _numeric(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    truth, said = quantity(bare(answer)), quantity(bare(prediction))
    if truth is None or said is None:
        return None
    if same_quantity(truth, said, rules.tolerance):
        return True
    return False if far_apart(truth, said) else None


def _choice(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    options = options_in(question)
    truth, said = letter_of(answer, options), letter_of(prediction, options)
    return None if truth is None or said is None else truth == said


def _yes_no(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    truth, said = _polarity(answer), _polarity(prediction)
    return None if truth is None or said is None else truth == said


def _anls(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    return similarity(answer, prediction) >= rules.anls_threshold or None


def _list(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    return Counter(_items(bare(answer))) == Counter(_items(bare(prediction))) or None


COMPARISONS: dict[str, Callable[[Rules, str, str, str], bool | None]] = {
    "auto": _auto,
    "exact": _exact,
    "numeric": _numeric,
    "choice": _choice,
    "yes_no": _yes_no,
    "anls": _anls,
    "list": _list,
}
"""Name of a metric → whether (question, answer, prediction) is right."""


def _polarity(text: str) -> bool | None:
    """Yes or no, if the text begins with one and takes nothing back."""
    first, *rest = normal(bare(text)).split() or [""]
    polarity = _POLARITY.get(first)
    if polarity is None or _OPPOSITES[polarity].intersection(rest):
        return None
    return polarity


def _items(text: str) -> list[str | Quantity]:
    """The items of a list, in a form in which equal ones are equal."""
    text = text.strip().strip("[](){}")
    pieces = re.split(r"[;\n]|,(?![0-9]{3}(?![0-9]))|\s(?:and|&)\s|,\s", text)
    items = [piece.strip().strip("'\"") for piece in pieces]
    items = [re.sub(r"^and\s+", "", item) for item in items]
    return [quantity(item) or normal(item) for item in items if item.strip()]


# Multiple choice

_LISTED = re.compile(r"(?:^|(?<=[\s,;:?]))(?:\(([A-J])\)|([A-J])[.):])(?=\s)", re.MULTILINE)
_LETTER = re.compile(r"(?:(?:option|choice)\s+)?[(\[]?([A-Ja-j])[)\]]?[.:)]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:(?:option|choice)\s+)?(?:[(\[]([A-J])[)\]][.:]?|([A-J])[.:)])\s+(.*)",
    re.DOTALL | re.IGNORECASE,
)


def options_in(question: str) -> dict[str, str]:
    """Letter → text of the options that a question lists as "A. …", "(A) …", "A) …" or "A: …".

    Empty unless there are at least two, from A on without a gap.
    """
    found: list[tuple[str, int, int]] = []
    for mark in _LISTED.finditer(question):
        letter = mark[1] or mark[2]
        if letter == "A":
            found = []
        if letter == chr(ord("A") + len(found)):
            found.append((letter, mark.start(), mark.end()))
    if len(found) < 2:
        return {}
    ends = [start for _, start, _ in found[1:]] + [len(question)]
    options = {
        letter: question[begin:end].strip(" \t\r\n,;")
        for (letter, _, begin), end in zip(found, ends, strict=True)
    }
    last = found[-1][0]
    options[last] = options[last].split("\n")[0].strip(" \t\r,;")
    return options


def letter_of(text: str, options: Mapping[str, str]) -> str | None:
    """The letter that `text` picks; None if there is none, or the letter and its text disagree."""
    for form in (text.strip(), bare(text)):
        if lone := _LETTER.fullmatch(form):
            return _known(lone[1].upper(), options)
        by_text = [
            letter
            for letter, option in options.items()
            if option and normal(option) == normal(form)
        ]
        if len(by_text) == 1:
            return by_text[0]
        if both := _LETTER_AND_TEXT.fullmatch(form):
            letter = (both[1] or both[2]).upper()
            others = [option for other, option in options.items() if other != letter]
            if normal(both[3]) in map(normal, others):
                return None
            return _known(letter, options)
    return None


def _known(letter: str, options: Mapping[str, str]) -> str | None:
    return letter if not options or letter in options else None
