"""`visionthink train`: dry runs, a real tiny run and its resumption, bad usage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from visionthink.training.config import load_config, resolved

TINY = (
    *("--set", "data.size=8", "--set", "mixture={}", "--set", "model.device=cpu"),
    *("--set", "trainer.per_device_train_batch_size=2", "--set", "trainer.save_steps=1"),
    *("--set", "trainer.max_steps=2"),
)


def test_dry_run_prints_a_config_and_what_it_takes(run):
    """As YAML with the estimate in comments: the whole is the same config again."""
    outcome = run("train", "grpo", "mini", "--dry-run", "--image-size", "112x112")
    assert (outcome.code, outcome.err) == (0, "")
    assert yaml.safe_load(outcome.out)["reward"]["rule"] == "rates"
    comments = [line for line in outcome.out.splitlines() if line.startswith("# ")]
    assert comments[0].startswith("# Estimate")
    [weights] = [line for line in comments if line.startswith("# weights")]
    assert weights.endswith("13.5 MB  = 3,385,216 parameters x 4 (float32)")


def test_dry_run_loads_no_weights_and_writes_nothing(run, tmp_path: Path):
    """A hub model that is not here, and no network is asked."""
    out = tmp_path / "run"
    outcome = run(
        *("train", "grpo", "qwen2.5-vl-7b-paper", "--out", out, "--dry-run", "--json"),
        *("--processes", 32, "--set", "seed=5"),
    )
    assert outcome.code == 0
    printed = json.loads(outcome.out)
    assert printed["config"] == resolved(load_config("qwen2.5-vl-7b-paper", ["seed=5"]))
    values = {figure["name"]: figure["value"] for figure in printed["estimate"]}
    assert values["samples of a generation"] == 8192
    assert not out.exists()


def test_a_dry_run_s_output_is_a_config(run, tmp_path: Path):
    path = tmp_path / "again.yaml"
    path.write_text(run("train", "sft", "mini-cold-start", "--dry-run").out, encoding="utf-8")
    assert resolved(load_config(path)) == resolved(load_config("mini-cold-start"))


def test_a_tiny_run_and_its_resumption(run, tmp_path: Path):
    out = tmp_path / "run"
    first = run("train", "sft", "mini-cold-start", "--out", out, *TINY)
    assert first.code == 0, first.err
    assert first.out == f"{out / 'model'}\n"
    assert "step 2/2 loss " in first.err
    again = run("train", "sft", "mini-cold-start", "--out", out, *TINY)
    assert again.code == 1
    assert "holds a run already: resume it (--resume)" in again.err
    resumed = run("train", "sft", "mini-cold-start", "--out", out, *TINY, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert "step 3" not in resumed.err
    assert json.loads(resumed.out) == {"checkpoint": str(out / "model")}
    other = run(
        *("train", "sft", "mini-cold-start", "--out", out, *TINY, "--resume"),
        *("--set", "tool_turn_loss_weight=2"),
    )
    assert other.code == 1
    assert "tool_turn_loss_weight (was 1.0, now 2.0)" in other.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grpo", "mini"), "--out RUN is wanted"),
        (("grpo", "mini-cold-start", "--dry-run"), "is a config of `train sft`, not grpo"),
        (("grpo", "minny", "--dry-run"), "neither a file nor a preset; did you mean mini?"),
        (("grpo", "mini", "--dry-run", "--image-size", "big"), "--image-size wants WIDTHxHEIGHT"),
        (("grpo", "mini", "--out", "x", "--processes", "2"), "belong to --dry-run"),
        (("grpo", "mini", "--dry-run", "--set", "reward.thta=1"), "did you mean reward.theta?"),
        (("grpo", "mini", "--dry-run", "--processes", "3"), "no multiple of 96"),
        (("grpo", "mini", "--dry-run", "--set", "model.name=a/b"), "the sizes of model 'a/b'"),
    ],
)
def test_bad_usage_is_one_line(run, arguments: tuple[str, ...], message: str):
    outcome = run("train", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_folder_that_is_no_checkpoint(run, tmp_path: Path):
    outcome = run(
        *("train", "sft", "mini-cold-start", "--out", tmp_path / "run"),
        *("--set", f"model.name={tmp_path}"),
    )
    assert outcome.code == 1
    assert "has no config.json; is it a checkpoint?" in outcome.err
