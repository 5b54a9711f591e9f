"""Episodes made by hand: sample images, and replies that a scripted engine gives about them."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFont

from visionthink.core.episode import run_episode
from visionthink.core.families import QwenGrid, QwenVision
from visionthink.core.images import Picture
from visionthink.core.ledger import ModelShape
from visionthink.core.protocol import (
    direct_reply,
    render_thought,
    render_tool_call,
    request_reply,
)
from visionthink.core.types import Episode, Example, Look, LookMode
from visionthink.engines.scripted import ScriptedEngine

SHAPE = ModelShape(
    layers=1,
    hidden=2,
    heads=1,
    kv_heads=1,
    head_dim=2,
    mlp=4,
    vocabulary=10,
    vision=QwenVision(depth=1, hidden=2, mlp=4, mlp_matrices=2, patch_values=12, merge=2, out=2),
)
LONG = "the quick brown fox jumps over " * 65  # 2,015 characters
ZOOM = render_thought("zoom") + render_tool_call("zoom", "{}")


def scene() -> Image.Image:
    """A house on grass: 448 x 336 px, 192 visual tokens; 48 of its half view."""
    image = Image.new("RGB", (448, 336), (186, 220, 240))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 230, 448, 336), fill=(140, 180, 110))
    draw.rectangle((60, 150, 180, 250), fill=(196, 90, 70))
    return image


def receipt() -> Image.Image:
    """A receipt with fine print, of the same size."""
    image = Image.new("RGB", (448, 336), (250, 249, 244))
    draw = ImageDraw.Draw(image)
    for at, (good, price) in enumerate((("Espresso", "2.60"), ("Green tea", "4.20"))):
        draw.text((92, 74 + 26 * at), good, (60, 60, 60), ImageFont.load_default(11))
        draw.text((320, 74 + 26 * at), price, (60, 60, 60), ImageFont.load_default(11))
    return image


def play(
    images: Sequence[Image.Image],
    question: str,
    replies: Sequence[str],
    *,
    look: LookMode = "auto",
    max_turns: int = 2,
    shape: ModelShape | None = None,
    cached: int = 0,
    max_pixels: int | None = None,
) -> Episode:
    """The episode of these replies; every turn took 0.25 s, the last had `cached` tokens cached.
    `max_pixels` is the model's limit.
    """
    example = Example(tuple(Picture(image) for image in images), question)
    grid = QwenGrid() if max_pixels is None else QwenGrid(max_pixels=max_pixels)
    engine = ScriptedEngine(replies, model="scripted", shape=shape, grid=grid)
    episode = asyncio.run(
        run_episode(example, engine, look=look, profile="mini", max_turns=max_turns)
    )
    turns = [replace(turn, seconds=0.25) for turn in episode.ledger.turns]
    turns[-1] = replace(turns[-1], cached_tokens=cached)
    return replace(episode, ledger=replace(episode.ledger, turns=tuple(turns)))


def answered() -> Episode:
    return play([scene()], "What colour is the house?", [direct_reply("Its wall is red.", "red")])


def requested() -> Episode:
    replies = [request_reply("The prices are too small."), direct_reply("Tea is 4.20.", "4.20")]
    return play([receipt()], "How much is the tea?", replies, shape=SHAPE, cached=50)


def zoomed() -> Episode:
    """`requested` with a third look, a part of the image that another action showed: 168 x 168 px,
    36 visual tokens before the last reply.
    """
    replies = [request_reply("Small."), request_reply("Still small."), direct_reply("", "4.20")]
    episode = play([receipt()], "How much is the tea?", replies, max_turns=3)
    part = Picture(episode.example.images[0].image.crop((224, 0, 392, 168)))
    look = Look(2, 0, "region", (500, 0, 875, 500), (168, 168), 36, part)
    turns = list(episode.ledger.turns)
    turns[2] = replace(turns[2], visual_tokens=36)
    return replace(
        episode,
        looks=(*episode.looks, look),
        ledger=replace(episode.ledger, turns=tuple(turns)),
    )


HOSTILE = "<script>alert(1)</script> \"><img src=x onerror=alert(2)> ' & https://evil.example/x.png"
STRANGE = "\x1b[31mred\x00\x07\x9b \u202eevil\u2028 \ud800 \uffff 👩‍👩‍👧 漢字 שלום مرحبا é\u0301"

EXTREME: dict[str, Episode] = {
    "answered": answered(),
    "requested": requested(),
    "very wide": play([Image.new("RGB", (2800, 28), "teal")], "Wide?", [direct_reply(LONG, "")]),
    "very tall": play(
        [Image.new("RGB", (28, 2800), "teal")],
        "Tall? " * 200,
        [request_reply(LONG), direct_reply(LONG, "x" * 3000)],
    ),
    "three images": play(
        [scene(), receipt(), Image.new("RGB", (200, 900), "salmon")],
        HOSTILE,
        [request_reply(HOSTILE), direct_reply(HOSTILE, HOSTILE)],
    ),
    "six images": play([scene()] * 6, "Six?", [direct_reply("", "yes")]),
    "strange text": play(
        [scene()], STRANGE.replace("\ud800", ""), [direct_reply(STRANGE, STRANGE)]
    ),
    "nothing said": play([scene()], "Nothing?", [""]),
    "no turn left": play([scene()], "Last?", [request_reply("closer")], max_turns=1),
    "errors, late": play(
        [scene()],
        "Patient?",
        [ZOOM, ZOOM, ZOOM, ZOOM, request_reply("so"), request_reply("again"), ""],
        max_turns=9,
    ),
    "low": play([scene()], "Low?", [direct_reply("", "house")], look="low"),
    "high": play([scene()], "High?", [direct_reply("", "house")], look="high"),
    "zoomed": zoomed(),
    "tiny": play([Image.new("RGB", (1, 1), "red")], "Tiny?", [direct_reply("", "red")]),
    "huge": play([Image.new("RGB", (5000, 4000), "red")], "Huge?", [direct_reply("", "red")]),
}
