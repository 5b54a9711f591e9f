"""Lessons: the packs that each stage of the recipe trains on; every step draws new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from recipes.mini.packing import Pack, Packer, PackRow
from recipes.mini.practice import CARD_SIZES, CODE_SIZES, make_card
from visionthink.mini.ink import half_view
from visionthink.mini.scene import make_scene
from visionthink.mini.sheet import SIZES, Size
from visionthink.mini.world import FAMILIES, Maker, generator

Teaches = Literal["high", "low", "direct", "request"]
"""Look high; look low; look auto with a direct answer; look auto with a request."""

SIZE_SHARES = (0.27, 0.20, 0.20, 0.13, 0.11, 0.09)

Shares = dict[str, float]


@dataclass(frozen=True)
class Lesson:
    """One pack per step: `rows` images with `asks` questions each; `shares` weigh their makers."""

    teaches: Teaches
    rows: int
    asks: int
    shares: Shares
    sizes: tuple[Size, ...] = SIZES


SCENES: Shares = {"scene": 0.5, "position": 0.5}
SHEETS: Shares = {
    "large_print": 0.17,
    "digit": 0.17,
    "receipt": 0.10,
    "tag": 0.13,
    "chart_label": 0.09,
    "hatch": 0.07,
    "watermark": 0.22,
    "weave": 0.05,
}
WEAK: Shares = {"large_print": 0.35, "digit": 0.65}
STRONG: Shares = {
    "receipt": 0.18,
    "tag": 0.2,
    "chart_label": 0.16,
    "hatch": 0.14,
    "watermark": 0.24,
    "weave": 0.08,
}

READ_LESSONS = (
    Lesson("high", 32, 1, {"code_card": 1.0}, CODE_SIZES),
    Lesson("high", 32, 2, {"card": 1.0}, CARD_SIZES),
    Lesson("low", 24, 3, {"easy_scene": 1.0}),
    Lesson("high", 20, 1, {"receipt": 0.35, "chart_label": 0.35, "tag": 0.15, "hatch": 0.15}),
    Lesson("low", 16, 1, WEAK),
)

SEE_LESSONS = (
    Lesson("high", 14, 3, SCENES),
    Lesson("high", 36, 1, SHEETS),
    Lesson("low", 18, 3, SCENES),
    Lesson("low", 20, 1, WEAK),
)

BASE_LESSONS = (
    Lesson("request", 8, 2, SCENES),
    Lesson("request", 24, 1, SHEETS),
    Lesson("direct", 8, 2, SCENES),
    Lesson("direct", 24, 1, SHEETS),
    Lesson("high", 10, 3, SCENES),
    Lesson("high", 36, 1, SHEETS),
    Lesson("low", 12, 3, SCENES),
    Lesson("low", 20, 1, WEAK),
    Lesson("low", 8, 1, STRONG),
)

LARGE: Shares = {"large_print": 0.35, "digit": 0.35, "watermark": 0.3}
SETTLE_LESSONS = (
    Lesson("request", 6, 2, SCENES),
    Lesson("request", 18, 1, SHEETS),
    Lesson("direct", 6, 2, SCENES),
    Lesson("direct", 18, 1, SHEETS),
    Lesson("high", 12, 2, SCENES),
    Lesson("high", 30, 1, LARGE),
    Lesson("high", 30, 1, LARGE),
    Lesson("low", 10, 2, SCENES),
    Lesson("low", 24, 1, WEAK),
)
"""Like `BASE_LESSONS`, with more of what is learnt last: large figures at full size."""

SFT_LESSONS = (
    Lesson("request", 30, 1, STRONG),
    Lesson("direct", 14, 2, SCENES),
    Lesson("direct", 20, 1, WEAK),
    Lesson("high", 10, 3, SCENES),
    Lesson("high", 24, 1, SHEETS),
    Lesson("high", 20, 1, LARGE),
    Lesson("low", 10, 2, SCENES),
    Lesson("low", 10, 1, WEAK),
    Lesson("low", 8, 1, STRONG),
)

MAKERS: dict[str, Maker] = {
    "card": make_card,
    "code_card": partial(make_card, coded=1.0),
    "easy_scene": partial(make_scene, most=2),
    "scene": make_scene,
    **{name: make for name, (_, make) in FAMILIES.items()},
}

PROFILE_AND_FORM: dict[Teaches, tuple[str, str]] = {
    "high": ("mini-direct", "direct"),
    "low": ("mini-direct", "direct"),
    "direct": ("mini", "direct"),
    "request": ("mini", "request"),
}


def draw_rows(lesson: Lesson, size: Size, rng: np.random.Generator) -> list[PackRow]:
    """The images of one pack, all of one size, with their questions."""
    names = list(lesson.shares)
    shares = np.array([lesson.shares[name] for name in names])
    rows = []
    for name in rng.choice(names, size=lesson.rows, p=shares / shares.sum()):
        sheet = MAKERS[name](rng, size, "train")
        asks = [family[int(rng.integers(len(family)))] for family in sheet.asks.values() if family]
        if len(asks) < lesson.asks:  # one family: ask about several of its objects
            asks = [ask for family in sheet.asks.values() for ask in family]
        order = np.resize(rng.permutation(len(asks)), lesson.asks)
        chosen = [asks[i] for i in order]
        half = sheet.pixels if lesson.teaches == "high" else half_view(sheet.pixels)
        later = sheet.pixels if lesson.teaches == "request" else None
        rows.append(PackRow(half, chosen, later))
    return rows


def packs_of(lessons: Sequence[Lesson], packer: Packer, stage: str, step: int) -> list[Pack]:
    """All packs of one step; stage and step determine them."""
    rng = generator("train", stage, step)
    packs = []
    for lesson in lessons:
        shares = np.array(SIZE_SHARES[: len(lesson.sizes)])
        size = lesson.sizes[int(rng.choice(len(shares), p=shares / shares.sum()))]
        profile, form = PROFILE_AND_FORM[lesson.teaches]
        packs.append(packer.pack(draw_rows(lesson, size, rng), form, profile))
    return packs
