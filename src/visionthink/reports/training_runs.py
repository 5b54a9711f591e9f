"""Training runs: their curves, their final figures, and means over seeds.

A run's *final* figures are means over the last tenth of the steps that have them (at least one);
those on held-out questions are from its last evaluation. Runs whose configs differ in nothing but
seeds and places make a *group*.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionthink.core.errors import RunError, UsageError
from visionthink.core.means import mean
from visionthink.reports.run_groups import (
    Estimate,
    is_number,
    named,
    over_runs,
    together,
    value_text,
)
from visionthink.runs.folder import METRICS_FILE, RunFolder, flatten

FINAL_SHARE = 0.1
KINDS = {
    "weak": "weak: half size is enough",
    "strong": "strong: needs the original",
    "lucky": "lucky: needs the original, but can be guessed",
}
"""Kinds of questions in the order in which they are shown, in words; others come after them."""

FIGURES = {
    "request_weak": ("episode/request_rate/kind/weak", "requests weak %"),
    "request_strong": ("episode/request_rate/kind/strong", "requests strong %"),
    "request_lucky": ("episode/request_rate/kind/lucky", "requests lucky %"),
    "accuracy": ("reward/accuracy", "accuracy %"),
    "format": ("reward/format", "reward: format"),
    "reward": ("reward/total", "reward: total"),
    "visual_token_ratio": ("cost/visual_token_ratio", "visual tokens %"),
    "eval_request_weak": ("eval/request_rate/kind/weak", "held-out: requests weak %"),
    "eval_request_strong": ("eval/request_rate/kind/strong", "held-out: requests strong %"),
    "eval_request_lucky": ("eval/request_rate/kind/lucky", "held-out: requests lucky %"),
    "eval_accuracy": ("eval/accuracy", "held-out: accuracy %"),
}
"""Final figures: the metrics that they are means of, and their heads in tables."""

_OF_TRAINING = ("episode/", "reward/", "control/", "judge/", "cost/", "length/", "time/", "train/")
_BESIDE = {"train/epoch"}
"""Lines of evaluations have it as well: it does not make them a step of training."""


@dataclass(frozen=True)
class TrainingRun:
    """A training run as it was read. `config` is flat, with keys such as `reward.rule`.

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

    @property
    def figures(self) -> dict[str, float | None]:
        """The final figures, by the names of `FIGURES`."""
        return {name: self.final(key) for name, (key, _) in FIGURES.items()}


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds only, or that have the same `value` of a config key."""

    label: str
    runs: tuple[TrainingRun, ...]
    value: Any = None

    @property
    def keys(self) -> set[str]:
        return set[str]().union(*(run.keys for run in self.runs))


def read_runs(paths: Sequence[str | os.PathLike[str]]) -> list[TrainingRun]:
    """Read run folders; one that is named twice counts once. Raises RunError: a folder is not a
    run, is broken, or holds no step of training.
    """
    return [_read(path, name) for path, name in named(paths)]


def _read(path: Path, name: str) -> TrainingRun:
    folder = RunFolder.open(path)
    training: dict[int, dict[str, Any]] = {}
    evaluations: dict[int, dict[str, Any]] = {}
    for line in folder.metrics():
        step = line.get("step")
        if not isinstance(step, int):
            raise RunError(f"{path / METRICS_FILE} has a line without a step; mend or remove it")
        for key, value in line.items():
            if key.startswith("eval/"):
                name_of = key.replace("eval/episode/", "eval/", 1)
                evaluations.setdefault(step, {"step": step})[name_of] = value
            elif key.startswith(_OF_TRAINING) and key not in _BESIDE:
                training.setdefault(step, {"step": step})[key] = value
    if not training:
        what = "an evaluation, not training" if folder.summary else "no step of training yet"
        raise RunError(f"{path} holds {what}; name run folders that `visionthink train` has filled")
    steps, held_out = (
        tuple(lines[step] for step in sorted(lines)) for lines in (training, evaluations)
    )
    return TrainingRun(name, folder, flatten(folder.config), steps, held_out)


# Groups


def group(runs: Sequence[TrainingRun]) -> list[Group]:
    """Groups in the order of their first runs, named after their runs."""
    return [Group(label, of_group) for label, of_group in together(runs)]


def kinds(groups: Iterable[Group], prefix: str) -> list[str]:
    """The kinds that have a metric `prefix/kind/KIND`, in the order of `KINDS`."""
    found = leaves(groups, f"{prefix}/kind/")
    return [*(kind for kind in KINDS if kind in found), *(k for k in found if k not in KINDS)]


def leaves(groups: Iterable[Group], stem: str) -> list[str]:
    """What follows a stem in the names of metrics."""
    keys = {key for of_group in groups for key in of_group.keys}
    return sorted(key.removeprefix(stem) for key in keys if key.startswith(stem))


# Figures


def estimate(runs: Iterable[TrainingRun], key: str) -> Estimate | None:
    """The final value of a metric over runs; None if none of them has one."""
    values = (run.final(key) for run in runs)
    return over_runs([value for value in values if value is not None])


def settings(runs: Sequence[TrainingRun], key: str) -> list[Group]:
    """The runs by their value of a config key; numbers ascend, others are in the order given.
    Raises UsageError: a run has no such key.
    """
    found: dict[str, list[TrainingRun]] = {}
    for run in runs:
        if key not in run.config:
            raise UsageError(
                f"--by needs a config key that every run has, and {run.name} has no {key!r}; "
                f"its keys: {_listed(run.config, key)}"
            )
        found.setdefault(value_text(run.config, key), []).append(run)
    groups = [Group(label, tuple(of), of[0].config[key]) for label, of in found.items()]
    numeric = all(is_number(of_group.value) for of_group in groups)
    return sorted(groups, key=lambda of_group: of_group.value) if numeric else groups


def _listed(config: Mapping[str, Any], key: str) -> str:
    """Keys of a config; those that share a part with `key` come first."""
    near = sorted(config, key=lambda have: (not {*key.split(".")} & {*have.split(".")}, have))
    return ", ".join(near[:8]) + (", …" if len(near) > 8 else "")


# Curves


@dataclass(frozen=True)
class SeedCurve:
    """A metric over the steps: the mean over `n` runs, and their least and largest values."""

    steps: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int


def curve(of_group: Group, key: str, width: int = 1) -> SeedCurve | None:
    """The curve of a metric; None if no run has it.

    Each point is the mean over `width` steps, placed in their middle, of all runs that have any
    of these steps.
    """
    curves = [_binned(run.points(key), width) for run in of_group.runs]
    curves = [points for points in curves if points]
    if not curves:
        return None
    at = sorted({step for points in curves for step in points})
    columns = [[points[step] for points in curves if step in points] for step in at]
    steps = tuple(step * width + (width - 1) / 2 for step in at)
    means = tuple(math.fsum(column) / len(column) for column in columns)
    return SeedCurve(steps, means, tuple(map(min, columns)), tuple(map(max, columns)), len(curves))


def _binned(points: Mapping[int, float], width: int) -> dict[int, float]:
    bins: dict[int, list[float]] = {}
    for step, value in points.items():
        bins.setdefault(step // width, []).append(value)
    return {at: math.fsum(values) / len(values) for at, values in bins.items()}


def bin_width(groups: Iterable[Group], most: int) -> int:
    """How many steps share a point, so that no curve has more than about `most` points."""
    longest = max(len(run.steps) for of_group in groups for run in of_group.runs)
    return max(1, math.ceil(longest / most))


@dataclass(frozen=True)
class Histogram:
    """The distribution of r by step. `shares[i]` has the share of each bin of [0, 1] among the
    prompts for which r is defined, from step `edges[i]` up to `edges[i + 1]`; None where there are
    none.
    """

    edges: tuple[int, ...]
    shares: tuple[tuple[float, ...] | None, ...]
    undefined: float
    """The share of prompts' groups, over all steps, for which r is not defined."""


def r_histogram(of_group: Group, width: int = 1) -> Histogram | None:
    """The counts of all runs, `width` steps together; None if there are none.

    A step without counts belongs to the one before it: not every step samples new episodes.
    """
    counts: dict[int, list[float]] = {}
    defined = undefined = 0.0
    for step in (step for run in of_group.runs for step in run.steps):
        found, none = step.get("control/r_histogram"), step.get("control/r_undefined")
        if not isinstance(found, list) or not found or not all(map(is_number, found)):
            continue
        bins = len(next(iter(counts.values()), found))
        total = counts.setdefault(step["step"] // width, [0.0] * bins)
        for at, number in enumerate(found[:bins]):
            total[at] += number
        defined += math.fsum(found)
        undefined += float(none) if none is not None and is_number(none) else 0.0
    if not defined:
        return None
    at = sorted(counts)
    last = at[-1] + (at[-1] - at[-2] if len(at) > 1 else 1)
    sums = [(counts[step], math.fsum(counts[step])) for step in at]
    return Histogram(
        edges=tuple(step * width for step in (*at, last)),
        shares=tuple(tuple(n / total for n in of) if total else None for of, total in sums),
        undefined=undefined / (defined + undefined),
    )
