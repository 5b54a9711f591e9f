"""`visionthink report RUN...`: tables, plots and a page from run folders."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from visionthink.reports.comparison import Comparison, compare, notes
from visionthink.reports.evaluation import is_evaluation, read_evaluations
from visionthink.reports.evaluation_json import evaluation_json
from visionthink.reports.evaluation_page import write_evaluation_report
from visionthink.reports.evaluation_table import cost_sheet, score_sheet, sheet_text
from visionthink.reports.published import published
from visionthink.reports.published_table import paper_json, paper_text
from visionthink.reports.story import one_line
from visionthink.reports.training import group, read_runs, settings
from visionthink.reports.training_page import EPISODES, write_report
from visionthink.reports.training_table import (
    report_json,
    run_table,
    sweep_table,
    sweep_warning,
    text_tables,
)


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for report.html, report.md and the plots. [default: only print the table]",
)
@click.option("--by", metavar="KEY", help="Compare the values of a config key: reward.rule.")
@click.option(
    "--episodes",
    type=click.IntRange(min=0),
    default=EPISODES,
    show_default=True,
    help="Sample episodes on the page, of all runs together.",
)
@click.option(
    "--published",
    "beside",
    is_flag=True,
    help="Draw the paper's figures beside those of evaluations.",
)
@click.option(
    "--paper",
    is_flag=True,
    help="Print the paper's tables instead, recomputed, with the cells that do not add up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(
    runs: tuple[Path, ...],
    out: Path | None,
    by: str | None,
    episodes: int,
    beside: bool,
    paper: bool,
    as_json: bool,
) -> None:
    """Compare the runs in the folders RUN, left by `eval`, by `train`, or by both.

    Prints what policies scored and took, and the final figures of trainings. Runs that differ in
    their seeds only are taken together, with standard errors.

    \b
    Examples:
      visionthink report runs/mini-* --out runs/report
      visionthink report out/paper-* out/none-* --by reward.rule --out out/report
    """  # noqa: D301 - click wants the character that keeps its line breaks
    if paper:
        if runs or out or by or beside:
            raise click.UsageError("--paper stands alone: it prints published figures, of no RUN")
        figures = published()
        click.echo(json.dumps(paper_json(figures)) if as_json else paper_text(figures))
        return
    if not runs:
        raise click.UsageError("Missing argument 'RUN...'.")
    of_eval = [path for path in runs if is_evaluation(path)]
    evaluations = read_evaluations(of_eval)
    trainings = read_runs([path for path in runs if path not in of_eval])
    if by is not None and not trainings:
        raise click.UsageError("--by compares runs of training, and no RUN is one")
    if beside and (not evaluations or out is None):
        raise click.UsageError("--published draws beside evaluations: name RUNs of eval, and --out")
    comparison = compare(evaluations) if evaluations else None
    groups = group(trainings)
    sweep = (by, settings(trainings, by)) if by is not None else None
    files: list[Path] = []
    if out is not None and evaluations:
        figures = published() if beside else None
        files = write_evaluation_report(
            evaluations, out, trainings=trainings, by=by, episodes=episodes, figures=figures
        )
        if beside and not any(path.stem == "published" for path in files):
            click.echo(
                "Note: the paper's figures are shares of vanilla's; these runs have no policy high "
                "to stand beside them",
                err=True,
            )
    elif out is not None:
        files = write_report(trainings, out, by=by, episodes=episodes)
    if as_json:
        found = {**report_json(groups, sweep), "files": [str(path) for path in files]}
        if comparison is not None:
            found["evaluation"] = evaluation_json(comparison)
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    if comparison is not None:
        _tell(comparison)
    if trainings:
        click.echo(("\n" if comparison else "") + text_tables(run_table(groups)))
    if sweep is not None:
        key, of_key = sweep
        click.echo(f"\n{text_tables(sweep_table(of_key, key))}")
        if warning := sweep_warning(of_key, key):
            click.echo(f"Note: {warning}", err=True)
    if files:
        click.echo(f"report       {files[0]}", err=True)


def _tell(comparison: Comparison) -> None:
    """Tables on stdout, as wide as the terminal if it is one; what is to be known on stderr."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(sheet_text(score_sheet(comparison), width))
    click.echo(f"\n{sheet_text(cost_sheet(comparison), width)}")
    for note in notes(comparison):
        click.echo(f"Note: {one_line(note)}", err=True)
