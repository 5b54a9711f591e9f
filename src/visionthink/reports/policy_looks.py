"""What sorts of policies look like in plots: colour, marker and hatching at once.

Read as well in grey print and by the colour-blind.
"""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """Colour of points and bars, marker of points, hatching of bars."""

    colour: str
    marker: str
    hatch: str


LOOKS = {
    "high": Look("#000000", "s", ""),
    "low": Look("#56b4e9", "v", "...."),
    "fastv": Look("#009e73", "^", "////"),
    "sparsevlm": Look("#cc79a7", "D", "\\\\\\\\"),
    "visionzip": Look("#e69f00", "P", "xxxx"),
    "auto": Look("#d55e00", "o", ""),
    "random": Look("#8a8f96", "X", "----"),
    "oracle": Look("#0072b2", "*", "||||"),
    "": Look("#8a8f96", "h", "++++"),
}
"""By the keys of `comparison.KINDS`, and of others."""
MORE = ("////", "....", "xxxx", "\\\\\\\\", "++++")
"""Hatchings of further entries of one sort."""
SMALL = 7.5
"""Points of the text beside bars and in small plots."""
MOST_SUITES = 12
"""Shown in one plot."""
