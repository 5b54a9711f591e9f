"""Resuming: the last whole checkpoint, its weights, and the order of rows after it.

`Trainer` looks up tensors by the names in the running module, but checkpoints of the Qwen-VL
families are written with the hub's names: nothing matches, and it continues with a warning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from trl.trainer.utils import RepeatSampler

from visionthink.core.errors import TrainingError

CHECKPOINT_PREFIX = "checkpoint-"


class VisionTrainer:
    """A mixin, before `Trainer` among the bases of a trainer.

    Sharded models (FSDP, DeepSpeed) and adapters are left to `Trainer`, which loads them correctly.
    """

    model: Any
    args: Any
    train: Any
    accelerator: Any
    is_fsdp_enabled: bool
    is_deepspeed_enabled: bool

    @property
    def _is_sharded(self) -> bool:
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def train_from(self, last: Path | None) -> None:
        """Train, starting from checkpoint `last` if there is one.

        Only the weights of a finished run are loaded: `Trainer` would make one more step, as it
        still does with sharded weights.
        """
        if last is not None and is_finished(last, self.args) and not self._is_sharded:
            self._load_from_checkpoint(str(last))
        else:
            self.train(resume_from_checkpoint=str(last) if last else None)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        network = self.model if model is None else model
        if self._is_sharded or hasattr(network, "peft_config"):
            super()._load_from_checkpoint(  # pyright: ignore[reportAttributeAccessIssue] -- Trainer's
                resume_from_checkpoint, model
            )
        else:
            load_weights(network, resume_from_checkpoint)

    def any_process(self, flag: bool) -> bool:
        """Whether `flag` is set on any process; every process must call this at the same time."""
        if self.accelerator.num_processes == 1:
            return flag
        flags: Any = self.accelerator.gather(torch.tensor([flag], device=self.accelerator.device))
        return bool(flags.any().item())


def load_weights(network: Any, folder: str | Path) -> None:
    """Set every parameter of `network` to its value in `folder`, in the network's own dtype.

    Raises:
        TrainingError: the folder cannot be read, or holds another model.
    """
    try:
        saved = type(network).from_pretrained(folder, dtype=network.dtype, use_safetensors=True)
        network.load_state_dict(saved.state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TrainingError(
            f"cannot resume from {str(folder)!r}: {line}; remove that checkpoint to resume from an "
            "earlier one"
        ) from error


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in a folder; None if there is none.

    `Trainer` writes `trainer_state.json` after weights and optimizer, so a crash while saving
    leaves a folder without it, or with half of it.
    """
    found = {
        int(step): path
        for path in folder.glob(f"{CHECKPOINT_PREFIX}*")
        if (step := path.name.removeprefix(CHECKPOINT_PREFIX)).isdigit()
        and _state(path) is not None
    }
    return found[max(found)] if found else None


def is_finished(checkpoint: Path, args: TrainingArguments) -> bool:
    """Whether a run with these arguments has no step left after this whole checkpoint."""
    state = _state(checkpoint) or {}
    done = state.get("global_step", 0)
    if args.max_steps > 0:
        return done >= args.max_steps
    epochs = state.get("num_train_epochs", 0)
    return done >= state.get("max_steps", 0) and epochs >= args.num_train_epochs


def _state(checkpoint: Path) -> dict[str, Any] | None:
    try:
        return json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


class EpochOrder(RepeatSampler):
    """TRL's order of rows, reproduced in any epoch.

    TRL's own sampler draws each epoch's permutation from the generator's state after the last one:
    a run resumed in the second epoch would repeat the order of the first.

    Args:
        epoch: returns the number of the epoch that begins, from 0.
        options: of `RepeatSampler`.
    """

    def __init__(self, epoch: Callable[[], int], **options: Any) -> None:
        super().__init__(**options)
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle and self.seed is not None:
            self.generator.manual_seed(self.seed)
            for _ in range(self._epoch()):
                torch.randperm(self.num_samples, generator=self.generator)
        return super().__iter__()
