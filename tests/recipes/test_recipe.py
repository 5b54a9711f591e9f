"""The recipe: stages train, save, and resume after an interruption."""

import json

import torch

from recipes.mini.lessons import (
    BASE_LESSONS,
    READ_LESSONS,
    SETTLE_LESSONS,
    SFT_LESSONS,
    Lesson,
    packs_of,
)
from recipes.mini.packing import IGNORED, Packer
from recipes.mini.practice import HEADS, make_practice
from recipes.mini.recipe import STAGES, Stage, learning_rate, run_recipe
from recipes.mini.replies import request_original
from recipes.mini.tokenizer import build_tokenizer
from visionthink.mini.world import FAMILIES, generator

TINY = (
    Stage("look", 1, 1e-3, 1e-3),
    Stage("read", 1, 1e-3, 1e-3, (Lesson("high", 2, 2, {"scene": 1.0}),), vision=0.0),
    Stage("sft", 2, 1e-3, 1e-3, (Lesson("request", 2, 1, {"tag": 1.0}),), checkpoint="mini-sft"),
)


def test_tiny_run_trains_saves_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr("recipes.mini.recipe.SAVE_EVERY", 1)
    lines: list[str] = []
    run_recipe(tmp_path, lines.append, TINY)
    assert [line.split(" loss")[0] for line in lines[:4]] == [
        "look 1/1",
        "read 1/1",
        "sft 1/2",
        "sft 2/2",
    ]
    look, read, sft = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True)["model"]
        for name in ("look", "read", "sft")
    )
    tower = "model.visual.blocks.0.attn.qkv.weight"
    assert torch.equal(look[tower], read[tower])
    assert not torch.equal(read[tower], sft[tower])
    assert json.loads((tmp_path / "mini-sft" / "visionthink.json").read_text()) == {
        "profile": "mini"
    }

    lines.clear()
    run_recipe(tmp_path, lines.append, TINY)
    assert lines == [f"saved {tmp_path / 'mini-sft'}"]


def test_learning_rate_warms_up_and_falls():
    stage = Stage("x", 400, 1e-3, 1e-4)
    assert learning_rate(stage, 0) < 1e-4
    assert learning_rate(stage, 60) > 9e-4
    assert abs(learning_rate(stage, 400) - 1e-4) < 1e-9


def test_lessons_are_the_same_each_time():
    packer = Packer(build_tokenizer())
    first, second = (packs_of(READ_LESSONS[:2], packer, "read", 3) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.branches, other.branches)
        assert torch.equal(one.first, other.first)


def test_base_requests_as_often_as_it_answers():
    """Of the conversations in which both are possible, half take each way."""
    counts = {"request": 0, "direct": 0}
    for lesson in BASE_LESSONS + SETTLE_LESSONS:
        if lesson.teaches in counts:
            counts[lesson.teaches] += lesson.rows * lesson.asks
    assert counts["request"] == counts["direct"]


def test_sft_requests_by_kind():
    for lesson in SFT_LESSONS:
        kinds = {"weak" if name == "scene" else FAMILIES[name][0] for name in lesson.shares}
        if lesson.teaches == "request":
            assert kinds <= {"strong", "lucky"}
        if lesson.teaches == "direct":
            assert kinds == {"weak"}


def test_request_lessons_end_in_the_answer_after_the_original():
    tokenizer = build_tokenizer()
    (pack,) = packs_of([Lesson("request", 2, 1, {"tag": 1.0})], Packer(tokenizer), "x", 0)
    text = tokenizer.decode(pack.labels[0, 0][pack.labels[0, 0] != IGNORED])
    assert text.startswith(request_original())
    assert pack.original is not None
    assert pack.original.shape[1] == 4 * pack.first.shape[1]


def test_practice_sheet_names_every_square():
    sheet = make_practice(generator("practice"), (112, 168))
    assert sheet.pixels.shape == (168, 112, 3)
    assert sheet.classes.shape == (24, len(HEADS))
    assert (sheet.classes < torch.tensor(HEADS).numpy()).all()
    assert (sheet.classes >= 0).all()


def test_stages_end_in_both_checkpoints():
    assert [stage.checkpoint for stage in STAGES if stage.checkpoint] == ["mini-base", "mini-sft"]
