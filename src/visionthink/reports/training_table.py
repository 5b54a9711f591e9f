"""The final figures of training runs as a table, for a terminal and for Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from visionthink.reports.grouping import Estimate, differing
from visionthink.reports.plotting import Plot
from visionthink.reports.story import one_line
from visionthink.reports.training import (
    FIGURES,
    Group,
    Setting,
    TrainingRun,
    estimate,
    families,
    figures,
    kinds,
)

HEADS = {
    "request_weak": "requests weak %",
    "request_strong": "requests strong %",
    "request_lucky": "requests lucky %",
    "accuracy": "accuracy %",
    "format": "reward: format",
    "reward": "reward: total",
    "visual_token_ratio": "visual tokens %",
    "eval_request_weak": "held-out: requests weak %",
    "eval_request_strong": "held-out: requests strong %",
    "eval_request_lucky": "held-out: requests lucky %",
    "eval_accuracy": "held-out: accuracy %",
}
"""Column heads of `FIGURES`."""
_HELD_OUT = "held-out: "
_PLAIN = ("format", "reward")
"""Figures that are no shares."""
NOTE = (
    "Figures of training are means over the last tenth of the steps that have them; held-out ones "
    "are those of the last evaluation. Visual tokens are those processed, over those of the "
    "originals alone."
)
SEEDS = "Means over runs that differ in their seeds only, ± their standard errors."

Table = tuple[list[str], list[list[str]]]
"""Heads and rows; the first column is text, the others are figures."""


def run_table(groups: Sequence[Group]) -> Table:
    """A row for each run, and below them one for each group of several."""
    runs = [run for of_group in groups for run in of_group.runs]
    rows = [
        [one_line(run.name), f"{len(run.steps):,}", *_cells(_single(figures(run)))] for run in runs
    ]
    for of_group in groups:
        if len(of_group.runs) > 1:
            found = {name: estimate(of_group.runs, key) for name, key in FIGURES.items()}
            label = f"{one_line(of_group.label)} ({len(of_group.runs)} runs)"
            rows.append([label, "", *_cells(found)])
    return _without_empty((["run", "steps", *HEADS.values()], rows))


def family_table(groups: Sequence[Group]) -> Table | None:
    """Final request rate by family, a column for each group; None if there are no families."""
    prefix = "episode/request_rate"
    rows = [
        [
            one_line(family),
            *(_cell("", estimate(of.runs, f"{prefix}/family/{family}")) for of in groups),
        ]
        for family in families(groups, prefix)
    ]
    return (
        (["requests by family, %", *(one_line(of.label) for of in groups)], rows) if rows else None
    )


def sweep_table(settings: Sequence[Setting], key: str) -> Table:
    """Final figures for each value of a config key, over all runs that have it."""
    rows = [
        [
            one_line(setting.label),
            str(len(setting.runs)),
            *_cells({name: estimate(setting.runs, of) for name, of in FIGURES.items()}),
        ]
        for setting in settings
    ]
    return _without_empty(([one_line(key), "runs", *HEADS.values()], rows))


def sweep_warning(settings: Sequence[Setting], key: str) -> str:
    """What else the runs of a sweep differ in, so that nobody mistakes it for the key's doing."""
    others = [k for k in differing(r for of in settings for r in of.runs) if k != key]
    return f"these runs also differ in {', '.join(others)}" if others else ""


def _single(values: Mapping[str, float | None]) -> dict[str, Estimate | None]:
    return {k: None if v is None else Estimate(v, None, 1) for k, v in values.items()}


def _cells(found: Mapping[str, Estimate | None]) -> list[str]:
    return [_cell(name, found[name]) for name in HEADS]


def _cell(name: str, found: Estimate | None) -> str:
    if found is None:
        return "-"
    if name in _PLAIN:
        spread = "" if found.stderr is None else f" ± {found.stderr:.3f}"
        return f"{found.mean:.3f}{spread}"
    spread = "" if found.stderr is None else f" ± {found.stderr * 100:.1f}"
    return f"{found.mean * 100:.1f}{spread}"


def _without_empty(table: Table) -> Table:
    """The table without columns that have no figure in any row."""
    heads, rows = table
    kept = [at for at in range(len(heads)) if at < 2 or any(row[at] != "-" for row in rows)]
    return [heads[at] for at in kept], [[row[at] for at in kept] for row in rows]


# Forms


def text_tables(table: Table) -> str:
    """Aligned columns, held-out figures in a second table below."""
    heads, rows = table
    apart = [at for at, head in enumerate(heads) if head.startswith(_HELD_OUT)]
    first = [at for at in range(len(heads)) if at not in apart]
    parts = [aligned([[line[at] for at in first] for line in (heads, *rows)])]
    if apart:
        bare = [[line[at] for at in (0, *apart)] for line in rows]
        top = [heads[0], *(heads[at].removeprefix(_HELD_OUT) for at in apart)]
        parts.append(f"Held-out\n{aligned([top, *bare])}")
    return "\n\n".join(parts)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns under each other, the first to the left, the others to the right. The first of the
    lines are heads, broken before their second word.
    """
    upper = [head.partition(" ")[0] if " " in head else "" for head in lines[0]]
    lower = [head.partition(" ")[2] or head for head in lines[0]]
    lines = [upper, lower, *lines[1:]]
    widths = [max(len(line[at]) for line in lines) for at in range(len(upper))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(table: Table) -> str:
    heads, rows = table
    rule = ["---", *["---:"] * (len(heads) - 1)]
    lines = [[quoted(cell) for cell in line] for line in (heads, rule, *rows)]
    lines[1] = rule
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def quoted(text: str) -> str:
    """`text` with nothing in it that Markdown or HTML would read as markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", text)


def markdown(
    groups: Sequence[Group],
    plots: Sequence[Plot],
    sweep: tuple[str, Sequence[Setting]] | None = None,
) -> str:
    """A page of the figures and plots; the plots are beside it as PNG."""
    parts = ["# Training runs", markdown_table(run_table(groups)), NOTE]
    if any(len(of.runs) > 1 for of in groups):
        parts.append(SEEDS)
    if sweep is not None:
        key, settings = sweep
        parts += [f"## By {quoted(key)}", markdown_table(sweep_table(settings, key))]
        if warning := sweep_warning(settings, key):
            parts.append(f"Note: {quoted(warning)}.")
    if (table := family_table(groups)) is not None:
        parts += ["## Requests by family", markdown_table(table)]
    for plot in plots:
        parts += plot_markdown(plot)
    return "\n\n".join(parts) + "\n"


def plot_markdown(plot: Plot) -> list[str]:
    """Its paragraphs; the plot is beside them as PNG."""
    title = quoted(plot.title)
    return [f"## {title}", f"![{title}]({plot.name}.png)", plot.caption]


# For machines


def report_json(
    groups: Sequence[Group], sweep: tuple[str, Sequence[Setting]] | None = None
) -> dict[str, Any]:
    """The object that `report --json` prints."""
    found: dict[str, Any] = {
        "runs": [_run(run) for of_group in groups for run in of_group.runs],
        "groups": [
            {
                "label": of_group.label,
                "runs": [run.name for run in of_group.runs],
                "figures": _estimates(of_group.runs, groups),
            }
            for of_group in groups
        ],
    }
    if sweep is not None:
        key, settings = sweep
        found["by"] = {
            "key": key,
            "note": sweep_warning(settings, key),
            "values": [
                {
                    "value": setting.value,
                    "runs": [run.name for run in setting.runs],
                    "figures": _estimates(setting.runs, groups),
                }
                for setting in settings
            ],
        }
    return found


def _run(run: TrainingRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "path": str(run.folder.path),
        "steps": len(run.steps),
        "last_step": run.steps[-1]["step"],
        "figures": figures(run),
    }


def _estimates(runs: Sequence[TrainingRun], groups: Sequence[Group]) -> dict[str, Any]:
    """Every figure with its spread, those by kind and family among them."""
    keys = dict(FIGURES)
    for stem in ("episode", "eval"):
        for what in ("request_rate", "accuracy"):
            prefix = f"{stem}/{what}"
            for field, leaves in (("kind", kinds), ("family", families)):
                keys |= {
                    f"{prefix}/{field}/{x}": f"{prefix}/{field}/{x}" for x in leaves(groups, prefix)
                }
    found = {name: estimate(runs, key) for name, key in keys.items()}
    return {
        name: {"mean": it.mean, "stderr": it.stderr, "n": it.n}
        for name, it in found.items()
        if it is not None
    }
