"""`visionthink ask IMAGE QUESTION`: one episode."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from visionthink.cli.options import engine_from, engine_options
from visionthink.core.episode import check_question, run_episode
from visionthink.core.images import DEFAULT_LIMITS, IMAGE_SUFFIXES, open_picture
from visionthink.core.profiles import PROFILES
from visionthink.core.types import LOOK_MODES, Example, LookMode, Sampling
from visionthink.data.image_marks import image_mark
from visionthink.mini import EMBEDDED
from visionthink.reports.transcript import transcript
from visionthink.runs.records import episode_record

EMBEDDED_HINT = "knows only its own drawn world; name a real model with --model or --base-url"


@click.command()
@click.argument("asked", nargs=-1, metavar="IMAGE... QUESTION")
@engine_options
@click.option(
    "--look",
    type=click.Choice(LOOK_MODES),
    default="auto",
    show_default=True,
    help="auto: the model decides. low: only the half-size view. high: only the original.",
)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    help="Prompts to use. [default: the checkpoint's, else agent]",
)
@click.option(
    "--max-turns",
    type=int,
    help="Maximum number of replies per episode. [default: the profile's]",
)
@click.option(
    "--max-tokens", type=int, default=1024, show_default=True, help="Maximum tokens per reply."
)
@click.option("--temperature", type=float, default=0.0, show_default=True, help="0 is greedy.")
@click.option("--seed", type=int, default=0, show_default=True, help="Sampling seed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the episode as one HTML page.",
)
def command(
    asked: tuple[str, ...],
    look: LookMode,
    profile: str | None,
    max_turns: int | None,
    max_tokens: int,
    temperature: float,
    seed: int,
    as_json: bool,
    page: Path | None,
    **engine: Any,
) -> None:
    """Ask QUESTION about IMAGE (or several; - reads one from standard input).

    The answer goes to standard output; the steps that led to it, and their cost, go to standard
    error.

    \b
    Example:
      visionthink ask receipt.png "How much is the rye?"
    """  # noqa: D301 - click wants the character that keeps its line breaks
    if len(asked) < 2:
        raise click.UsageError("expected IMAGE... QUESTION: one or more images, then the question")
    *images, question = asked
    if question.lower().endswith(IMAGE_SUFFIXES) and os.path.isfile(question):
        raise click.UsageError(
            f"expected IMAGE... QUESTION with the question last, but {question!r} is an image file"
        )
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed)
    pictures = [open_picture(_piped() if image == "-" else image) for image in images]
    example = Example(tuple(pictures), question)
    check_question(example, look, profile, max_turns)  # before the wait for a model
    model = engine_from(**engine)
    episode = asyncio.run(
        run_episode(
            example,
            model,
            look=look,
            profile=profile,
            max_turns=max_turns,
            sampling=sampling,
        )
    )
    if as_json:
        click.echo(json.dumps(episode_record(episode), ensure_ascii=False))
    else:
        if episode.model in EMBEDDED:
            click.echo(f"model        {episode.model}: {EMBEDDED_HINT}", err=True)
        if mark := image_mark(question):
            click.echo(
                f"question     {mark!r} in it is read as text, since images come before the "
                "question; leave it out",
                err=True,
            )
        for size in dict.fromkeys(picture.size for picture in pictures):
            width, height = seen = model.about.grid.seen_size(size)
            if seen != size:
                click.echo(
                    f"shrunk       {size[0]:,} x {size[1]:,} px to {width:,} x {height:,}: the "
                    "model sees no more of an original",
                    err=True,
                )
        click.echo(transcript(episode), err=True)
        click.echo(episode.answer)
    if page is not None:  # last: a page that cannot be written must not cost the answer
        from visionthink.reports.page import save_page

        try:
            save_page([episode], page, title=question)
            click.echo(f"page         {page}", err=True)
        except OSError as error:
            raise click.FileError(str(page), error.strerror) from error


def _piped() -> bytes:
    """Standard input, up to one byte more than an image may have."""
    return sys.stdin.buffer.read(DEFAULT_LIMITS.max_bytes + 1)
