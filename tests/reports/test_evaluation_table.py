"""Tables of policies, for a terminal and for Markdown."""

from __future__ import annotations

from pathlib import Path

from evaluation_runs import families, row, rows, write_evaluation

from visionthink.reports.comparison import Comparison, compare
from visionthink.reports.evaluation import read_evaluations
from visionthink.reports.evaluation_table import (
    cost_sheet,
    family_sheets,
    score_sheet,
    sheet_markdown,
    sheet_text,
)


def of(*paths: Path) -> Comparison:
    return compare(read_evaluations(paths))


def test_scores_in_a_terminal(tmp_path: Path):
    """low: 0.4 of 0.8 is 50 % of vanilla's score, its 0.5 s are 25 % of vanilla's 2."""
    sheet = score_sheet(of(write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4}))))
    assert sheet_text(sheet).splitlines() == [
        "                         mini    visual  FLOPs   seconds",
        "policy                      %  tokens %      %  a sample    n  failed",
        "The original",
        "Vanilla (high)     80.0 ± 2.0     100.0  100.0         2  100       0",
        "  of vanilla            100.0                      100.0",
        "The small image",
        "Down-sample (low)  40.0 ± 2.0      25.0   30.0       0.5  100       0",
        "  of vanilla             50.0                       25.0",
    ]


def test_scores_of_one_suite_by_kind(tmp_path: Path):
    """low: 0.4 of 0.8 is 50 % of vanilla's strong score, 0.6 of 0.8 is 75 % of all."""
    scores = {"high": (0.8, 0.8), "low": (0.8, 0.4)}
    sheet = score_sheet(of(write_evaluation(tmp_path / "a", families(scores))))
    assert sheet.heads[:4] == ["policy", "weak %", "strong %", "all of mini %"]
    low, share = (line.cells[:4] for line in sheet.lines[-2:])
    assert low == ["Down-sample (low)", "80.0 ± 2.0", "40.0 ± 2.0", "60.0 ± 2.0"]
    assert share == ["  of vanilla", "100.0", "50.0", "75.0"]


def test_scores_of_several_suites_have_an_average(tmp_path: Path):
    """low: 0.4 / 0.8 and 0.9 / 0.9: 75 %. auto lacks a suite, so it has no average and no costs."""
    mini = write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4, "auto": 0.8}))
    photos = write_evaluation(tmp_path / "b", rows({"high": 0.9, "low": 0.9}, "photos"))
    lines = {line.cells[0]: line.cells[1:] for line in score_sheet(of(mini, photos)).lines}
    assert lines["Down-sample (low)"] == [
        *("40.0 ± 2.0", "90.0 ± 2.0", "", "25.0", "30.0", "0.5", "200", "0")
    ]
    assert lines["VisionThink (auto)"] == ["80.0 ± 2.0", "-", "", "-", "-", "-", "100", "0"]
    assert [
        line.cells for line in score_sheet(of(mini, photos)).lines if line.sort == "shares"
    ] == [
        ["  of vanilla", "100.0", "100.0", "100.0", "", "", "100.0", "", ""],
        ["  of vanilla", "50.0", "100.0", "75.0", "", "", "25.0", "", ""],
        ["  of vanilla", "100.0", "-", "-", "", "", "-", "", ""],
    ]


def test_seeds_are_counted_and_spread(tmp_path: Path):
    """25 and 75: 50 ± 25. Two runs of 100 samples, with one failed sample each."""
    paths = [
        write_evaluation(tmp_path / f"r{seed}", rows({"low": score}, errors=1), seed=seed)
        for seed, score in enumerate((0.25, 0.75))
    ]
    sheet = score_sheet(of(*paths))
    assert sheet.lines[1].cells == [
        *("Down-sample (low)", "50.0 ± 25.0", "25.0", "30.0", "0.5", "2 x 100", "2")
    ]
    assert len(sheet.lines) == 2, "there is no line of shares where there is no vanilla"


def test_runs_of_unequal_size_are_counted_together(tmp_path: Path):
    paths = [
        write_evaluation(tmp_path / f"r{seed}", rows({"low": 0.5}, n=n), seed=seed)
        for seed, n in enumerate((100, 150))
    ]
    assert score_sheet(of(*paths)).lines[1].cells[-2] == "250"


def test_costs_leave_out_columns_that_are_empty(tmp_path: Path):
    """auto: 55 % processed, 55 - 30 / 4 = 47.5 % replaced; there is no F1 and no paper's FLOPs."""
    versus = {"difference": 0.05, "low": -0.025, "high": 0.125}
    held = [row("high", 0.8), row("auto", 0.85, vs_high=versus)]
    for each in held:
        each["paper_flops_ratio"] = None
    sheet = cost_sheet(of(write_evaluation(tmp_path / "a", held)))
    assert sheet.heads == [
        *("policy", "requests %", "visual tokens %", "replaced: tokens %", "FLOPs %"),
        *("prompt tokens", "generated tokens", "seconds a sample", "less high", "n", "failed"),
    ]
    assert sheet.lines[1].cells == [
        *("VisionThink (auto)", "30.0", "55.0", "47.5", "60.0", "40.0", "8.0", "1"),
        *("+5.0 (-2.5 to +12.5)", "100", "0"),
    ]


def test_costs_of_several_suites_stand_under_their_names(tmp_path: Path):
    held = [*rows({"high": 0.8}), *rows({"low": 0.5}, "photos")]
    lines = cost_sheet(of(write_evaluation(tmp_path / "a", held))).lines
    assert [line.cells[0] for line in lines] == [
        *("mini", "Vanilla (high)", "photos", "Down-sample (low)")
    ]


def test_families_show_who_requests(tmp_path: Path):
    scores = {"high": (1.0, 1.0), "auto": (1.0, 0.5)}
    sheets = family_sheets(of(write_evaluation(tmp_path / "a", families(scores))))
    assert list(sheets) == ["mini"]
    assert sheets["mini"].heads == ["family", "high %", "auto %", "auto requests %"]
    assert [line.cells for line in sheets["mini"].lines] == [
        ["colour (weak)", "100.0 ± 2.0", "100.0 ± 2.0", "30.0"],
        ["tag (strong)", "100.0 ± 2.0", "50.0 ± 2.0", "30.0"],
    ]


def test_few_families_without_kinds_are_columns(tmp_path: Path):
    held = [row("low", 0.5, family=family) for family in ("a", "b")]
    held.append(row("low", 0.5, n=200))
    few = of(write_evaluation(tmp_path / "few", held))
    assert score_sheet(few).heads[:4] == ["policy", "a %", "b %", "all of mini %"]
    many = [row("low", 0.5, family=str(at)) for at in range(7)]
    many.append(row("low", 0.5, n=700))
    assert score_sheet(of(write_evaluation(tmp_path / "m", many))).heads[:2] == ["policy", "mini %"]


def test_accuracies_that_there_are_not(tmp_path: Path):
    held = [row("high", None, n=0, errors=100), row("low", 0.5)]
    lines = {
        line.cells[0]: line.cells
        for line in score_sheet(of(write_evaluation(tmp_path / "a", held))).lines
    }
    assert lines["Vanilla (high)"][1] == "-"
    assert lines["Vanilla (high)"][-2:] == ["0", "100"]
    assert "  of vanilla" not in lines


def test_wide_tables_are_broken_into_parts(tmp_path: Path):
    scores = {"high": (0.8, 0.8)}
    sheet = score_sheet(of(write_evaluation(tmp_path / "a", families(scores))))
    parts = sheet_text(sheet, 45).split("\n\n")
    assert max(map(len, sheet_text(sheet, 45).splitlines())) <= 45
    assert [part.splitlines()[1].split()[0] for part in parts] == ["policy"] * 3
    assert sheet_text(sheet, 1).count("policy") == len(sheet.heads) - 1


def test_markdown_quotes_names(tmp_path: Path):
    held = rows({"high": 0.5}, "a|b_<i>")
    told = sheet_markdown(score_sheet(of(write_evaluation(tmp_path / "a", held))))
    assert told.splitlines() == [
        r"| policy | a\|b\_\<i\> % | visual tokens % | FLOPs % | seconds a sample | n | failed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| **The original** |  |  |  |  |  |  |",
        "| Vanilla (high) | 50.0 ± 2.0 | 100.0 | 100.0 | 2 | 100 | 0 |",
        "| *of vanilla* | *100.0* |  |  | *100.0* |  |  |",
    ]
