"""Presets: what lmms-eval calls the paper's benchmarks, and where their scores stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from visionthink.core.errors import UsageError
from visionthink.settings import checked, did_you_mean, read_yaml

PRESETS = Path(__file__).with_name("tasks.yaml")
LOCAL = "_local"
"""How the name of a local copy of a task ends, see `local`."""


class Preset(BaseModel, extra="forbid", frozen=True):
    """A benchmark as lmms-eval runs it.

    Attributes:
        paper: what the paper calls it.
        file: its definition, below lmms-eval's tasks.
        split: that it asks.
        metrics: keys of its result, which are added up; none: it has no local score.
        sample: where a line of its samples holds a score of 0 to 1: the first of these that is
            there, dots leading inwards. None: a sample has no score of its own.
        full: its result where every answer is right.
        printed: what the paper prints then.
        divisor: lmms-eval divides by so many samples, however few were asked.
        judge: whether a model must judge the answers.
        ours: the metric of `visionthink eval` that scores likewise.
        traps: what to know before running it.
    """

    paper: str
    file: str
    split: str
    metrics: tuple[str, ...]
    sample: tuple[str, ...] = ()
    full: float = 1.0
    printed: float = 100.0
    divisor: int | None = None
    judge: bool = False
    ours: str
    traps: str = ""

    def result(self, results: Mapping[str, Any], n: int) -> float | None:
        """The benchmark's own figure; None if there is none.

        Args:
            results: those of the task in lmms-eval's results file, keys such as `anls,none`.
            n: how many samples were asked.
        """
        found = [
            value
            for metric in self.metrics
            for key, value in results.items()
            if key.partition(",")[0] == metric and isinstance(value, int | float)
        ]
        if not found or len(found) != len(self.metrics):
            return None
        return sum(found) * (self.divisor / n if self.divisor else 1)

    def sample_score(self, line: Mapping[str, Any]) -> float | None:
        """The score of one line of samples; None if it has none of its own."""
        for path in self.sample:
            value: Any = line
            for part in path.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if isinstance(value, int | float):
                return float(value)
        return None


@cache
def presets() -> dict[str, Preset]:
    """The presets by the task's name."""
    return {
        task: checked(Preset, options, f"{PRESETS.name}: {task}")
        for task, options in read_yaml(PRESETS).items()
    }


def preset_of(task: str, metrics: Mapping[str, str] | None = None) -> tuple[str, Preset]:
    """What a task, or the local copy of one, is called in reports, and its preset.

    Args:
        task: its name in lmms-eval.
        metrics: for tasks without a preset, the key of the result that counts, and behind a slash
            what it is where every answer is right, unless that is 1: gpt_eval_score/100.

    Raises:
        UsageError: there is no preset, and no key was said, or one of another form.
    """
    name = task.removesuffix(LOCAL)
    if metrics and task in metrics:
        key, _, full = metrics[task].partition("/")
        if not key or not re.fullmatch(r"[0-9]*[1-9][0-9]*|", full):
            raise UsageError(
                f"metric of task {task}: KEY or KEY/FULL is wanted; got {metrics[task]!r}"
            )
        return name, Preset(
            paper=name,
            file="",
            split="",
            metrics=(key,),
            sample=(key, f"{key}.score", f"{key}.true_false"),
            full=float(full or 1),
            ours="exact",
        )
    if name not in presets():
        raise UsageError(
            f"there is no preset for task {name!r}{did_you_mean(name, presets())}; or say which of "
            f"its metrics counts (--metric {task}=KEY)"
        )
    return name, presets()[name]


def preset_table() -> list[Sequence[str]]:
    """Task, name in the paper, metric, who judges, traps."""
    return [
        (
            task,
            preset.paper,
            " + ".join(preset.metrics) or "no metric",
            "a model" if preset.judge else "rules",
            preset.traps,
        )
        for task, preset in presets().items()
    ]
