"""Supervised trainings small enough for tests: lessons, trainers, runs and what they leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

from visionthink.core.profiles import PROFILES, Tagged
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.data.data_options import DataOptions
from visionthink.data.rows import Row
from visionthink.data.source import load_rows
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.training.config import MixtureOptions, ThoughtOptions, TrainSft, load_config
from visionthink.training.sft import SftTrainer
from visionthink.training.sft_data import Collator, lessons_of

MINI = cast(Tagged, PROFILES["mini"])
DIRECT = (direct_reply("Clear.", "red"),)
REQUEST = (request_reply("Small."), direct_reply("Now.", "up, down"))


def rows(*families: str, size: int = 8) -> Sequence[Row]:
    return load_rows(DataOptions(families=list(families), size=size))


def trainer_of(checkpoint: Checkpoint, out: Path, factor: float = 1.0, **more: Any) -> SftTrainer:
    settings: dict[str, Any] = {
        "per_device_train_batch_size": 2,
        "max_steps": 1,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "remove_unused_columns": False,
        "disable_tqdm": True,
        **more,
    }
    given = rows("colour", "hatch", size=4)
    return SftTrainer(
        model=checkpoint.model,
        args=TrainingArguments(output_dir=str(out), **settings),
        train_dataset=lessons_of(
            given, MINI, mixture=MixtureOptions(), thoughts=ThoughtOptions(), seed=0
        ),
        data_collator=Collator(checkpoint, MINI, factor),
    )


def config_of(model: Path | str, *sets: str) -> TrainSft:
    """Four steps of two conversations, saved after the second and the last."""
    given = [
        f"model.name={model}",
        "model.device=cpu",
        "data.size=16",
        "mixture={}",
        "trainer.per_device_train_batch_size=2",
        "trainer.max_steps=4",
        "trainer.save_steps=2",
        *sets,
    ]
    config = load_config("mini-cold-start", given)
    assert isinstance(config, TrainSft)
    return config


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def changed_by(run: Path, base: Path) -> set[str]:
    """Names of the weights that are no longer those of the checkpoint in `base`."""
    old, new = load_file(base / "model.safetensors"), weights(run)
    return {name for name in old if not torch.equal(old[name], new[name])}


def quiet(_: str) -> None:
    pass
