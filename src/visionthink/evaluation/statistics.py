"""Paired differences between two policies, and F1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
_CELLS = 1 << 22
"""Counts drawn at once; bounds the memory of a bootstrap."""


def paired_bootstrap(differences: Sequence[float], seed: int = 0) -> dict[str, float] | None:
    """The mean of paired differences with the percentile interval of its bootstrap.

    A resample of n differences is determined by how often each distinct value is drawn, so
    multinomial counts are drawn in place of n indices: the same distribution, and three numbers
    instead of thousands where scores are 0 or 1. None for fewer than two pairs.
    """
    n = len(differences)
    if n < 2:
        return None
    values, counts = np.unique(np.asarray(differences, dtype=float), return_counts=True)
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // len(values))
    means = [
        rng.multinomial(n, counts / n, size=min(rows, RESAMPLES - start)) @ values / n
        for start in range(0, RESAMPLES, rows)
    ]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return {"difference": math.fsum(differences) / n, "low": float(low), "high": float(high)}


def f1(pairs: Iterable[tuple[bool, bool | None]]) -> float | None:
    """F1 of "yes" over (truth, said) pairs: 2 · hits / (2 · hits + false yes + missed yes).

    `said` is None for an answer that is neither, which counts as a missed yes. The result is None
    where no yes was true or said.
    """
    hits = wrong = missed = 0
    for truth, said in pairs:
        hits += truth and said is True
        wrong += not truth and said is True
        missed += truth and said is not True
    return 2 * hits / (2 * hits + wrong + missed) if hits + wrong + missed else None
