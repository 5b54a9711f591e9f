"""The world draws the same things each time, keeps its splits apart and tells the truth."""

import hashlib

import numpy as np
import pytest

from visionthink.mini import handwriting
from visionthink.mini.chart import HATCHINGS
from visionthink.mini.figures import COLOURS, SHAPES
from visionthink.mini.ink import carrier, half_view
from visionthink.mini.scene import PLACES
from visionthink.mini.sheet import SIZES
from visionthink.mini.world import FAMILIES, draw, generator

KINDS = {name: kind for name, (kind, _) in FAMILIES.items()}


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_same_drawing(family):
    first, second = draw(family, 5, "test"), draw(family, 5, "test")
    assert digest(first.pixels) == digest(second.pixels)
    assert (first.question, first.answer) == (second.question, second.answer)


@pytest.mark.parametrize("family", FAMILIES)
def test_train_and_test_share_no_drawing(family):
    train = {digest(draw(family, seed, "train").pixels) for seed in range(40)}
    test = {digest(draw(family, seed, "test").pixels) for seed in range(40)}
    assert not train & test


@pytest.mark.parametrize("family", FAMILIES)
def test_all_sizes_occur_and_are_whole_tokens(family):
    sizes = {draw(family, seed, "test").pixels.shape[1::-1] for seed in range(80)}
    assert sizes == set(SIZES)
    assert all(width % 56 == 0 and height % 56 == 0 for width, height in sizes)


def test_kinds():
    assert list(KINDS.values()).count("weak") == 7
    assert list(KINDS.values()).count("strong") == 5
    assert list(KINDS.values()).count("lucky") == 1


def test_count_goes_from_one_to_five():
    answers = {draw("count", seed, "test").answer for seed in range(100)}
    assert answers == {"1", "2", "3", "4", "5"}


def test_presence_is_balanced():
    answers = [draw("presence", seed, "test").answer for seed in range(400)]
    assert set(answers) == {"yes", "no"}
    assert 0.43 < answers.count("yes") / 400 < 0.57


def test_scene_answers_are_of_the_world():
    for seed in range(30):
        assert draw("colour", seed, "test").answer in COLOURS
        assert draw("shape", seed, "test").answer in SHAPES
        assert draw("position", seed, "test").answer in PLACES


def test_colour_answer_is_painted():
    for seed in range(30):
        drawing = draw("colour", seed, "test")
        wanted = np.array(COLOURS[drawing.answer]) * 255
        assert (np.abs(drawing.pixels - wanted).max(axis=2) < 2).sum() > 40


def test_weave_answer_can_be_measured():
    for seed in range(20):
        drawing = draw("weave", seed, "test")
        grey = drawing.pixels.astype(float).mean(axis=2)
        height, width = grey.shape
        across = abs((grey * carrier("horizontal", height, width)).mean())
        down = abs((grey * carrier("vertical", height, width)).mean())
        assert drawing.answer == ("across" if across > down else "down")


def test_hatch_answer_can_be_measured():
    for seed in range(20):
        drawing = draw("hatch", seed, "test")
        grey = drawing.pixels.astype(float).mean(axis=2)
        height, width = grey.shape
        # Just above the axis all bars stand; average each line pattern over a bar's middle.
        bars = len(drawing.answer.split())
        step = (width - 8) // bars
        found = []
        for bar in range(bars):
            left = 8 + bar * step + (step - 36) // 2
            area = np.s_[height - 40 : height - 20, left + 8 : left + 28]
            sums = [abs((grey * carrier(name, height, width))[area].mean()) for name in HATCHINGS]
            found.append(HATCHINGS[int(np.argmax(sums))])
        assert " ".join(found) == drawing.answer


@pytest.mark.parametrize(
    ("module", "family"),
    [
        ("paper", "receipt"),
        ("paper", "tag"),
        ("chart", "chart_label"),
        ("chart", "hatch"),
        ("handwriting", "watermark"),
        ("cloth", "weave"),
    ],
)
def test_half_size_shows_bare_ground(module, family, monkeypatch):
    """With the fine detail left out, the half view is the same but for rounding."""
    home = __import__(f"visionthink.mini.{module}", fromlist=["balanced"])
    for seed in range(8):
        monkeypatch.undo()
        printed = draw(family, seed, "test").pixels
        monkeypatch.setattr(home, "balanced", np.zeros_like)
        if family == "chart_label":
            monkeypatch.setattr("visionthink.mini.paper.balanced", np.zeros_like)
        blank = draw(family, seed, "test").pixels
        assert np.abs(printed.astype(int) - blank).max() > 60
        assert np.abs(half_view(printed).astype(int) - half_view(blank)).max() <= 4


def test_handwriting_splits_are_apart_and_large():
    train, _ = handwriting.digits("train")
    test, _ = handwriting.digits("test")
    assert len(train) + len(test) == 1797
    assert 380 < len(test) < 520
    shared = {digest(image) for image in train} & {digest(image) for image in test}
    assert not shared


def test_generator_depends_on_every_name():
    draws = {
        int(generator(split, family, seed).integers(2**60))
        for split in ("train", "test")
        for family in ("tag", "weave")
        for seed in (0, 1)
    }
    assert len(draws) == 8
