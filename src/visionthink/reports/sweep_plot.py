"""The final figures of training runs for each value of a config key, drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from visionthink.reports.grouping import is_number
from visionthink.reports.plotting import (
    COLOURS,
    DASHES,
    INK,
    LEAD,
    MARKERS,
    Plot,
    add_legend,
    finish,
    new_figure,
    paper,
    set_axis,
)
from visionthink.reports.training import Group, Setting, estimate, kinds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = 24
_HATCHES = ("", "////", "....", "xxxx")


def sweep_plot(settings: Sequence[Setting], key: str) -> Plot | None:
    """Final request rate and accuracy by kind for each value of a config key: lines where all are
    numbers, else bars; with standard errors over seeds. None if the runs have neither.
    """
    pooled = [Group("", setting.runs) for setting in settings]
    held_out = all(run.evaluations for setting in settings for run in setting.runs)
    stem = "eval" if held_out else "episode"
    rows = [(what, f"{stem}/{what}") for what in ("request_rate", "accuracy")]
    panels = [(what, prefix, kinds(pooled, prefix)) for what, prefix in rows]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return None
    with paper():
        return _sweep(settings, key, panels, held_out)


def _sweep(
    settings: Sequence[Setting],
    key: str,
    panels: Sequence[tuple[str, str, Sequence[str]]],
    held_out: bool,
) -> Plot:
    """`panels` hold what is drawn, the metric's prefix, and its kinds."""
    numeric = len(settings) > 1 and all(is_number(setting.value) for setting in settings)
    labels = list(dict.fromkeys(kind for _, _, found in panels for kind in found))
    figure, axes = new_figure(1, len(panels), 3.0)
    for (what, prefix, found), ax in zip(panels, axes, strict=True):
        draw: Callable[..., None] = _sweep_lines if numeric else _sweep_bars
        for kind in found:
            draw(ax, settings, f"{prefix}/kind/{kind}", labels.index(kind), len(labels), kind)
        ax.set_title(what.replace("_", " "))
        set_axis(ax, share=True)
        ax.set_ylim(0, 1 if numeric else 1.08)  # bars have their figure above them
        ax.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        ax.set_xlabel(key)
        if numeric:
            ax.set_xticks([setting.value for setting in settings])
        else:
            long = max(len(setting.label) for setting in settings) > 12
            ax.set_xticks(
                range(len(settings)),
                [_short(setting.label) for setting in settings],
                rotation=20 if long else 0,
                ha="right" if long else "center",
            )
    add_legend(figure, axes, labels)
    where = "of the last held-out evaluation" if held_out else "over the last tenth of the steps"
    return finish(
        figure,
        [],
        "sweep",
        f"By {key}",
        f"Figures {where}, by the kind of question; error bars are standard errors over seeds.",
    )


def _short(label: str) -> str:
    return label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"


def _sweep_lines(
    ax: Axes, settings: Sequence[Setting], key: str, style: int, _of: int, label: str
) -> None:
    found = [(setting.value, estimate(setting.runs, key)) for setting in settings]
    points = [(value, figure) for value, figure in found if figure is not None]
    ax.errorbar(
        [value for value, _ in points],
        [figure.mean for _, figure in points],
        yerr=[figure.stderr or 0 for _, figure in points],
        label=f"{LEAD}{label}",
        color=COLOURS[style % len(COLOURS)],
        linestyle=DASHES[style % len(DASHES)],
        marker=MARKERS[style % len(MARKERS)],
        markersize=6,
        capsize=3,
        clip_on=False,
        zorder=3,
    )


def _sweep_bars(
    ax: Axes, settings: Sequence[Setting], key: str, style: int, of: int, label: str
) -> None:
    wide = 0.8 / of
    found = [(at, estimate(setting.runs, key)) for at, setting in enumerate(settings)]
    bars = [(at, figure) for at, figure in found if figure is not None]
    places = [at + (style - (of - 1) / 2) * wide for at, _ in bars]
    ax.bar(
        places,
        [figure.mean for _, figure in bars],
        width=wide * 0.92,
        yerr=[figure.stderr or 0 for _, figure in bars],
        label=f"{LEAD}{label}",
        color=COLOURS[style % len(COLOURS)],
        hatch=_HATCHES[style % len(_HATCHES)],
        edgecolor="white",
        linewidth=0,
        error_kw={"ecolor": INK, "elinewidth": 1.1, "capsize": 3, "clip_on": False},
        zorder=2,
    )
    for place, (_, figure) in zip(places, bars, strict=True):
        ax.annotate(
            f"{figure.mean * 100:.0f}",
            (place, figure.mean + (figure.stderr or 0)),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
