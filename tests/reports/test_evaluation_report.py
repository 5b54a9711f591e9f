"""The report on evaluations: its files, page, Markdown and gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acting import HOSTILE, answered, play, requested, scene
from evaluation_runs import line, rows, write_evaluation
from training_runs import sample, write_run
from walking import ReportWalk, check_alone

from visionthink.core.errors import RunError
from visionthink.core.protocol import direct_reply
from visionthink.reports import page as page_module
from visionthink.reports.comparison import compare
from visionthink.reports.evaluation import EvaluationRun, read_evaluations
from visionthink.reports.evaluation_gallery import choose, evaluation_gallery
from visionthink.reports.evaluation_json import evaluation_json
from visionthink.reports.evaluation_page import (
    evaluation_markdown,
    evaluation_sections,
    write_evaluation_report,
)
from visionthink.reports.page import document
from visionthink.reports.plotting import Plot
from visionthink.reports.training import read_runs

SCORES = {"high": 0.75, "low": 0.5}
PLOT = Plot("some", "Some <plot>", "What it shows.", b"png", b"<svg/>")


class Walk(ReportWalk):
    """A page that may also have a list of notes."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "ul":
            self.open.append(tag)
            self.tags.append((tag, dict.fromkeys((name for name, _ in attrs), "")))
        else:
            super().handle_starttag(tag, attrs)


def evaluated(path: Path, episodes: list[dict[str, Any]] | None = None, **more: Any) -> Any:
    return read_evaluations([write_evaluation(path, rows(SCORES), episodes=episodes or [], **more)])


def page(runs: list[EvaluationRun], most: int = 48) -> Walk:
    """The page without its plots, which other tests draw."""
    shown = evaluation_gallery(choose(runs, most))
    parts = evaluation_sections(compare(runs), [PLOT], shown.html)
    return Walk(document("Title", "Summary", "\n".join(parts), shown.style))


# Files


def test_a_report_of_evaluations_and_trainings(tmp_path: Path):
    runs = evaluated(tmp_path / "a", [line(answered(), "low")])
    rate = {"step": 1, "episode/request_rate/kind/weak": 0.5}
    training = write_run(tmp_path / "t", [rate], episodes=[sample(answered(), 1)])
    out = tmp_path / "out"
    files = write_evaluation_report(runs, out, trainings=read_runs([training]), by="reward.rule")
    assert [path.name for path in files[:2]] == ["report.html", "report.md"]
    assert {path.name for path in out.iterdir()} == {path.name for path in files}
    assert {"accuracy_tokens.png", "seconds.svg", "request_rate.svg", "sweep.png"} <= {
        path.name for path in files
    }
    text = files[0].read_text("utf-8")
    walk = Walk(text)
    check_alone(walk)
    style = text.partition("<style>")[2].partition("</style>")[0]
    (policy,) = [meta["content"] for meta in walk.named("meta") if "http-equiv" in meta]
    assert policy == page_module.policy(style)
    ids = [each["id"] for each in walk.named("input")]
    assert len(ids) == len(set(ids))
    told = walk.rows()
    assert "Evaluation: mini 1 run, 1 suite, 2 policies" in told
    assert "Training runs" in told
    markdown = files[1].read_text("utf-8")
    assert markdown.startswith("# Evaluation: mini\n\n1 run, 1 suite, 2 policies.\n")
    assert "\n# Training runs\n" in markdown


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "out").touch()
    with pytest.raises(RunError, match=r"cannot write the report into .*: File exists"):
        write_evaluation_report(evaluated(tmp_path / "a"), tmp_path / "out")


# The page


def test_tables_and_notes_of_the_page(tmp_path: Path):
    environment = {
        "started": "2026-11-21T11:51:17+00:00",
        "packages": {"visionthink": "0.1.0"},
        "machine": {"cpu": "A processor", "gpu": None},
    }
    runs = evaluated(tmp_path / "a", environment=environment, concurrency=16)
    runs += evaluated(tmp_path / "b", seed=1, concurrency=16)
    walk = page(runs)
    check_alone(walk)
    told = walk.rows()
    assert "mini: means over 2 runs: a, b." in told
    assert "Vanilla (high) 75.0 ± 0.0 100.0 100.0 2 2 x 100 0" in told
    assert "of vanilla 66.7" in told
    assert "a mini mini 0 16 2026-11-21 0.1.0 A processor" in told
    assert "b mini mini 1 16 - - -" in told
    assert "Episodes" not in told


def test_markdown_has_notes_tables_and_plots(tmp_path: Path):
    runs = read_evaluations([write_evaluation(tmp_path / "a", rows({"low": 0.5}, "_s_"))])
    told = evaluation_markdown(compare(runs), [PLOT])
    assert told.startswith("# Evaluation: \\_s\\_\n\n1 run, 1 suite, 1 policy.\n\n")
    assert "- \\_s\\_: nothing is 100 %, for there is no policy high.\n" in told
    assert "| Down-sample (low) | 50.0 ± 2.0 |" in told
    assert "## Some \\<plot\\>\n\n![Some \\<plot\\>](some.png)\n\nWhat it shows.\n" in told


# The gallery


def test_an_episode_and_what_other_policies_said(tmp_path: Path):
    metadata = {"family": "receipt", "kind": "strong"}
    episodes = [
        line(requested(), "auto", metadata=metadata),
        line(answered(), "low", metadata=metadata, score=0.0),
        line(answered(), "low", id="2", metadata=metadata),
    ]
    walk = page(evaluated(tmp_path / "a", episodes))
    check_alone(walk)
    told = walk.rows()
    assert "auto, receipt, requested, right How much is the tea?" in told
    assert "low, receipt, direct, wrong What colour is the house?" in told
    assert "Right answer red Score 1, by rules Others low: red (wrong)" in told
    assert "Score 0, by rules Others auto: 4.20 (right, requested)" in told
    assert " of 3 episodes" in told
    marks = [each["class"] for each in walk.named("details") if "class" in each]
    assert marks == [
        "sample requested right policy-0 family-0 run-0",
        "sample direct wrong policy-1 family-0 run-0",
        "sample direct right policy-1 family-0 run-0",
    ]


def test_what_can_be_chosen_is_what_is_there(tmp_path: Path):
    """Two policies, one family, one run, two verdicts; each choice has its rule."""
    episodes = [line(requested(), "auto"), line(answered(), "low", score=0.0)]
    shown = evaluation_gallery(choose(evaluated(tmp_path / "a", episodes), 9))
    walk = Walk(f"<main>{shown.html}</main>")
    ids = [each["id"] for each in walk.named("input")]
    assert ids == [
        *("show-any-policy", "show-policy-0", "show-policy-1"),
        *("show-any-outcome", "show-direct", "show-requested", "show-unanswered"),
        *("show-any-score", "show-right", "show-wrong"),
    ]
    for name in ids:
        if "any-" not in name:
            mark = name.removeprefix("show-")
            assert f":has(#{name}:checked) .sample:not(.{mark})" in shown.style


def test_samples_that_failed_are_shown_with_the_reason(tmp_path: Path):
    failed: dict[str, Any] = {"score": None, "by": None, "error": "<b>no verdict</b>"}
    episodes = [line(answered(), "low", **failed), line(None, "high", id="2", **failed)]
    walk = page(evaluated(tmp_path / "a", episodes))
    check_alone(walk)
    told = walk.rows()
    assert "low, mini, direct, failed What colour is the house?" in told
    assert "high, mini, failed Never asked?" in told
    assert told.count("Failed <b>no verdict</b>") == 2
    assert "cannot be shown" not in told


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


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        ({"images": ["data:image/png;base64,!!"]}, "an image of the record is no base64"),
        ({"turns": 5}, "This record cannot be shown: TypeError"),
        ({"ledger": None}, "This record cannot be shown: TypeError"),
        ({"policy": 7, "question": None, "suite": None}, " direct, right None"),
        ({"score": "high", "by": 3}, "Score none, by nobody"),
    ],
)
def test_spoilt_records_become_notes(tmp_path: Path, damage: dict[str, Any], note: str):
    spoilt = {**line(answered(), "low"), **damage}
    walk = page(evaluated(tmp_path / "a", [spoilt, line(requested(), "auto", id="2")]))
    check_alone(walk)
    assert note in walk.rows()
    assert "How much is the tea?" in walk.rows()


# Which episodes are shown


def kept(run: EvaluationRun, most: int) -> list[tuple[Any, Any]]:
    return [(shown.record["policy"], shown.record["id"]) for shown in choose([run], most)]


def test_what_is_rare_is_shown_as_well(tmp_path: Path):
    """Of two policies in turn, and of nine right answers and a wrong one; auto comes first."""
    episodes = [line(answered(), "low", id=f"l{at}", score=float(at != 5)) for at in range(10)]
    episodes += [line(requested(), "auto", id=f"a{at}") for at in range(10)]
    (run,) = evaluated(tmp_path / "a", episodes)
    assert [policy for policy, _ in kept(run, 2)] == ["auto", "low"]
    found = kept(run, 4)
    assert [policy for policy, _ in found] == ["auto", "auto", "low", "low"]
    assert ("low", "l5") in found
    assert len(kept(run, 100)) == 20
    assert kept(run, 0) == []


def test_episodes_with_images_come_first(tmp_path: Path):
    episodes = [line(answered(), "low", id=str(at)) for at in range(4)]
    for record in episodes[:3]:
        del record["images"]
    (run,) = evaluated(tmp_path / "a", episodes)
    assert kept(run, 1) == [("low", "3")]
    assert len(kept(run, 9)) == 4


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
    assert row["accuracy"] == {"mean": 0.5, "stderr": 0.02, "n": 1}
    assert row["f1"] is None
    assert row["vs_high"] is None


# Tables


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
