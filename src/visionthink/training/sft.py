"""`train sft`: supervised learning of when to request, from labelled rows.

The engine is `transformers.Trainer`: TRL's `SFTTrainer` would tokenise by itself, but the tokens
must be exactly those of an episode.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import Trainer, TrainerCallback

from visionthink.core.episode import DEFAULT_PROFILE
from visionthink.core.errors import UsageError
from visionthink.core.profiles import Tagged
from visionthink.core.protocol import profile_for
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.runs.folder import RunFolder
from visionthink.training.callbacks import Say, metrics_line
from visionthink.training.config import LoraOptions, TrainSft, sft_arguments
from visionthink.training.resume import VisionTrainer
from visionthink.training.run import CHECKPOINTS, begin, load_model, read_data, voice_of
from visionthink.training.sft_data import IGNORED, Collator, lessons_of


def train_sft(config: TrainSft, out: Path, resume: bool = False, say: Say = print) -> Path:
    """Train, and leave the checkpoint in `out`/model.

    Args:
        config: see `load_config`.
        out: the run folder; new or empty, or with `resume` one of the same config but for
            `config.MAY_CHANGE`.
        resume: continue from the last checkpoint in `out`.
        say: receives lines for the user; called on the main process only.

    Raises:
        RunError, DataError, ImageError, UsageError, EngineError: see `core.errors`.
        KeyboardInterrupt: stopped by the user; a checkpoint is there.
    """
    args = sft_arguments(config, out / CHECKPOINTS)
    voice = voice_of(args, say)
    rows = read_data(config.data, voice)
    checkpoint = load_model(config.model)
    profile = profile_for("auto", config.profile or checkpoint.profile or DEFAULT_PROFILE)
    if not isinstance(profile, Tagged):
        raise UsageError(
            f"supervised learning writes replies in tags, which profile {profile.name!r} has not; "
            "use agent or another tagged profile"
        )
    lessons = lessons_of(
        rows, profile, mixture=config.mixture, thoughts=config.thoughts, seed=config.seed
    )
    session = begin(config, out, resume, args.process_index == 0, voice)
    requests = sum(lesson.way == "request" for lesson in lessons)
    voice(
        f"training {config.model.name} on {len(lessons)} conversations, "
        f"{len(lessons) - requests} direct and {requests} with a request"
    )
    trainer = SftTrainer(
        model=trainable(checkpoint, config.model.lora),
        args=args,
        train_dataset=lessons,
        data_collator=Collator(checkpoint, profile, config.tool_turn_loss_weight),
        callbacks=[SftLog(session.run, voice)],
    )
    return session.train(trainer, checkpoint, profile.name)


def trainable(checkpoint: Checkpoint, lora: LoraOptions | None) -> Any:
    """The checkpoint's model, with adapters if there are options for them."""
    if lora is None:
        return checkpoint.model
    from peft import get_peft_model

    return get_peft_model(checkpoint.model, lora.build())


def weighted_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, tokens: torch.Tensor | int
) -> torch.Tensor:
    """sum_t w_t * -log p(label_t) / `tokens`.

    Args:
        logits: (B, T, V); position t predicts label t.
        labels: (B, T), `IGNORED` where nothing is learnt.
        weights: (B, T).
        tokens: number of labels, in this batch or in all that share an update.
    """
    each = F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return (each * weights.flatten()).sum() / tokens


class SftTrainer(VisionTrainer, Trainer):
    """`Trainer` with token weights, and with logits of the learnt tokens only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # `Trainer` then counts the labels of a whole update

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The weighted mean over the reply tokens of all micro-batches of an update."""
        inputs = dict(inputs)
        labels, weights = inputs.pop("labels"), inputs.pop("loss_weights")
        # Position t predicts token t + 1. Most tokens are prompt and image: their logits, by far
        # the largest tensor, are not computed.
        learnt = (labels[:, 1:] != IGNORED).any(dim=0).nonzero().squeeze(1)
        outputs = model(**inputs, logits_to_keep=learnt, use_cache=False)
        labels, weights = labels[:, learnt + 1], weights[:, learnt + 1]
        if num_items_in_batch is None:
            tokens, processes = (labels != IGNORED).sum(), 1
        else:
            shared = self.args.average_tokens_across_devices
            tokens, processes = num_items_in_batch, self.accelerator.num_processes if shared else 1
        # Gradients are averaged over processes, and `tokens` counts those of all.
        loss = weighted_loss(outputs.logits, labels, weights, tokens) * processes
        return (loss, outputs) if return_outputs else loss


class SftLog(TrainerCallback):
    """Writes metrics to the run folder and lines to the user, on the main process only."""

    def __init__(self, run: RunFolder | None, say: Say) -> None:
        self.run = run
        self.say = say
        self._last = (0, time.perf_counter())

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._last = (state.global_step, time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self.run is None or not logs or "loss" not in logs:
            return
        before, then = self._last
        now = time.perf_counter()
        self._last = (state.global_step, now)
        seconds = (now - then) / max(1, state.global_step - before)
        self.run.append_metrics({**metrics_line(state.global_step, logs), "time/update_s": seconds})
        self.say(
            f"step {state.global_step}/{state.max_steps} loss {logs['loss']:.4f} "
            f"{seconds:.2f} s/step"
        )
