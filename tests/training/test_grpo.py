"""`train_grpo` inside this process: what a run leaves, and how it stops by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from training.coaching import BreaksDown, arguments, rows_of, settings_of
from visionthink.core.errors import RunError, TrainingError, UsageError
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.runs.folder import RunFolder
from visionthink.training.config import TrainGrpo
from visionthink.training.grpo import train_grpo
from visionthink.training.resume import last_checkpoint
from visionthink.training.trainer import VisionThinkTrainer


def config(**changes: Any) -> TrainGrpo:
    """One generation of two groups of four, in two updates."""
    trainer = {
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "max_completion_length": 32,
        "max_steps": 2,
        "save_steps": 2,
        "learning_rate": 1e-4,
        **changes.pop("trainer", {}),
    }
    return TrainGrpo.model_validate(
        {
            "model": {"name": "mini-base", "device": "cpu"},
            "data": {"path": "mini", "families": ["colour", "receipt"], "size": 4},
            "batch": {"prompts": 2, "update_prompts": 1},
            "judge": {"kind": "rules", "metric": "exact"},
            "trainer": trainer,
            **changes,
        }
    )


def test_the_files_of_a_run(tmp_path: Path):
    """Two lines of metrics, the first with the generation's figures; four of eight episodes; a
    checkpoint to resume from, and one to use.
    """
    said: list[str] = []
    settings = config()
    folder = train_grpo(settings, tmp_path / "run", say=said.append)
    run = RunFolder.open(tmp_path / "run")
    assert run.config == settings.model_dump(mode="json")
    generated, updated = run.metrics()
    assert (generated["step"], updated["step"]) == (1, 2)
    assert "reward/total" in generated
    assert "reward/total" not in updated
    assert {"train/loss", "train/kl", "train/grad_norm"} <= generated.keys() & updated.keys()
    assert [episode["step"] for episode in run.episodes()] == [1] * 4
    assert run.environment["seeds"] == {"train": 0}
    last = last_checkpoint(tmp_path / "run" / "checkpoints")
    assert last is not None
    assert last.name == "checkpoint-2"
    assert load_checkpoint(folder, device="cpu").profile == "mini"
    assert said[0] == "training mini-base on 4 questions, 2 prompts of 4 episodes per generation"
    assert said[1].startswith("step 1/2  reward ")
    assert said[-1] == f"the trained checkpoint is {folder}"

    with pytest.raises(RunError, match="resume"):
        train_grpo(settings, tmp_path / "run", say=said.append)


@pytest.mark.parametrize("changes", [{}, {"lora": {"r": 4}}])
def test_resuming_a_finished_run_makes_no_step(tmp_path: Path, changes: dict[str, Any]):
    """Resumed without its model, as after Ctrl-C in the last step: written again, byte by byte."""
    settings = config(
        model={"name": "mini-base", "device": "cpu", **changes},
        trainer={"learning_rate": 1e-2},
    )
    folder = train_grpo(settings, tmp_path / "run", say=lambda _: None)
    before = (folder / "model.safetensors").read_bytes()
    shutil.rmtree(folder)
    train_grpo(settings, tmp_path / "run", resume=True, say=lambda _: None)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [line["step"] for line in RunFolder.open(tmp_path / "run").metrics()] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"batch": {"prompts": 6, "update_prompts": 3}},
            r"takes 6 prompts, but the embedded world \(train\) has 4 rows",
        ),
        ({"judge": {"kind": "llm"}}, "the judge 'llm' needs base_url"),
    ],
)
def test_a_refused_run_leaves_no_folder(tmp_path: Path, changes: dict[str, Any], message: str):
    """Or the corrected command would find a run there already."""
    with pytest.raises(UsageError, match=message):
        train_grpo(config(**changes), tmp_path / "run", say=lambda _: None)
    assert not (tmp_path / "run").exists()


def test_the_watchdog_stops_a_run_at_the_end_of_a_generation(tmp_path: Path):
    """A margin that calls everything pinned: it speaks in the first of the generation's two
    updates, the second one is still made, and a checkpoint is there although none was due.
    """
    settings = config(
        trainer={"max_steps": 8, "save_steps": 8},
        watchdog={"steps": 1, "margin": 0.499, "action": "stop"},
    )
    with pytest.raises(TrainingError, match=r"stopped by the watchdog: for 1 steps .*checkpoints"):
        train_grpo(settings, tmp_path / "run", say=lambda _: None)
    assert [line["step"] for line in RunFolder.open(tmp_path / "run").metrics()] == [1, 2]
    last = last_checkpoint(tmp_path / "run" / "checkpoints")
    assert last is not None
    assert last.name == "checkpoint-2"


def test_a_judge_outage_leaves_the_checkpoint_that_is_there_alone(
    fresh_mini: Checkpoint, tmp_path: Path
):
    """The state of its random numbers is that of the generation's end, not of the failed one."""

    kept: list[bytes] = []
    state = tmp_path / "checkpoint-1" / "rng_state.pth"

    class Reads(TrainerCallback):
        def on_save(self, args: Any, state_: Any, control: Any, **_: Any) -> None:
            kept.append(state.read_bytes())

    trainer = VisionThinkTrainer(
        fresh_mini,
        rows_of(),
        BreaksDown(8),
        settings_of(),
        arguments(tmp_path, max_steps=5, save_strategy="steps", save_steps=1),
        callbacks=[Reads()],
    )
    with pytest.raises(TrainingError, match="checkpoint-1 is saved"):
        trainer.train()
    assert [state.read_bytes()] == kept
