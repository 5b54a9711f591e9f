"""Cloth: fine stripes across or down. With two answers, a guess is right half of the time."""

from __future__ import annotations

import numpy as np

from visionthink.mini.figures import fill
from visionthink.mini.ink import balanced, carrier
from visionthink.mini.sheet import Sheet, Size, canvas, finish, phrase, pick, rgb

WORDINGS = (
    "Do the fine stripes run across or down?",
    "Which way do the fine stripes run, across or down?",
)
DYES = ((0.62, 0.42, 0.40), (0.40, 0.48, 0.64), (0.44, 0.58, 0.46), (0.60, 0.54, 0.40))
CONTRAST = 0.23


def make_weave(rng: np.random.Generator, size: Size, split: str) -> Sheet:
    """A checked cloth with a border; the question is about the weave."""
    width, height = size
    dye = rgb(pick(rng, DYES))
    image = canvas(size, tuple(dye))
    for x in range(int(rng.integers(8, 20)), width, int(rng.integers(26, 40))):
        fill(image, (x, 0, x + 6, height), dye + 0.08)
    for y in range(int(rng.integers(8, 20)), height, int(rng.integers(26, 40))):
        fill(image, (0, y, width, y + 6), dye + 0.08)
    way = pick(rng, ("across", "down"))
    lines = carrier("horizontal" if way == "across" else "vertical", height, width)
    frame = np.zeros((height, width), dtype=np.float32)
    frame[7:-7, 7:-7] = 1.0
    image[frame == 0.0] = dye * 0.8
    image += CONTRAST * balanced(frame * lines)[..., None]
    return Sheet(finish(image), {"weave": ((phrase(rng, WORDINGS), way),)})
