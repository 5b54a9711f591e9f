"""Which runs belong together, what they are called, and what they come to: means over seeds.

Runs whose configs differ in nothing but seeds, places, and what is kept of them make a *group*.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeGuard, TypeVar

from visionthink.core.means import mean, stderr

_APART = {
    *("seed", "seeds", "data_seed"),
    *("out", "output_dir", "logging_dir", "run_name", "resume"),
    *("save_steps", "save_total_limit", "logging_steps", "samples_per_step", "gallery"),
}
"""Last parts of config keys in which the runs of a group may differ."""
_LABEL = 44


class Run(Protocol):
    """What has a name and a flat config, with keys such as `reward.rule`."""

    @property
    def name(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...


R = TypeVar("R", bound=Run)


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` runs and its standard error; of a single run, that which it has itself."""

    mean: float
    stderr: float | None
    n: int


def over_runs(values: Sequence[float]) -> Estimate | None:
    """The mean of values, one a run or a sample, and its standard error; None of no values."""
    average = mean(values)
    return None if average is None else Estimate(average, stderr(values), len(values))


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """The mean; None if one of them is missing."""
    held = [value for value in values if value is not None]
    return mean(held) if len(held) == len(values) else None


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def named(paths: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, str]]:
    """Folders and what they are called; one that is given twice is there once."""
    found = {Path(path).resolve(): Path(path) for path in paths}
    return list(zip(found.values(), _names(list(found)), strict=True))


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of paths, as many as make them differ."""
    for count in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        found = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(found)) == len(found):
            return found
    return [str(path) for path in paths]


# Groups


def together(runs: Sequence[R]) -> list[tuple[str, tuple[R, ...]]]:
    """Groups in the order of their first runs, each with a label: what the groups differ in."""
    found: dict[str, list[R]] = {}
    for run in runs:
        found.setdefault(json.dumps(_essence(run), sort_keys=True), []).append(run)
    members = [tuple(of_group) for of_group in found.values()]
    return list(zip(_labels(members), members, strict=True))


def _essence(run: Run) -> dict[str, Any]:
    return {k: v for k, v in run.config.items() if k.rpartition(".")[2] not in _APART}


def differing(runs: Iterable[Run]) -> list[str]:
    """Config keys, seeds and places apart, in which the runs differ."""
    configs = [_essence(run) for run in runs]
    keys = sorted({key for config in configs for key in config})
    return [key for key in keys if len({value_text(config, key) for config in configs}) > 1]


def _labels(members: Sequence[Sequence[Run]]) -> list[str]:
    firsts = [of_group[0] for of_group in members]
    keys = differing(firsts)
    said = [
        ", ".join(f"{key.rpartition('.')[2]} {value_text(run.config, key)}" for key in keys)
        for run in firsts
    ]
    if len(firsts) <= 1 or len(set(said)) < len(said) or max(map(len, said)) > _LABEL:
        said = [_common([run.name for run in of_group]) for of_group in members]
    if len(set(said)) < len(said):
        said = [run.name for run in firsts]
    return said


def _common(found: Sequence[str]) -> str:
    """What the names begin with, without the number or seed that tells them apart."""
    if len(found) == 1:
        return found[0]
    first, last = min(found), max(found)
    same = next((n for n in range(len(first)) if first[n] != last[n : n + 1]), len(first))
    return re.sub(r"[-_./ ]+(seed|s)?\d*$|\d+$", "", first[:same]) or found[0]


def value_text(config: Mapping[str, Any], key: str) -> str:
    """The value of a config key as text; `null` where there is none."""
    value = config.get(key)
    return value if isinstance(value, str) else json.dumps(value)
