"""Handwritten digits: scikit-learn's 1,797 real ones, in ink (large) or as a watermark (fine)."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from visionthink.core.errors import MissingExtraError
from visionthink.mini.figures import COLOURS, fill
from visionthink.mini.ink import balanced, carrier
from visionthink.mini.sheet import Sheet, Size, canvas, finish, phrase, pick, rgb

WORDINGS = ("Which digit is written?", "What digit do you see?")
INKS = ("blue", "black", "purple", "green", "red")
PAPERS = ((0.99, 0.98, 0.95), (0.95, 0.97, 0.99), (0.99, 0.95, 0.95))
WATERMARK_PAPERS = ((0.62, 0.66, 0.62), (0.60, 0.64, 0.68), (0.68, 0.62, 0.60))
CONTRAST = 0.23


@cache
def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 8, 8) in 0 to 1 and labels (N,); a quarter is held out for testing."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("The handwritten digits", "mini") from error
    data: Any = load_digits()
    marks = [hashlib.sha256(f"digit {i}".encode()).digest()[0] for i in range(len(data.target))]
    chosen = (np.array(marks) < 64) == (split == "test")
    return data.images[chosen].astype(np.float32) / 16.0, data.target[chosen]


def figure(rng: np.random.Generator, side: int, split: str) -> tuple[np.ndarray, str]:
    """One handwritten digit as a soft mask (side, side), and its label.

    Rotated, slanted, stretched and thickened a little, to get many pages from few digits.
    """
    images, labels = digits(split)
    index = int(rng.integers(len(labels)))
    turn, slant = rng.normal(0, 0.07), rng.normal(0, 0.08)
    stretch_x, stretch_y = 1.0 + rng.normal(0, 0.05, size=2)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = (
        np.array([[cos, -sin + slant], [sin, cos]]) @ np.diag([stretch_x, stretch_y]) * 8 / side
    )
    shift = (
        np.array([4.0, 4.0]) + rng.normal(0, 0.2, size=2) - matrix @ np.array([side / 2, side / 2])
    )
    coefficients = (*matrix[0], shift[0], *matrix[1], shift[1])
    small = Image.fromarray(images[index])
    big = small.transform(
        (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    level = rng.uniform(0.35, 0.5)
    soft = np.clip((np.asarray(big) - level) * 5.0 + 0.5, 0.0, 1.0)
    return soft, str(labels[index])


def _place(rng: np.random.Generator, size: Size, split: str) -> tuple[np.ndarray, str]:
    """A digit that fills most of a page: mask (H, W) and label."""
    width, height = size
    side = int(min(size) * rng.uniform(0.74, 0.84))
    soft, name = figure(rng, side, split)
    page = np.zeros((height, width), dtype=np.float32)
    x = (width - side) // 2 + int(rng.integers(-5, 6))
    y = (height - side) // 2 + int(rng.integers(-5, 6))
    page[y : y + side, x : x + side] = soft
    return page, name


def make_digit(rng: np.random.Generator, size: Size, split: str) -> Sheet:
    """A digit in ink on ruled paper."""
    page, name = _place(rng, size, split)
    image = canvas(size, pick(rng, PAPERS))
    image[6 :: int(rng.integers(12, 17))] -= rgb((0.12, 0.08, 0.02))
    image += page[..., None] * (rgb(COLOURS[pick(rng, INKS)]) - image)
    return Sheet(finish(image), {"digit": ((phrase(rng, WORDINGS), name),)})


def make_watermark(rng: np.random.Generator, size: Size, split: str) -> Sheet:
    """A digit in fine vertical lines on a ground of fine horizontal lines."""
    width, height = size
    page, name = _place(rng, size, split)
    upright, level = (carrier(way, height, width) for way in ("vertical", "horizontal"))
    pattern = page * upright + (1.0 - page) * level
    image = canvas(size, pick(rng, WATERMARK_PAPERS))
    rim = rgb(COLOURS[pick(rng, INKS)]) * 0.3 + 0.35
    fill(image, (0, 0, width, 4), rim)
    fill(image, (0, height - 4, width, height), rim)
    image += CONTRAST * balanced(pattern)[..., None]
    return Sheet(finish(image), {"watermark": ((phrase(rng, WORDINGS), name),)})
