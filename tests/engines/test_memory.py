"""Peak memory, read from the system."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from visionthink.engines.hf import HFEngine
from visionthink.engines.memory import FORGET, PeakMemory
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini import CHECKPOINTS

MIB = 2**20


@pytest.mark.skipif(not FORGET.exists(), reason="only Linux tells")
def test_the_peak_is_that_since_the_restart():
    """An array of 256 MiB shows in the peak while the count runs, also once it is gone; after a
    restart no longer. What else the process does stays far under 128 MiB.
    """
    memory = PeakMemory(HFEngine(CHECKPOINTS / "mini", device="cpu"))
    memory.restart()
    before = memory.peak()
    block = np.ones(256 * MIB, dtype=np.uint8)
    del block
    after = memory.peak()
    memory.restart()
    assert before is not None
    assert after is not None
    assert after - before > 128 * MIB
    assert after - (memory.peak() or 0) > 128 * MIB


def test_a_model_elsewhere_has_none():
    memory = PeakMemory(ScriptedEngine([]))
    memory.restart()
    assert memory.peak() is None


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("STATUS", "FORGET"):
        monkeypatch.setattr(sys.modules[PeakMemory.__module__], name, tmp_path / "no" / "such")
    memory = PeakMemory(HFEngine(CHECKPOINTS / "mini", device="cpu"))
    memory.restart()
    assert memory.peak() is None
