"""Runs that are killed, interrupted or half saved end, once resumed, like one that was not.

Real processes and real signals. What is compared: the bytes of the trained weights, and every line
of `metrics.jsonl` but for the seconds in it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from visionthink.runs.folder import RunFolder

LIMIT_S = 300
GENERATIONS, UPDATES = 5, 2

CONFIG: dict[str, Any] = {
    "kind": "grpo",
    "model": {"name": "mini-base", "device": "cpu"},
    "profile": "mini",
    # Three generations an epoch: some checkpoints lie inside an epoch, one at its end.
    "data": {"path": "mini", "families": ["colour", "receipt", "hatch"], "size": 6},
    "eval": {"data": {"path": "mini", "split": "test", "size": 2}, "every": 4},
    "batch": {"prompts": 2, "update_prompts": 1},
    "judge": {"kind": "rules", "metric": "exact"},
    "resample": {"max_rounds": 1},
    "samples_per_step": 2,
    "seed": 5,
    "trainer": {
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "max_completion_length": 32,
        "max_steps": GENERATIONS * UPDATES,
        "save_steps": UPDATES,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "linear",
        "optim": "adamw_torch",
    },
}
LORA = {"model": {**CONFIG["model"], "lora": {"r": 4}}}


def started(folder: Path, *flags: str, **changes: Any) -> subprocess.Popen[str]:
    """`visionthink train grpo` in a process of its own, its run in `folder`/run."""
    folder.mkdir(exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    return visionthink("train", "grpo", str(config), "--out", str(folder / "run"), *flags)


def visionthink(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "visionthink", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    """What it said, once it has ended with this exit code."""
    output = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode == code, output
    return output


def wait_for(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not happened():
        assert process.poll() is None, finished(process)
        assert time.monotonic() < end
        time.sleep(0.002)


def steps_done(folder: Path) -> int:
    """The last step that the metrics tell of; -1 without any."""
    path = folder / "run" / "metrics.jsonl"
    if not path.exists():
        return -1
    return max((line["step"] for line in RunFolder.open(folder / "run").metrics()), default=-1)


def outcome(folder: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """What a run has come to: its weights, its metrics without time, its sample episodes."""
    run = RunFolder.open(folder / "run")
    lines = [
        {key: value for key, value in line.items() if not key.startswith("time/")}
        for line in run.metrics()
    ]
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    said = [(e["step"], [t["text"] for t in e["turns"]]) for e in run.episodes()]
    model = folder / "run" / "model"
    adapter = model / "adapter" / "adapter_model.safetensors"
    weights = (adapter if adapter.exists() else model / "model.safetensors").read_bytes()
    return weights, [*lines, {"said": said}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    finished(started(folder))
    assert steps_done(folder) == GENERATIONS * UPDATES
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_at_a_random_moment_ends_the_same(whole: Path, tmp_path: Path, seed: int):
    draw = random.Random(seed)
    step, pause = draw.randrange(2, 2 * GENERATIONS - 1), draw.uniform(0, 0.6)
    process = started(tmp_path)
    wait_for(process, lambda: steps_done(tmp_path) >= step)
    time.sleep(pause)
    process.kill()
    finished(process, -signal.SIGKILL)
    finished(started(tmp_path, "--resume"))
    assert outcome(tmp_path) == outcome(whole)


@pytest.mark.slow
def test_a_run_killed_while_saving_ends_the_same(whole: Path, tmp_path: Path):
    """The weights of a checkpoint are there, the rest is not: that checkpoint is not used."""
    process = started(tmp_path)
    checkpoint = tmp_path / "run" / "checkpoints" / "checkpoint-4"
    wait_for(process, (checkpoint / "model.safetensors").exists)
    process.kill()
    finished(process, -signal.SIGKILL)
    assert not (checkpoint / "trainer_state.json").exists()
    finished(started(tmp_path, "--resume"))
    assert outcome(tmp_path) == outcome(whole)


@pytest.mark.slow
def test_a_run_interrupted_by_ctrl_c_ends_the_same(whole: Path, tmp_path: Path):
    """Ctrl-C once: the generation is finished and saved, also where no checkpoint was due."""
    rare = {"trainer": {**CONFIG["trainer"], "save_steps": 4 * UPDATES}}
    process = started(tmp_path, **rare)
    wait_for(process, lambda: steps_done(tmp_path) >= 3)
    process.send_signal(signal.SIGINT)
    output = finished(process, 130)
    assert "stopping after this generation, with a checkpoint" in output
    assert f"resume with: visionthink train grpo --resume --out {tmp_path / 'run'}\n" in output
    saved = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert len(saved) == 1
    assert int(saved[0].removeprefix("checkpoint-")) % UPDATES == 0
    finished(visionthink("train", "grpo", "--resume", "--out", str(tmp_path / "run")))
    assert outcome(tmp_path) == outcome(whole)


@pytest.mark.slow
def test_a_half_written_checkpoint_is_ignored(whole: Path, tmp_path: Path):
    """The last two checkpoints are damaged: it resumes from the one before."""
    shutil.copytree(whole / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    saved = tmp_path / "run" / "checkpoints"
    (saved / "checkpoint-10" / "trainer_state.json").unlink()
    state = saved / "checkpoint-8" / "trainer_state.json"
    state.write_bytes(state.read_bytes()[:100])
    output = finished(started(tmp_path, "--resume"))
    assert "step 6/" not in output
    assert "step 7/" in output
    assert outcome(tmp_path) == outcome(whole)


@pytest.mark.slow
def test_a_killed_run_of_adapters_ends_the_same(tmp_path: Path):
    never, killed = tmp_path / "never", tmp_path / "killed"
    finished(started(never, **LORA))
    process = started(killed, **LORA)
    wait_for(process, lambda: steps_done(killed) >= 5)
    process.kill()
    finished(process, -signal.SIGKILL)
    finished(started(killed, "--resume", **LORA))
    assert outcome(killed) == outcome(never)
