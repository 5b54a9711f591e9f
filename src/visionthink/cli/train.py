"""`visionthink train grpo` and `visionthink train sft`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from visionthink.training.config import TrainConfig

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_OPTIONS: tuple[Decorator, ...] = (
    click.argument("config"),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="RUN",
        help="Folder for the run: metrics, sample episodes, checkpoints, the trained model.",
    ),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change an option of the config, such as trainer.max_steps=20; may be repeated.",
    ),
    click.option("--resume", is_flag=True, help="Go on with RUN from its last checkpoint."),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print the resolved config and an estimate of memory and work; load no weights.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(min=1),
        help="Of the estimate. [default: torchrun's WORLD_SIZE, else 1]",
    ),
    click.option(
        "--image-size",
        metavar="WxH",
        help="Typical image of the estimate. [default: from the data, else 1024x1024]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead."),
)


def _train_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.group()
def command() -> None:
    """Train a model: sft learns from labelled rows, grpo from rewards.

    CONFIG is a YAML file or the name of a preset; docs/training.md describes every option.

    \b
    Example:
      visionthink train grpo mini --out runs/mini
    """  # noqa: D301 - click wants the character that keeps its line breaks


@command.command()
@_train_options
def grpo(**given: Any) -> None:
    """Learn by reinforcement when to request the original image."""
    _run("grpo", **given)


@command.command()
@_train_options
def sft(**given: Any) -> None:
    """Learn from labelled rows: direct answers, or a request and then the answer."""
    _run("sft", **given)


def _run(
    kind: str,
    *,
    config: str,
    out: Path | None,
    sets: tuple[str, ...],
    resume: bool,
    dry_run: bool,
    processes: int | None,
    image_size: str | None,
    as_json: bool,
) -> None:
    if not dry_run and out is None:
        raise click.UsageError("--out RUN is wanted: the folder that the run leaves its files in")
    if not dry_run and (processes is not None or image_size is not None):
        raise click.UsageError("--processes and --image-size belong to --dry-run")
    size = _size(image_size)  # before the wait for the packages of training
    from visionthink.training.config import load_config

    settings = load_config(config, sets)
    if settings.kind != kind:
        raise click.UsageError(f"{config} is a config of `train {settings.kind}`, not {kind}")
    if dry_run:
        _dry_run(settings, processes, size, as_json)
        return
    assert out is not None  # noqa: S101 - seen above
    folder = _train(settings, out, resume)
    if os.environ.get("RANK", "0") == "0":
        click.echo(json.dumps({"checkpoint": str(folder)}) if as_json else str(folder))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise click.UsageError(f"--image-size wants WIDTHxHEIGHT, such as 1280x720; got {text!r}")
    return int(found[1]), int(found[2])


def _train(config: TrainConfig, out: Path, resume: bool) -> Path:
    def say(line: str) -> None:
        click.echo(line, err=True)

    if config.kind == "sft":
        from visionthink.training.sft import train_sft

        return train_sft(config, out, resume, say)
    from visionthink.training.grpo import train_grpo

    return train_grpo(config, out, resume, say)


def _dry_run(
    config: TrainConfig, processes: int | None, size: tuple[int, int] | None, as_json: bool
) -> None:
    """The config as YAML and the estimate as comments, so that the whole is a config again."""
    from dataclasses import asdict

    import yaml

    from visionthink.training.config import resolved
    from visionthink.training.footprint import estimate

    options = resolved(config)
    figures = estimate(config, processes, size)
    if as_json:
        told = {"config": options, "estimate": [asdict(figure) for figure in figures]}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(yaml.safe_dump(options, sort_keys=False, allow_unicode=True), nl=False)
    click.echo("\n# Estimate; memory is that of one process without sharding.")
    for figure in figures:
        click.echo(f"# {figure}")
