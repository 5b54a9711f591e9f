"""`python -m visionthink.evaluation.lmms`: before and after a run of lmms-eval."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from visionthink.core.errors import VisionThinkError
from visionthink.evaluation.lmms.importing import import_results
from visionthink.evaluation.lmms.preset import local_task, presets
from visionthink.evaluation.table import summary_text


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """The paper's benchmarks in lmms-eval, and its results in our reports."""


@command.command("import")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="RUN",
    help="Folder for the run that `visionthink report` reads.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME",
    help="Name in reports of each of RESULTS, in order. [default: the look of our model, else the "
    "model's name]",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="TASK=KEY[/FULL]",
    help="The metric that counts in a task without a preset, and its value if all is right, unless "
    "that is 1. May be repeated.",
)
@click.option(
    "--episodes",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="RUN",
    help="Where our model kept its episodes. [default: the run=... of its --model_args]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON instead.")
def import_command(
    results: tuple[Path, ...],
    out: Path,
    policies: tuple[str, ...],
    metrics: tuple[str, ...],
    episodes: Path | None,
    as_json: bool,
) -> None:
    """Make a run folder from lmms-eval's RESULTS: files of results, or folders with one each.

    Failed requests are errors and count in no mean. Missing results are an error, even though
    lmms-eval exits with 0 then.
    """
    counted: dict[str, str] = {}
    for item in metrics:
        task, equals, key = item.partition("=")
        if not (task and equals and key):
            raise click.BadParameter(f"expected TASK=KEY, got {item!r}", param_hint="--metric")
        counted[task] = key
    imported = import_results(results, out, policies=policies, metrics=counted, episodes=episodes)
    if as_json:
        click.echo(json.dumps(imported.rows))
    else:
        click.echo(summary_text(imported.rows))
        click.echo()
        for row in imported.rows:
            if row["score"] is not None:
                click.echo(f"{row['suite']}, {row['policy']}: {row['metric']} {row['score']:.4g}")
    for note in imported.notes:
        click.echo(note, err=True)
    click.echo(f"run          {out}", err=True)


@command.command("local")
@click.argument("task")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the definition: give it to lmms-eval as --include_path.",
)
def local_command(task: str, files: tuple[Path, ...], out: Path) -> None:
    """Define an official TASK on local Parquet FILES in the official layout, and print its name."""
    click.echo(local_task(task, files, out))


@command.command("tasks")
def tasks_command() -> None:
    """Print the presets of the paper's benchmarks: names, metrics, who judges, and traps."""
    for task, preset in presets().items():
        metric = " + ".join(preset.metrics) or "no metric"
        by = "a model" if preset.judge else "rules"
        click.echo(f"{task}: {preset.paper}; {metric}, by {by}\n    {preset.traps}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; a failure is one line on stderr."""
    try:
        command.main(arguments, prog_name="python -m visionthink.evaluation.lmms")
    except VisionThinkError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
