"""What GRPO and SFT share: models and data that are refused, and messages."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from visionthink.core.errors import RunError, UsageError
from visionthink.data.source import DataOptions
from visionthink.runs.folder import RunFolder
from visionthink.training.config import ModelOptions, TrainGrpo
from visionthink.training.run import begin, load_model, quiet, read_data


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "foo"}, r"^model.attention 'foo': Specified"),
        (
            {"lora": {"target_modules": "foo"}},
            r"'foo' matches no module of the model; it has down_pr",
        ),
        ({"lora": {"target_modules": ["q_prj"]}}, r"\['q_prj'\] matches no module .* q_proj"),
        ({"lora": {"target_modules": "(foo"}}, r"'\(foo' is not a regular expression: miss"),
    ],
)
def test_options_that_do_not_fit_the_model_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        load_model(ModelOptions.model_validate({"device": "cpu", **options}))


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj"], r".*language_model.*\.q_proj"])
def test_adapters_that_find_their_modules(targets: Any):
    options = {"device": "cpu", "lora": {"target_modules": targets}}
    assert load_model(ModelOptions.model_validate(options)).model is not None


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch):
    """`Trainer` would silently use the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"model.device is cuda, but torch finds no GPU"):
        load_model(ModelOptions(device="cuda"))


def test_skipped_rows_are_reported(tmp_path: Path):
    """Line 2 of three names an image that is not there."""
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    lines = [
        {"image": f"{name}.png", "question": "What?", "answer": "this"} for name in ("a", "b", "a")
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    said: list[str] = []
    assert len(read_data(DataOptions(path=str(path), skip_bad=True), said.append)) == 2
    assert said == [
        f"left out 1 bad rows of {str(path)!r}, the first: number 2: image 'b.png': there is no "
        "such file"
    ]
    assert len(read_data(DataOptions(size=3), said.append)) == 3
    assert len(said) == 1


def test_marks_of_images_in_questions_are_reported(tmp_path: Path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    line = {"image": "a.png", "question": "<|vision_start|> What?", "answer": "this"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    said: list[str] = []
    read_data(DataOptions(path=str(path)), said.append)
    assert len(said) == 1
    assert said[0].startswith("1 row holds '<|vision_start|>' in the question (")


def test_only_that_warning_is_silenced():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet()
        warnings.warn("`is_gradient_checkpointing` is deprecated", FutureWarning, stacklevel=1)
        warnings.warn("another is deprecated", FutureWarning, stacklevel=1)
    assert [str(each.message) for each in caught] == ["another is deprecated"]


def test_a_run_with_the_former_name_of_a_rule_is_resumed(tmp_path: Path):
    """`ours` is now `rates`. Options that came later are at their defaults."""
    config = TrainGrpo.model_validate({"data": {"size": 4}, "reward": {"rule": "rates"}})
    begin(config, tmp_path, False, True, print).run.close()  # pyright: ignore[reportOptionalMemberAccess]
    path = tmp_path / "config.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    written["config"]["reward"]["rule"] = "ours"
    del written["config"]["rollout_batch"]
    path.write_text(json.dumps(written), encoding="utf-8")
    said: list[str] = []
    assert begin(config, tmp_path, True, True, said.append).run is not None
    assert said == []
    assert "changed" not in RunFolder.open(tmp_path).environment["resumed"][0]
    other = TrainGrpo.model_validate({"data": {"size": 4}, "reward": {"rule": "paper"}})
    with pytest.raises(RunError, match=r'reward.rule \(was "rates", now "paper"\)'):
        begin(other, tmp_path, True, True, print)
