"""The GPU benchmark at toy size, on this machine's CPU."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


def test_the_gpu_benchmark_runs_at_toy_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """16 and 64 visual tokens; a direct answer computes less than the vanilla one."""
    monkeypatch.syspath_prepend(str(BENCH))
    gpu = importlib.import_module("gpu")
    out = tmp_path / "gpu.json"
    lines = gpu.main(["--size", "toy", "--device", "cpu", "--rounds", "1", "--out", str(out)])
    names = [line.name for line in lines]
    assert names[:3] == [f"{way}, 16 visual tokens" for way in ("vanilla", "direct", "requested")]
    assert names[3:6] == [f"{way}, 64 visual tokens" for way in ("vanilla", "direct", "requested")]
    assert names[6] == "GRPO step, 2 episodes with adapters"
    assert [line.limit < 1 for line in lines[3:6]] == [False, True, False]
    assert all(line.seconds > 0 for line in lines)
    assert [line["name"] for line in json.loads(out.read_text())["lines"]] == names
    assert "GRPO step, 2 episodes with adapters" in capsys.readouterr().out
