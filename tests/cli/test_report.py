"""`visionthink report` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.outcome import Run
from visionthink.runs.folder import RunFolder

RATE = "episode/request_rate/kind/strong"


def train(path: Path, rate: float, **config: Any) -> Path:
    run = RunFolder.create(path, {"reward": {"rule": "paper"}, **config}, environment={})
    run.append_metrics({"step": 1, "reward/total": 1.0, RATE: 0.5})
    run.append_metrics({"step": 2, "reward/total": 1.25, RATE: rate})
    return path


def evaluate(path: Path, low: float, **config: Any) -> Path:
    run = RunFolder.create(path, {"model": "mini", **config}, environment={})
    rows = (("high", 0.75, 1.0, 2.0), ("low", low, 0.25, 0.5))
    run.write_summary(
        [
            {
                **{"suite": "mini", "family": "all", "policy": policy, "n": 10, "errors": 0},
                **{"accuracy": accuracy, "visual_token_ratio": tokens},
                "seconds_per_sample": seconds,
            }
            for policy, accuracy, tokens, seconds in rows
        ]
    )
    return path


def sweep(tmp_path: Path) -> list[Path]:
    return [
        train(tmp_path / f"{rule}-{seed}", rate, seed=seed, reward={"rule": rule})
        for rule, rates in (("paper", (0.75, 0.25)), ("none", (1.0, 1.0)))
        for seed, rate in enumerate(rates)
    ]


def test_the_table_needs_no_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    given = run("report", train(tmp_path / "a", 0.75))
    assert (given.code, given.err) == (0, "")
    assert given.out.splitlines() == [
        "            requests  reward:",
        "run  steps  strong %    total",
        "a        2      75.0    1.250",
    ]


def test_a_report_in_a_folder(run: Run, tmp_path: Path):
    out = tmp_path / "out"
    given = run("report", *sweep(tmp_path), "--by", "reward.rule", "--out", out)
    assert given.code == 0
    assert given.err == f"report       {out / 'report.html'}\n"
    assert "\nreward.rule  runs" in given.out
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "report.md", "sweep.png", "sweep.svg", "request_rate.svg"} <= names


def test_one_object_for_machines(run: Run, tmp_path: Path):
    """Paper: 0.75 and 0.25, mean 0.5 ± 0.25; none: 1 and 1."""
    given = run("report", *sweep(tmp_path), "--by", "reward.rule", "--json")
    assert given.code == 0
    found = json.loads(given.out)
    first = found["runs"][0]
    assert (first["name"], first["steps"], first["last_step"]) == ("paper-0", 2, 2)
    assert first["figures"]["request_strong"] == 0.75
    assert first["figures"]["eval_accuracy"] is None
    assert [of["label"] for of in found["groups"]] == ["paper", "none"]
    assert [of["runs"] for of in found["groups"]] == [["paper-0", "paper-1"], ["none-0", "none-1"]]
    assert found["by"]["key"] == "reward.rule"
    assert found["by"]["note"] == ""
    by_value = {of["value"]: of["figures"] for of in found["by"]["values"]}
    assert by_value["paper"]["request_strong"] == {"mean": 0.5, "stderr": 0.25, "n": 2}
    assert by_value["none"][RATE] == {"mean": 1.0, "stderr": 0.0, "n": 2}
    assert found["files"] == []


def test_a_sweep_that_varies_more_than_one_thing_says_so(run: Run, tmp_path: Path):
    runs = [train(tmp_path / at, 0.5, model=at, x=at) for at in ("a", "b")]
    given = run("report", *runs, "--by", "model")
    assert (given.code, given.err) == (0, "Note: these runs also differ in x\n")


def test_the_tables_of_an_evaluation(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """0.5 of 0.75 is 66.7 %; low took a quarter of the tokens and of the time."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    given = run("report", evaluate(tmp_path / "a", 0.5))
    assert (given.code, given.err) == (0, "")
    scores, costs = given.out.split("\n\n")
    assert scores.splitlines() == [
        "                                  mini    visual   seconds",
        "policy                               %  tokens %  a sample   n  failed",
        "The original",
        "Vanilla (high)     75.0 (44.2 to 91.9)     100.0         2  10       0",
        "  of vanilla                     100.0               100.0",
        "The small image",
        "Down-sample (low)  50.0 (23.7 to 76.3)      25.0       0.5  10       0",
        "  of vanilla                      66.7                25.0",
    ]
    assert costs.splitlines()[-1].split() == ["Down-sample", "(low)", "25.0", "0.5", "10", "0"]


def test_evaluations_and_trainings_side_by_side(run: Run, tmp_path: Path):
    runs = [evaluate(tmp_path / f"e-{seed}", 0.5, seed=seed) for seed in (0, 1)]
    out = tmp_path / "out"
    runs.insert(1, train(tmp_path / "t", 0.5))
    given = run("report", *runs, "--published", "--out", out)
    assert given.code == 0
    assert (
        given.err
        == f"Note: mini: means over 2 runs: e-0, e-1\nreport       {out / 'report.html'}\n"
    )
    assert "\n\n            requests  reward:\n" in given.out
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "accuracy_tokens.png", "published.svg", "request_rate.svg"} <= names


def test_published_figures_need_a_vanilla(run: Run, tmp_path: Path):
    path = evaluate(tmp_path / "a", 0.5)
    rows = [r for r in json.loads((path / "summary.json").read_text()) if r["policy"] != "high"]
    (path / "summary.json").write_text(json.dumps(rows))
    given = run("report", path, "--published", "--out", tmp_path / "out")
    assert given.code == 0
    assert "these runs have no policy high; nothing was drawn" in given.err


def test_an_evaluation_for_machines(run: Run, tmp_path: Path):
    given = run("report", evaluate(tmp_path / "a", 0.5), "--json")
    assert given.code == 0
    found = json.loads(given.out)
    assert (found["runs"], found["files"]) == ([], [])
    assert [of["policy"] for of in found["evaluation"]["policies"]] == ["high", "low"]
    assert found["evaluation"]["rows"][1]["accuracy"] == {
        **{"mean": 0.5, "stderr": None, "n": 1},
        "ci_low": pytest.approx(0.2366, abs=1e-4),
        "ci_high": pytest.approx(0.7634, abs=1e-4),
    }


def test_a_summary_without_its_all_row_is_reported(run: Run, tmp_path: Path):
    path = evaluate(tmp_path / "a", 0.5)
    rows = json.loads((path / "summary.json").read_text())
    parts = [{**row, "family": "tag"} for row in rows]
    (path / "summary.json").write_text(json.dumps(parts))
    given = run("report", path)
    assert given.code == 0
    assert given.err == "Note: a: mini has no row of the family all for high, low\n"


def test_an_evaluation_without_an_answer(run: Run, tmp_path: Path):
    path = tmp_path / "a"
    RunFolder.create(path, {"policies": ["low"], "suites": {}}, environment={})
    given = run("report", path)
    assert given.code == 1
    assert given.err.startswith(f"Error: {path} holds no answer yet")
    assert given.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "reward.rule"), "--by compares training runs, and no RUN is one"),
        (("--published",), "--published draws beside evaluations; give RUNs of eval, and --out"),
    ],
)
def test_options_that_do_not_go_with_an_evaluation(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
):
    given = run("report", evaluate(tmp_path / "a", 0.5), *arguments)
    assert given.code == 2
    assert message in given.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Missing argument 'RUN...'"),
        (("none",), 1, "no run folder at none: there is no such folder"),
        (("a", "--by", "nothing"), 2, "a has no 'nothing'; its keys: reward.rule"),
        (("a", "--published", "--out", "b"), 2, "--published draws beside evaluations"),
        (("a", "--episodes", "-1"), 2, "Invalid value for '--episodes'"),
        (("a", "--out", "a/config.json"), 2, "is a file"),
    ],
)
def test_errors_are_one_line(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
):
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "a", 0.5)
    given = run("report", *arguments)
    assert given.code == code
    assert message in given.err
    assert given.err.count("\n") == 1


def test_plots_without_their_extra(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = train(tmp_path / "a", 0.5)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    given = run("report", path, "--out", tmp_path / "out")
    assert given.code == 1
    assert "pip install '.[report]'" in given.err
    assert not (tmp_path / "out").exists()
