"""Normalised Levenshtein similarity, as ANLS uses it (arXiv 1905.13648)."""

from __future__ import annotations


def similarity(first: str, second: str) -> float:
    """1 - distance / longer length, without outer spaces and case; 1 where both are empty."""
    first, second = first.strip().casefold(), second.strip().casefold()
    longer = max(len(first), len(second))
    return 1 - distance(first, second) / longer if longer else 1.0


def distance(first: str, second: str) -> int:
    """Fewest insertions, deletions and replacements that turn one text into the other.

    Columns of the edit matrix are kept as bits of two integers (vertical steps up and down), so
    that 20,000 characters take a moment.
    """
    if not first:
        return len(second)
    where: dict[str, int] = {}
    for at, char in enumerate(first):
        where[char] = where.get(char, 0) | 1 << at
    full, last = (1 << len(first)) - 1, 1 << len(first) - 1
    up, down, steps = full, 0, len(first)
    for char in second:
        match = where.get(char, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        rises = down | ~(diagonal | up) & full
        falls = up & diagonal
        steps += bool(rises & last) - bool(falls & last)
        rises = (rises << 1 | 1) & full
        falls = falls << 1 & full
        up = falls | ~(match | down | rises) & full
        down = rises & (match | down)
    return steps
