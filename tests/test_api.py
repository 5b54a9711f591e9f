"""The front door: `ask` and the choice of an engine by name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

import visionthink
from checkpoints import save_qwen2_5_vl
from visionthink.api import ask, open_engine
from visionthink.core.errors import UsageError
from visionthink.core.images import Picture
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.engines.scripted import ScriptedEngine

DIRECT = direct_reply("Clear enough.", "red")
REQUEST = request_reply("Too small to see.")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.new("RGB", (224, 112), "red").save(path)
    return path


def test_ask_takes_a_path_bytes_an_image_or_several(image: Path) -> None:
    """224x112 px are 8x4 = 32 visual tokens, their half 4x2 = 8."""
    picture = visionthink.open_picture(image)
    for source in (image, str(image), image.read_bytes(), picture.image, picture):
        episode = ask(source, "What?", engine=ScriptedEngine([DIRECT]))
        assert (episode.answer, episode.requested) == ("red", False)
        assert (episode.ledger.processed, episode.ledger.vanilla) == (8, 32)
    two = ask([image, picture], "What?", engine=ScriptedEngine([REQUEST, DIRECT]))
    assert (two.requested, two.ledger.processed, two.ledger.vanilla) == (True, 16 + 64, 64)


def test_ask_works_where_an_event_loop_runs_already(image: Path) -> None:
    async def notebook_cell() -> str:
        return ask(image, "What?", engine=ScriptedEngine([DIRECT])).answer

    assert asyncio.run(notebook_cell()) == "red"


def test_embedded_models_go_by_their_names_and_not_by_where_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_qwen2_5_vl(tmp_path / "mini")
    monkeypatch.setattr("visionthink.api.CHECKPOINTS", tmp_path)
    assert open_engine(device="cpu").model == "mini"
    assert open_engine(tmp_path / "mini", device="cpu").model == str(tmp_path / "mini")


def test_a_bad_question_is_refused_before_a_model_is_loaded(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visionthink.api.open_engine", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(UsageError, match="empty"):
        ask(image, " ")


def test_the_package_hands_out_its_names() -> None:
    assert visionthink.ask is ask
    assert visionthink.Picture is Picture
    assert "ask" in dir(visionthink)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        visionthink.nothing  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]


def test_scripted_engine_reads_one_reply_a_line(tmp_path: Path, image: Path) -> None:
    (tmp_path / "replies.txt").write_text(f"{REQUEST}\n{DIRECT}\n")
    engine = open_engine(tmp_path / "replies.txt", engine="scripted")
    assert ask(image, "What?", engine=engine).requested


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"engine": "steam"}, "engine must be one of hf, openai, scripted; got 'steam'"),
        ({"engine": "openai"}, "needs a base URL"),
        ({"engine": "scripted"}, "needs a file"),
        ({"engine": "scripted", "model": "/none/such"}, "cannot read replies"),
        (
            {"engine": "hf", "base_url": "http://127.0.0.1:1/v1"},
            "base_url goes with engine 'openai'",
        ),
    ],
)
def test_wrong_choices_are_bad_usage(options: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        open_engine(**options)
