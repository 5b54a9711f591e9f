"""Rules: whether a prediction means the ground truth, where that can be told without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.judges.comparisons import COMPARISONS, metric_for
from visionthink.judges.final_answer import final_answer, states_plainly
from visionthink.judges.judge import JudgeOptions
from visionthink.judges.latex import is_latex
from visionthink.judges.mathematics import same_in_text

LONGEST_PREDICTION = 20_000
"""Characters. A longer prediction is wrong by rule, so that reading one takes bounded time."""


@dataclass(frozen=True)
class Rules:
    """Which comparison is made, with its thresholds.

    Args:
        metric: a name in `COMPARISONS`; auto takes it from the form of each ground truth.
        tolerance: relative difference that `numeric` forgives.
        anls_threshold: smallest similarity that `anls` accepts.
        sentences: also read the answer that a sentence or a longer reply ends in.
    """

    metric: str = "auto"
    tolerance: float = 0.0
    anls_threshold: float = 0.5
    sentences: bool = True

    @classmethod
    def of(cls, options: JudgeOptions) -> Rules:
        return cls(options.metric, options.tolerance, options.anls_threshold, options.sentences)

    def decide(self, question: str, answers: Sequence[str], prediction: str) -> bool | None:
        """Right if it matches any answer; clearly wrong if it clearly misses every answer.

        Total: there is a value for any texts, and an answer that is not blank is right against
        itself.
        """
        said = prediction.strip()
        if not said:
            return False
        if len(said) > LONGEST_PREDICTION:
            return said in map(str.strip, answers)
        found = [self._compare(question, answer.strip(), said) for answer in answers]
        if True in found:
            return True
        return None if None in found else False

    def _compare(self, question: str, answer: str, said: str) -> bool | None:
        """The verdict on the whole reply, or else on the answer that it ends in."""
        if answer == said:
            return True
        name = metric_for(question, answer) if self.metric == "auto" else self.metric
        compare = COMPARISONS[name]
        verdict = compare(self, question, answer, said)
        if verdict is True or not self.sentences or name == "anls":
            return verdict
        for stated in final_answer(question, said):
            if not stated.firm and name in ("yes_no", "choice"):
                continue
            found = compare(self, question, answer, stated.text)
            if found:
                return True
            if stated.firm and verdict is None:
                verdict = found
        if verdict is None and (is_latex(answer) or is_latex(said)) and states_plainly(said):
            return same_in_text(answer, said)
        return verdict
