"""Scenes: plain shapes in front of a landscape. All that is asked can be seen at half size."""

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
PRESENCE_WORDINGS = ("Is there a {colour} {shape}?", "Can you see a {colour} {shape}?")


MOST_SHAPES = 6


def make_scene(rng: np.random.Generator, size: Size, split: str, most: int = MOST_SHAPES) -> Sheet:
    """One to `most` shapes, each in its own ninth of the picture; at least one shape is unique."""
    count = int(rng.integers(1, most + 1))
    cells = rng.permutation(9)[:count]
    shapes = [pick(rng, SHAPES) for _ in range(count)]
    others = [shape for shape in SHAPES if shape != shapes[0]]
    shapes[1:] = [shape if shape != shapes[0] else pick(rng, others) for shape in shapes[1:]]
    colours = [str(colour) for colour in rng.permutation(list(COLOURS))[:count]]

    image = _landscape(rng, size)
    for cell, shape, colour in zip(cells, shapes, colours, strict=True):
        _place(rng, image, int(cell), shape, colour)
    return Sheet(finish(image), _asks(rng, cells, shapes, colours))


def _landscape(rng: np.random.Generator, size: Size) -> np.ndarray:
    width, height = size
    image = canvas(size, pick(rng, SKIES))
    horizon = int(height * rng.uniform(0.45, 0.8))
    image[horizon:] = pick(rng, GROUNDS)
    # Light falls from the left and the air deepens upwards: each spot looks like where it is.
    image[..., 0] -= 0.18 * np.linspace(1, 0, height, dtype=np.float32)[:, None]
    image[..., 2] -= 0.18 * np.linspace(0, 1, width, dtype=np.float32)[None, :]
    return image


def _place(rng: np.random.Generator, image: np.ndarray, cell: int, shape: str, colour: str) -> None:
    height, width = image.shape[:2]
    cell_width, cell_height = width // 3, height // 3
    reach = min(cell_width, cell_height)
    radius = int(rng.integers(round(reach * 0.32), round(reach * 0.44) + 1))
    spare_x, spare_y = cell_width - 2 * radius, cell_height - 2 * radius
    x = cell % 3 * cell_width + int(rng.integers(spare_x // 4, spare_x - spare_x // 4 + 1))
    y = cell // 3 * cell_height + int(rng.integers(spare_y // 4, spare_y - spare_y // 4 + 1))
    paint(image, mask(shape, radius), x, y, COLOURS[colour])


def _asks(rng, cells, shapes: list[str], colours: list[str]) -> dict[str, tuple[Ask, ...]]:
    unique = [i for i, shape in enumerate(shapes) if shapes.count(shape) == 1]
    pairs = set(zip(colours, shapes, strict=True))
    if rng.random() < 0.5:
        i = int(rng.integers(len(shapes)))
        presence = (colours[i], shapes[i])
    else:
        presence = _absent(rng, shapes, colours)
    answer = "yes" if presence in pairs else "no"
    return {
        "colour": tuple(
            (phrase(rng, COLOUR_WORDINGS, shape=shapes[i]), colours[i]) for i in unique
        ),
        "shape": tuple(
            (phrase(rng, SHAPE_WORDINGS, colour=colour), shape)
            for colour, shape in zip(colours, shapes, strict=True)
        ),
        "count": ((phrase(rng, COUNT_WORDINGS), str(len(shapes))),),
        "position": tuple(
            (phrase(rng, PLACE_WORDINGS, shape=shapes[i]), PLACES[int(cells[i])]) for i in unique
        ),
        "presence": (
            (phrase(rng, PRESENCE_WORDINGS, colour=presence[0], shape=presence[1]), answer),
        ),
    }


def _absent(rng: np.random.Generator, shapes: list[str], colours: list[str]) -> tuple[str, str]:
    """A colour and a shape that do not meet in the picture, though either may be there."""
    pairs = set(zip(colours, shapes, strict=True))
    while True:
        colour = pick(rng, colours) if rng.random() < 0.6 else pick(rng, list(COLOURS))
        shape = pick(rng, shapes) if rng.random() < 0.4 else pick(rng, SHAPES)
        if (colour, shape) not in pairs:
            return colour, shape
