"""Supervised runs: what is not overwritten, what moves, what stays, one process and two."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from checkpoints import save_qwen2_5_vl
from training.schooling import changed_by, config_of, quiet, weights
from visionthink.core.episode import run_episode
from visionthink.core.errors import RunError
from visionthink.core.types import Sampling
from visionthink.engines.hf import HFEngine
from visionthink.mini import CHECKPOINTS
from visionthink.mini.world import make_example
from visionthink.training.sft import train_sft


def test_a_run_is_not_overwritten(tmp_path: Path):
    config = config_of("mini-base", "trainer.max_steps=1")
    train_sft(config, tmp_path / "run", say=quiet)
    with pytest.raises(RunError, match="holds a run already: resume it"):
        train_sft(config, tmp_path / "run", say=quiet)


def test_a_frozen_vision_tower_stays(tmp_path: Path):
    base = save_qwen2_5_vl(tmp_path / "tiny")
    config = config_of(base, "model.freeze_vision=true", "trainer.learning_rate=1e-3")
    train_sft(config, tmp_path / "run", say=quiet)
    changed = changed_by(tmp_path / "run", base)
    assert changed
    assert [name for name in changed if "visual" in name] == []


def request_rate(model: Path, family: str, count: int) -> float:
    async def ask() -> float:
        engine = HFEngine(model, device="cpu")
        episodes = [
            await run_episode(
                make_example(family, seed, "test"),
                engine,
                sampling=Sampling(temperature=1.0, seed=seed, max_tokens=32),
            )
            for seed in range(count)
        ]
        await engine.close()
        return sum(episode.requested for episode in episodes) / count

    return asyncio.run(ask())


def test_a_few_steps_move_the_request_rate(tmp_path: Path):
    """mini-base requests about half of the time; 20 steps of hatching that always requests."""
    config = config_of(
        "mini-base",
        "data.families=[hatch]",
        "data.size=64",
        "trainer.max_steps=20",
        "trainer.per_device_train_batch_size=4",
        "trainer.learning_rate=5e-4",
        "trainer.save_strategy=no",
    )
    before = request_rate(CHECKPOINTS / "mini-base", "hatch", 16)
    folder = train_sft(config, tmp_path / "run", say=quiet)
    assert 0.2 <= before <= 0.8
    assert request_rate(folder, "hatch", 16) >= 0.95


def test_two_processes_learn_what_one_does(tmp_path: Path):
    """The same batches of 4, as 4 or as 2 + 2 conversations; the second process writes nothing."""
    base = save_qwen2_5_vl(tmp_path / "tiny")
    same = [f"--set=model.name={base}", "--set=model.device=cpu", "--set=data.size=16"]
    same += ["--set=mixture={}", "--set=trainer.max_steps=2", "--set=trainer.save_strategy=no"]
    same += ["--set=trainer.optim=sgd", "--set=trainer.learning_rate=0.1"]
    started = [[], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]]
    for processes, start in enumerate(started, start=1):
        out = tmp_path / str(processes)
        batch = f"--set=trainer.per_device_train_batch_size={4 // processes}"
        verb = ["-m", "visionthink", "train", "sft", "mini-cold-start", f"--out={out}"]
        done = subprocess.run(
            [sys.executable, *start, *verb, *same, batch],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{out / 'model'}\n"
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    before = load_file(base / "model.safetensors")
    assert any(not torch.allclose(one[name], before[name], atol=1e-5) for name in one)
