"""Loading: what is accepted, and the one-line errors for what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import utils as hub

from checkpoints import save_qwen2_5_vl, save_qwen3_vl
from visionthink.core.errors import CheckpointError, UsageError
from visionthink.core.families import QwenGrid, QwenVision
from visionthink.core.ledger import ModelShape
from visionthink.engines import hf_checkpoint
from visionthink.engines.hf_checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    return save_qwen2_5_vl(tmp_path_factory.mktemp("good"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def refusal(folder: Path | str, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_good_folder_loads_with_grid_shape_and_ids(folder: Path) -> None:
    loaded = load_checkpoint(folder, device="cpu")
    assert isinstance(loaded.grid, QwenGrid)
    assert (loaded.grid.cell, loaded.grid.min_pixels) == (28, 784)
    assert loaded.model.dtype == torch.float32
    assert loaded.profile is None
    assert loaded.tokenizer.convert_ids_to_tokens(list(loaded.tokens.banned)) == [
        "<|image_pad|>",
        "<|video_pad|>",
    ]
    assert loaded.tokenizer.convert_ids_to_tokens(list(loaded.stop_ids)) == ["<|im_end|>"]
    assert loaded.shape == ModelShape(
        layers=2,
        hidden=128,
        heads=4,
        kv_heads=2,
        head_dim=32,
        mlp=192,
        vocabulary=263,  # 256 bytes and 7 control tokens
        vision=QwenVision(
            depth=2,
            hidden=64,
            mlp=96,
            mlp_matrices=3,
            patch_values=3 * 2 * 14 * 14,
            merge=2,
            out=128,
            mergers=1,
            window=2,
            full_blocks=1,
        ),
    )


def test_qwen3_vl_differs_where_it_should(tmp_path: Path) -> None:
    loaded = load_checkpoint(save_qwen3_vl(tmp_path), device="cpu")
    grid, vision = loaded.grid, loaded.shape.vision
    assert isinstance(grid, QwenGrid)
    assert isinstance(vision, QwenVision)
    assert grid.cell == 32
    assert (vision.mlp_matrices, vision.mergers, vision.window) == (2, 2, None)


def test_dtype_and_max_pixels_are_taken(folder: Path) -> None:
    loaded = load_checkpoint(folder, device="cpu", dtype="bfloat16", max_pixels=56 * 56)
    assert loaded.model.dtype == torch.bfloat16
    assert isinstance(loaded.grid, QwenGrid)
    assert loaded.grid.max_pixels == 56 * 56
    assert loaded.grid.cells((560, 560)) == (2, 2)


@pytest.mark.parametrize("wanted", [True, False])
def test_downloads_show_their_progress_and_loading_does_not(
    folder: Path, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown() -> tuple[bool, bool]:
        bars = transformers.utils.logging.is_progress_bar_enabled()
        return bars, not hub.are_progress_bars_disabled()

    seen: list[tuple[bool, bool]] = []
    load = hf_checkpoint._load
    monkeypatch.setattr(hf_checkpoint, "_load", lambda *a: (seen.append(shown()), load(*a))[1])
    transformers.utils.logging.enable_progress_bar()  # an earlier test's training turns it off
    (hub.enable_progress_bars if wanted else hub.disable_progress_bars)()
    try:
        load_checkpoint(folder, device="cpu")
        assert (seen, shown()) == ([(False, wanted)], (True, wanted))
    finally:
        hub.enable_progress_bars()


def test_no_pixels_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="max_pixels must be at least 1; got 0"):
        load_checkpoint(folder, device="cpu", max_pixels=0)


def test_the_checkpoint_names_its_profile(copy: Path) -> None:
    (copy / "visionthink.json").write_text('{"profile": "mini"}')
    assert load_checkpoint(copy, device="cpu").profile == "mini"


def test_a_wrong_profile_file_is_refused(copy: Path) -> None:
    (copy / "visionthink.json").write_text('{"profile": "nonsense"}')
    assert "names profile 'nonsense'" in refusal(copy)
    (copy / "visionthink.json").write_text("[]")
    assert "must be JSON such as" in refusal(copy)


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none")


@pytest.mark.parametrize("start", ["", "/"])
def test_a_name_too_long_for_the_file_system(start: str) -> None:
    assert "folder" in refusal(start + "x" * 300)


def test_a_model_that_does_not_fit_on_its_device(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 16 GiB")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    assert "cannot load model" in (said := refusal(folder))
    assert "CUDA out of memory" in said


def test_a_hub_id_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "the hub cannot be reached" in refusal("nobody/nothing")


def test_a_file_instead_of_a_folder(folder: Path) -> None:
    assert "is a file" in refusal(folder / "config.json")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "has no config.json" in refusal(tmp_path)


def test_a_folder_without_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    assert "has no weights" in refusal(copy)


def test_pickle_weights_are_never_opened(copy: Path) -> None:
    """The pickle would write a file when loaded; the refusal must come before that."""

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (copy / "sprung",))

    (copy / "model.safetensors").unlink()
    torch.save(Trap(), copy / "pytorch_model.bin")
    assert "only pickle weights (pytorch_model.bin)" in refusal(copy)
    assert not (copy / "sprung").exists()


def test_truncated_weights(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot load model" in refusal(copy)


def test_another_family(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    assert "expected one of qwen2_vl, qwen2_5_vl" in refusal(copy)


def test_a_broken_config(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    assert "cannot load model" in refusal(copy)


def test_no_chat_template(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    assert "has no chat template" in refusal(copy)


@pytest.mark.parametrize("options", [{"dtype": "int8"}, {"device": "abacus"}])
def test_wrong_placement_is_bad_usage(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        load_checkpoint(folder, **options)
