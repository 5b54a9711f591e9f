"""`ask` with scripted replies: what goes where, and the JSON contract."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from cli.outcome import Run
from visionthink.core.protocol import direct_reply, request_reply

REQUEST = request_reply("Too small to see.")
ANSWER = direct_reply("Clear now.", "4.73")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("RGB", (224, 224), "white").save(tmp_path / "image.png")
    return tmp_path / "image.png"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "replies.txt").write_text(f"{REQUEST}\n{ANSWER}\n")
    return tmp_path / "replies.txt"


def test_the_answer_goes_to_stdout_and_the_trace_to_stderr(
    image: Path, script: Path, run: Run
) -> None:
    given = run("ask", image, "How much?", "--engine", "scripted", "--model", script)
    assert (given.code, given.out) == (0, "4.73\n")
    assert "Too small to see." in given.err
    assert "125 %" in given.err


def test_an_image_beyond_the_pixel_limit_is_reported_as_shrunk(tmp_path: Path, run: Run) -> None:
    """600x400 px are 240,000; the embedded model takes 50,176 (64 cells of 28). Each side is
    divided by sqrt(240,000 / 50,176) = 2.187: 600 / 2.187 / 28 = 9.8 and 400 / 2.187 / 28 = 6.5.
    """
    Image.new("RGB", (600, 400), "white").save(tmp_path / "large.png")
    Image.new("RGB", (224, 112), "white").save(tmp_path / "small.png")
    told = [
        run("ask", tmp_path / name, "How much is the rye?", "--device", "cpu").err
        for name in ("large.png", "small.png")
    ]
    line = "shrunk       600 x 400 px to 252 x 168: the model sees no more of an original"
    assert [line in err.splitlines() for err in told] == [True, False]
    assert "shrunk" not in told[1]


def test_a_mark_of_an_image_in_the_question_is_noticed(image: Path, script: Path, run: Run) -> None:
    given = run("ask", image, "<image> How much?", "--engine", "scripted", "--model", script)
    assert (given.code, given.out) == (0, "4.73\n")
    assert "question     '<image>' in it is read as text, since images come before the" in given.err


def test_json_is_one_object_and_nothing_else(image: Path, script: Path, run: Run) -> None:
    """224x224 px are 8x8 = 64 visual tokens, their half 16: 80 processed, 80/64 = 1.25."""
    given = run("ask", image, "How much?", "--engine", "scripted", "--model", script, "--json")
    assert (given.code, given.err) == (0, "")
    episode = json.loads(given.out)
    ledger = episode.pop("ledger")
    costs = [turn.pop("cost") for turn in episode["turns"]]
    assert [cost["visual_tokens"] for cost in costs] == [16, 64]
    assert sum(cost["prompt_tokens"] for cost in costs) == ledger["prompt_tokens"]
    assert episode == {
        "version": 2,
        "answer": "4.73",
        "requested": True,
        "stop_reason": "answered",
        "format_valid": True,
        "look": "auto",
        "profile": "agent",
        "model": "scripted",
        "looks": [
            {
                "turn": turn,
                "image": 0,
                "action": action,
                "box": None,
                "size": [side, side],
                "visual_tokens": tokens,
            }
            for turn, action, side, tokens in ((0, None, 112, 16), (1, "original", 224, 64))
        ],
        "turns": [
            {
                "role": "assistant",
                "text": REQUEST,
                "outcome": "request",
                "note": "",
                "saw": [[112, 112]],
            },
            {
                "role": "assistant",
                "text": ANSWER,
                "outcome": "answer",
                "note": "",
                "saw": [[224, 224]],
            },
        ],
    }
    assert ledger["visual_tokens"] == {
        "first": 16,
        "requested": 64,
        "processed": 80,
        "vanilla": 64,
        "ratio": 1.25,
    }
    assert set(ledger) == {
        "visual_tokens",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "prefill_flops",
        "vanilla_prefill_flops",
        "paper_prefill_flops",
        "vanilla_paper_prefill_flops",
        "seconds",
    }


def test_several_images_and_standard_input(
    image: Path, script: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Piped:
        buffer = io.BytesIO(image.read_bytes())

    monkeypatch.setattr(sys, "stdin", Piped)
    options = ("--engine", "scripted", "--model", script, "--json")
    episode = json.loads(run("ask", image, "-", "How much?", *options).out)
    assert episode["ledger"]["visual_tokens"]["vanilla"] == 128


def test_page_is_written_beside_the_answer(
    image: Path, script: Path, tmp_path: Path, run: Run
) -> None:
    options = ("--engine", "scripted", "--model", script, "--page", tmp_path / "page.html")
    assert run("ask", image, "How <b>much</b>?", *options).code == 0
    page = (tmp_path / "page.html").read_text()
    assert "How &lt;b&gt;much&lt;/b&gt;?" in page


def test_a_page_that_cannot_be_written_does_not_cost_the_answer(
    image: Path, script: Path, run: Run
) -> None:
    options = ("--engine", "scripted", "--model", script, "--page", image / "page.html")
    given = run("ask", image, "How much?", *options, "--json")
    assert (given.code, given.err.count("\n")) == (1, 1)
    assert json.loads(given.out)["answer"] == "4.73"
    assert "page.html" in given.err


def test_a_request_in_the_last_turn_ends_out_of_turns(image: Path, script: Path, run: Run) -> None:
    options = ("--engine", "scripted", "--model", script, "--max-turns", "1", "--json")
    episode = json.loads(run("ask", image, "How much?", *options).out)
    assert (episode["stop_reason"], episode["requested"]) == ("out_of_turns", False)
