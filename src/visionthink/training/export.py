"""Writes the trained checkpoint, in a form that transformers, vLLM and we load."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub

from visionthink.core.errors import TrainingError
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.runs.files import part_of

ADAPTER = "adapter"
"""Subfolder with the adapter alone, in the checkpoint that it is merged into."""

PREPROCESSOR = "preprocessor_config.json"
INPUT_FILES = (PREPROCESSOR, "video_preprocessor_config.json", "processor_config.json")
"""How images are prepared: copied from the source checkpoint."""


def export_checkpoint(trainer: Any, source: Checkpoint, profile: str, out: Path) -> None:
    """Write the weights of `trainer`, and all that is needed to use them, to folder `out`.

    Every process must call this (sharded weights are gathered); the main one writes. Adapters are
    written twice: merged into the weights, and alone in `out`/adapter. After a crash, `out` still
    holds what it held before.

    Args:
        trainer: a `Trainer` at the end of training.
        source: the checkpoint that training started from.
        profile: prompt profile that `visionthink.json` names.
        out: replaced if it exists.

    Raises:
        TrainingError: it cannot be written.
    """
    accelerator = trainer.accelerator
    state = accelerator.get_state_dict(trainer.model_wrapped)
    network = accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if accelerator.is_main_process:
        network.config.use_cache = True  # trainers switch it off
        partial, before = part_of(out), part_of(out)
        try:
            for left in out.parent.glob(f".{out.name}.*.part"):  # of runs that were killed here
                shutil.rmtree(left, ignore_errors=True)
            partial.mkdir(parents=True)
            if hasattr(network, "peft_config"):
                network.save_pretrained(partial / ADAPTER, state_dict=state)
                _merge(network, source, partial)
            else:
                network.save_pretrained(partial, state_dict=state)
            source.tokenizer.save_pretrained(partial)
            _save_input_files(source, partial)
            _write_json(partial / "visionthink.json", {"profile": profile})
            _share(partial)
            if os.path.lexists(out):
                out.rename(before)
            partial.rename(out)
        except OSError as error:
            why = error.strerror or error
            raise TrainingError(f"cannot write the checkpoint {out}: {why}") from error
        if before.is_symlink():
            before.unlink()
        shutil.rmtree(before, ignore_errors=True)
    accelerator.wait_for_everyone()


def _share(folder: Path) -> None:
    """Give the weights the permissions of the other files: safetensors makes them private."""
    mode = (folder / "visionthink.json").stat().st_mode & 0o777
    for file in folder.rglob("*.safetensors"):
        file.chmod(mode)


def _merge(network: Any, source: Checkpoint, out: Path) -> None:
    """Write the base weights with the adapter in `out`/adapter merged into them.

    The base is loaded again: the model in training may be sharded, and must stay as it is.
    """
    from peft import PeftModel

    kind = type(network.get_base_model())
    base = kind.from_pretrained(source.name, dtype=network.dtype, use_safetensors=True)
    PeftModel.from_pretrained(base, out / ADAPTER).merge_and_unload().save_pretrained(out)


def _save_input_files(source: Checkpoint, out: Path) -> None:
    for name in INPUT_FILES:
        path = source_file(source.name, name)
        if path is not None:
            shutil.copyfile(path, out / name)
    target = out / PREPROCESSOR
    if not target.exists():
        source.image_processor.save_pretrained(out)
    held = json.loads(target.read_text(encoding="utf-8"))
    # Training saw images of at most model.max_pixels.
    if (limited := source.runner.saved_processor(held, source.image_processor)) != held:
        _write_json(target, limited)


def source_file(model: str, name: str) -> Path | None:
    """A file of a checkpoint, in its folder or in the hub's cache; None if there is none."""
    folder = Path(model)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    cached = huggingface_hub.try_to_load_from_cache(model, name)
    return Path(cached) if isinstance(cached, str) else None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
