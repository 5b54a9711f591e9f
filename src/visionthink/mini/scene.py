"""Scenes: plain shapes in a landscape. Half size is enough for every question."""

from __future__ import annotations

import numpy as np

from visionthink.mini.figures import COLOURS, SHAPES, mask, paint
from visionthink.mini.sheet import Ask, Sheet, Size, canvas, finish, phrase, pick

PLACES = (
    "top left",
    "top",
    "top right",
    "left",
    "centre",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)

SKIES = ((0.80, 0.90, 0.98), (0.99, 0.93, 0.84), (0.90, 0.88, 0.97), (0.97, 0.97, 0.95))
GROUNDS = ((0.80, 0.90, 0.76), (0.93, 0.88, 0.78), (0.86, 0.86, 0.88), (0.96, 0.96, 0.94))

COLOUR_WORDINGS = ("What colour is the {shape}?", "Which colour does the {shape} have?")
SHAPE_WORDINGS = ("What shape is the {colour} object?", "Which shape is {colour}?")
COUNT_WORDINGS = ("How many shapes are there?", "How many objects can you count?")
PLACE_WORDINGS = ("Where is the {shape}?", "In which part of the picture is the {shape}?")
PRESENCE_WORDINGS = ("Is there a {shape}?", "Can you see a {shape}?")


MOST_SHAPES = 5
SIMPLE = 1
"""A scene with more objects than this is asked about colours and their number only."""

Thing = tuple[int, str, str]
"""The place (an index into `PLACES`), the shape and the colour."""

CELL = 56
"""Side of a place in pixels: room for one shape, one visual token at half size."""


def make_scene(rng: np.random.Generator, size: Size, split: str, most: int = MOST_SHAPES) -> Sheet:
    """A scene and everything that can be asked about it."""
    things = compose(rng, size, most)
    return Sheet(render(rng, size, things), _asks(rng, things))


def lines_of(length: int) -> tuple[tuple[int, int], ...]:
    """Rows of a height (or columns of a width): the third that each is in, and its start."""
    if length < 3 * CELL:
        return ((0, 0), (2, CELL))
    return ((0, 0), (1, (length - CELL) // 2), (2, length - CELL))


def corners(size: Size) -> dict[int, tuple[int, int]]:
    """The top left corner of each place in a picture of this size."""
    columns, rows = lines_of(size[0]), lines_of(size[1])
    return {row * 3 + column: (x, y) for row, y in rows for column, x in columns}


def compose(rng: np.random.Generator, size: Size, most: int) -> list[Thing]:
    """One to `most` objects in different places; the first one's shape is unique."""
    places = list(corners(size))
    count = int(rng.integers(1, min(most, len(places)) + 1))
    cells = [places[i] for i in rng.permutation(len(places))[:count]]
    shapes = [pick(rng, SHAPES) for _ in range(count)]
    others = [shape for shape in SHAPES if shape != shapes[0]]
    shapes[1:] = [shape if shape != shapes[0] else pick(rng, others) for shape in shapes[1:]]
    colours = [str(colour) for colour in rng.permutation(list(COLOURS))[:count]]
    return [(c, s, k) for c, s, k in zip(cells, shapes, colours, strict=True)]


def render(rng: np.random.Generator, size: Size, things: list[Thing]) -> np.ndarray:
    """The picture (H, W, 3) of these objects, uint8."""
    image = _landscape(rng, size)
    known = corners(size)
    for place, shape, colour in things:
        radius = int(rng.integers(17, 25))
        spare = CELL - 2 * radius
        left, top = known[place]
        x, y = left + int(rng.integers(1, spare)), top + int(rng.integers(1, spare))
        paint(image, mask(shape, radius), x, y, COLOURS[colour])
    return finish(image)


def _landscape(rng: np.random.Generator, size: Size) -> np.ndarray:
    width, height = size
    image = canvas(size, pick(rng, SKIES))
    horizon = int(height * rng.uniform(0.45, 0.8))
    image[horizon:] = pick(rng, GROUNDS)
    # Red fades upwards and blue to the right, so that every position looks different.
    image[..., 0] -= 0.18 * np.linspace(1, 0, height, dtype=np.float32)[:, None]
    image[..., 2] -= 0.18 * np.linspace(0, 1, width, dtype=np.float32)[None, :]
    return image


def _asks(rng: np.random.Generator, things: list[Thing]) -> dict[str, tuple[Ask, ...]]:
    cells = [place for place, _, _ in things]
    shapes = [shape for _, shape, _ in things]
    colours = [colour for _, _, colour in things]
    simple = len(things) <= SIMPLE
    unique = [i for i, shape in enumerate(shapes) if shapes.count(shape) == 1]
    return {
        "colour": tuple(
            (phrase(rng, COLOUR_WORDINGS, shape=shapes[i]), colours[i]) for i in unique
        ),
        "shape": tuple(
            (phrase(rng, SHAPE_WORDINGS, colour=colour), shape)
            for colour, shape in zip(colours, shapes, strict=True)
            if simple
        ),
        "count": ((phrase(rng, COUNT_WORDINGS), str(len(shapes))),),
        "position": tuple(
            (phrase(rng, PLACE_WORDINGS, shape=shapes[i]), PLACES[cells[i]])
            for i in unique
            if simple
        ),
        "presence": (_presence(rng, shapes),) if simple else (),
    }


def _presence(rng: np.random.Generator, shapes: list[str]) -> Ask:
    """Whether a shape is in the picture; yes and no are equally likely."""
    there = bool(rng.random() < 0.5)
    shape = pick(rng, shapes if there else [s for s in SHAPES if s not in shapes])
    return phrase(rng, PRESENCE_WORDINGS, shape=shape), "yes" if there else "no"
