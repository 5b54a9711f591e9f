"""Leaving a checkpoint that `load_checkpoint`, plain transformers and vLLM load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub

from visionthink.core.errors import TrainingError
from visionthink.engines.hf_checkpoint import Checkpoint

ADAPTER = "adapter"
"""Folder of the adapter inside the checkpoint that it was merged into."""

PREPROCESSOR = "preprocessor_config.json"
INPUT_FILES = (PREPROCESSOR, "video_preprocessor_config.json", "processor_config.json")
"""How images are prepared: taken over from the checkpoint that was trained, as they stand."""


def export_checkpoint(trainer: Any, source: Checkpoint, profile: str, out: Path) -> None:
    """Write the weights that `trainer` holds, with everything to talk to them, to folder `out`.

    Every process calls this (sharded weights are gathered), the main one writes. Of adapters both
    are written: merged into the weights, and by themselves in `out`/adapter. A crash leaves what
    was in `out` before.

    Args:
        trainer: a `Trainer` at the end of training.
        source: the checkpoint that training started from.
        profile: what `visionthink.json` will name.
        out: replaced if it exists.

    Raises:
        TrainingError: it cannot be written.
    """
    accelerator = trainer.accelerator
    state = accelerator.get_state_dict(trainer.model_wrapped)
    network = accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if accelerator.is_main_process:
        network.config.use_cache = True  # trainers switch it off
        partial = out.with_name(f".{out.name}.partial")
        try:
            shutil.rmtree(partial, ignore_errors=True)
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
            if out.exists():
                shutil.rmtree(out)
            partial.rename(out)
        except OSError as error:
            raise TrainingError(f"cannot write the checkpoint {out}: {error}") from error
    accelerator.wait_for_everyone()


def _share(folder: Path) -> None:
    """Give weights, which safetensors keeps to their owner, the permissions of the other files."""
    mode = (folder / "visionthink.json").stat().st_mode & 0o777
    for file in folder.rglob("*.safetensors"):
        file.chmod(mode)


def _merge(network: Any, source: Checkpoint, out: Path) -> None:
    """Write the weights with the adapter of `out`/adapter added in.

    The base is read again: what is being trained may be sharded, and stays as it is.
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
    """A file of a checkpoint, in its folder or in the hub's cache; None if it has none."""
    folder = Path(model)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    cached = huggingface_hub.try_to_load_from_cache(model, name)
    return Path(cached) if isinstance(cached, str) else None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
