"""What GRPO and SFT share: data, model, run folder, and the checkpoint to resume from."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PrinterCallback, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from visionthink.core.errors import UsageError
from visionthink.data.rows import Rows
from visionthink.data.source import DataOptions, load_rows
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.runs.folder import RunFolder, describe_environment
from visionthink.training.callbacks import Interrupt, Say
from visionthink.training.config import (
    MAY_CHANGE,
    LoraOptions,
    ModelOptions,
    TrainConfig,
    stored_config,
)
from visionthink.training.export import export_checkpoint
from visionthink.training.resume import last_checkpoint

MODEL = "model"
"""Folder of the trained checkpoint inside the run."""

CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints that `--resume` starts from."""

TENSORBOARD = "tensorboard"
"""Folder of TensorBoard's files, one for all resumptions, unless TENSORBOARD_LOGGING_DIR is set."""


def quiet() -> None:
    """Silence a warning that users can do nothing about: TRL uses old names of transformers."""
    warnings.filterwarnings(
        "ignore", r"`(is_)?gradient_checkpointing\w*` is deprecated", FutureWarning
    )


def voice_of(args: TrainingArguments, say: Say) -> Say:
    """`say` on the main process, silence on the others.

    Also switches the engine's own progress bars off: the run log shows progress.
    """
    args.disable_tqdm = True
    transformers.utils.logging.disable_progress_bar()
    quiet()
    return say if args.process_index == 0 else lambda _: None


def read_data(options: DataOptions, say: Say) -> Rows:
    """The rows, and a line about those that `skip_bad` left out or that are odd. Raises as
    `load_rows` does.
    """
    rows = load_rows(options)
    if rows.bad:
        first = rows.bad[0]
        say(
            f"left out {len(rows.bad)} bad rows of {rows.source}, the first: "
            f"number {first.number}: {first.reason}"
        )
    for note in rows.notes:
        say(note)
    return rows


def load_model(options: ModelOptions) -> Checkpoint:
    """The checkpoint to train, on the CPU: the trainer places it.

    Raises:
        UsageError: no such device, attention, or modules for adapters.
        CheckpointError: it cannot be loaded.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "model.device is cuda, but torch finds no GPU; set it to auto or cpu, or install torch "
            "with CUDA"
        )
    checkpoint = load_checkpoint(
        options.source,
        device="cpu",
        dtype=options.weights_dtype,
        max_pixels=options.max_pixels,
        trust_remote_code=options.trust_remote_code,
    )
    if options.attention is not None:
        try:
            checkpoint.model.set_attn_implementation(options.attention)
        except (ValueError, ImportError) as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UsageError(f"model.attention {options.attention!r}: {line}") from error
    if options.lora is not None:
        _check_targets(options.lora, checkpoint.model)
    if options.freeze_vision:
        checkpoint.runner.tower(checkpoint.model).requires_grad_(False)
    return checkpoint


def _check_targets(lora: LoraOptions, model: torch.nn.Module) -> None:
    """Raise UsageError where PEFT would find no module for its adapters."""
    from peft.tuners.tuners_utils import check_target_module_exists

    targets = lora.target_modules
    names = [name for name, _ in model.named_modules()]
    try:
        found = targets == "all-linear" or any(  # PEFT's own name for all linear layers
            check_target_module_exists(lora.build(), name) for name in names
        )
    except re.error as error:
        raise UsageError(
            f"model.lora.target_modules {targets!r} is not a regular expression: {error}"
        ) from error
    if not found:
        ends = {name.rpartition(".")[2] for name in names if name.endswith("_proj")}
        raise UsageError(
            f"model.lora.target_modules {targets!r} matches no module of the model; it has "
            f"{', '.join(sorted(ends)) or 'none that ends in _proj'}"
        )


@dataclass(frozen=True)
class Session:
    """A run that has begun.

    Attributes:
        run: its folder, on the main process; None on the others.
        last: the checkpoint to resume from, if there is one.
    """

    out: Path
    run: RunFolder | None
    last: Path | None
    say: Say

    def train(
        self,
        trainer: Any,
        checkpoint: Checkpoint,
        profile: str,
        updates: int = 1,
        unit: str = "step",
    ) -> Path:
        """Train to the end, and write the model. Returns its folder.

        Args:
            trainer: a `VisionTrainer`.
            checkpoint: what training starts from.
            profile: prompt profile that the model is for.
            updates: optimizer steps after which Ctrl-C may stop: those of one `unit`.
            unit: "step" or "generation".

        Raises:
            KeyboardInterrupt: stopped by the user; a checkpoint is there.
        """
        interrupt = Interrupt(trainer.any_process, updates, self.say, unit)
        trainer.add_callback(interrupt)
        trainer.remove_callback(PrinterCallback)  # ours write the lines
        for callback in trainer.callback_handler.callbacks:
            # transformers would start a new folder, named after date and host, at each resumption.
            if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
                callback.logging_dir = str(self.out / TENSORBOARD)
        try:
            trainer.train_from(self.last)
        finally:
            interrupt.restore()
        if interrupt.stopped:
            raise KeyboardInterrupt
        folder = self.out / MODEL
        export_checkpoint(trainer, checkpoint, profile, folder)
        if self.run is not None:
            self.run.close()
        self.say(f"the trained checkpoint is {folder}")
        return folder


def begin(config: TrainConfig, out: Path, resume: bool, main: bool, say: Say) -> Session:
    """Begin or resume a run in folder `out`.

    Metrics and episodes of steps after the checkpoint to resume from are dropped: these steps are
    made again.

    Raises:
        RunError: the folder holds something else or a run of another config, or another process is
            training in it.
    """
    run = None
    if main:
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        run = RunFolder.create(
            out,
            config.model_dump(mode="json"),
            environment=describe_environment(seeds={"train": config.seed}, gpu=gpu),
            resume=resume,
            may_change=MAY_CHANGE,
            read=stored_config,
        )
        for each in run.environment.get("resumed", [])[-1:]:
            for key, values in each.get("changed", {}).items():
                say(f"{key} is now {values['now']} (was {values['was']})")
    last = last_checkpoint(out / CHECKPOINTS) if resume else None
    if run is not None:
        run.truncate_metrics_after(0 if last is None else int(last.name.rpartition("-")[2]))
    return Session(out, run, last, say)
