"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from visionthink.api import ENGINES, open_engine
from visionthink.core.engine import Engine
from visionthink.core.errors import UsageError
from visionthink.core.families import GRIDS
from visionthink.mini import DEFAULT_CHECKPOINT

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_group(*options: Decorator) -> Decorator:
    """One decorator that adds all `options`, which stand in this order in the help."""
    return lambda function: reduce(lambda inner, option: option(inner), options[::-1], function)


engine_options = option_group(
    click.option(
        "--model",
        metavar="NAME",
        help="Folder or hub id; served name with --engine openai; file of replies with --engine "
        f"scripted. [default: {DEFAULT_CHECKPOINT}, which ships with the package]",
    ),
    click.option(
        "--engine", type=click.Choice(ENGINES), help="[default: openai with --base-url, else hf]"
    ),
    click.option("--base-url", metavar="URL", help="OpenAI-compatible server, up to its /v1."),
    click.option(
        "--grid",
        type=click.Choice(list(GRIDS)),
        help="How the served model divides images into tokens. [default: by its name]",
    ),
    click.option("--timeout", type=float, help="Seconds to wait for the server. [default: 120]"),
    click.option("--retries", type=int, help="Retries after a failure. [default: 3]"),
    click.option("--device", help="cpu, cuda, cuda:1, mps. [default: the fastest available]"),
    click.option("--dtype", help="float32, bfloat16, float16. [default: by device]"),
    click.option("--max-pixels", type=int, help="Shrink images to at most this many pixels."),
    click.option("--trust-remote-code", is_flag=True, help="Run code from the checkpoint."),
)
"""Options that choose and place the model; see `engine_from`."""

judge_model_options = option_group(
    click.option("--judge-url", metavar="URL", help="Server of the judging model, up to its /v1."),
    click.option("--judge-model", metavar="NAME", help="The server's name for the judging model."),
    click.option(
        "--judge-engine",
        type=click.Choice(("openai", "hf")),
        help="hf: the judging model is a folder or hub id, run here. [default: openai]",
    ),
)
"""Options that say where the judging model is."""


_ONLY_WITH = {
    "hf": ("device", "dtype", "max_pixels", "trust_remote_code"),
    "openai": ("grid", "timeout", "retries"),
}
"""Engine → the options that only it has."""


def engine_from(
    *, model: str | None, engine: str | None, base_url: str | None, **options: Any
) -> Engine:
    """Open the engine that `engine_options` describe; options of another engine are refused."""
    used = engine or ("hf" if base_url is None else "openai")
    given = {k: v for k, v in options.items() if v is not None and v is not False}
    for name in given:
        if name not in _ONLY_WITH.get(used, ()):
            raise UsageError(f"--{name.replace('_', '-')} does not go with --engine {used}")
    if "grid" in given:
        given["grid"] = GRIDS[given["grid"]]
    if "retries" in given:
        given["max_retries"] = given.pop("retries")
    return open_engine(model, engine=used, base_url=base_url, **given)
