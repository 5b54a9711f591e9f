"""Shared by training tests: the embedded checkpoint, and fresh copies for tests that train it."""

from __future__ import annotations

import os

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import pytest

from checkpoints import save_qwen2_5_vl
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.mini import CHECKPOINTS


@pytest.fixture(scope="session")
def mini() -> Checkpoint:
    """mini-base, to be read only."""
    return load_checkpoint(CHECKPOINTS / "mini-base", device="cpu")


@pytest.fixture
def fresh_mini() -> Checkpoint:
    """mini-base, to be trained."""
    return load_checkpoint(CHECKPOINTS / "mini-base", device="cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Random weights; every byte is a token."""
    return load_checkpoint(save_qwen2_5_vl(tmp_path_factory.mktemp("tiny")), device="cpu")
