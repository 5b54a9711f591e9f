"""Signs and title pages: two or three characters so large that half size shows them well."""

from __future__ import annotations

import numpy as np

from visionthink.mini.figures import COLOURS, fill
from visionthink.mini.font import CLEAR_CHARACTERS, GLYPH_HEIGHT, GLYPH_WIDTH, write
from visionthink.mini.sheet import Sheet, Size, canvas, finish, phrase, pick

PITCH = 56
WORDINGS = ("What does the sign say?", "What is written on the sign?", "Read the sign.")
PLATES = ("red", "green", "blue", "purple", "black")
WALLS = ((0.93, 0.92, 0.89), (0.86, 0.90, 0.94), (0.95, 0.90, 0.86))


def make_sign(rng: np.random.Generator, size: Size, split: str) -> Sheet:
    """A street sign (light on a coloured plate) or a title page (dark on white)."""
    width, height = size
    text = "".join(pick(rng, CLEAR_CHARACTERS) for _ in range(min(3, width // PITCH)))
    scale = int(rng.integers(6, 8))
    left = (width - PITCH * len(text)) // 2 // 28 * 28 + (PITCH - GLYPH_WIDTH * scale) // 2
    left += int(rng.integers(-3, 4))
    top = int(rng.integers(22, 35))
    letters = np.zeros((height, width), dtype=np.float32)
    write(letters, text, left, top, scale, PITCH)

    bottom = top + GLYPH_HEIGHT * scale
    image = canvas(size, pick(rng, WALLS))
    if rng.random() < 0.5:
        plate, letter = np.float32(COLOURS[pick(rng, PLATES)]), np.float32((0.98, 0.98, 0.98))
        fill(image, (width // 2 - 4, bottom, width // 2 + 4, height), (0.45, 0.45, 0.47))
        fill(image, (3, top - 12, width - 3, bottom + 12), letter)
        fill(image, (6, top - 9, width - 6, bottom + 9), plate)
    else:
        letter = np.float32(COLOURS[pick(rng, PLATES)])
        fill(image, (4, 4, width - 4, height - 4), (1.0, 1.0, 1.0))
        for y in range(bottom + 10, height - 10, 7):
            fill(image, (14, y, width - 14 - int(rng.integers(0, 30)), y + 2), (0.75, 0.75, 0.75))
    image += letters[..., None] * (letter - image)
    return Sheet(finish(image), {"large_print": ((phrase(rng, WORDINGS), text),)})
