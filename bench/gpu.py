"""What a GPU makes of the system, in one run: `python bench/gpu.py`.

A Qwen2.5-VL of 3 billion random weights in bfloat16: vanilla, direct and requested episodes at
1,600 and 6,400 visual tokens beside the ratio that arithmetic alone would give, and a GRPO step
with adapters. `--size toy` runs the same on any CPU in seconds. A further measurement is one
function and one row of `SECTIONS`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from trl.trainer.grpo_config import GRPOConfig

from fixed_replies import AGAIN, DIRECT, REQUEST, episode, flops, noise, seconds
from ratio import machine
from visionthink.core.families import FAMILIES
from visionthink.core.types import Episode, Example
from visionthink.data.rows import Rows
from visionthink.engines.families import RUNNERS
from visionthink.engines.hf import HFEngine
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.memory import PeakMemory
from visionthink.judges import JudgeOptions, open_judge
from visionthink.mini import CHECKPOINTS
from visionthink.training.arguments import under_new_names
from visionthink.training.config import LoraOptions, TrainGrpo
from visionthink.training.trainer import VisionThinkTrainer

FAMILY = "qwen2_5_vl"
REPLY = 32
"""Tokens of a reply in training."""


@dataclass(frozen=True)
class Setup:
    """What is measured: a model, images of `sides` px, and how often."""

    checkpoint: Checkpoint
    sides: tuple[int, ...]
    rounds: int
    group: int


@dataclass(frozen=True)
class Line:
    """One line of the table. `ratio` and `limit` are relative to the first line of its kind."""

    name: str
    seconds: float
    ratio: float | None = None
    limit: float | None = None
    tflops: float | None = None
    peak_gib: float | None = None


def random_checkpoint(size: str, device: str, dtype: torch.dtype) -> Checkpoint:
    """A model of random weights, made where it runs, with the embedded tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / "mini-base")
    text = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    if size == "3b":
        sizes = dict(FAMILIES[FAMILY].published["Qwen/Qwen2.5-VL-3B-Instruct"])
        sizes["text_config"] = {
            **sizes["text_config"],
            "rope_parameters": text,
            "max_position_embeddings": 32_768,
        }
    else:
        sizes = {
            "text_config": {
                "vocab_size": len(tokenizer),
                "hidden_size": 64,
                "intermediate_size": 96,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "max_position_embeddings": 8192,
                "rope_parameters": {**text, "mrope_section": [4, 6, 6]},
            },
            "vision_config": {
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_heads": 2,
                "out_hidden_size": 64,
                "fullatt_block_indexes": [1],
                "window_size": 112,
            },
        }
    sizes.pop("model_type", None)
    image, video, start, stop = tokenizer.convert_tokens_to_ids(
        ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    )
    config = Qwen2_5_VLConfig(
        **sizes,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=stop,
    )
    torch.manual_seed(0)
    with torch.device(device):
        network: Any = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=dtype)
    processor: Any = Qwen2VLImageProcessorPil(max_pixels=12_845_056)
    family, runner = FAMILIES[FAMILY], RUNNERS[FAMILY]
    return Checkpoint(
        name=f"random-{size}",
        model=network.eval(),
        tokenizer=tokenizer,
        image_processor=processor,
        grid=family.grid_of(config.to_dict(), processor.to_dict()),
        shape=family.shape(config.to_dict()),
        runner=runner,
        tokens=runner.special_tokens(config, tokenizer),
        stop_ids=(),  # nothing stops a reply before its last token
        pad_id=tokenizer.pad_token_id,
        profile="mini",
    )


def episodes(setup: Setup) -> list[Line]:
    """Vanilla, direct and requested episodes at each size, in turns; medians over the rounds."""
    engine = HFEngine(setup.checkpoint, max_batch=1)
    memory, lines = PeakMemory(engine), list[Line]()
    for side in setup.sides:
        example = noise(side)
        runs: dict[str, Callable[[], Episode]] = {
            "vanilla": lambda example=example: episode(engine, example, "high", [AGAIN]),
            "direct": lambda example=example: episode(engine, example, "auto", [DIRECT]),
            "requested": lambda example=example: episode(engine, example, "auto", [REQUEST, AGAIN]),
        }
        work: dict[str, int] = {}
        peaks: dict[str, int | None] = {}
        for name, run in runs.items():  # warm-up
            memory.restart()
            work[name] = flops(run(), engine)
            peaks[name] = memory.peak()
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(setup.rounds):
            for name, run in runs.items():
                times[name].append(seconds(run))
        took = {name: statistics.median(values) for name, values in times.items()}
        tokens = setup.checkpoint.cells(example.images)[0]
        for name, peak in peaks.items():
            lines.append(
                Line(
                    f"{name}, {tokens[0] * tokens[1]:,} visual tokens",
                    took[name],
                    took[name] / took["vanilla"],
                    work[name] / work["vanilla"],
                    work[name] / took[name] / 1e12,
                    peak / 2**30 if peak else None,
                )
            )
    return lines


class NoiseRow:
    """A training row about an image of noise."""

    def __init__(self, number: int, side: int) -> None:
        self.id, self.question, self._side = str(number), "What is shown?", side

    def open(self) -> Example:
        return replace(noise(self._side), answer="red", id=self.id)


def grpo(setup: Setup) -> list[Line]:
    """One GRPO step with adapters, after one that warms up: rollouts and the update."""
    checkpoint = setup.checkpoint
    gpu = checkpoint.device.type == "cuda"
    rows: Any = [NoiseRow(number, setup.sides[0]) for number in range(2)]
    memory = PeakMemory(HFEngine(checkpoint))
    with tempfile.TemporaryDirectory() as out:
        args = GRPOConfig(
            out,
            **under_new_names("grpo", {"gradient_checkpointing": gpu}),
            per_device_train_batch_size=setup.group,
            gradient_accumulation_steps=1,
            num_generations=setup.group,
            max_completion_length=REPLY,
            max_steps=2,
            learning_rate=1e-6,
            beta=0.001,
            loss_type="grpo",
            use_bias_correction_kl=False,
            remove_unused_columns=False,
            use_cpu=not gpu,
            bf16=gpu,
            report_to="none",
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = VisionThinkTrainer(
            checkpoint,
            Rows(rows, "noise"),
            open_judge(JudgeOptions(kind="rules", metric="exact")),
            TrainGrpo.model_validate({"data": {}, "profile": "mini"}),
            args,
            peft_config=LoraOptions().build(),
        )
        clock = StepClock(memory)
        trainer.add_callback(clock)
        trainer.train()
    rollout = trainer.last_metrics["time/rollout_s"]
    peak = clock.peak
    name = f"GRPO step, {setup.group} episodes with adapters"
    return [
        Line(name, clock.seconds, peak_gib=peak / 2**30 if peak else None),
        Line("  of it rollouts", rollout, rollout / clock.seconds),
    ]


class StepClock(transformers.TrainerCallback):
    """Seconds and peak memory of the latest step."""

    def __init__(self, memory: PeakMemory) -> None:
        self._memory = memory
        self.seconds = 0.0
        self.peak: int | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._memory.restart()
        self._started = torch_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds = torch_time() - self._started
        self.peak = self._memory.peak()


def torch_time() -> float:
    """Seconds on a clock, once the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


SECTIONS: dict[str, Callable[[Setup], list[Line]]] = {"episodes": episodes, "grpo": grpo}


def show(lines: Sequence[Line]) -> None:
    print(f"machine: {machine()}")
    print(f"{'':<44}{'seconds':>9}{'ratio':>8}{'limit':>8}{'TFLOP/s':>9}{'peak GiB':>10}")
    for line in lines:
        cells = [
            (line.ratio, 8, 2),
            (line.limit, 8, 2),
            (line.tflops, 9, 1),
            (line.peak_gib, 10, 1),
        ]
        shown = "".join(
            f"{'' if value is None else f'{value:.{digits}f}':>{width}}"
            for value, width, digits in cells
        )
        print(f"{line.name:<44}{line.seconds:>9.3f}{shown}")


def main(arguments: Sequence[str] | None = None) -> list[Line]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=["3b", "toy"], default="3b")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(SECTIONS), action="append", help="default: all")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "out"), "gpu.json"))
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=FutureWarning)
    transformers.utils.logging.set_verbosity_error()
    dtype = torch.bfloat16 if options.device.startswith("cuda") else torch.float32
    setup = Setup(
        random_checkpoint(options.size, options.device, dtype),
        sides=(1120, 2240) if options.size == "3b" else (112, 224),  # 1,600 and 6,400; 16 and 64
        rounds=options.rounds,
        group=4 if options.size == "3b" else 2,
    )
    lines: list[Line] = []
    for name in options.only or SECTIONS:
        lines += SECTIONS[name](setup)
        show(lines)  # after each section: a run that is cut off has shown what it measured
        options.out.parent.mkdir(parents=True, exist_ok=True)
        held = {"machine": machine(), "lines": [asdict(line) for line in lines]}
        options.out.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
    return lines


if __name__ == "__main__":
    main()
