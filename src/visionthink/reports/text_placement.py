"""Texts beside the points of a plot, placed so that they cover neither points, nor lines, nor each
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLACES = tuple(
    (x * far, y * far, "left" if x > 0 else "right" if x < 0 else "center")
    for far in (1.0, 2.0, 3.2, 4.6, 6.5)
    for x, y in ((9, 0), (-9, 0), (0, 11), (0, -11), (8, 8), (-8, 8), (8, -8), (-8, -8))
)
"""Points to the right and up from the mark, and how the text is aligned; the best come first."""
_HALF_MARK, _HALF_LINE = 6.0, 1.5
"""Half of what a mark and a line cover, in points."""
_ROUNDS = 3
"""How often each text is placed again, given where the others are."""
_FAR = 20.0
"""Texts that are farther from their points, in points, are tied to them by a line."""
_OUTSIDE, _LATER = 4.0, 1e-3
"""What a pixel outside the frame costs beside a covered one, and each place after the first."""
INK, MUTED = "#1f2328", "#5a626b"
BACK = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}

Areas = NDArray[Any]
"""Rows of left, bottom, right, top, in pixels; shape (n, 4)."""


def place_texts(
    ax: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], size: float
) -> None:
    """Write a text of `size` points beside each point, in data coordinates. The figure has to be
    laid out.
    """
    figure: Any = ax.figure
    unit = figure.dpi / 72
    at: list[Any] = [ax.transData.transform(point) for point in points]
    taken = np.array([*_around(at, _HALF_MARK * unit), *_line_areas(ax, unit)]).reshape(-1, 4)
    frame = np.array([ax.get_window_extent().extents])
    notes: list[Any] = []
    for point, text in zip(points, texts, strict=True):
        note: Any = ax.annotate(
            text, point, xytext=(0, 0), textcoords="offset points", fontsize=size, color=INK
        )
        note.set(va="center", zorder=3.5, bbox=BACK)  # over lines, under points
        notes.append(note)
    extents = [note.get_window_extent() for note in notes]
    options = [
        _options(x, y, extent.width, extent.height, unit)
        for (x, y), extent in zip(at, extents, strict=True)
    ]
    fixed = [_covered(areas, taken) + _OUTSIDE * _outside(areas, frame) for areas in options]
    chosen: dict[int, int] = {}
    for _ in range(_ROUNDS):
        for n, areas in enumerate(options):
            others = [options[o][place] for o, place in chosen.items() if o != n]
            costs = fixed[n] + _covered(areas, np.array(others).reshape(-1, 4))
            chosen[n] = int(np.argmin(costs + _LATER * np.arange(len(_PLACES))))
    for n, note in enumerate(notes):
        right, up, align = _PLACES[chosen[n]]
        note.set(position=(right, up), ha=align)
        if abs(right) + abs(up) > _FAR:
            ax.annotate(
                "",
                points[n],
                xytext=(right, up),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkB": 4},
            )


def _options(x: float, y: float, width: float, height: float, unit: float) -> Areas:
    """What a text covers at each of the places beside (x, y)."""
    shift = {"left": 0.0, "center": width / 2, "right": width}
    found: list[tuple[float, ...]] = []
    for right, up, align in _PLACES:
        left, middle = x + right * unit - shift[align], y + up * unit
        found.append((left, middle - height / 2, left + width, middle + height / 2))
    return np.array(found)


def _around(points: Sequence[Any], half: float) -> list[tuple[float, ...]]:
    return [(x - half, y - half, x + half, y + half) for x, y in points]


def _line_areas(ax: Axes, unit: float) -> list[tuple[float, ...]]:
    """Small areas along the lines of the axes."""
    points: list[Any] = []
    for line in ax.lines:
        corners = line.get_transform().transform(line.get_path().vertices)
        if line.get_drawstyle() == "steps-post":
            pairs = pairwise(corners)
            corners = [*corners[:1], *(p for a, b in pairs for p in ((b[0], a[1]), b))]
        for (x0, y0), (x1, y1) in pairwise(corners):
            parts = max(1, round(max(abs(x1 - x0), abs(y1 - y0)) / (4 * unit)))
            points += np.linspace((x0, y0), (x1, y1), parts + 1).tolist()
    return _around(points, _HALF_LINE * unit)


def _covered(areas: Areas, others: Areas) -> NDArray[Any]:
    """For each area, the pixels of others that it covers."""
    return np.sum(_shared(areas, others), axis=1)


def _outside(areas: Areas, frame: Areas) -> NDArray[Any]:
    whole = (areas[:, 2] - areas[:, 0]) * (areas[:, 3] - areas[:, 1])
    return whole - _covered(areas, frame)


def _shared(areas: Areas, others: Areas) -> NDArray[Any]:
    """Pixels that two areas have in common; shape (areas, others)."""
    low = np.maximum(areas[:, None, :2], others[None, :, :2])
    high = np.minimum(areas[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)
