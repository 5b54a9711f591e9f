"""Rules that compare a prediction with the ground truth by the form of the ground truth.

Each metric says True (right), False (clearly wrong) or None (the rule cannot tell). `RulesJudge`
counts None as wrong; `CascadeJudge` asks a model then. Every function is total: any texts give a
value, and an answer that is not blank is always right against itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from visionthink.judges.choice import letter_of, options_in
from visionthink.judges.judge import JudgeStats, Verdict, accepted
from visionthink.judges.options import Metric
from visionthink.judges.quantity import Quantity, far_apart, quantity, same_quantity
from visionthink.judges.similarity import similarity
from visionthink.judges.text import bare, normal

_POLARITY = {"yes": True, "true": True, "no": False, "false": False}
_OPPOSITES = {True: {"no", "false", "not"}, False: {"yes", "true"}}
_ORDERED = re.compile(r"\b(?:order|sequence|from \w+ to \w+|first|then|respectively)\b", re.I)


@dataclass(frozen=True)
class Rules:
    """The rules with their thresholds.

    Args:
        metric: what to compare by; auto takes it from the form of each ground truth.
        tolerance: relative difference that `numeric` forgives.
        anls_threshold: least similarity that `anls` calls right.
    """

    metric: Metric = "auto"
    tolerance: float = 0.0
    anls_threshold: float = 0.5

    def decide(self, question: str, answers: Sequence[str], prediction: str) -> bool | None:
        """Right if any answer is met; clearly wrong if every answer is clearly missed."""
        if not prediction.strip():
            return False
        found = [self._compare(question, answer, prediction) for answer in answers]
        if any(found):
            return True
        return None if None in found else False

    def _compare(self, question: str, answer: str, prediction: str) -> bool | None:
        if same_text(answer, prediction):
            return True
        metric = metric_for(question, answer) if self.metric == "auto" else self.metric
        return _METRICS[metric](self, question, answer, prediction)

    def _numeric(self, question: str, answer: str, prediction: str) -> bool | None:
        truth, said = quantity(bare(answer)), quantity(bare(prediction))
        if truth is None or said is None:
            return None
        if same_quantity(truth, said, self.tolerance):
            return True
        return False if far_apart(truth, said) else None

    def _anls(self, question: str, answer: str, prediction: str) -> bool | None:
        return similarity(answer, prediction) >= self.anls_threshold or None


def same_text(answer: str, prediction: str) -> bool:
    """The metric `exact`, also the first step of all others."""
    wanted = {normal(answer), normal(bare(answer))}
    return normal(prediction) in wanted or normal(bare(prediction)) in wanted


def metric_for(question: str, answer: str) -> Metric:
    """What `auto` compares by: the form of the ground truth, seen with the question.

    Lists with commas alone are compared as text, since "Paris, France" is none, and so are lists
    where the question gives an order.
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


def _exact(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    return None  # the first step has compared the texts


def _choice(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    options = options_in(question)
    truth, said = letter_of(answer, options), letter_of(prediction, options)
    return None if truth is None or said is None else truth == said


def _yes_no(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    truth, said = _polarity(answer), _polarity(prediction)
    return None if truth is None or said is None else truth == said


def _polarity(text: str) -> bool | None:
    """Yes or no, if the text begins with one and takes nothing back."""
    first, *rest = normal(bare(text)).split() or [""]
    polarity = _POLARITY.get(first)
    if polarity is None or _OPPOSITES[polarity].intersection(rest):
        return None
    return polarity


def _list(rules: Rules, question: str, answer: str, prediction: str) -> bool | None:
    return Counter(_items(bare(answer))) == Counter(_items(bare(prediction))) or None


def _items(text: str) -> list[str | Quantity]:
    """The items of a list in a form in which equal ones are equal."""
    text = text.strip().strip("[](){}")
    pieces = re.split(r"[;\n]|,(?![0-9]{3}(?![0-9]))|\s(?:and|&)\s|,\s", text)
    items = [piece.strip().strip("'\"") for piece in pieces]
    items = [re.sub(r"^and\s+", "", item) for item in items]
    return [quantity(item) or normal(item) for item in items if item.strip()]


_METRICS: dict[str, Callable[[Rules, str, str, str], bool | None]] = {
    "exact": _exact,
    "numeric": Rules._numeric,
    "choice": _choice,
    "yes_no": _yes_no,
    "anls": Rules._anls,
    "list": _list,
}


class RulesJudge:
    """Verdicts by rules alone; what no rule can tell is wrong."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules or Rules()
        self._stats = JudgeStats()

    @property
    def name(self) -> str:
        return f"rules:{self._rules.metric}"

    @property
    def stats(self) -> JudgeStats:
        return self._stats

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        """Judge by rules; never fails."""
        right = self._rules.decide(question, accepted(answer), prediction)
        self._stats = self._stats.plus(by_rules=1)
        return Verdict(1 if right else 0, "rules")

    async def close(self) -> None:
        """Nothing is held."""
