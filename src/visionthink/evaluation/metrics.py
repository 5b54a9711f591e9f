"""What an answer scores: rules from `judges`, the benchmarks' own measures, or a judge.

| metric | score |
|---|---|
| auto, exact, numeric, choice, list | 1 if the rules of `judges` say so, else 0 |
| yes_no | likewise; the summary adds F1 of "yes", as POPE wants |
| relaxed | ChartQA: numbers within 5 %, other answers equal but for case |
| relaxed_strict | the same with its leniency taken out, see `relaxed_strict` |
| anls | DocVQA: the best similarity to an accepted answer, 0 below 0.5 |
| contains | OCRBench: an accepted answer stands in the prediction |
| judge | what a judge says (`judges.JudgeOptions`) |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from visionthink.judges import Judge, JudgeOptions, open_judge
from visionthink.judges.options import Metric as RulesMetric
from visionthink.judges.quantity import quantity, same_quantity
from visionthink.judges.rules import Rules, same_text
from visionthink.judges.similarity import similarity
from visionthink.judges.text import bare

MetricName = Literal[
    "auto",
    "exact",
    "numeric",
    "choice",
    "yes_no",
    "list",
    "relaxed",
    "relaxed_strict",
    "anls",
    "contains",
    "judge",
]
METRICS: tuple[MetricName, ...] = get_args(MetricName)

TOLERANCE = 0.05
ANLS_THRESHOLD = 0.5


@dataclass(frozen=True)
class Score:
    """What an answer scored, 0 to 1, and who said so."""

    value: float
    by: Literal["rules", "llm"]


class Scorer:
    """Scores answers by a metric.

    Args:
        metric: its name.
        judge: what decides where the metric is "judge".
    """

    def __init__(self, metric: MetricName, judge: JudgeOptions | None = None) -> None:
        self.metric = metric
        self._judge: Judge | None = None
        if metric == "judge":
            self._judge = open_judge(judge or JudgeOptions())

    async def score(self, question: str, answers: Sequence[str], prediction: str) -> Score:
        """The best score over the accepted answers; an empty prediction scores 0 unasked.

        Raises:
            JudgeError: a judge gave no verdict.
        """
        if not prediction.strip():
            return Score(0.0, "rules")
        if self._judge is not None:
            verdict = await self._judge.score(question, answers, prediction)
            return Score(float(verdict.score), verdict.by)
        if (measure := _MEASURES.get(self.metric)) is not None:
            return Score(max(measure(answer, prediction) for answer in answers), "rules")
        right = _RULES[self.metric].decide(question, answers, prediction)
        return Score(1.0 if right else 0.0, "rules")

    async def close(self) -> None:
        if self._judge is not None:
            await self._judge.close()


def relaxed(answer: str, prediction: str) -> float:
    """ChartQA's measure: right within 5 % of a number, else by the text without case.

    "%" divides by 100, and nothing else is understood: "$5" and "1,200" are texts, 47 is not 47 %,
    and where the truth is 0 the text decides.
    """
    truth, said = _number(answer), _number(prediction)
    if truth and said is not None:
        return float(abs(said - truth) / abs(truth) <= TOLERANCE)
    return float(answer.strip().lower() == prediction.strip().lower())


def relaxed_strict(answer: str, prediction: str) -> float:
    """`relaxed` without what is held against it: to that, 1960 is 2024, but 47 is not 47 %.

    A whole number (a year, a count) must be met exactly, other numbers within 5 %. Units,
    separators and percent signs are understood as in the metric numeric.
    """
    if same_text(answer, prediction):
        return 1.0
    truth, said = quantity(bare(answer)), quantity(bare(prediction))
    if truth is None or said is None:
        return 0.0
    tolerance = 0.0 if truth.number.denominator == 1 else TOLERANCE
    return float(bool(same_quantity(truth, said, tolerance)))


def anls(answer: str, prediction: str) -> float:
    """1 - edit distance / longer length, without case and spare spaces; 0 below one half."""
    alike = similarity(" ".join(answer.split()), " ".join(prediction.split()))
    return alike if alike >= ANLS_THRESHOLD else 0.0


def contains(answer: str, prediction: str) -> float:
    """1 if the answer stands in the prediction, without case; line breaks count as spaces."""
    wanted, said = (text.strip().lower().replace("\n", " ") for text in (answer, prediction))
    return float(wanted in said)


def said_yes(text: str) -> bool | None:
    """Whether a text says yes or no; None if neither."""
    decide = _RULES["yes_no"].decide
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


_MEASURES: dict[str, Callable[[str, str], float]] = {
    "relaxed": relaxed,
    "relaxed_strict": relaxed_strict,
    "anls": anls,
    "contains": contains,
}
_RULES: dict[str, Rules] = {
    metric: Rules(metric) for metric in get_args(RulesMetric) if metric not in _MEASURES
}
