"""`train grpo`: reinforcement learning, from a config to a run folder with a trained model."""

from __future__ import annotations

from pathlib import Path

from visionthink.core.episode import DEFAULT_PROFILE
from visionthink.core.errors import UsageError
from visionthink.core.protocol import profile_for
from visionthink.judges import open_judge
from visionthink.training.callbacks import Evaluation, RunLog, Say, Watchdog
from visionthink.training.config import TrainGrpo, batch_plan, grpo_arguments
from visionthink.training.run import CHECKPOINTS, begin, load_model, read_data, voice_of
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
    session = begin(config, out, resume, args.process_index == 0, voice)
    trainer = VisionThinkTrainer(
        checkpoint,
        rows,
        judge,
        config,
        args,
        peft_config=config.model.lora.build() if config.model.lora else None,
    )
    dog = config.watchdog
    log = RunLog(
        trainer,
        session.run,
        voice,
        samples=config.samples_per_step,
        updates=plan.updates,
        watchdog=None if dog.action == "off" else Watchdog(dog.steps, dog.margin),
        stop_on_collapse=dog.action == "stop",
    )
    trainer.add_callback(log)
    if config.eval and held_out is not None:
        few = held_out[: config.eval.limit]
        trainer.add_callback(Evaluation(trainer, few, config.eval.every))
    voice(
        f"training {config.model.name} on {len(rows)} questions, "
        f"{plan.prompts} prompts of {plan.group} episodes per generation"
    )
    return session.train(trainer, checkpoint, profile, plan.updates, "generation")
