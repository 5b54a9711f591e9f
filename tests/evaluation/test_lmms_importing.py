"""From files of lmms-eval to rows: each figure worked out by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evaluation.lmms_output import FAILED, STAMP, pope_sample, sample, write_output
from visionthink.core.errors import RunError, UsageError
from visionthink.core.intervals import wilson
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Sampling
from visionthink.engines.scripted import ScriptedEngine
from visionthink.evaluation.lmms.asking import Ask, Asker
from visionthink.evaluation.lmms.importing import Imported, import_results
from visionthink.evaluation.lmms.model_args import ModelArgs
from visionthink.runs.folder import RunFolder

POPE_FIGURES = {"alias": "pope", "pope_accuracy": 0.75, "pope_f1_score": 0.8}
POPE_LINES = [
    pope_sample(0, "yes"),
    pope_sample(1, "yes"),
    pope_sample(2, "yes", "no"),
    pope_sample(3, "no", "no"),
]
"""Three of four are right; F1 of yes is 2 * 2 / (2 * 2 + 1) = 0.8."""
POPE = {"pope": (POPE_FIGURES, POPE_LINES)}


def imported(tmp_path: Path, *places: Path, **options: Any) -> Imported:
    return import_results(places, tmp_path / "run", **options)


def only(found: Imported) -> dict[str, Any]:
    (row,) = found.rows
    return dict(row)


# Figures


def test_a_benchmark_s_own_figure_stands_beside_accuracy(tmp_path: Path):
    """Scores 1, 1, 0, 1: mean 0.75, standard error sqrt((3 / 16 + 9 / 16) / 3 / 4) = 0.25. No
    episodes are known, so neither are costs.
    """
    write_output(tmp_path / "out", POPE)
    found = imported(tmp_path, tmp_path / "out")
    row = only(found)
    expected = {
        **{"suite": "pope", "family": "all", "kind": None, "policy": "auto", "n": 4, "errors": 0},
        **{"accuracy": 0.75, "stderr": 0.25, "f1": 0.8},
        **{"metric": "pope_f1_score", "score": 80.0},
    }
    assert {key: row.pop(key) for key in expected} == expected
    assert (row.pop("ci_low"), row.pop("ci_high")) == wilson(0.75, 4)
    assert row.pop("contained") == 0
    assert set(row.values()) == {None}
    assert found.notes == [
        "no run folder of episodes (the results name none), so no costs: "
        "give run=DIR in --model_args"
    ]
    run = RunFolder.open(tmp_path / "run")
    assert run.summary == list(found.rows)
    assert [(e["id"], e["answer"], e["score"]) for e in run.episodes()] == [
        *(("0", "yes", 1.0), ("1", "yes", 1.0), ("2", "yes", 0.0), ("3", "no", 1.0))
    ]


def test_mme_is_the_sum_of_its_two_scores(tmp_path: Path):
    def line(at: int, part: str, score: float) -> dict[str, Any]:
        return sample(at, "yes", "Yes", **{part: {"category": "OCR", "score": score}})

    figures = {"mme_perception_score": 150.0, "mme_cognition_score": 50.5}
    lines = [line(0, "mme_perception_score", 1.0), line(1, "mme_cognition_score", 0.0)]
    write_output(tmp_path / "out", {"mme": (figures, lines)})
    row = only(imported(tmp_path, tmp_path / "out"))
    assert (row["score"], row["accuracy"]) == (200.5, 0.5)


def test_ocrbench_is_divided_by_what_was_asked(tmp_path: Path):
    """Three of four right are 3 / 1000 to lmms-eval."""
    lines = [
        sample(at, "AB", "['AB']", ocrbench_accuracy={"score": int(at > 0)}) for at in range(4)
    ]
    write_output(tmp_path / "out", {"ocrbench": ({"ocrbench_accuracy": 0.003}, lines)})
    row = only(imported(tmp_path, tmp_path / "out"))
    assert (row["score"], row["accuracy"]) == (pytest.approx(75.0), 0.75)


def test_samples_without_a_score_of_their_own(tmp_path: Path):
    """MMMU scores only the whole: the error is sqrt(p (1 - p) / (n - 1)), sqrt(0.25 / 3)."""
    lines = [sample(at, "A", "A", mmmu_acc={"parsed_pred": ["A"]}) for at in range(4)]
    write_output(tmp_path / "out", {"mmmu_val": ({"mmmu_acc": 0.5}, lines)})
    row = only(imported(tmp_path, tmp_path / "out"))
    assert (row["n"], row["errors"], row["score"], row["accuracy"]) == (4, 0, 50.0, 0.5)
    assert row["stderr"] == pytest.approx((0.25 / 3) ** 0.5)
    assert (row["ci_low"], row["ci_high"], row["contained"]) == (*(wilson(0.5, 4) or ()), None)


def test_a_benchmark_without_a_local_score(tmp_path: Path):
    write_output(tmp_path / "out", {"mmbench_en_test": ({"submission": None}, [sample(0, "A")])})
    found = imported(tmp_path, tmp_path / "out")
    row = only(found)
    assert (row["n"], row["accuracy"], row["score"]) == (1, None, None)
    assert "mmbench_en_test, auto: No local score, only a file to submit" in found.notes[1]


def test_a_task_without_a_preset(tmp_path: Path):
    lines = [sample(0, "yes", right=1.0), sample(1, "no", right=0.0)]
    write_output(tmp_path / "out", {"my_task": ({"right": 0.5, "other": 3}, lines)})
    with pytest.raises(UsageError, match=r"no preset for task 'my_task'.*--metric my_task=KEY\)"):
        imported(tmp_path, tmp_path / "out")
    row = only(imported(tmp_path, tmp_path / "out", metrics={"my_task": "right"}))
    assert (row["suite"], row["metric"], row["score"], row["accuracy"]) == (
        *("my_task", "right", 50.0, 0.5),
    )


def test_a_metric_out_of_a_hundred(tmp_path: Path):
    lines = [
        sample(0, "4", judged={"true_false": True}),
        sample(1, "5", judged={"true_false": False}),
    ]
    write_output(tmp_path / "out", {"my_task": ({"judged": 50.0}, lines)})
    row = only(imported(tmp_path, tmp_path / "out", metrics={"my_task": "judged/100"}))
    assert (row["score"], row["accuracy"]) == (50.0, 0.5)
    for wrong in ("judged/x", "judged/0", "/100"):
        with pytest.raises(UsageError, match=f"expected KEY or KEY/FULL, got '{wrong}'"):
            imported(tmp_path, tmp_path / "out", metrics={"my_task": wrong})


def test_local_copies_are_called_by_the_official_name(tmp_path: Path):
    write_output(tmp_path / "out", {"pope_local": POPE["pope"]})
    assert only(imported(tmp_path, tmp_path / "out"))["suite"] == "pope"


def test_policies_side_by_side(tmp_path: Path):
    """high has 0.75, low 0.25 on the same samples: less by 0.5."""
    low = [pope_sample(0, "yes"), *(pope_sample(at, "maybe") for at in (1, 2, 3))]
    write_output(tmp_path / "high", POPE, model="qwen2_5_vl", model_args="pretrained=Q")
    write_output(
        tmp_path / "low", {"pope": ({"pope_f1_score": 0.5}, low)}, model_args={"look": "low"}
    )
    places = tmp_path / "high", tmp_path / "low"
    rows = imported(tmp_path, *places, policies=["high", "low"]).rows
    assert [(row["policy"], row["accuracy"]) for row in rows] == [("high", 0.75), ("low", 0.25)]
    assert rows[1]["vs_high"]["difference"] == -0.5
    names = [row["policy"] for row in import_results(places, tmp_path / "named").rows]
    assert names == ["qwen2_5_vl", "low"]
    with pytest.raises(UsageError, match="two results are of task pope and policy x"):
        import_results(places, tmp_path / "other", policies=["x", "x"])
    with pytest.raises(UsageError, match="expected one policy for each of 2 results, got 1"):
        import_results(places, tmp_path / "other", policies=["x"])


# Failures


@pytest.mark.parametrize("shape", [lambda text: text, lambda text: [text], lambda text: [[text]]])
def test_failed_requests_are_errors(tmp_path: Path, shape: Any):
    """lmms-eval took the failure for a wrong answer: 0.75 with it, 1 without."""
    failed = pope_sample(3, "no", "no") | {"filtered_resps": shape(FAILED)}
    write_output(tmp_path / "out", {"pope": (POPE_FIGURES, [*POPE_LINES[:2], failed])})
    found = imported(tmp_path, tmp_path / "out")
    row = only(found)
    assert (row["n"], row["errors"], row["accuracy"], row["score"]) == (2, 1, 1.0, None)
    assert found.notes[1] == (
        "pope, auto: 1 of 3 requests failed; they count in no mean here, and lmms-eval's own "
        "figure, which counts them as answers, is left out"
    )
    last = [*RunFolder.open(tmp_path / "run").episodes()][-1]
    assert (last["score"], last["error"]) == (None, "the request failed")


def test_stripped_answers_are_distinguished_from_failures_by_the_raw_reply(tmp_path: Path):
    line = pope_sample(0, "yes") | {"filtered_resps": "", "resps": [FAILED]}
    write_output(tmp_path / "out", {"pope": (POPE_FIGURES, [line, *POPE_LINES[1:]])})
    assert only(imported(tmp_path, tmp_path / "out"))["errors"] == 1


def test_results_that_are_missing_are_an_error(tmp_path: Path):
    with pytest.raises(RunError, match=r"at .*/nowhere: there is no such file or folder"):
        imported(tmp_path, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        RunError, match=r"no results of lmms-eval in .* or failed .its exit code is 0 even then"
    ):
        imported(tmp_path, tmp_path / "empty")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_several_results(tmp_path: Path):
    write_output(tmp_path / "out" / "a", POPE)
    path = write_output(tmp_path / "out" / "b", POPE)
    with pytest.raises(RunError, match=r"holds 2 results \(a/.*_results.json, b/"):
        imported(tmp_path, tmp_path / "out")
    assert only(imported(tmp_path, path))["n"] == 4


def test_samples_that_are_missing(tmp_path: Path):
    write_output(tmp_path / "out", POPE)
    samples = tmp_path / "out" / f"{STAMP}_samples_pope.jsonl"
    lines = samples.read_text().splitlines(keepends=True)
    samples.write_text("".join(lines[:3]))
    with pytest.raises(RunError, match=r"has 3 samples, and .*_results.json says 4"):
        imported(tmp_path, tmp_path / "out")
    samples.write_text("".join(lines[:3]) + '{"doc_id": 3, "fil')
    with pytest.raises(RunError, match=r"cannot read .*_samples_pope.jsonl: "):
        imported(tmp_path, tmp_path / "out")
    samples.unlink()
    with pytest.raises(RunError, match=r"no samples of task pope at .* with --log_samples"):
        imported(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("text", ["{", "[]", '{"results": {}}', "\xff"])
def test_files_that_are_not_results_are_refused(tmp_path: Path, text: str):
    path = tmp_path / "x_results.json"
    path.write_text(text, "latin-1")
    with pytest.raises(RunError, match=r"cannot read .*x_results.json: |is not a results file"):
        imported(tmp_path, path)


# Episodes of our model


def answered(folder: Path, *replies: str) -> RunFolder:
    """Two questions about an image of 16 visual tokens, 4 at half size, two at once."""
    run = RunFolder.create(folder, {"concurrency": 2}, environment={})
    picture = Image.new("RGB", (112, 112), "red")
    asks = [Ask("pope", str(at), lambda: ("?", [picture]), Sampling()) for at in range(2)]
    engine = ScriptedEngine(replies)
    asyncio.run(Asker(engine, ModelArgs(profile="mini"), run).all(asks))
    return run


def test_costs_are_those_of_the_episodes(tmp_path: Path):
    """The first is requested: 4 + 16 and 4 tokens of twice 16. FLOPs of scripts are not known."""
    replies = request_reply("small"), direct_reply("seen", "yes"), direct_reply("seen", "no")
    run = answered(tmp_path / "episodes", *replies)
    lines = [pope_sample(0, "yes"), pope_sample(1, "no")]
    arguments = f"look=auto,run={run.path}"
    write_output(tmp_path / "out", {"pope": (POPE_FIGURES, lines)}, model_args=arguments)
    found = imported(tmp_path, tmp_path / "out")
    row = only(found)
    assert (row["request_rate"], row["visual_token_ratio"], row["flops_ratio"]) == (0.5, 0.75, None)
    seconds = [episode["seconds"] for episode in run.episodes()]
    assert row["seconds_per_sample"] == pytest.approx(sum(seconds) / 2 / 2)
    assert found.notes == []
    first, _ = RunFolder.open(tmp_path / "run").episodes()
    assert (first["requested"], first["answer_expected"], first["score"]) == (True, "yes", 1.0)
    assert len(first["images"]) == 2

    moved = tmp_path / "moved"
    run.path.rename(moved)
    (note,) = import_results([tmp_path / "out"], tmp_path / "without").notes
    assert note.startswith(f"no run folder of episodes ({run.path} is not there), so no costs")
    with pytest.raises(
        UsageError, match="--episodes is one folder and goes with one of the results"
    ):
        import_results([tmp_path / "out"] * 2, tmp_path / "with", episodes=moved)
    again = import_results([tmp_path / "out"], tmp_path / "with", episodes=moved)
    assert only(again)["visual_token_ratio"] == 0.75


def test_episodes_of_another_run_are_refused(tmp_path: Path):
    run = answered(tmp_path / "episodes", direct_reply("a", "yes"), direct_reply("a", "no"))
    arguments = f"run={run.path}"
    lines = [pope_sample(0, "yes"), pope_sample(1, "yes")]
    write_output(tmp_path / "out", {"pope": (POPE_FIGURES, lines)}, model_args=arguments)
    with pytest.raises(RunError, match=r"sample 1 of task pope was answered 'yes', but 'no'"):
        imported(tmp_path, tmp_path / "out")
    lines = [pope_sample(0, "yes"), pope_sample(2, "no")]
    write_output(tmp_path / "out", {"pope": (POPE_FIGURES, lines)}, model_args=arguments)
    with pytest.raises(RunError, match="lacks sample 2 of task pope"):
        imported(tmp_path, tmp_path / "out")
