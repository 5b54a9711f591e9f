"""F1 of "yes", as POPE reports it."""

from __future__ import annotations

from collections.abc import Iterable


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
