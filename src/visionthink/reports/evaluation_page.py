"""A report on evaluation runs: plots, one HTML page that needs nothing else, and Markdown.

Runs of training that are named beside them are in the same report, below.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionthink.reports.comparison import Comparison, compare, notes
from visionthink.reports.evaluation import EvaluationRun
from visionthink.reports.evaluation_bars import request_bars, time_bars
from visionthink.reports.evaluation_gallery import choose, evaluation_gallery
from visionthink.reports.evaluation_scatter import scatters
from visionthink.reports.evaluation_table import (
    AVERAGE,
    COSTS,
    SCORES,
    SPREAD,
    Line,
    Sheet,
    cost_sheet,
    family_sheets,
    score_sheet,
    sheet_markdown,
)
from visionthink.reports.page import document
from visionthink.reports.plotting import Plot, paper
from visionthink.reports.published import Published
from visionthink.reports.published_plot import published_plot
from visionthink.reports.story import count, html_text, one_line
from visionthink.reports.training import TrainingRun
from visionthink.reports.training_page import (
    EPISODES,
    MARKDOWN,
    PAGE,
    PAGE_STYLE,
    heading,
    parts_of,
    plot_html,
    sections,
    table_html,
    write_files,
)
from visionthink.reports.training_table import markdown as training_markdown
from visionthink.reports.training_table import plot_markdown, quoted

_CSS = (Path(__file__).parent / "evaluation.css").read_text(encoding="utf-8")
_RUNS = ["run", "model", "suites", "seed", "at once", "started", "visionthink", "machine"]


def write_evaluation_report(
    evaluations: Sequence[EvaluationRun],
    out: str | os.PathLike[str],
    *,
    trainings: Sequence[TrainingRun] = (),
    by: str | None = None,
    episodes: int = EPISODES,
    figures: Published | None = None,
) -> list[Path]:
    """Write the report into a folder, over the one that is there.

    Args:
        evaluations: see `evaluation.read_evaluations`.
        out: the folder; made if missing.
        trainings, by: as in `training_page.write_report`.
        episodes: how many of the evaluations' the page shows at most, and how many of trainings'.
        figures: published ones, to be drawn beside those measured.

    Returns:
        The files: the page, the Markdown, and each plot as PNG and SVG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: a run of training has no such key.
        RunError: the episodes of a run are broken, or the folder cannot be written.
    """
    comparison = compare(evaluations)
    drawn = evaluation_plots(comparison, figures)
    shown = evaluation_gallery(choose(evaluations, episodes))
    parts = evaluation_sections(comparison, drawn, shown.html)
    told = evaluation_markdown(comparison, drawn)
    if trainings:
        beside = parts_of(trainings, by, episodes)
        parts += [heading("Training runs"), *sections(*beside)]
        told += f"\n{training_markdown(beside.groups, beside.plots, beside.sweep)}"
        drawn += beside.plots
    style = f"{PAGE_STYLE}{_CSS}{shown.style}\n"
    page = document(_title(comparison), _summary(comparison), "\n".join(parts), style)
    return write_files(out, {PAGE: page.encode(), MARKDOWN: told.encode()}, drawn)


def evaluation_plots(comparison: Comparison, figures: Published | None = None) -> list[Plot]:
    """All plots for which there are figures. Raises MissingExtraError: matplotlib is not there."""
    with paper():
        drawn = [*scatters(comparison), *request_bars(comparison), *time_bars(comparison)]
        beside = published_plot(comparison, figures) if figures is not None else None
    return [*drawn, *([beside] if beside else [])]


def _title(comparison: Comparison) -> str:
    suites = [one_line(suite) for suite in comparison.suites]
    return f"Evaluation: {', '.join(suites)}" if len(suites) <= 3 else "Evaluation"


def _summary(comparison: Comparison) -> str:
    policies = len({entry.policy for entry in comparison.entries})
    said = [
        count(len(comparison.runs), "run"),
        count(len(comparison.suites), "suite"),
        "1 policy" if policies == 1 else f"{policies} policies",
    ]
    return ", ".join(said)


def evaluation_sections(
    comparison: Comparison, drawn: Sequence[Plot], episodes: str = ""
) -> list[str]:
    """What the page is made of, as HTML; `episodes` is that of the gallery."""
    parts: list[str] = []
    if told := notes(comparison):
        parts.append(
            f'<ul class="notes">{"".join(f"<li>{html_text(note)}.</li>" for note in told)}</ul>'
        )
    parts += [heading("Scores"), sheet_html(score_sheet(comparison)), _muted(_about(comparison))]
    parts += [heading("Plots"), *(plot_html(plot) for plot in drawn)]
    parts += [heading("What a sample took"), sheet_html(cost_sheet(comparison)), _muted(COSTS)]
    for suite, sheet in family_sheets(comparison).items():
        parts += [heading(f"By family: {suite}"), sheet_html(sheet)]
    if episodes:
        parts += [heading("Episodes"), f'<div class="answers">{episodes}</div>']
    return [*parts, heading("Runs"), sheet_html(run_sheet(comparison))]


def evaluation_markdown(comparison: Comparison, drawn: Sequence[Plot]) -> str:
    """A page of the figures and plots; the plots are beside it as PNG."""
    parts = [f"# {quoted(_title(comparison))}", f"{_summary(comparison)}."]
    parts += ["\n".join(f"- {quoted(one_line(note))}." for note in notes(comparison))]
    parts += ["## Scores", sheet_markdown(score_sheet(comparison)), _about(comparison)]
    for plot in drawn:
        parts += plot_markdown(plot)
    parts += ["## What a sample took", sheet_markdown(cost_sheet(comparison)), COSTS]
    for suite, sheet in family_sheets(comparison).items():
        parts += [f"## By family: {quoted(one_line(suite))}", sheet_markdown(sheet)]
    parts += ["## Runs", sheet_markdown(run_sheet(comparison))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(comparison: Comparison) -> str:
    """What the figures of the scores are."""
    average = f"{AVERAGE} " if len(comparison.suites) > 1 else ""
    return f"{SCORES} {average}{SPREAD[comparison.pooled]}"


def run_sheet(comparison: Comparison) -> Sheet:
    """What was run, and where."""
    lines: list[Line] = []
    for run in comparison.runs:
        config, environment = run.folder.config, run.folder.environment
        machine, packages = _held(environment, "machine"), _held(environment, "packages")
        cells = [
            run.name,
            config.get("model"),
            ", ".join(dict.fromkeys(row.suite for row in run.rows)),
            config.get("seed"),
            config.get("concurrency"),
            str(environment.get("started") or "")[:10],
            packages.get("visionthink"),
            machine.get("gpu") or machine.get("cpu"),
        ]
        lines.append(Line(["-" if cell in (None, "") else one_line(str(cell)) for cell in cells]))
    return Sheet(_RUNS, lines)


def _held(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, Mapping) else {}


# HTML


def _muted(text: str) -> str:
    return f'<p class="muted">{html_text(text)}</p>'


def sheet_html(sheet: Sheet) -> str:
    body = "".join(_row(line, len(sheet.heads)) for line in sheet.lines)
    return table_html(sheet.heads, body)


def _row(line: Line, columns: int) -> str:
    head = html_text(line.cells[0].strip())
    if line.sort == "heading":
        return f'<tr class="heading"><th scope="rowgroup" colspan="{columns}">{head}</th></tr>'
    cells = "".join(f"<td>{html_text(cell)}</td>" for cell in line.cells[1:])
    return f'<tr class="{line.sort}-line"><th scope="row">{head}</th>{cells}</tr>'
