"""The public API: `ask`, `ask_many`, `open_engine`, and the names of the package."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

import visionthink
from checkpoints import save_qwen2_5_vl
from visionthink.api import ask, ask_many, open_engine
from visionthink.core.errors import UsageError
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Completion, Message, Sampling
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
    assert open_engine(device="cpu").about.model == "mini"
    assert open_engine(tmp_path / "mini", device="cpu").about.model == str(tmp_path / "mini")


def test_a_bad_question_is_refused_before_a_model_is_loaded(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visionthink.api.open_engine", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(UsageError, match="empty"):
        ask(image, " ")


def test_type_checkers_see_the_names_that_the_package_imports_lazily() -> None:
    """Both lists in __init__ name the same things from the same modules."""
    source = Path(str(visionthink.__file__)).read_text(encoding="utf-8")
    (block,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    typed = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    lazy = {name: f"visionthink.{home}" for name, home in visionthink._HOME_OF.items()}
    assert typed == lazy


def test_ask_many_keeps_the_order_of_questions_and_bounds_concurrency(image: Path) -> None:
    """Replies come last first; no more than 3 questions are under way at any moment."""
    open_now, most = 0, 0

    class Slow(ScriptedEngine):
        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            nonlocal open_now, most
            open_now, most = open_now + 1, max(most, open_now + 1)
            number = int(messages[-1].text.split("number ")[1][0])
            await asyncio.sleep(0.01 * (6 - number))
            open_now -= 1
            return await super().generate(messages, sampling)

    engine = Slow(lambda messages: direct_reply("", messages[-1].text.split("number ")[1][0]))
    questions = ((image, f"number {n}?") for n in range(6))
    episodes = ask_many(questions, engine=engine, concurrency=3)
    assert [episode.answer for episode in episodes] == ["0", "1", "2", "3", "4", "5"]
    assert most == 3


def test_ask_many_raises_the_first_error_and_says_whose_it_is(image: Path) -> None:
    questions = [(image, "What?"), ("missing.png", "Where?"), (image, "Who?")]
    with pytest.raises(visionthink.ImageError) as raised:
        ask_many(questions, engine=ScriptedEngine(lambda _: DIRECT), concurrency=1)
    assert raised.value.__notes__ == ["question 1 (from 0): 'Where?'"]


def test_ask_many_returns_errors_in_place_where_asked_to(image: Path) -> None:
    questions = [(image, "What?"), ("missing.png", "Where?"), (image, " "), (image, "Who?")]
    done = ask_many(questions, engine=ScriptedEngine(lambda _: DIRECT), return_errors=True)
    kinds = [type(one).__name__ for one in done]
    assert kinds == ["Episode", "ImageError", "UsageError", "Episode"]


def test_ask_many_of_nothing_is_empty_and_needs_a_place() -> None:
    assert ask_many([], engine=ScriptedEngine([])) == []
    with pytest.raises(UsageError, match="concurrency must be at least 1; got 0"):
        ask_many([], engine=ScriptedEngine([]), concurrency=0)


@pytest.mark.parametrize("call", ["ask", "ask_many"])
def test_an_engine_opened_for_the_call_is_closed_and_a_given_one_is_not(
    call: str, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ScriptedEngine(lambda _: DIRECT)
    monkeypatch.setattr("visionthink.api.open_engine", lambda _: opened)

    def once(engine: ScriptedEngine | None) -> None:
        if call == "ask":
            ask(image, "What?", engine=engine)
        else:
            ask_many([(image, "What?")], engine=engine)

    once(opened)
    once(None)
    with pytest.raises(visionthink.EngineError, match="close"):
        once(opened)
    with pytest.raises(UsageError, match="an engine or a model, not both"):
        ask(image, "What?", engine=opened, model="mini")


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
