"""What every training run begins with: its model, its folder, and what it goes on from."""

from __future__ import annotations

from pathlib import Path

import torch

from visionthink.core.runs import RunFolder, describe_environment
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.training.config import ModelOptions, TrainConfig
from visionthink.training.resume import last_checkpoint

MODEL = "model"
"""Folder of the trained checkpoint inside the run."""

CHECKPOINTS = "checkpoints"
"""Folder of what `--resume` goes on from."""


def load_model(options: ModelOptions) -> Checkpoint:
    """The checkpoint to train, on the CPU: the trainer places it. Raises CheckpointError."""
    checkpoint = load_checkpoint(
        options.source,
        device="cpu",
        dtype=options.weights_dtype,
        max_pixels=options.max_pixels,
        trust_remote_code=options.trust_remote_code,
    )
    if options.attention is not None:
        checkpoint.model.set_attn_implementation(options.attention)
    if options.freeze_vision:
        checkpoint.model.model.visual.requires_grad_(False)
    return checkpoint


def begin(
    config: TrainConfig, out: Path, resume: bool, main: bool
) -> tuple[RunFolder | None, Path | None]:
    """The run folder, on the main process, and the checkpoint to go on from, if there is one.

    What the folder holds of steps after that checkpoint is dropped: they come again.

    Raises:
        RunError: the folder holds something else, or a run of another config.
    """
    run = None
    if main:
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        environment = describe_environment(seeds={"train": config.seed}, gpu=gpu)
        asked = config.model_dump(mode="json")
        run = RunFolder.create(out, asked, environment=environment, resume=resume)
    last = last_checkpoint(out / CHECKPOINTS) if resume else None
    if run is not None:
        run.truncate_metrics_after(0 if last is None else int(last.name.rpartition("-")[2]))
    return run, last
