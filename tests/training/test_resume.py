"""Resuming: runs that end bit-equal, the newest whole checkpoint, weights that do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments
from trl.trainer.utils import RepeatSampler

from checkpoints import save_qwen2_5_vl
from training.schooling import config_of, quiet, weights
from visionthink.core.errors import TrainingError
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.mini import CHECKPOINTS
from visionthink.runs.folder import RunFolder
from visionthink.training.resume import (
    EpochOrder,
    is_finished,
    last_checkpoint,
    load_weights,
)
from visionthink.training.sft import train_sft, trainable


def test_a_resumed_run_ends_bit_equal(tmp_path: Path):
    """Trap: `Trainer` loads nothing into Qwen2.5-VL when it resumes, and only warns."""
    config = config_of(save_qwen2_5_vl(tmp_path / "tiny"))
    whole = tmp_path / "whole"
    train_sft(config, whole, say=quiet)
    broken = tmp_path / "broken"
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "checkpoints" / "checkpoint-4")
    shutil.rmtree(broken / "model")
    train_sft(config, broken, resume=True, say=quiet)
    first, second = weights(whole), weights(broken)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    steps = [line["step"] for line in RunFolder.open(broken).metrics()]
    assert steps == [1, 2, 3, 4]
    losses = [
        [line["train/loss"] for line in RunFolder.open(run).metrics()] for run in (whole, broken)
    ]
    assert losses[0] == losses[1]


def test_max_steps_may_be_raised(tmp_path: Path):
    """Two steps, then two more, are four at once. TensorBoard's files stay in one folder."""
    sets = ["trainer.lr_scheduler_type=constant", "trainer.report_to=[tensorboard]"]
    base = save_qwen2_5_vl(tmp_path / "tiny")
    whole, extended = tmp_path / "whole", tmp_path / "extended"
    train_sft(config_of(base, *sets), whole, say=quiet)
    train_sft(config_of(base, *sets, "trainer.max_steps=2"), extended, say=quiet)
    said: list[str] = []
    train_sft(config_of(base, *sets), extended, resume=True, say=said.append)
    first, second = weights(whole), weights(extended)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "trainer.max_steps is now 4 (was 2)" in said
    events = [path.parent for path in extended.rglob("events.out.tfevents.*")]
    assert events == [extended / "tensorboard"] * 2


@pytest.mark.parametrize(
    ("arguments", "finished"),
    [
        ({"max_steps": 4}, True),
        ({"max_steps": 5}, False),
        ({"max_steps": 3}, True),
        ({"num_train_epochs": 2}, True),
        ({"num_train_epochs": 3}, False),
    ],
)
def test_when_a_run_is_finished(tmp_path: Path, arguments: dict[str, Any], finished: bool):
    """Step 4, the last of two epochs."""
    state = '{"global_step": 4, "max_steps": 4, "num_train_epochs": 2}'
    (tmp_path / "trainer_state.json").write_text(state, encoding="utf-8")
    assert is_finished(tmp_path, TrainingArguments(**arguments)) is finished


def test_adapters_resume_bit_equal(tmp_path: Path):
    config = config_of(save_qwen2_5_vl(tmp_path / "tiny"), "model.lora={r: 4}")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_sft(config, whole, say=quiet)
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "checkpoints" / "checkpoint-4")
    train_sft(config, broken, resume=True, say=quiet)
    first, second = weights(whole), weights(broken)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_newest_complete_checkpoint_is_found(tmp_path: Path):
    """A crash while saving leaves no state, or half of it; 10 is newer than 9."""
    for step, state in (("2", "{}"), ("9", "{}"), ("10", "{}"), ("11", '{"a'), ("12", None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state, encoding="utf-8")
    (tmp_path / "checkpoint-best").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert last_checkpoint(tmp_path / "nowhere") is None


def test_weights_of_another_model_are_refused(tiny: Checkpoint, tmp_path: Path):
    other = trainable(load_checkpoint(CHECKPOINTS / "mini-base", device="cpu"), None)
    with pytest.raises(TrainingError, match=r"cannot resume from '.*': .*; remove that checkpoint"):
        load_weights(other, tmp_path)
    with pytest.raises(TrainingError, match="cannot resume from"):
        load_weights(other, tiny.name)


# The order of rows


OPTIONS = {
    "data_source": range(7),
    "mini_repeat_count": 2,
    "batch_size": 3,
    "repeat_count": 1,
    "seed": 4,
}


def test_the_order_of_any_epoch_is_reproduced():
    """A fresh sampler that is asked for epoch 2 gives what TRL's gives as its third."""
    theirs = RepeatSampler(**OPTIONS)
    epochs = [list(theirs) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    for epoch, expected in enumerate(epochs):
        assert list(EpochOrder(lambda epoch=epoch: epoch, **OPTIONS)) == expected


def test_without_shuffling_the_order_is_that_of_the_rows():
    found = list(EpochOrder(lambda: 3, **{**OPTIONS, "shuffle": False}))
    assert found == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]  # row 6 fills no batch of three
