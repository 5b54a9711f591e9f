"""How the figures of training runs moved over the steps: means and ranges over seeds, and where r
lay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from visionthink.reports.grouping import is_number
from visionthink.reports.training import Group


@dataclass(frozen=True)
class Line:
    """A metric over the steps: the mean over `n` runs, and their least and largest values."""

    steps: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int


def line(of_group: Group, key: str, width: int = 1) -> Line | None:
    """The curve of a metric; None if no run has it.

    Each point is the mean over `width` steps, placed in their middle, of all runs that have any
    of these steps.
    """
    curves = [_binned(run.points(key), width) for run in of_group.runs]
    curves = [curve for curve in curves if curve]
    if not curves:
        return None
    at = sorted({step for curve in curves for step in curve})
    columns = [[curve[step] for curve in curves if step in curve] for step in at]
    return Line(
        steps=tuple(step * width + (width - 1) / 2 for step in at),
        mean=tuple(math.fsum(column) / len(column) for column in columns),
        low=tuple(map(min, columns)),
        high=tuple(map(max, columns)),
        n=len(curves),
    )


def _binned(points: Mapping[int, float], width: int) -> dict[int, float]:
    bins: dict[int, list[float]] = {}
    for step, value in points.items():
        bins.setdefault(step // width, []).append(value)
    return {at: math.fsum(values) / len(values) for at, values in bins.items()}


def bin_width(groups: Iterable[Group], most: int) -> int:
    """How many steps must share a point so that no curve has more than about `most` points."""
    longest = max(len(run.steps) for of_group in groups for run in of_group.runs)
    return max(1, math.ceil(longest / most))


@dataclass(frozen=True)
class Histogram:
    """Where r lay. `shares[i]` has the share of each bin of [0, 1] among the groups of prompts for
    which r is defined, from step `edges[i]` up to `edges[i + 1]`; None where it is for none.
    """

    edges: tuple[int, ...]
    shares: tuple[tuple[float, ...] | None, ...]
    undefined: float
    """The share of prompts' groups, over all steps, for which r is not defined."""


def r_histogram(of_group: Group, width: int = 1) -> Histogram | None:
    """The counts of all runs, `width` steps together; None if there are none.

    A step without counts belongs to the one before it: not every step draws new episodes.
    """
    counts: dict[int, list[float]] = {}
    defined = undefined = 0.0
    for step, histogram, none in _histograms(of_group):
        bins = len(next(iter(counts.values()), histogram))
        total = counts.setdefault(step // width, [0.0] * bins)
        for at, number in enumerate(histogram[:bins]):
            total[at] += number
        defined += math.fsum(histogram)
        undefined += none
    if not defined:
        return None
    at = sorted(counts)
    last = at[-1] + (at[-1] - at[-2] if len(at) > 1 else 1)
    return Histogram(
        edges=tuple(step * width for step in (*at, last)),
        shares=tuple(_shares(counts[step]) for step in at),
        undefined=undefined / (defined + undefined),
    )


def _histograms(of_group: Group) -> Iterator[tuple[int, list[float], float]]:
    for run in of_group.runs:
        for step in run.steps:
            histogram = step.get("control/r_histogram")
            if isinstance(histogram, list) and histogram and all(map(is_number, histogram)):
                none = step.get("control/r_undefined")
                yield (
                    step["step"],
                    [float(n) for n in histogram],
                    float(none) if none is not None and is_number(none) else 0.0,
                )


def _shares(counts: Sequence[float]) -> tuple[float, ...] | None:
    total = math.fsum(counts)
    return tuple(count / total for count in counts) if total else None
