"""Settings of TRL and transformers: which a config may give, which we set, and the batch.

The fields of TRL's `GRPOConfig` and transformers' `TrainingArguments` are not declared again here:
the `trainer` section of a config is checked against theirs.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from visionthink.core.errors import MissingExtraError, UsageError
from visionthink.settings import did_you_mean

Kind = Literal["grpo", "sft"]

OURS: dict[str, str] = {
    "output_dir": "use --out",
    "resume_from_checkpoint": "use --resume",
    "seed": "set seed beside trainer",
    "use_cpu": "set model.device",
    "model_init_kwargs": "set model.*",
    "trust_remote_code": "set model.trust_remote_code",
    "remove_unused_columns": "an episode needs all columns of its row",
    "label_names": "the collator names the labels",
    "auto_find_batch_size": "a smaller batch would split groups",
    "eval_strategy": "set eval.every",
    "eval_steps": "set eval.every",
    "log_completions": "it fails on image messages; samples_per_step keeps episodes",
    "log_completions_hub_repo": "samples_per_step keeps episodes",
    "log_unique_prompts": "samples_per_step keeps episodes",
    "num_completions_to_print": "samples_per_step keeps episodes",
    "mask_truncated_completions": "it loses the images of overlong samples",
    "max_tool_calling_iterations": "set max_turns",
    "reward_weights": "set reward.*",
    "use_transformers_continuous_batching": "it takes no images",
    "use_transformers_paged": "it takes no images",
}
"""Fields that a config may not give → why, or what to set instead."""

BATCH_FIELDS = ("gradient_accumulation_steps", "steps_per_generation", "generation_batch_size")
"""Fields of `GRPOConfig` that `batch` replaces."""

_SHARED: dict[str, Any] = {
    "logging_steps": 1,
    "report_to": "none",
    "gradient_checkpointing": False,
    "gradient_checkpointing_kwargs": {"use_reentrant": False},  # frozen embeddings need it
}

DEFAULTS: dict[Kind, dict[str, Any]] = {
    "grpo": {
        **_SHARED,
        "loss_type": "grpo",  # mean over a sample's own tokens, then over samples (Eq. 3)
        "beta": 0.001,
        "use_bias_correction_kl": False,  # the KL as in Eq. 2
        "scale_rewards": "group",
        "epsilon": 0.2,
        "temperature": 1.0,
        "num_generations": 16,
        "num_iterations": 1,
        "vllm_importance_sampling_correction": False,
        "vllm_mode": "colocate",
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "ddp_find_unused_parameters": False,  # every batch has images, so every parameter is used
    },
    "sft": {**_SHARED, "learning_rate": 1e-5, "lr_scheduler_type": "cosine"},
}
"""Values of the paper and of our protocol where the engine's defaults differ, or may one day."""


@cache
def engine_fields(kind: Kind) -> dict[str, Any]:
    """Name → type of the fields that `trainer` may hold, from the engine's own dataclass."""
    arguments = _arguments_class(kind)
    try:
        hints = typing.get_type_hints(arguments)
    except NameError:  # a type that the engine imports for type checkers only
        hints = {}
    return {
        field.name: hints.get(field.name, Any)
        for field in dataclasses.fields(arguments)
        if field.init
    }


def _arguments_class(kind: Kind) -> Any:
    try:
        if kind == "grpo":
            from trl.trainer.grpo_config import GRPOConfig

            return GRPOConfig
        from transformers import TrainingArguments
    except ImportError as error:
        raise MissingExtraError("training", "train") from error
    return TrainingArguments


def check_trainer(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, with its values converted to the types of the engine's fields.

    Raises:
        ValueError: a key is unknown or set by us, or its value is of another type.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic.errors import PydanticSchemaGenerationError

    fields = engine_fields(kind)
    engine = _arguments_class(kind).__name__
    result: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            hint = did_you_mean(name, fields.keys() - OURS.keys())
            raise ValueError(f"{name} is not a field of {engine}{hint}")
        if name in OURS:
            raise ValueError(f"{name} cannot be set here: {OURS[name]}")
        try:
            loose = ConfigDict(arbitrary_types_allowed=True)
            adapter: TypeAdapter[Any] = TypeAdapter(fields[name], config=loose)
            result[name] = adapter.validate_python(value)
        except PydanticSchemaGenerationError:
            result[name] = value
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            message = f"{message[:1].lower()}{message[1:]}"
            raise ValueError(f"{name}: {message}; got {value!r}") from error
    return result


@dataclass(frozen=True)
class BatchPlan:
    """How the samples of one generation are divided among processes, micro-steps and updates.

    A *generation* is `group` answers to each of `prompts` distinct prompts, learnt from in
    `updates` optimizer steps. A *micro-step* is one forward and backward pass of `per_device`
    samples on every process.
    """

    prompts: int
    group: int
    processes: int
    per_device: int
    accumulation: int
    steps_per_generation: int

    @property
    def samples(self) -> int:
        """Samples of one generation, over all processes."""
        return self.prompts * self.group

    @property
    def updates(self) -> int:
        """Optimizer steps of one generation."""
        return self.steps_per_generation // self.accumulation


def processes_here() -> int:
    """How many processes train together, from the WORLD_SIZE of torchrun and accelerate."""
    return int(os.environ.get("WORLD_SIZE", "1") or 1)


def plan_batch(
    trainer: Mapping[str, Any], prompts: int | None, update_prompts: int | None, processes: int
) -> BatchPlan:
    """The batch plan of GRPO arguments; `prompts` and `update_prompts`, if given, determine it.

    Raises:
        UsageError: the numbers do not fit together.
    """
    group = trainer.get("num_generations") or DEFAULTS["grpo"]["num_generations"]
    per_device = trainer.get("per_device_train_batch_size") or 8
    if group < 2:
        raise UsageError(f"trainer.num_generations must be at least 2; got {group}")
    per_step = per_device * processes
    factors = f"{per_device} per_device_train_batch_size x {processes} processes"
    if prompts is None or update_prompts is None:
        accumulation = trainer.get("gradient_accumulation_steps") or 1
        steps = trainer.get("steps_per_generation")
        samples = trainer.get("generation_batch_size")
        if steps is not None and samples is not None:
            raise UsageError(
                "trainer.generation_batch_size and trainer.steps_per_generation set the same "
                "thing; give one of them"
            )
        if samples is not None:
            if samples % per_step:
                raise UsageError(
                    f"trainer.generation_batch_size {samples} is not a multiple of {per_step} "
                    f"({factors})"
                )
            steps = samples // per_step
        steps = steps or accumulation
    else:
        if prompts % update_prompts:
            raise UsageError(
                f"batch.prompts {prompts} is not a multiple of batch.update_prompts "
                f"{update_prompts}"
            )
        if update_prompts * group % per_step:
            raise UsageError(
                f"an update of {update_prompts * group} samples (batch.update_prompts "
                f"{update_prompts} x {group} generations) is not a multiple of {per_step} "
                f"({factors})"
            )
        accumulation = update_prompts * group // per_step
        steps = accumulation * (prompts // update_prompts)
    samples = per_step * steps
    if samples % group:
        raise UsageError(
            f"a generation of {samples} samples ({factors} x {steps} steps_per_generation) is not "
            f"a whole number of groups of {group} num_generations"
        )
    if steps % accumulation:
        raise UsageError(
            f"trainer.steps_per_generation {steps} is not a multiple of "
            f"trainer.gradient_accumulation_steps {accumulation}: an update would mix generations"
        )
    return BatchPlan(samples // group, group, processes, per_device, accumulation, steps)


def under_new_names(kind: Kind, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments`, with names that this version of transformers deprecates replaced."""
    fields = engine_fields(kind)
    result = dict(arguments)
    for old in ("gradient_checkpointing", "gradient_checkpointing_kwargs"):
        new = old.replace("gradient", "activation")
        if new in fields and old in result:
            value = result.pop(old)
            result.setdefault(new, value)
    return result


def precision(trainer: Mapping[str, Any], on_cpu: bool) -> dict[str, Any]:
    """`bf16` where the hardware supports it and the config names no precision."""
    if trainer.get("fp16") or trainer.get("bf16") is not None:
        return {}
    if on_cpu:
        return {"bf16": False}
    import torch

    return {"bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported()}
