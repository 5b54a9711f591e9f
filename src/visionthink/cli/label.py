"""`visionthink label DATA`: which rows need the original image."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from visionthink.cli.options import engine_from, engine_options, judge_model_options
from visionthink.cli.progress import progress
from visionthink.core.engine import Engine
from visionthink.core.errors import DataError
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import profile_for
from visionthink.data.label_file import LabelFile, check_place
from visionthink.data.labelling import LABEL_LOOKS, Labelled, LabelRule, RolloutOptions, label_rows
from visionthink.data.source import DataOptions, Format, Row, load_rows
from visionthink.judges import JUDGES, Judge, JudgeOptions, open_judge
from visionthink.judges.comparisons import COMPARISONS
from visionthink.settings import YAML, apply_sets, checked, read_yaml


@click.command()
@click.argument("data")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSONL file to write, one finished row a line.",
)
@click.option("--format", type=click.Choice(get_args(Format)), help="[default: by the path]")
@click.option("--split", help="Of a data set that has several.")
@click.option("--limit", type=int, help="Label at most this many rows.")
@click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be used.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any option of the data, such as columns.answer=label. May be repeated.",
)
@click.option("--n", type=int, default=8, show_default=True, help="Rollouts at each look.")
@click.option("--enough", type=int, help="This many right at both looks: label low. [default: n]")
@click.option(
    "--gap", type=int, help="This many more right at high: label high. [default: 3/4 of n]"
)
@click.option("--temperature", type=float, default=1.0, show_default=True)
@click.option("--max-tokens", type=int, default=1024, show_default=True, help="Per reply.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    help="Prompts to use. [default: what the checkpoint names, else agent]",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Episodes at once.",
)
@engine_options
@click.option(
    "--judge",
    "judge_kind",
    metavar="NAME",
    default="rules",
    show_default=True,
    help=f"Who says whether an answer is right: {', '.join(JUDGES)}.",
)
@click.option(
    "--metric",
    metavar="NAME",
    default="auto",
    show_default=True,
    help=f"What rules compare: {', '.join(COMPARISONS)}.",
)
@judge_model_options
@click.option("--resume", is_flag=True, help="Continue OUT where it stopped.")
@click.option("--retry-failed", is_flag=True, help="With --resume: run failed rows again.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(
    data: str,
    out: Path,
    sets: tuple[str, ...],
    n: int,
    enough: int | None,
    gap: int | None,
    concurrency: int,
    judge_kind: str,
    metric: str,
    judge_url: str | None,
    judge_model: str | None,
    judge_engine: str | None,
    resume: bool,
    retry_failed: bool,
    as_json: bool,
    **others: Any,
) -> None:
    """Label the rows of DATA by rollouts: is the small image enough, or is the original needed?

    DATA is a data set (a .jsonl or .parquet file, a folder; mini is the embedded world) or a YAML
    file with its options. Each row is answered n times at each look. OUT is itself a data set of
    format jsonl, with a label for each row: low, high, undecided or failed.

    \b
    Example:
      visionthink label mini --set size=20 --model mini-base --out labels.jsonl
    """  # noqa: D301 - the character keeps line breaks in click
    check_place(out, resume=resume, retry_failed=retry_failed)
    rule = LabelRule.of(n, enough, gap)
    names = ("profile", "temperature", "max_tokens", "seed")
    rollouts = RolloutOptions(rule, **{name: others.pop(name) for name in names})
    rollouts.sampling("", "low", 0)  # reports bad values before the wait for a model
    judging = {"kind": judge_kind, "metric": metric, "base_url": judge_url, "model": judge_model}
    if judge_engine is not None:
        judging["engine"] = judge_engine
    judge = open_judge(checked(JudgeOptions, judging, "judge"))
    named = {name: others.pop(name) for name in ("format", "split", "limit", "skip_bad")}
    options = _data_options(data, sets, named)
    rows = load_rows(options)
    for note in rows.notes:
        click.echo(note, err=True)
    engine = engine_from(**others)
    profile = rollouts.profile or engine.about.profile
    for look in LABEL_LOOKS:
        profile_for(look, profile or next(iter(PROFILES)))
    config = {
        "data": options.model_dump(mode="json", exclude_defaults=True),
        "model": engine.about.model,
        "profile": profile,
        **asdict(rule),
        "temperature": rollouts.temperature,
        "max_tokens": rollouts.max_tokens,
        "seed": rollouts.seed,
        "judge": {"kind": judge_kind, "metric": metric, "model": judge_model},
    }
    with LabelFile(out, config, resume=resume, retry_failed=retry_failed) as file:
        left = file.unfinished(rows)
        resumed = len(rows) - len(left)
        try:
            asyncio.run(_label(file, left, engine, judge, rollouts, concurrency))
        except KeyboardInterrupt:
            stopped = sum(file.counts().values())
            click.echo(
                f"{stopped} of {len(rows)} rows are in {out}; add --resume to continue", err=True
            )
            raise
    counts = file.counts()
    summary = {"out": str(out), "rows": len(rows), **counts, "resumed": resumed}
    summary["skipped"] = len(rows.bad)
    summary["cannot_tell"] = file.cannot_tell()
    summary["answers"] = 2 * n * (sum(counts.values()) - counts["failed"])
    summary["contained"] = file.contained()
    click.echo(json.dumps(summary) if as_json else _text(summary))
    if cannot_tell := summary["cannot_tell"]:
        asks = "; --judge cascade asks a model about them" if judge_kind == "rules" else ""
        click.echo(
            f"{cannot_tell} answers that the judge cannot tell count as wrong{asks}", err=True
        )
    if counts["failed"]:
        failed = f"{counts['failed']} of {len(rows)} rows failed, the first: {file.first_failure()}"
        if counts["failed"] == len(rows):
            raise DataError(f"{failed}; run them again with --resume --retry-failed")
        click.echo(failed, err=True)


async def _label(
    file: LabelFile,
    rows: Sequence[Row],
    engine: Engine,
    judge: Judge,
    rollouts: RolloutOptions,
    concurrency: int,
) -> None:
    with progress("labelling", "labelled", len(rows)) as done:

        def keep(row: Row, labelled: Labelled) -> None:
            file.add(row, labelled)
            done()

        try:
            await label_rows(rows, engine, judge.score, rollouts, keep, concurrency=concurrency)
        finally:
            await engine.close()
            await judge.close()


def _data_options(data: str, sets: Sequence[str], named: Mapping[str, Any]) -> DataOptions:
    """The options in a YAML file, or of a path; those of the command line override them."""
    given = read_yaml(Path(data)) if data.endswith(YAML) else {"path": data}
    given.update({k: v for k, v in named.items() if v is not None and v is not False})
    return checked(DataOptions, apply_sets(given, sets), data)


def _text(summary: dict[str, Any]) -> str:
    more = [f"{summary[key]} {key}" for key in ("resumed", "skipped") if summary[key]]
    contained = ""
    if count := summary["contained"]:
        contained = (
            f"scored wrong, but contain the expected answer: {count} of {summary['answers']} "
            "answers; compare some, and if they are right set prompt_suffix, another --metric, or "
            "--judge\n"
        )
    return (
        f"{summary['rows']} rows: {summary['low']} low (the small image is enough), "
        f"{summary['high']} high (the original is needed), {summary['undecided']} undecided, "
        f"{summary['failed']} failed{''.join(f', {each}' for each in more)}\n{contained}"
        f"{summary['out']}"
    )
