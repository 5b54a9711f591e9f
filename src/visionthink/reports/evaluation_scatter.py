"""Accuracy over visual tokens: which policies are worth what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from visionthink.reports.comparison import Comparison, Entry, kind_of, labels
from visionthink.reports.labels import label_points
from visionthink.reports.plotting import (
    INK,
    LEAD,
    MUTED,
    Plot,
    add_legend,
    finish,
    new_figure,
    percent_ticks,
)
from visionthink.reports.policy_looks import LOOKS, MOST_SUITES, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CEILING = ("oracle",)
"""Sorts that nobody can run: they look at the right answers."""
FRONT, LOT, BEST = "Pareto front", "requests by lot: low + p", "best choice of requests"
_CAPTION = (
    "Up and to the left is better. Visual tokens are those that the model ran over, over those of "
    "the originals alone; right of the line at 100 % requests cost more than they save."
)
_LINES = {
    FRONT: "No policy beats those on the Pareto front.",
    LOT: "The dashed line is what as many requests by lot would score.",
    BEST: "The dotted line is what the best choice of as many requests would score.",
}
"""What lines are, if they are drawn."""


@dataclass(frozen=True)
class Point:
    """An entry as it stands in a plot: visual tokens over vanilla, and what it scored."""

    entry: Entry
    x: float
    y: float
    error: float | None


def suite_points(comparison: Comparison, suite: str) -> list[Point]:
    found: list[Point] = []
    for entry in comparison.entries:
        x = entry.figure("visual_token_ratio", suite)
        y = entry.figure("accuracy", suite)
        if x and y:
            found.append(Point(entry, x.mean, y.mean, y.stderr))
    return found


def average_points(comparison: Comparison) -> list[Point]:
    """Scores over vanilla's, the mean over suites."""
    found: list[Point] = []
    for entry in comparison.entries:
        x, y = comparison.across(entry, "visual_token_ratio"), comparison.average(entry)
        if x is not None and y is not None:
            found.append(Point(entry, x, y, None))
    return found


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Those that none beats in score with as few tokens or fewer; ceilings do not count."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if kind_of(point.entry.policy) in CEILING:
            continue
        if not front or point.y > front[-1].y:
            front.append(point)
    return front


def scatters(comparison: Comparison) -> Iterator[Plot]:
    """One of all suites, and if they are several one with each of them."""
    if len(comparison.suites) == 1:
        (suite,) = comparison.suites
        points, what = suite_points(comparison, suite), "accuracy"
        title = f"Accuracy over visual tokens: {suite}"
    else:
        points, what = average_points(comparison), "score, % of vanilla, mean over suites"
        title = "Score over visual tokens"
    if points:
        figure, axes = new_figure(1, 1, 4.3)
        lines = draw_points(axes[0], points, what)
        add_legend(figure, axes, lines)
        errors = " Error bars are standard errors." if any(p.error for p in points) else ""
        yield finish(
            figure,
            [],
            "accuracy_tokens",
            title,
            _caption(lines) + errors,
            last=lambda: _label(axes[0], points, 8.5),
        )
    if len(comparison.suites) > 1:
        yield from _grid(comparison)


def _grid(comparison: Comparison) -> Iterator[Plot]:
    panels = [(suite, suite_points(comparison, suite)) for suite in comparison.suites]
    panels = [panel for panel in panels if panel[1]]
    shown = panels[:MOST_SUITES]
    if not shown:
        return
    rows = -(-len(shown) // 2)
    figure, axes = new_figure(rows, 2, 3.0)
    lines: dict[str, None] = {}
    for (suite, points), ax in zip(shown, axes, strict=False):
        lines |= dict.fromkeys(draw_points(ax, points, "accuracy"))
        ax.set_title(suite)
    add_legend(figure, axes, list(lines))

    def label() -> None:
        for (_, points), ax in zip(shown, axes, strict=False):
            _label(ax, points, SMALL)

    left_out = f" The first {MOST_SUITES} of {len(panels)} suites." if panels[MOST_SUITES:] else ""
    title = "Accuracy over visual tokens, by suite"
    unused = axes[len(shown) :]
    yield finish(
        figure,
        unused,
        "accuracy_tokens_suites",
        title,
        f"{_caption(list(lines))}{left_out}",
        last=label,
    )


def _caption(lines: Sequence[str]) -> str:
    return " ".join([_CAPTION, *(told for line, told in _LINES.items() if line in lines)])


def _label(ax: Axes, points: Sequence[Point], size: float) -> None:
    label_points(ax, [(p.x, p.y) for p in points], labels([p.entry for p in points]), size)


def draw_points(ax: Axes, points: Sequence[Point], what: str) -> list[str]:
    """Draw the points and lines; the labels of lines for a legend."""
    for point in points:
        look = LOOKS[kind_of(point.entry.policy)]
        ax.errorbar(
            point.x,
            point.y,
            yerr=point.error,
            color=look.colour,
            marker=look.marker,
            markersize=11 if look.marker == "*" else 7.5,
            markeredgecolor="white",
            markeredgewidth=0.7,
            elinewidth=1,
            capsize=2.5,
            zorder=4,
        )
    ax.margins(0.09, 0.12)
    ax.autoscale_view()
    ax.set_autoscale_on(False)
    lines = [*_front(ax, points), *_limits(ax, points)]
    ax.axvline(1.0, color=MUTED, linewidth=0.8, zorder=1)
    ax.grid(axis="y")
    ax.set_axisbelow(True)
    percent_ticks(ax)
    ax.set_xlabel("visual tokens, % of vanilla")
    ax.set_ylabel(what)
    return lines


def _front(ax: Axes, points: Sequence[Point]) -> list[str]:
    front = pareto_front(points)
    if len(front) < 2:
        return []
    right = ax.get_xlim()[1]
    ax.plot(
        [*(p.x for p in front), right],
        [*(p.y for p in front), front[-1].y],
        drawstyle="steps-post",
        color=INK,
        alpha=0.55,
        linewidth=1.1,
        label=f"{LEAD}{FRONT}",
        zorder=2,
    )
    return [FRONT]


def _limits(ax: Axes, points: Sequence[Point]) -> list[str]:
    """Lines from the small image: to what all requests give, and to the best choice of them."""
    from matplotlib.ticker import PercentFormatter

    system = points[0].entry.system
    named = {p.entry.policy: p for p in points if p.entry.system == system}
    low, high, oracle = (named.get(policy) for policy in ("low", "high", "oracle"))
    lines: list[str] = []
    if low and high:
        ax.plot([low.x, low.x + 1], [low.y, high.y], color=MUTED, linestyle=(0, (5, 3)),
                linewidth=1.1, label=f"{LEAD}{LOT}", zorder=2)  # fmt: skip
        lines.append(LOT)
        top = ax.secondary_xaxis(
            "top",
            functions=(lambda x: x - low.x, lambda p: p + low.x),  # type: ignore[arg-type]
        )
        top.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        top.set_xlabel("share of requests p")
    if low and oracle:
        ax.plot([low.x, oracle.x], [low.y, oracle.y], color="#0072b2", linestyle=(0, (1, 1.5)),
                linewidth=1.4, label=f"{LEAD}{BEST}", zorder=2)  # fmt: skip
        lines.append(BEST)
    return lines
