"""A card to draw on with Pillow alone: text, boxes, arrows and images, in points.

Two pixels make a point, so that pictures are sharp at half their size. Shapes are drawn larger
still and shrunk, since Pillow does not smooth their edges.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, cast

from PIL import Image, ImageDraw, ImageFont

SCALE = 2
"""Pixels a point."""
_SMOOTH = 3
"""How many times larger shapes are drawn before they are shrunk."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Align = Literal["left", "middle", "right"]

_To = Callable[[Point], Point]
_ANCHORS = {"left": "ls", "middle": "ms", "right": "rs"}
# The font that Pillow carries has ASCII and a few signs more.
_STAND_INS = {
    "\N{MULTIPLICATION SIGN}": "x", "\N{EN DASH}": "-", "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-", "\N{HYPHEN}": "-", "→": "->", "←": "<-", "≤": "<=", "≥": ">=",
    "≈": "~", "€": "EUR ", "£": "GBP ", "¥": "JPY ", "ß": "ss", "æ": "ae", "Æ": "AE",
    "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "œ": "oe", "Œ": "OE",
}  # fmt: skip


@lru_cache(maxsize=32)
def font(size: float) -> ImageFont.FreeTypeFont:
    """The font inside Pillow at `size` points. Raises ImportError if Pillow has no FreeType."""
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size * SCALE))


@lru_cache(maxsize=4096)
def _drawable(char: str) -> bool:
    return _glyph(char) != _glyph("\uffff")


def _glyph(char: str) -> bytes:
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((16, 16), char, 255, font(10))
    return image.tobytes()


def fold(text: str) -> str:
    """`text` in characters that the font has: accents dropped, signs spelled out.

    Characters for which it has nothing (other scripts, emoji) stay, and are drawn as empty boxes.
    """
    return "".join(map(_fold, " ".join(text.split())))


@lru_cache(maxsize=4096)
def _fold(char: str) -> str:
    if char == " " or (char.isprintable() and _drawable(char)):
        return char
    if char in _STAND_INS:
        return _STAND_INS[char]
    if unicodedata.category(char) in ("Mn", "Me", "Cf", "Cc"):
        return ""
    plain = "".join(c for c in unicodedata.normalize("NFKD", char) if _drawable(c))
    return plain or "\uffff"


def text_width(text: str, size: float) -> float:
    """Points that a line of folded text takes."""
    return font(size).getlength(text) / SCALE


def wrap(text: str, size: float, width: float, max_lines: int) -> list[str]:
    """`text`, folded, in at most `max_lines` lines of `width` points; the last ends in an ellipsis
    if there is more. Words longer than a line are broken.
    """
    lines: list[str] = []
    line = ""
    # No glyph is narrower than an eighth of its size: what lies beyond cannot be shown.
    room = int(max_lines * (width / size * 8 + 1))
    words = fold(text[: 4 * room])[:room].split()
    while words and len(lines) <= max_lines:
        word = words.pop(0)
        tried = f"{line} {word}" if line else word
        if text_width(tried, size) <= width:
            line = tried
        elif line:
            lines.append(line)
            line = ""
            words.insert(0, word)
        else:
            fits = next(
                (n for n in range(1, len(word)) if text_width(word[: n + 1], size) > width), 1
            )
            lines.append(word[:fits])
            words.insert(0, word[fits:])
    if line:
        lines.append(line)
    if len(lines) <= max_lines:
        return lines
    last = lines[max_lines - 1]
    while last and text_width(f"{last}…", size) > width:
        last = last[:-1]
    return [*lines[: max_lines - 1], f"{last.rstrip(' .,;:')}…"]


def enlarged(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` at `size` pixels so that its own pixels stay visible as squares if it is enlarged.

    An enlargement by no whole number goes through the next larger one and is shrunk, which keeps
    all squares equal; a reduction is a smooth one.
    """
    factors = [-(-wanted // had) for wanted, had in zip(size, image.size, strict=True)]
    if max(factors) == 1:
        return image.resize(size, Image.Resampling.LANCZOS)
    blocky = (image.width * factors[0], image.height * factors[1])
    return image.resize(blocky, Image.Resampling.NEAREST).resize(size, Image.Resampling.BOX)


class Canvas:
    """An RGBA image, transparent at first; all positions and lengths are points."""

    def __init__(self, width: float, height: float) -> None:
        self.image = Image.new("RGBA", (_pixels(width), _pixels(height)), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self,
        at: Point,
        text: str,
        size: float,
        colour: str,
        *,
        bold: bool = False,
        align: Align = "left",
    ) -> None:
        """One line of folded text; `at` is on its base line."""
        self._draw.text(
            (at[0] * SCALE, at[1] * SCALE),
            fold(text),
            colour,
            font(size),
            anchor=_ANCHORS[align],
            stroke_width=1 if bold else 0,
            stroke_fill=colour,
        )

    def box(
        self,
        box: Box,
        *,
        radius: float = 0,
        fill: str | None = None,
        line: str | None = None,
        width: float = 1,
    ) -> None:
        """A box with round corners; its line, `width` points wide, is inside."""
        if fill is not None:
            self._paint(box, fill, lambda draw, to: _rounded(draw, to, box, radius, 255))
        if line is not None:
            left, top, right, bottom = box
            hole = (left + width, top + width, right - width, bottom - width)

            def ring(draw: ImageDraw.ImageDraw, to: _To) -> None:
                _rounded(draw, to, box, radius, 255)
                _rounded(draw, to, hole, max(0, radius - width), 0)

            self._paint(box, line, ring)

    def dashes(self, box: Box, colour: str, *, width: float = 1, dash: float = 5) -> None:
        """The outline of a box, dashed."""
        left, top, right, bottom = box
        across, down = right - left, bottom - top
        for length, place in ((across, self._across), (down, self._down)):
            pairs = max(1, round(length / (2 * dash)))
            step = length / (2 * pairs - 1)
            for at in range(pairs):
                place(box, 2 * at * step, step, width, colour)

    def _across(self, box: Box, at: float, length: float, width: float, colour: str) -> None:
        for y in (box[1], box[3] - width):
            self.box((box[0] + at, y, box[0] + at + length, y + width), fill=colour)

    def _down(self, box: Box, at: float, length: float, width: float, colour: str) -> None:
        for x in (box[0], box[2] - width):
            self.box((x, box[1] + at, x + width, box[1] + at + length), fill=colour)

    def stroke(self, points: Sequence[Point], colour: str, width: float) -> None:
        """A line through the points, with round corners and ends."""
        half = width / 2
        box = (
            min(x for x, _ in points) - half,
            min(y for _, y in points) - half,
            max(x for x, _ in points) + half,
            max(y for _, y in points) + half,
        )

        def paint(draw: ImageDraw.ImageDraw, to: _To) -> None:
            draw.line([to(p) for p in points], 255, round(width * SCALE * _SMOOTH), "curve")
            for x, y in points:
                draw.ellipse((*to((x - half, y - half)), *to((x + half, y + half))), 255)

        self._paint(box, colour, paint)

    def arrow(self, points: Sequence[Point], colour: str, width: float = 2) -> None:
        """A line through the points with a head at the last; its parts are upright or level."""
        (x0, y0), (x1, y1) = points[-2:]
        length = max(abs(x1 - x0), abs(y1 - y0)) or 1
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        long, side = 4 * width, 2.5 * width
        neck = (x1 - long * ux, y1 - long * uy)
        self.stroke([*points[:-1], neck], colour, width)
        head = [
            (x1, y1),
            (neck[0] - side * uy, neck[1] - side * ux),
            (neck[0] + side * uy, neck[1] + side * ux),
        ]
        xs, ys = [x for x, _ in head], [y for _, y in head]
        box = (min(xs), min(ys), max(xs), max(ys))
        self._paint(box, colour, lambda draw, to: draw.polygon([to(p) for p in head], 255))

    def picture(self, box: Box, image: Image.Image) -> None:
        """An image in this box: enlarged with visible pixels, or shrunk."""
        left, top = _pixels(box[0]), _pixels(box[1])
        size = max(1, _pixels(box[2]) - left), max(1, _pixels(box[3]) - top)
        self.image.paste(enlarged(image, size), (left, top))

    def _paint(
        self, box: Box, colour: str, paint: Callable[[ImageDraw.ImageDraw, _To], object]
    ) -> None:
        """Lay `colour` where `paint` draws 255 into a mask of `box`, with smooth edges."""
        left, top = math.floor(box[0] * SCALE), math.floor(box[1] * SCALE)
        left, top = max(0, left), max(0, top)
        size = max(1, math.ceil(box[2] * SCALE) - left), max(1, math.ceil(box[3] * SCALE) - top)
        mask = Image.new("L", (size[0] * _SMOOTH, size[1] * _SMOOTH))

        def to(point: Point) -> Point:
            return (point[0] * SCALE - left) * _SMOOTH, (point[1] * SCALE - top) * _SMOOTH

        paint(ImageDraw.Draw(mask), to)
        layer = Image.new("RGBA", size, colour)
        layer.putalpha(mask.reduce(_SMOOTH))
        self.image.alpha_composite(layer, (left, top))


def _rounded(draw: ImageDraw.ImageDraw, to: _To, box: Box, radius: float, value: int) -> None:
    (left, top), (right, bottom) = to(box[:2]), to(box[2:])
    if right - left >= 1 and bottom - top >= 1:
        corner = min(radius * SCALE * _SMOOTH, (right - left) / 2, (bottom - top) / 2)
        draw.rounded_rectangle((left, top, right - 1, bottom - 1), corner, value)


def _pixels(points: float) -> int:
    return round(points * SCALE)
