"""`visionthink report RUN...`: tables, plots and a page from run folders."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from visionthink.reports.evaluation_plots import published
from visionthink.reports.evaluation_report import (
    cost_table,
    evaluation_json,
    evaluation_report,
    score_table,
)
from visionthink.reports.evaluation_runs import (
    Comparison,
    compare,
    is_evaluation,
    notes,
    read_evaluations,
)
from visionthink.reports.formatting import one_line
from visionthink.reports.training_report import (
    MAX_EPISODES,
    final_table,
    sweep_table,
    sweep_warning,
    training_json,
    training_report,
)
from visionthink.reports.training_runs import group, read_runs, settings


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for report.html, report.md and the plots. [default: only print the table]",
)
@click.option("--by", metavar="KEY", help="Compare the values of a config key: reward.rule.")
@click.option(
    "--episodes",
    type=click.IntRange(min=0),
    default=MAX_EPISODES,
    show_default=True,
    help="Sample episodes on the page, of all runs together.",
)
@click.option(
    "--published",
    "beside",
    is_flag=True,
    help="Draw the paper's figures beside those of evaluations.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(
    runs: tuple[Path, ...],
    out: Path | None,
    by: str | None,
    episodes: int,
    beside: bool,
    as_json: bool,
) -> None:
    """Compare runs of `eval` and of `train` by their folders.

    Prints scores and costs of policies, and the final figures of trainings. Runs that differ in
    their seeds only are taken together, with standard errors.

    \b
    Examples:
      visionthink report runs/mini-* --out runs/report
      visionthink report out/paper-* out/none-* --by reward.rule --out out/report
    """  # noqa: D301 - click needs the character that keeps its line breaks
    of_eval = [path for path in runs if is_evaluation(path)]
    evaluations = read_evaluations(of_eval)
    trainings = read_runs([path for path in runs if path not in of_eval])
    if by is not None and not trainings:
        raise click.UsageError("--by compares training runs, and no RUN is one")
    if beside and (not evaluations or out is None):
        raise click.UsageError("--published draws beside evaluations; give RUNs of eval, and --out")
    comparison = compare(evaluations) if evaluations else None
    groups = group(trainings)
    sweep = (by, settings(trainings, by)) if by is not None else None
    files: list[Path] = []
    if out is not None and evaluations:
        figures = published() if beside else None
        report = evaluation_report(
            evaluations, trainings=trainings, by=by, episodes=episodes, figures=figures
        )
        files = report.write(out)
        if beside and not any(plot.name == "published" for plot in report.plots):
            click.echo(
                "Note: the paper's figures are shares of vanilla's, and these runs have no policy "
                "high; nothing was drawn",
                err=True,
            )
    elif out is not None:
        files = training_report(trainings, by=by, episodes=episodes).write(out)
    if as_json:
        found = {**training_json(groups, sweep), "files": [str(path) for path in files]}
        if comparison is not None:
            found["evaluation"] = evaluation_json(comparison)
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    if comparison is not None:
        _print(comparison)
    if trainings:
        click.echo(("\n" if comparison else "") + final_table(groups).text(_width()))
    if sweep is not None:
        key, of_key = sweep
        click.echo(f"\n{sweep_table(of_key, key).text(_width())}")
        if warning := sweep_warning(of_key, key):
            click.echo(f"Note: {warning}", err=True)
    if files:
        click.echo(f"report       {files[0]}", err=True)


def _print(comparison: Comparison) -> None:
    """Tables on stdout, notes on stderr."""
    click.echo(score_table(comparison).text(_width()))
    click.echo(f"\n{cost_table(comparison).text(_width())}")
    for note in notes(comparison):
        click.echo(f"Note: {one_line(note)}", err=True)


def _width() -> int | None:
    """Columns of the terminal; None if the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
