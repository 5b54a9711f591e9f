"""A measured ratio, printed as a table for people and written as JSON for programs."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Ratio:
    """One line of the table.

    The median must not exceed `bar` or, with `at_least`, must reach it. `limit` is the ratio by
    arithmetic alone.
    """

    name: str
    values: tuple[float, ...]
    bar: float
    limit: float | None = None
    at_least: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        return self.median >= self.bar if self.at_least else self.median <= self.bar


def machine() -> str:
    if torch.cuda.is_available():
        return f"one {torch.cuda.get_device_name()}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def show(ratios: Sequence[Ratio]) -> None:
    """Print the table."""
    limits = any(ratio.limit is not None for ratio in ratios)
    print(f"machine: {machine()}")
    head = f"{'ratio':<44}{'median':>8}{'range':>16}{'bar':>9}"
    print(head + f"{'FLOPs limit':>14}" * limits)
    for ratio in ratios:
        span = f"{min(ratio.values):.2f}-{max(ratio.values):.2f}"
        bar = f"{'≥' if ratio.at_least else '≤'} {ratio.bar:.2f}"
        line = f"{ratio.name:<44}{ratio.median:>8.2f}{span:>16}{bar:>9}"
        if limits:
            line += f"{'' if ratio.limit is None else f'{ratio.limit:.2f}':>14}"
        print(line + ("" if ratio.met else "   not met"))


def save(ratios: Sequence[Ratio], out: Path) -> None:
    """Write the values as JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "name": r.name,
            "median": r.median,
            "values": r.values,
            "bar": r.bar,
            "at_least": r.at_least,
            "limit": r.limit,
        }
        for r in ratios
    ]
    out.write_text(json.dumps(rows, indent=1) + "\n")
