"""An episode as plain text for a terminal: what was seen, thought, requested, answered and spent.

question     How much is the tea?
first look   224 x 168 px, 48 visual tokens; the original is 448 x 336 px, 192
thought      The lines are there, but the prices are too small to read.
request      the original
second look  448 x 336 px, 192 visual tokens
thought      The line says TEA 4.20.
answer       4.20
tokens       visual 240 processed, 125 % of vanilla (the original alone: 192); text 575
cost         prefill 18.2 TFLOPs vs 9.08 TFLOPs vanilla; 0.62 s
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator

from visionthink.core.ledger import Ledger
from visionthink.core.types import Episode
from visionthink.reports.story import count as counted
from visionthink.reports.story import (
    ending,
    first_look,
    flops,
    one_line,
    percent,
    pixels,
    seconds,
    shows_original,
    steps,
    text_tokens,
)

COLUMNS = 100
LABEL = 13
"""Columns of the label, with the space after it."""
MAX_LINES = 8
"""Lines of one thought, question or answer; what does not fit is counted."""


def transcript(episode: Episode) -> str:
    """The trace of `episode`: lines of at most 100 columns, without escape codes or a newline at
    the end.

    Every part is safe to print: control characters of the model's or user's text are made visible.
    *Processed* visual tokens are those of the first look and of what was requested; *vanilla* are
    those of the original alone. *Text* tokens are the conversation's, each counted once; *cached*
    are prompt tokens of all turns, text and visual, that were not computed again.
    """
    return "\n".join(line for label, text in _rows(episode) for line in _row(label, text))


def _rows(episode: Episode) -> Iterator[tuple[str, str]]:
    """Labels and the text beside them."""
    ledger = episode.ledger
    yield "question", one_line(episode.example.question)
    first = f"{pixels(first_look(episode))}, {counted(ledger.first, 'visual token')}"
    original = f"the original is {pixels(episode.example.images)}, {ledger.vanilla:,}"
    same = "this is the original"
    yield "first look", f"{first}; {same if shows_original(episode) else original}"
    for at, step in enumerate(steps(episode)):
        if at and step.saw:
            tokens = counted(ledger.requested, "visual token")
            yield "second look", f"{pixels(step.saw)}, {tokens}"
        if step.thought:
            yield "thought", one_line(step.thought)
        if step.outcome == "request":
            yield "request", f"the original ({step.note})" if step.note else "the original"
        elif step.outcome == "malformed":
            yield "malformed", one_line(step.note)
    problem = ending(episode)
    if episode.answer:
        yield "answer", one_line(episode.answer)
        if problem:
            yield "note", problem
    else:
        yield "no answer", problem
    yield "tokens", _tokens(ledger)
    yield "cost", _cost(ledger)


def _tokens(ledger: Ledger) -> str:
    visual = f"visual {ledger.processed:,} processed, {percent(ledger.ratio)} of vanilla"
    pieces = [f"{visual} (the original alone: {ledger.vanilla:,})", f"text {text_tokens(ledger):,}"]
    if ledger.cached_tokens:
        pieces.append(f"cached {ledger.cached_tokens:,}")
    return "; ".join(pieces)


def _cost(ledger: Ledger) -> str:
    ours, theirs = ledger.prefill_flops, ledger.vanilla_prefill_flops
    if ours is None or theirs is None:
        return seconds(ledger.seconds)
    compared = f"prefill {flops(ours, theirs)} vs {flops(theirs, ours)} vanilla"
    return f"{compared}; {seconds(ledger.seconds)}"


def _row(label: str, text: str) -> Iterator[str]:
    for at, line in enumerate(wrap(text, COLUMNS - LABEL, MAX_LINES)):
        yield f"{'' if at else label:<{LABEL}}{line}".rstrip()


def wrap(text: str, columns: int, max_lines: int) -> list[str]:
    """`text` in at most `max_lines` lines of `columns` columns; at least one line.

    Columns are those of a terminal: East Asian wide characters and emoji take two.
    """
    # A null, which cleaned text cannot hold, stands for the second column of a wide character. The
    # column held back is for one whose null came onto the next line.
    wide = "".join(c + "\0" if unicodedata.east_asian_width(c) in "WF" else c for c in text)
    room = columns - (len(wide) > len(text))
    lines = textwrap.wrap(wide, room, break_on_hyphens=False)
    lines = [line for line in lines if line != "\0"] or [""]
    if len(lines) > max_lines:
        kept = lines[: max_lines - 1]
        left = sum(len(line.replace("\0", "")) for line in lines[max_lines - 1 :])
        lines = [*kept, f"… {left:,} more characters"]
    return [line.replace("\0", "").replace("\xa0", " ") for line in lines]
