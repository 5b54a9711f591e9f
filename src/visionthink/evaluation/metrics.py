"""What an answer scores, from 0 to 1: one function and one row of `METRICS` each.

What the rules, or a judge, cannot tell scores 0 and is marked as not decided.

| metric | score |
|---|---|
| auto, exact, numeric, choice, list | 1 if the rules of `judges` accept it, else 0 |
| yes_no | likewise; the summary adds F1 of "yes", as POPE reports it |
| relaxed | ChartQA: numbers within 5 %, other answers equal but for case |
| relaxed_strict | the same with its leniency taken out, see `relaxed_strict` |
| relaxed_list | ChartQAPro: lists item by item, texts by anls, years exactly |
| anls | DocVQA: the best similarity to an accepted answer, 0 below 0.5 |
| vqa | VQAv2, TextVQA: the share of people who gave that answer, see `vqa_score` |
| contains | OCRBench: the prediction contains an accepted answer |
| contains_formula | OCRBench's handwritten formulas: the same without any spaces |
| judge | a judge's verdict (`judges.JudgeOptions`); the only one without a row |
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from visionthink.core.errors import UsageError
from visionthink.evaluation.vqa import vqa_score
from visionthink.judges import Judge, JudgeOptions, open_judge
from visionthink.judges.answer_text import bare, distance
from visionthink.judges.comparisons import COMPARISONS, same_text
from visionthink.judges.quantity import quantity, same_quantity
from visionthink.judges.rules import Rules
from visionthink.judges.rules_judge import MEASURES
from visionthink.settings import did_you_mean

JUDGE = "judge"
"""The metric that asks a judge."""
YES_NO = "yes_no"
TOLERANCE = 0.05
ANLS_THRESHOLD = 0.5

_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_PLAIN = {0xFF01 + at: 0x21 + at for at in range(94)} | {0x3000: " "}
"""Full-width form of a character \u2192 the character."""

Metric = Callable[[str, Sequence[str], str], float | None]
"""(question, accepted answers, prediction) → score from 0 to 1; None: it cannot tell."""


@dataclass(frozen=True)
class Score:
    """What an answer scored, 0 to 1, and who decided; see `judges.Verdict`.

    `decided`: whether the judge or the rules could tell; the value is 0 if not, as exact match has
    it.
    """

    value: float
    by: str
    decided: bool = True

    @classmethod
    def of(cls, value: float | None, by: str) -> Score:
        return cls(float(value or 0), by, value is not None)


class Scorer:
    """Scores answers by a metric.

    Args:
        metric: a name in `METRICS`, or "judge".
        judge: who decides where the metric is "judge".
    """

    def __init__(self, metric: str, judge: JudgeOptions | None = None) -> None:
        self.metric = check_metric(metric)
        self._judge: Judge | None = None
        if metric == JUDGE:
            self._judge = open_judge(judge or JudgeOptions())

    async def score(self, question: str, answers: Sequence[str], prediction: str) -> Score:
        """The best score over the accepted answers; an empty prediction scores 0 unasked.

        Raises:
            JudgeError: the judge gave no verdict.
        """
        if not prediction.strip():
            return Score(0.0, "rules")
        if self._judge is not None:
            verdict = await self._judge.score(question, answers, prediction)
            return Score.of(verdict.score, verdict.by)
        return Score.of(METRICS[self.metric](question, answers, prediction), "rules")

    async def close(self) -> None:
        if self._judge is not None:
            await self._judge.close()


def metric_names() -> list[str]:
    return [*METRICS, JUDGE]


def check_metric(name: str) -> str:
    """`name`. Raises UsageError: there is no such metric."""
    if name not in metric_names():
        raise UsageError(f"there is no metric {name!r}{did_you_mean(name, metric_names())}")
    return name


def relaxed(answer: str, prediction: str) -> float:
    """ChartQA's measure: right within 5 % of a number, else by the text without case.

    "%" divides by 100, and nothing else is understood: "$5" and "1,200" are texts, 47 is not 47 %,
    and if the truth is 0 the text decides.
    """
    truth, said = _number(answer), _number(prediction)
    if truth and said is not None:
        return float(abs(said - truth) / abs(truth) <= TOLERANCE)
    return float(answer.strip().lower() == prediction.strip().lower())


def relaxed_strict(answer: str, prediction: str) -> float:
    """`relaxed` without its faults: that one takes 1960 for 2024, but not 47 for 47 %.

    A whole number (a year, a count) must match exactly, other numbers within 5 %. Units, separators
    and percent signs are understood as in the metric numeric.
    """
    if same_text(answer, prediction):
        return 1.0
    truth, said = quantity(bare(answer)), quantity(bare(prediction))
    if truth is None or said is None:
        return 0.0
    tolerance = 0.0 if truth.value.denominator == 1 else TOLERANCE
    return float(bool(same_quantity(truth, said, tolerance)))


def relaxed_list(answer: str, prediction: str) -> float:
    """ChartQAPro's measure: the mean over the items of a list such as "[2019, 4.5]"; where one of
    the two has more items, these count 0.

    Numbers within 5 %, "%" left out; whole numbers from 1900 to 2099 count as years and must be the
    same; other items by `anls`, which is 0 at one half, too.
    """
    truths, said = _listed(answer), _listed(prediction)
    score = sum(_item(*pair) for pair in zip(truths, said, strict=False))
    return score / max(len(truths), len(said))


def _listed(text: str) -> list[str]:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    return [item.strip().strip("'\"").strip() for item in text[1:-1].split(",")]


def _item(answer: str, prediction: str) -> float:
    if _YEAR.fullmatch(answer):
        return float(answer == prediction)
    truth, said = (_number(text.strip("% ")) for text in (answer, prediction))
    if truth is None or said is None:
        alike = anls(answer, prediction)
        return alike if alike > ANLS_THRESHOLD else 0.0
    return float(abs(said - truth) <= TOLERANCE * abs(truth))


def anls(answer: str, prediction: str) -> float:
    """1 - edit distance / longer length, without case and repeated spaces; 0 below one half.

    Lengths are those in upper case, as its authors count them, where a German sharp s has two.
    """
    answer, prediction = (" ".join(text.split()) for text in (answer, prediction))
    longer = max(len(answer.upper()), len(prediction.upper()))
    alike = 1 - distance(answer.lower(), prediction.lower()) / longer if longer else 1.0
    return alike if alike >= ANLS_THRESHOLD else 0.0


def contains(answer: str, prediction: str) -> float:
    """1 if the answer stands in the prediction, without case; line breaks count as spaces, and
    full-width letters and digits as plain ones.
    """
    truth, said = (
        text.translate(_PLAIN).lower().strip().replace("\n", " ") for text in (answer, prediction)
    )
    return float(truth in said)


def contains_formula(answer: str, prediction: str) -> float:
    """1 if the answer stands in the prediction when both have no spaces; with case, x is not X."""
    truth, said = (
        text.strip().replace("\n", " ").replace(" ", "") for text in (answer, prediction)
    )
    return float(truth in said)


def said_yes(text: str) -> bool | None:
    """Whether a text says yes or no; None if it says neither."""
    decide = Rules(YES_NO).decide
    if decide("", ("yes",), text):
        return True
    return False if decide("", ("no",), text) else None


def _number(text: str) -> float | None:
    text = text.strip()
    try:
        number = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _by_rules(comparison: str) -> Metric:
    decide = Rules(comparison).decide

    def metric(question: str, answers: Sequence[str], prediction: str) -> float | None:
        right = decide(question, answers, prediction)
        return None if right is None and comparison not in MEASURES else float(bool(right))

    return metric


def _best(measure: Callable[[str, str], float]) -> Metric:
    """The best measure over the accepted answers."""
    return lambda question, answers, prediction: max(
        measure(answer, prediction) for answer in answers
    )


METRICS: dict[str, Metric] = {
    **{name: _by_rules(name) for name in COMPARISONS},
    "relaxed": _best(relaxed),
    "relaxed_strict": _best(relaxed_strict),
    "relaxed_list": _best(relaxed_list),
    "anls": _best(anls),
    "vqa": lambda question, answers, prediction: vqa_score(answers, prediction),
    "contains": _best(contains),
    "contains_formula": _best(contains_formula),
}
