"""Policies side by side: systems, pools, what is 100 %, averages, notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation_runs import families, row, rows, write_evaluation

from visionthink.reports.comparison import Comparison, Entry, compare, kind_of, notes
from visionthink.reports.evaluation import read_evaluations
from visionthink.reports.grouping import Estimate


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
def test_sorts_of_policies(policy: str, kind: str):
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
    assert found.figure("accuracy", "mini") == Estimate(0.5, 0.02, 1)
    assert found.figure("seconds_per_sample", "mini") == Estimate(0.5, None, 1)
    assert found.figure("f1", "mini") is None
    assert found.figure("accuracy", "photos") is None


def test_seeds_are_pooled(tmp_path: Path):
    """0.25 and 0.75: mean 0.5, standard error sqrt(0.125 / 2) = 0.25, whatever each has itself."""
    paths = [
        write_evaluation(tmp_path / f"r-{seed}", rows({"low": score}), seed=seed,
                         model=f"out/seed-{seed}/model")
        for seed, score in enumerate((0.25, 0.75))
    ]  # fmt: skip
    comparison = of(*paths)
    assert [run.name for run in comparison.systems["r"]] == ["r-0", "r-1"]
    assert comparison.pooled
    found = entry(comparison, "low")
    assert found.figure("accuracy", "mini") == Estimate(0.5, 0.25, 2)
    assert notes(comparison) == [
        "mini: means over 2 runs: r-0, r-1",
        "mini: nothing is 100 %, for there is no policy high",
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
        "mini: nothing is 100 % of model ours, for there is no policy high"
    ]


@pytest.mark.parametrize("score", [0.0, None])
def test_nothing_is_a_share_of_nothing(tmp_path: Path, score: float | None):
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


def test_runs_that_were_not_asked_alike_are_told(tmp_path: Path):
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
        "mini: these runs were not asked alike: they differ in size",
    ]


def test_families_of_the_runs_are_those_of_the_suite(tmp_path: Path):
    path = write_evaluation(tmp_path / "a", families({"high": (1.0, 0.5)}))
    assert of(path).suites == {"mini": {"colour": "weak", "tag": "strong"}}
