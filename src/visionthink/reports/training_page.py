"""A report on training runs: plots, one HTML page that needs nothing else, and Markdown."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from visionthink.core.errors import RunError
from visionthink.reports.gallery import FILTERS, Sample, gallery, samples
from visionthink.reports.page import STYLE, document
from visionthink.reports.plots import plots
from visionthink.reports.plotting import Plot
from visionthink.reports.story import count, html_text
from visionthink.reports.sweep_plot import sweep_plot
from visionthink.reports.training import Group, Setting, TrainingRun, group, settings
from visionthink.reports.training_table import (
    NOTE,
    SEEDS,
    Table,
    family_table,
    markdown,
    run_table,
    sweep_table,
    sweep_warning,
)

PAGE, MARKDOWN = "report.html", "report.md"
EPISODES = 48
_CSS = (Path(__file__).parent / "training.css").read_text(encoding="utf-8")
PAGE_STYLE = f"{STYLE}{_CSS}{FILTERS}\n"

Sweep = tuple[str, Sequence[Setting]]
"""A config key and the runs by its values."""


class Parts(NamedTuple):
    """What a report on trainings shows."""

    groups: Sequence[Group]
    plots: Sequence[Plot]
    episodes: Sequence[Sample]
    sweep: Sweep | None


def write_report(
    runs: Sequence[TrainingRun],
    out: str | os.PathLike[str],
    *,
    by: str | None = None,
    episodes: int = EPISODES,
) -> list[Path]:
    """Write the report into a folder, over the one that is there.

    Args:
        runs: see `training.read_runs`.
        out: the folder; made if missing.
        by: a config key: final figures are also shown for each of its values.
        episodes: how many sample episodes the page shows at most, of all runs together.

    Returns:
        The files: the page, the Markdown, and each plot as PNG and SVG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: a run has no such key.
        RunError: the episodes of a run are broken, or the folder cannot be written.
    """
    parts = parts_of(runs, by, episodes)
    told = markdown(parts.groups, parts.plots, parts.sweep)
    texts = {PAGE: page(*parts).encode(), MARKDOWN: told.encode()}
    return write_files(out, texts, parts.plots)


def parts_of(runs: Sequence[TrainingRun], by: str | None, episodes: int) -> Parts:
    """What there is to show; arguments and errors are those of `write_report`."""
    groups = group(runs)
    sweep = (by, settings(runs, by)) if by is not None else None
    drawn = plots(groups)
    if sweep is not None and (swept := sweep_plot(sweep[1], sweep[0])) is not None:
        drawn.insert(0, swept)
    share = -(-episodes // len(runs))
    shown = [sample for run in runs for sample in samples(run, share)][:episodes]
    return Parts(groups, drawn, shown, sweep)


def write_files(
    out: str | os.PathLike[str], texts: Mapping[str, bytes], drawn: Sequence[Plot]
) -> list[Path]:
    """Write texts, and each plot as PNG and SVG, into a folder. Raises RunError if it cannot."""
    images = {f"{plot.name}.png": plot.png for plot in drawn}
    images |= {f"{plot.name}.svg": plot.svg for plot in drawn}
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in {**texts, **images}.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise RunError(f"cannot write the report into {folder}: {error.strerror}") from error
    return [folder / name for name in (*texts, *sorted(images))]


def page(
    groups: Sequence[Group],
    drawn: Sequence[Plot],
    shown: Sequence[Sample],
    sweep: Sweep | None = None,
) -> str:
    """The HTML page."""
    runs = [run for of_group in groups for run in of_group.runs]
    told = f"{count(len(runs), 'run')}, {count(max(len(run.steps) for run in runs), 'step')}"
    title = "Training runs" if len(runs) > 1 else f"Training run {runs[0].name}"
    return document(
        title, html_text(told), "\n".join(sections(groups, drawn, shown, sweep)), PAGE_STYLE
    )


def sections(
    groups: Sequence[Group],
    drawn: Sequence[Plot],
    shown: Sequence[Sample],
    sweep: Sweep | None = None,
) -> list[str]:
    """What the page is made of: tables, plots and episodes, as HTML."""
    parts = [_table(run_table(groups)), f'<p class="muted">{NOTE}</p>']
    if any(len(of_group.runs) > 1 for of_group in groups):
        parts.append(f'<p class="muted">{SEEDS}</p>')
    if sweep is not None:
        key, of_key = sweep
        parts += [heading(f"By {key}"), _table(sweep_table(of_key, key))]
        if warning := sweep_warning(of_key, key):
            parts.append(f'<p class="muted">Note: {html_text(warning)}.</p>')
    parts += [heading("Plots"), *(plot_html(plot) for plot in drawn)]
    if (families := family_table(groups)) is not None:
        parts += [heading("Requests by family"), _table(families)]
    if shown:
        parts += [heading("Sample episodes"), gallery(shown)]
    return parts


def heading(title: str) -> str:
    return f'<h2 class="part">{html_text(title)}</h2>'


def _table(table: Table) -> str:
    heads, rows = table
    body = "".join(
        f'<tr><th scope="row">{html_text(row[0])}</th>'
        f"{''.join(f'<td>{html_text(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return table_html(heads, body)


def table_html(heads: Sequence[str], body: str) -> str:
    """A table of figures; `body` is the HTML of its rows."""
    top = "".join(f'<th scope="col">{html_text(head)}</th>' for head in heads)
    return (
        f'<div class="scroll"><table class="figures"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def plot_html(plot: Plot) -> str:
    data = base64.b64encode(plot.svg).decode("ascii")
    return (
        f'<figure class="plot"><img src="data:image/svg+xml;base64,{data}" '
        f'alt="{html_text(plot.title)}"><figcaption>{html_text(plot.caption)}</figcaption></figure>'
    )
