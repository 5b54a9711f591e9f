"""What a plan starts from: models by name or folder, and a folder of images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from visionthink.core.errors import CheckpointError, DataError, UsageError
from visionthink.evaluation.model_lookup import find_model, image_sizes
from visionthink.mini import CHECKPOINTS


@pytest.mark.parametrize(
    "name", ["qwen3-vl-8b", "Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"]
)
def test_short_names(name: str):
    found = find_model(name)
    assert found.name == "Qwen/Qwen3-VL-8B-Instruct"
    assert (found.grid.cell, found.shape.layers) == (32, 36)


def test_a_folder_needs_no_weights(tmp_path: Path):
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(CHECKPOINTS / "mini" / name, tmp_path)
    found = find_model(str(tmp_path))
    embedded = find_model("mini")
    assert (found.shape, found.grid) == (embedded.shape, embedded.grid)
    assert find_model("mini", max_pixels=784).grid.max_pixels == 784


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
def test_folders_that_hold_no_model(tmp_path: Path, config: str | None, message: str):
    if config is not None:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        find_model(str(tmp_path))


def test_names_nobody_knows():
    with pytest.raises(UsageError, match=r"mean .*Qwen/Qwen2\.5-VL-7B-Instruct.*\? Or give"):
        find_model("qwen2.5-vl-8b")
    with pytest.raises(UsageError, match=r"Qwen2\.5-VL-3B-Instruct, .*Qwen3-VL-32B-Instruct"):
        find_model("???")
    with pytest.raises(UsageError, match="max_pixels must be at least 1; got 0"):
        find_model("mini", max_pixels=0)


def test_only_headers_are_read(tmp_path: Path):
    """A PNG whose pixels are cut off still has a size; what is no image is told."""
    (tmp_path / "below").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    Image.new("RGB", (30, 20)).save(tmp_path / "below" / "b.JPG")
    whole = tmp_path / "c.png"
    Image.new("RGB", (40, 10)).save(whole)
    whole.write_bytes(whole.read_bytes()[:45])
    (tmp_path / "d.webp").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    sizes, left_out = image_sizes(tmp_path)
    assert sizes == {(30, 20): 2, (40, 10): 1}
    assert left_out == [f"{tmp_path / 'd.webp'}: it is empty (0 bytes)"]


def test_a_folder_without_images(tmp_path: Path):
    with pytest.raises(DataError, match="holds no image that can be used"):
        image_sizes(tmp_path)
    (tmp_path / "a.png").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"a\.png: it does not hold an image"):
        image_sizes(tmp_path)
