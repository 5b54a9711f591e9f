"""What was measured beside what the paper printed, as shares of vanilla: models and questions of
both are others, so that only these can stand in one plot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from visionthink.core.means import mean as mean_of
from visionthink.reports.comparison import KINDS, Comparison, Entry, kind_of, labels
from visionthink.reports.labels import label_points
from visionthink.reports.plotting import (
    LEAD,
    MUTED,
    Plot,
    add_legend,
    finish,
    new_figure,
    percent_ticks,
)
from visionthink.reports.policy_looks import LOOKS, MOST_SUITES, SMALL
from visionthink.reports.published import Published, Row, mean, mean_percent, token_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEASURED = "measured"


@dataclass(frozen=True)
class Mark:
    """A point: its text, the sort of its policy, visual tokens and score over vanilla's."""

    text: str
    kind: str
    x: float
    y: float


def published_plot(comparison: Comparison, figures: Published) -> Plot | None:
    """The mean over suites beside the paper's average, and each suite that is one of its benchmarks
    beside that. None if nothing measured has a share of vanilla.
    """
    panels = [("mean over suites, and the paper's nine benchmarks", list(comparison.suites), None)]
    if len(comparison.suites) == 1:
        panels = [(f"{next(iter(comparison.suites))}, and the paper's mean over nine benchmarks",
                   list(comparison.suites), None)]  # fmt: skip
    of_suites = {suite: benchmark(suite, figures) for suite in comparison.suites}
    panels += [(suite, [suite], name) for suite, name in of_suites.items() if name is not None]
    held = [
        (title, measured_marks(comparison, suites), published_marks(figures, name))
        for title, suites, name in panels[:MOST_SUITES]
    ]
    held = [panel for panel in held if panel[1]]
    if not held:
        return None
    columns = min(2, len(held))
    rows = -(-len(held) // columns)
    figure, axes = new_figure(rows, columns, 4.6 if columns == 1 else 3.4)
    for (title, ours, theirs), ax in zip(held, axes, strict=False):
        _panel(ax, ours, theirs, figures.label)
        ax.set_title(title)
    add_legend(figure, axes, [_MEASURED, figures.label])

    def label() -> None:
        for (_, ours, theirs), ax in zip(held, axes, strict=False):
            marks = [*ours, *theirs]
            label_points(ax, [(m.x, m.y) for m in marks], [m.text for m in marks], SMALL)

    places = dict.fromkeys(row.where for row in figures.rows if row.tokens is not None)
    caption = (
        f"Hollow marks are {figures.label} ({', '.join(places)} of the paper): another model, "
        "other questions. "
        "Its scores are recomputed from the printed ones. VisionThink stands where its tokens are "
        "printed, and a second time where its printed request rates put it."
    )
    title = "Beside the paper's figures"
    return finish(figure, axes[len(held) :], "published", title, caption, last=label)


def benchmark(suite: str, figures: Published) -> str | None:
    """The paper's benchmark that a suite is by its name: `docvqa_val` is DocVQA."""
    head = re.split(r"[^a-z0-9]", suite.lower())[0]
    return next((name for name in figures.benchmarks if name.lower() == head), None)


def measured_marks(comparison: Comparison, suites: Sequence[str]) -> list[Mark]:
    """Entries that have all of the suites, and a vanilla there."""
    found: list[tuple[Entry, float, float]] = []
    for entry in comparison.entries:
        tokens = [entry.figure("visual_token_ratio", suite) for suite in suites]
        shares = [comparison.share(entry, suite) for suite in suites]
        x = mean_of([figure.mean for figure in tokens if figure is not None])
        y = mean_of([share for share in shares if share is not None])
        if x is not None and y is not None and None not in (*tokens, *shares):
            found.append((entry, x, y))
    named = zip(labels([entry for entry, _, _ in found]), found, strict=True)
    return [Mark(label, kind_of(entry.policy), x, y) for label, (entry, x, y) in named]


def published_marks(figures: Published, name: str | None) -> list[Mark]:
    """The paper's methods for which tokens are printed, on a benchmark or on average."""
    found: list[Mark] = []
    for row in figures.rows:
        y = _score(figures, row, name)
        if row.tokens is None or y is None:
            continue
        kind = next((k for k, of in KINDS.items() if _is(row.method, of.title)), "")
        found.append(Mark(row.method, kind, float(row.tokens), y))
        rates = next((r.rates for r in figures.rows if r.rates and r.method == row.method), {})
        if name in rates or (rates and name is None):
            rate = rates[name] if name is not None else mean([*rates.values()])
            found.append(
                Mark(f"{row.method}, by its requests", kind, float(token_share(rate)) / 100, y)
            )
    return found


def _is(method: str, title: str) -> bool:
    return method.lower().startswith(title.lower())


def _score(figures: Published, row: Row, name: str | None) -> float | None:
    """Over vanilla's."""
    if name is None:
        average = mean_percent(row.scores, figures.vanilla, figures.benchmarks)
        return None if average is None else float(average) / 100
    if name not in row.scores or name not in figures.vanilla:
        return None
    return float(row.scores[name] / figures.vanilla[name])


def _panel(ax: Axes, ours: Sequence[Mark], theirs: Sequence[Mark], label: str) -> None:
    for marks, told in ((ours, _MEASURED), (theirs, label)):
        for mark in marks:
            look = LOOKS[mark.kind]
            ax.plot(
                mark.x,
                mark.y,
                label=f"{LEAD}{told}",
                linestyle="none",
                marker=look.marker,
                markersize=10 if look.marker == "*" else 7,
                markerfacecolor="white" if told == label else look.colour,
                markeredgecolor=look.colour if told == label else "white",
                markeredgewidth=1.4 if told == label else 0.7,
                zorder=3 if told == label else 4,
            )
    for draw in (ax.axhline, ax.axvline):
        draw(1.0, color=MUTED, linewidth=0.8, zorder=1)
    ax.margins(0.12, 0.12)
    ax.grid(axis="y")
    ax.set_axisbelow(True)
    percent_ticks(ax)
    ax.set_xlabel("visual tokens, % of vanilla")
    ax.set_ylabel("score, % of vanilla")
