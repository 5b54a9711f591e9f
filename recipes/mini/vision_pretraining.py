"""Vision pretraining: the tower learns through linear heads that the finished model does not keep.

Four exercises: classify each square of a practice sheet, the digit on a page, the characters of a
sign, and what is where in a scene.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from recipes.mini.forward import patches_of, see
from recipes.mini.packing import grid_of
from recipes.mini.practice import HEADS, make_practice
from visionthink.mini.figures import COLOURS, SHAPES
from visionthink.mini.font import CLEAR_CHARACTERS
from visionthink.mini.handwriting import make_digit, make_watermark
from visionthink.mini.ink import half_view
from visionthink.mini.scene import MOST_SHAPES, PLACES, compose, corners, render
from visionthink.mini.sheet import SIZES, pick
from visionthink.mini.sign import draw_sign
from visionthink.mini.world import generator

SHEETS = 16
DIGITS = 10
CHARACTERS = len(CLEAR_CHARACTERS) + 1
SCENE = (len(SHAPES) + 1, len(COLOURS) + 1, len(PLACES))
HALF_SHARE = 0.6


class VisionHeads(nn.Module):
    """Linear heads on visual tokens (B, T, D); class 0 of a square or cell is "none"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.square = nn.Linear(width, sum(HEADS))
        self.digit = nn.Linear(width, DIGITS)
        self.character = nn.Linear(width, CHARACTERS)
        self.scene = nn.Linear(width, sum(SCENE))

    def exercises(self, model: Any, *names: object) -> list[Callable[[], torch.Tensor]]:
        """One loss function per exercise; `names` (stage and step) determine the drawings."""
        visual = model.model.visual
        return [
            partial(exercise, visual, generator("train", name, *names))
            for name, exercise in (
                ("square", self.square_loss),
                ("digit", self.digit_loss),
                ("sign", self.sign_loss),
                ("scene", self.scene_loss),
            )
        ]

    def square_loss(self, visual: Any, rng: np.random.Generator) -> torch.Tensor:
        """The contents of each square of 28 pixels."""
        size = SIZES[int(rng.integers(0, 3))]
        sheets = [make_practice(rng, size) for _ in range(SHEETS)]
        tokens, _ = _look(visual, [sheet.pixels for sheet in sheets])
        classes = torch.from_numpy(np.concatenate([sheet.classes for sheet in sheets]))
        return _losses(self.square(tokens.flatten(0, 1)), HEADS, classes)

    def digit_loss(self, visual: Any, rng: np.random.Generator) -> torch.Tensor:
        """The digit written on a page, from the mean of its tokens."""
        size, half = pick(rng, SIZES), bool(rng.random() < HALF_SHARE)
        makers = (make_digit,) if half else (make_digit, make_watermark)
        images, digits = [], []
        for _ in range(2 * SHEETS):
            sheet = pick(rng, makers)(rng, size, "train")
            ((_, answer),) = next(iter(sheet.asks.values()))
            images.append(half_view(sheet.pixels) if half else sheet.pixels)
            digits.append([int(answer)])
        tokens, _ = _look(visual, images)
        return 2 * _losses(self.digit(tokens.mean(dim=1)), (DIGITS,), torch.tensor(digits))

    def sign_loss(self, visual: Any, rng: np.random.Generator) -> torch.Tensor:
        """The character in each cell of a sign (one token at half size, else four)."""
        size, half = pick(rng, SIZES), bool(rng.random() < HALF_SHARE)
        signs = [draw_sign(rng, size) for _ in range(SHEETS)]
        pixels = [sign.pixels for sign in signs]
        tokens, (rows, columns) = _look(visual, [half_view(p) for p in pixels] if half else pixels)
        side = 1 if half else 2
        cells = tokens.reshape(SHEETS, rows // side, side, columns // side, side, -1)
        classes = torch.zeros((SHEETS, rows // side, columns // side), dtype=torch.long)
        for index, sign in enumerate(signs):
            for place, character in enumerate(sign.text):
                known = 1 + CLEAR_CHARACTERS.index(character)
                classes[index, sign.row, sign.column + place] = known
        guesses = self.character(cells.mean(dim=(2, 4))).reshape(-1, CHARACTERS)
        return 2 * _losses(guesses, (CHARACTERS,), classes.reshape(-1, 1))

    def scene_loss(self, visual: Any, rng: np.random.Generator) -> torch.Tensor:
        """Shape, colour and place of each cell's object (one token at half size, else four)."""
        size, half = SIZES[int(rng.integers(0, 4))], bool(rng.random() < HALF_SHARE)
        places = corners(size)
        classes = torch.zeros((SHEETS, len(places), len(SCENE)), dtype=torch.long)
        classes[..., 2] = torch.tensor(list(places))
        images = []
        for row in range(SHEETS):
            things = compose(rng, size, MOST_SHAPES)
            for place, shape, colour in things:
                cell = list(places).index(place)
                classes[row, cell, 0] = 1 + SHAPES.index(shape)
                classes[row, cell, 1] = 1 + list(COLOURS).index(colour)
            drawn = render(rng, size, things)
            images.append(half_view(drawn) if half else drawn)
        tokens, (rows, columns) = _look(visual, images)
        side = 1 if half else 2
        cells = tokens.reshape(SHEETS, rows // side, side, columns // side, side, -1)
        guesses = self.scene(cells.mean(dim=(2, 4))).reshape(-1, sum(SCENE))
        return 2 * _losses(guesses, SCENE, classes.reshape(-1, len(SCENE)))


def _look(visual: Any, images: list[np.ndarray]) -> tuple[torch.Tensor, tuple[int, int]]:
    """Visual tokens (B, T, D) of images of one size, and their (rows, columns)."""
    pixels = np.stack(images)
    return see(visual, patches_of(pixels), grid_of(pixels[0])), grid_of(pixels[0])


def _losses(guesses: torch.Tensor, heads: tuple[int, ...], classes: torch.Tensor) -> torch.Tensor:
    """Cross entropies of several heads side by side, (N, sum(heads)) against (N, len(heads))."""
    parts = [
        F.cross_entropy(guess, classes[:, i]) for i, guess in enumerate(guesses.split(heads, dim=1))
    ]
    return torch.stack(parts).sum()
