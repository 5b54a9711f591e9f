"""What `doctor` finds, on this machine and where the embedded model is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.outcome import Run

FINDINGS = [
    *("python", "visionthink", "hf", "openai", "data", "train", "report", "serve", "mini"),
    *("model", "device", "cores"),
]


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("mini", "mini-base", "mini-sft"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    monkeypatch.setattr("visionthink.cli.doctor.CHECKPOINTS", tmp_path)
    return tmp_path


def test_a_complete_installation_has_only_good_findings(embedded: Path, run: Run) -> None:
    given = run("doctor", "--json")
    findings = json.loads(given.out)
    assert given.code == 0
    assert [finding["name"] for finding in findings] == FINDINGS
    assert [finding["name"] for finding in findings if not finding["ok"]] == []


def test_a_missing_model_is_reported_with_its_fix(embedded: Path, run: Run) -> None:
    (embedded / "mini-sft" / "model.safetensors").unlink()
    given = run("doctor")
    assert given.code == 1
    (line,) = [line for line in given.out.splitlines() if line.startswith("-- ")]
    assert line == f"--  model       no mini-sft in {embedded}   ->  make mini"


def test_a_missing_extra_does_not_stop_the_embedded_model(
    embedded: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "visionthink.cli.doctor.EXTRAS",
        {"hf": ("run models", ("torch",)), "openai": ("ask servers", ("no-such-package",))},
    )
    given = run("doctor")
    assert given.code == 0
    assert "pip install '.[openai]'" in given.out
