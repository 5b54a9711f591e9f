"""The sizes of models, by name or folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from visionthink.core.errors import CheckpointError, UsageError
from visionthink.evaluation.model_lookup import find_model
from visionthink.mini import CHECKPOINTS


@pytest.mark.parametrize(
    "name", ["qwen3-vl-8b", "Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"]
)
def test_a_model_is_found_by_its_short_name(name: str):
    found = find_model(name)
    assert found.name == "Qwen/Qwen3-VL-8B-Instruct"
    assert (found.grid.cells((640, 320)), found.shape.layers) == ((20, 10), 36)  # 32 px each


def test_a_folder_needs_no_weights(tmp_path: Path):
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(CHECKPOINTS / "mini" / name, tmp_path)
    found = find_model(str(tmp_path))
    embedded = find_model("mini")
    assert (found.shape, found.grid) == (embedded.shape, embedded.grid)
    assert find_model("mini", max_pixels=784).grid.cells((224, 224)) == (1, 1)  # 28 x 28 px


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "there is no config.json"),
        ("{", "cannot read"),
        ("[]", "must hold a JSON object; got list"),
        ('{"model_type": "llava"}', "is of type 'llava'"),
        ('{"model_type": "qwen3_vl"}', "lacks sizes: 'vision_config'"),
        ('{"model_type": "qwen3_vl", "vision_config": []}', "lacks sizes"),
    ],
)
def test_folders_without_a_model_are_refused(tmp_path: Path, config: str | None, message: str):
    if config is not None:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        find_model(str(tmp_path))


def test_an_unknown_name_suggests_the_nearest_models():
    with pytest.raises(UsageError, match=r"mean .*Qwen/Qwen2\.5-VL-7B-Instruct.*\? Or give"):
        find_model("qwen2.5-vl-8b")
    with pytest.raises(UsageError, match=r"Qwen2\.5-VL-3B-Instruct, .*Qwen3-VL-32B-Instruct"):
        find_model("???")
    with pytest.raises(UsageError, match="max_pixels must be at least 1; got 0"):
        find_model("mini", max_pixels=0)
