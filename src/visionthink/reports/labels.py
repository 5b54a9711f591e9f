"""Texts beside the points of a plot, placed so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from visionthink.reports.plotting import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLACES = tuple(
    (x * far, y * far, "left" if x > 0 else "right" if x < 0 else "center")
    for far in (1.0, 2.0, 3.2, 4.6, 6.5)
    for x, y in ((9, 0), (-9, 0), (0, 11), (0, -11), (8, 8), (-8, 8), (8, -8), (-8, -8))
)
"""Points to the right and up from the point, and how the text is aligned; the best come first."""
_POINT = 6.0
"""Half of what a marker covers, in points."""
_ROUNDS = 3
"""So often each text is placed anew, given where the others are."""
_FAR = 20.0
"""Texts that are farther from their points are tied to them by a line."""

_BACK = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def label_points(
    ax: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], size: float
) -> None:
    """Write a text beside each point, in data coordinates. The figure has to be laid out."""
    figure: Any = ax.figure
    unit = figure.dpi / 72
    at: list[tuple[float, float]] = [tuple(ax.transData.transform(point)) for point in points]
    half = _POINT * unit
    marks: list[Box] = [(x - half, y - half, x + half, y + half) for x, y in at]
    frame = ax.get_window_extent().extents
    notes: list[Any] = []
    for point, text in zip(points, texts, strict=True):
        note: Any = ax.annotate(
            text, point, xytext=(0, 0), textcoords="offset points", fontsize=size, color=INK
        )
        note.set(va="center", zorder=3.5, bbox=_BACK)  # over lines, under points
        notes.append(note)
    sizes = [(extent.width, extent.height) for extent in (n.get_window_extent() for n in notes)]
    chosen: dict[int, int] = {}
    for _ in range(_ROUNDS):
        for n, (x, y) in enumerate(at):
            others = [_box(*at[o], place, *sizes[o], unit) for o, place in chosen.items() if o != n]
            taken = [*marks, *others]
            costs = [
                _cost(_box(x, y, place, *sizes[n], unit), taken, frame)
                for place in range(len(_PLACES))
            ]
            chosen[n] = costs.index(min(costs))
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


def _box(x: float, y: float, place: int, width: float, height: float, unit: float) -> Box:
    """What a text covers at a place beside (x, y), in pixels."""
    right, up, align = _PLACES[place]
    shift = {"left": 0.0, "center": width / 2, "right": width}[align]
    left, middle = x + right * unit - shift, y + up * unit
    return left, middle - height / 2, left + width, middle + height / 2


def _cost(box: Box, taken: Sequence[Box], frame: Sequence[float]) -> float:
    """Pixels of other things that a box covers, and of its own that are outside the frame."""
    covered = sum(_shared(box, other) for other in taken)
    whole = (box[2] - box[0]) * (box[3] - box[1])
    return covered + 4 * (whole - _shared(box, (frame[0], frame[1], frame[2], frame[3])))


def _shared(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0
