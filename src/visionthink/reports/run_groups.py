"""Which runs belong together, what they are called, and means over them.

Runs whose configs differ in nothing but seeds, places, and what is kept of them make a *group*.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeGuard, TypeVar

from visionthink.core.intervals import Interval, student, wilson
from visionthink.core.means import mean, stderr

_APART = {
    *("seed", "seeds", "data_seed"),
    *("out", "output_dir", "logging_dir", "run_name", "resume", "report_to"),
    *("save_steps", "save_total_limit", "logging_steps", "samples_per_step", "gallery"),
}
"""Last parts of config keys in which the runs of a group may differ."""
_LABEL = 44
_NUMBER = re.compile(r"[-_./ ]*(seed|(?<![a-z])s)?[-_./ ]*\d*$|\d+$")
"""The end of a name that runs have in common up to their seeds."""


class Run(Protocol):
    """What has a name and a flat config, with keys such as `reward.rule`."""

    @property
    def name(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...


R = TypeVar("R", bound=Run)


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` runs and its standard error; of a single run, that of its samples.

    `interval` is the 95 % interval of a share of samples; other figures have none.
    """

    mean: float
    stderr: float | None
    n: int
    interval: Interval | None = None

    def text(self, scale: float = 100, digits: int = 1) -> str:
        """`50.0 (40.4 to 59.6)` of a share, else `50.0 ± 2.0`; by default in percent."""
        spread = "" if self.stderr is None else f" ± {self.stderr * scale:.{digits}f}"
        if self.interval is not None:
            low, high = (f"{end * scale:.{digits}f}" for end in self.interval)
            spread = f" ({low} to {high})"
        return f"{self.mean * scale:.{digits}f}{spread}"

    def errors(self) -> tuple[float, float] | None:
        """How far the error bar reaches below the mean, and above."""
        if self.interval is not None:
            low, high = self.interval
            return self.mean - low, high - self.mean
        return None if self.stderr is None else (self.stderr, self.stderr)

    def to_json(self) -> dict[str, Any]:
        held = {"mean": self.mean, "stderr": self.stderr, "n": self.n}
        if self.interval is not None:
            held |= {"ci_low": self.interval[0], "ci_high": self.interval[1]}
        return held


def over_runs(values: Sequence[float]) -> Estimate | None:
    """The mean of values, one a run, and its standard error; None of no values."""
    average = mean(values)
    return None if average is None else Estimate(average, stderr(values), len(values))


def share_over_runs(shares: Sequence[tuple[float, int]]) -> Estimate | None:
    """The mean of shares of n samples, one a run, and its interval; None of no shares.

    Runs ask the same samples, so the interval of a single run does not shrink with their number:
    its mean over runs is widened by that of the spread over runs (root of the sum of squares).
    """
    values = [share for share, _ in shares]
    found = over_runs(values)
    ends = [interval for share, n in shares if (interval := wilson(share, n)) is not None]
    if found is None or len(ends) < len(shares):
        return found
    between = student(values) or 0.0
    below, above = (
        math.hypot(found.mean - math.fsum(side) / len(ends), between)
        for side in zip(*ends, strict=True)
    )
    interval = max(0.0, found.mean - below), min(1.0, found.mean + above)
    return replace(found, interval=interval)


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def named(paths: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, str]]:
    """Folders and their names: the last parts of their paths, as many as tell them apart. A folder
    that is given twice is there once.
    """
    found = {Path(path).resolve(): Path(path) for path in paths}
    parts, names = 0, list[str]()
    while len(set(names)) < len(found):
        parts += 1
        names = ["/".join(path.parts[-parts:]) for path in found]
    return list(zip(found.values(), names, strict=True))


# Groups


def together(runs: Sequence[R], *, by_config: bool = False) -> list[tuple[str, tuple[R, ...]]]:
    """Groups in the order of their first runs, each with a label that no other group has.

    The label is what the names of a group's runs have in common; with `by_config` it is the values
    of the config keys in which the groups differ, where these are short.
    """
    found: dict[str, list[R]] = {}
    for run in runs:
        found.setdefault(json.dumps(_essence(run), sort_keys=True), []).append(run)
    members = [tuple(group) for group in found.values()]
    return list(zip(_labels(members, by_config), members, strict=True))


def _essence(run: Run) -> dict[str, Any]:
    return {k: v for k, v in run.config.items() if k.rpartition(".")[2] not in _APART}


def differing(runs: Iterable[Run]) -> list[str]:
    """Config keys, seeds and places apart, in which the runs differ."""
    configs = [_essence(run) for run in runs]
    keys = sorted({key for config in configs for key in config})
    return [key for key in keys if len({value_text(config, key) for config in configs}) > 1]


def _labels(members: Sequence[Sequence[Run]], by_config: bool) -> list[str]:
    firsts = [group[0] for group in members]
    keys = differing(firsts)
    by_names = [_common([run.name for run in group]) for group in members]
    by_values = [
        ", ".join(f"{key.rpartition('.')[2]} {value_text(run.config, key)}" for key in keys)
        for run in firsts
    ]
    short = all(0 < len(label) <= _LABEL for label in by_values)
    for labels in (by_values, by_names) if by_config and short else (by_names,):
        if len(set(labels)) == len(labels):
            return labels
    return [run.name for run in firsts]


def _common(names: Sequence[str]) -> str:
    """What the names begin with, without the number or seed that tells them apart."""
    if len(names) == 1:
        return names[0]
    common = os.path.commonprefix(list(names))  # noqa: RUF071 - names, not paths
    return _NUMBER.sub("", common) or names[0]


def value_text(config: Mapping[str, Any], key: str) -> str:
    """The value of a config key as text; `null` where there is none."""
    value = config.get(key)
    return value if isinstance(value, str) else json.dumps(value)
