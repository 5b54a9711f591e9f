"""Families: sizes and grids from configurations, and which family a name or a config belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from visionthink.core.errors import CheckpointError
from visionthink.core.families import (
    FAMILIES,
    QWEN2_5_VL,
    QWEN3_VL,
    Config,
    QwenGrid,
    QwenVision,
    family_named,
    family_of,
    published_models,
)
from visionthink.core.ledger import ModelShape

PUBLISHED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
    "Qwen/Qwen2.5-VL-32B-Instruct": 33_452_718_336,
    "Qwen/Qwen2.5-VL-72B-Instruct": 73_410_777_344,
    "Qwen/Qwen3-VL-2B-Instruct": 2_127_532_032,
    "Qwen/Qwen3-VL-4B-Instruct": 4_437_815_808,
    "Qwen/Qwen3-VL-8B-Instruct": 8_767_123_696,
    "Qwen/Qwen3-VL-30B-A3B-Instruct": 31_070_754_032,
    "Qwen/Qwen3-VL-32B-Instruct": 33_357_390_064,
}
"""Totals of the safetensors files, biases and norms included. Those of the 72B, the 30B-A3B and the
Qwen3-VL-32B stand on our own count, the others were compared with the hub's.
"""


def shape(config: Config) -> ModelShape:
    return family_of(config, "x").shape(config)


def parameters(config: Config) -> int:
    return family_of(config, "x").matrix_parameters(config)


def grid_of(config: Config, *options: Any, **more: Any) -> Any:
    return family_of(config, "x").grid_of(config, *options, **more)


@pytest.mark.parametrize("name", PUBLISHED)
def test_matrices_are_nearly_all_of_the_published_parameters(name: str):
    missing = 1 - parameters(published_models()[name]) / PUBLISHED[name]
    assert 0 < missing < 0.0003


def test_the_published_models():
    assert set(published_models()) == set(PUBLISHED)


TINY: dict[str, Any] = {
    "model_type": "qwen2_5_vl",
    "text_config": {
        "hidden_size": 6,
        "intermediate_size": 5,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 7,
    },
    "vision_config": {
        "depth": 4,
        "hidden_size": 8,
        "intermediate_size": 9,
        "patch_size": 2,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
        "window_size": 12,
        "fullatt_block_indexes": [1, 3],
    },
}


def test_a_small_configuration():
    """Heads of 6/2 = 3; patches of 3 x 2 x 2 x 2 = 24 values; windows of 12/(2*2) = 3 cells.

    Language model: 2*7*6 = 84 embeddings, a layer 6*(2*2 + 2*1)*3 + 3*6*5 = 108 + 90, three 594.
    Tower: 24*8 = 192, a block 4*64 + 3*72 = 472, four 1888, merger 32*(32 + 6) = 1216.
    """
    vision = QwenVision(4, 8, 9, 3, 24, 2, 6, mergers=1, window=3, full_blocks=2)
    assert shape(TINY) == ModelShape(3, 6, 2, 1, 3, 5, 7, vision)
    assert parameters(TINY) == 84 + 594 + 192 + 1888 + 1216
    tied = {**TINY, "tie_word_embeddings": True}
    assert parameters(tied) == parameters(TINY) - 42


def test_older_files_hold_the_language_model_at_their_top():
    flat = {**TINY, **TINY["text_config"]}
    del flat["text_config"]
    assert shape(flat) == shape(TINY)
    assert parameters(flat) == parameters(TINY)


def test_grids():
    """The file beside the weights says most, the family the rest, and max_pixels overrides."""
    known = published_models()
    assert grid_of(known["Qwen/Qwen2.5-VL-7B-Instruct"], None) == QWEN2_5_VL
    assert grid_of(known["Qwen/Qwen3-VL-2B-Instruct"], None) == QWEN3_VL
    assert grid_of(TINY, {"min_pixels": 10, "max_pixels": 20}) == QwenGrid(4, 10, 20)
    held = {"size": {"shortest_edge": 11, "longest_edge": 22}, "min_pixels": 10}
    assert grid_of(TINY, held) == QwenGrid(4, 11, 22)
    assert grid_of(TINY, held, max_pixels=15).max_pixels == 15


def test_a_missing_size_is_named():
    text = {key: value for key, value in TINY["text_config"].items() if key != "vocab_size"}
    with pytest.raises(KeyError, match="vocab_size"):
        shape({**TINY, "text_config": text})
    assert family_of(TINY, "tiny") is FAMILIES["qwen2_5_vl"]
    with pytest.raises(
        CheckpointError, match=r"'x' is of type None; expected one of qwen2_vl.*extending"
    ):
        family_of({}, "x")


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("Qwen/Qwen2-VL-2B", "qwen2_vl"),
        ("/weights/QWEN2.5-vl-7b", "qwen2_5_vl"),
        ("qwen3-vl", "qwen3_vl"),
        ("gpt-0", None),
    ],
)
def test_a_family_is_found_by_a_model_name(name: str, model_type: str | None):
    family = family_named(name)
    assert (family.model_type if family else None) == model_type
