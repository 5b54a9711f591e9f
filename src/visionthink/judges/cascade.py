"""Rules where the case is clear, another judge where it is not."""

from __future__ import annotations

from collections.abc import Sequence

from visionthink.judges.judge import Judge, JudgeStats, Verdict, accepted
from visionthink.judges.rules import Rules


class CascadeJudge:
    """Right or wrong where the rules are sure; elsewhere `other` decides."""

    def __init__(self, rules: Rules, other: Judge) -> None:
        self._rules = rules
        self._other = other
        self._by_rules = 0

    @property
    def name(self) -> str:
        return f"cascade:{self._rules.metric}+{self._other.name}"

    @property
    def stats(self) -> JudgeStats:
        return self._other.stats.plus(by_rules=self._by_rules)

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        """Judge by rules, or ask the other judge.

        Raises:
            JudgeError: the case is not clear, and the other judge gave no verdict.
        """
        right = self._rules.decide(question, accepted(answer), prediction)
        if right is None:
            return await self._other.score(question, answer, prediction)
        self._by_rules += 1
        return Verdict(1 if right else 0, "rules")

    async def close(self) -> None:
        await self._other.close()
