"""Receipts and luggage tags: small print that only the original shows."""

from __future__ import annotations

import numpy as np

from visionthink.mini.figures import COLOURS, fill, mask, paint
from visionthink.mini.font import CLEAR_CHARACTERS, write
from visionthink.mini.ink import balanced
from visionthink.mini.sheet import PATCH, TOKEN, Sheet, Size, canvas, finish, phrase, pick, rgb

GOODS = ("ale", "bun", "egg", "fig", "ham", "jam", "nut", "oil", "pea", "pie", "rye", "tea")
PRICE_WORDINGS = (
    "How much is the {good}?",
    "What does the {good} cost?",
    "What is the price of the {good}?",
)
TAG_WORDINGS = ("What code is on the tag?", "Which code does the tag show?")

PRINT_GROUND = 0.58
"""Grey paper, to leave room above it for the light halo of the print."""

PRINT_INK = 0.42
SHOPS = ("red", "green", "blue", "purple", "black")


def print_fine(image: np.ndarray, ink: np.ndarray) -> None:
    """Print an ink layer (H, W) onto an image (H, W, 3) so that half size shows bare ground."""
    image -= PRINT_INK * balanced(ink)[..., None]


def make_receipt(rng: np.random.Generator, size: Size, split: str, most: int = 1) -> Sheet:
    """A till receipt: a banner and ruled lines, `most` of them with an item and its price."""
    width, height = size
    lines = [int(line) for line in 1 + rng.permutation(height // TOKEN - 1)[:most]]
    goods = [str(good) for good in rng.permutation(GOODS)[: len(lines)]]
    prices = [f"{rng.integers(1, 10)}.{rng.integers(0, 100):02d}" for _ in goods]
    name_column = int(rng.integers(0, width // TOKEN - 1))
    dx, dy = int(rng.integers(1, 3)), int(rng.integers(3, 5))

    tint = rng.uniform(-0.02, 0.02)
    image = canvas(size, (PRINT_GROUND + tint, PRINT_GROUND, PRINT_GROUND - tint))
    banner = rgb(COLOURS[pick(rng, SHOPS)])
    fill(image, (0, 4, width, 20), banner)
    paint(image, mask("star", 6), width // 2 - 6, 6, (0.95, 0.95, 0.95))
    ink = np.zeros((height, width), dtype=np.float32)
    for y in range(TOKEN + dy + 12, height, TOKEN):
        fill(image, (4, y, width - 4, y + 1), (0.52, 0.52, 0.52))
    for line, good, price in zip(lines, goods, prices, strict=True):
        y = line * TOKEN + dy
        write(ink, good.upper(), name_column * TOKEN + dx, y)
        write(ink, price, (name_column + 1) * TOKEN + dx, y)
    print_fine(image, ink)
    asks = tuple(
        (phrase(rng, PRICE_WORDINGS, good=good), price)
        for good, price in zip(goods, prices, strict=True)
    )
    return Sheet(finish(image), {"receipt": asks})


def make_tag(rng: np.random.Generator, size: Size, split: str) -> Sheet:
    """A luggage tag with bold stripes, an eyelet, and a small three-character code."""
    width, height = size
    code = "".join(pick(rng, CLEAR_CHARACTERS) for _ in range(3))
    image = canvas(size, (0.90, 0.88, 0.84))
    body = rgb(COLOURS[pick(rng, tuple(COLOURS))])
    fill(image, (5, 8, width - 5, height - 8), body)
    stripe = rgb(COLOURS[pick(rng, tuple(COLOURS))])
    pitch = int(rng.integers(18, 30))
    for x in range(5 + int(rng.integers(0, pitch)), width - 5, pitch):
        fill(image, (x, 8, min(x + pitch // 3, width - 5), height - 8), stripe)
    paint(image, mask("circle", 7), width // 2 - 7, 10, (0.95, 0.95, 0.95))

    column = int(rng.integers(0, width // TOKEN))
    row = int(rng.integers(2, height // PATCH - 1))
    x, y = column * TOKEN, row * PATCH
    fill(image, (x, y - 1, x + TOKEN, y + 15), (PRINT_GROUND, PRINT_GROUND, PRINT_GROUND))
    ink = np.zeros((height, width), dtype=np.float32)
    write(ink, code, x + int(rng.integers(1, 3)), y + int(rng.integers(3, 5)))
    print_fine(image, ink)
    return Sheet(finish(image), {"tag": ((phrase(rng, TAG_WORDINGS), code),)})
