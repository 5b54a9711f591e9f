"""Plots of policies: accuracy over visual tokens, how often originals are requested, seconds; and
what was measured beside what the paper printed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from visionthink.core.means import mean
from visionthink.reports.evaluation_runs import ALL, KINDS, Comparison, Entry, kind_of, labels
from visionthink.reports.plotting import (
    HATCHES,
    INK,
    MAX_PANELS,
    MUTED,
    Bars,
    Guide,
    Panel,
    Plot,
    Point,
    Style,
    bar_plot,
    drawing,
    scatter_plot,
)
from visionthink.reports.report import texts

STYLES = {
    "high": Style("#000000", "s", ""),
    "low": Style("#56b4e9", "v", "...."),
    "fastv": Style("#009e73", "^", "////"),
    "sparsevlm": Style("#cc79a7", "D", "\\\\\\\\"),
    "visionzip": Style("#e69f00", "P", "xxxx"),
    "auto": Style("#d55e00", "o", ""),
    "random": Style("#8a8f96", "X", "----"),
    "oracle": Style("#0072b2", "*", "||||"),
    "": Style("#8a8f96", "h", "++++"),
}
"""By the keys of `KINDS`, and of other policies."""
FRONT, RANDOM, BEST = "Pareto front", "requests at random: low + p", "best choice of requests"
_TOKENS = "visual tokens, % of vanilla"
_MAX_BARS = 6


def evaluation_plots(comparison: Comparison, figures: Published | None = None) -> list[Plot]:
    """All plots that have figures; `figures` adds the paper's beside those measured. Raises
    MissingExtraError: matplotlib is not installed.
    """
    with drawing():
        plots = [*_scatters(comparison), *_requests(comparison), *_seconds(comparison)]
        return plots if figures is None else [*plots, *published_plot(comparison, figures)]


def _first(count: int) -> str:
    return f" The first {MAX_PANELS} of {count} suites." if count > MAX_PANELS else ""


# Accuracy over visual tokens


class Place(NamedTuple):
    """An entry in a plot: its visual tokens over vanilla, and its score."""

    entry: Entry
    x: float
    y: float
    error: tuple[float, float] | None = None


def places(comparison: Comparison, suites: Sequence[str], *, shares: bool) -> list[Place]:
    """Entries that have all of the suites, with means over them: of accuracies, which only a single
    suite has with an error, or of their shares of vanilla's.
    """
    found: list[Place] = []
    for entry in comparison.entries:
        x = comparison.across(entry, "visual_token_ratio", suites)
        score = None if shares else entry.figure("accuracy", suites[0])
        y = comparison.average(entry, suites=suites) if shares else score and score.mean
        if x is not None and y is not None:
            found.append(Place(entry, x, y, score.errors() if score else None))
    return found


def pareto_front(places: Sequence[Place]) -> list[Place]:
    """Those that none beats in score with as few tokens or fewer. The oracle is left out: it uses
    the ground truth, and is an upper bound only.
    """
    front: list[Place] = []
    for place in sorted(places, key=lambda p: (p.x, -p.y)):
        beaten = bool(front) and place.y <= front[-1].y
        if not beaten and kind_of(place.entry.policy) != "oracle":
            front.append(place)
    return front


def _scatters(comparison: Comparison) -> Iterator[Plot]:
    """One of all suites, and if there are several one with a panel for each of them."""
    suites = list(comparison.suites)
    many = len(suites) > 1
    whole = places(comparison, suites, shares=many)
    if whole:
        title = "Score over visual tokens" if many else f"Accuracy over visual tokens: {suites[0]}"
        what = "score, % of vanilla, mean over suites" if many else "accuracy"
        errors = " Error bars are 95 % intervals." if any(p.error for p in whole) else ""
        yield _scatter("accuracy_tokens", title, [_panel("", whole)], what, errors)
    of_suites = [(suite, places(comparison, [suite], shares=False)) for suite in suites]
    panels = [_panel(suite, found) for suite, found in of_suites if found]
    if many and panels:
        title = "Accuracy over visual tokens, by suite"
        shown = panels[:MAX_PANELS]
        yield _scatter("accuracy_tokens_suites", title, shown, "accuracy", _first(len(panels)))


def _points(places: Sequence[Place], label: str = "") -> list[Point]:
    texts = labels([place.entry for place in places])
    return [
        Point(text, STYLES[kind_of(entry.policy)], x, y, error, label)
        for text, (entry, x, y, error) in zip(texts, places, strict=True)
    ]


def _panel(title: str, places: Sequence[Place]) -> Panel:
    guides: list[Guide] = []
    front = pareto_front(places)
    if len(front) > 1:
        x, y = [p.x for p in front], [p.y for p in front]
        guides.append(Guide(FRONT, INK, "solid", x, y, steps=True))
    system = places[0].entry.system
    of = {place.entry.policy: place for place in places if place.entry.system == system}
    low, high, oracle = (of.get(policy) for policy in ("low", "high", "oracle"))
    if low and high:
        guides.append(Guide(RANDOM, MUTED, (0, (5, 3)), [low.x, low.x + 1], [low.y, high.y]))
    if low and oracle:
        blue = STYLES["oracle"].colour
        guides.append(Guide(BEST, blue, (0, (1, 1.5)), [low.x, oracle.x], [low.y, oracle.y]))
    return Panel(title, _points(places), guides=guides, top=low.x if low and high else None)


def _scatter(name: str, title: str, panels: Sequence[Panel], what: str, more: str) -> Plot:
    drawn = {guide.label for panel in panels for guide in panel.guides}
    guides = [texts()[label] for label in (FRONT, RANDOM, BEST) if label in drawn]
    caption = " ".join([texts()["accuracy_tokens"], *guides])
    top = "share of requests p"
    caption += more
    return scatter_plot(name, title, caption, panels, x_label=_TOKENS, y_label=what, top_label=top)


# Requests


_Category = tuple[str, str, str]  # name, suite, family


def _requests(comparison: Comparison) -> Iterator[Plot]:
    """Request rates by suite, and by family of each suite, of policies that leave requests to the
    model; beside them the oracle's.
    """
    for at, (title, categories) in enumerate(_categories(comparison)):
        suites = {suite for _, suite, _ in categories}
        entries = [
            entry
            for entry in comparison.entries
            if kind_of(entry.policy) in ("auto", "oracle")
            and any(entry.figure("request_rate", suite) for suite in suites)
        ][:_MAX_BARS]
        bars: list[Bars] = []
        for entry, label in zip(entries, labels(entries), strict=True):
            kind = kind_of(entry.policy)
            found = [entry.figure("request_rate", suite, (of,)) for _, suite, of in categories]
            values = [figure and figure.mean for figure in found]
            before = sum(bar.styles[0].colour == STYLES[kind].colour for bar in bars)
            hatch = HATCHES[before % len(HATCHES)] if before else STYLES[kind].hatch
            look = STYLES[kind]._replace(hatch=hatch)
            errors = [figure.errors() if figure else None for figure in found]
            bars.append(Bars(label, [look], values, errors))
        caption = [
            "requests",
            *(["oracle"] if any(kind_of(e.policy) == "oracle" for e in entries) else []),
        ]
        name = f"requests_{at}" if at else "requests"
        whole = f"How often the original is requested{f': {title}' if title else ''}"
        about = " ".join(texts()[of] for of in caption)
        panel = Panel("", bars, [category for category, _, _ in categories])
        x_label = "samples for which the original is requested"
        if bars:
            yield bar_plot(name, whole, about, [panel], x_label=x_label, share=True)


def _categories(comparison: Comparison) -> Iterator[tuple[str, list[_Category]]]:
    """For each plot its title and categories."""
    many = len(comparison.suites) > 1
    if many:
        yield "by suite", [(suite, suite, ALL) for suite in comparison.suites]
    for suite, families in comparison.suites.items():
        kinds = list(dict.fromkeys(families.values()))
        order = sorted(families, key=lambda f: kinds.index(families[f]))
        of = [(f"{f} ({families[f]})" if families[f] else f, suite, f) for f in order]
        if len(of) > 1 or not many:
            yield suite if many else "", [*of, (f"all of {suite}", suite, ALL)]


# Seconds


def _seconds(comparison: Comparison) -> Iterator[Plot]:
    """Seconds of a sample, and what they would be if they followed FLOPs."""
    panels: list[Panel] = []
    for suite in comparison.suites:
        entries = [of for of in comparison.entries if of.figure(comparison.clock, suite)]
        looks = [STYLES[kind_of(entry.policy)] for entry in entries]
        seconds = [entry.figure(comparison.clock, suite) for entry in entries]
        means = [of and of.mean for of in seconds]
        errors = [of.errors() if of else None for of in seconds]
        bars = [Bars("measured", looks, means, errors)]
        limits = [time_limit(comparison, suite, entry) for entry in entries]
        if any(limit is not None for limit in limits):
            bars.append(Bars("if time followed FLOPs", looks, limits, hollow=True))
        title = suite if len(comparison.suites) > 1 else ""
        panels += [Panel(title, bars, labels(entries))] if entries else []
    caption = f"{texts()[comparison.clock]} {texts()['seconds']}{_first(len(panels))}"
    if shown := panels[:MAX_PANELS]:
        yield bar_plot("seconds", "Seconds of a sample", caption, shown, x_label="seconds")


def time_limit(comparison: Comparison, suite: str, entry: Entry) -> float | None:
    """Vanilla's seconds times the share of vanilla's FLOPs."""
    vanilla = comparison.vanilla(entry, suite)
    seconds = vanilla.figure(comparison.clock, suite) if vanilla else None
    share = comparison.share(entry, suite, "flops_ratio")
    return seconds.mean * share if seconds and share is not None else None


# The paper's figures


@dataclass(frozen=True)
class Published:
    """What the paper printed. Each row has a `method`, `scores` by benchmark, `rates` of requests
    in %, and `tokens`, visual tokens as a share of the original's. The rows of places that are
    trusted more come first.
    """

    label: str
    benchmarks: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]

    def share(self, row: Mapping[str, Any], benchmark: str | None) -> float | None:
        """A score over vanilla's; without a benchmark the mean over all; None if one is missing."""
        names = self.benchmarks if benchmark is None else (benchmark,)
        vanilla: dict[str, float] = {}
        for other in self.rows:
            if other["method"] == "Vanilla":
                vanilla = {**other["scores"], **vanilla}
        ours = row["scores"]
        found = [ours[name] / vanilla[name] for name in names if name in ours and name in vanilla]
        return mean(found) if len(found) == len(names) else None


@cache
def published() -> Published:
    """The figures in `published.json`, as printed; none of them was measured by this project."""
    held: dict[str, Any] = json.loads((Path(__file__).parent / "published.json").read_bytes())
    empty: dict[str, Any] = {"scores": {}, "rates": {}, "tokens": None}
    rows = [
        {**empty, **row, "where": place["where"]}
        for place in (*held["tables"], *held["request_rates"])
        for row in place["rows"]
    ]
    benchmarks = tuple(each["name"] for each in held["benchmarks"])
    return Published(held["label"], benchmarks, tuple(rows))


def published_plot(comparison: Comparison, figures: Published) -> Iterator[Plot]:
    """The mean over suites beside the paper's average, and each suite that is one of its benchmarks
    beside that; shares of vanilla, because models and questions of both are others. Nothing if
    nothing measured has a share of vanilla.
    """
    suites = list(comparison.suites)
    mean_of = "mean over suites" if len(suites) > 1 else suites[0]
    panels = [(f"{mean_of}, and the paper's mean over nine benchmarks", suites, None)]
    names = {suite: benchmark(suite, figures) for suite in suites}
    panels += [(suite, [suite], name) for suite, name in names.items() if name is not None]
    drawn: list[Panel] = []
    for title, of, name in panels[:MAX_PANELS]:
        ours = places(comparison, of, shares=True)
        points = _points(ours, "measured")
        drawn += [Panel(title, [*points, *published_points(figures, name)])] if points else []
    where = dict.fromkeys(row["where"] for row in figures.rows if row["tokens"] is not None)
    hollow = f"Hollow marks are {figures.label} ({', '.join(where)} of the paper): "
    about = ("published", "Beside the paper's figures", hollow + texts()["published"], drawn)
    if drawn:
        yield scatter_plot(*about, x_label=_TOKENS, y_label="score, % of vanilla", cross=True)


def benchmark(suite: str, figures: Published) -> str | None:
    """The paper's benchmark that a suite is by its name: `docvqa_val` is DocVQA."""
    head = re.split(r"[^a-z0-9]", suite.lower())[0]
    return next((name for name in figures.benchmarks if name.lower() == head), None)


def published_points(figures: Published, name: str | None) -> list[Point]:
    """The paper's methods that have printed tokens, on a benchmark or on average."""
    found: list[Point] = []
    for row in figures.rows:
        y, method = figures.share(row, name), row["method"]
        if row["tokens"] is None or y is None:
            continue
        kinds = (
            k for k, (name_of, _) in KINDS.items() if method.lower().startswith(name_of.lower())
        )
        style = STYLES[next(kinds, "")]
        texts = {method: row["tokens"]}
        same = (of["rates"] for of in figures.rows if of["rates"] and of["method"] == method)
        rates = next(same, {})
        rate = mean([*rates.values()]) if name is None else rates.get(name)
        if rate is not None:  # the half-size view is a quarter of the tokens, and both count
            texts[f"{method}, by its requests"] = 0.25 + rate / 100
        found += [Point(t, style, x, y, label=figures.label, hollow=True) for t, x in texts.items()]
    return found
