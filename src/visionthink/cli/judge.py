"""`visionthink judge FILE`: scores for a file of predictions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import ValidationError

from visionthink.cli.progress import progress
from visionthink.core.errors import UsageError
from visionthink.judges import JUDGES, Judge, JudgeOptions, open_judge
from visionthink.judges.predictions import json_line, judge_rows, output_file, read_rows
from visionthink.judges.rules import COMPARISONS


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSONL file to write: the same rows in the same order, with score, by and error.",
)
@click.option(
    "--judge",
    "kind",
    metavar="NAME",
    default="rules",
    show_default=True,
    help=f"Who decides: {', '.join(JUDGES)}. cascade: rules where the case is clear, else the "
    "model.",
)
@click.option(
    "--metric",
    metavar="NAME",
    help=f"What rules compare: {', '.join(COMPARISONS)}. [default: auto, by the form of each "
    "ground truth]",
)
@click.option("--tolerance", type=float, help="Relative difference of equal numbers. [default: 0]")
@click.option("--anls-threshold", type=float, help="Smallest similarity. [default: 0.5]")
@click.option(
    "--engine",
    type=click.Choice(get_args(JudgeOptions.model_fields["engine"].annotation)),
    help="What runs the judging model: a server, or transformers here. [default: openai]",
)
@click.option("--base-url", metavar="URL", help="OpenAI-compatible server, up to its /v1.")
@click.option(
    "--model", metavar="NAME", help="The server's name for the judging model; hf: folder or hub id."
)
@click.option(
    "--api-key-env",
    metavar="VAR",
    help="Environment variable with the key. [default: OPENAI_API_KEY]",
)
@click.option("--concurrency", type=int, help="Questions at once. [default: 16]")
@click.option("--timeout", type=float, help="Seconds for one try. [default: 60]")
@click.option("--retries", type=int, help="Tries after the first. [default: 3]")
@click.option(
    "--max-tokens", type=int, help="Limit of a reply, reasoning included. [default: 2048]"
)
@click.option(
    "--extra-body",
    metavar="JSON",
    help="Further fields of each request to a server, as one JSON object.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that keeps the model's verdicts; may be shared. [default: OUT.cache]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(
    file: Path, out: Path, kind: str, cache: Path | None, as_json: bool, **given: Any
) -> None:
    """Score the predictions in FILE: JSON lines with id, question, answer and prediction.

    An answer may be a list of accepted ones. Where rules alone cannot tell, the score is null. A
    row for which the judge failed gets the score null and an error, never 0. OUT is written whole
    at the end; after Ctrl-C the same command continues where it stopped, because the cache keeps
    the model's verdicts.

    \b
    Example:
      visionthink judge predictions.jsonl --out judged.jsonl
    """  # noqa: D301 - the character keeps line breaks in click
    if kind != "rules":
        cache = cache or out.with_name(f"{out.name}.cache")
    options = _options(kind=kind, cache=cache, **given)
    judge = open_judge(options)
    rows = read_rows(file)
    began = time.monotonic()
    with output_file(out) as output, progress("judging", "judged", len(rows)) as done:
        judged = asyncio.run(judge_rows(judge, rows, workers=options.concurrency, done=done))
        output.writelines(map(json_line, judged))
    summary = _summary(judge, judged, time.monotonic() - began)
    click.echo(json.dumps(summary) if as_json else _text(summary))
    if undecided := summary["undecided"]:
        asks = "; --judge cascade asks a model about them" if kind == "rules" else ""
        click.echo(
            f"{undecided} of {len(judged)} rows are undecided: {judge.name} cannot tell{asks}",
            err=True,
        )
    if failed := [row["error"] for row in judged if "error" in row]:
        click.echo(f"{len(failed)} of {len(judged)} rows have no score: {failed[0]}", err=True)


def _options(*, extra_body: str | None, **given: Any) -> JudgeOptions:
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        if extra_body is not None:
            chosen["extra_body"] = json.loads(extra_body)
        return JudgeOptions(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("kind", "judge").replace("_", "-")
        said = first["msg"].removeprefix("Value error, ")
        got = "" if first["type"] == "value_error" else f"; got {first['input']!r:.40}"
        raise UsageError(f"--{name}: {said}{got}") from None
    except ValueError:
        raise UsageError("--extra-body must be one JSON object") from None


def _summary(judge: Judge, judged: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """The figures of the whole file; accuracy is over the rows that have a score.

    The other rows are undecided, if the judge cannot tell, or unscored, if it failed.
    """
    scores = [row["score"] for row in judged if row["score"] is not None]
    unscored = sum("error" in row for row in judged)
    stats = judge.stats
    return {
        "judge": judge.name,
        "rows": len(judged),
        "right": sum(scores),
        "wrong": len(scores) - sum(scores),
        "undecided": len(judged) - len(scores) - unscored,
        "unscored": unscored,
        "accuracy": sum(scores) / len(scores) if scores else None,
        "llm_share": stats.llm_share,
        **{name: count for name, count in asdict(stats).items() if name != "undecided"},
        "seconds": round(seconds, 3),
    }


def _text(summary: dict[str, Any]) -> str:
    accuracy = summary["accuracy"]
    some = accuracy is not None and summary["right"] + summary["wrong"] < summary["rows"]
    lines = [
        f"judge     {summary['judge']}",
        f"rows      {summary['rows']}: {summary['right']} right, {summary['wrong']} wrong, "
        f"{summary['undecided']} undecided, {summary['unscored']} without a verdict",
        f"accuracy  {'-' if accuracy is None else f'{accuracy:.3f}'}"
        f"{' of the scored' if some else ''}",
    ]
    if summary["by_llm"] or summary["calls"]:
        lines += [
            f"decided   {summary['by_rules']} by rules, {summary['by_llm']} by the model "
            f"({summary['llm_share']:.0%})",
            f"cost      {summary['calls']} replies ({summary['retries']} asked again), "
            f"{summary['cached']} verdicts from the cache, {summary['prompt_tokens']} prompt and "
            f"{summary['completion_tokens']} completion tokens",
        ]
    return "\n".join(lines)
