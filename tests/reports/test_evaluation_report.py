"""The report on evaluations: its tables, files, page, Markdown and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acting import HOSTILE, answered, play, scene
from evaluation_runs import families, line, row, rows, write_evaluation
from training_runs import sample, write_run
from walking import Walk, check_alone

from visionthink.core.errors import RunError
from visionthink.core.protocol import direct_reply
from visionthink.reports import evaluation_report as module
from visionthink.reports import report
from visionthink.reports.evaluation_report import (
    cost_table,
    evaluation_json,
    evaluation_report,
    family_tables,
    score_table,
)
from visionthink.reports.evaluation_runs import (
    Comparison,
    EvaluationRun,
    compare,
    read_evaluations,
)
from visionthink.reports.training_runs import read_runs

SCORES = {"high": 0.75, "low": 0.5}


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are drawn in other tests."""
    monkeypatch.setattr(module, "evaluation_plots", lambda *_: [])


def evaluated(path: Path, episodes: list[dict[str, Any]] | None = None, **more: Any) -> Any:
    return read_evaluations([write_evaluation(path, rows(SCORES), episodes=episodes or [], **more)])


def page(runs: list[EvaluationRun]) -> Walk:
    return Walk(evaluation_report(runs).html())


def of(*paths: Path) -> Comparison:
    return compare(read_evaluations(paths))


# Files


def test_a_report_of_evaluations_and_trainings(tmp_path: Path):
    runs = evaluated(tmp_path / "a", [line(answered(), "low")])
    rate = {"step": 1, "episode/request_rate/kind/weak": 0.5}
    training = write_run(tmp_path / "t", [rate], episodes=[sample(answered(), 1)])
    out = tmp_path / "out"
    files = evaluation_report(runs, trainings=read_runs([training]), by="reward.rule").write(out)
    assert [path.name for path in files[:2]] == ["report.html", "report.md"]
    assert {path.name for path in out.iterdir()} == {path.name for path in files}
    assert {"accuracy_tokens.png", "seconds.svg", "request_rate.svg", "sweep.png"} <= {
        path.name for path in files
    }
    walk = Walk(files[0].read_text("utf-8"))
    check_alone(walk)
    ids = [each["id"] for each in walk.named("input")]
    assert len(ids) == len(set(ids))
    text = walk.rows()
    assert "Evaluation: mini 1 run, 1 suite, 2 policies" in text
    assert "Training runs" in text
    markdown = files[1].read_text("utf-8")
    assert markdown.startswith("# Evaluation: mini\n\n1 run, 1 suite, 2 policies.\n")
    assert "\n## Training runs\n" in markdown


@pytest.mark.usefixtures("no_plots")
def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "out").touch()
    with pytest.raises(RunError, match=r"cannot write the report into .*: File exists"):
        evaluation_report(evaluated(tmp_path / "a")).write(tmp_path / "out")


# The page


@pytest.mark.usefixtures("no_plots")
def test_tables_and_notes_of_the_page(tmp_path: Path):
    environment = {
        "started": "2026-11-21T11:51:17+00:00",
        "packages": {"visionthink": "0.1.0"},
        "machine": {"cpu": "A processor", "gpu": None},
    }
    runs = evaluated(tmp_path / "a", environment=environment, concurrency=16)
    runs += evaluated(tmp_path / "b", seed=1, concurrency=16, environment={"machine": 5})
    walk = page(runs)
    check_alone(walk)
    text = walk.rows()
    assert "mini: means over 2 runs: a, b." in text
    assert "Vanilla (high) 75.0 (65.7 to 82.5) 100.0 100.0 2 200 0" in text
    assert "of vanilla 66.7" in text
    assert "a mini mini 0 16 2026-11-21 0.1.0 A processor" in text
    assert "b mini mini 1 16 - - -" in text
    assert "Episodes" not in text


@pytest.mark.usefixtures("no_plots")
def test_wide_tables_of_the_page_are_broken_into_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each part begins with the families."""
    runs = read_evaluations([write_evaluation(tmp_path / "a", families({"auto": (0.5, 0.25)}))])
    monkeypatch.setattr(report, "PAGE_WIDTH", 25)
    assert page(runs).rows().count("colour (weak)") == 2


@pytest.mark.usefixtures("no_plots")
def test_markdown_has_notes_and_tables(tmp_path: Path):
    runs = read_evaluations([write_evaluation(tmp_path / "a", rows({"low": 0.5}, "_s_"))])
    text = evaluation_report(runs).markdown()
    assert text.startswith("# Evaluation: \\_s\\_\n\n1 run, 1 suite, 1 policy.\n\n")
    assert "- \\_s\\_: nothing is 100 %, because there is no policy high.\n" in text
    assert "| Down-sample (low) | 50.0 (40.4 to 59.6) |" in text


@pytest.mark.usefixtures("no_plots")
def test_a_report_of_a_summary_without_its_all_row(tmp_path: Path):
    """The tables have the families; of all of the suite they have nothing, which is noted."""
    held = [row("low", 0.5, family=family, kind=None) for family in ("a", "b")]
    runs = read_evaluations([write_evaluation(tmp_path / "a", held)])
    text = page(runs).rows()
    assert "a: mini has no row of the family all for low." in text
    assert "Down-sample (low) 50.0 (40.4 to 59.6) 50.0 (40.4 to 59.6)" in text
    assert evaluation_json(compare(runs))["policies"][0]["visual_token_ratio"] is None


@pytest.mark.usefixtures("no_plots")
def test_hostile_text_stays_text(tmp_path: Path):
    """In replies, questions, answers, families, policies, suites, errors, and names of models."""
    episode = play([scene()], HOSTILE, [direct_reply(HOSTILE, HOSTILE)])
    hostile = line(
        episode,
        HOSTILE,
        suite=HOSTILE,
        id=HOSTILE,
        by=HOSTILE,
        metadata={"family": HOSTILE, "kind": HOSTILE},
    )
    other = {**hostile, "policy": "auto", "error": HOSTILE}
    path = write_evaluation(
        tmp_path / "<script>a", None, episodes=[hostile, other], model=HOSTILE, seed=HOSTILE
    )
    walk = page(read_evaluations([path]))
    check_alone(walk)
    assert walk.rows().count("<script>alert(1)</script>") > 10


# For machines


def test_one_object_for_machines(tmp_path: Path):
    """low: 0.5 of 0.75."""
    found = evaluation_json(compare(evaluated(tmp_path / "a")))
    assert found["notes"] == []
    assert found["runs"] == [{"name": "a", "path": str(tmp_path / "a"), "notes": []}]
    assert found["systems"] == {"a": ["a"]}
    high, low = found["policies"]
    assert (high["policy"], high["of_vanilla"]) == ("high", 1.0)
    assert (low["policy"], low["of_vanilla"]) == ("low", pytest.approx(2 / 3))
    assert (low["visual_token_ratio"], low["seconds_per_sample"]) == (0.25, 0.5)
    row = found["rows"][1]
    assert (row["suite"], row["family"], row["policy"]) == ("mini", "all", "low")
    assert (row["runs"], row["n"], row["errors"]) == (1, 100, 0)
    assert row["accuracy"] == {
        **{"mean": 0.5, "stderr": 0.02, "n": 1},
        "ci_low": pytest.approx(0.4038, abs=1e-4),
        "ci_high": pytest.approx(0.5962, abs=1e-4),
    }
    assert row["f1"] is None
    assert row["vs_high"] is None


# Tables


def test_scores_in_a_terminal(tmp_path: Path):
    """low: 0.4 of 0.8 is 50 % of vanilla's score, its 0.5 s are 25 % of vanilla's 2."""
    sheet = score_table(of(write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4}))))
    assert sheet.text().splitlines() == [
        "                                  mini    visual  FLOPs   seconds",
        "policy                               %  tokens %      %  a sample    n  failed",
        "The original",
        "Vanilla (high)     80.0 (71.1 to 86.7)     100.0  100.0         2  100       0",
        "  of vanilla                     100.0                      100.0",
        "The small image",
        "Down-sample (low)  40.0 (30.9 to 49.8)      25.0   30.0       0.5  100       0",
        "  of vanilla                      50.0                       25.0",
    ]


def test_scores_of_one_suite_by_kind(tmp_path: Path):
    """low: 0.4 of 0.8 is 50 % of vanilla's strong score, 0.6 of 0.8 is 75 % of all."""
    scores = {"high": (0.8, 0.8), "low": (0.8, 0.4)}
    sheet = score_table(of(write_evaluation(tmp_path / "a", families(scores))))
    assert sheet.heads[:4] == ["policy", "weak %", "strong %", "all of mini %"]
    low, share = (line.cells[:4] for line in sheet.lines[-2:])
    assert low == [
        "Down-sample (low)",
        "80.0 (71.1 to 86.7)",
        "40.0 (30.9 to 49.8)",
        "60.0 (53.1 to 66.5)",
    ]
    assert share == ["  of vanilla", "100.0", "50.0", "75.0"]


def test_scores_of_several_suites_have_an_average(tmp_path: Path):
    """low: 0.4 / 0.8 and 0.9 / 0.9: 75 %. auto lacks a suite, so it has no average and no costs."""
    mini = write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4, "auto": 0.8}))
    photos = write_evaluation(tmp_path / "b", rows({"high": 0.9, "low": 0.9}, "photos"))
    lines = {line.cells[0]: line.cells[1:] for line in score_table(of(mini, photos)).lines}
    assert lines["Down-sample (low)"] == [
        *("40.0 (30.9 to 49.8)", "90.0 (82.6 to 94.5)", "", "25.0", "30.0", "0.5", "200", "0")
    ]
    assert lines["VisionThink (auto)"] == [
        "80.0 (71.1 to 86.7)",
        "-",
        "",
        "-",
        "-",
        "-",
        "100",
        "0",
    ]
    assert [
        line.cells for line in score_table(of(mini, photos)).lines if line.kind == "shares"
    ] == [
        ["  of vanilla", "100.0", "100.0", "100.0", "", "", "100.0", "", ""],
        ["  of vanilla", "50.0", "100.0", "75.0", "", "", "25.0", "", ""],
        ["  of vanilla", "100.0", "-", "-", "", "", "-", "", ""],
    ]


def test_seeds_are_counted_and_spread(tmp_path: Path):
    """25 and 75: 50 ± 12.7 · 25, so nothing is known. Two runs of 100 samples, with one failed
    sample each.
    """
    paths = [
        write_evaluation(tmp_path / f"r{seed}", rows({"low": score}, errors=1), seed=seed)
        for seed, score in enumerate((0.25, 0.75))
    ]
    sheet = score_table(of(*paths))
    assert sheet.lines[1].cells == [
        *("Down-sample (low)", "50.0 (0.0 to 100.0)", "25.0", "30.0", "0.5", "200", "2")
    ]
    assert len(sheet.lines) == 2, "there is no line of shares where there is no vanilla"


def test_runs_of_unequal_size_are_counted_together(tmp_path: Path):
    paths = [
        write_evaluation(tmp_path / f"r{seed}", rows({"low": 0.5}, n=n), seed=seed)
        for seed, n in enumerate((100, 150))
    ]
    assert score_table(of(*paths)).lines[1].cells[-2] == "250"


def test_costs_leave_out_columns_that_are_empty(tmp_path: Path):
    """auto: 55 % processed, 55 - 30 / 4 = 47.5 % replaced; there is no F1 and no paper's FLOPs."""
    versus = {"difference": 0.05, "low": -0.025, "high": 0.125}
    held = [row("high", 0.8), row("auto", 0.85, vs_high=versus)]
    for each in held:
        each["paper_flops_ratio"] = None
    sheet = cost_table(of(write_evaluation(tmp_path / "a", held)))
    assert sheet.heads == [
        *("policy", "requests %", "visual tokens %", "replaced: tokens %", "FLOPs %"),
        *("prompt tokens", "generated tokens", "seconds a sample", "minus high", "n", "failed"),
    ]
    assert sheet.lines[1].cells == [
        *("VisionThink (auto)", "30.0", "55.0", "47.5", "60.0", "40.0", "8.0", "1"),
        *("+5.0 (-2.5 to +12.5)", "100", "0"),
    ]


def test_costs_of_several_suites_have_headings(tmp_path: Path):
    held = [*rows({"high": 0.8}), *rows({"low": 0.5}, "photos")]
    lines = cost_table(of(write_evaluation(tmp_path / "a", held))).lines
    assert [line.cells[0] for line in lines] == [
        *("mini", "Vanilla (high)", "photos", "Down-sample (low)")
    ]


def test_families_show_requests_of_policies_that_decide(tmp_path: Path):
    scores = {"high": (1.0, 1.0), "auto": (1.0, 0.5)}
    sheets = family_tables(of(write_evaluation(tmp_path / "a", families(scores))))
    assert list(sheets) == ["mini"]
    assert sheets["mini"].heads == ["family", "high %", "auto %", "auto requests %"]
    assert [line.cells for line in sheets["mini"].lines] == [
        ["colour (weak)", "100.0 (96.3 to 100.0)", "100.0 (96.3 to 100.0)", "30.0"],
        ["tag (strong)", "100.0 (96.3 to 100.0)", "50.0 (40.4 to 59.6)", "30.0"],
    ]


def test_few_families_without_kinds_are_columns(tmp_path: Path):
    held = [row("low", 0.5, family=family) for family in ("a", "b")]
    held.append(row("low", 0.5, n=200))
    few = of(write_evaluation(tmp_path / "few", held))
    assert score_table(few).heads[:4] == ["policy", "a %", "b %", "all of mini %"]
    many = [row("low", 0.5, family=str(at)) for at in range(7)]
    many.append(row("low", 0.5, n=700))
    assert score_table(of(write_evaluation(tmp_path / "m", many))).heads[:2] == ["policy", "mini %"]


def test_policies_without_an_accuracy(tmp_path: Path):
    held = [row("high", None, n=0, errors=100), row("low", 0.5)]
    lines = {
        line.cells[0]: line.cells
        for line in score_table(of(write_evaluation(tmp_path / "a", held))).lines
    }
    assert lines["Vanilla (high)"][1] == "-"
    assert lines["Vanilla (high)"][-2:] == ["0", "100"]
    assert "  of vanilla" not in lines


def test_wide_tables_are_broken_into_parts(tmp_path: Path):
    scores = {"high": (0.8, 0.8)}
    sheet = score_table(of(write_evaluation(tmp_path / "a", families(scores))))
    parts = sheet.text(58).split("\n\n")
    assert max(map(len, sheet.text(58).splitlines())) <= 58
    assert [part.splitlines()[1].split()[0] for part in parts] == ["policy"] * 3
    assert sheet.text(1).count("policy") == len(sheet.heads) - 1


def test_markdown_quotes_names(tmp_path: Path):
    held = rows({"high": 0.5}, "a|b_<i>")
    text = score_table(of(write_evaluation(tmp_path / "a", held))).markdown()
    assert text.splitlines() == [
        r"| policy | a\|b\_\<i\> % | visual tokens % | FLOPs % | seconds a sample | n | failed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| **The original** |  |  |  |  |  |  |",
        "| Vanilla (high) | 50.0 (40.4 to 59.6) | 100.0 | 100.0 | 2 | 100 | 0 |",
        "| *of vanilla* | *100.0* |  |  | *100.0* |  |  |",
    ]
