"""Signs and title pages: two or three characters, large enough for half size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visionthink.mini.figures import COLOURS, fill
from visionthink.mini.font import CLEAR_CHARACTERS, GLYPH_HEIGHT, GLYPH_WIDTH, write
from visionthink.mini.sheet import Sheet, Size, canvas, finish, phrase, pick, rgb

CELL = 56
MOST_CHARACTERS = 3
WORDINGS = ("What does the sign say?", "What is written on the sign?", "Read the sign.")
PLATES = ("red", "green", "blue", "purple", "black")
WALLS = ((0.93, 0.92, 0.89), (0.86, 0.90, 0.94), (0.95, 0.90, 0.86))


@dataclass(frozen=True)
class Sign:
    """`text` fills cells of 56 pixels in `row`, starting at `column`; `pixels` (H, W, 3)."""

    pixels: np.ndarray
    text: str
    row: int
    column: int


def draw_sign(rng: np.random.Generator, size: Size) -> Sign:
    """A street sign (light on a coloured plate) or a title page (dark on white)."""
    width, height = size
    cells = width // CELL
    text = "".join(pick(rng, CLEAR_CHARACTERS) for _ in range(min(MOST_CHARACTERS, cells)))
    row = int(rng.integers(0, height // CELL))
    column = int(rng.integers(0, cells - len(text) + 1))
    scale = int(rng.integers(5, 7))
    left = column * CELL + (CELL - GLYPH_WIDTH * scale) // 2 + int(rng.integers(-4, 5))
    top = row * CELL + (CELL - GLYPH_HEIGHT * scale) // 2 + int(rng.integers(-2, 3))
    letters = np.zeros((height, width), dtype=np.float32)
    write(letters, text, left, top, scale, CELL)

    bottom = top + GLYPH_HEIGHT * scale
    right = left + CELL * (len(text) - 1) + GLYPH_WIDTH * scale
    image = canvas(size, pick(rng, WALLS))
    if rng.random() < 0.5:
        plate, letter = rgb(COLOURS[pick(rng, PLATES)]), rgb((0.98, 0.98, 0.98))
        middle = (left + right) // 2
        fill(image, (middle - 4, bottom, middle + 4, height), (0.45, 0.45, 0.47))
        fill(image, (max(0, left - 10), max(0, top - 6), right + 10, bottom + 6), letter)
        fill(image, (max(0, left - 8), max(0, top - 4), right + 8, bottom + 4), plate)
    else:
        letter = rgb(COLOURS[pick(rng, PLATES)])
        fill(image, (3, 3, width - 3, height - 3), (1.0, 1.0, 1.0))
        lines = [*range(10, top - 8, 7), *range(bottom + 8, height - 8, 7)]
        for y in lines:
            fill(image, (12, y, width - 12 - int(rng.integers(0, 30)), y + 2), (0.75, 0.75, 0.75))
    image += letters[..., None] * (letter - image)
    return Sign(finish(image), text, row, column)


def make_sign(rng: np.random.Generator, size: Size, split: str) -> Sheet:
    """A sign, and the question of what it says."""
    sign = draw_sign(rng, size)
    return Sheet(sign.pixels, {"large_print": ((phrase(rng, WORDINGS), sign.text),)})
