import base64
import hashlib
import io
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from acting import EXTREME, HOSTILE, answered, play, requested, scene, zoomed
from PIL import Image
from walking import Walk

from visionthink.core.images import Picture
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Episode
from visionthink.reports.page import episode_page, save_page


def image_of(attributes: dict[str, str]) -> Image.Image:
    kind, data = attributes["src"].split(",", 1)
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.load()
    return image


@pytest.mark.parametrize("name", EXTREME)
def test_pages_are_well_formed_and_need_nothing_else(name: str):
    walk = Walk(episode_page([EXTREME[name]], name))
    allowed = {"class", "id", "dir", "lang", "src", "alt", "width", "height", "charset", "name"}
    allowed |= {"content", "http-equiv", "viewbox", "preserveaspectratio", "x", "scope"}
    allowed |= {"aria-hidden", "aria-labelledby"}
    for tag, attributes in walk.tags:
        assert set(attributes) <= allowed
        assert "src" not in attributes or tag == "img"
    assert all(image_of(image).width > 0 for image in walk.named("img"))
    ids = Counter(attributes["id"] for _, attributes in walk.tags if "id" in attributes)
    assert set(ids.values()) == {1}


def test_hostile_text_stays_text():
    page = episode_page([EXTREME["three images"]], HOSTILE)
    walk = Walk(page)
    assert "<script" not in page
    assert "<img src=x" not in page
    # title, heading, question, and in the conversation; thought and answer twice each
    assert "".join(walk.text).count(HOSTILE) >= 7
    assert all("onerror" not in attributes for _, attributes in walk.tags)
    markup = re.sub(r">[^<]*<", "><", page)
    assert "http:" not in markup
    assert "https:" not in markup
    assert "url(" not in page
    assert "@import" not in page


def test_the_policy_allows_our_style_and_inlined_images_only():
    page = episode_page([answered()])
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in Walk(page).named("meta") if "http-equiv" in meta]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "style=" not in page


def test_images_are_the_looks_themselves_drawn_equally_large():
    episode = requested()
    first, original, *_ = Walk(episode_page([episode])).named("img")
    small = episode.messages[1].images[0].image
    assert image_of(first).convert("RGB").tobytes() == small.tobytes()
    assert image_of(original).size == (448, 336)
    assert (first["width"], first["height"]) == (original["width"], original["height"])
    assert first["alt"] == "First look: 224\xa0x\xa0168\xa0px"


def test_every_look_is_shown_with_its_size_tokens_and_part():
    walk = Walk(episode_page([zoomed()]))
    text = walk.rows().replace("\xa0", " ")
    assert "First look 224 x 168 px, 48 visual tokens" in text
    assert "Original 448 x 336 px, 192 visual tokens" in text
    assert "Region, x 50-87.5 %, y 0-50 % 168 x 168 px, 36 visual tokens" in text
    assert "→ requests: original" in text
    assert "→ requests: region" in text
    assert "276 processed = 48 + 192 + 36" in text
    assert [image_of(image).size for image in walk.named("img")[:3]] == [
        (224, 168),
        (448, 336),
        (168, 168),
    ]
    assert [part["class"] for part in walk.named("rect")] == [
        *("first-part", "closer-part", "closer-part", "vanilla-part")
    ]


def test_an_original_beyond_the_models_pixel_limit_is_shown_as_the_model_saw_it():
    """168 x 112 px are the most, 24 visual tokens: nowhere is the original legible, or told with
    the size of its file.
    """
    replies = [request_reply("a"), direct_reply("b", "c")]
    episode = play([Image.new("RGB", (1500, 1000))], "Q?", replies, max_pixels=20_000)
    walk = Walk(episode_page([episode]))
    assert "Original 168 x 112 px, 24 visual tokens" in walk.rows().replace("\xa0", " ")
    assert "1,500" not in walk.rows()
    first, original, *_ = walk.named("img")
    assert [image_of(image).size for image in (first, original)] == [(84, 56), (168, 112)]
    assert original["class"] == "enlarged"


def test_large_images_are_shrunk_alike():
    replies = [request_reply(""), direct_reply("", "yes")]
    episode = play([Image.new("RGB", (4000, 2000), "red")], "Big?", replies)
    first, original, *_ = Walk(episode_page([episode])).named("img")
    # 4,000 px are shown with 1,600, so the half view of 2,000 has 800
    assert [image_of(image).size for image in (first, original)] == [(800, 400), (1600, 800)]


def test_metadata_of_the_file_stay_behind():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "secret camera"
    scene().save(buffer, "JPEG", exif=exif)
    episode = play([scene()], "Q?", [direct_reply("", "a")], look="high")
    picture = Picture(scene(), buffer.getvalue())
    message = episode.messages[1]
    parts = tuple(picture if isinstance(part, Picture) else part for part in message.parts)
    messages = (episode.messages[0], replace(message, parts=parts), episode.messages[2])
    looks = tuple(replace(look, picture=picture) for look in episode.looks)
    page = episode_page([replace(episode, messages=messages, looks=looks)])
    for image in Walk(page).named("img"):
        assert b"secret camera" not in base64.b64decode(image["src"].split(",", 1)[1])


def cells(page: str) -> dict[str, list[str]]:
    """The cost table: what is counted → this episode, vanilla, ratio."""
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page)
    return {unescape(what): re.findall(r"<td>(.*?)</td>", row) for what, row in found}


def test_the_cost_table_says_what_each_figure_counts():
    table = cells(episode_page([requested()]))
    assert {what: [f.replace("\xa0", " ") for f in row] for what, row in table.items()} == {
        "visual tokens before reply 1: first look": ["48", "", ""],
        "visual tokens before reply 2: original": ["192", "", ""],
        "visual tokens processed, all looks": ["240", "192", "125 %"],
        "prompt tokens of all turns, text and visual": ["370", "", ""],  # 64 + 306
        "of these cached: not computed again": ["50", "", ""],
        "generated tokens of all turns": ["66", "", ""],  # 43 + 23
        "prefill FLOPs, exact: text model and vision tower, two per multiply-add": [
            "6.30 MFLOPs",
            "5.20 MFLOPs",
            "121 %",
        ],
        # n = 64 and 306 against 208, each 4·n·4 + 2·n²·2 + 2·n·2·4
        "prefill, by the paper's formula: multiply-adds of a plain text model": [
            "403 kFLOPs",
            "180 kFLOPs",
            "224 %",
        ],
        "wall clock, with waiting": ["0.50 s", "", ""],
    }


def test_unknown_flops_are_said_to_be_unknown():
    table = cells(episode_page([answered()]))
    unknown = [what for what, row in table.items() if row[0] == "model sizes not known"]
    assert len(unknown) == 2


def test_the_conversation_is_complete():
    episode = requested()
    walk = Walk(episode_page([episode]))
    said = walk.rows()
    for part in [part for message in episode.messages for part in message.parts]:
        if isinstance(part, str):
            assert re.sub(r"\s+", " ", part).strip() in said
    roles = [item["class"] for item in walk.named("li")]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


def test_long_thoughts_are_cut_beside_the_images_only():
    page = episode_page([play([scene()], "Q?", [direct_reply("word " * 400, "a")])])
    assert page.count("word ") + page.count("word…") == 140 + 400
    assert "… (1,299 more characters in the conversation)" in page


def test_the_summary_adds_up():
    episodes: list[Episode] = [answered(), requested()]
    said = (
        "2 episodes, 1 with a closer look; 288 visual tokens processed, "
        "75\xa0% of vanilla (384, the originals alone)"
    )
    assert said in episode_page(episodes)
    assert "0 episodes" in episode_page([])


def test_saved_pages_are_utf8(tmp_path: Path):
    path = tmp_path / "new" / "page.html"
    save_page([EXTREME["strange text"]], path, title="Größe \ud800")
    page = path.read_bytes().decode("utf-8")
    assert page == episode_page([EXTREME["strange text"]], "Größe \ud800")
    assert "<title>Größe \ufffd</title>" in page
