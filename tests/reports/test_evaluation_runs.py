"""Evaluation runs as they are read: finished, half-written, broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from acting import answered, requested
from evaluation_runs import families, line, row, rows, write_evaluation
from training_runs import ramp, write_run

from visionthink.core.errors import RunError
from visionthink.core.intervals import wilson
from visionthink.reports.evaluation_runs import (
    Comparison,
    Entry,
    EvaluationRun,
    compare,
    is_evaluation,
    kind_of,
    notes,
    read_evaluations,
)
from visionthink.reports.run_groups import Estimate
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


def test_suites_policies_and_seeds_of_models_make_no_other_system(tmp_path: Path):
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
def test_numbers_of_models_that_are_not_seeds_stay(tmp_path: Path, model: str):
    path = write_evaluation(tmp_path / "a", [row("low", 1.0)], model=model)
    assert read(path).config["model"] == model


@pytest.mark.parametrize("value", [float("nan"), None, "0.5", True, float("inf")])
def test_values_that_are_not_numbers_are_left_out(tmp_path: Path, value: Any):
    path = write_evaluation(tmp_path / "a", None)
    (path / "summary.json").write_text(json.dumps([{**row("low", 1.0), "accuracy": value}]))
    run = read(path)
    assert "accuracy" not in run.rows[0].figures
    assert run.notes == ("a: no answer to mini was scored with low",)


def test_failed_samples_and_uneven_policies_are_noted(tmp_path: Path):
    """high: 100 scored, low: 90 scored and 5 failed of 95."""
    path = write_evaluation(tmp_path / "a", [row("high", 1.0), row("low", 1.0, n=90, errors=5)])
    assert read(path).notes == (
        "a: samples of mini failed and are left out of the means: 5 of 95 with low",
        "a: not every policy was asked all of mini (95 to 100 samples)",
    )


def test_a_run_named_twice_counts_once(tmp_path: Path):
    paths = [write_evaluation(tmp_path / at / "run", [row("low", 1.0)]) for at in ("a", "b")]
    found = read_evaluations([*paths, tmp_path / "a" / ".." / "a" / "run"])
    assert [run.name for run in found] == ["a/run", "b/run"]


# Broken and unfinished runs


def test_a_run_that_was_killed_has_the_summary_of_its_episodes(tmp_path: Path):
    """A first look (48 of 192 tokens) and a request (48 + 192 of 192): 288 / 384 = 0.75; scores 1
    and 0: mean 0.5, and sqrt(0.5 / 1 / 2) = 0.5. The failed sample is left out of the means, and
    the last line, of which only a part was written, is not read.
    """
    failed: dict[str, Any] = {"score": None, "by": None, "error": "no image"}
    metadata = {"family": "tag", "kind": "strong"}
    episodes = [
        line(answered(), "auto", id="1", metadata=metadata),
        line(requested(), "auto", id="2", metadata=metadata, score=0.0),
        line(None, "auto", id="3", metadata=metadata, **failed),
    ]
    path = write_evaluation(tmp_path / "a", None, episodes=episodes)
    with (path / "episodes.jsonl").open("a") as file:
        file.write('{"version": 1, "answ')
    run = read(path)
    tag, whole = run.rows
    assert (tag.family, tag.kind, whole.family) == ("tag", "strong", "all")
    assert (whole.policy, whole.n, whole.errors) == ("auto", 2, 1)
    assert (whole.figures["accuracy"], whole.figures["stderr"]) == (0.5, 0.5)
    assert whole.figures["request_rate"] == 0.5
    assert whole.figures["visual_token_ratio"] == 0.75
    assert "flops_ratio" not in whole.figures, "the sizes of one model are not known"
    assert run.notes == (
        "a is not finished: there is no summary.json, and its figures are of the 3 answers so far",
        "a: samples of mini failed and are left out of the means: 1 of 3 with auto",
    )


def test_of_a_sample_that_is_there_twice_the_last_line_counts(tmp_path: Path):
    episodes = [line(answered(), "low", score=score) for score in (0.0, 1.0)]
    (whole,) = read(write_evaluation(tmp_path / "a", None, episodes=episodes)).rows
    assert (whole.n, whole.figures["accuracy"]) == (1, 1.0)


@pytest.mark.parametrize(
    "damage", [{"ledger": "spoilt"}, {"score": "high"}, {"turns": 5}, {"ledger": None}]
)
def test_broken_lines_are_left_out_and_counted(tmp_path: Path, damage: dict[str, Any]):
    other = {"step": 1, "suite": None}
    spoilt = {**line(answered(), "low", id="2"), **damage}
    path = write_evaluation(tmp_path / "a", None, episodes=[line(answered(), "low"), other, spoilt])
    run = read(path)
    assert run.rows[0].n == 1
    assert run.notes[1] == "a: left out 1 broken line of episodes.jsonl"


def test_a_summary_without_its_all_row_is_noted(tmp_path: Path):
    held = [row("high", 1.0), row("low", 1.0, family="tag", kind="strong")]
    assert read(write_evaluation(tmp_path / "a", held)).notes == (
        "a: mini has no row of the family all for low",
    )


def test_a_run_without_an_answer_is_refused(tmp_path: Path):
    path = write_evaluation(tmp_path / "a", [])
    with pytest.raises(RunError, match=r"a holds no answer yet, .*--resume"):
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


def test_a_row_that_is_there_twice_is_refused(tmp_path: Path):
    path = write_evaluation(tmp_path / "a", [row("low", 1.0), row("low", 0.5)])
    with pytest.raises(RunError, match="row 2: a second one of suite mini, family all, policy low"):
        read(path)


def test_broken_episodes_are_named_by_their_line(tmp_path: Path):
    path = write_evaluation(tmp_path / "a", None, episodes=[line(answered(), "low")])
    with (path / "episodes.jsonl").open("a") as file:
        file.write("{\n{}\n")
    with pytest.raises(RunError, match=r"episodes.jsonl, line 2: no JSON object"):
        read(path)


# Which runs are evaluations


def test_which_run_folders_are_evaluations(tmp_path: Path):
    finished = write_evaluation(tmp_path / "finished", rows({"low": 1.0}))
    killed = write_evaluation(tmp_path / "killed", None, episodes=[line(answered(), "low")])
    begun = write_evaluation(tmp_path / "begun", None)
    training = write_run(tmp_path / "training", ramp(2), episodes=[{"id": "1", "step": 1}])
    sampling = RunFolder.create(tmp_path / "sampling", {"x": 1}, environment={})
    sampling.append_episode({"id": "1", "step": 1})
    assert [is_evaluation(path) for path in (finished, killed, begun)] == [True] * 3
    assert [is_evaluation(path) for path in (training, sampling.path)] == [False] * 2


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path):
    with pytest.raises(RunError, match="no run folder at"):
        is_evaluation(tmp_path / "none")


# Policies side by side


def of(*paths: Path) -> Comparison:
    return compare(read_evaluations(paths))


def entry(comparison: Comparison, policy: str, system: str | None = None) -> Entry:
    (found,) = [
        of for of in comparison.entries if of.policy == policy and system in (None, of.system)
    ]
    return found


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        ("high", "high"),
        ("high:general", "high"),
        ("auto+visionzip:0.5", "auto"),
        ("fastv:0.5@k=3", "fastv"),
        ("random:0.3", "random"),
        ("highest", ""),
        ("mine", ""),
    ],
)
def test_kinds_of_policies(policy: str, kind: str):
    assert kind_of(policy) == kind


def test_entries_come_in_the_order_of_the_tables(tmp_path: Path):
    policies = ("other", "oracle", "auto+visionzip:0.5", "auto", "high:general", "low", "high")
    path = write_evaluation(tmp_path / "a", rows(dict.fromkeys(policies, 0.5)))
    assert [entry.policy for entry in of(path).entries] == [
        *("high", "high:general", "low", "auto", "auto+visionzip:0.5", "oracle", "other")
    ]


def test_one_run_has_the_errors_of_its_samples(tmp_path: Path):
    found = entry(of(write_evaluation(tmp_path / "a", rows({"low": 0.5}))), "low")
    assert found.title == "Down-sample (low)"
    assert found.figure("accuracy", "mini") == Estimate(0.5, 0.02, 1, wilson(0.5, 100))
    assert found.figure("seconds_per_sample", "mini") == Estimate(0.5, None, 1)
    assert found.figure("f1", "mini") is None
    assert found.figure("accuracy", "photos") is None


def test_seeds_are_pooled(tmp_path: Path):
    """0.25 and 0.75: mean 0.5, standard error sqrt(0.125 / 2) = 0.25, whatever each has itself;
    t of two runs is 12.7, so the interval is everything.
    """
    paths = [
        write_evaluation(tmp_path / f"r-{seed}", rows({"low": score}), seed=seed,
                         model=f"out/seed-{seed}/model")
        for seed, score in enumerate((0.25, 0.75))
    ]  # fmt: skip
    comparison = of(*paths)
    assert [run.name for run in comparison.systems["r"]] == ["r-0", "r-1"]
    assert comparison.pooled
    found = entry(comparison, "low")
    assert found.figure("accuracy", "mini") == Estimate(0.5, 0.25, 2, (0.0, 1.0))
    assert notes(comparison) == [
        "mini: means over 2 runs: r-0, r-1",
        "mini: nothing is 100 %, because there is no policy high",
    ]


def test_families_are_weighted_by_their_samples(tmp_path: Path):
    """100 samples at 0.5 and 300 at 0.9: (50 + 270) / 400 = 0.8; errors 0.02 and 0.06:
    sqrt(2² + 18²) / 400.
    """
    held = [
        row("low", 0.5, family="a", kind="weak"),
        row("low", 0.9, family="b", kind="weak", n=300, stderr=0.06),
        row("low", None, family="c", kind="weak", n=0),
        row("low", 0.8, n=400),
    ]
    comparison = of(write_evaluation(tmp_path / "a", held))
    found = entry(comparison, "low").figure("accuracy", "mini", ("a", "b", "c"))
    assert found is not None
    assert found.mean == pytest.approx(0.8)
    assert found.stderr == pytest.approx((2**2 + 18**2) ** 0.5 / 400)
    assert found.interval == wilson(found.mean, 400)
    assert comparison.suites == {"mini": {"a": "weak", "b": "weak", "c": "weak"}}


def test_vanilla_is_high_of_the_same_system(tmp_path: Path):
    """0.4 of 0.8 is a half; of the other system 0.3 of 0.6."""
    one = write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4}), model="one")
    two = write_evaluation(tmp_path / "b", rows({"high": 0.6, "low": 0.3}), model="two")
    comparison = of(one, two)
    shares = [
        comparison.share(entry(comparison, "low", f"model {m}"), "mini") for m in ("one", "two")
    ]
    assert shares == [0.5, 0.5]
    assert [of.label for of in comparison.entries] == [
        *("high, model one", "high, model two", "low, model one", "low, model two")
    ]
    assert notes(comparison) == []


def test_plain_high_is_vanilla_before_high_with_other_prompts(tmp_path: Path):
    held = rows({"high:general": 0.5, "high": 0.8, "low": 0.4})
    comparison = of(write_evaluation(tmp_path / "a", held))
    assert comparison.share(entry(comparison, "low"), "mini") == 0.5
    comparison = of(write_evaluation(tmp_path / "b", held[0::2]))
    assert comparison.share(entry(comparison, "low"), "mini") == 0.8


def test_a_system_without_high_is_compared_with_the_only_other(tmp_path: Path):
    """As in the paper: the trained model against the one that it began as."""
    base = write_evaluation(tmp_path / "a", rows({"high": 0.8}), model="base")
    ours = write_evaluation(tmp_path / "b", rows({"auto": 0.6}), model="ours")
    comparison = of(base, ours)
    assert comparison.share(entry(comparison, "auto"), "mini") == pytest.approx(0.75)
    assert notes(comparison) == ["mini: 100 % of model ours is high of model base"]
    third = write_evaluation(tmp_path / "c", rows({"high": 0.5}), model="third")
    comparison = of(base, ours, third)
    assert comparison.share(entry(comparison, "auto"), "mini") is None
    assert notes(comparison) == [
        "mini: nothing is 100 % of model ours, because there is no policy high"
    ]


@pytest.mark.parametrize("score", [0.0, None])
def test_there_is_no_share_of_a_score_of_zero_or_none(tmp_path: Path, score: float | None):
    held = [row("high", score), row("low", 0.5)]
    comparison = of(write_evaluation(tmp_path / "a", held))
    assert comparison.share(entry(comparison, "low"), "mini") is None


def test_averages_are_over_suites_and_need_them_all(tmp_path: Path):
    """low: 0.4 / 0.8 and 0.9 / 0.9, mean 0.75; its tokens are 25 % in both. auto has one suite."""
    mini = write_evaluation(tmp_path / "a", rows({"high": 0.8, "low": 0.4, "auto": 0.8}))
    photos = write_evaluation(tmp_path / "b", rows({"high": 0.9, "low": 0.9}, "photos"))
    comparison = of(mini, photos)
    low, auto = entry(comparison, "low"), entry(comparison, "auto")
    assert comparison.average(low) == 0.75
    assert comparison.across(low, "visual_token_ratio") == 0.25
    assert comparison.average(auto) is None
    assert comparison.across(auto, "visual_token_ratio") is None
    assert not comparison.pooled


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([None], None),
        ([(0.5, 0.25, 0.75)], (Estimate(0.5, None, 1), (0.25, 0.75))),
        ([(0.25, 0.0, 0.5), (0.75, 0.5, 1.0)], (Estimate(0.5, 0.25, 2), None)),
        ([(0.25, 0.0, 0.5), None], (Estimate(0.25, None, 1), (0.0, 0.5))),
    ],
)
def test_differences_from_high(tmp_path: Path, intervals: list[Any], expected: Any):
    paths = [
        write_evaluation(
            tmp_path / f"r{seed}",
            [row("low", 0.5, vs_high=dict(zip(("difference", "low", "high"), held, strict=True))
                 if held else None)],
            seed=seed,
        )
        for seed, held in enumerate(intervals)
    ]  # fmt: skip
    assert entry(of(*paths), "low").versus("mini") == expected


def test_runs_with_other_suite_options_are_noted(tmp_path: Path):
    paths = [
        write_evaluation(
            tmp_path / f"r{seed}",
            rows({"high": 0.5}),
            seed=seed,
            suites={"mini": {"size": size, "seed": seed}},
        )
        for seed, size in enumerate((100, 200))
    ]
    assert notes(of(*paths)) == [
        "mini: means over 2 runs: r0, r1",
        "mini: these runs differ in the options size",
    ]


def test_families_of_the_runs_are_those_of_the_suite(tmp_path: Path):
    path = write_evaluation(tmp_path / "a", families({"high": (1.0, 0.5)}))
    assert of(path).suites == {"mini": {"colour": "weak", "tag": "strong"}}
