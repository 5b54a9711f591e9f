"""Plots of policies, that read as well in grey print and by the colour-blind.

Sorts of policies are told by colour, marker and hatching at once, and named beside their points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from visionthink.reports.comparison import Comparison, Entry, kind_of
from visionthink.reports.evaluation import ALL
from visionthink.reports.evaluation_table import decides
from visionthink.reports.labels import label_points
from visionthink.reports.plotting import (
    INK,
    LEAD,
    MUTED,
    Plot,
    add_legend,
    finish,
    new_figure,
    paper,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Look(NamedTuple):
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
"""What sorts of policies look like."""
CEILING = ("oracle",)
"""Sorts that nobody can run: they look at the right answers."""
FRONT, LOT, BEST = "Pareto front", "requests by lot: 25 % + p", "best choice of requests"
_MEASURED, _LIMIT = "measured", "if time followed FLOPs"
_SUITES = 12
_SMALL = 7.5
_NAME = 34
_MOST_BARS = 6
_MORE = ("////", "....", "xxxx", "\\\\\\\\", "++++")
"""Hatchings of further entries of one sort."""


@dataclass(frozen=True)
class Point:
    """An entry as it stands in a plot: visual tokens over vanilla, and what it scored."""

    entry: Entry
    x: float
    y: float
    error: float | None


def evaluation_plots(comparison: Comparison) -> list[Plot]:
    """All plots for which there are figures.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with paper():
        return [*_scatters(comparison), *_requests(comparison), *_times(comparison)]


# Accuracy over tokens


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


def _scatters(comparison: Comparison) -> Iterator[Plot]:
    caption = (
        "Up and to the left is better. Visual tokens are those that the model ran over, over those "
        "of the originals alone; right of the line at 100 % (p = 75 %) requests cost more than "
        "they save. The dashed line is what as many requests by lot would score, the dotted one "
        "what the best choice of them would."
    )
    single = len(comparison.suites) == 1
    if single:
        (suite,) = comparison.suites
        points, what = suite_points(comparison, suite), "accuracy"
    else:
        points, what = average_points(comparison), "score, % of vanilla, mean over suites"
    if points:
        figure, axes = new_figure(1, 1, 4.3)
        labels = _scatter(axes[0], points, what)
        add_legend(figure, axes, labels)
        label_points(axes[0], [(p.x, p.y) for p in points], [p.entry.label for p in points], 8.5)
        title = f"Accuracy over visual tokens: {suite}" if single else "Score over visual tokens"
        errors = " Error bars are standard errors." if single else ""
        yield finish(figure, [], "accuracy_tokens", title, caption + errors)
    if not single:
        yield from _grid(comparison, caption)


def _grid(comparison: Comparison, caption: str) -> Iterator[Plot]:
    panels = [(suite, suite_points(comparison, suite)) for suite in comparison.suites]
    panels = [panel for panel in panels if panel[1]]
    shown = panels[:_SUITES]
    if not shown:
        return
    rows = -(-len(shown) // 2)
    figure, axes = new_figure(rows, 2, 3.0)
    labels: dict[str, None] = {}
    for (suite, points), ax in zip(shown, axes, strict=False):
        labels |= dict.fromkeys(_scatter(ax, points, "accuracy"))
        ax.set_title(suite)
    add_legend(figure, axes, list(labels))
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    for (_, points), ax in zip(shown, axes, strict=False):
        label_points(ax, [(p.x, p.y) for p in points], [p.entry.label for p in points], _SMALL)
    left_out = f" The first {_SUITES} of {len(panels)} suites." if panels[_SUITES:] else ""
    title = "Accuracy over visual tokens, by suite"
    yield finish(figure, [], "accuracy_tokens_suites", title, f"{caption}{left_out}")


def _scatter(ax: Axes, points: Sequence[Point], what: str) -> list[str]:
    """Draw the points and lines; the labels of lines for a legend."""
    from matplotlib.ticker import PercentFormatter

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
    labels = [*_front(ax, points), *_limits(ax, points)]
    ax.axvline(1.0, color=MUTED, linewidth=0.8, zorder=1)
    ax.grid(axis="y")
    ax.set_axisbelow(True)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel("visual tokens, % of vanilla")
    ax.set_ylabel(what)
    return labels


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
    labels: list[str] = []
    if low and high:
        ax.plot([low.x, low.x + 1], [low.y, high.y], color=MUTED, linestyle=(0, (5, 3)),
                linewidth=1.1, label=f"{LEAD}{LOT}", zorder=2)  # fmt: skip
        labels.append(LOT)
        top = ax.secondary_xaxis(
            "top",
            functions=(lambda x: x - low.x, lambda p: p + low.x),  # type: ignore[arg-type]
        )
        top.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        top.set_xlabel("share of requests p")
    if low and oracle:
        ax.plot([low.x, oracle.x], [low.y, oracle.y], color="#0072b2", linestyle=(0, (1, 1.5)),
                linewidth=1.4, label=f"{LEAD}{BEST}", zorder=2)  # fmt: skip
        labels.append(BEST)
    return labels


# Bars


@dataclass(frozen=True)
class _Bar:
    """Of one entry: a value for each category, None where it has none."""

    label: str
    look: Look
    values: list[float | None]
    errors: list[float | None]


def _bars(ax: Axes, names: Sequence[str], bars: Sequence[_Bar], told: str = "{:.0%}") -> None:
    """Horizontal bars, categories from the top down, with their values beside them."""
    wide = 0.82 / len(bars)
    for of, bar in enumerate(bars):
        at = [
            n + (of - (len(bars) - 1) / 2) * wide for n, v in enumerate(bar.values) if v is not None
        ]
        values = [value for value in bar.values if value is not None]
        errors = [e or 0.0 for v, e in zip(bar.values, bar.errors, strict=True) if v is not None]
        ax.barh(
            at,
            values,
            height=wide * 0.9,
            xerr=errors if any(errors) else None,
            label=f"{LEAD}{bar.label}",
            color=bar.look.colour,
            hatch=bar.look.hatch,
            edgecolor="white",
            linewidth=0,
            error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
            zorder=2,
        )
        for place, value, error in zip(at, values, errors, strict=True):
            ax.annotate(
                told.format(value),
                (value + error, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=_SMALL,
            )
    ax.set_yticks(range(len(names)), [_short(name) for name in names])
    ax.set_ylim(len(names) - 0.45, -0.55)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _requests(comparison: Comparison) -> Iterator[Plot]:
    """Request rates by suite, and by family of each suite."""
    panels: list[tuple[str, list[tuple[str, str, str]]]] = []
    if len(comparison.suites) > 1:
        panels.append(("by suite", [(suite, suite, ALL) for suite in comparison.suites]))
    for suite, families in comparison.suites.items():
        kinds = list(dict.fromkeys(families.values()))
        order = sorted(families, key=lambda family: kinds.index(families[family]))
        told = [(f"{f} ({families[f]})" if families[f] else f, suite, f) for f in order]
        told.append((f"all of {suite}", suite, ALL))
        if len(comparison.suites) == 1 or len(told) > 2:
            panels.append((suite if len(comparison.suites) > 1 else "", told))
    for at, (title, places) in enumerate(panels):
        entries = [
            entry
            for entry in comparison.entries
            if kind_of(entry.policy) in ("auto", "oracle")
            and any(decides(entry, suite) for suite in {place[1] for place in places})
        ][:_MOST_BARS]
        if not entries:
            continue
        bars: list[_Bar] = []
        for of, entry in enumerate(entries):
            found = [entry.figure("request_rate", suite, (family,)) for _, suite, family in places]
            look = LOOKS[kind_of(entry.policy)]
            same = sum(kind_of(e.policy) == kind_of(entry.policy) for e in entries[:of])
            bars.append(
                _Bar(
                    entry.label,
                    look._replace(hatch=_MORE[same % len(_MORE)]) if same else look,
                    [figure.mean if figure else None for figure in found],
                    [figure.stderr if figure else None for figure in found],
                )
            )
        figure, axes = new_figure(1, 1, 0.5 + len(places) * (0.16 + 0.17 * len(bars)))
        _bars(axes[0], [place[0] for place in places], bars)
        _share_axis(axes[0], "samples for which the original is requested")
        add_legend(figure, axes, [bar.label for bar in bars])
        yield finish(
            figure,
            [],
            "requests" if at == 0 else f"requests_{at}",
            f"How often the original is requested{f': {title}' if title else ''}",
            "The oracle requests where only the original gives the right answer: what is missing "
            "to its bar are answers lost, what is beyond it tokens lost.",
        )


def _share_axis(ax: Axes, what: str) -> None:
    from matplotlib.ticker import PercentFormatter

    ax.set_xlim(0, 1.08)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel(what)


# Time


def _times(comparison: Comparison) -> Iterator[Plot]:
    """Seconds of a sample, and what they would be if they followed FLOPs."""
    panels: list[tuple[str, list[Entry]]] = []
    for suite in comparison.suites:
        held = [e for e in comparison.entries if e.figure("seconds_per_sample", suite)]
        if held:
            panels.append((suite, held))
    shown = panels[:_SUITES]
    if not shown:
        return
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    longest = max(len(held) for _, held in shown)
    figure, axes = new_figure(rows, columns, 0.7 + 0.36 * longest)
    labels: list[str] = []
    for (suite, held), ax in zip(shown, axes, strict=False):
        labels = list(dict.fromkeys([*labels, *_time_panel(ax, comparison, suite, held)]))
        ax.set_title(suite if len(comparison.suites) > 1 else "")
    add_legend(figure, axes, labels)
    left_out = f" The first {_SUITES} of {len(panels)} suites." if panels[_SUITES:] else ""
    yield finish(
        figure,
        axes[len(shown) :],
        "time",
        "Seconds of a sample",
        "Wall clock over the episodes that ran at once. The hollow bars are vanilla's seconds times "
        "the share of its prefill FLOPs: what would be reached if time followed FLOPs. Oracle and "
        f"requests by lot are added up from low and high.{left_out}",
    )


def _time_panel(
    ax: Axes, comparison: Comparison, suite: str, entries: Sequence[Entry]
) -> list[str]:
    """The labels of its bars, for a legend."""
    limits = [_limit(comparison, suite, entry) for entry in entries]
    labels = [_MEASURED]
    for at, (entry, limit) in enumerate(zip(entries, limits, strict=True)):
        seconds = entry.figure("seconds_per_sample", suite)
        assert seconds is not None  # noqa: S101 - entries without seconds are left out before
        look = LOOKS[kind_of(entry.policy)]
        ax.barh(at - 0.13, seconds.mean, height=0.46, xerr=seconds.stderr, color=look.colour,
                hatch=look.hatch, edgecolor="white", linewidth=0, label=f"{LEAD}{_MEASURED}",
                error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2}, zorder=2)  # fmt: skip
        ax.annotate(f"{seconds.mean:.3g}", (seconds.mean + (seconds.stderr or 0), at - 0.13),
                    xytext=(3, 0), textcoords="offset points", va="center",
                    fontsize=_SMALL)  # fmt: skip
        if limit is not None:
            ax.barh(at + 0.24, limit, height=0.2, facecolor="white", edgecolor=MUTED,
                    linewidth=0.9, label=f"{LEAD}{_LIMIT}", zorder=2)  # fmt: skip
    if any(limit is not None for limit in limits):
        labels.append(_LIMIT)
    ax.set_yticks(range(len(entries)), [_short(entry.label) for entry in entries])
    ax.set_ylim(len(entries) - 0.45, -0.55)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.margins(x=0.09)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    ax.set_xlabel("seconds")
    return labels


def _limit(comparison: Comparison, suite: str, entry: Entry) -> float | None:
    """Vanilla's seconds times what the FLOPs are of vanilla's."""
    vanilla = comparison.vanilla(entry, suite)
    seconds = vanilla.figure("seconds_per_sample", suite) if vanilla else None
    share = comparison.share(entry, suite, "flops_ratio")
    return seconds.mean * share if seconds and share is not None else None
