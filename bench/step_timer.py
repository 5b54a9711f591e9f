"""A trainer that waits for its turn before every step, and measures the parts of the step."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

from visionthink.training.trainer import VisionThinkTrainer

PARTS = {
    "generate": "the model's generate",
    "pixels": "image processor",
    "episodes": "opening images, episodes, judge, scores",
    "packing": "prompts and replies to tokens and back",
    "reference": "forward of the reference model",
    "batch": "padding, advantages, logs",
    "update": "data loader, forward, backward, optimizer",
}
"""The parts of a step; each second counts in exactly one of them."""


@dataclass(frozen=True)
class Step:
    """One measured step. `work` must be the same on both sides."""

    seconds: float
    parts: dict[str, float]
    work: tuple[Any, ...]


class Stopwatch:
    """Assigns time to parts; a part that begins inside another stops that one's clock."""

    def __init__(self) -> None:
        self.parts: defaultdict[str, float] = defaultdict(float)
        self._running = ["update"]
        self._since = time.perf_counter()

    def restart(self) -> None:
        self.parts.clear()
        self.skip()

    def lap(self) -> None:
        """Add the time since the last lap to the running part."""
        now = time.perf_counter()
        self.parts[self._running[-1]] += now - self._since
        self._since = now

    def skip(self) -> None:
        """Discard the time since the last lap."""
        self._since = time.perf_counter()

    def around(self, owner: Any, method: str, part: str | Callable[..., str]) -> None:
        """Time `owner.method` from now on."""
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.lap()
            self._running.append(part if isinstance(part, str) else part(*args))
            try:
                return inner(*args, **kwargs)
            finally:
                self.lap()
                self._running.pop()

        setattr(owner, method, timed)


class TakesTurns(TrainerCallback):
    """Waits for its turn before every step and reports the time of the step."""

    def __init__(self, trainer: Any, pipe: Any) -> None:
        self._pipe = pipe
        self._watch = watch = Stopwatch()
        self._work: tuple[Any, ...] = ()

        def forward(model: Any, *_: Any) -> str:
            return "reference" if model is trainer.ref_model else "update"

        watch.around(trainer, "_generate_and_score_completions", "batch")
        self._generate_and_score = trainer._generate_and_score_completions
        trainer._generate_and_score_completions = self._remember
        watch.around(trainer, "_generate", "packing")
        watch.around(trainer, "_calculate_rewards", "episodes")
        watch.around(trainer, "_generate_single_turn", "generate")
        watch.around(trainer, "_get_per_token_logps_and_entropies", forward)
        watch.around(trainer.processing_class.image_processor, "preprocess", "pixels")
        if isinstance(trainer, VisionThinkTrainer):
            watch.around(trainer, "_roll_out_groups", "episodes")

    def _remember(self, inputs: Any) -> Any:
        batch = self._generate_and_score(inputs)
        self._watch.lap()
        self._work = (
            tuple(batch["prompt_ids"].shape),
            int((batch["prompt_ids"] * (1 + batch["prompt_mask"].cumsum(1))).sum()),
            int(batch["completion_mask"].sum()),
            tuple(batch["pixel_values"].shape),
            round(float(batch["pixel_values"].double().abs().sum()), 3),
        )
        self._watch.skip()
        return batch

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._pipe.recv()
        self._watch.restart()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._watch.lap()
        parts = dict(self._watch.parts)
        self._pipe.send(Step(sum(parts.values()), parts, self._work))
        self._pipe.recv()
        self._watch.restart()
