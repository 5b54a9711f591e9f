"""Fine ink: detail that the original shows clearly and the half-size view cannot hold.

The print is projected onto the null space of LANCZOS reduction by two: a light halo compensates
each dark stroke, so halving returns exactly the bare ground. No reader, however well trained, can
read such print in the half view.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

LOBES = 3
"""The LANCZOS kernel that Pillow uses has three lobes."""


@cache
def halving(length: int) -> np.ndarray:
    """LANCZOS reduction of a line of `length` pixels to half, as a matrix (length // 2, length)."""
    target = length // 2
    centre = (np.arange(target)[:, None] + 0.5) * 2
    distance = (np.arange(length)[None, :] + 0.5 - centre) / 2
    weights = np.where(np.abs(distance) < LOBES, np.sinc(distance) * np.sinc(distance / LOBES), 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


@cache
def survivor(length: int) -> np.ndarray:
    """Projection (length, length) onto the part of a line that survives halving."""
    reduce = halving(length)
    return (np.linalg.pinv(reduce) @ reduce).astype(np.float32)


def balanced(ink: np.ndarray) -> np.ndarray:
    """The part of an ink layer (H, W) that vanishes at half size."""
    height, width = ink.shape
    return ink - survivor(height) @ ink @ survivor(width)


def carrier(direction: str, height: int, width: int) -> np.ndarray:
    """Lines two pixels apart, (H, W) of -1 and 1: "horizontal", "vertical" or "checker"."""
    rows = 1.0 - 2.0 * (np.arange(height) % 2)[:, None]
    columns = 1.0 - 2.0 * (np.arange(width) % 2)[None, :]
    lines = {
        "horizontal": rows * np.ones((1, width)),
        "vertical": columns * np.ones((height, 1)),
        "checker": rows * columns,
    }
    return lines[direction].astype(np.float32)


def half_view(pixels: np.ndarray) -> np.ndarray:
    """The half-size view (H // 2, W // 2, 3) of an image (H, W, 3), both uint8."""
    height, width = pixels.shape[:2]
    size = (max(28, width // 2), max(28, height // 2))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
