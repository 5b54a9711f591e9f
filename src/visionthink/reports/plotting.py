"""Plots of lines, bars, points and heat maps in one style.

They read as well in grey print and by the colour-blind: marks differ in colour, and in dashes,
markers or hatching as well. Colours are Okabe and Ito's, without the yellow: it is lost on white.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from visionthink.core.errors import MissingExtraError
from visionthink.reports.formatting import shortened
from visionthink.reports.text_placement import BACK, INK, MUTED, place_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, DPI = 9.0, 150  # inches, and pixels an inch
MAX_PANELS = 12
SMALL = 7.5  # points of the text beside bars and marks
_LEAD = "="  # before labels: matplotlib leaves those that begin with an underscore out of legends
_STYLE: dict[Any, Any] = {
    **{"font.size": 9, "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED},
    **{"axes.titlesize": 10, "axes.titlelocation": "left", "axes.titleweight": "bold"},
    **{"axes.edgecolor": MUTED, "axes.labelcolor": MUTED},
    **{"axes.spines.top": False, "axes.spines.right": False},
    **{"grid.color": "#d9d5cb", "grid.linewidth": 0.6, "lines.linewidth": 1.6},
    **{"legend.frameon": False, "hatch.linewidth": 0.6},
    "text.parse_math": False,  # names of runs may hold anything
    "svg.hashsalt": "visionthink",  # equal runs give equal files
}


class Style(NamedTuple):
    """What tells a series or a kind of policy apart."""

    colour: str
    marker: str = "o"
    hatch: str = ""
    dash: Any = "solid"


HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[Any, ...] = (
    *("solid", (0, (6, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1.5))),
    *((0, (9, 2, 2, 2, 2, 2)), (0, (1, 3))),
)


def style(at: int) -> Style:
    """The style of the series number `at`; colours repeat after seven, then with other dashes."""
    n = len(_COLOURS)
    dash = _DASHES[(at + at // n) % n]
    return Style(_COLOURS[at % n], _MARKERS[at % n], HATCHES[at % len(HATCHES)], dash)


class Curve(NamedTuple):
    """A line with markers; `band` is a range around it, `errors` are error bars."""

    label: str
    style: Style
    x: Sequence[float]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None
    errors: Sequence[float] | None = None


class Bars(NamedTuple):
    """A series of bars: a value for each category, None where there is none. `styles` are used in
    turn; hollow bars are thin frames without a figure beside them. Errors reach below and above.
    """

    label: str
    styles: Sequence[Style]
    values: Sequence[float | None]
    errors: Sequence[tuple[float, float] | None] = ()
    hollow: bool = False


class Point(NamedTuple):
    """A mark with a text beside it; `label` names its series in the legend."""

    text: str
    style: Style
    x: float
    y: float
    error: tuple[float, float] | None = None
    label: str = ""
    hollow: bool = False


class Guide(NamedTuple):
    """A line among points, or steps from point to point and on to the right edge."""

    label: str
    colour: str
    dash: Any
    x: Sequence[float]
    y: Sequence[float]
    steps: bool = False


class HeatMap(NamedTuple):
    """Shares of bins of [0, 1], from `edges[i]` up to `edges[i + 1]`; None where there are none."""

    edges: Sequence[float]
    shares: Sequence[Sequence[float] | None]
    level: float | None = None
    level_label: str = ""


@dataclass(frozen=True)
class Panel:
    """One set of axes. `items` are curves, bars, points, or one heat map.

    `categories` belong to bars, from the top down; `guides` to points, with `top`, the x at which a
    second axis above, of shares, begins.
    """

    title: str
    items: Sequence[Any]
    categories: Sequence[str] = ()
    guides: Sequence[Guide] = ()
    top: float | None = None


@dataclass
class Plot:
    """A plot: `name` is its file name without a suffix, `caption` says what it shows.

    It is rendered when `png` or `svg` is read. `place` draws what depends on where the rest is.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    place: Callable[[], None] | None = None

    @cached_property
    def png(self) -> bytes:
        return self._render(format="png", metadata={"Software": None})

    @cached_property
    def svg(self) -> bytes:
        return self._render(format="svg", metadata={"Date": None, "Creator": None})

    def lay_out(self) -> None:
        """Put everything in its place, once."""
        if self.figure.get_layout_engine() is not None:
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")
            if self.place is not None:
                self.place()

    def _render(self, **options: Any) -> bytes:
        buffer = io.BytesIO()
        with drawing():
            self.lay_out()
            self.figure.savefig(buffer, **options)
        return buffer.getvalue()


@contextmanager
def drawing() -> Iterator[None]:
    """Inside it matplotlib draws in our style. Raises MissingExtraError if it is not installed."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise MissingExtraError("drawing plots", "report") from error
    with rc_context(_STYLE):
        yield


def _new_figure(
    title: str, panels: Sequence[Panel], height: float, columns: int
) -> tuple[Figure, list[Axes]]:
    """A figure with one set of axes for each panel, in reading order."""
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH, 0.7 + height * rows), dpi=DPI, layout="constrained")
    axes = [ax for row in figure.subplots(rows, columns, squeeze=False) for ax in row]
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for panel, ax in zip(panels, axes, strict=False):
        ax.set_title(_wrapped(panel.title, 84 // columns))
        ax.set_axisbelow(True)
    figure.suptitle(_wrapped(title, 90), x=0.005, ha="left", fontsize=12, fontweight="bold")
    return figure, axes[: len(panels)]


def _wrapped(text: str, columns: int) -> str:
    return "\n".join(textwrap.wrap(text, columns, max_lines=2, placeholder=" …"))


def _add_legend(figure: Figure, axes: Sequence[Axes], labels: Sequence[str] | None = None) -> None:
    """One legend of all axes; `labels` gives the order, and leaves out those that it lacks."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label.removeprefix(_LEAD), handle)
    shown = [label for label in (handles if labels is None else labels) if label in handles]
    if texts := [shortened(label, 90) for label in shown]:
        columns = max(1, min(len(texts), 130 // (max(map(len, texts)) + 9)))
        found = [handles[label] for label in shown]
        figure.legend(found, texts, loc="outside lower left", ncols=columns, handlelength=3.2)


def _percent(axis: Any, decimals: int = 0) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))


def line_plot(
    name: str, title: str, caption: str, panels: Sequence[Panel], *, x_label: str,
    legend: Sequence[str] | None = None, share: bool = False, level: float | None = None,
    x_ticks: Sequence[float] | None = None,
) -> Plot:  # fmt: skip
    """Curves, by default over steps. `share`: y is from 0 to 100 %; `level` is marked."""
    from matplotlib.ticker import MaxNLocator

    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    figure, axes = _new_figure(title, panels, 2.7 if len(panels) <= columns else 2.3, columns)
    for at, (panel, ax) in enumerate(zip(panels, axes, strict=True)):
        for curve in panel.items:
            colour, marker, _, dash = curve.style
            ax.errorbar(
                curve.x, curve.y, yerr=curve.errors, label=f"{_LEAD}{curve.label}", color=colour,
                linestyle=dash, marker=marker, markersize=4.5, markeredgecolor="white",
                markeredgewidth=0.5, markevery=max(1, len(curve.x) // 9), capsize=3, clip_on=False,
                zorder=3,
            )  # fmt: skip
            if curve.band is not None:
                ax.fill_between(curve.x, *curve.band, color=colour, alpha=0.18, linewidth=0)
        ax.grid(axis="y")
        ax.margins(x=0.02)
        if share:
            ax.set_ylim(0, 1)
            _percent(ax.yaxis)
        left, right = ax.get_xlim()
        if x_ticks is not None:
            ax.set_xticks(list(x_ticks))
        else:
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            ax.set_xlim(*((left - 1, right + 1) if right - left < 1 else (left, right)))
        if level is not None:
            ax.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            ax.set_ylim(bottom=0)
        ax.set_xlabel(x_label if at >= len(panels) - columns else "")
    _add_legend(figure, axes, legend)
    return Plot(name, title, caption, figure)


def bar_plot(
    name: str, title: str, caption: str, panels: Sequence[Panel], *, x_label: str,
    share: bool = False,
) -> Plot:  # fmt: skip
    """Horizontal bars with their values beside them. `share`: the axis is from 0 to 100 %."""
    columns = min(2, len(panels))
    most = max(len(panel.categories) * (0.14 + 0.13 * len(panel.items)) for panel in panels)
    figure, axes = _new_figure(title, panels, 0.6 + most, columns)
    for panel, ax in zip(panels, axes, strict=True):
        thick = 0.82 / len(panel.items)
        for at, bars in enumerate(panel.items):
            _draw_bars(ax, bars, (at - (len(panel.items) - 1) / 2) * thick, thick, share)
        names = [shortened(each, 34) for each in panel.categories]
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.45, -0.55)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.grid(axis="x")
        ax.margins(x=0.09)
        if share:
            ax.set_xlim(0, 1.08)
            ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
            _percent(ax.xaxis)
        ax.set_xlabel(x_label)
    _add_legend(figure, axes)
    return Plot(name, title, caption, figure)


def _draw_bars(ax: Axes, bars: Bars, shift: float, thick: float, share: bool) -> None:
    for at, value in enumerate(bars.values):
        if value is None:
            continue
        error = bars.errors[at] if bars.errors else None
        ends = None if error is None else [[end] for end in error]
        look = bars.styles[at % len(bars.styles)]
        fill: dict[str, Any] = {"facecolor": "white", "linewidth": 0.9}
        if not bars.hollow:
            fill = {"facecolor": look.colour, "hatch": look.hatch, "linewidth": 0}
        ax.barh(
            at + shift, value, height=thick * (0.5 if bars.hollow else 0.9), xerr=ends,
            label=f"{_LEAD}{bars.label}", edgecolor=MUTED if bars.hollow else "white", zorder=2,
            error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2}, **fill,
        )  # fmt: skip
        text = "" if bars.hollow else f"{value:.0%}" if share else f"{value:.3g}"
        end = (value + (error[1] if error else 0), at + shift)
        ax.annotate(text, end, (3, 0), textcoords="offset points", va="center", fontsize=SMALL)


def scatter_plot(
    name: str, title: str, caption: str, panels: Sequence[Panel], *, x_label: str, y_label: str,
    top_label: str = "", cross: bool = False,
) -> Plot:  # fmt: skip
    """Points in percent over percent; x = 100 % is marked, with `cross` y = 100 % as well."""
    from matplotlib.ticker import MaxNLocator

    columns = min(2, len(panels))
    figure, axes = _new_figure(title, panels, 4.6 if columns == 1 else 3.4, columns)
    for panel, ax in zip(panels, axes, strict=True):
        for point in panel.items:
            _draw_point(ax, point)
        ax.margins(0.12, 0.14)
        ax.autoscale_view()
        ax.set_autoscale_on(False)
        for guide in panel.guides:
            x = [*guide.x, ax.get_xlim()[1]] if guide.steps else guide.x
            y = [*guide.y, guide.y[-1]] if guide.steps else guide.y
            ax.plot(
                x, y, drawstyle="steps-post" if guide.steps else "default", color=guide.colour,
                linestyle=guide.dash, linewidth=1.1, alpha=0.75, label=f"{_LEAD}{guide.label}",
                zorder=2,
            )  # fmt: skip
        if (low := panel.top) is not None:
            functions: Any = (lambda x, low=low: x - low, lambda p, low=low: p + low)
            top = ax.secondary_xaxis("top", functions=functions)
            _percent(top.xaxis)
            top.set_xlabel(top_label)
        for line in (ax.axvline, ax.axhline)[: 2 if cross else 1]:
            line(1.0, color=MUTED, linewidth=0.8, zorder=1)
        for axis in (ax.xaxis, ax.yaxis):  # ticks of which no two have the same label
            axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
            low, high = axis.get_view_interval()
            _percent(axis, 0 if high - low > 0.05 else 1)
        ax.grid(axis="y")
        ax.set(xlabel=x_label, ylabel=y_label)
    _add_legend(figure, axes)
    size = 8.5 if columns == 1 else SMALL

    def place() -> None:
        for panel, ax in zip(panels, axes, strict=True):
            place_texts(ax, [(p.x, p.y) for p in panel.items], [p.text for p in panel.items], size)

    return Plot(name, title, caption, figure, place)


def _draw_point(ax: Axes, point: Point) -> None:
    colour, marker, *_ = point.style
    fill, edge, width = ("white", colour, 1.4) if point.hollow else (colour, "white", 0.7)
    error = None if point.error is None else [[end] for end in point.error]
    ax.errorbar(
        point.x, point.y, yerr=error, label=f"{_LEAD}{point.label}" if point.label else None,
        color=colour, linestyle="none", marker=marker, markersize=11 if marker == "*" else 7.5,
        markerfacecolor=fill, markeredgecolor=edge, markeredgewidth=width, elinewidth=1,
        capsize=2.5, zorder=3 if point.hollow else 4,
    )  # fmt: skip


def heat_map_plot(
    name: str, title: str, caption: str, panels: Sequence[Panel], *, x_label: str, y_label: str,
    scale_label: str,
) -> Plot:  # fmt: skip
    """One heat map a panel, all on one scale."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    columns = min(2, len(panels))
    figure, axes = _new_figure(title, panels, 2.7 if len(panels) <= columns else 2.4, columns)
    maps: list[HeatMap] = [panel.items[0] for panel in panels]
    largest = max(max(share) for each in maps for share in each.shares if share)
    mesh: Any = None
    for at, (each, ax) in enumerate(zip(maps, axes, strict=True)):
        bins = max(len(share) for share in each.shares if share is not None)
        grid = np.array([share or [np.nan] * bins for share in each.shares], dtype=float).T
        ax.title.set(fontsize=9, fontweight="normal")
        ax.set_facecolor("#e4e1da")  # where there are none
        ax.spines[:].set_visible(False)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        limits: Any = {"cmap": "Blues", "vmin": 0, "vmax": largest}
        edges = list(each.edges), np.linspace(0, 1, bins + 1)
        mesh = ax.pcolormesh(*edges, np.ma.masked_invalid(grid), rasterized=True, **limits)
        if each.level is not None:
            ax.axhline(each.level, color="white", linewidth=2.4)
            ax.axhline(each.level, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
            ax.annotate(
                each.level_label, (1, each.level), (-4, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=8, bbox=BACK,
            )  # fmt: skip
        ax.set_ylabel(y_label if at % columns == 0 else "")
        ax.set_xlabel(x_label if at >= len(panels) - columns else "")
    bar: Any = figure.colorbar(mesh, ax=axes, shrink=0.9, pad=0.02)
    bar.set_label(scale_label)
    bar.outline.set_visible(False)
    _percent(bar.ax.yaxis)
    return Plot(name, title, caption, figure)
