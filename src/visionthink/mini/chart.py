"""Bar charts: small numbers above coloured bars, or bars that differ in their hatching."""

from __future__ import annotations

import numpy as np

from visionthink.mini.figures import COLOURS, fill
from visionthink.mini.font import write
from visionthink.mini.ink import balanced, carrier
from visionthink.mini.paper import PRINT_GROUND, print_fine
from visionthink.mini.sheet import PATCH, TOKEN, Sheet, Size, canvas, finish, phrase, pick, rgb

VALUE_WORDINGS = (
    "What is the value of the {colour} bar?",
    "Which number stands above the {colour} bar?",
)
HATCH_WORDINGS = (
    "How are the bars hatched, from left to right?",
    "Name the hatching of each bar, from left to right.",
)
HATCHINGS = ("horizontal", "vertical", "checker")
HATCH_COLOURS = ((0.62, 0.42, 0.42), (0.40, 0.50, 0.66), (0.42, 0.60, 0.46), (0.60, 0.54, 0.38))
HATCH_CONTRAST = 0.24


def _axes(size: Size, ground: float) -> np.ndarray:
    width, height = size
    image = canvas(size, (ground, ground, ground * 0.98))
    for y in range(height - 10 - 28, 8, -28):
        fill(image, (8, y, width - 4, y + 1), ground - 0.04)
    fill(image, (6, 6, 8, height - 8), 0.25)
    fill(image, (6, height - 10, width - 4, height - 8), 0.25)
    return image


def make_chart(rng: np.random.Generator, size: Size, split: str, most: int = 1) -> Sheet:
    """Up to five coloured bars, `most` of them with a number (independent of the bar's height)."""
    width, height = size
    bars = 1 + rng.permutation(width // TOKEN - 1)[:5]
    image = _axes(size, PRINT_GROUND)
    ink = np.zeros((height, width), dtype=np.float32)
    dx, dy = int(rng.integers(1, 3)), int(rng.integers(3, 5))
    asks = []
    for bar, colour in zip(bars, rng.permutation(list(COLOURS))[: len(bars)], strict=True):
        value = str(rng.integers(10, 100))
        top = PATCH + TOKEN * int(rng.integers(0, height // TOKEN - 1))
        x = int(bar) * TOKEN
        fill(image, (x + 3, top, x + TOKEN - 3, height - 10), COLOURS[colour])
        if len(asks) == most:
            continue
        write(ink, value, x + 7 + dx, top - PATCH + dy)
        asks.append((phrase(rng, VALUE_WORDINGS, colour=str(colour)), value))
    print_fine(image, ink)
    return Sheet(finish(image), {"chart_label": tuple(asks)})


def make_hatch(rng: np.random.Generator, size: Size, split: str) -> Sheet:
    """Two or three bars in fine hatching, which half size shows as one flat tone."""
    width, height = size
    bars = 2 if width < 168 else int(rng.integers(2, 4))
    image = _axes(size, 0.93)
    pattern = np.zeros((height, width), dtype=np.float32)
    hatchings = [pick(rng, HATCHINGS) for _ in range(bars)]
    tone = rgb(pick(rng, HATCH_COLOURS))
    step = (width - 8) // bars
    for bar, hatching in enumerate(hatchings):
        left = 8 + bar * step + (step - 36) // 2
        box = (left, int(rng.integers(14, height - 60)), left + 36, height - 10)
        fill(image, box, tone)
        inside = np.s_[box[1] : box[3], box[0] : box[2]]
        pattern[inside] = carrier(hatching, height, width)[inside]
    image += HATCH_CONTRAST * balanced(pattern)[..., None]
    return Sheet(finish(image), {"hatch": ((phrase(rng, HATCH_WORDINGS), " ".join(hatchings)),)})
