"""Speed ratios, measured side by side in one run: `make bench`.

Every round measures all variants in a row, so that a busy machine slows them alike; the table
shows the median ratio over the rounds and their range. The course of an episode is scripted (the
model's weights are random), its arithmetic is not. Beside each ratio stands its FLOPs limit: what
the ratio would be if time were proportional to arithmetic.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from model import save_bench_model
from ratio import Ratio, save, show
from visionthink.core import protocol
from visionthink.core.episode import run_episode
from visionthink.core.images import Picture
from visionthink.core.ledger import Ledger, ModelShape, text_flops
from visionthink.core.types import Completion, Episode, Example, Look, Message, Sampling
from visionthink.engines.hf import HFEngine
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import build_prompt, pixels

TOKENS_PER_TURN = 32
SIDE = 1120  # 40 x 40 = 1,600 visual tokens
DIRECT = protocol.direct_reply("Clear enough.", "red")
REQUEST = protocol.request_reply("Too small to see.")
AGAIN = protocol.direct_reply("Clear now.", "red")


class ScriptedCourse:
    """Samples real tokens from the engine and then says what the script says."""

    def __init__(self, engine: HFEngine, replies: Sequence[str]) -> None:
        self._engine = engine
        self._replies = list(replies)
        self.model, self.grid, self.shape = engine.model, engine.grid, engine.shape
        self.profile = "mini"

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        completion = await self._engine.generate(messages, sampling)
        return replace(completion, text=self._replies.pop(0))

    async def close(self) -> None:
        await self._engine.close()


def episode(engine: HFEngine, example: Example, look: Look, replies: Sequence[str]) -> Episode:
    course = ScriptedCourse(engine, replies)
    sampling = Sampling(max_tokens=TOKENS_PER_TURN)
    return asyncio.run(run_episode(example, course, look=look, sampling=sampling))


def bare_generate(checkpoint: Checkpoint, example: Example) -> None:
    """What a careful user writes with transformers alone for the vanilla question."""
    messages = protocol.opening(protocol.PROFILES["mini-direct"], example.images, example.question)
    prompt = build_prompt(messages, checkpoint)
    ids = torch.tensor([prompt.ids])
    checkpoint.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == checkpoint.image_id).int(),
        pixel_values=pixels(prompt.pictures, prompt.grids, checkpoint),
        image_grid_thw=torch.tensor(prompt.grids),
        max_new_tokens=TOKENS_PER_TURN,
        do_sample=False,
        eos_token_id=None,
        suppress_tokens=list(checkpoint.banned_ids),
    )


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def flops(ledger: Ledger, shape: ModelShape) -> int:
    """Prefill plus decode of all turns."""
    decoded = sum(
        text_flops(1, turn.prompt_tokens + step, shape)
        for turn in ledger.turns
        for step in range(turn.completion_tokens - 1)
    )
    assert ledger.prefill_flops is not None
    return ledger.prefill_flops + decoded


def engine_ratios(rounds: int) -> list[Ratio]:
    with tempfile.TemporaryDirectory() as folder:
        engine = HFEngine(save_bench_model(Path(folder)), device="cpu", max_batch=1)
    # Nothing stops a reply before its 32 tokens.
    engine.checkpoint = checkpoint = replace(engine.checkpoint, stop_ids=())
    parameters = sum(p.numel() for p in checkpoint.model.parameters())
    print(f"model: {parameters / 1e6:.0f} M parameters, float32; image: {SIDE}x{SIDE} px")
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    example = Example((Picture(Image.fromarray(noise)),), "What colour is the circle?")
    runs: dict[str, Callable[[], Episode]] = {
        "vanilla": lambda: episode(engine, example, "high", [AGAIN]),
        "direct": lambda: episode(engine, example, "auto", [DIRECT]),
        "requested": lambda: episode(engine, example, "auto", [REQUEST, AGAIN]),
    }
    work = {name: flops(run().ledger, checkpoint.shape) for name, run in runs.items()}  # warm-up
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
