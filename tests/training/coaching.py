"""A trainer on rows of the embedded world, and judges that compare to the letter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

from visionthink.core.errors import ImageError, JudgeError
from visionthink.core.types import Example
from visionthink.data.rows import Rows
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.judges.judge import JudgeStats, Verdict
from visionthink.mini.world import make_example
from visionthink.training.config import TrainGrpo
from visionthink.training.trainer import VisionThinkTrainer


class World:
    """A row of the embedded world, opened on demand."""

    def __init__(self, family: str, seed: int) -> None:
        self._example = make_example(family, seed, "train")

    @property
    def id(self) -> str:
        return self._example.id

    @property
    def question(self) -> str:
        return self._example.question

    def open(self) -> Example:
        return self._example


class Unopenable(World):
    def open(self) -> Example:
        raise ImageError(f"row {self.id!r}: no such file")


class Exact:
    """Right if equal; fails on the first `failures` answers."""

    name = "exact"
    stats = JudgeStats()

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        if self.failures:
            self.failures -= 1
            raise JudgeError("the judge is down")
        return Verdict(int(prediction == answer), "rules")  # pyright: ignore[reportArgumentType]

    async def close(self) -> None:
        """Nothing is held."""


class BreaksDown(Exact):
    """Scores the first `count` answers and none after them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        if not self.left:
            raise JudgeError("the judge is down")
        self.left -= 1
        return await super().score(question, answer, prediction)


class CannotTell(Exact):
    """Cannot tell about one answer."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self.answer = answer

    async def score(self, question: str, answer: str | Sequence[str], prediction: str) -> Verdict:
        if prediction == self.answer:
            return Verdict(None, "exact")
        return await super().score(question, answer, prediction)


FAMILIES = ("colour", "receipt", "shape", "hatch")


def rows_of(count: int = 8) -> Rows:
    rows: Any = [World(FAMILIES[i % 4], i) for i in range(count)]
    return Rows(rows, "test")


def arguments(out: Path, **fields: Any) -> GRPOConfig:
    return GRPOConfig(
        str(out),
        **{
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 1,
            "num_generations": 4,
            "max_completion_length": 32,
            "max_steps": 1,
            "learning_rate": 1e-5,
            "beta": 0.001,
            "loss_type": "grpo",
            "use_bias_correction_kl": False,
            "remove_unused_columns": False,
            "bf16": False,
            "use_cpu": True,
            "report_to": "none",
            "logging_steps": 1,
            "gradient_checkpointing": False,
            "save_strategy": "no",
            "disable_tqdm": True,
            "seed": 3,
            **fields,
        },
    )


def settings_of(**options: Any) -> TrainGrpo:
    """A config whose judge is asked once."""
    return TrainGrpo.model_validate({"data": {}, "judge_limits": {"patience_s": 0}, **options})


def trainer_of(
    checkpoint: Checkpoint,
    out: Path,
    settings: TrainGrpo | None = None,
    *,
    judge: Any = None,
    rows: Rows | None = None,
    **fields: Any,
) -> VisionThinkTrainer:
    return VisionThinkTrainer(
        checkpoint,
        rows or rows_of(),
        judge or Exact(),
        settings or settings_of(),
        arguments(out, **fields),
    )


def batch_of(trainer: VisionThinkTrainer, rows: Sequence[int]) -> dict[str, Any]:
    """One generation batch of these rows, a group each."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    size = trainer.group_size
    question = [{"role": "user", "content": "?"}]
    inputs = [{"prompt": question, "row": row} for row in rows for _ in range(size)]
    return trainer._generate_and_score_completions(inputs)
