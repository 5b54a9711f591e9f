"""`visionthink demo`: the main job on the shipped samples."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import click

from visionthink.api import EMBEDDED, open_engine
from visionthink.core.episode import run_episode
from visionthink.core.types import Episode
from visionthink.mini import DEFAULT_CHECKPOINT
from visionthink.mini.world import load_samples
from visionthink.reports.page import save_page
from visionthink.reports.picture import save_picture
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
    help="Folder for demo.html and demo.png.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead.")
def command(model: str, out: Path, as_json: bool) -> None:
    """Run the main job on the shipped sample images and leave a page of it.

    Each sample is seen at half size first. One answer without and one with a request are shown
    here, all of them on the page.
    """
    episodes = asyncio.run(_ask_all(model))
    out.mkdir(parents=True, exist_ok=True)
    save_page(episodes, out / "demo.html", title="VisionThink on its sample images")
    shown = _one_of_each(episodes)
    save_picture(shown, out / "demo.png")
    if as_json:
        click.echo(json.dumps([episode_record(episode) for episode in episodes]))
        return
    for episode in shown:
        click.echo(f"[{episode.example.id}; the right answer is {episode.example.answer}]")
        click.echo(f"{transcript(episode)}\n")
    click.echo(_summary(episodes))
    click.echo(f"All of them: {out / 'demo.html'}   Picture: {out / 'demo.png'}")


async def _ask_all(model: str) -> list[Episode]:
    engine = open_engine(model, max_batch=1)  # one at a time, as `ask` does it
    return [await run_episode(example, engine) for example in load_samples()]


def _one_of_each(episodes: Sequence[Episode]) -> list[Episode]:
    """The first episode without and the first with a request, as far as there are any."""
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
        f"{processed} visual tokens processed, {vanilla} would have been without a first look "
        f"({processed / vanilla:.0%})."
    )
