"""`visionthink eval SUITE...`: policies side by side on the same questions."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click

from visionthink.cli.options import engine_from, engine_options, judge_model_options
from visionthink.cli.progress import progress
from visionthink.core.engine import Engine
from visionthink.core.errors import RunError
from visionthink.evaluation.derived import Derived
from visionthink.evaluation.metrics import metric_names
from visionthink.evaluation.policies import DEFAULT_POLICIES, Policy, parse_policies
from visionthink.evaluation.runner import Settings, Work, evaluate
from visionthink.evaluation.savings import ESTIMATED, estimate_text, estimates
from visionthink.evaluation.suites import Suite, load_suites, with_judging
from visionthink.evaluation.summary import Sample, summarise
from visionthink.evaluation.table import summary_text
from visionthink.judges import JUDGES
from visionthink.runs.folder import RunFolder, describe_environment


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="POLICY",
    help="Who answers; may be repeated. high, low, auto, random:0.3, oracle, fastv:…, sparsevlm:…, "
    f"visionzip:…, auto+visionzip:…, or auto:PROFILE. [default: {', '.join(DEFAULT_POLICIES)}]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="RUN",
    help="Folder for the run: every episode, and summary.json.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Read this many rows of each suite.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the suites, such as columns.answer=label. May be repeated.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed for mini's drawings, sampling and random:p.",
)
@click.option("--temperature", type=float, default=0.0, show_default=True, help="0 is greedy.")
@click.option(
    "--max-turns",
    type=click.IntRange(min=1),
    help="Maximum number of replies per episode. [default: the profile's]",
)
@click.option("--max-tokens", type=int, default=1024, show_default=True, help="Per reply.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Episodes at once.",
)
@click.option(
    "--alone",
    type=click.IntRange(min=0),
    default=16,
    show_default=True,
    help="Time the first N samples of each suite one at a time.",
)
@click.option(
    "--gallery",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Keep the images of this many samples per suite and family.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Stop after this many consecutive model or judge failures (0: never).",
)
@engine_options
@click.option(
    "--judge",
    "judge_kind",
    metavar="NAME",
    help=f"What decides whether an answer is right: {', '.join(JUDGES)}. [default: the suite's, "
    "else rules]",
)
@click.option(
    "--metric",
    metavar="NAME",
    help=f"How answers are scored: {', '.join(metric_names())}. [default: the suite's, else auto]",
)
@judge_model_options
@click.option("--resume", is_flag=True, help="Continue RUN where it stopped.")
@click.option("--retry-failed", is_flag=True, help="With --resume: ask failed samples again.")
@click.option(
    "--estimate",
    is_flag=True,
    help="Estimate, from low and high, what requests could save. No training needed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON instead.")
def command(
    suites: tuple[str, ...],
    policies: tuple[str, ...],
    out: Path | None,
    limit: int | None,
    sets: tuple[str, ...],
    seed: int,
    judge_kind: str | None,
    metric: str | None,
    judge_url: str | None,
    judge_model: str | None,
    judge_engine: str | None,
    resume: bool,
    retry_failed: bool,
    estimate: bool,
    as_json: bool,
    **engine: Any,
) -> None:
    """Answer the questions of each SUITE under each policy, and compare accuracy and cost.

    SUITE is mini (the embedded world; mini:receipt one family of it, mini:500 at least 500
    questions a family), a data set (a .jsonl or .parquet file, a folder), or a YAML file that
    describes one. docs/evaluation.md says what each figure counts.

    \b
    Examples:
      visionthink eval mini --policy high --policy low --policy auto --out runs/mini
      visionthink eval photos.jsonl --estimate
    """  # noqa: D301 - the character keeps line breaks in click
    if estimate and policies:
        raise click.UsageError("--estimate chooses its own policies: leave --policy out")
    if out is None and (resume or not estimate):
        raise click.UsageError("--out RUN is missing: the folder for the files of the run")
    if retry_failed and not resume:
        raise click.UsageError("--retry-failed goes with --resume")
    named = {of.name: engine.pop(of.name) for of in fields(Settings) if of.name in engine}
    settings = Settings(seed=seed, **named | ({"alone": 0} if estimate else {}))
    chosen = parse_policies(ESTIMATED if estimate else policies)
    judging = with_judging(judge_kind, metric, judge_url, judge_model, judge_engine)
    loaded = load_suites(suites, sets=sets, limit=limit, seed=seed, judging=judging)
    for suite in loaded:
        if bad := suite.rows.bad:
            click.echo(
                f"{suite.name}: {len(bad)} unusable rows are left out, the first: "
                f"row {bad[0].number}: {bad[0].reason}",
                err=True,
            )
        for note in suite.rows.notes:
            click.echo(f"{suite.name}: {note}", err=True)
    model = engine_from(**engine)
    for policy in chosen:
        if isinstance(policy, Policy):
            policy.check(model)
    with tempfile.TemporaryDirectory() as scratch:
        run = RunFolder.create(
            out or Path(scratch) / "run",
            _config(loaded, chosen, model, settings, engine),
            environment=describe_environment(seeds={"seed": seed}),
            resume=resume,
        )
        if retry_failed:
            again = run.drop_episodes(lambda record: record.get("score") is None)
            click.echo(f"asking {again} failed episodes again", err=True)
        in_process = engine["base_url"] is None and engine["engine"] in (None, "hf")
        rows, samples = _run(run, loaded, chosen, model, settings, warm_up=in_process)
    failed = [sample for sample in samples if sample.score is None]
    if estimate:
        found = estimates(samples, [suite.name for suite in loaded])
        click.echo(json.dumps(found) if as_json else estimate_text(found))
    else:
        click.echo(json.dumps(rows) if as_json else summary_text(rows))
    if failed:
        said = (
            f"{len(failed)} of {len(samples)} episodes have no score, the first: {failed[0].error}"
        )
        if len(failed) == len(samples):
            raise RunError(said)
        click.echo(said, err=True)
    if out is not None:
        click.echo(f"run          {out}", err=True)


def _config(
    suites: Sequence[Suite],
    policies: Sequence[Policy | Derived],
    model: Engine,
    settings: Settings,
    engine: dict[str, Any],
) -> dict[str, Any]:
    """What the results depend on; a resumed run must have the same."""
    given = ("engine", "device", "dtype", "max_pixels", "grid")
    limits = asdict(settings)
    del limits["max_failures"]  # a run may be resumed with another
    return {
        "suites": {
            suite.name: suite.options.model_dump(mode="json", exclude_defaults=True)
            for suite in suites
        },
        "policies": [policy.name for policy in policies],
        "model": model.about.model,
        "profile": model.about.profile,
        **{key: engine[key] for key in given if engine[key] is not None},
        **limits,
    }


def _run(
    run: RunFolder,
    suites: Sequence[Suite],
    policies: Sequence[Policy | Derived],
    model: Engine,
    settings: Settings,
    *,
    warm_up: bool,
) -> tuple[list[dict[str, Any]], list[Sample]]:
    """Do what is left of the run; returns the rows of its summary, and the samples in them."""
    work = Work.of(run, suites, policies)
    try:
        with progress("evaluating", "evaluated", work.total) as done:
            asyncio.run(evaluate(work, model, settings, done, warm_up=warm_up))
    except KeyboardInterrupt:
        count = sum(1 for _ in run.episodes())
        click.echo(f"{count} episodes are in {run.path}; add --resume to continue", err=True)
        raise
    samples = [Sample.of(record) for record in run.episodes()]
    rows = summarise(
        samples,
        {suite.name: suite.options.scored_by for suite in suites},
        policies,
        concurrency=settings.concurrency,
    )
    run.write_summary(rows)
    return rows, samples
