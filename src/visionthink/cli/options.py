"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from visionthink.api import ENGINES, open_engine
from visionthink.core.engine import Engine
from visionthink.core.errors import UsageError
from visionthink.core.families import GRIDS
from visionthink.core.profiles import PROFILES
from visionthink.core.types import LOOK_MODES
from visionthink.mini import DEFAULT_CHECKPOINT

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_ENGINE_OPTIONS: tuple[Decorator, ...] = (
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
    click.option(
        "--timeout", type=float, help="Seconds that the server may be silent. [default: 120]"
    ),
    click.option("--retries", type=int, help="Retries after a failure. [default: 3]"),
    click.option("--device", help="cpu, cuda, cuda:1, mps. [default: the fastest available]"),
    click.option("--dtype", help="float32, bfloat16, float16. [default: by device]"),
    click.option("--max-pixels", type=int, help="Shrink images to at most this many pixels."),
    click.option("--trust-remote-code", is_flag=True, help="Run code from the checkpoint."),
)

_EPISODE_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--look",
        type=click.Choice(LOOK_MODES),
        default="auto",
        show_default=True,
        help="auto: the model decides. low: only the half-size view. high: only the original.",
    ),
    click.option(
        "--profile",
        type=click.Choice(list(PROFILES)),
        help="Prompts to use. [default: the checkpoint's, else agent]",
    ),
    click.option(
        "--max-turns",
        type=int,
        help="Maximum number of replies per episode. [default: the profile's]",
    ),
    click.option(
        "--max-tokens", type=int, default=1024, show_default=True, help="Maximum per reply."
    ),
    click.option("--temperature", type=float, default=0.0, show_default=True, help="0 is greedy."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of sampling."),
)

_JUDGE_MODEL_OPTIONS: tuple[Decorator, ...] = (
    click.option("--judge-url", metavar="URL", help="Server of the judging model, up to its /v1."),
    click.option("--judge-model", metavar="NAME", help="The server's name for the judging model."),
    click.option(
        "--judge-engine",
        type=click.Choice(("openai", "hf")),
        help="hf: the judging model is a folder or hub id, run here. [default: openai]",
    ),
)


def _with(options: tuple[Decorator, ...], function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        function = option(function)
    return function


def engine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose and place the model; see `engine_from`."""
    return _with(_ENGINE_OPTIONS, function)


def episode_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of an episode and its sampling."""
    return _with(_EPISODE_OPTIONS, function)


def judge_model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say where the judging model is."""
    return _with(_JUDGE_MODEL_OPTIONS, function)


def engine_from(
    *,
    model: str | None,
    engine: str | None,
    base_url: str | None,
    grid: str | None,
    timeout: float | None,
    retries: int | None,
    device: str | None,
    dtype: str | None,
    max_pixels: int | None,
    trust_remote_code: bool,
) -> Engine:
    """Open the engine that the options describe; options of another engine are refused."""
    used = engine or ("hf" if base_url is None else "openai")
    for_hf = {
        "device": device,
        "dtype": dtype,
        "max_pixels": max_pixels,
        "trust_remote_code": trust_remote_code or None,
    }
    for_server = {
        "grid": GRIDS[grid] if grid else None,
        "timeout": timeout,
        "max_retries": retries,
    }
    chosen = {"hf": for_hf, "openai": for_server}.get(used, {})
    for name, value in {**for_hf, **for_server}.items():
        if value is not None and name not in chosen:
            option = "--" + name.replace("max_retries", "retries").replace("_", "-")
            raise UsageError(f"{option} does not go with --engine {used}")
    given = {name: value for name, value in chosen.items() if value is not None}
    return open_engine(model, engine=used, base_url=base_url, **given)
