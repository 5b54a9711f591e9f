"""Training configs: what they refuse, what the engine gets, and the batch arithmetic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from visionthink.core.errors import UsageError
from visionthink.core.rewards import RewardSettings
from visionthink.runs.folder import RunFolder
from visionthink.settings import model_in
from visionthink.training.arguments import BatchPlan, engine_fields, plan_batch
from visionthink.training.config import (
    MAY_CHANGE,
    ModelOptions,
    RewardOptions,
    TrainGrpo,
    TrainSft,
    batch_plan,
    grpo_arguments,
    load_config,
    resolved,
    resumed_config,
    sft_arguments,
)

GRPO = """\
kind: grpo
model: {device: cpu}
data: {path: mini}
batch: {prompts: 8, update_prompts: 8}
trainer: {per_device_train_batch_size: 32, max_steps: 5}
"""
SFT = """\
kind: sft
model: {device: cpu}
data: {path: mini}
trainer: {max_steps: 5}
"""


@pytest.fixture
def grpo(tmp_path: Path) -> Path:
    path = tmp_path / "grpo.yaml"
    path.write_text(GRPO, encoding="utf-8")
    return path


@pytest.fixture
def sft(tmp_path: Path) -> Path:
    path = tmp_path / "sft.yaml"
    path.write_text(SFT, encoding="utf-8")
    return path


def grpo_config(path: Path, *sets: str) -> TrainGrpo:
    config = load_config(path, sets)
    assert isinstance(config, TrainGrpo)
    return config


def test_a_config_is_read_and_changed_by_sets(grpo: Path):
    config = grpo_config(grpo, "reward.rule=released", "trainer.learning_rate=5e-5", "seed=3")
    assert config.reward.build() == RewardSettings("released", None, 0.1, 0.5, 1.0)
    assert config.trainer["learning_rate"] == 5e-5
    assert config.seed == 3
    assert config.model.name == "mini-base"


def test_reward_options_default_to_the_rule_s_own():
    assert RewardOptions().build() == RewardSettings()


def refusals() -> list[tuple[str, str]]:
    return [
        ("rewrad.rule=none", "rewrad: is not an option; did you mean reward?"),
        ("reward.rul=none", "reward.rul: is not an option; did you mean reward.rule?"),
        (
            "trainer.learning_rat=1",
            "trainer: learning_rat is not a field of GRPOConfig; did you mean learning_rate?",
        ),
        (
            "trainer.learning_rate=fast",
            "trainer: learning_rate: input should be a valid number, unable to parse string as a "
            "number; got 'fast'",
        ),
        (
            "trainer.num_generations=16.5",
            "trainer: num_generations: input should be a valid integer, got a number with a "
            "fractional part; got 16.5",
        ),
        (
            "trainer.output_dir=x",
            "trainer: output_dir cannot be set here: use --out",
        ),
        ("trainer.seed=1", "trainer: seed cannot be set here: set seed beside trainer"),
        (
            "trainer.log_completions=true",
            "trainer: log_completions cannot be set here: it fails on image messages; "
            "samples_per_step keeps episodes",
        ),
        (
            "trainer.mask_truncated_completions=true",
            "trainer: mask_truncated_completions cannot be set here: it loses the images of "
            "overlong samples",
        ),
        (
            "trainer.steps_per_generation=2",
            "trainer.steps_per_generation cannot be set here: batch sets it in prompts",
        ),
        ("trainer.vllm_mode=server", "trainer.vllm_mode must be colocate: server mode loses turns"),
        ("profile=agnt", "profile: there is no profile 'agnt'; did you mean agent?"),
        (
            "look=high",
            "with look high there are no requests to control; set reward.rule to none",
        ),
        ("model.lora.r=0", "model.lora.r: input should be greater than or equal to 1; got 0"),
        ("kind=dpo", "kind: must be one of grpo, sft; got 'dpo'"),
        (
            "watchdog.action=panic",
            "watchdog.action: input should be 'warn', 'stop' or 'off'; got 'panic'",
        ),
    ]


@pytest.mark.parametrize(("change", "message"), refusals())
def test_refusals_name_the_file_and_the_key(grpo: Path, change: str, message: str):
    with pytest.raises(UsageError) as caught:
        load_config(grpo, [change])
    assert str(caught.value) == f"{grpo}: {message}"


def test_a_profile_that_cannot_request_is_refused(grpo: Path):
    with pytest.raises(UsageError, match="profile 'general' cannot request another look"):
        load_config(grpo, ["profile=general"])
    assert grpo_config(grpo, "profile=general", "look=high", "reward.rule=none").look == "high"


def test_fields_of_the_other_engine_are_refused(sft: Path):
    with pytest.raises(UsageError, match="num_generations is not a field of TrainingArguments"):
        load_config(sft, ["trainer.num_generations=8"])


def test_a_misspelt_preset_is_corrected():
    with pytest.raises(UsageError) as caught:
        load_config("mini-cold-stat", [])
    assert str(caught.value) == (
        "config 'mini-cold-stat' is neither a file nor a preset; did you mean mini-cold-start?"
    )


def test_trl_gets_the_defaults_of_the_paper(grpo: Path, tmp_path: Path):
    """notes: TRL's defaults are dapo, beta 0, corrected KL, importance sampling, bf16."""
    arguments = grpo_arguments(grpo_config(grpo), tmp_path / "run")
    assert (arguments.loss_type, arguments.beta, arguments.epsilon) == ("grpo", 0.001, 0.2)
    assert arguments.use_bias_correction_kl is False
    assert arguments.vllm_importance_sampling_correction is False
    assert arguments.scale_rewards == "group"
    assert (arguments.temperature, arguments.num_generations, arguments.num_iterations) == (
        1,
        16,
        1,
    )
    assert (arguments.bf16, arguments.fp16, arguments.use_cpu) == (False, False, True)
    assert arguments.mask_truncated_completions is False
    assert arguments.log_completions is False
    assert arguments.remove_unused_columns is False
    assert arguments.gradient_checkpointing is False
    assert (arguments.gradient_accumulation_steps, arguments.steps_per_generation) == (4, 4)
    assert arguments.save_steps == 10
    assert arguments.output_dir == str(tmp_path / "run")


def test_a_config_overrides_our_defaults(grpo: Path, tmp_path: Path):
    sets = ["trainer.beta=0", "trainer.loss_type=dapo", "trainer.gradient_checkpointing=true"]
    arguments = grpo_arguments(grpo_config(grpo, *sets), tmp_path)
    assert (arguments.beta, arguments.loss_type) == (0, "dapo")
    assert arguments.gradient_checkpointing is True
    assert arguments.gradient_checkpointing_kwargs == {"use_reentrant": False}


def test_no_warning_of_deprecated_names(
    grpo: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
):
    grpo_arguments(grpo_config(grpo, "trainer.gradient_checkpointing=true"), tmp_path)
    assert [str(w.message) for w in recwarn if "gradient_checkpointing" in str(w.message)] == []


def test_checkpoints_inside_a_generation_are_refused(grpo: Path, tmp_path: Path):
    """32 prompts in updates of 8 are 4 updates; a checkpoint after 6 would lie inside."""
    config = grpo_config(grpo, "batch.prompts=32", "trainer.save_steps=6")
    with pytest.raises(UsageError) as caught:
        grpo_arguments(config, tmp_path)
    assert str(caught.value) == (
        "trainer.save_steps 6 is not a multiple of the 4 updates of a generation; a resumed run "
        "would answer its prompts a second time"
    )


def test_errors_of_the_engine_become_usage_errors(grpo: Path, tmp_path: Path):
    config = grpo_config(grpo, "trainer.lr_scheduler_type=zigzag")
    with pytest.raises(UsageError, match=r"GRPOConfig refuses the trainer options: .*zigzag"):
        grpo_arguments(config, tmp_path)


def test_sft_arguments(sft: Path, tmp_path: Path):
    config = load_config(sft, ["seed=4"])
    assert isinstance(config, TrainSft)
    arguments = sft_arguments(config, tmp_path)
    assert (arguments.seed, arguments.max_steps, arguments.learning_rate) == (4, 5, 1e-5)
    assert arguments.remove_unused_columns is False


@pytest.mark.parametrize("text", [GRPO, SFT])
def test_a_resolved_config_loads_again_as_itself(tmp_path: Path, text: str):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(text, encoding="utf-8")
    options = resolved(load_config(first))
    second.write_text(yaml.safe_dump(options), encoding="utf-8")
    assert resolved(load_config(second)) == options


def test_the_page_describes_every_option():
    """`docs/training.md` is what scripts/config_reference.py would write."""
    root = Path(__file__).parents[2]
    script = root / "scripts" / "config_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Resuming


@pytest.fixture
def begun(grpo: Path, tmp_path: Path) -> Path:
    """A run of `grpo` with seed 3 and 20 steps; its data are rows of a file."""
    config = grpo_config(grpo, "seed=3", "trainer.max_steps=20", "data={path: rows.jsonl}")
    RunFolder.create(tmp_path / "run", config.model_dump(mode="json"), environment={}).close()
    return tmp_path / "run"


def test_a_resumed_run_has_its_own_config(begun: Path):
    """Options at their defaults stay unset: rows of a file have no families."""
    config = resumed_config(begun)
    assert config.model_dump(mode="json") == RunFolder.open(begun).config
    assert config.data.model_fields_set == {"path"}


def test_a_preset_changes_nothing_in_a_resumed_run(begun: Path):
    assert resumed_config(begun, "mini") == resumed_config(begun)


def test_a_file_and_sets_change_what_they_name(begun: Path, grpo: Path):
    """The file says 5 steps; it says nothing of the seed."""
    assert resumed_config(begun, grpo, ["data.path=rows.jsonl"]).trainer["max_steps"] == 5
    config = resumed_config(begun, grpo, ["trainer.max_steps=40", "data.path=rows.jsonl"])
    assert (config.trainer["max_steps"], config.seed) == (40, 3)
    assert config.trainer["per_device_train_batch_size"] == 32


def test_options_that_may_change_are_options():
    """Each names an option of training, or a field of its engine."""
    for key in MAY_CHANGE:
        first, _, rest = key.partition(".")
        if first == "trainer":
            assert rest in engine_fields("grpo")
            continue
        model: Any = TrainGrpo.model_fields[first].annotation
        if rest:
            assert rest in (model_in(model) or model).model_fields


def test_a_run_that_is_not_a_training_cannot_be_resumed(tmp_path: Path):
    RunFolder.create(tmp_path, {"suites": {}}, environment={}).close()
    with pytest.raises(UsageError, match=r"config.json: kind: must be one of grpo, sft; got None"):
        resumed_config(tmp_path)


# The batch


def test_the_paper_s_batch_on_32_processes():
    """512 x 16 = 8192 samples = 1 a process x 32 x 256; updates of 32 x 16 = 512 = 1 x 32 x 16."""
    plan = plan_batch({"num_generations": 16, "per_device_train_batch_size": 1}, 512, 32, 32)
    assert plan == BatchPlan(512, 16, 32, 1, accumulation=16, steps_per_generation=256)
    assert (plan.samples, plan.updates) == (8192, 16)


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 512), (8, 64), (32, 16)])
def test_the_same_batch_on_any_number_of_processes(processes: int, accumulation: int):
    plan = plan_batch({"num_generations": 16, "per_device_train_batch_size": 1}, 512, 32, processes)
    assert (plan.samples, plan.updates, plan.accumulation) == (8192, 16, accumulation)


def test_a_batch_in_the_engine_s_own_numbers():
    """Groups may straddle processes: 4 x 2 processes x 4 steps = 32 samples, 2 groups of 16."""
    given: dict[str, Any] = {"per_device_train_batch_size": 4, "num_generations": 16}
    plan = plan_batch({**given, "gradient_accumulation_steps": 4}, None, None, 2)
    assert plan == BatchPlan(2, 16, 2, 4, accumulation=4, steps_per_generation=4)
    by_size = plan_batch({**given, "generation_batch_size": 64}, None, None, 2)
    assert (by_size.samples, by_size.updates) == (64, 8)


@pytest.mark.parametrize(
    ("given", "batch", "message"),
    [
        ({}, (12, 8), "batch.prompts 12 is not a multiple of batch.update_prompts 8"),
        (
            {"per_device_train_batch_size": 48},
            (8, 8),
            "an update of 128 samples (batch.update_prompts 8 x 16 generations) is not a multiple "
            "of 48 (48 per_device_train_batch_size x 1 processes)",
        ),
        (
            {"per_device_train_batch_size": 6},
            (None, None),
            "a generation of 6 samples (6 per_device_train_batch_size x 1 processes x 1 "
            "steps_per_generation) is not a whole number of groups of 16 num_generations",
        ),
        (
            {
                "per_device_train_batch_size": 16,
                "gradient_accumulation_steps": 2,
                "steps_per_generation": 3,
            },
            (None, None),
            "trainer.steps_per_generation 3 is not a multiple of "
            "trainer.gradient_accumulation_steps 2: an update would mix generations",
        ),
        (
            {"per_device_train_batch_size": 16, "generation_batch_size": 40},
            (None, None),
            "trainer.generation_batch_size 40 is not a multiple of 16 "
            "(16 per_device_train_batch_size x 1 processes)",
        ),
        ({"num_generations": 1}, (8, 8), "trainer.num_generations must be at least 2; got 1"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    given: dict[str, Any], batch: tuple[int | None, int | None], message: str
):
    with pytest.raises(UsageError) as caught:
        plan_batch(given, *batch, 1)
    assert str(caught.value) == message


def test_the_number_of_processes_comes_from_torchrun(grpo: Path, monkeypatch: pytest.MonkeyPatch):
    """128 samples an update on 2 processes of 32 are 2 accumulated steps instead of 4."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert batch_plan(grpo_config(grpo)).accumulation == 2
    assert batch_plan(grpo_config(grpo), 4).accumulation == 1


def test_embedded_names_are_folders():
    source = Path(ModelOptions(name="mini-base").source)
    assert source.parts[-4:] == ("visionthink", "mini", "checkpoints", "mini-base")
    assert (source / "model.safetensors").is_file()
    assert ModelOptions(name="some/thing").source == "some/thing"
