"""Every preset and accelerate config that ships: parsed, dry-run, and right in its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

import visionthink.training
from visionthink.training.config import (
    TrainGrpo,
    TrainSft,
    batch_plan,
    grpo_arguments,
    load_config,
    presets,
    sft_arguments,
)
from visionthink.training.footprint import estimate

ACCELERATE = Path(visionthink.training.__file__).parent / "accelerate"

PROCESSES = {"qwen2.5-vl-7b-paper": 32, "general-qa": 32}
"""Presets that are meant for more than one process."""


@pytest.fixture(params=presets())
def preset(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_names_of_the_presets():
    assert presets() == [
        "general-qa",
        "mini",
        "mini-cold-start",
        "qwen2.5-vl-3b-lora-1gpu",
        "qwen2.5-vl-7b-paper",
        "qwen3-vl-4b-lora-1gpu",
    ]


def test_each_preset_has_an_estimate(preset: str):
    figures = estimate(load_config(preset), PROCESSES.get(preset, 1), (1000, 700))
    assert all(figure.value > 0 for figure in figures if figure.name != "reference model")
    assert figures[0].value == PROCESSES.get(preset, 1)


def test_each_preset_is_accepted_by_its_engine(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """bf16 and vLLM are left to the hardware that the preset is for."""
    monkeypatch.setenv("WORLD_SIZE", "1")
    config = load_config(preset, ["model.device=cpu", "trainer.bf16=false"])
    if isinstance(config, TrainSft):
        assert sft_arguments(config, tmp_path).max_steps == 100
    else:
        arguments = grpo_arguments(config, tmp_path)
        plan = batch_plan(config)
        assert arguments.generation_batch_size == plan.samples
        assert arguments.num_generations == plan.group


def grpo(name: str) -> TrainGrpo:
    config = load_config(name)
    assert isinstance(config, TrainGrpo)
    return config


def test_the_paper_s_settings():
    """Spec: 16 generations, batch 512, mini-batch 32, lr 1e-6, beta 0.001, 4 x 8 GPUs, entropy."""
    config = grpo("qwen2.5-vl-7b-paper")
    plan = batch_plan(config, 32)
    assert (plan.prompts, plan.group, plan.samples, plan.updates) == (512, 16, 8192, 16)
    trainer = config.trainer
    assert (trainer["learning_rate"], trainer["beta"], trainer["entropy_coef"]) == (
        1e-6,
        1e-3,
        1e-3,
    )
    assert (trainer["use_vllm"], trainer["vllm_mode"]) == (True, "colocate")
    assert (config.reward.rule, config.reward.theta, config.profile) == ("paper", 0.2, "agent")


def test_the_general_model_offers_no_request():
    config = grpo("general-qa")
    assert (config.look, config.profile, config.reward.rule) == ("high", "general", "none")
    assert config.max_turns == 1


def test_mini_asks_as_many_weak_as_strong_questions():
    families = grpo("mini").data.families
    assert isinstance(families, dict)
    strong = {"receipt", "tag", "chart_label", "hatch", "watermark"}
    assert sum(families[name] for name in strong) == 35
    assert sum(weight for name, weight in families.items() if name not in strong) == 35


@pytest.mark.parametrize(
    ("name", "kind", "processes", "machines"),
    [
        ("1gpu", "NO", 1, 1),
        ("8gpu-fsdp2", "FSDP", 8, 1),
        ("4x8gpu-fsdp2", "FSDP", 32, 4),
        ("8gpu-zero3", "DEEPSPEED", 8, 1),
    ],
)
def test_accelerate_configs(name: str, kind: str, processes: int, machines: int):
    """accelerate refuses keys that it does not know."""
    path = ACCELERATE / f"{name}.yaml"
    config: Any = load_config_from_file(str(path))
    assert config.distributed_type == kind
    assert (config.num_processes, config.num_machines) == (processes, machines)
    assert config.mixed_precision == "bf16"
    if kind == "FSDP":
        assert config.fsdp_config["fsdp_version"] == 2
        assert config.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    if kind == "DEEPSPEED":
        plugin = yaml.safe_load(path.read_text(encoding="utf-8"))["deepspeed_config"]
        assert plugin["zero_stage"] == 3


def test_every_accelerate_config_is_tested():
    assert sorted(path.stem for path in ACCELERATE.iterdir()) == [
        "1gpu",
        "4x8gpu-fsdp2",
        "8gpu-fsdp2",
        "8gpu-zero3",
    ]
