"""Speed ratios, measured side by side in one run: `make bench`.

Every round measures all variants in a row, so that a busy machine slows them alike; the table
shows the median ratio over the rounds and their range. Replies are scripted (the
model's weights are random); the arithmetic is real. The FLOPs limit beside each ratio is the ratio
if time were proportional to arithmetic.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from fixed_replies import AGAIN, DIRECT, REQUEST, TOKENS_PER_TURN, episode, flops, noise, seconds
from model import save_bench_model
from ratio import Ratio, save, show
from visionthink.core import protocol
from visionthink.core.types import Episode, Example
from visionthink.engines.hf import HFEngine
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import build_prompt

SIDE = 1120  # 40 x 40 = 1,600 visual tokens


def bare_generate(checkpoint: Checkpoint, example: Example) -> None:
    """What a careful user writes with transformers alone for the vanilla question."""
    messages = protocol.opening(protocol.PROFILES["mini-direct"], example.images, example.question)
    prompt = build_prompt(messages, checkpoint)
    ids = torch.tensor([prompt.ids])
    checkpoint.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        **checkpoint.markers(ids),
        **checkpoint.inputs(prompt.pictures),
        max_new_tokens=TOKENS_PER_TURN,
        do_sample=False,
        eos_token_id=None,
        suppress_tokens=list(checkpoint.tokens.banned),
    )


def engine_ratios(rounds: int) -> list[Ratio]:
    with tempfile.TemporaryDirectory() as folder:
        engine = HFEngine(save_bench_model(Path(folder)), device="cpu", max_batch=1)
    # Nothing stops a reply before its 32 tokens.
    engine.checkpoint = checkpoint = replace(engine.checkpoint, stop_ids=())
    parameters = sum(p.numel() for p in checkpoint.model.parameters())
    print(f"model: {parameters / 1e6:.0f} M parameters, float32; image: {SIDE}x{SIDE} px")
    example = noise(SIDE)
    runs: dict[str, Callable[[], Episode]] = {
        "vanilla": lambda: episode(engine, example, "high", [AGAIN]),
        "direct": lambda: episode(engine, example, "auto", [DIRECT]),
        "requested": lambda: episode(engine, example, "auto", [REQUEST, AGAIN]),
    }
    work = {name: flops(run(), engine) for name, run in runs.items()}  # warm-up
    bare = partial(bare_generate, checkpoint, example)
    engine.thread.submit(bare).result()  # in the engine's thread: two would slow each other down
    times: dict[str, list[float]] = {name: [] for name in (*runs, "bare")}
    for number in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run))
        times["bare"].append(engine.thread.submit(seconds, bare).result())
        print(f"round {number + 1}/{rounds}", file=sys.stderr)

    def over(name: str, base: str) -> tuple[float, ...]:
        return tuple(a / b for a, b in zip(times[name], times[base], strict=True))

    return [
        Ratio(
            "direct / vanilla", over("direct", "vanilla"), 0.45, work["direct"] / work["vanilla"]
        ),
        Ratio(
            "requested / vanilla",
            over("requested", "vanilla"),
            1.50,
            work["requested"] / work["vanilla"],
        ),
        Ratio("vanilla / bare generate", over("vanilla", "bare"), 1.05, 1.0),
    ]


EMPTY_APP = "import click\n@click.group()\ndef cli(): 'Empty.'\ncli()\n"


def help_ratio(rounds: int) -> Ratio:
    ours = [str(Path(sys.executable).with_name("visionthink")), "--help"]
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY_APP)

        def start(command: list[str]) -> float:
            return seconds(lambda: subprocess.run(command, check=True, capture_output=True))  # noqa: S603

        theirs = [sys.executable, str(empty), "--help"]
        start(ours)
        start(theirs)
        values = tuple(start(ours) / start(theirs) for _ in range(rounds))
    return Ratio("visionthink --help / empty click app", values, 1.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    options = parser.parse_args()
    ratios = [*engine_ratios(options.rounds), help_ratio(4 * options.rounds)]
    show(ratios)
    save(ratios, options.out)


if __name__ == "__main__":
    main()
