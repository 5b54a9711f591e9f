"""What evaluation runs came to: the rows that they left, and means over runs that belong together.

A run that was not finished has no rows yet; they are counted from the episodes that there are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from visionthink.core.errors import RunError
from visionthink.reports.episode_rows import rows_of_episodes
from visionthink.reports.grouping import is_number, named
from visionthink.runs.folder import EPISODES, METRICS, SUMMARY, RunFolder, flatten

ALL = "all"
"""The family that stands for a whole suite."""
FIGURES = (
    *("accuracy", "stderr", "f1", "request_rate"),
    *("visual_token_ratio", "visual_token_ratio_replaced", "flops_ratio", "paper_flops_ratio"),
    *("prompt_tokens", "completion_tokens"),
    *("seconds_per_sample", "seconds_alone", "peak_memory"),
)
INTERVAL = ("difference", "low", "high")
_SCOPE = {"suites", "policies", "gallery", "max_failures"}
"""Config keys that say what was asked and kept, not how a model was asked."""
_SEED = re.compile(r"(?i)(?<![a-z0-9])seed[-_=]?\d+(?![a-z0-9])")


@dataclass(frozen=True)
class Row:
    """One policy on one family of a suite, or on all of it.

    `figures` holds those of `FIGURES` that there are; `versus` the difference from `high` in
    accuracy and where it lies, as `INTERVAL`.
    """

    suite: str
    family: str
    kind: str | None
    policy: str
    n: int
    errors: int
    figures: Mapping[str, float]
    versus: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class EvaluationRun:
    """A run of evaluation as it was read. `config` is flat, without what only says which questions
    were asked by which policies; seeds in the names of models are made equal.

    `notes` say what is wrong or missing.
    """

    name: str
    folder: RunFolder
    config: Mapping[str, Any]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def is_evaluation(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds what an evaluation leaves, finished or not.

    Raises:
        RunError: there is no run, or its episodes are broken.
    """
    folder = RunFolder.open(path)
    if (folder.path / SUMMARY).exists():
        return True
    if (folder.path / METRICS).exists():
        return False
    first = next(folder.episodes(), None)
    return "policies" in folder.config if first is None else "policy" in first


def read_evaluations(paths: Sequence[str | os.PathLike[str]]) -> list[EvaluationRun]:
    """Read run folders; one named twice counts once.

    Raises:
        RunError: a folder is no run, is broken, or holds no answer yet.
    """
    return [_read(path, name) for path, name in named(paths)]


def _read(path: Path, name: str) -> EvaluationRun:
    folder = RunFolder.open(path)
    notes: list[str] = []
    lines = folder.summary
    if not lines:
        lines, counted = rows_of_episodes(folder.episodes())
        if not lines:
            raise RunError(
                f"{path} holds no answer yet: its evaluation has written neither {SUMMARY} nor "
                f"{EPISODES}; go on with it (visionthink eval … --resume)"
            )
        notes.append(
            f"{name} is not finished: there is no {SUMMARY}, and its figures are of the "
            f"{counted:,} answers so far"
        )
    rows = tuple(_row(line, f"{path / SUMMARY}, row {at}") for at, line in enumerate(lines, 1))
    seen: set[tuple[str, str, str]] = set()
    for at, row in enumerate(rows, 1):
        key = (row.suite, row.family, row.policy)
        if key in seen:
            raise RunError(
                f"{path / SUMMARY}, row {at}: a second one of suite {row.suite}, family "
                f"{row.family}, policy {row.policy}; remove one of them"
            )
        seen.add(key)
    return EvaluationRun(name, folder, _config(folder.config), rows, (*notes, *_gaps(name, rows)))


def _row(line: Mapping[str, Any], where: str) -> Row:
    """Raises RunError: what makes a row is missing or of another kind."""
    for key in ("suite", "family", "policy"):
        if not isinstance(line.get(key), str):
            raise RunError(f"{where}: {key!r} must be a text; mend or remove that row")
    n, errors, kind = line.get("n"), line.get("errors", 0), line.get("kind")
    if not _is_count(n) or not _is_count(errors):
        raise RunError(f"{where}: 'n' and 'errors' must be counts; mend or remove that row")
    versus = line.get("vs_high")
    held = [versus.get(key) for key in INTERVAL] if isinstance(versus, Mapping) else []
    numbers = [value for value in held if is_number(value)]
    return Row(
        suite=line["suite"],
        family=line["family"],
        kind=kind if isinstance(kind, str) else None,
        policy=line["policy"],
        n=n,
        errors=errors,
        figures={key: float(line[key]) for key in FIGURES if is_number(line.get(key))},
        versus=(numbers[0], numbers[1], numbers[2]) if len(numbers) == len(INTERVAL) else None,
    )


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _gaps(name: str, rows: Sequence[Row]) -> list[str]:
    """What is amiss with rows that can be read."""
    notes: list[str] = []
    for suite in dict.fromkeys(row.suite for row in rows):
        whole = [row for row in rows if (row.suite, row.family) == (suite, ALL)]
        blank = [row.policy for row in whole if "accuracy" not in row.figures]
        if blank:
            notes.append(f"{name}: no answer to {suite} was scored with {', '.join(blank)}")
        failed = [
            f"{row.errors:,} of {row.n + row.errors:,} with {row.policy}"
            for row in whole
            if row.errors
        ]
        if failed:
            notes.append(
                f"{name}: samples of {suite} failed and count for nothing in the means: "
                f"{', '.join(failed)}"
            )
        asked = {row.n + row.errors for row in whole}
        if len(asked) > 1:
            notes.append(
                f"{name}: not every policy was asked all of {suite} ({min(asked):,} to "
                f"{max(asked):,} samples)"
            )
    return notes


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    flat = flatten({k: v for k, v in config.items() if k not in _SCOPE})
    return {k: _SEED.sub("seed", v) if isinstance(v, str) else v for k, v in flat.items()}


def families(rows: Iterable[Row], suite: str) -> dict[str, str | None]:
    """The families of a suite, and their kinds, in the order of their rows."""
    return {row.family: row.kind for row in rows if row.suite == suite and row.family != ALL}
