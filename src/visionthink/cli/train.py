"""`visionthink train grpo` and `visionthink train sft`."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from visionthink.cli.main import Group
from visionthink.cli.options import option_group

if TYPE_CHECKING:
    from visionthink.training.config import TrainConfig

PRESETS = Path(__file__).parents[1] / "training" / "presets"

_train_options = option_group(
    click.argument("config", required=False),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="RUN",
        help="Folder of the run: metrics, sample episodes, checkpoints, the trained model.",
    ),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change an option of the config, such as trainer.max_steps=20; may be repeated.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Continue the run in --out from its last checkpoint, with its own config.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print the resolved config and an estimate of memory and work; load no weights.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(min=1),
        help="Number of processes to estimate for. [default: torchrun's WORLD_SIZE, else 1]",
    ),
    click.option(
        "--image-size",
        metavar="WxH",
        help="Image size to estimate for. [default: from the data, else 1024x1024]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead."),
)


class _Train(click.Command):
    """A command whose help lists the presets of its kind; each is described by its first line."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Presets"):
            formatter.write_dl(
                [(name, line) for name, (kind, line) in _presets().items() if kind == self.name]
            )


def _presets() -> dict[str, tuple[str, str]]:
    """Name → kind and description; read without the packages of training."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(PRESETS.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        kind = re.search(r"^kind: (\w+)", text, re.MULTILINE)
        found[path.stem] = (kind[1] if kind else "", text.partition("\n")[0].lstrip("# "))
    return found


@click.group(cls=Group)
def command() -> None:
    """Train a model: sft learns from labelled rows, grpo from rewards.

    CONFIG is a YAML file or the name of a preset; docs/training.md describes every option.

    \b
    Examples:
      visionthink train grpo mini --out runs/mini
      visionthink train grpo --resume --out runs/mini
    """  # noqa: D301 - click wants the character that keeps its line breaks


@command.command(cls=_Train)
@_train_options
def grpo(**given: Any) -> None:
    """Train a model by reinforcement learning to decide when to request the original image.

    CONFIG is a YAML file or one of the presets below; with --resume it may be left out.
    """
    _run("grpo", **given)


@command.command(cls=_Train)
@_train_options
def sft(**given: Any) -> None:
    """Learn from labelled rows: direct answers, or a request and then the answer.

    CONFIG is a YAML file or one of the presets below; with --resume it may be left out.
    """
    _run("sft", **given)


def _run(
    kind: str,
    *,
    config: str | None,
    out: Path | None,
    sets: tuple[str, ...],
    resume: bool,
    dry_run: bool,
    processes: int | None,
    image_size: str | None,
    as_json: bool,
) -> None:
    if not dry_run and out is None:
        raise click.UsageError("expected --out RUN, the folder that the run leaves its files in")
    if not dry_run and (processes is not None or image_size is not None):
        raise click.UsageError("--processes and --image-size go with --dry-run only")
    size = _size(image_size)  # before the wait for the packages of training
    settings = _settings(kind, config, out, sets, resume)
    if dry_run:
        _dry_run(settings, processes, size, as_json)
        return
    assert out is not None  # noqa: S101 - seen above
    folder = _train(settings, out, resume)
    if os.environ.get("RANK", "0") == "0":
        click.echo(json.dumps({"checkpoint": str(folder)}) if as_json else str(folder))


def _settings(
    kind: str, config: str | None, out: Path | None, sets: tuple[str, ...], resume: bool
) -> TrainConfig:
    """The config of the run to resume, or what `config` and `sets` say."""
    if resume and out is not None and (out / "config.json").exists():
        from visionthink.training.config import resumed_config

        settings, where = resumed_config(out, config, sets), f"{out} is a run"
    elif config is None:
        if resume and out is not None:
            raise click.UsageError(f"there is no run to resume in {out}; give CONFIG to start one")
        names = ", ".join(name for name, (of, _) in _presets().items() if of == kind)
        raise click.UsageError(f"expected CONFIG: a YAML file, or a preset ({names})")
    else:
        from visionthink.training.config import load_config

        settings, where = load_config(config, sets), f"{config} is a config"
    if settings.kind != kind:
        raise click.UsageError(f"{where} of `train {settings.kind}`, not {kind}")
    return settings


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise click.UsageError(
            f"--image-size: expected WIDTHxHEIGHT, such as 1280x720; got {text!r}"
        )
    return int(found[1]), int(found[2])


def _train(config: TrainConfig, out: Path, resume: bool) -> Path:
    def say(line: str) -> None:
        click.echo(line, err=True)

    try:
        if config.kind == "sft":
            from visionthink.training.sft import train_sft

            return train_sft(config, out, resume, say)
        from visionthink.training.grpo import train_grpo

        return train_grpo(config, out, resume, say)
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0" and (out / "config.json").exists():
            say(f"resume with: {_command(config.kind, out)}")
        raise


def _command(kind: str, out: Path) -> str:
    """What resumes the run; under torchrun it is to be started by torchrun again."""
    words = ["visionthink", "train", kind, "--resume", "--out", shlex.quote(str(out))]
    if int(os.environ.get("WORLD_SIZE", "1") or 1) > 1:
        words = ["torchrun", "...", "-m", *words]
    return " ".join(words)


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
        shown = {"config": options, "estimate": [asdict(figure) for figure in figures]}
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    click.echo(yaml.safe_dump(options, sort_keys=False, allow_unicode=True), nl=False)
    click.echo("\n# Estimate; memory is that of one process without sharding.")
    for figure in figures:
        click.echo(f"# {figure}")
