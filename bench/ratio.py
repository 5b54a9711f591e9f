"""A measured ratio, the table that people read and the file that programs read."""

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
    """One line of the table. `bar` is what the median must not exceed."""

    name: str
    values: tuple[float, ...]
    bar: float
    limit: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def machine() -> str:
    if torch.cuda.is_available():
        return f"one {torch.cuda.get_device_name()}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def show(ratios: Sequence[Ratio]) -> None:
    """Print the table."""
    print(f"machine: {machine()}")
    print(f"{'ratio':<38}{'median':>8}{'range':>16}{'bar':>8}{'FLOPs limit':>14}")
    for ratio in ratios:
        span = f"{min(ratio.values):.2f}-{max(ratio.values):.2f}"
        limit = "" if ratio.limit is None else f"{ratio.limit:.2f}"
        met = "" if ratio.median <= ratio.bar else "   over the bar"
        print(f"{ratio.name:<38}{ratio.median:>8.2f}{span:>16}{ratio.bar:>8.2f}{limit:>14}{met}")


def save(ratios: Sequence[Ratio], out: Path) -> None:
    """Write the values as JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"name": r.name, "median": r.median, "values": r.values, "bar": r.bar, "limit": r.limit}
        for r in ratios
    ]
    out.write_text(json.dumps(rows, indent=1) + "\n")
