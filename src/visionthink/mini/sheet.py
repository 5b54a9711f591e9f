"""A sheet: one drawn image and everything that can be asked about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Size = tuple[int, int]
"""Width and height in pixels."""

Colour = tuple[float, float, float]
"""Red, green and blue in 0 to 1."""

Ask = tuple[str, str]
"""A question and its answer."""

SIZES: tuple[Size, ...] = (
    (112, 112),
    (168, 112),
    (112, 168),
    (168, 168),
    (224, 112),
    (224, 168),
)
"""Multiples of 56, so that the original and its half are whole visual tokens of 28 pixels."""

TOKEN = 28
PATCH = 14


@dataclass(frozen=True)
class Sheet:
    """`pixels` (H, W, 3) uint8; `asks` by family, each family's questions and answers."""

    pixels: np.ndarray
    asks: Mapping[str, tuple[Ask, ...]]


def rgb(colour: Colour) -> np.ndarray:
    """A colour as an array (3,)."""
    return np.asarray(colour, dtype=np.float32)


def canvas(size: Size, colour: Colour) -> np.ndarray:
    """A blank image (H, W, 3) of one colour, floats in 0 to 1."""
    width, height = size
    return np.broadcast_to(rgb(colour), (height, width, 3)).copy()


def finish(image: np.ndarray) -> np.ndarray:
    """Floats in 0 to 1 as uint8."""
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def pick(rng: np.random.Generator, options):
    """One of `options`, uniformly."""
    return options[int(rng.integers(len(options)))]


def phrase(rng: np.random.Generator, wordings: tuple[str, ...], **words: str) -> str:
    """One wording of a question, filled in."""
    return pick(rng, wordings).format(**words)
