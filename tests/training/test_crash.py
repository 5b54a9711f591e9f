"""One of two processes breaks: all end, say why, and leave a checkpoint to go on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from training.launching import WORKER, torchrun
from training.test_resume_run import CONFIG, outcome, steps_done

pytestmark = pytest.mark.slow

TWO = {
    **CONFIG,
    "eval": None,
    "resample": {"max_rounds": 0},
    "trainer": {**CONFIG["trainer"], "per_device_train_batch_size": 2},
}


def test_a_crash_of_one_process(tmp_path: Path):
    """It breaks in generation three, after four updates; resumed, the run comes to what a run
    without the crash comes to, to the last bit.
    """
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(TWO), encoding="utf-8")
    broken, never = tmp_path / "broken", tmp_path / "never"
    crash = WORKER.with_name("worker_crash.py")
    done = torchrun(crash, "train", "grpo", config, "--out", broken / "run")
    assert done.returncode == 1
    assert "unexpected RuntimeError: the scorer broke" in done.stderr
    assert steps_done(broken) == 4
    saved = broken / "run" / "checkpoints" / "checkpoint-4"
    assert {f"rng_state_{rank}.pth" for rank in (0, 1)} < {path.name for path in saved.iterdir()}

    plain = ("-m", "visionthink", "train", "grpo", config, "--out")
    resumed = torchrun(*plain, broken / "run", "--resume")
    assert resumed.returncode == 0, resumed.stderr[-4000:]
    assert "step 3/" not in resumed.stderr
    whole = torchrun(*plain, never / "run")
    assert whole.returncode == 0, whole.stderr[-4000:]
    assert outcome(broken) == outcome(never)
