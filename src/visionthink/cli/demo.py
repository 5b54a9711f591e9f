"""`visionthink demo`: the embedded model on the shipped samples."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import click

from visionthink.api import open_engine
from visionthink.core.episode import run_episode
from visionthink.core.types import Episode
from visionthink.mini import DEFAULT_CHECKPOINT, EMBEDDED
from visionthink.mini.world import load_samples
from visionthink.reports.page import save_page
from visionthink.reports.transcript import transcript
from visionthink.runs.records import episode_record


@click.command()
@click.option(
    "--model",
    type=click.Choice(EMBEDDED),
    default=DEFAULT_CHECKPOINT,
    show_default=True,
    help="Which embedded checkpoint to ask.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out"),
    show_default=True,
    help="Folder for demo.html.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead.")
def command(model: str, out: Path, as_json: bool) -> None:
    """Ask the embedded model about the shipped sample images and write a page of the episodes.

    The model sees each sample at half size first. The terminal shows one answer without a request
    and one with a request; the page shows all episodes.
    """
    episodes = asyncio.run(_ask_all(model))
    out.mkdir(parents=True, exist_ok=True)
    first = _one_of_each(episodes)
    others = [episode for episode in episodes if episode not in first]
    save_page([*first, *others], out / "demo.html", title="VisionThink on its sample images")
    if as_json:
        click.echo(json.dumps([episode_record(episode) for episode in episodes]))
        return
    for episode in first:
        click.echo(f"[{episode.example.id}; the right answer is {episode.example.answer}]")
        click.echo(f"{transcript(episode)}\n")
    click.echo(_summary(episodes))
    click.echo(f"All of them: {out / 'demo.html'}")


async def _ask_all(model: str) -> list[Episode]:
    engine = open_engine(model, max_batch=1)  # one at a time, as `ask` does it
    return [await run_episode(example, engine) for example in load_samples()]


def _one_of_each(episodes: Sequence[Episode]) -> list[Episode]:
    """The first episode without a request and the first with one, where there are any."""
    direct = [episode for episode in episodes if not episode.requested]
    requested = [episode for episode in episodes if episode.requested]
    return [*direct[:1], *requested[:1]]


def _summary(episodes: Sequence[Episode]) -> str:
    right = sum(episode.answer == episode.example.answer for episode in episodes)
    requested = sum(episode.requested for episode in episodes)
    processed = sum(episode.ledger.processed for episode in episodes)
    vanilla = sum(episode.ledger.vanilla for episode in episodes)
    return (
        f"{len(episodes)} samples: {right} right, {requested} requested the original; "
        f"{processed} visual tokens processed, {processed / vanilla:.0%} of the {vanilla} that the "
        "originals alone would cost."
    )
