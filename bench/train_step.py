"""One optimizer step of our trainer beside one of TRL's: `python bench/train_step.py`.

Both train the same model on the same prompts with the same half-size images (look `low`, one turn),
the same batch, and replies of equal length. Each has its own process, and they take turns
step by step, so that a busy machine slows them alike. A step is everything between two updates,
reading the data included. The work of both is compared at every step: the prompts, the pixels
and the shapes of the batch must be equal.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import transformers
from trl.trainer.grpo_config import GRPOConfig

from model import save_bench_model
from plain_trl import plain_trainer
from ratio import Ratio, save, show
from step_timer import PARTS, Step, TakesTurns
from visionthink.data.source import DataOptions, load_rows
from visionthink.engines.hf_checkpoint import load_checkpoint
from visionthink.judges import JudgeOptions, open_judge
from visionthink.mini import CHECKPOINTS
from visionthink.mini.world import FAMILIES, make_example
from visionthink.training.arguments import under_new_names
from visionthink.training.config import TrainGrpo
from visionthink.training.trainer import VisionThinkTrainer

BAR = 1.15
PROFILE = "mini"
Side = Literal["ours", "plain"]
SIDES: tuple[Side, Side] = ("ours", "plain")


@dataclass(frozen=True)
class Task:
    """The settings of both trainers."""

    model: str
    data: str
    out: str
    prompts: int
    group: int
    tokens: int
    steps: int
    attention: str
    gpu: bool


def arguments(task: Task, side: Side, banned: tuple[int, ...]) -> GRPOConfig:
    """Settings that are the same for both sides."""
    fields = under_new_names("grpo", {"gradient_checkpointing": False})
    return GRPOConfig(
        str(Path(task.out, side)),
        **fields,
        per_device_train_batch_size=task.prompts * task.group,
        gradient_accumulation_steps=1,
        num_generations=task.group,
        max_completion_length=task.tokens,
        generation_kwargs={"min_new_tokens": task.tokens, "suppress_tokens": list(banned)},
        max_steps=task.steps,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        beta=0.001,
        loss_type="grpo",
        use_bias_correction_kl=False,
        shuffle_dataset=False,
        remove_unused_columns=False,
        use_cpu=not task.gpu,
        bf16=task.gpu,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
    )


def train(side: Side, task: Task, pipe: Any) -> None:
    """The process of one side."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    checkpoint = load_checkpoint(task.model, device="cpu", dtype="float32")
    checkpoint.model.set_attn_implementation(task.attention)
    rows = load_rows(DataOptions(path=task.data))
    args = arguments(task, side, checkpoint.tokens.banned)
    if side == "plain":
        trainer = plain_trainer(checkpoint, rows, PROFILE, args)
    else:
        options = {"data": {}, "look": "low", "profile": PROFILE, "max_turns": 1}
        settings = TrainGrpo.model_validate(options)
        judge = open_judge(JudgeOptions(kind="rules", metric="exact"))
        trainer = VisionThinkTrainer(checkpoint, rows, judge, settings, args)
    trainer.add_callback(TakesTurns(trainer, pipe))
    trainer.train()


def write_rows(folder: Path, count: int) -> Path:
    """Drawings of the embedded world as PNG files and a JSONL file."""
    path = folder / "rows.jsonl"
    families = list(FAMILIES)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            example = make_example(families[number % len(families)], number, "train")
            example.images[0].image.save(folder / f"{number}.png")
            row = {"id": str(number), "image": f"{number}.png", "question": example.question}
            file.write(json.dumps({**row, "answer": example.answer}) + "\n")
    return path


def alternate(task: Task) -> dict[Side, list[Step]]:
    """All steps of both sides; the side that goes first changes from step to step."""
    spawn = multiprocessing.get_context("spawn")
    pipes: dict[Side, Any] = {}
    processes: list[Any] = []
    for side in SIDES:
        pipes[side], theirs = spawn.Pipe()
        processes.append(spawn.Process(target=train, args=(side, task, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
    steps: dict[Side, list[Step]] = {side: [] for side in SIDES}
    for number in range(task.steps):
        for side in SIDES if number % 2 else SIDES[::-1]:
            pipes[side].send("go")
            steps[side].append(pipes[side].recv())
        ours, plain = (steps[side][-1] for side in SIDES)
        assert ours.work == plain.work, f"not the same work: {ours.work} and {plain.work}"
        print(
            f"step {number + 1}: ours {ours.seconds:.3f} s, plain {plain.seconds:.3f} s",
            file=sys.stderr,
        )
    for side, process in zip(SIDES, processes, strict=True):
        pipes[side].send("go")
        process.join()
    return steps


def median_parts(steps: list[Step]) -> dict[str, float]:
    return {part: statistics.median(step.parts.get(part, 0.0) for step in steps) for part in PARTS}


def report(steps: dict[Side, list[Step]]) -> Ratio:
    """Print where the time goes; return the ratio."""
    parts = {side: median_parts(steps[side]) for side in SIDES}
    print(f"{'median ms per step':<52}{'ours':>8}{'plain':>8}")
    for part, meaning in PARTS.items():
        ours, plain = (1000 * parts[side][part] for side in SIDES)
        print(f"{part:<12}{meaning:<40}{ours:>8.0f}{plain:>8.0f}")
    whole = {side: 1000 * statistics.median(s.seconds for s in steps[side]) for side in SIDES}
    print(f"{'whole step':<52}{whole['ours']:>8.0f}{whole['plain']:>8.0f}")
    pairs = zip(steps["ours"], steps["plain"], strict=True)
    return Ratio(
        "our GRPO step / plain TRL step", tuple(a.seconds / b.seconds for a, b in pairs), BAR
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32, help="of every reply")
    parser.add_argument("--steps", type=int, default=15, help="measured, after the warm-up")
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--hidden", type=int, help="a model of random weights; default: mini-base")
    parser.add_argument("--layers", type=int, default=12, help="of the random model")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("out/bench_train_step.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = options.warm_up + options.steps
        model = CHECKPOINTS / "mini-base"
        if options.hidden:
            model = save_bench_model(folder / "model", options.hidden, options.layers)
        task = Task(
            model=str(model),
            data=str(write_rows(folder, options.prompts * steps)),
            out=name,
            prompts=options.prompts,
            group=options.group,
            tokens=options.tokens,
            steps=steps,
            attention=options.attention,
            gpu=options.gpu,
        )
        measured = alternate(task)
    ratio = report({side: of_side[options.warm_up :] for side, of_side in measured.items()})
    show([ratio])
    save([ratio], options.out)


if __name__ == "__main__":
    main()
