"""Bars of policies: how often they request originals, and how long a sample takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from visionthink.reports.comparison import Comparison, Entry, kind_of, labels
from visionthink.reports.evaluation import ALL
from visionthink.reports.plotting import INK, LEAD, MUTED, Plot, add_legend, finish, new_figure
from visionthink.reports.policy_looks import LOOKS, MORE, MOST_SUITES, SMALL, Look
from visionthink.reports.story import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEASURED, _LIMIT = "measured", "if time followed FLOPs"
_REQUESTS = "Share of samples for which the original was delivered after a request."
_ORACLE = (
    " The oracle requests where only the original gives the right answer: what is missing to its "
    "bar are answers lost, what is beyond it tokens lost."
)
_CLOCKS = {
    "seconds_alone": "Wall clock of samples that were asked one at a time.",
    "seconds_per_sample": "Wall clock over the episodes that ran at once.",
}
_ERRORS: dict[str, Any] = {"ecolor": INK, "elinewidth": 1, "capsize": 2}
_NAME = 34
_MOST_BARS = 6


@dataclass(frozen=True)
class _Bar:
    """Of one entry: a value for each category, None where it has none."""

    label: str
    look: Look
    values: list[float | None]
    errors: list[float | None]


def _bars(ax: Axes, names: Sequence[str], bars: Sequence[_Bar]) -> None:
    """Horizontal bars of shares, categories from the top down, with their values beside them."""
    wide = 0.82 / len(bars)
    for of, bar in enumerate(bars):
        held = [
            (at + (of - (len(bars) - 1) / 2) * wide, value, error or 0.0)
            for at, (value, error) in enumerate(zip(bar.values, bar.errors, strict=True))
            if value is not None
        ]
        errors = [error for _, _, error in held]
        ax.barh(
            [place for place, _, _ in held],
            [value for _, value, _ in held],
            height=wide * 0.9,
            xerr=errors if any(errors) else None,
            label=f"{LEAD}{bar.label}",
            color=bar.look.colour,
            hatch=bar.look.hatch,
            edgecolor="white",
            linewidth=0,
            error_kw=_ERRORS,
            zorder=2,
        )
        for place, value, error in held:
            _figure(ax, f"{value:.0%}", value + error, place)
    _categories(ax, names)


def _figure(ax: Axes, told: str, x: float, y: float) -> None:
    """A text right of the end of a bar."""
    ax.annotate(
        told, (x, y), xytext=(3, 0), textcoords="offset points", va="center", fontsize=SMALL
    )


def _categories(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), [shortened(name, _NAME) for name in names])
    ax.set_ylim(len(names) - 0.45, -0.55)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


# Requests


class _Place(NamedTuple):
    """A category: its name, and what it is of."""

    name: str
    suite: str
    family: str


def request_bars(comparison: Comparison) -> Iterator[Plot]:
    """Request rates by suite, and by family of each suite, of policies that leave it to the model;
    beside them the oracle's.
    """
    for at, (title, places) in enumerate(_panels(comparison)):
        suites = {place.suite for place in places}
        entries = [
            entry
            for entry in comparison.entries
            if kind_of(entry.policy) in ("auto", "oracle")
            and any(entry.figure("request_rate", suite) for suite in suites)
        ][:_MOST_BARS]
        if not entries:
            continue
        bars = _request_bars(entries, places)
        figure, (ax,) = new_figure(1, 1, 0.5 + len(places) * (0.14 + 0.12 * len(bars)))
        _bars(ax, [place.name for place in places], bars)
        _share_axis(ax, "samples for which the original is requested")
        add_legend(figure, [ax], [bar.label for bar in bars])
        oracle = any(kind_of(entry.policy) == "oracle" for entry in entries)
        yield finish(
            figure,
            [],
            f"requests_{at}" if at else "requests",
            f"How often the original is requested{f': {title}' if title else ''}",
            _REQUESTS + (_ORACLE if oracle else ""),
        )


def _panels(comparison: Comparison) -> list[tuple[str, list[_Place]]]:
    """For each plot its title and categories."""
    many = len(comparison.suites) > 1
    panels: list[tuple[str, list[_Place]]] = []
    if many:
        panels.append(("by suite", [_Place(suite, suite, ALL) for suite in comparison.suites]))
    for suite, families in comparison.suites.items():
        kinds = list(dict.fromkeys(families.values()))
        order = sorted(families, key=lambda family: kinds.index(families[family]))
        places = [_Place(f"{f} ({families[f]})" if families[f] else f, suite, f) for f in order]
        if len(places) > 1 or not many:
            panels.append((suite if many else "", [*places, _Place(f"all of {suite}", suite, ALL)]))
    return panels


def _request_bars(entries: Sequence[Entry], places: Sequence[_Place]) -> list[_Bar]:
    bars: list[_Bar] = []
    for at, (entry, label) in enumerate(zip(entries, labels(entries), strict=True)):
        kind = kind_of(entry.policy)
        before = sum(kind_of(other.policy) == kind for other in entries[:at])
        look = LOOKS[kind]._replace(hatch=MORE[before % len(MORE)]) if before else LOOKS[kind]
        found = [entry.figure("request_rate", place.suite, (place.family,)) for place in places]
        values = [figure.mean if figure else None for figure in found]
        bars.append(
            _Bar(label, look, values, [figure.stderr if figure else None for figure in found])
        )
    return bars


def _share_axis(ax: Axes, what: str) -> None:
    from matplotlib.ticker import PercentFormatter

    ax.set_xlim(0, 1.08)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel(what)


# Time


def time_bars(comparison: Comparison) -> Iterator[Plot]:
    """Seconds of a sample, and what they would be if they followed FLOPs."""
    panels: list[tuple[str, list[Entry]]] = []
    for suite in comparison.suites:
        held = [e for e in comparison.entries if e.figure(comparison.clock, suite)]
        if held:
            panels.append((suite, held))
    shown = panels[:MOST_SUITES]
    if not shown:
        return
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    longest = max(len(held) for _, held in shown)
    figure, axes = new_figure(rows, columns, 0.7 + 0.36 * longest)
    told: list[str] = []
    for (suite, held), ax in zip(shown, axes, strict=False):
        told = list(dict.fromkeys([*told, *_time_panel(ax, comparison, suite, held)]))
        ax.set_title(suite if len(comparison.suites) > 1 else "")
    add_legend(figure, axes, told)
    left_out = f" The first {MOST_SUITES} of {len(panels)} suites." if panels[MOST_SUITES:] else ""
    yield finish(
        figure,
        axes[len(shown) :],
        "seconds",
        "Seconds of a sample",
        f"{_CLOCKS[comparison.clock]} The hollow bars are vanilla's seconds, "
        "times what the policy's prefill FLOPs are of its: what would be reached if time followed "
        "FLOPs, for prompts as long. Oracle and requests by lot are added up from low and high."
        f"{left_out}",
    )


def _time_panel(
    ax: Axes, comparison: Comparison, suite: str, entries: Sequence[Entry]
) -> list[str]:
    """The labels of its bars, for a legend."""
    limits = [time_limit(comparison, suite, entry) for entry in entries]
    told = [_MEASURED]
    for at, (entry, limit) in enumerate(zip(entries, limits, strict=True)):
        seconds = entry.figure(comparison.clock, suite)
        assert seconds is not None  # noqa: S101 - entries without seconds are left out before
        look = LOOKS[kind_of(entry.policy)]
        ax.barh(at - 0.13, seconds.mean, height=0.46, xerr=seconds.stderr, color=look.colour,
                hatch=look.hatch, edgecolor="white", linewidth=0, label=f"{LEAD}{_MEASURED}",
                error_kw=_ERRORS, zorder=2)  # fmt: skip
        _figure(ax, f"{seconds.mean:.3g}", seconds.mean + (seconds.stderr or 0), at - 0.13)
        if limit is not None:
            ax.barh(at + 0.24, limit, height=0.2, facecolor="white", edgecolor=MUTED,
                    linewidth=0.9, label=f"{LEAD}{_LIMIT}", zorder=2)  # fmt: skip
    if any(limit is not None for limit in limits):
        told.append(_LIMIT)
    _categories(ax, labels(entries))
    ax.margins(x=0.09)
    ax.set_xlabel("seconds")
    return told


def time_limit(comparison: Comparison, suite: str, entry: Entry) -> float | None:
    """Vanilla's seconds times what the FLOPs are of vanilla's."""
    vanilla = comparison.vanilla(entry, suite)
    seconds = vanilla.figure(comparison.clock, suite) if vanilla else None
    share = comparison.share(entry, suite, "flops_ratio")
    return seconds.mean * share if seconds and share is not None else None
