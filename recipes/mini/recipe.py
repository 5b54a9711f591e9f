"""The recipe: a tokenizer, then a model that learns to see, to answer and to request.

The stages are `STAGES`, described in docs/mini.md. Each saves its state every `SAVE_EVERY` steps,
and a rerun resumes from the last save. `base` and `settle` request as often as they answer and give
`mini-base`; `sft` requests by the family's kind and gives `mini-sft`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from recipes.mini.lessons import (
    BASE_LESSONS,
    READ_LESSONS,
    SEE_LESSONS,
    SETTLE_LESSONS,
    SFT_LESSONS,
    Lesson,
    packs_of,
)
from recipes.mini.model import TEXT, build_model, save_checkpoint
from recipes.mini.packing import Packer, packed_loss
from recipes.mini.tokenizer import build_tokenizer
from recipes.mini.vision_pretraining import VisionHeads

SEED = 7
CORES = 2
SAVE_EVERY = 25
Print = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        name: also names the file with the stage's state.
        steps: optimizer steps.
        rate, end: learning rate at the start and at the end.
        lessons: what the language model learns; empty while the vision tower trains alone.
        vision: the vision tower's learning rate as a share of `rate`; 0 freezes the tower, so that
            a language model which cannot talk yet does not spoil what the tower has learnt.
        checkpoint: name of the checkpoint saved at the end, if any.
    """

    name: str
    steps: int
    rate: float
    end: float
    lessons: tuple[Lesson, ...] = ()
    vision: float = 1.0
    checkpoint: str = ""


STAGES = (
    Stage("look", 800, 2e-3, 8e-4),
    Stage("read", 600, 1.5e-3, 1.2e-3, READ_LESSONS, vision=0.0),
    Stage("see", 900, 1.2e-3, 9e-4, SEE_LESSONS, vision=0.6),
    Stage("base", 560, 9e-4, 3e-5, BASE_LESSONS, vision=0.6),
    Stage("settle", 400, 6e-4, 2e-5, SETTLE_LESSONS, vision=0.8, checkpoint="mini-base"),
    Stage("sft", 120, 3e-4, 1e-5, SFT_LESSONS, vision=0.5, checkpoint="mini-sft"),
)


def learning_rate(stage: Stage, step: int) -> float:
    """Warm-up over 40 steps, then a half cosine from `rate` to `end`."""
    progress = step / max(1, stage.steps)
    cosine = stage.end + (stage.rate - stage.end) * 0.5 * (1 + math.cos(math.pi * progress))
    return cosine * min(1.0, (step + 1) / 40)


def set_gradients(
    parameters: Sequence[torch.nn.Parameter],
    losses: Sequence[Callable[[], torch.Tensor]],
    pool: ThreadPoolExecutor,
) -> float:
    """Set `.grad` to the gradient of the mean of `losses`, and return that mean.

    Two losses run at a time, one per core: the matrices are too small to split between cores. The
    gradients are summed in a fixed order, so a rerun gives the same numbers.
    """

    def work(make: Callable[[], torch.Tensor]) -> tuple[float, tuple[torch.Tensor | None, ...]]:
        loss = make() / len(losses)
        return loss.item(), torch.autograd.grad(loss, parameters, allow_unused=True)

    done = list(pool.map(work, losses))
    for index, parameter in enumerate(parameters):
        parts = [part for _, grads in done if (part := grads[index]) is not None]
        parameter.grad = torch.stack(parts).sum(0) if len(parts) > 1 else next(iter(parts), None)
    return sum(loss for loss, _ in done)


def train_stage(
    model: Any, heads: VisionHeads, packer: Packer, stage: Stage, folder: Path, report: Print
) -> None:
    """Train one stage in place, from its last save if there is one."""
    tower = list(model.model.visual.parameters())
    for parameter in tower:
        parameter.requires_grad_(stage.vision > 0)
    known = {id(parameter) for parameter in tower}
    rest = [p for p in (*model.parameters(), *heads.parameters()) if id(p) not in known]
    parameters = [*rest, *tower] if stage.vision else rest
    groups = [{"params": rest, "share": 1.0}, {"params": tower, "share": stage.vision}]
    optimizer = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.01)
    saved = folder / f"{stage.name}.pt"
    first = 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        heads.load_state_dict(state["heads"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    model.train()
    pool = ThreadPoolExecutor(CORES)
    started, mean = time.perf_counter(), 0.0
    for step in range(first, stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, step) * group["share"]
        packs = packs_of(stage.lessons, packer, stage.name, step)
        losses = [partial(packed_loss, model, pack, packer.image) for pack in packs]
        if stage.vision:
            losses += heads.exercises(model, stage.name, step)
        loss = set_gradients(parameters, losses, pool)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        mean = loss if step == first else 0.95 * mean + 0.05 * loss
        done = step + 1
        if done % SAVE_EVERY == 0 or done == stage.steps:
            seconds = (time.perf_counter() - started) / (done - first)
            report(f"{stage.name} {done}/{stage.steps} loss {mean:.3f} {seconds:.2f} s/step")
            state = {
                "model": model.state_dict(),
                "heads": heads.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": done,
            }
            torch.save(state, saved.with_suffix(".tmp"))
            saved.with_suffix(".tmp").replace(saved)
    pool.shutdown()


def run_recipe(out: Path, report: Print = print, stages: tuple[Stage, ...] = STAGES) -> None:
    """Make the tokenizer and both checkpoints in `out`; resumes an interrupted run."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    packer = Packer(tokenizer)
    model = build_model(tokenizer, SEED)
    model.set_attn_implementation("eager")
    heads = VisionHeads(TEXT["hidden_size"])
    for stage in stages:
        train_stage(model, heads, packer, stage, out, report)
        if stage.checkpoint:
            save_checkpoint(model, tokenizer, out / stage.checkpoint)
            report(f"saved {out / stage.checkpoint}")
