"""`visionthink serve`: an OpenAI-compatible server that runs every question as an episode."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from visionthink.cli.ask import EMBEDDED_HINT
from visionthink.core.families import GRIDS
from visionthink.core.profiles import PROFILES
from visionthink.core.types import LOOK_MODES
from visionthink.serving.serve_options import ServeOptions
from visionthink.settings import apply_sets, checked, read_yaml

if TYPE_CHECKING:
    from visionthink.serving.gateway import Gateway

CONFIG_KEYS = {
    "upstream": "upstream.urls",
    "upstream_model": "upstream.model",
    "upstream_key_env": "upstream.key_env",
    "allow_remote_images": "remote_images.hosts",
}
"""Command-line options whose config key differs from their name."""


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with any options.")
@click.option("--host", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=int, help="0 picks a free port. [default: 8000]")
@click.option("--name", help="The model's name in this API. [default: its own name]")
@click.option("--model", metavar="NAME", help="Folder or hub id. [default: the embedded one]")
@click.option("--device", help="cpu, cuda, cuda:1, mps. [default: the fastest available]")
@click.option("--dtype", help="float32, bfloat16, float16. [default: by device]")
@click.option("--max-pixels", type=int, help="Shrink images to at most this many pixels.")
@click.option(
    "--upstream",
    metavar="URL",
    multiple=True,
    help="OpenAI-compatible server to use instead of a local model, up to /v1. May be repeated.",
)
@click.option("--upstream-model", metavar="NAME", help="The model's name at the upstreams.")
@click.option(
    "--upstream-key-env",
    metavar="VAR",
    help="Environment variable with the key for the upstreams. [default: OPENAI_API_KEY]",
)
@click.option("--grid", type=click.Choice(list(GRIDS)), help="[default: by its name]")
@click.option("--profile", type=click.Choice(list(PROFILES)), help="[default: the model's]")
@click.option(
    "--look", type=click.Choice(LOOK_MODES), help="Default look for requests that do not set one."
)
@click.option(
    "--api-key-env",
    metavar="VAR",
    help="Environment variable that holds the client keys. [default: no key required]",
)
@click.option(
    "--allow-remote-images",
    metavar="HOST",
    multiple=True,
    help="Fetch images from this host, or *.host. May be repeated. [default: none]",
)
@click.option(
    "--playground/--no-playground",
    default=None,
    help="Serve a page at / to try the model in a browser. [default: on]",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any option, such as limits.running=32. May be repeated.",
)
def command(config: Path | None, sets: tuple[str, ...], **given: Any) -> None:
    """Serve a model through OpenAI's chat API; the model sees images small first.

    Clients ask for NAME; NAME:low and NAME:high fix the look, NAME:trace adds all turns to the
    reply, NAME:vanilla passes the request on untouched. Savings are in the `usage` of each answer
    and under /metrics. A page to try it is at /. SIGHUP reads the keys in the config again.

    \b
    Example:
      visionthink serve
      visionthink serve --upstream http://127.0.0.1:8001/v1 --profile agent
    """  # noqa: D301 - click needs the character that keeps its line breaks
    from visionthink.serving.server import reload_on_hangup, serve

    def read() -> ServeOptions:
        where = str(config or "serve")
        options: dict[str, Any] = read_yaml(config) if config else {}
        checked(ServeOptions, options, where)  # so that the options below find their sections
        for name, value in given.items():
            if value is not None and value != ():
                *section, key = CONFIG_KEYS.get(name, name).split(".")
                target = options.setdefault(section[0], {}) if section else options
                target[key] = value
        return checked(ServeOptions, apply_sets(options, sets), where)

    def announce(gateway: Gateway, url: str) -> None:
        _announce(gateway, url)
        reload_on_hangup(gateway, read)

    with _console():
        serve(read(), announce)


class _OneLine(logging.Formatter):
    """What others sent may be quoted in the log; it cannot control the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


@contextmanager
def _console() -> Iterator[None]:
    """Show the server's log on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("visionthink.serving")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _announce(gateway: Gateway, url: str) -> None:
    click.echo(f"serving {gateway.name} at {url}", err=True)
    if gateway.options.playground:
        click.echo(f"playground at {url.removesuffix('v1')}", err=True)
    if gateway.embedded:
        model = gateway.pool.about.model
        click.echo(f"{model}: {EMBEDDED_HINT.replace('--base-url', '--upstream')}", err=True)
