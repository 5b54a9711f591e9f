"""`train grpo`: reinforcement learning, from a config to a run folder with a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visionthink.core.episode import DEFAULT_PROFILE
from visionthink.core.errors import TrainingError, UsageError
from visionthink.core.protocol import profile_for
from visionthink.judges import open_judge
from visionthink.training.callbacks import Evaluation, Interrupt, RunLog, Say, Watchdog
from visionthink.training.config import TrainGrpo, batch_plan, grpo_arguments
from visionthink.training.export import export_checkpoint
from visionthink.training.rollout_types import RolloutSettings
from visionthink.training.run import (
    CHECKPOINTS,
    MODEL,
    begin,
    load_model,
    read_data,
    report_into,
    voice_of,
)
from visionthink.training.trainer import VisionThinkTrainer


def train_grpo(config: TrainGrpo, out: Path, resume: bool = False, say: Say = print) -> Path:
    """Train, and leave the checkpoint in `out`/model.

    Args:
        config: see `load_config`.
        out: the run folder; new or empty, or with `resume` one of the same config but for
            `config.MAY_CHANGE`.
        resume: continue from the last checkpoint in `out`.
        say: receives lines for the user; called on the main process only.

    Raises:
        TrainingError: the judge failed too often, or the watchdog stopped the run.
        RunError, DataError, UsageError, EngineError: see `core.errors`.
        KeyboardInterrupt: stopped by the user; a checkpoint is there.
    """
    args = grpo_arguments(config, out / CHECKPOINTS)
    voice = voice_of(args, say)
    plan = batch_plan(config)
    rows = read_data(config.data, voice)
    held_out = read_data(config.eval.data, voice) if config.eval else None
    if len(rows) < plan.prompts:  # not one generation: `Trainer` would end without a step
        raise UsageError(
            f"a generation takes {plan.prompts} prompts, but {rows.source} has {len(rows)} rows; "
            "give more rows, or lower batch.prompts and batch.update_prompts"
        )
    judge = open_judge(config.judge)
    checkpoint = load_model(config.model)
    profile = config.profile or checkpoint.profile or DEFAULT_PROFILE
    profile_for(config.look, profile)  # refuses profiles that cannot request
    run, last = begin(config, out, resume, args.process_index == 0, voice)

    updates = plan.updates
    watchdog = config.watchdog
    log = RunLog(
        run,
        voice,
        samples=config.samples_per_step,
        updates=updates,
        watchdog=None if watchdog.action == "off" else Watchdog(watchdog.steps, watchdog.margin),
        stop_on_collapse=watchdog.action == "stop",
    )
    interrupt = Interrupt(updates, voice)
    callbacks: list[Any] = [log, interrupt]
    if config.eval and held_out is not None:
        callbacks.append(Evaluation(held_out[: config.eval.limit], config.eval.every))
    trainer = VisionThinkTrainer(
        checkpoint,
        rows,
        judge,
        _settings(config, profile),
        args,
        callbacks=callbacks,
        peft_config=config.model.lora.build() if config.model.lora else None,
    )
    for callback in callbacks:
        callback.trainer = trainer
    voice(
        f"training {config.model.name} on {len(rows)} questions, "
        f"{plan.prompts} prompts of {plan.group} episodes per generation"
    )
    report_into(trainer, out)
    try:
        trainer.train_from(last)
    finally:
        interrupt.restore()
    if interrupt.stopped:
        raise KeyboardInterrupt
    if log.collapse is not None and watchdog.action == "stop":
        raise TrainingError(
            f"stopped by the watchdog: {log.collapse}; the last checkpoint is in "
            f"{out / CHECKPOINTS}; resume with --set watchdog.action=warn to continue all the same"
        )
    folder = out / MODEL
    export_checkpoint(trainer, checkpoint, profile, folder)
    if run is not None:
        run.close()
    voice(f"the trained checkpoint is {folder}")
    return folder


def _settings(config: TrainGrpo, profile: str) -> RolloutSettings:
    return RolloutSettings(
        look=config.look,
        profile=profile,
        max_turns=config.max_turns,
        reward=config.reward.build(),
        advantage_floor=config.reward.advantage_floor,
        resample_rounds=config.resample.max_rounds,
        max_unscored_rate=config.judge_limits.max_unscored_rate,
        patience_s=config.judge_limits.patience_s,
        rollout_batch=config.rollout_batch,
    )
