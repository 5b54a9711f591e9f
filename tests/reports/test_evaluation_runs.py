"""Evaluation runs as they are read: finished, half-written, broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from acting import answered
from evaluation_runs import line, row, rows, write_evaluation
from training_runs import ramp, write_run

from visionthink.core.errors import RunError
from visionthink.reports.evaluation import EvaluationRun, is_evaluation, read_evaluations
from visionthink.runs.folder import RunFolder


def read(path: Path) -> EvaluationRun:
    return read_evaluations([path])[0]


def test_a_finished_run(tmp_path: Path):
    versus = {"difference": -0.25, "low": -0.375, "high": -0.125}
    path = write_evaluation(
        tmp_path / "a", [row("high", 0.75), row("low", 0.5, vs_high=versus, kind="weak")]
    )
    run = read(path)
    assert (run.name, run.notes) == ("a", ())
    high, low = run.rows
    assert (high.suite, high.family, high.kind, high.policy) == ("mini", "all", None, "high")
    assert (high.n, high.errors, high.versus) == (100, 0, None)
    assert high.figures == {
        "accuracy": 0.75,
        "stderr": 0.02,
        "request_rate": 0.0,
        "visual_token_ratio": 1.0,
        "visual_token_ratio_replaced": 1.0,
        "flops_ratio": 1.0,
        "paper_flops_ratio": 1.0,
        "prompt_tokens": 40.0,
        "completion_tokens": 8.0,
        "seconds_per_sample": 2.0,
    }
    assert (low.kind, low.versus) == ("weak", (-0.25, -0.375, -0.125))


def test_what_was_asked_and_seeds_of_models_make_no_other_system(tmp_path: Path):
    path = write_evaluation(
        tmp_path / "a",
        [row("low", 1.0)],
        model="out/grpo-seed3/model",
        judge={"name": "x"},
        policies=["low"],
        seed=7,
        gallery=2,
        max_failures=0,
    )
    assert read(path).config == {"model": "out/grpo-seed/model", "judge.name": "x", "seed": 7}


@pytest.mark.parametrize("model", ["Qwen2.5-VL-7B", "mini-2", "s1-32B", "seedling-2"])
def test_numbers_of_models_that_are_no_seeds_stay(tmp_path: Path, model: str):
    path = write_evaluation(tmp_path / "a", [row("low", 1.0)], model=model)
    assert read(path).config["model"] == model


@pytest.mark.parametrize("value", [float("nan"), None, "0.5", True, float("inf")])
def test_what_is_no_number_is_no_figure(tmp_path: Path, value: Any):
    path = write_evaluation(tmp_path / "a", None)
    (path / "summary.json").write_text(json.dumps([{**row("low", 1.0), "accuracy": value}]))
    run = read(path)
    assert "accuracy" not in run.rows[0].figures
    assert run.notes == ("a: no answer to mini was scored with low",)


def test_failed_samples_and_uneven_policies_are_told(tmp_path: Path):
    """high: 100 scored, low: 90 scored and 5 failed of 95."""
    path = write_evaluation(tmp_path / "a", [row("high", 1.0), row("low", 1.0, n=90, errors=5)])
    assert read(path).notes == (
        "a: samples of mini failed and count for nothing in the means: 5 of 95 with low",
        "a: not every policy was asked all of mini (95 to 100 samples)",
    )


def test_a_run_named_twice_counts_once(tmp_path: Path):
    paths = [write_evaluation(tmp_path / at / "run", [row("low", 1.0)]) for at in ("a", "b")]
    found = read_evaluations([*paths, tmp_path / "a" / ".." / "a" / "run"])
    assert [run.name for run in found] == ["a/run", "b/run"]


# Broken and unfinished runs


def test_a_run_that_was_killed_is_counted_from_its_episodes(tmp_path: Path):
    """Of the last line only a part was written: it does not count."""
    path = write_evaluation(tmp_path / "a", None, episodes=[line(answered(), "low")])
    with (path / "episodes.jsonl").open("a") as file:
        file.write('{"version": 1, "answ')
    run = read(path)
    assert [(r.policy, r.n, r.figures["accuracy"]) for r in run.rows] == [("low", 1, 1.0)]
    assert run.notes == (
        "a is not finished: there is no summary.json, and its figures are of the 1 answers so far",
    )


def test_a_run_without_an_answer_is_refused(tmp_path: Path):
    path = write_evaluation(tmp_path / "a", [])
    with pytest.raises(RunError, match=r"a holds no answer yet: .*--resume"):
        read(path)


BROKEN = [
    ("summary.json", "[{]", "broken JSON in .*summary.json, line 1"),
    ("summary.json", '{"a": 1}', "is not a list of JSON objects"),
    ("summary.json", '[{"suite": "mini"}]', r"summary.json, row 1: 'family' must be a text"),
    ("config.json", "{", "broken JSON in .*config.json"),
]


@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_broken_runs_say_what_is_wrong(tmp_path: Path, name: str, text: str, message: str):
    path = write_evaluation(tmp_path / "a", [row("low", 1.0)])
    (path / name).write_text(text)
    with pytest.raises(RunError, match=message):
        read(path)


@pytest.mark.parametrize("damage", [{"n": None}, {"n": -1}, {"n": True}, {"errors": 0.5}])
def test_counts_must_be_counts(tmp_path: Path, damage: dict[str, Any]):
    path = write_evaluation(tmp_path / "a", [row("high", 1.0), {**row("low", 1.0), **damage}])
    with pytest.raises(RunError, match=r"row 2: 'n' and 'errors' must be counts"):
        read(path)


def test_a_row_that_is_there_twice(tmp_path: Path):
    path = write_evaluation(tmp_path / "a", [row("low", 1.0), row("low", 0.5)])
    with pytest.raises(RunError, match="row 2: a second one of suite mini, family all, policy low"):
        read(path)


def test_broken_episodes_are_told_by_their_line(tmp_path: Path):
    path = write_evaluation(tmp_path / "a", None, episodes=[line(answered(), "low")])
    with (path / "episodes.jsonl").open("a") as file:
        file.write("{\n{}\n")
    with pytest.raises(RunError, match=r"episodes.jsonl, line 2: no JSON object"):
        read(path)


# Which runs are evaluations


def test_evaluations_are_told_from_trainings(tmp_path: Path):
    finished = write_evaluation(tmp_path / "finished", rows({"low": 1.0}))
    killed = write_evaluation(tmp_path / "killed", None, episodes=[line(answered(), "low")])
    begun = write_evaluation(tmp_path / "begun", None)
    training = write_run(tmp_path / "training", ramp(2), episodes=[{"id": "1", "step": 1}])
    sampling = RunFolder.create(tmp_path / "sampling", {"x": 1}, environment={})
    sampling.append_episode({"id": "1", "step": 1})
    assert [is_evaluation(path) for path in (finished, killed, begun)] == [True] * 3
    assert [is_evaluation(path) for path in (training, sampling.path)] == [False] * 2


def test_no_run_is_neither(tmp_path: Path):
    with pytest.raises(RunError, match="no run folder at"):
        is_evaluation(tmp_path / "none")
