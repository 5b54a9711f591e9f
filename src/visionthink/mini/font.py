"""A 5x7 pixel alphabet, drawn by hand: the digits, the capitals and a full stop."""

from __future__ import annotations

from functools import cache

import numpy as np

GLYPH_WIDTH, GLYPH_HEIGHT = 5, 7
ADVANCE = 7
"""Pixels from one letter of small print to the next: two letters per 14-pixel patch."""

_BANDS = (
    (
        "0123456789",
        """
.###. ..#.. .###. .###. ...#. ##### ..##. ##### .###. .###.
#...# .##.. #...# #...# ..##. #.... .#... ....# #...# #...#
#..## ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...#
#.#.# ..#.. ...#. ..##. #..#. ....# ####. ..#.. .###. .####
##..# ..#.. ..#.. ....# ##### ....# #...# ..#.. #...# ....#
#...# ..#.. .#... #...# ...#. #...# #...# .#... #...# ...#.
.###. .###. ##### .###. ...#. .###. .###. .#... .###. .##..
""",
    ),
    (
        "ABCDEFGHI",
        """
..#.. ####. .###. ####. ##### ##### .###. #...# .###.
.#.#. #...# #...# #...# #.... #.... #...# #...# ..#..
#...# #...# #.... #...# #.... #.... #.... #...# ..#..
#...# ####. #.... #...# ####. ####. #.### ##### ..#..
##### #...# #.... #...# #.... #.... #...# #...# ..#..
#...# #...# #...# #...# #.... #.... #...# #...# ..#..
#...# ####. .###. ####. ##### #.... .###. #...# .###.
""",
    ),
    (
        "JKLMNOPQR",
        """
..### #...# #.... #...# #...# .###. ####. .###. ####.
...#. #..#. #.... ##.## ##..# #...# #...# #...# #...#
...#. #.#.. #.... #.#.# ##..# #...# #...# #...# #...#
...#. ##... #.... #.#.# #.#.# #...# ####. #...# ####.
...#. #.#.. #.... #...# #..## #...# #.... #.#.# #.#..
#..#. #..#. #.... #...# #..## #...# #.... #..#. #..#.
.##.. #...# ##### #...# #...# .###. #.... .##.# #...#
""",
    ),
    (
        "STUVWXYZ.",
        """
.#### ##### #...# #...# #...# #...# #...# ##### .....
#.... ..#.. #...# #...# #...# #...# #...# ....# .....
#.... ..#.. #...# #...# #...# .#.#. .#.#. ...#. .....
.###. ..#.. #...# #...# #.#.# ..#.. ..#.. ..#.. .....
....# ..#.. #...# .#.#. #.#.# .#.#. ..#.. .#... .....
....# ..#.. #...# .#.#. ##.## #...# ..#.. #.... .##..
####. ..#.. .###. ..#.. #...# #...# ..#.. ##### .##..
""",
    ),
)

CLEAR_CHARACTERS = "2345679ACEFHJKLMNPRTUVWXY"
"""Characters that are hard to confuse: no 0 with O, no 8 with B."""


@cache
def glyph(character: str) -> np.ndarray:
    """Ink of one character, (7, 5) of 0 and 1."""
    for characters, band in _BANDS:
        if character in characters:
            column = characters.index(character)
            rows = [line.split()[column] for line in band.split("\n") if line]
            return np.array([[pixel == "#" for pixel in row] for row in rows], dtype=np.float32)
    raise KeyError(f"the font has no {character!r}")


def write(
    ink: np.ndarray, text: str, x: int, y: int, scale: int = 1, advance: int = ADVANCE
) -> None:
    """Write `text` into an ink layer (H, W), its top left at (x, y); blanks advance."""
    for character in text:
        if character != " ":
            shape = np.kron(glyph(character), np.ones((scale, scale), dtype=np.float32))
            height, width = shape.shape
            area = ink[y : y + height, x : x + width]
            np.maximum(area, shape[: area.shape[0], : area.shape[1]], out=area)
        x += advance
