"""Model families, by the `model_type` of their config.json.

A family is one file here, without torch, one in `engines.families`, and a row in both tables.
"""

from __future__ import annotations

import re
from functools import cache

from visionthink.core.errors import CheckpointError
from visionthink.core.families.family import Config, Family
from visionthink.core.families.qwen import QWEN2_5_VL, QWEN3_VL, QWEN_FAMILIES, QwenGrid, QwenVision
from visionthink.core.images import Grid

__all__ = [
    "FAMILIES",
    "GRIDS",
    "QWEN2_5_VL",
    "QWEN3_VL",
    "Config",
    "Family",
    "QwenGrid",
    "QwenVision",
    "family_named",
    "family_of",
    "plain_text",
    "published_models",
]

FAMILIES: dict[str, Family] = {family.model_type: family for family in QWEN_FAMILIES}

GRIDS: dict[str, Grid] = {
    **{family.name: family.grid for family in FAMILIES.values()},
    "mini": QwenGrid(min_pixels=28 * 28, max_pixels=64 * 28 * 28),  # the embedded checkpoints
}
"""How served models turn images into visual tokens, by the name that options have for it."""


def family_of(config: Config, name: str) -> Family:
    """The family of the model called `name`. Raises CheckpointError: it is not in `FAMILIES`."""
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise CheckpointError(
            f"model {name!r} is of type {model_type!r}; expected one of {', '.join(FAMILIES)} "
            "(docs/extending.md says how to add a family)"
        )
    return FAMILIES[model_type]


def family_named(name: str) -> Family | None:
    """The family that a served model's name gives away; of several marks the longest decides."""
    found = [
        (len(mark), model_type)
        for model_type, family in FAMILIES.items()
        for mark in family.marks
        if mark in name.lower()
    ]
    return FAMILIES[max(found)[1]] if found else None


def published_models() -> dict[str, Config]:
    """Hub id → configuration of the models whose sizes ship with the package."""
    return {
        name: config for family in FAMILIES.values() for name, config in family.published.items()
    }


def plain_text(text: str) -> str:
    """`text` with a space in each control token of any family: `<|name|>` becomes `< |name|>`.

    Questions, tool output and error messages are data; chat templates and servers would turn such
    text into real control tokens otherwise. The protocol's own tags are left alone: the prompts
    themselves spell them, and only what the model says is ever parsed.
    """
    patterns = tuple(dict.fromkeys(family.control for family in FAMILIES.values()))
    return _any_of(patterns).sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
