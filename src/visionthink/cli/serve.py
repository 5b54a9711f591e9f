"""`visionthink serve`: an OpenAI-compatible server that runs every question as an episode."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from visionthink.cli.ask import EMBEDDED_HINT
from visionthink.core.families import GRIDS
from visionthink.core.profiles import PROFILES
from visionthink.core.types import LOOK_MODES
from visionthink.serving.options import ServeOptions
from visionthink.settings import apply_sets, checked, read_yaml

if TYPE_CHECKING:
    from visionthink.serving.gateway import Gateway

PLACES = {
    "upstream": "upstream.urls",
    "upstream_model": "upstream.model",
    "upstream_key_env": "upstream.key_env",
    "allow_remote_images": "remote_images.hosts",
}
"""Options of the command line that stand elsewhere in the config; the others under their name."""


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with any options.")
@click.option("--host", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=int, help="0 takes a free one. [default: 8000]")
@click.option("--name", help="What the model is called here. [default: its own name]")
@click.option("--model", metavar="NAME", help="Folder or hub id. [default: the embedded one]")
@click.option("--device", help="cpu, cuda, cuda:1, mps. [default: the best there is]")
@click.option("--dtype", help="float32, bfloat16, float16. [default: by device]")
@click.option("--max-pixels", type=int, help="Shrink images to this many pixels at most.")
@click.option(
    "--upstream",
    metavar="URL",
    multiple=True,
    help="OpenAI-compatible server, up to its /v1, instead of a model here. May be repeated.",
)
@click.option("--upstream-model", metavar="NAME", help="As it is served there.")
@click.option(
    "--upstream-key-env",
    metavar="VAR",
    help="Environment variable with the key for the upstreams. [default: OPENAI_API_KEY]",
)
@click.option("--grid", type=click.Choice(list(GRIDS)), help="[default: by the name]")
@click.option("--profile", type=click.Choice(list(PROFILES)), help="[default: the model's]")
@click.option("--look", type=click.Choice(LOOK_MODES), help="Of requests that name none.")
@click.option(
    "--api-key-env",
    metavar="VAR",
    help="Environment variable with the keys that clients may use. [default: none are wanted]",
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
    help="A page at / to try the model in a browser. [default: there is one]",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any option, such as limits.running=32. May be repeated.",
)
def command(config: Path | None, sets: tuple[str, ...], **given: Any) -> None:
    """Serve a model by OpenAI's chat API; images are looked at small first.

    Ask for NAME; NAME:low and NAME:high fix the look, NAME:trace tells all turns. What was saved
    is in the `usage` of each answer and under /metrics. A page to try it with is at /.

    \b
    Example:
      visionthink serve
      visionthink serve --upstream http://127.0.0.1:8001/v1 --profile agent
    """  # noqa: D301 - click wants the character that keeps its line breaks
    from visionthink.serving.server import serve

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("visionthink.serving")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    where = str(config or "serve")
    options: dict[str, Any] = read_yaml(config) if config else {}
    checked(ServeOptions, options, where)  # so that what is put on top finds its place
    for name, value in given.items():
        if value is not None and value != ():
            *room, last = PLACES.get(name, name).split(".")
            place = options.setdefault(room[0], {}) if room else options
            place[last] = value
    serve(checked(ServeOptions, apply_sets(options, sets), where), _announce)


def _announce(gateway: Gateway, url: str) -> None:
    click.echo(f"serving {gateway.name} at {url}", err=True)
    if gateway.options.playground:
        click.echo(f"playground at {url.removesuffix('v1')}", err=True)
    if gateway.embedded:
        model = gateway.pool.backends[0].engine.about.model
        click.echo(f"{model}: {EMBEDDED_HINT.replace('--base-url', '--upstream')}", err=True)
