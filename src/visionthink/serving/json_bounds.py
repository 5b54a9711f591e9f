"""How much a JSON text may hold, counted before it is parsed.

A parser makes objects of 50 bytes and more from two characters, and a validator an error for each.
What is counted here needs a few passes of C over the bytes and no memory to speak of.
"""

from __future__ import annotations

import re

MAX_VALUES = 100_000
"""Lists, objects, texts and numbers of a request. A conversation of 1,000 messages with an image
and a text each has 15,000; a large schema some thousands."""
MAX_OUTSIDE = 4 * 2**20
"""Bytes outside of texts, spaces included."""
MAX_DEPTH = 100
MAX_DIGITS = 400
"""Of a number outside of texts; a double has at most 309 before its point."""

MAX_ESCAPES = 1_000_000
"""Base64 with each of its slashes escaped has one in 64 characters."""

_MARKS = (b"[", b"]", b"{", b"}", b",")
_LONG_NUMBER = re.compile(rb"[0-9.]{%d}" % (MAX_DIGITS + 1))


def json_problem(text: bytes, characters: int) -> str | None:
    """What is too much in a JSON text; None: it may be parsed. Blocks.

    `characters`: of a text that is not plain ASCII, whose every character may take 4 bytes.
    """
    plain = text
    if escapes := text.count(b"\\"):
        if escapes > MAX_ESCAPES:
            return f"it has more than {MAX_ESCAPES:,} escapes"
        plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 2 * MAX_VALUES:
        return f"it has more than {MAX_VALUES:,} texts"
    pieces = plain.split(b'"')  # outside, inside, outside, …
    if sum(map(len, pieces[::2])) > MAX_OUTSIDE:
        return f"it has more than {MAX_OUTSIDE:,} characters outside of texts"
    outside = b"".join(pieces[::2])
    if sum(map(outside.count, _MARKS)) > 2 * MAX_VALUES:
        return f"it has more than {MAX_VALUES:,} values"
    if _depth(outside) > MAX_DEPTH:
        return f"it is nested more than {MAX_DEPTH} levels deep"
    if _LONG_NUMBER.search(outside):
        return f"it has a number of more than {MAX_DIGITS} digits"
    most = 12 * characters  # bytes of that many, each as two escapes
    if any(len(piece) > most and not _is_narrow(piece) for piece in pieces[1::2]):
        return f"it has a text of more than {characters:,} characters"
    return None


def _is_narrow(piece: bytes) -> bool:
    return piece.isascii() and b"\\u" not in piece


def _depth(outside: bytes) -> int:
    depth = deepest = 0
    for bracket in re.findall(rb"[\[\]{}]", outside):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
