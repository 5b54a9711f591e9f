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
from visionthink.core.intervals import wilson
from visionthink.judges import JUDGES, Judge, JudgeOptions, open_judge
from visionthink.judges.agreement import SCORES, SHOWN, Agreement, agreement, decided_by
from visionthink.judges.comparisons import COMPARISONS
from visionthink.judges.predictions import json_line, judge_rows, output_file, read_rows

EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)
SHOWN_ROWS = 20
"""Differing rows that `--agree` prints; with --json all."""
SHOWN_CHARACTERS = 40


@click.command()
@click.argument("file", required=False, type=EXISTING)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSONL file to write: the same rows in the same order, with score, by and error.",
)
@click.option(
    "--agree",
    nargs=2,
    type=EXISTING,
    metavar="A B",
    help="Compare two judged files instead; where a row has no score, its expected counts.",
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
    file: Path | None,
    out: Path | None,
    agree: tuple[Path, Path] | None,
    kind: str,
    cache: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Score the predictions in FILE: JSON lines with id, question, answer and prediction.

    An answer may be a list of accepted ones. Where rules alone cannot tell, the score is null. A
    row for which the judge failed gets the score null and an error, never 0. OUT is written whole
    at the end; after Ctrl-C the same command continues where it stopped, because the cache keeps
    the model's verdicts.

    \b
    Example:
      visionthink judge predictions.jsonl --out judged.jsonl
      visionthink judge --agree by-rules.jsonl by-model.jsonl
    """  # noqa: D301 - the character keeps line breaks in click
    if agree is not None:
        if file is not None or out is not None:
            raise UsageError(
                "--agree A B compares two judged files; FILE and --out do not go with it"
            )
        found = agreement(*agree)
        click.echo(json.dumps(found.to_json()) if as_json else _agreement_text(found, *agree))
        return
    if file is None or out is None:
        raise UsageError("expected FILE and --out OUT, or --agree A B; see judge --help")
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
    decided = decided_by(judged)
    return {
        "judge": judge.name,
        "rows": len(judged),
        "right": sum(scores),
        "wrong": len(scores) - sum(scores),
        "undecided": len(judged) - len(scores) - unscored,
        "unscored": unscored,
        "accuracy": sum(scores) / len(scores) if scores else None,
        "rules_share": decided["rules"].rows / len(judged) if "rules" in decided else 0.0,
        "llm_share": stats.llm_share,
        "decided": {by: asdict(each) | {"error": each.error} for by, each in decided.items()},
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
            f"decided   {summary['by_rules']} by rules ({summary['rules_share']:.0%}), "
            f"{summary['by_llm']} by the model",
            f"cost      {summary['calls']} replies ({summary['retries']} asked again), "
            f"{summary['cached']} verdicts from the cache, {summary['prompt_tokens']} prompt and "
            f"{summary['completion_tokens']} completion tokens",
        ]
    for by, each in summary["decided"].items():
        if each["labelled"]:
            low, high = wilson(each["error"], each["labelled"]) or (0, 1)
            lines.append(
                f"expected  {by}: {each['false_ones']} false 1 and {each['false_zeros']} false 0 "
                f"of {each['labelled']}, error {each['error']:.1%} [{low:.1%} to {high:.1%}]"
            )
    return "\n".join(lines)


def _agreement_text(found: Agreement, first: Path, second: Path) -> str:
    """Figures, table, and the first rows on which the two differ."""
    lines = [f"A         {first}", f"B         {second}"]
    lines.append(f"rows      {found.rows} of both, {found.scored} scored by both")
    if any(found.only):
        lines[-1] += f"; {found.only[0]} only in A, {found.only[1]} only in B"
    for name, value, interval in (
        ("agreement", found.share, found.share_interval),
        ("kappa", found.kappa, found.kappa_interval),
    ):
        spread = "" if interval is None else f" [{interval[0]:.3f} to {interval[1]:.3f}]"
        lines.append(f"{name:<10}{'-' if value is None else f'{value:.3f}'}{spread}")
    undecided = found.scored < found.rows
    shown = SCORES if undecided else SCORES[:2]
    names = {score: "null" if score is None else str(score) for score in SCORES}
    lines += ["", "".join(f"{head:>8}" for head in ["A \\ B", *(names[b] for b in shown)])]
    for a in shown:
        cells = [names[a], *(str(found.table[a, b]) for b in shown)]
        lines.append("".join(f"{cell:>8}" for cell in cells))
    lines += [""] if found.differing else []
    for row in found.differing[:SHOWN_ROWS]:
        texts = (_short(row[key]) for key in SHOWN if key in row)
        lines.append(f"A {names[row['a']]}  B {names[row['b']]}  {row['id']}: {' · '.join(texts)}")
    if (more := len(found.differing) - SHOWN_ROWS) > 0:
        lines.append(f"… and {more} more rows; --json has all")
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
