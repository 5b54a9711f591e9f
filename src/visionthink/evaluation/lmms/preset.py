"""Presets: what lmms-eval calls the paper's benchmarks, where their scores stand, local copies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from visionthink.core.errors import UsageError
from visionthink.settings import checked, did_you_mean, read_yaml

PRESETS = Path(__file__).with_name("tasks.yaml")
LOCAL = "_local"
"""How the name of a local copy of a task ends, see `local_task`."""


class Preset(BaseModel, extra="forbid", frozen=True):
    """A benchmark as lmms-eval runs it.

    Attributes:
        paper: what the paper calls it.
        file: its definition, below lmms-eval's tasks.
        split: that it asks.
        metrics: keys of its result, which are added up; empty: it has no local score.
        sample: keys of a score from 0 to 1 in a line of its samples; the first one found counts,
            and a dot leads into an inner object. Empty: a sample has no score of its own.
        full: its result if every answer is right.
        printed: what the paper prints then.
        divisor: lmms-eval divides by this many samples, however few were asked.
        judge: whether a model must judge the answers.
        ours: the metric of `visionthink eval` that scores in the same way.
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
        """The benchmark's own figure, or None.

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
        """The score of one line of samples; None if it has no score of its own."""
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
    """The name in reports of a task, or of a local copy of one, and its preset.

    Args:
        task: its name in lmms-eval.
        metrics: for tasks without a preset, the key of the result that counts, and after a slash
            its value if every answer is right, unless that is 1: gpt_eval_score/100.

    Raises:
        UsageError: there is no preset, and no valid key.
    """
    name = task.removesuffix(LOCAL)
    if metrics and task in metrics:
        key, _, full = metrics[task].partition("/")
        if not key or not re.fullmatch(r"[0-9]*[1-9][0-9]*|", full):
            raise UsageError(
                f"metric of task {task}: expected KEY or KEY/FULL, got {metrics[task]!r}"
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


def local_task(task: str, files: Sequence[Path], out: Path) -> str:
    """Write a definition of the task for lmms-eval's --include_path, and return its name there.

    Everything but the data is the official task's. The name is a new one because lmms-eval prefers
    its own tasks to included ones of the same name. Machines without a network can run it.

    Args:
        task: one of the presets.
        files: Parquet files in the official layout.
        out: folder for the definition.

    Raises:
        UsageError: there is no such preset or file, or lmms-eval is not installed.
    """
    if task not in presets():
        raise UsageError(f"there is no preset for task {task!r}{did_you_mean(task, presets())}")
    spec = find_spec("lmms_eval")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("lmms-eval is not installed here: run this in the environment that has it")
    for file in files:
        if not file.is_file():
            raise UsageError(f"there is no Parquet file {str(file)!r}")
    preset = presets()[task]
    name = task + LOCAL
    definition = {
        "include": str(Path(spec.submodule_search_locations[0]) / "tasks" / preset.file),
        "task": name,
        "dataset_path": "parquet",
        "dataset_name": None,  # the official data set's configuration
        "dataset_kwargs": {"data_files": {preset.split: [str(file.resolve()) for file in files]}},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.yaml").write_text(yaml.safe_dump(definition, sort_keys=False), "utf-8")
    return name
