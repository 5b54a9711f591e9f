"""An episode as plain text for a terminal: what was shown, thought, requested, answered and spent.

question     How much is the tea?
first look   224 x 168 px, 48 visual tokens, of an image of 448 x 336 px
thought      The lines are there, but the prices are too small to read.
request      original
look         original: 448 x 336 px, 192 visual tokens
thought      The line says TEA 4.20.
answer       4.20
tokens       visual 240 processed, 125 % of vanilla (the original alone: 192); text 575
cost         prefill 18.2 TFLOPs vs 9.08 TFLOPs vanilla; 0.62 s
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from visionthink.core.ledger import Ledger
from visionthink.core.types import Episode, Look
from visionthink.reports.formatting import box_text, flops, one_line, percent, pixels, seconds
from visionthink.reports.formatting import count as counted
from visionthink.reports.steps import ending, shows_all_at_first, steps

COLUMNS = 100
LABEL = 13  # columns of the label, with the space after it
MAX_LINES = 8
"""Lines of one thought, question or answer; the characters of the rest are counted."""


def transcript(episode: Episode) -> str:
    """The trace of `episode`: lines of at most 100 columns, without escape codes or a newline at
    the end.

    Every part is safe to print: control characters in text of the model or the user are made
    visible. Sizes of looks are those that the model saw. *Processed* visual tokens are those of all
    looks; *vanilla* are those of the original alone. *Text* tokens are the conversation's, each
    counted once; *cached* are prompt tokens, text and visual, that were not computed again.
    """
    return "\n".join(line for label, text in _rows(episode) for line in _row(label, text))


def _rows(episode: Episode) -> Iterator[tuple[str, str]]:
    """Labels and the text beside them."""
    yield "question", one_line(episode.example.question)
    for step in steps(episode):
        for (action, box), looks in groupby(step.looks, lambda look: (look.action, look.box)):
            same = list(looks)
            if action is None:
                yield "first look", f"{_sizes(same)}{_of_what(episode)}"
            else:
                part = f", {box_text(box)}" if box else ""
                yield "look", f"{action}{part}: {_sizes(same)}"
        if step.thought:
            yield "thought", one_line(step.thought)
        if step.outcome == "request":
            yield "request", f"{step.action} ({step.note})" if step.note else step.action
        elif step.outcome == "malformed":
            yield "malformed", one_line(step.note)
    problem = ending(episode)
    if episode.answer:
        yield "answer", one_line(episode.answer)
        if problem:
            yield "note", problem
    else:
        yield "no answer", problem
    yield "tokens", _tokens(episode.ledger)
    yield "cost", _cost(episode.ledger)


def _sizes(looks: Sequence[Look]) -> str:
    tokens = sum(look.visual_tokens for look in looks)
    return f"{pixels([look.size for look in looks])}, {counted(tokens, 'visual token')}"


def _of_what(episode: Episode) -> str:
    if shows_all_at_first(episode):
        return "; this is the original"
    sizes = [picture.size for picture in episode.example.images]
    if not sizes:
        return ""
    return f", of {'an image' if len(sizes) == 1 else 'images'} of {pixels(sizes)}"


def _tokens(ledger: Ledger) -> str:
    visual = f"visual {ledger.processed:,} processed, {percent(ledger.ratio)} of vanilla"
    last = ledger.turns[-1] if ledger.turns else None  # its prompt holds all that came before it
    text = max(0, last.prompt_tokens + last.completion_tokens - ledger.processed) if last else 0
    pieces = [f"{visual} (the original alone: {ledger.vanilla:,})", f"text {text:,}"]
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
