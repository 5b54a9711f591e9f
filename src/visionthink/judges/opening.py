"""Opening the judge that options describe."""

from __future__ import annotations

from visionthink.judges.cascade import CascadeJudge
from visionthink.judges.judge import Judge
from visionthink.judges.llm import LlmJudge
from visionthink.judges.options import JudgeOptions
from visionthink.judges.rules import Rules, RulesJudge


def open_judge(options: JudgeOptions) -> Judge:
    """The judge of `options.kind`. No server is asked before the first `score`.

    Raises:
        UsageError: an option is missing or not usable.
        MissingExtraError: a package that the judge needs is not installed.
    """
    rules = Rules(options.metric, options.tolerance, options.anls_threshold)
    if options.kind == "rules":
        return RulesJudge(rules)
    if options.kind == "llm":
        return LlmJudge(options)
    return CascadeJudge(rules, LlmJudge(options))
