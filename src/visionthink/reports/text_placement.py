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

INK, MUTED = "#1f2328", "#5a626b"
BACK = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
_PLACES = tuple(
    (x * far, y * far, "left" if x > 0 else "right" if x < 0 else "center")
    for far in (1.0, 2.0, 3.2, 4.6, 6.5)
    for x, y in ((9, 0), (-9, 0), (0, 11), (0, -11), (8, 8), (-8, 8), (8, -8), (-8, -8))
)
"""Points to the right and up from the mark, and how the text is aligned; the best come first."""
_HALF_MARK, _HALF_LINE = 6.0, 1.5  # half of what a mark and a line cover, in points
_FAR = 20.0  # texts that are farther from their points, in points, are tied to them by a line
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
    at = ax.transData.transform(points)
    taken = np.concatenate([_around(at, _HALF_MARK * unit), *_line_areas(ax, unit)])
    frame = np.array([ax.get_window_extent().extents])
    offset: Any = {"textcoords": "offset points"}
    notes: list[Any] = [
        ax.annotate(text, point, (0, 0), fontsize=size, va="center", color=INK, bbox=BACK,
                    zorder=3.5, **offset)  # over lines, under points
        for point, text in zip(points, texts, strict=True)
    ]  # fmt: skip
    options = [
        _options(x, y, note.get_window_extent(), unit)
        for (x, y), note in zip(at, notes, strict=True)
    ]
    # A pixel outside the frame costs as much as four covered ones; near places win ties.
    fixed = [
        _covered(areas, taken)
        + 4 * (np.prod(areas[:, 2:] - areas[:, :2], axis=1) - _covered(areas, frame))
        + 1e-3 * np.arange(len(areas))
        for areas in options
    ]
    chosen: dict[int, int] = {}
    for _ in range(3):  # each text is placed again, given where the others are
        for n, areas in enumerate(options):
            others = [options[o][place] for o, place in chosen.items() if o != n]
            covered = _covered(areas, np.array(others).reshape(-1, 4))
            chosen[n] = int(np.argmin(fixed[n] + covered))
    for n, note in enumerate(notes):
        right, up, align = _PLACES[chosen[n]]
        note.set(position=(right, up), ha=align)
        if abs(right) + abs(up) > _FAR:
            arrow = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkB": 4}
            ax.annotate("", points[n], (right, up), arrowprops=arrow, **offset)


def _options(x: float, y: float, extent: Any, unit: float) -> Areas:
    """What a text covers at each of the places beside (x, y)."""
    shift = {"left": 0.0, "center": extent.width / 2, "right": extent.width}
    left = np.array([x + right * unit - shift[align] for right, _, align in _PLACES])
    low = np.array([y + up * unit - extent.height / 2 for _, up, _ in _PLACES])
    return np.stack([left, low, left + extent.width, low + extent.height], axis=1)


def _around(points: Areas, half: float) -> Areas:
    return np.concatenate([points - half, points + half], axis=1)


def _line_areas(ax: Axes, unit: float) -> list[Areas]:
    """Small areas along the lines of the axes, error bars among them."""
    paths: list[Any] = [(line, line.get_path(), line.get_drawstyle()) for line in ax.lines]
    paths += [(bars, path, "") for bars in ax.collections for path in bars.get_paths()]
    areas: list[Areas] = []
    for of, path, drawn in paths:
        corners: list[Any] = [*of.get_transform().transform(path.vertices)]
        if drawn == "steps-post":
            corners = [*corners[:1], *(p for a, b in pairwise(corners) for p in ((b[0], a[1]), b))]
        for start, end in pairwise(corners):
            parts = max(1, round(np.abs(np.subtract(end, start)).max() / (4 * unit)))
            areas.append(_around(np.linspace(start, end, parts + 1), _HALF_LINE * unit))
    return areas


def _covered(areas: Areas, others: Areas) -> NDArray[Any]:
    """For each area, the pixels of others that it covers."""
    low = np.maximum(areas[:, None, :2], others[None, :, :2])
    high = np.minimum(areas[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2).sum(axis=1)
