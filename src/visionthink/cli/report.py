"""`visionthink report RUN...`: tables, plots and a page from run folders."""

from __future__ import annotations

import json
from pathlib import Path

import click

from visionthink.reports.published import published
from visionthink.reports.published_table import paper_json, paper_text
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
    paper: bool,
    as_json: bool,
) -> None:
    """Compare the training runs in the folders RUN.

    Prints their final figures. Runs that differ in their seeds only are also taken together, with
    standard errors.

    \b
    Example:
      visionthink report out/paper-* out/none-* --by reward.rule --out out/report
    """  # noqa: D301 - click wants the character that keeps its line breaks
    if paper:
        if runs or out or by:
            raise click.UsageError("--paper stands alone: it prints published figures, of no RUN")
        figures = published()
        click.echo(json.dumps(paper_json(figures)) if as_json else paper_text(figures))
        return
    if not runs:
        raise click.UsageError("Missing argument 'RUN...'.")
    read = read_runs(runs)
    groups = group(read)
    sweep = (by, settings(read, by)) if by is not None else None
    files = write_report(read, out, by=by, episodes=episodes) if out is not None else []
    if as_json:
        found = {**report_json(groups, sweep), "files": [str(path) for path in files]}
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(text_tables(run_table(groups)))
    if sweep is not None:
        key, of_key = sweep
        click.echo(f"\n{text_tables(sweep_table(of_key, key))}")
        if warning := sweep_warning(of_key, key):
            click.echo(f"Note: {warning}", err=True)
    if files:
        click.echo(f"report       {files[0]}", err=True)
