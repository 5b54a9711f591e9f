"""The paper that plots are drawn on: how they look, their legends, and what becomes of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visionthink.core.errors import MissingExtraError
from visionthink.reports.training import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.0
"""Inches."""
DPI = 150

# Okabe and Ito's colours without the yellow, which white paper swallows; dark and light alternate.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
DASHES: tuple[Any, ...] = (
    *("solid", (0, (6, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1.5))),
    *((0, (9, 2, 2, 2, 2, 2)), (0, (1, 3))),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, MUTED, RULE = "#1f2328", "#5a626b", "#d9d5cb"
_LOOK: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # names of runs may hold anything
    "svg.hashsalt": "visionthink",  # equal runs give equal files
}


LEAD = "="
"""Before every label: matplotlib leaves those out of legends that begin with an underscore."""


@dataclass(frozen=True)
class Plot:
    """A drawn plot: `name` is its file name without an end, `caption` what it shows."""

    name: str
    title: str
    caption: str
    png: bytes
    svg: bytes


def paper() -> AbstractContextManager[None]:
    """Inside it matplotlib draws as our plots look. Raises MissingExtraError if it is not there."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise MissingExtraError("drawing plots", "report") from error
    return rc_context(_LOOK)


def new_figure(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure and its axes in reading order."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 0.7 + height * rows), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [ax for row in axes for ax in row]


def add_legend(figure: Figure, axes: Sequence[Axes], labels: Sequence[str]) -> None:
    if not labels:
        return
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label.removeprefix(LEAD), handle)
    names = [KINDS.get(label, label) for label in labels]
    figure.legend(
        [handles[label] for label in labels],
        names,
        loc="outside lower left",
        ncols=max(1, min(len(labels), 130 // (max(map(len, names)) + 9))),
        handlelength=3.2,
        frameon=False,
    )


def finish(
    figure: Figure,
    unused: Sequence[Axes],
    name: str,
    title: str,
    caption: str,
    last: Callable[[], None] | None = None,
) -> Plot:
    """The plot. `last` draws what has to know where everything else is."""
    for ax in unused:
        ax.set_visible(False)
    figure.suptitle(title, x=0.005, ha="left", fontsize=12, fontweight="bold")
    if last is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        last()
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return Plot(name, title, caption, png.getvalue(), svg.getvalue())


def percent_ticks(ax: Axes) -> None:
    """Both axes in percent, at steps of which no two are told alike."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        low, high = axis.get_view_interval()
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if high - low > 0.05 else 1))


def set_axis(ax: Axes, *, share: bool) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    ax.grid(axis="y")
    ax.set_axisbelow(True)
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if share:
        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
