"""`train grpo` on two processes: a crash, sharded weights, resumption."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from training.launching import FSDP2, WORKER, torchrun
from training.test_resume_run import CONFIG, outcome, steps_done
from visionthink.engines.hf_checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

CLI = WORKER.with_name("worker_cli.py")
TWO: dict[str, Any] = {
    **CONFIG,
    "resample": {"max_rounds": 0},
    # One row for two processes: the second has none of its own.
    "eval": {"data": {"path": "mini", "split": "test", "size": 1}, "every": 4},
    "trainer": {**CONFIG["trainer"], "per_device_train_batch_size": 2},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(TWO), encoding="utf-8")
    return path


def trained(config: Path, folder: Path, *flags: str, **environment: str) -> str:
    done = torchrun(CLI, "train", "grpo", config, "--out", folder / "run", *flags, **environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def test_a_crash_of_one_process(config: Path, tmp_path: Path):
    """It breaks in generation three, after four updates. All processes end, the message says why;
    resumed, the run comes to what a run without the crash comes to, to the last bit.
    """
    broken, never = tmp_path / "broken", tmp_path / "never"
    done = torchrun(CLI, "train", "grpo", config, "--out", broken / "run", BREAKS="1")
    assert done.returncode == 1
    assert "unexpected RuntimeError: the scorer broke" in done.stderr
    assert steps_done(broken) == 4
    saved = broken / "run" / "checkpoints" / "checkpoint-4"
    assert {f"rng_state_{rank}.pth" for rank in (0, 1)} < {path.name for path in saved.iterdir()}

    assert "step 3/" not in trained(config, broken, "--resume")
    trained(config, never)
    assert outcome(broken) == outcome(never)


def test_sharded_weights_are_saved_exported_and_resumed(config: Path, tmp_path: Path):
    """FSDP2 from `train grpo` to the exported checkpoint, which loads. Without the last two
    checkpoints the run goes on from step 6 to the same end.
    """
    folder, resumed = tmp_path / "sharded", tmp_path / "resumed"
    trained(config, folder, **FSDP2)
    shutil.copytree(folder / "run", resumed / "run")
    shutil.rmtree(resumed / "run" / "model")
    for step in (8, 10):
        shutil.rmtree(resumed / "run" / "checkpoints" / f"checkpoint-{step}")
    assert "step 5/" not in trained(config, resumed, "--resume", **FSDP2)
    assert outcome(resumed) == outcome(folder)
    weights = load_checkpoint(folder / "run" / "model", device="cpu").model.state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())
