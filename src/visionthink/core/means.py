"""The mean of some values, and its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def stderr(values: Sequence[float]) -> float | None:
    """Standard error of the mean, sqrt(sum (x - mean)² / (n - 1) / n); None below two values."""
    n, middle = len(values), mean(values)
    if middle is None or n < 2:
        return None
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (n - 1) / n)
