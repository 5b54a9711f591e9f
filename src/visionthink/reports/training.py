"""What training runs came to: their final figures, and means over seeds.

A run's *final* figures are means over the last tenth of the steps that have them (at least one);
those of a held-out evaluation are its last one's. Runs whose configs differ in nothing but seeds
and places make a *group*.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionthink.core.errors import RunError, UsageError
from visionthink.reports.grouping import (
    Estimate,
    is_number,
    mean,
    named,
    over_runs,
    together,
    value_text,
)
from visionthink.runs.folder import METRICS, RunFolder, flatten

FINAL_SHARE = 0.1
KINDS = {
    "weak": "weak: the small image is enough",
    "strong": "strong: the original is needed",
    "lucky": "lucky: needed, but guessable",
}
"""Kinds of questions in the order in which they are shown, in words; others come after them."""

FIGURES = {
    "request_weak": "episode/request_rate/kind/weak",
    "request_strong": "episode/request_rate/kind/strong",
    "request_lucky": "episode/request_rate/kind/lucky",
    "accuracy": "reward/accuracy",
    "format": "reward/format",
    "reward": "reward/total",
    "visual_token_ratio": "cost/visual_token_ratio",
    "eval_request_weak": "eval/request_rate/kind/weak",
    "eval_request_strong": "eval/request_rate/kind/strong",
    "eval_request_lucky": "eval/request_rate/kind/lucky",
    "eval_accuracy": "eval/accuracy",
}
"""Final figures by the metric that they are of."""

_OF_TRAINING = ("episode/", "reward/", "control/", "judge/", "cost/", "length/", "time/", "train/")
_BESIDE = {"train/epoch"}
"""Stands on lines of evaluations as well, and does not make them a step of training."""


@dataclass(frozen=True)
class TrainingRun:
    """A run of training as it was read. `config` is flat, with keys such as `reward.rule`.

    `steps` and `evaluations` are the lines of metrics, one a step, in order.
    """

    name: str
    folder: RunFolder
    config: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    evaluations: tuple[Mapping[str, Any], ...]

    @property
    def keys(self) -> set[str]:
        return {key for line in (*self.steps, *self.evaluations) for key in line}

    def points(self, key: str) -> dict[int, float]:
        """The values of a metric that are numbers, by step."""
        lines = self.evaluations if key.startswith("eval/") else self.steps
        return {line["step"]: float(line[key]) for line in lines if is_number(line.get(key))}

    def final(self, key: str) -> float | None:
        """The final value of a metric; None if no step has one."""
        values = list(self.points(key).values())
        tail = 1 if key.startswith("eval/") else math.ceil(FINAL_SHARE * len(values))
        return mean(values[-tail:]) if values else None


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds only."""

    label: str
    runs: tuple[TrainingRun, ...]

    @property
    def keys(self) -> set[str]:
        return set[str]().union(*(run.keys for run in self.runs))


def read_runs(paths: Sequence[str | os.PathLike[str]]) -> list[TrainingRun]:
    """Read run folders; one named twice counts once.

    Raises:
        RunError: a folder is no run, is broken, or holds no step of training.
    """
    return [_read(path, name) for path, name in named(paths)]


def _read(path: Path, name: str) -> TrainingRun:
    folder = RunFolder.open(path)
    training: dict[int, dict[str, Any]] = {}
    evaluations: dict[int, dict[str, Any]] = {}
    for line in folder.metrics():
        step = line.get("step")
        if not isinstance(step, int):
            raise RunError(f"{path / METRICS} has a line without a step: mend or remove it")
        for key, value in line.items():
            if key.startswith("eval/"):
                held_out = evaluations.setdefault(step, {"step": step})
                held_out[key.replace("eval/episode/", "eval/", 1)] = value
            elif key.startswith(_OF_TRAINING) and key not in _BESIDE:
                training.setdefault(step, {"step": step})[key] = value
    if not training:
        what = "an evaluation, not training" if folder.summary else "no step of training yet"
        raise RunError(f"{path} holds {what}: name run folders that `visionthink train` has filled")
    return TrainingRun(
        name=name,
        folder=folder,
        config=flatten(folder.config),
        steps=tuple(training[step] for step in sorted(training)),
        evaluations=tuple(evaluations[step] for step in sorted(evaluations)),
    )


# Groups


def group(runs: Sequence[TrainingRun]) -> list[Group]:
    """Groups in the order of their first runs, named by what they differ in."""
    return [Group(label, of_group) for label, of_group in together(runs)]


def kinds(groups: Iterable[Group], prefix: str) -> list[str]:
    """The kinds for which there is a metric `prefix/kind/KIND`, in the order of `KINDS`."""
    return _leaves(groups, f"{prefix}/kind/", list(KINDS))


def families(groups: Iterable[Group], prefix: str) -> list[str]:
    """The families for which there is a metric `prefix/family/FAMILY`."""
    return _leaves(groups, f"{prefix}/family/", [])


def _leaves(groups: Iterable[Group], stem: str, first: list[str]) -> list[str]:
    keys = {key for of_group in groups for key in of_group.keys}
    found = {key.removeprefix(stem) for key in keys if key.startswith(stem)}
    return [*(leaf for leaf in first if leaf in found), *sorted(found - set(first))]


# Figures


def figures(run: TrainingRun) -> dict[str, float | None]:
    """The final figures of a run, by the names of `FIGURES`."""
    return {name: run.final(key) for name, key in FIGURES.items()}


def estimate(of_group: Iterable[TrainingRun], key: str) -> Estimate | None:
    """The final value of a metric over runs; None if none of them has one."""
    values = (run.final(key) for run in of_group)
    return over_runs([value for value in values if value is not None])


@dataclass(frozen=True)
class Setting:
    """One value of a config key, and the runs that have it."""

    value: Any
    runs: tuple[TrainingRun, ...]

    @property
    def label(self) -> str:
        return value_text({"": self.value}, "")


def settings(runs: Sequence[TrainingRun], key: str) -> list[Setting]:
    """The runs by their value of a config key; numbers ascend, others come as they were named.

    Raises:
        UsageError: a run has no such key.
    """
    found: dict[str, list[TrainingRun]] = {}
    for run in runs:
        if key not in run.config:
            raise UsageError(
                f"--by wants a config key of every run, and {run.name} has no {key!r}; "
                f"its keys: {_listed(run.config, key)}"
            )
        found.setdefault(value_text(run.config, key), []).append(run)
    settings = [Setting(of[0].config[key], tuple(of)) for of in found.values()]
    if all(is_number(setting.value) for setting in settings):
        settings.sort(key=lambda setting: setting.value)
    return settings


def _listed(config: Mapping[str, Any], key: str) -> str:
    """Keys of a config, those first that share a part with the wanted one."""
    parts = set(key.split("."))
    near = sorted(config, key=lambda have: (not parts & set(have.split(".")), have))
    return ", ".join(near[:8]) + (", …" if len(near) > 8 else "")
