from pathlib import Path

import pytest
from acting import EXTREME, answered, play, requested, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from visionthink.core.errors import UsageError
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.reports import picture
from visionthink.reports.canvas import SCALE, enlarged
from visionthink.reports.picture import episode_picture, save_picture

SHOWN = (2 * picture.SIDE, 2 * picture.SIDE * 336 // 448)
"""Pixels at which an image of 448 x 336 is drawn."""


def frame_corner(card: Image.Image, x: float, colour: str) -> tuple[int, int]:
    """The first pixel inside the frame whose left edge is around x points."""
    column = round(x * SCALE) - 2
    rgb = (*ImageColor.getrgb(colour), 255)
    rows = [y for y in range(card.height) if card.getpixel((column, y)) == rgb]
    left = next(x for x in range(column, card.width) if card.getpixel((x, rows[50])) != rgb)
    top = next(y for y in range(rows[0], card.height) if card.getpixel((left + 50, y)) != rgb)
    return left, top


def test_the_small_look_is_drawn_from_the_half_view_as_large_as_the_original():
    episode = requested()
    card = episode_picture(episode)
    small, original = episode.messages[1].images[0].image, episode.example.images[0].image
    for image, x, colour in (
        (small, picture.X_LEFT, picture.BLUE),
        (original, picture.X_RIGHT, picture.ORANGE),
    ):
        left, top = frame_corner(card, x, colour)
        drawn = card.crop((left, top, left + SHOWN[0], top + SHOWN[1])).convert("RGB")
        assert drawn.tobytes() == enlarged(image, SHOWN).tobytes()
    assert small.size == (224, 168)


def test_a_card_is_1800_pixels_wide_with_clear_corners():
    card = episode_picture(answered())
    assert card.mode == "RGBA"
    assert card.width == 1800
    assert card.getpixel((0, 0)) == (0, 0, 0, 0)
    assert card.getpixel((900, 40)) == (255, 255, 255, 255)


def test_the_meter_is_to_scale():
    # vanilla is 80 % of the column, so the first look's quarter is 20 %; all after a request
    card = episode_picture(requested())
    middle = [card.getpixel((x, card.height - 164)) for x in range(card.width)]
    blue, orange = (middle.count((*ImageColor.getrgb(c), 255)) for c in ("#0072B2", "#E69F00"))
    assert abs(blue - 0.2 * SHOWN[0]) <= 2
    assert abs(orange - 0.8 * SHOWN[0]) <= 4


@pytest.mark.parametrize("name", EXTREME)
def test_every_episode_can_be_drawn(name: str):
    card = episode_picture(EXTREME[name])
    assert card.width == 1800
    assert 600 < card.height < 1600


@settings(max_examples=30, deadline=None)
@given(thought=st.text(st.characters()), answer=st.text(st.characters()), ask=st.booleans())
def test_any_text_can_be_drawn(thought: str, answer: str, ask: bool):
    replies = [request_reply(thought)] * ask + [direct_reply(thought, answer)]
    assert episode_picture(play([scene()], "Q?", replies)).width == 1800


def test_saved_cards_are_stacked(tmp_path: Path):
    episodes = [answered(), requested()]
    path = tmp_path / "new" / "two.png"
    save_picture(episodes, path)
    heights = [episode_picture(episode).height for episode in episodes]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (1800, sum(heights) + 28)


def test_no_episodes_are_no_picture(tmp_path: Path):
    with pytest.raises(UsageError, match="at least one episode"):
        save_picture([], tmp_path / "none.png")
