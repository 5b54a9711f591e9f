"""Figures of training runs: finals, groups over seeds, settings of a key, curves, r."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from training_runs import write_run

from visionthink.core.errors import RunError, UsageError
from visionthink.reports.run_groups import Estimate, differing
from visionthink.reports.training_runs import (
    TrainingRun,
    bin_width,
    curve,
    estimate,
    group,
    kinds,
    leaves,
    r_histogram,
    read_runs,
    settings,
)
from visionthink.runs.folder import RunFolder

WEAK = "episode/request_rate/kind/weak"


def read(path: Path, lines: list[dict[str, Any]], **config: Any) -> TrainingRun:
    return read_runs([write_run(path, lines, **config)])[0]


def rates(*values: float | None) -> list[dict[str, Any]]:
    return [{"step": step, WEAK: value} for step, value in enumerate(values, start=1)]


def test_final_figures_are_means_over_the_last_tenth(tmp_path: Path):
    """20 steps: the last two, 0.1 and 0.3. The accuracy is logged at 11 of them, so its last tenth
    is two of these: 0.5 and 1.
    """
    lines = rates(*[1.0] * 18, 0.1, 0.3)
    for at in range(0, 20, 2):
        lines[at]["reward/accuracy"] = 0.5
    lines[19]["reward/accuracy"] = 1.0
    run = read(tmp_path / "a", lines)
    assert run.figures == {
        "request_weak": 0.2,
        "request_strong": None,
        "request_lucky": None,
        "accuracy": 0.75,
        "format": None,
        "reward": None,
        "visual_token_ratio": None,
        "eval_request_weak": None,
        "eval_request_strong": None,
        "eval_request_lucky": None,
        "eval_accuracy": None,
    }


def test_one_step_is_a_last_tenth(tmp_path: Path):
    assert read(tmp_path / "a", rates(0.25)).final(WEAK) == 0.25


def test_values_that_are_not_numbers_are_left_out(tmp_path: Path):
    """NaN is kept as null, which is left out: the last tenth of two values is 0.5."""
    lines = [*rates(0.25, 0.5, math.nan), {"step": 4, WEAK: "x"}, {"step": 5, WEAK: True}]
    run = read(tmp_path / "a", lines)
    assert run.points(WEAK) == {1: 0.25, 2: 0.5}
    assert run.final(WEAK) == 0.5


def test_held_out_figures_are_those_of_the_last_evaluation(tmp_path: Path):
    """Whichever way they are named: an evaluation may log the keys of rollouts below eval/."""
    lines = [
        {"step": 0, "train/epoch": 0.0, "eval/accuracy": 0.1},
        *rates(0.5, 0.5),
        {"step": 2, "eval/accuracy": 0.9, "eval/episode/request_rate/kind/weak": 0.25},
    ]
    run = read(tmp_path / "a", lines)
    assert [step["step"] for step in run.steps] == [1, 2]
    assert [evaluation["step"] for evaluation in run.evaluations] == [0, 2]
    found = run.figures
    assert (found["eval_accuracy"], found["eval_request_weak"]) == (0.9, 0.25)
    assert found["request_weak"] == 0.5


def test_lines_of_one_step_are_one(tmp_path: Path):
    lines = [{"step": 2, WEAK: 0.5}, {"step": 2, "train/loss": 1.0}, {"step": 1, WEAK: 0.25}]
    run = read(tmp_path / "a", lines)
    assert run.steps == ({"step": 1, WEAK: 0.25}, {"step": 2, WEAK: 0.5, "train/loss": 1.0})


# Reading


def test_a_run_named_twice_counts_once_and_names_tell_runs_apart(tmp_path: Path):
    paths = [write_run(tmp_path / at / "run", rates(0.5), x=at) for at in ("a", "b")]
    runs = read_runs([*paths, tmp_path / "a" / ".." / "a" / "run"])
    assert [run.name for run in runs] == ["a/run", "b/run"]


BROKEN = [
    ("config.json", None, "no run in .*config.json is missing"),
    ("config.json", '{"version": 9, "config": {}}', "of version 9, .*: update visionthink"),
    ("metrics.jsonl", None, "holds no step of training yet; name run folders"),
    ("metrics.jsonl", "", "holds no step of training yet"),
    ("metrics.jsonl", '{"step": 1, "eval/accuracy": 1}\n', "holds no step of training yet"),
    ("metrics.jsonl", '{"step": 1}\n{"st}\n{"step": 2}\n', r"metrics\.jsonl, line 2: no JSON obj"),
    ("metrics.jsonl", '{"reward/total": 1}\n', "has a line without a step"),
    ("metrics.jsonl", '{"step": "1", "reward/total": 1}\n', "has a line without a step"),
]


@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_broken_runs_say_what_is_wrong(tmp_path: Path, name: str, text: str | None, message: str):
    path = write_run(tmp_path / "a", rates(0.5))
    if text is None:
        (path / name).unlink()
    else:
        (path / name).write_text(text)
    with pytest.raises(RunError, match=message) as caught:
        read_runs([path])
    assert "\n" not in str(caught.value)


def test_a_line_cut_short_is_left_out(tmp_path: Path):
    path = write_run(tmp_path / "a", rates(0.5, 0.25))
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "episode/requ')
    assert read_runs([path])[0].points(WEAK) == {1: 0.5, 2: 0.25}


def test_an_evaluation_is_not_a_training(tmp_path: Path):
    RunFolder.create(tmp_path, {}, environment={}).write_summary([{"suite": "mini"}])
    with pytest.raises(RunError, match="holds an evaluation, not training"):
        read_runs([tmp_path])


# Groups


def test_runs_that_differ_in_seeds_and_places_only_are_a_group(tmp_path: Path):
    runs = [
        read(
            tmp_path / f"{rule}-seed{seed}",
            rates(0.5),
            seed=seed,
            reward={"rule": rule},
            trainer={"save_total_limit": seed},
        )
        for rule in ("paper", "none")
        for seed in (1, 2)
    ]
    groups = group(runs)
    assert [of.label for of in groups] == ["paper", "none"]
    assert [[run.name for run in of.runs] for of in groups] == [
        ["paper-seed1", "paper-seed2"],
        ["none-seed1", "none-seed2"],
    ]
    assert differing(runs) == ["reward.rule"]


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["a"], "a"),
        (["run-7"], "run-7"),
        (["paper-seed1", "paper-seed2"], "paper"),
        (["paper-s10", "paper-s11"], "paper"),
        (["paper_1", "paper_12"], "paper"),
        (["rules1", "rules2"], "rules"),
        (["1", "2"], "1"),
        (["runs", "runs2"], "runs"),
    ],
)
def test_a_single_group_is_named_after_its_runs(tmp_path: Path, names: list[str], label: str):
    runs = [read(tmp_path / name, rates(0.5), seed=at) for at, name in enumerate(names)]
    assert [of.label for of in group(runs)] == [label]


def test_curves_are_labelled_by_run_names(tmp_path: Path):
    """Not by the configs in which the runs differ; where trainers report to makes no group."""
    runs = [
        read(tmp_path / "plain", rates(0.5), steps=9, report_to="tensorboard"),
        read(tmp_path / "other", rates(0.5), steps=8, report_to=None),
        read(tmp_path / "third", rates(0.5), steps=8, report_to="none"),
    ]
    assert [of.label for of in group(runs[:2])] == ["plain", "other"]
    assert [len(of.runs) for of in group(runs)] == [1, 2]


def test_names_of_groups_leave_out_seeds_in_folders(tmp_path: Path):
    runs = read_runs(
        [
            write_run(tmp_path / rule / f"seed-{seed}", rates(0.5), seed=seed, rule=rule)
            for rule in ("rates", "paper")
            for seed in (0, 1)
        ]
    )
    assert [of.label for of in group(runs)] == ["rates", "paper"]


def test_groups_whose_names_are_alike_go_by_their_first_runs(tmp_path: Path):
    runs = [
        read(tmp_path / name, rates(0.5), seed=at, x=at // 2)
        for at, name in enumerate(("a-1", "a-2", "a-3", "a-4"))
    ]
    assert [of.label for of in group(runs)] == ["a-1", "a-3"]


def test_means_and_standard_errors_over_seeds(tmp_path: Path):
    """0.25, 0.5 and 0.75: mean 0.5, variance 0.0625, standard error sqrt(0.0625 / 3)."""
    runs = [
        read(tmp_path / str(seed), rates(rate), seed=seed)
        for seed, rate in enumerate((0.25, 0.5, 0.75))
    ]
    found = estimate(runs, WEAK)
    assert found is not None
    assert (found.mean, found.n) == (0.5, 3)
    assert found.stderr == pytest.approx(math.sqrt(0.0625 / 3), rel=1e-12)
    assert estimate(runs[:1], WEAK) == Estimate(0.25, None, 1)
    assert estimate(runs, "reward/total") is None


def test_kinds_and_families_in_their_order(tmp_path: Path):
    names = ("kind/strong", "kind/other", "kind/weak", "family/tag", "family/colour")
    line = {f"episode/request_rate/{name}": 0.5 for name in names}
    groups = group([read(tmp_path / "a", [{"step": 1, **line}])])
    assert kinds(groups, "episode/request_rate") == ["weak", "strong", "other"]
    assert leaves(groups, "episode/request_rate/family/") == ["colour", "tag"]
    assert kinds(groups, "eval/request_rate") == []


def test_runs_by_the_values_of_a_key(tmp_path: Path):
    runs = [
        read(tmp_path / f"{theta}-{seed}", rates(0.5), seed=seed, reward={"theta": theta})
        for theta in (0.25, 0, 0.2)
        for seed in (1, 2)
    ]
    found = settings(runs, "reward.theta")
    assert [(setting.value, len(setting.runs)) for setting in found] == [
        (0, 2),
        (0.2, 2),
        (0.25, 2),
    ]
    assert [setting.label for setting in found] == ["0", "0.2", "0.25"]


def test_settings_that_are_not_numbers_keep_their_order(tmp_path: Path):
    runs = [read(tmp_path / rule, rates(0.5), rule=rule) for rule in ("paper", "none", "ours")]
    assert [setting.label for setting in settings(runs, "rule")] == ["paper", "none", "ours"]


def test_a_key_that_a_run_lacks_is_refused(tmp_path: Path):
    run = read(tmp_path / "a", rates(0.5))
    wanted = (
        "--by needs a config key that every run has, and a has no 'reward.rul'; its keys: "
        "reward.rule, reward.theta, model, output_dir, seed"
    )
    with pytest.raises(UsageError) as caught:
        settings([run], "reward.rul")
    assert str(caught.value) == wanted


# Curves


def test_a_curve_is_the_mean_and_range_over_seeds(tmp_path: Path):
    """The second run stops a step earlier, and step 3 is that of the first alone."""
    runs = [
        read(tmp_path / "a", rates(0.5, 0.25, 1.0), seed=1),
        read(tmp_path / "b", rates(1.0, 0.75), seed=2),
    ]
    drawn = curve(group(runs)[0], WEAK)
    assert drawn is not None
    assert drawn.steps == (1, 2, 3)
    assert drawn.mean == (0.75, 0.5, 1.0)
    assert (drawn.low, drawn.high, drawn.n) == ((0.5, 0.25, 1.0), (1.0, 0.75, 1.0), 2)
    assert curve(group(runs)[0], "reward/total") is None


def test_points_may_stand_for_several_steps(tmp_path: Path):
    """Two steps a point: 1 alone at 0.5, then 2 and 3 at 2.5, then 4 alone at 4.5."""
    drawn = curve(group([read(tmp_path / "a", rates(1.0, 0.5, 0.25, 0.75))])[0], WEAK, width=2)
    assert drawn is not None
    assert (drawn.steps, drawn.mean) == ((0.5, 2.5, 4.5), (1.0, 0.375, 0.75))


def test_how_many_steps_share_a_point(tmp_path: Path):
    groups = group([read(tmp_path / "a", rates(*[0.5] * 301)), read(tmp_path / "b", rates(1.0))])
    assert [bin_width(groups, most) for most in (400, 301, 300, 150)] == [1, 1, 2, 3]


def counts(step: int, histogram: Any, undefined: Any = 0) -> dict[str, Any]:
    return {"step": step, "control/r_histogram": histogram, "control/r_undefined": undefined}


def test_the_distribution_of_r_by_step(tmp_path: Path):
    """Step 1: 1 + 3 groups of two seeds, half of each bin. Step 4: none defined; the last stretch
    is as long as the one before it. Undefined are 2 + 4 of 4 + 6 groups.
    """
    first = [counts(1, [1, 0], 2), counts(4, [0, 0], 4)]
    second = [counts(1, [1, 2]), {"step": 2, "reward/total": 1.0}]
    runs = [read(tmp_path / "a", first, seed=1), read(tmp_path / "b", second, seed=2)]
    found = r_histogram(group(runs)[0])
    assert found is not None
    assert found.edges == (1, 4, 7)
    assert found.shares == ((0.5, 0.5), None)
    assert found.undefined == 0.6


@pytest.mark.parametrize("histogram", [None, [], [0, 0], "x", [1, "x"]])
def test_no_distribution_without_counts(tmp_path: Path, histogram: Any):
    assert r_histogram(group([read(tmp_path / "a", [counts(1, histogram)])])[0]) is None
