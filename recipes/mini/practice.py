"""Practice sheets for the vision tower, and flash cards for the language model.

Trained together from random weights, neither learns: each waits for the other. So the tower first
learns, with a linear head, to classify each square of 28 pixels: small print, a hatching, a shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visionthink.mini.chart import HATCH_COLOURS, HATCH_CONTRAST, HATCHINGS
from visionthink.mini.figures import COLOURS, SHAPES, fill, mask, paint
from visionthink.mini.font import ADVANCE, write
from visionthink.mini.ink import balanced, carrier
from visionthink.mini.paper import PRINT_GROUND, TAG_WORDINGS, print_fine
from visionthink.mini.scene import COLOUR_WORDINGS, GROUNDS, SHAPE_WORDINGS, SKIES
from visionthink.mini.sheet import PATCH, TOKEN, Ask, Sheet, Size, canvas, finish, phrase, pick

SLOTS = TOKEN // ADVANCE
PRINTED = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ."
HEADS = (*[len(PRINTED) + 1] * SLOTS, len(HATCHINGS) + 1, len(SHAPES) + 1, len(COLOURS) + 1)
"""Classes of each question about a square; class 0 is "none"."""


@dataclass(frozen=True)
class PracticeSheet:
    """`pixels` (H, W, 3) uint8 and the classes (squares, len(HEADS)) in reading order."""

    pixels: np.ndarray
    classes: np.ndarray


def make_practice(rng: np.random.Generator, size: Size) -> PracticeSheet:
    """A sheet of squares that are drawn independently."""
    width, height = size
    rows, columns = height // TOKEN, width // TOKEN
    image = canvas(size, (PRINT_GROUND, PRINT_GROUND, PRINT_GROUND))
    ink = np.zeros((height, width), dtype=np.float32)
    lines = np.zeros((height, width), dtype=np.float32)
    classes = np.zeros((rows * columns, len(HEADS)), dtype=np.int64)
    dx, dy = int(rng.integers(1, 3)), int(rng.integers(3, 5))
    for square in range(rows * columns):
        x, y = square % columns * TOKEN, square // columns * TOKEN
        box = (x, y, x + TOKEN, y + TOKEN)
        inside = np.s_[y : y + TOKEN, x : x + TOKEN]
        chance = rng.random()
        if chance < 0.65:
            chosen = rng.integers(1, len(PRINTED) + 1, size=SLOTS) * (rng.random(SLOTS) < 0.8)
            text = "".join(PRINTED[i - 1] if i else " " for i in chosen)
            write(ink, text, x + dx, y + dy + PATCH * int(rng.integers(0, 2)))
            classes[square, :SLOTS] = chosen
        elif chance < 0.75:
            fill(image, box, pick(rng, HATCH_COLOURS))
            hatching = int(rng.integers(len(HATCHINGS)))
            lines[inside] = carrier(HATCHINGS[hatching], height, width)[inside]
            classes[square, SLOTS] = 1 + hatching
        else:
            fill(image, box, pick(rng, SKIES + GROUNDS))
            shape, colour = int(rng.integers(len(SHAPES))), int(rng.integers(len(COLOURS)))
            radius = int(rng.integers(5, 14))
            at_x, at_y = (int(rng.integers(0, TOKEN - 2 * radius + 1)) for _ in range(2))
            covered = mask(SHAPES[shape], radius)
            paint(image, covered, x + at_x, y + at_y, COLOURS[list(COLOURS)[colour]])
            classes[square, SLOTS + 1 :] = 1 + shape, 1 + colour
    print_fine(image, ink)
    image += HATCH_CONTRAST * balanced(lines)[..., None]
    return PracticeSheet(finish(image), classes)


CODE_SIZES: tuple[Size, ...] = ((28, 28), (56, 28))
CARD_SIZES: tuple[Size, ...] = ((28, 28), (56, 28), (28, 56), (56, 56), (84, 56))


def make_card(rng: np.random.Generator, size: Size, split: str, coded: float = 0.8) -> Sheet:
    """A flash card of a few squares: a code (or, rarely, none), different shapes, plain questions.

    The language model learns to read single visual tokens before it has to find them on a page.
    """
    width, height = size
    columns = width // TOKEN
    squares = columns * (height // TOKEN)
    image = canvas(size, (PRINT_GROUND, PRINT_GROUND, PRINT_GROUND))
    ink = np.zeros((height, width), dtype=np.float32)
    printed = int(rng.integers(squares)) if rng.random() < coded else -1
    shapes, colours = rng.permutation(SHAPES), rng.permutation(list(COLOURS))
    asks: dict[str, tuple[Ask, ...]] = {}
    for square in range(squares):
        x, y = square % columns * TOKEN, square // columns * TOKEN
        if square == printed:
            code = "".join(pick(rng, PRINTED) for _ in range(SLOTS))
            at_x, at_y = x + int(rng.integers(1, 3)), y + int(rng.integers(3, 5))
            write(ink, code, at_x, at_y + PATCH * int(rng.integers(0, 2)))
            asks["code"] = ((phrase(rng, TAG_WORDINGS), code),)
        elif square < len(SHAPES):
            shape, colour = str(shapes[square]), str(colours[square])
            fill(image, (x, y, x + TOKEN, y + TOKEN), pick(rng, SKIES + GROUNDS))
            radius = int(rng.integers(5, 14))
            at_x, at_y = (int(rng.integers(0, TOKEN - 2 * radius + 1)) for _ in range(2))
            paint(image, mask(shape, radius), x + at_x, y + at_y, COLOURS[colour])
            asks[f"colour {square}"] = ((phrase(rng, COLOUR_WORDINGS, shape=shape), colour),)
            asks[f"shape {square}"] = ((phrase(rng, SHAPE_WORDINGS, colour=colour), shape),)
    print_fine(image, ink)
    return Sheet(finish(image), asks)
