"""Lessons: which packs each stage of the recipe trains on, drawn anew at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from visionthink.mini.chart import make_chart
from visionthink.mini.ink import half_view
from visionthink.mini.packing import Pack, Packer, Row
from visionthink.mini.paper import make_receipt
from visionthink.mini.practice import CARD_SIZES, CODE_SIZES, make_card
from visionthink.mini.scene import make_scene
from visionthink.mini.sheet import SIZES, Size
from visionthink.mini.world import FAMILIES, Maker, generator

Teaches = Literal["high", "low", "direct", "request"]
"""The original alone; the half view alone; under look auto an answer at once, or a request."""

SIZE_SHARES = (0.27, 0.20, 0.20, 0.13, 0.11, 0.09)

Shares = dict[str, float]


@dataclass(frozen=True)
class Lesson:
    """One pack a step: `rows` images with `asks` questions each, makers drawn by `shares`."""

    teaches: Teaches
    rows: int
    asks: int
    shares: Shares
    sizes: tuple[Size, ...] = SIZES


MANY_ALL: Shares = {"scene": 0.36, "receipt": 0.32, "chart_label": 0.32}
MANY_WEAK: Shares = {"scene": 1.0}
MANY_STRONG: Shares = {"receipt": 0.5, "chart_label": 0.5}
ONE_ALL: Shares = {
    "large_print": 0.16,
    "digit": 0.15,
    "tag": 0.24,
    "hatch": 0.16,
    "watermark": 0.2,
    "weave": 0.09,
}
ONE_WEAK: Shares = {"large_print": 0.5, "digit": 0.5}
ONE_STRONG: Shares = {"tag": 0.25, "hatch": 0.25, "watermark": 0.3, "weave": 0.2}

READ_LESSONS = (
    Lesson("high", 32, 1, {"code_card": 1.0}, CODE_SIZES),
    Lesson("high", 32, 2, {"card": 1.0}, CARD_SIZES),
    Lesson("low", 24, 3, {"easy_scene": 1.0}),
    Lesson("high", 24, 1, {"easy_receipt": 0.35, "easy_chart": 0.35, "tag": 0.15, "hatch": 0.15}),
)

SEE_LESSONS = (
    Lesson("high", 16, 3, MANY_ALL),
    Lesson("high", 28, 1, ONE_ALL),
    Lesson("low", 20, 3, MANY_WEAK),
    Lesson("low", 24, 1, ONE_WEAK),
)

BASE_LESSONS = (
    Lesson("request", 12, 2, MANY_ALL),
    Lesson("request", 20, 1, ONE_ALL),
    Lesson("direct", 12, 2, MANY_ALL),
    Lesson("direct", 20, 1, ONE_ALL),
    Lesson("direct", 12, 3, MANY_WEAK),
    Lesson("direct", 10, 1, ONE_WEAK),
    Lesson("high", 8, 3, MANY_ALL),
    Lesson("high", 14, 1, ONE_ALL),
    Lesson("low", 10, 2, MANY_ALL),
    Lesson("low", 10, 1, ONE_ALL),
)

SFT_LESSONS = (
    Lesson("request", 10, 2, MANY_STRONG),
    Lesson("request", 20, 1, ONE_STRONG),
    Lesson("direct", 12, 2, MANY_WEAK),
    Lesson("direct", 16, 1, ONE_WEAK),
    Lesson("high", 8, 3, MANY_ALL),
    Lesson("high", 14, 1, ONE_ALL),
    Lesson("low", 10, 2, MANY_ALL),
    Lesson("low", 10, 1, ONE_ALL),
)

MAKERS: dict[str, Maker] = {
    "card": make_card,
    "code_card": partial(make_card, coded=1.0),
    "easy_scene": partial(make_scene, most=2),
    "easy_receipt": partial(make_receipt, most=2),
    "easy_chart": partial(make_chart, most=2),
    "scene": make_scene,
    **{name: make for name, (_, make) in FAMILIES.items()},
}

PROFILE_AND_FORM: dict[Teaches, tuple[str, str]] = {
    "high": ("mini-direct", "direct"),
    "low": ("mini-direct", "direct"),
    "direct": ("mini", "direct"),
    "request": ("mini", "request"),
}


def draw_rows(lesson: Lesson, size: Size, rng: np.random.Generator) -> list[Row]:
    """The images of one pack, all of one size, with their questions."""
    names = list(lesson.shares)
    shares = np.array([lesson.shares[name] for name in names])
    rows = []
    for name in rng.choice(names, size=lesson.rows, p=shares / shares.sum()):
        sheet = MAKERS[name](rng, size, "train")
        asks = [family[int(rng.integers(len(family)))] for family in sheet.asks.values() if family]
        if len(asks) < lesson.asks:  # one family: ask about several of its things
            asks = [ask for family in sheet.asks.values() for ask in family]
        order = np.resize(rng.permutation(len(asks)), lesson.asks)
        chosen = [asks[i] for i in order]
        half = sheet.pixels if lesson.teaches == "high" else half_view(sheet.pixels)
        later = sheet.pixels if lesson.teaches == "request" else None
        rows.append(Row(half, chosen, later))
    return rows


def packs_of(lessons: Sequence[Lesson], packer: Packer, stage: str, step: int) -> list[Pack]:
    """All packs of one step; the same for the same stage and step."""
    rng = generator("train", stage, step)
    packs = []
    for lesson in lessons:
        shares = np.array(SIZE_SHARES[: len(lesson.sizes)])
        size = lesson.sizes[int(rng.choice(len(shares), p=shares / shares.sum()))]
        profile, form = PROFILE_AND_FORM[lesson.teaches]
        packs.append(packer.pack(draw_rows(lesson, size, rng), form, profile))
    return packs
