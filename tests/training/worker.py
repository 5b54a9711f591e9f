"""What torchrun starts on every process: named scenarios of training, their figures left as JSON.

    torchrun --nproc_per_node 2 worker.py OUT SCENARIO [SCENARIO ...]

`figures` runs the same scenarios inside a test, as the one process that others are compared with.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch

from training.coaching import Exact, arguments, rows_of, settings_of
from training.replaying import in_turns
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Episode, Example
from visionthink.engines.hf_checkpoint import load_checkpoint
from visionthink.engines.hf_prompt import Prompt
from visionthink.mini import CHECKPOINTS
from visionthink.training.rollout_facts import Facts
from visionthink.training.trainer import VisionThinkTrainer

GROUP = 4
RATE = 0.003
"""So small that the second step starts near the first: far from it, KL grows with e to the power of
every rounding."""

Script = Callable[[Example, int, int], Sequence[str]]
"""What the policy says, turn by turn: of an example, its place among what all processes roll out at
once, and how often something was rolled out before."""


def spoken(example: Example, place: int, round_: int) -> Sequence[str]:
    """Every way of ending, spread over the groups so that their rewards differ; in every third row
    no direct answer is right.
    """
    right, number = str(example.answer), int(example.id.rpartition("-")[2])
    ways = [
        [direct_reply("seen", right if number % 3 else "lost")],
        [request_reply("too small"), direct_reply("now", right)],
        [direct_reply("seen", "nothing")],
        [request_reply("too small"), direct_reply("now", "nothing")],
        ["<think>and nothing else</think>"],
    ]
    return ways[(number + place % GROUP * (1 + number % 2)) % len(ways)]


TEACHES = {(0, 1), (1, 0), (2, 0)}
"""(round, group of that round): of three groups the first and the last are drawn anew, the last of
them once more. With six samples on each of two processes it lies on the second alone."""


def dull_at_first(example: Example, place: int, round_: int) -> Sequence[str]:
    """All wrong, or one of four right in the groups that teach."""
    group, member = divmod(place, GROUP)
    lucky = member == 0 and (round_, group) in TEACHES
    return [direct_reply("seen", str(example.answer) if lucky else "nothing")]


def apart(example: Example, place: int, round_: int) -> Sequence[str]:
    """Of two groups the second requests, the first answers at once: one process is done first."""
    says = str(example.answer) if place % 2 else "nothing"
    asks = [request_reply("too small")] if place >= GROUP else []
    return [*asks, direct_reply("seen", says)]


class Scripted(VisionThinkTrainer):
    """The trainer with a script in place of sampling, the same for any number of processes."""

    script: Script = staticmethod(spoken)
    generates = False
    """Whether the model generates all the same, and only its words are replaced."""

    drawn = 0

    def _roll_out_and_judge(
        self, rows: list[int], examples: list[Example]
    ) -> tuple[list[Episode], list[Facts]]:
        counts = self._gather([len(rows)])
        first = sum(counts[: self.accelerator.process_index])
        scripts = [
            self.script(example, first + i, self.drawn) for i, example in enumerate(examples)
        ]
        self.drawn += 1
        sampled, say = super().generate, in_turns(self.checkpoint, scripts)

        def generate(prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
            if self.generates:
                sampled(prompts)
            return say(prompts)

        self.generate = generate  # pyright: ignore[reportAttributeAccessIssue]
        return super()._roll_out_and_judge(rows, examples)


class Resampled(Scripted):
    script = staticmethod(dull_at_first)


class Apart(Scripted):
    script = staticmethod(apart)
    generates = True


def train(
    out: Path, kind: type[VisionThinkTrainer], samples: int, *, redraws: int = 0, **fields: Any
) -> VisionThinkTrainer:
    """A trainer of `samples` samples a generation over all processes, at the end of training.

    Plain gradient descent: a step's weights show its gradient.
    """
    trainer = kind(
        load_checkpoint(CHECKPOINTS / "mini-base", device="cpu"),
        rows_of(),
        Exact(),
        settings_of(resample={"max_rounds": redraws}),
        arguments(
            out,
            **{
                "per_device_train_batch_size": samples // int(os.environ.get("WORLD_SIZE", "1")),
                "optim": "sgd",
                "learning_rate": RATE,
                "lr_scheduler_type": "constant",
                "max_grad_norm": 1e6,  # measured, and never reached
                **fields,
            },
        ),
    )
    trainer.train()
    return trainer


SCENARIOS: dict[str, Callable[[Path], VisionThinkTrainer]] = {
    "straddling": lambda out: train(out, Scripted, 12, max_steps=2, beta=0.1),
    "aligned": lambda out: train(out, Scripted, 16, max_steps=2, beta=0.1),
    "resampled": lambda out: train(out, Resampled, 12, redraws=3),
    "sampled": lambda out: train(out, VisionThinkTrainer, 8, max_steps=2),
    "apart": lambda out: train(out, Apart, 8),
}


def figures(name: str, out: Path) -> dict[str, Any]:
    """What one process has to say after a scenario; the weights are left by the main one."""
    trainer = SCENARIOS[name](out)
    rollouts = trainer.rollouts
    assert rollouts is not None
    state: Any = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.accelerator.is_main_process:
        torch.save({key: value.clone() for key, value in state.items()}, out / f"{name}.pt")
    return {
        "sharded": trainer.is_fsdp_enabled,
        "rows": rollouts.rows,
        "rewards": [[r and asdict(r) for r in score.rewards] for score in rollouts.scores],
        "r": [score.r for score in rollouts.scores],
        "shares": rollouts.shares,
        "said": [[turn.text for turn in episode.turns] for episode in rollouts.episodes],
        "rounds": getattr(trainer, "drawn", None),
        "logs": trainer.state.log_history,
    }


def allow_fsdp_on_cpu() -> None:
    """Accelerate ignores FSDP where processes train on CPUs; gloo is good enough for a proof."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    begin = AcceleratorState.__init__

    def init(self: Any, *args: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        begin(self, *args, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = init


def main(out: Path, names: Sequence[str]) -> None:
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        allow_fsdp_on_cpu()
    for name in names:
        told = figures(name, out)
        path = out / f"{name}-{os.environ['RANK']}.json"
        path.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
