"""Judges: does a prediction mean the ground truth? Right, wrong, or the judge cannot tell.

A judge that fails raises; it never scores 0.

A judge is one file and one row of `JUDGES`.
"""

from collections.abc import Callable

from visionthink.judges.judge import Judge, JudgeOptions, JudgeStats, Verdict
from visionthink.judges.llm import LlmJudge
from visionthink.judges.rules import Rules
from visionthink.judges.rules_judge import RulesJudge

__all__ = ["JUDGES", "Judge", "JudgeOptions", "JudgeStats", "LlmJudge", "Verdict", "open_judge"]

JUDGES: dict[str, Callable[[JudgeOptions], Judge]] = {
    "rules": lambda options: RulesJudge(Rules.of(options)),
    "llm": LlmJudge.open,
    "cascade": lambda options: RulesJudge(Rules.of(options), LlmJudge.open(options)),
}
"""Name of a judge → what opens it."""


def open_judge(options: JudgeOptions) -> Judge:
    """The judge `options.kind`. No server is asked before the first `score`.

    Raises:
        UsageError: an option is missing or not usable.
        MissingExtraError: a package that the judge needs is not installed.
        EngineError: the model of a judge in this process cannot be loaded.
    """
    return JUDGES[options.kind](options)
