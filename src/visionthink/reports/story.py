"""What happened in an episode, step by step, in the words and figures that every report uses."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from visionthink.core.images import Picture
from visionthink.core.ledger import Ledger
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import parse_reply
from visionthink.core.types import Episode, StopReason

ENDINGS: dict[StopReason, str] = {
    StopReason.ANSWERED: "answered",
    StopReason.MALFORMED: "the last reply holds neither an answer nor a valid request",
    StopReason.OUT_OF_TURNS: "the original was requested in the last turn there was",
    StopReason.LENGTH: "a token limit cut the last reply off",
}
_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
# Controls that change the order of the text around them: model text must not reorder ours.
_BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


@dataclass(frozen=True)
class Step:
    """One reply, and the images that came just before it.

    `note` says why a reply is malformed, or why a request was not served; `delivered` is true for
    the request that was.
    """

    saw: tuple[Picture, ...]
    thought: str
    outcome: Literal["answer", "request", "malformed"]
    note: str = ""
    delivered: bool = False


def steps(episode: Episode) -> tuple[Step, ...]:
    """The replies of an episode, in order."""
    looks: list[tuple[Picture, ...]] = []
    pending: tuple[Picture, ...] = ()
    for message in episode.messages:
        if message.role == "assistant":
            looks.append(pending)
            pending = ()
        else:
            pending += message.images
    found: list[Step] = []
    served = False
    for at, turn in enumerate(episode.turns):
        saw = looks[at] if at < len(looks) else ()
        thought = parse_reply(turn.text, PROFILES[episode.profile]).thought
        delivered = turn.outcome == "request" and episode.requested and not served
        note = turn.note
        if turn.outcome == "request" and not delivered:
            last = at + 1 == len(episode.turns)
            note = "no turn was left to serve it" if last else "refused: it is already shown"
        served = served or delivered
        found.append(Step(saw, thought, turn.outcome, note, delivered))
    return tuple(found)


def first_look(episode: Episode) -> tuple[Picture, ...]:
    """The images of the first prompt, as the model was sent them."""
    told = steps(episode)
    return (told[0].saw if told else ()) or episode.example.images


def shows_original(episode: Episode) -> bool:
    """Whether the first look has the size of the original, so that nothing is left to request."""
    return [p.size for p in first_look(episode)] == [p.size for p in episode.example.images]


def ending(episode: Episode) -> str:
    """Why there is no answer, or what is wrong with it; empty where nothing is."""
    if episode.stop_reason is not StopReason.ANSWERED:
        return ENDINGS[episode.stop_reason]
    return "" if episode.answer else "the answer is empty"


# Words and figures


def clean(text: str) -> str:
    """`text` with controls made visible: model text may hold terminal escapes and worse.

    Newlines stay, tabs become spaces, other ASCII controls their control pictures; controls of the
    writing direction, lone surrogates and noncharacters become U+FFFD.
    """
    return "".join(map(_visible, text.replace("\r\n", "\n").replace("\t", " ")))


def _visible(char: str) -> str:
    if char == "\n" or " " <= char <= "~":
        return char
    if char < " ":
        return chr(0x2400 + ord(char))
    if char == "\x7f":
        return "\u2421"
    hidden = char in _BIDI_CONTROLS or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
    return "\ufffd" if hidden or (ord(char) & 0xFFFE) == 0xFFFE else char


def one_line(text: str) -> str:
    """`clean` text with every run of white space made one space."""
    return " ".join(clean(text).split())


def shortened(text: str, most: int) -> str:
    """`text`, or its beginning and an ellipsis: `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def html_text(text: str) -> str:
    """`clean` text as HTML."""
    return escape(clean(text))


def pixels(pictures: Sequence[Picture]) -> str:
    """Their sizes, such as `448 x 336 px`; equal ones counted, only the first few listed.

    Their spaces do not break, as those between numbers and units here.
    """
    sizes = [f"{width:,}\xa0x\xa0{height:,}" for width, height in (p.size for p in pictures)]
    if len(sizes) > 1 and len(set(sizes)) == 1:
        return f"{len(sizes)} times {sizes[0]}\xa0px"
    more = f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""
    return f"{', '.join(sizes[:3])}\xa0px{more}"


def count(number: int, what: str) -> str:
    """`1 token`, `1,234 tokens`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(ratio: float) -> str:
    """`125 %`; below 1 % with one digit more."""
    return f"{ratio * 100:.0f}\xa0%" if ratio >= 0.01 or ratio == 0 else f"{ratio * 100:.1g}\xa0%"


def flops(number: int, beside: int = 0) -> str:
    """Operations in a human unit with three digits, such as `2.05 TFLOPs`.

    `beside` is a figure to compare with: the unit is that of the larger of both.
    """
    largest = max(number, beside)
    scale, prefix = next((unit for unit in _UNITS if largest >= unit[0]), _UNITS[-1])
    return f"{_three_digits(number / scale)}\xa0{prefix}FLOPs"


def _three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}"


def seconds(value: float) -> str:
    """`0.42 s`, `12.3 s`, `3 min 05 s`."""
    if value < 60:
        return f"{value:.2f}\xa0s" if value < 10 else f"{value:.1f}\xa0s"
    return f"{int(value) // 60:,}\xa0min {int(value) % 60:02d}\xa0s"


def text_tokens(ledger: Ledger) -> int:
    """Tokens of the whole conversation that are no visual tokens: prompts and replies, once each.

    By the last turn, whose prompt holds all that came before it.
    """
    if not ledger.turns:
        return 0
    last = ledger.turns[-1]
    return max(0, last.prompt_tokens + last.completion_tokens - ledger.processed)
