"""What training tests share: the embedded checkpoint, loaded anew for whoever changes it."""

from __future__ import annotations

import os

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import pytest

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
