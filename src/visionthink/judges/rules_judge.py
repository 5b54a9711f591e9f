"""Verdicts by rules, and by another judge where the rules cannot tell."""

from __future__ import annotations

from collections.abc import Sequence

from visionthink.judges.judge import Judge, JudgeStats, Verdict, accepted
from visionthink.judges.rules import Rules

MEASURES = ("exact", "anls")
"""Metrics that measure likeness: alone they always decide; what is not alike enough is wrong."""


class RulesJudge:
    """Right or wrong where the rules are sure. Elsewhere `other` decides; without one nobody can
    tell, and the verdict has no score.

    Args:
        rules: default: those of the metric auto.
        other: for what the rules cannot tell; it is closed with this judge.
    """

    def __init__(self, rules: Rules | None = None, other: Judge | None = None) -> None:
        self._rules = rules or Rules()
        self._other = other
        self._stats = JudgeStats()

    @property
    def name(self) -> str:
        metric = self._rules.metric
        return f"cascade:{metric}+{self._other.name}" if self._other else f"rules:{metric}"

    @property
    def stats(self) -> JudgeStats:
        others = self._other.stats if self._other else JudgeStats()
        return others + self._stats

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        """Judge by rules, or ask the other judge.

        Raises:
            JudgeError: there is no ground truth, or the other judge gave no verdict.
        """
        right = self._rules.decide(question, accepted(answer), prediction)
        if right is None and self._other is None and self._rules.metric in MEASURES:
            right = False
        if right is not None:
            self._stats = self._stats.plus(by_rules=1)
            return Verdict(1 if right else 0, "rules")
        if self._other is not None:
            return await self._other.score(question, answer, prediction)
        self._stats = self._stats.plus(undecided=1)
        return Verdict(None, "rules")

    async def close(self) -> None:
        if self._other is not None:
            await self._other.close()
