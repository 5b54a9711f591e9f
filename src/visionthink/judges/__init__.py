"""Judges: does a prediction mean the ground truth? A judge that fails raises; it never scores 0.

`rules` compares by the form of the ground truth and costs nothing; `llm` asks any OpenAI-compatible
model; `cascade` lets rules decide the clear cases and the model the rest.
"""

from visionthink.judges.judge import Judge, JudgeStats, Verdict
from visionthink.judges.opening import open_judge
from visionthink.judges.options import JudgeOptions

__all__ = ["Judge", "JudgeOptions", "JudgeStats", "Verdict", "open_judge"]
