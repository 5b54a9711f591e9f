"""`visionthink train`: dry runs, a real tiny run and its resumption, bad usage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from visionthink.runs.folder import RunFolder
from visionthink.training.config import load_config, resolved

TINY = (
    *("--set", "data.size=8", "--set", "mixture={}", "--set", "model.device=cpu"),
    *("--set", "trainer.per_device_train_batch_size=2", "--set", "trainer.save_steps=1"),
    *("--set", "trainer.max_steps=1"),
)


def test_dry_run_prints_a_config_and_its_estimate(run):
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


def test_resuming_needs_only_the_folder(run, tmp_path: Path):
    """Without the preset, and without the settings that were given at the start. max_steps may be
    raised; the loss weight may not change.
    """
    out = tmp_path / "run"
    first = run("train", "sft", "mini-cold-start", "--out", out, *TINY)
    assert first.code == 0, first.err
    assert first.out == f"{out / 'model'}\n"
    assert "step 1/1 loss " in first.err
    again = run("train", "sft", "mini-cold-start", "--out", out, *TINY)
    assert again.code == 1
    assert "holds a run already: resume it (--resume)" in again.err
    resumed = run("train", "sft", "--resume", "--out", out, "--json")
    assert resumed.code == 0, resumed.err
    assert "step 1" not in resumed.err
    assert json.loads(resumed.out) == {"checkpoint": str(out / "model")}
    longer = run(
        *("train", "sft", "mini-cold-start", "--resume", "--out", out),
        *("--set", "trainer.max_steps=2"),
    )
    assert longer.code == 0, longer.err
    assert "trainer.max_steps is now 2 (was 1)\n" in longer.err
    assert "step 1/" not in longer.err
    assert "step 2/2 loss " in longer.err
    assert [line["step"] for line in RunFolder.open(out).metrics()] == [1, 2]
    other = run("train", "sft", "--resume", "--out", out, "--set", "tool_turn_loss_weight=2")
    assert other.code == 1
    assert "tool_turn_loss_weight (was 1.0, now 2.0)" in other.err
    wrong = run("train", "grpo", "--resume", "--out", out)
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert f"{out} is a run of `train sft`, not grpo" in wrong.err


def test_ctrl_c_says_how_to_resume(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder's name is quoted for the shell. Before there is a run, there is nothing to say."""
    out = tmp_path / "my run"
    begun = [False, True]

    def interrupted(*_: object) -> Path:
        if begun.pop(0):
            RunFolder.create(out, {}, environment={}).close()
        raise KeyboardInterrupt

    monkeypatch.setattr("visionthink.training.sft.train_sft", interrupted)
    first, second = (run("train", "sft", "mini-cold-start", "--out", out) for _ in range(2))
    assert (first.code, first.err.split("\n")) == (130, ["", "Error: interrupted", ""])
    assert second.err.split("\n") == [
        f"resume with: visionthink train sft --resume --out '{out}'",
        *("", "Error: interrupted", ""),
    ]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "grpo",
            {
                *("general-qa", "mini", "qwen2.5-vl-3b-lora-1gpu", "qwen2.5-vl-7b-paper"),
                "qwen3-vl-4b-lora-1gpu",
            },
        ),
        ("sft", {"mini-cold-start"}),
    ],
)
def test_help_lists_the_presets_of_its_kind(run, kind: str, names: set[str]):
    given = run("train", kind, "--help")
    _, _, section = given.out.partition("\nPresets:\n")
    assert {line.split()[0] for line in section.splitlines() if line[2:3].strip()} == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grpo", "mini"), "expected --out RUN"),
        (("sft", "--dry-run"), "expected CONFIG: a YAML file, or a preset (mini-cold-start)"),
        (("grpo", "--out", "none", "--resume"), "there is no run to resume in none; give CONFIG"),
        (("grpo", "mini-cold-start", "--dry-run"), "is a config of `train sft`, not grpo"),
        (("grpo", "minny", "--dry-run"), "neither a file nor a preset; did you mean mini?"),
        (
            ("grpo", "mini", "--dry-run", "--image-size", "big"),
            "--image-size: expected WIDTHxHEIGHT",
        ),
        (("grpo", "mini", "--out", "x", "--processes", "2"), "go with --dry-run only"),
        (("grpo", "mini", "--dry-run", "--set", "reward.thta=1"), "did you mean reward.theta?"),
        (("grpo", "mini", "--dry-run", "--processes", "3"), "not a multiple of 96"),
        (("grpo", "mini", "--dry-run", "--set", "model.name=a/b"), "the sizes of model 'a/b'"),
    ],
)
def test_bad_usage_is_one_line(run, arguments: tuple[str, ...], message: str):
    outcome = run("train", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_folder_that_is_not_a_checkpoint_is_refused(run, tmp_path: Path):
    outcome = run(
        *("train", "sft", "mini-cold-start", "--out", tmp_path / "run"),
        *("--set", f"model.name={tmp_path}"),
    )
    assert outcome.code == 1
    assert "has no config.json; is it a checkpoint?" in outcome.err
