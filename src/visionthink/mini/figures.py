"""Plain shapes with soft edges, and their colours."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.10, 0.12),
    "orange": (0.98, 0.52, 0.05),
    "yellow": (0.96, 0.86, 0.10),
    "green": (0.10, 0.58, 0.20),
    "blue": (0.12, 0.30, 0.85),
    "purple": (0.52, 0.16, 0.66),
    "pink": (0.98, 0.50, 0.72),
    "black": (0.08, 0.08, 0.08),
}

SHAPES = ("circle", "square", "triangle", "star", "cross")

_OVERSAMPLE = 4


@cache
def mask(shape: str, radius: int) -> np.ndarray:
    """Coverage (2r, 2r) in 0 to 1 of a shape that fills a circle of `radius` pixels."""
    side = 2 * radius * _OVERSAMPLE
    big = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(big)
    half = side / 2
    if shape == "circle":
        draw.ellipse((0, 0, side - 1, side - 1), fill=255)
    elif shape == "square":
        edge = side * 0.08
        draw.rectangle((edge, edge, side - 1 - edge, side - 1 - edge), fill=255)
    elif shape == "triangle":
        draw.polygon([(half, 0), (side, side * 0.92), (0, side * 0.92)], fill=255)
    elif shape == "cross":
        arm = side * 0.17
        draw.rectangle((half - arm, 0, half + arm, side), fill=255)
        draw.rectangle((0, half - arm, side, half + arm), fill=255)
    elif shape == "star":
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        reach = np.where(np.arange(10) % 2 == 0, half, half * 0.42)
        xs, ys = half + reach * np.cos(angles), half + reach * np.sin(angles)
        draw.polygon([(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], fill=255)
    else:
        raise KeyError(shape)
    small = big.resize((2 * radius, 2 * radius), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255.0


def paint(
    image: np.ndarray, coverage: np.ndarray, x: int, y: int, colour: tuple[float, float, float]
) -> None:
    """Blend `colour` into `image` (H, W, 3) by `coverage`, whose top left is at (x, y)."""
    height, width = coverage.shape
    area = image[y : y + height, x : x + width]
    share = coverage[: area.shape[0], : area.shape[1], None]
    area += share * (np.asarray(colour, dtype=np.float32) - area)


def fill(image: np.ndarray, box: tuple[int, int, int, int], colour) -> None:
    """Fill the box (left, top, right, bottom) with one colour."""
    left, top, right, bottom = box
    image[top:bottom, left:right] = colour
