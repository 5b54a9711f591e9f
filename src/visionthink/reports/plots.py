"""Plots of training runs, that read as well in grey print and by the colour-blind.

What lines stand for is told by colour, dashes and markers at once; a band is the range over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visionthink.core.rewards import FORMER_NAMES, RULES
from visionthink.reports.curves import Histogram, Line, bin_width, line, r_histogram
from visionthink.reports.grouping import is_number
from visionthink.reports.plotting import (
    COLOURS,
    DASHES,
    INK,
    LEAD,
    MARKERS,
    MUTED,
    Plot,
    add_legend,
    finish,
    new_figure,
    paper,
    set_axis,
)
from visionthink.reports.training import KINDS, Group, kinds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEMS = ("episode", "eval")
MOST_POINTS = 150
MOST_HEAT_MAPS = 6
_MARKS = 9
"""Markers a line."""


@dataclass(frozen=True)
class _Panel:
    """One set of axes: a metric of each group, or a metric of one group by kind."""

    title: str
    metrics: tuple[tuple[str, Group, str], ...]
    """Label, group, metric."""


def plots(groups: Sequence[Group]) -> list[Plot]:
    """All plots for which the runs have figures.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    width = bin_width(groups, MOST_POINTS)
    with paper():
        found = [*_curve_plots(groups, width), *_heat_maps(groups, width)]
    return [plot for plot in found if plot is not None]


def _curve_plots(groups: Sequence[Group], width: int) -> Iterator[Plot | None]:
    names = [of.label for of in groups]
    # A line looks the same in every plot: as its group does, or as its kind if there is one group.
    prefixes = [f"{stem}/{what}" for stem in _STEMS for what in ("request_rate", "accuracy")]
    there = {kind: None for prefix in prefixes for kind in kinds(groups, prefix)}
    by_kind = [*(k for k in KINDS if k in there), *sorted(there.keys() - KINDS.keys())]
    kinds_or_groups = names if len(groups) > 1 else [*by_kind, *names]
    yield _curves(
        "request_rate",
        "How often the original is requested",
        "Share of training episodes, drawn at the training temperature, that request the original.",
        _by_kind(groups, "episode/request_rate"),
        kinds_or_groups,
        width,
        share=True,
    )
    yield _curves(
        "accuracy",
        "Accuracy",
        "Share of right answers in training episodes, drawn at the training temperature.",
        _by_kind(groups, "episode/accuracy"),
        kinds_or_groups,
        width,
        share=True,
    )
    yield _curves(
        "held_out",
        "Held-out questions",
        "Greedy episodes on questions that are not trained on.",
        [
            *_by_kind(groups, "eval/request_rate", "requests"),
            *_by_kind(groups, "eval/accuracy", "accuracy"),
        ],
        kinds_or_groups,
        1,
        share=True,
    )
    parts = ("total", "accuracy", "format", "control")
    yield _curves(
        "reward",
        "Reward and its parts",
        "Mean over all sampled episodes; the control part is the penalty, with its sign.",
        _by_part(groups, {f"reward/{part}": part for part in parts}),
        names,
        width,
    )
    yield _curves(
        "visual_tokens",
        "Visual tokens processed, over vanilla",
        "Visual tokens of the first look and of requested originals, over those of the originals "
        "alone; 1 is what it costs always to look at the original only.",
        _by_part(groups, {"cost/visual_token_ratio": ""}),
        names,
        width,
        level=1.0,
    )
    rates = {
        "episode/malformed_rate": "malformed replies",
        "episode/overlong_rate": "cut off by the length limit",
        "episode/unanswered_rate": "without an answer",
        "episode/zero_variance_rate": "groups without variance",
        "judge/unscored_rate": "unscored by the judge",
    }
    yield _curves(
        "health",
        "What goes wrong",
        "Shares of the sampled episodes, or of the groups of a prompt.",
        _by_part(groups, rates),
        names,
        width,
        share=True,
    )
    update = ("loss", "kl", "grad_norm", "learning_rate", "entropy")
    yield _curves(
        "update",
        "What the optimiser saw",
        "Loss, divergence from the reference model, norm of the gradient, learning rate, entropy.",
        _by_part(groups, {f"train/{part}": part.replace("_", " ") for part in update}),
        names,
        width,
    )
    parts = ("rollout", "judge", "update")
    yield _curves(
        "time",
        "Seconds of a step",
        "Wall clock of drawing episodes, of judging them and of updating the weights.",
        _by_part(groups, {f"time/{part}_s": part for part in parts}),
        names,
        width,
    )


def _by_kind(groups: Sequence[Group], prefix: str, what: str = "") -> list[_Panel]:
    """A metric by kind: one panel for one group, else a panel for each kind.

    Where there are no kinds, a panel of the metric over all.
    """
    found = kinds(groups, prefix)
    if len(groups) == 1 and found:
        metrics = tuple((kind, groups[0], f"{prefix}/kind/{kind}") for kind in found)
        return [_Panel(what, metrics)]
    if what:
        titles = {f"{prefix}/kind/{kind}": f"{what}, {kind}" for kind in found} or {prefix: what}
    else:
        titles = {f"{prefix}/kind/{kind}": KINDS.get(kind, kind) for kind in found} or {prefix: ""}
    return _by_part(groups, titles)


def _by_part(groups: Sequence[Group], parts: dict[str, str]) -> list[_Panel]:
    panels = [
        _Panel(title, tuple((of.label, of, key) for of in groups if line(of, key)))
        for key, title in parts.items()
    ]
    return [panel for panel in panels if panel.metrics]


# Curves


def _curves(
    name: str,
    title: str,
    caption: str,
    panels: Sequence[_Panel],
    order: Sequence[str],
    width: int,
    *,
    share: bool = False,
    level: float | None = None,
) -> Plot | None:
    if not panels:
        return None
    found = list(dict.fromkeys(label for panel in panels for label, _, _ in panel.metrics))
    labels = [label for label in order if label in found]
    many = max(len(of.runs) for panel in panels for _, of, _ in panel.metrics) > 1
    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(rows, columns, 2.7 if rows == 1 else 2.2)
    for at, (panel, ax) in enumerate(zip(panels, axes, strict=False)):
        for label, of_group, key in panel.metrics:
            drawn = line(of_group, key, width)
            assert drawn is not None  # noqa: S101 - a panel has metrics that there are
            _draw(ax, drawn, order.index(label), label)
        ax.set_title(panel.title)
        set_axis(ax, share=share)
        left, right = ax.get_xlim()
        if right - left < 1:  # a single step
            ax.set_xlim(left - 1, right + 1)
        if level is not None:
            ax.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            ax.set_ylim(bottom=0)
        if at // columns == rows - 1:
            ax.set_xlabel("step" if width == 1 else f"step (a point is the mean of {width})")
    if len(order) > 1:
        add_legend(figure, axes, labels)
    if many:
        caption += " Lines are means over seeds, bands reach from the least to the largest."
    return finish(figure, axes[len(panels) :], name, title, caption)


def _draw(ax: Axes, drawn: Line, style: int, label: str) -> None:
    colour = COLOURS[style % len(COLOURS)]
    every = max(1, len(drawn.steps) // _MARKS)
    ax.plot(
        drawn.steps,
        drawn.mean,
        label=f"{LEAD}{label}",
        color=colour,
        linestyle=DASHES[(style + style // len(COLOURS)) % len(DASHES)],
        marker=MARKERS[style % len(MARKERS)],
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        markevery=(style * every // 3 % every, every),
        clip_on=False,
        zorder=3,
    )
    if drawn.n > 1:
        ax.fill_between(drawn.steps, drawn.low, drawn.high, color=colour, alpha=0.18, linewidth=0)


# Where r lay


def _heat_maps(groups: Sequence[Group], width: int) -> Iterator[Plot]:
    found = [(of, r_histogram(of, width)) for of in groups]
    held = [(of, histogram) for of, histogram in found if histogram is not None]
    shown = held[:MOST_HEAT_MAPS]
    if not shown:
        return
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(rows, columns, 2.7 if rows == 1 else 2.2)
    from matplotlib.ticker import PercentFormatter

    largest = max(max(share) for _, histogram in shown for share in histogram.shares if share)
    mesh = None
    for at, ((of_group, histogram), ax) in enumerate(zip(shown, axes, strict=False)):
        mesh = _heat_map(ax, histogram, largest)
        name = f"{of_group.label}: " if len(shown) > 1 else ""
        title = f"{name}undefined in {histogram.undefined:.0%} of groups"
        ax.set_title(title, fontsize=9, fontweight="normal")
        theta = _theta(of_group)
        if theta is not None:
            _threshold(ax, theta)
        if at % columns == 0:
            ax.set_ylabel("r")
        if at // columns == rows - 1:
            ax.set_xlabel("step")
    if mesh is not None:
        bar = figure.colorbar(mesh, ax=axes[: len(shown)], shrink=0.9, pad=0.02)
        bar.set_label("share of groups")
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        bar.outline.set_visible(False)  # type: ignore[operator] - matplotlib's stubs
    left_out = (
        f" The first {MOST_HEAT_MAPS} of {len(held)} are shown." if held[len(shown) :] else ""
    )
    yield finish(
        figure,
        axes[len(shown) :],
        "r_histogram",
        "Where r lay",
        "r tells how well direct answers did beside requests, prompt by prompt: by counts of right "
        "answers or, with rule ours, by rates of success, undefined where all chose the same way. "
        f"The line is the threshold of the control penalty.{left_out}",
    )


def _heat_map(ax: Axes, histogram: Histogram, largest: float) -> Any:
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    bins = max(len(shares) for shares in histogram.shares if shares is not None)
    blank = (float("nan"),) * bins
    grid = np.array([shares or blank for shares in histogram.shares], dtype=float).T
    ax.set_facecolor("#e4e1da")  # steps at which r was defined for no group
    ax.spines[:].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return ax.pcolormesh(
        histogram.edges,
        np.linspace(0, 1, bins + 1),
        np.ma.masked_invalid(grid),
        cmap="Blues",
        vmin=0,
        vmax=largest,
        rasterized=True,  # cells of an SVG show seams
    )


def _theta(of_group: Group) -> float | None:
    """The threshold of the control penalty, where the runs have a rule that looks at it."""
    last = {key.rpartition(".")[2]: value for key, value in of_group.runs[0].config.items()}
    rule = str(last.get("rule", "paper"))
    rule = FORMER_NAMES.get(rule, rule)
    theta: Any = last.get("theta")
    if rule in ("none", "search-r1"):
        return None
    if theta is None and rule in RULES:
        theta = RULES[rule].theta
    return float(theta) if is_number(theta) else None


def _threshold(ax: Axes, theta: float) -> None:
    ax.axhline(theta, color="white", linewidth=2.4)
    ax.axhline(theta, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
    ax.annotate(
        f"θ = {theta:g}",
        (1, theta),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
    )
