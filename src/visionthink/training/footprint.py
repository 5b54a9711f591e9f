"""An estimate of a training run: memory, tokens and FLOPs, from sizes alone; loads no weights.

Every figure comes with its formula. Memory is that of one process without sharding; FSDP and ZeRO-3
divide weights, gradients, optimizer and reference by the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.core.errors import VisionThinkError
from visionthink.core.images import DEFAULT_LIMITS, Size, half_size
from visionthink.core.ledger import BYTES, CHARACTERS_PER_TOKEN, text_flops
from visionthink.core.profiles import PROFILES, Profile
from visionthink.core.protocol import profile_for
from visionthink.data.source import DataOptions, load_rows
from visionthink.training.arguments import GRPO_DEFAULTS
from visionthink.training.config import TrainConfig, TrainGrpo, batch_plan, processes_here
from visionthink.training.sizes import Sizes, model_sizes

ASSUMED_SIZE: Size = (1024, 1024)
ASSUMED_REQUESTS = 0.5
PROBED_ROWS = 16


@dataclass(frozen=True)
class Figure:
    """One line of the estimate."""

    name: str
    value: float
    unit: str
    formula: str

    def __str__(self) -> str:
        return f"{self.name:<34}{_short(self.value, self.unit):>12}  = {self.formula}"


def _short(value: float, unit: str) -> str:
    steps = {"B": ("B", "kB", "MB", "GB", "TB", "PB"), "FLOP": ("", "k", "M", "G", "T", "P", "E")}
    if unit not in steps:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    power = min(len(steps[unit]) - 1, int(math.log10(max(value, 1)) // 3))
    return f"{value / 1000**power:.3g} {steps[unit][power]}" + ("" if unit == "B" else unit)


@dataclass(frozen=True)
class Look:
    """Tokens of one sample: its images at half and full size, and its text."""

    low: int
    high: int
    text: int


def estimate(
    config: TrainConfig, processes: int | None = None, image: Size | None = None
) -> list[Figure]:
    """The figures of a run.

    Args:
        config: the run.
        processes: how many train together; default: torchrun's WORLD_SIZE, else one.
        image: (width, height) of a typical image; default: a square with the mean area of the first
            images of the data if it is available, else 1024 x 1024.

    Raises:
        UsageError: the batch numbers do not fit together, or the model's sizes are unknown.
    """
    world = processes_here() if processes is None else processes
    sizes = model_sizes(config.model)
    size, origin = (image, "as given") if image else typical_size(config.data)
    mode = config.look if isinstance(config, TrainGrpo) else "auto"
    profile = _profile(config, mode)
    low_size = size if mode == "high" else half_size(size, sizes.grid)
    low, high = (math.prod(sizes.grid.cells(each)) for each in (low_size, size))
    text = (len(profile.system) + len(profile.user) + 100) // CHARACTERS_PER_TOKEN
    look = Look(low, high, text)
    figures = [
        Figure("processes", world, "", "torchrun's WORLD_SIZE, or --processes"),
        *_memory(config, sizes),
        Figure(
            "visual tokens, first look",
            low,
            "",
            f"of {low_size[0]}x{low_size[1]} px; image {origin}",
        ),
    ]
    if mode == "auto":
        mean = low + ASSUMED_REQUESTS * high
        figures += [
            Figure("visual tokens, original", high, "", f"of {size[0]}x{size[1]} px"),
            Figure("visual tokens, mean", mean, "", f"{low} + {ASSUMED_REQUESTS:g} x {high}"),
        ]
    if isinstance(config, TrainGrpo):
        return figures + _grpo(config, sizes, look, world)
    return figures + _sft(config, sizes, look, world)


def typical_size(data: DataOptions) -> tuple[Size, str]:
    """The size of a square with the mean area of the first images, and its origin."""
    try:
        if data.format == "hub":
            raise ValueError
        rows = load_rows(data.model_copy(update={"limit": PROBED_ROWS, "skip_bad": True}))
        images = [row.images[0].open(DEFAULT_LIMITS) for row in rows[:PROBED_ROWS]]
        side = math.sqrt(sum(math.prod(image.size) for image in images) / len(images))
    except (VisionThinkError, ValueError):
        return ASSUMED_SIZE, "assumed: the data is not available"
    return (round(side), round(side)), f"of the mean area of the first {len(images)}"


def _profile(config: TrainConfig, mode: str) -> Profile:
    """The prompts; the checkpoint may name others, of about the same length."""
    name = config.profile or ("mini" if config.model.name.startswith("mini-") else "agent")
    return profile_for("high", name) if mode == "high" else PROFILES[name]


def _memory(config: TrainConfig, sizes: Sizes) -> list[Figure]:
    dtype = config.model.weights_dtype
    each = BYTES[dtype]
    held = sizes.parameters + sizes.adapters
    lora = config.model.lora is not None
    trained = 4 if lora else each  # adapters are float32
    beta = config.trainer.get("beta", GRPO_DEFAULTS["beta"])
    figures = [
        Figure("weights", held * each, "B", f"{held:,} parameters x {each} ({dtype})"),
        Figure("gradients", sizes.trainable * trained, "B", f"{sizes.trainable:,} x {trained}"),
        Figure(
            "optimizer",
            2 * sizes.trainable * trained,
            "B",
            f"2 moments x {sizes.trainable:,} x {trained} (AdamW)",
        ),
    ]
    if isinstance(config, TrainGrpo):
        copied = bool(beta) and not lora
        formula = f"{sizes.parameters:,} x {each}"
        if not copied:
            formula = f"none: {'the policy without its adapters' if beta else 'beta is 0'}"
        figures.append(
            Figure("reference model", copied * sizes.parameters * each, "B", formula),
        )
    return figures


def _activations(config: TrainConfig, sizes: Sizes, tokens: int, learnt: int) -> list[Figure]:
    """Activations and logits of one micro-step: `tokens`, of which `learnt` need logits."""
    shape = sizes.shape
    half = config.trainer.get("fp16") or config.trainer.get("bf16", not config.model.on_cpu)
    each = 2 if half else 4
    layer = 10 * shape.hidden + 4 * shape.mlp
    if config.trainer.get("gradient_checkpointing"):
        value = tokens * (shape.layers * shape.hidden + layer) * each
        formula = f"{tokens:,} tokens x ({shape.layers} x {shape.hidden} + {layer:,}) x {each}"
    else:
        value = tokens * shape.layers * layer * each
        formula = f"{tokens:,} tokens x {shape.layers} layers x {layer:,} x {each}"
    return [
        Figure("activations, rough", value, "B", f"{formula} (10 hidden + 4 mlp per layer)"),
        Figure(
            "logits",
            3 * learnt * shape.vocabulary * 4,
            "B",
            f"3 copies x {learnt:,} reply tokens x {shape.vocabulary:,} x 4",
        ),
    ]


def _forward(sizes: Sizes, tokens: int, learnt: int, visual: Sequence[int]) -> int:
    """FLOPs of one forward pass with logits of `learnt` tokens; images count as squares."""
    shape = sizes.shape
    head = 2 * shape.hidden * shape.vocabulary
    squares = [(math.isqrt(count), math.isqrt(count)) for count in visual]
    text = text_flops(tokens, 0, shape) + (learnt - 1) * head
    return text + shape.vision.flops(squares)


def _passes(config: TrainConfig, world: int) -> tuple[int, str]:
    """The cost of learning in forward passes, and its parts."""
    lora = config.model.lora is not None
    backward = 1 if lora else 2
    total = 1 + backward
    parts = f"1 forward + {backward} backward"
    if config.trainer.get("gradient_checkpointing"):
        total, parts = total + 1, f"{parts} + 1 recomputed"
    if isinstance(config, TrainGrpo):
        if config.trainer.get("beta", GRPO_DEFAULTS["beta"]):
            total, parts = total + 1, f"{parts} + 1 reference"
        # Updates after the first of a generation compare with the policy that generated.
        if batch_plan(config, world).updates * (config.trainer.get("num_iterations") or 1) > 1:
            total, parts = total + 1, f"{parts} + 1 old"
    return total, parts


def _grpo(config: TrainGrpo, sizes: Sizes, look: Look, world: int) -> list[Figure]:
    plan = batch_plan(config, world)
    reply = config.trainer.get("max_completion_length") or 512
    requests = ASSUMED_REQUESTS if config.look == "auto" else 0.0
    replies = 1 + requests
    images = look.low + requests * look.high
    prompt, spoken = look.text + images, replies * reply
    tokens = round(prompt + spoken)
    longest = look.text + look.low + reply + (look.high + reply if requests else 0)
    values = sizes.shape.vision.token_values
    here = math.ceil(plan.samples / world)
    visual = [look.low] + ([look.high] if requests else [])
    forward = _forward(sizes, tokens, round(spoken), visual)
    passes, parts = _passes(config, world)
    rollout = plan.samples * (
        _forward(sizes, round(prompt), 1, visual)
        + round(spoken) * text_flops(1, tokens, sizes.shape)
    )
    update = plan.samples // plan.updates
    counts = f"{plan.prompts} prompts x {plan.group} generations"
    division = f"{plan.per_device} per process x {world} x {plan.accumulation} accumulated"
    return [
        *_activations(config, sizes, plan.per_device * longest, plan.per_device * 2 * reply),
        Figure(
            "pixel values on the host",
            here * images * values * 4,
            "B",
            f"{here:,} samples per process x {images:,.0f} visual tokens x {values:,} values x 4",
        ),
        Figure("samples of a generation", plan.samples, "", counts),
        Figure("optimizer steps of a generation", plan.updates, "", f"{update:,} samples each"),
        Figure("samples of an optimizer step", update, "", division),
        Figure(
            "prompt tokens of a generation",
            plan.samples * prompt,
            "",
            f"{plan.samples:,} x ({look.text} text + {images:,.0f} visual)",
        ),
        Figure(
            "reply tokens of a generation",
            plan.samples * spoken,
            "",
            f"at most {plan.samples:,} x {replies:g} replies x {reply} max_completion_length",
        ),
        Figure("forward of a sample", forward, "FLOP", f"text_flops({tokens:,}) + vision tower"),
        Figure("rollout of a generation", rollout, "FLOP", "prefill + one token at a time"),
        Figure(
            "learning of an optimizer step",
            update * forward * passes,
            "FLOP",
            f"{update:,} samples x forward x ({parts})",
        ),
    ]


def _sft(config: TrainConfig, sizes: Sizes, look: Look, world: int) -> list[Figure]:
    per_device = config.trainer.get("per_device_train_batch_size") or 8
    accumulation = config.trainer.get("gradient_accumulation_steps") or 1
    reply = 64  # for short thoughts; rows with replies of their own may have longer ones
    update = per_device * accumulation * world
    longest = look.text + look.low + look.high + 2 * reply
    tokens = round(look.text + look.low + ASSUMED_REQUESTS * look.high + 1.5 * reply)
    forward = _forward(sizes, tokens, reply, [look.low, look.high])
    passes, parts = _passes(config, world)
    division = f"{per_device} per process x {world} x {accumulation} accumulated"
    return [
        *_activations(config, sizes, per_device * longest, per_device * 2 * reply),
        Figure("conversations of an optimizer step", update, "", division),
        Figure(
            "tokens of an optimizer step",
            update * tokens,
            "",
            f"{update:,} x {tokens:,}, half of them with a request",
        ),
        Figure("forward of a conversation", forward, "FLOP", f"text_flops({tokens:,}) + vision"),
        Figure(
            "learning of an optimizer step",
            update * forward * passes,
            "FLOP",
            f"{update:,} conversations x forward x ({parts})",
        ),
    ]
