"""Text that is safe to show, and figures with their units, as every report writes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from visionthink.core.images import Size
from visionthink.core.types import Box

_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
# Controls that change the order of the text around them: model text must not reorder ours.
_BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


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


# Figures. Spaces between numbers and units do not break.


def pixels(sizes: Sequence[Size]) -> str:
    """Sizes such as `448 x 336 px`; equal ones are counted, and only the first few are listed."""
    texts = [f"{width:,}\xa0x\xa0{height:,}" for width, height in sizes]
    if len(texts) > 1 and len(set(texts)) == 1:
        return f"{len(texts)} times {texts[0]}\xa0px"
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return f"{', '.join(texts[:3])}\xa0px{more}"


def box_text(box: Box) -> str:
    """A part of an image: `x 0-50 %, y 25-100 %`."""
    x0, y0, x1, y1 = (f"{side / 10:g}" for side in box)
    return f"x {x0}-{x1}\xa0%, y {y0}-{y1}\xa0%"


def count(number: int, noun: str) -> str:
    """`1 token`, `1,234 tokens`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(ratio: float) -> str:
    """`125 %`; below 1 % with one digit more."""
    return f"{ratio * 100:.0f}\xa0%" if ratio >= 0.01 or ratio == 0 else f"{ratio * 100:.1g}\xa0%"


def flops(number: int, beside: int = 0) -> str:
    """Operations in a human unit with three digits, such as `2.05 TFLOPs`.

    `beside` is a figure to compare with: the unit is that of the larger of both.
    """
    largest = max(number, beside)
    scale, prefix = next((unit for unit in _UNITS if largest >= unit[0]), _UNITS[-1])
    value = number / scale
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}\xa0{prefix}FLOPs"


def seconds(value: float) -> str:
    """`0.42 s`, `12.3 s`, `3 min 05 s`."""
    if value < 60:
        return f"{value:.2f}\xa0s" if value < 10 else f"{value:.1f}\xa0s"
    return f"{int(value) // 60:,}\xa0min {int(value) % 60:02d}\xa0s"
