"""The sizes of models from their configuration alone: no weights, no network, no transformers.

`shapes.json` holds what the published config.json of each known model says about sizes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from visionthink.core.errors import CheckpointError
from visionthink.core.images import QWEN2_5_VL, QWEN3_VL, Grid
from visionthink.core.ledger import ModelShape, VisionShape

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""Values of `model_type` in a config.json."""

Config = Mapping[str, Any]
"""A config.json, as it was read or as a transformers configuration's `to_dict` gives it."""


@cache
def known_models() -> dict[str, Config]:
    """Hub id → configuration of the models whose sizes ship with the package."""
    return json.loads((Path(__file__).parent / "shapes.json").read_text(encoding="utf-8"))


def check_family(config: Config, name: str) -> None:
    """Raises CheckpointError if the model is none of `FAMILIES`."""
    if (family := config.get("model_type")) not in FAMILIES:
        raise CheckpointError(
            f"model {name!r} is of type {family!r}; wanted one of {', '.join(FAMILIES)}"
        )


def model_shape(config: Config) -> ModelShape:
    """The sizes that FLOPs depend on.

    Raises:
        KeyError: the configuration does not say one of them.
    """
    text, vision, family = _text(config), config["vision_config"], config["model_type"]
    mlp = text["intermediate_size"]
    if experts := text.get("num_experts_per_tok"):
        mlp = experts * text["moe_intermediate_size"]
    heads = text["num_attention_heads"]
    patch, merge = _side(vision["patch_size"]), vision["spatial_merge_size"]
    qwen2, qwen2_5 = family == "qwen2_vl", family == "qwen2_5_vl"
    hidden = vision["embed_dim" if qwen2 else "hidden_size"]
    channels = vision.get("in_channels", vision.get("in_chans", 3))
    return ModelShape(
        layers=text["num_hidden_layers"],
        hidden=text["hidden_size"],
        heads=heads,
        kv_heads=text["num_key_value_heads"],
        head_dim=text.get("head_dim") or text["hidden_size"] // heads,
        mlp=mlp,
        vocabulary=text["vocab_size"],
        vision=VisionShape(
            depth=vision["depth"],
            hidden=hidden,
            mlp=int(hidden * vision["mlp_ratio"]) if qwen2 else vision["intermediate_size"],
            mlp_matrices=3 if qwen2_5 else 2,
            patch_values=channels * _side(vision["temporal_patch_size"]) * patch * patch,
            merge=merge,
            out=text["hidden_size"],
            mergers=1 + len(vision.get("deepstack_visual_indexes", ())),
            window=vision["window_size"] // (patch * merge) if qwen2_5 else None,
            full_blocks=len(vision["fullatt_block_indexes"]) if qwen2_5 else 0,
        ),
    )


def matrix_parameters(config: Config) -> int:
    """Parameters in the model's matrices; biases and norms, about a thousandth, are left out.

    Raises:
        KeyError: as `model_shape`.
    """
    text, shape = _text(config), model_shape(config)
    vision, d = shape.vision, shape.hidden
    values = (2 * shape.heads + 2 * shape.kv_heads) * shape.head_dim
    feed_forward = 3 * d * shape.mlp
    if experts := text.get("num_experts"):
        feed_forward = experts * 3 * d * text["moe_intermediate_size"] + experts * d
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    embeddings = (1 if tied else 2) * shape.vocabulary * d
    block = 4 * vision.hidden**2 + vision.mlp_matrices * vision.hidden * vision.mlp
    positions = config["vision_config"].get("num_position_embeddings", 0)
    merged = vision.hidden * vision.merge**2
    tower = (vision.patch_values + positions) * vision.hidden + vision.depth * block
    tower += vision.mergers * merged * (merged + vision.out)
    return embeddings + shape.layers * (d * values + feed_forward) + tower


def grid_of(config: Config, preprocessor: Config | None, max_pixels: int | None = None) -> Grid:
    """How the model cuts images: as its preprocessor_config.json says; without that file, as the
    published ones of the family do.
    """
    published = QWEN3_VL if config["model_type"].startswith("qwen3") else QWEN2_5_VL
    held: Config = preprocessor or {}
    size: Config = held.get("size") or {}
    vision = config["vision_config"]
    return Grid(
        cell=_side(vision["patch_size"]) * vision["spatial_merge_size"],
        min_pixels=size.get("shortest_edge") or held.get("min_pixels") or published.min_pixels,
        max_pixels=max_pixels
        or size.get("longest_edge")
        or held.get("max_pixels")
        or published.max_pixels,
    )


def _text(config: Config) -> Config:
    """The language model's part; older files hold it at their top."""
    return config.get("text_config") or config


def _side(value: int | Sequence[int]) -> int:
    return value if isinstance(value, int) else value[-1]
