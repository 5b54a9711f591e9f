"""The presets of the paper's benchmarks, and the command line around lmms-eval."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from evaluation.lmms_output import pope_sample, write_output
from visionthink.core.errors import UsageError
from visionthink.evaluation.lmms.__main__ import main
from visionthink.evaluation.lmms.preset import local_task, preset_of, presets

PAPER = {
    *("ChartQA", "OCRBench", "DocVQA", "MME", "MMVet", "RealWorldQA", "POPE", "MathVista"),
    *("MathVerse", "MMMU", "MMMU-Pro", "MMBench"),
}

HAS_LMMS_EVAL = importlib.util.find_spec("lmms_eval") is not None


def test_each_benchmark_of_the_paper_has_a_preset():
    assert {preset.paper for preset in presets().values()} == PAPER
    assert all(preset.traps.endswith(".") for preset in presets().values())


def test_an_unknown_task_suggests_the_nearest_preset():
    with pytest.raises(UsageError, match="no preset for task 'pop'; did you mean pope"):
        preset_of("pop")


def test_results_that_are_not_numbers():
    """lmms-eval writes N/A and none where it has no figure; MME needs both of its scores."""
    mathvista, mme = presets()["mathvista_testmini_format"], presets()["mme"]
    assert mathvista.result({"llm_as_judge_eval,none": None}, 4) is None
    assert mme.result({"mme_perception_score,none": 10.0}, 4) is None
    # The key is the whole of what stands before the comma.
    assert presets()["pope"].result({"pope_f1_score_stderr,none": 0.1}, 4) is None


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_command_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    figures = {"pope_accuracy": 1.0, "pope_f1_score": 1.0}
    write_output(tmp_path / "out", {"pope": (figures, [pope_sample(0, "yes")])})
    assert run("import", tmp_path / "out", "--out", tmp_path / "run") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "pope"
    assert printed.out.splitlines()[-1] == "pope, auto: pope_f1_score 100"
    assert "no run folder of episodes" in printed.err
    assert run("import", tmp_path / "out", "--out", tmp_path / "json", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["score"] == 100


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["import", "nowhere", "--out", "run"], 1, "Error: no results of lmms-eval at nowhere"),
        (["import", "x", "--out", "run", "--metric", "a"], 2, "expected TASK=KEY, got 'a'"),
        (["import"], 2, "Missing argument 'RESULTS...'"),
        (["local", "pop", "x", "--out", "."], 2, "Error: there is no preset for task 'pop'"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
):
    assert run(*arguments) == code
    assert said in capsys.readouterr().err


def test_the_command_tasks(capsys: pytest.CaptureFixture[str]):
    assert run("tasks") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2][0] == "chartqa: ChartQA; relaxed_overall, by rules"
    assert len(lines) == 2 * len(PAPER)


@pytest.mark.skipif(HAS_LMMS_EVAL, reason="lmms-eval is installed here; see tests/real_lmms")
def test_local_copies_need_the_official_tasks(tmp_path: Path):
    with pytest.raises(UsageError, match="run this in the environment that has it"):
        local_task("pope", [tmp_path / "pope.parquet"], tmp_path)
