"""Rows of the summary, worked out by hand from four samples."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evaluation.answering import engine, work, write_rows
from visionthink.core.intervals import paired
from visionthink.evaluation.policies import parse_policies
from visionthink.evaluation.runner import Settings, evaluate
from visionthink.evaluation.summary import Sample, summarise
from visionthink.runs.folder import RunFolder

CONTRACT = [
    *("suite", "family", "kind", "policy", "n", "errors", "accuracy", "stderr"),
    *("ci_low", "ci_high", "request_rate"),
    *("visual_token_ratio", "seconds_per_sample", "flops_ratio"),
]
FURTHER = [
    *("visual_token_ratio_replaced", "seconds_alone", "peak_memory"),
    *("visual_token_ratio_kept", "paper_flops_ratio"),
    *("prompt_tokens", "completion_tokens", "undecided", "contained", "vs_high"),
]


def rows_of(
    samples: list[Sample],
    *policies: str,
    metric: str = "auto",
    concurrency: int = 1,
) -> list[dict[str, Any]]:
    return summarise(samples, {"s": metric}, parse_policies(policies), concurrency=concurrency)


def sample(policy: str, name: str, score: float | None, **more: Any) -> Sample:
    """Small image 4 tokens, original 16; one second, 10 prompt and 2 reply tokens."""
    given = {"tokens": (16 if policy == "high" else 4, 0, 16), "seconds": 1.0, "texts": (10, 2)}
    given |= more
    family = name[0]
    kind = {"w": "weak", "t": "strong"}.get(family)
    kept = sum(given["tokens"][:2])
    return Sample("s", policy, name, family, kind, score, **{"kept": kept, **given})


def test_a_row_for_each_family_and_policy_and_for_all():
    samples = [sample(p, n, 1.0) for p in ("high", "low") for n in ("w1", "t1")]
    rows = rows_of(samples, "high", "low")
    assert [(r["family"], r["kind"], r["policy"], r["n"]) for r in rows] == [
        ("w", "weak", "high", 1),
        ("w", "weak", "low", 1),
        ("t", "strong", "high", 1),
        ("t", "strong", "low", 1),
        ("all", None, "high", 2),
        ("all", None, "low", 2),
    ]
    assert [*rows[0]] == [*CONTRACT, *FURTHER]
    assert [*rows[-1]] == [*CONTRACT, *FURTHER, "macro_accuracy"]


def test_figures_of_four_samples():
    """Two of four requested: (4 · 4 + 2 · 16) / (4 · 16) = 48/64 processed; with the original in
    place of the small image (2 · 4 + 2 · 16) / 64 = 40/64. FLOPs 3 + 1 + 3 + 1 of 4 · 2; 8 s at 2
    at once: 1 s a sample.
    """
    samples = [
        sample(
            "auto",
            f"w{i}",
            1.0,
            requested=asks,
            tokens=(4, 16 if asks else 0, 16),
            flops=(3 if asks else 1, 2),
            seconds=3.0 if asks else 1.0,
            texts=(30 if asks else 10, 2),
        )
        for i, asks in enumerate([True, False, True, False])
    ]
    row = rows_of(samples, "auto", concurrency=2)[-1]
    assert {key: row[key] for key in CONTRACT[4:] + FURTHER} == {
        "n": 4,
        "errors": 0,
        "accuracy": 1.0,
        "stderr": 0.0,
        "ci_low": pytest.approx(4 / (4 + 1.96**2), abs=1e-4),
        "ci_high": 1.0,
        "request_rate": 0.5,
        "visual_token_ratio": 48 / 64,
        "seconds_per_sample": 1.0,
        "flops_ratio": 1.0,
        "visual_token_ratio_replaced": 40 / 64,
        "seconds_alone": None,
        "peak_memory": None,
        "visual_token_ratio_kept": 48 / 64,
        "paper_flops_ratio": None,
        "prompt_tokens": 20.0,
        "completion_tokens": 2.0,
        "undecided": 0,
        "contained": 0,
        "vs_high": None,
    }


def test_seconds_alone_and_at_once_are_separate():
    """Alone 1 s and 2 s; 4 s and 8 s at two at once: 1.5 s alone, 6 / 2 = 3 s a sample. At one at
    once all were alone, and both figures are the mean of all.
    """
    seconds = [(1.0, True), (2.0, True), (4.0, False), (8.0, False)]
    samples = [
        sample("low", f"w{i}", 1.0, seconds=of, alone=alone, peak_memory=i)
        for i, (of, alone) in enumerate(seconds)
    ]
    row = rows_of(samples, "low", concurrency=16)[-1]
    assert (row["seconds_alone"], row["seconds_per_sample"], row["peak_memory"]) == (1.5, 3.0, 3)
    row = rows_of(samples[:2], "low", concurrency=16)[-1]
    assert (row["seconds_alone"], row["seconds_per_sample"]) == (1.5, 1.5)


def test_seconds_alone_are_weighted_as_requests_are():
    """Alone 1 s direct and 3 s requested; of all four three requested: (1 + 3 · 3) / 4 = 2.5 s. If
    none that requested was alone, the mean is unknown.
    """
    timed = [(1.0, False, True), (3.0, True, True), (9.0, True, False), (9.0, True, False)]
    samples = [
        sample("auto", f"w{i}", 1.0, seconds=seconds, requested=requested, alone=alone)
        for i, (seconds, requested, alone) in enumerate(timed)
    ]
    assert rows_of(samples, "auto")[-1]["seconds_alone"] == 2.5
    assert rows_of([samples[0], *samples[2:]], "auto")[-1]["seconds_alone"] is None


def test_large_images_weigh_more():
    """A small image of 4 tokens that is not requested, and one of 100 whose original of 400 is:
    (4 + 100 + 400) / (16 + 400).
    """
    samples = [
        sample("auto", "w1", 1.0),
        sample("auto", "w2", 1.0, requested=True, tokens=(100, 400, 400)),
    ]
    assert rows_of(samples, "auto")[-1]["visual_token_ratio"] == 504 / 416


def test_errors_are_counted_and_in_no_mean():
    samples = [
        sample("low", "w1", 1.0),
        sample("low", "w2", 0.0),
        Sample("s", "low", "w3", "w", "weak", None, error="no image"),
    ]
    row = rows_of(samples, "low")[-1]
    assert (row["n"], row["errors"], row["accuracy"], row["stderr"]) == (2, 1, 0.5, 0.5)
    assert row["prompt_tokens"] == 10


def test_a_summary_of_errors_only():
    row = rows_of([Sample("s", "low", "1", None, None, None, error="no image")], "low")[-1]
    assert (row["n"], row["errors"]) == (0, 1)
    assert (row.pop("undecided"), row.pop("contained")) == (0, 0)
    assert {row.get(key) for key in (*CONTRACT[6:], *FURTHER)} == {None}


def test_macro_and_micro():
    """Three of family w are right, the one of family t is wrong: 3/4 over samples, (1 + 0) / 2 over
    families.
    """
    samples = [sample("low", n, float(n[0] == "w")) for n in ("w1", "w2", "w3", "t1")]
    row = rows_of(samples, "low")[-1]
    assert (row["accuracy"], row["macro_accuracy"]) == (0.75, 0.5)


def test_differences_are_paired():
    """Low against high on the samples that both have: w1 lost, w2 the same; w3 has an error at
    X"""
    samples = [
        *(sample("high", n, s) for n, s in (("w1", 1.0), ("w2", 1.0), ("w3", None), ("w4", 0.0))),
        *(sample("low", n, s) for n, s in (("w1", 0.0), ("w2", 1.0), ("w3", 1.0), ("w4", None))),
    ]
    high, low = rows_of(samples, "low", "high")[-1], rows_of(samples, "low", "high")[-2]
    assert (high["policy"], high["vs_high"]) == ("high", None)
    assert low["vs_high"] == paired([-1.0, 0.0])


def test_without_high_vs_high_is_none():
    samples = [sample("low", n, 1.0) for n in ("w1", "w2")]
    assert [row["vs_high"] for row in rows_of(samples, "low")] == [None, None]


def test_another_prompt_can_be_the_vanilla():
    samples = [
        *(sample("low", n, 0.0) for n in ("w1", "w2")),
        *(sample("high:general", n, 1.0) for n in ("w1", "w2")),
    ]
    row = rows_of(samples, "low", "high:general")[-2]
    assert row["vs_high"] == paired([-1.0, -1.0])


def test_yes_and_no():
    """Yes is true twice, said twice, met once: F1 = 2 · 1 / (2 · 1 + 1 + 1) = 1/2."""
    truths, answers = ("yes", "yes", "no", "no"), ("yes", "no", "Yes.", "no")
    samples = [
        sample("low", f"w{i}", float(t[0] == a[0].lower()), truth=t, answer=a)
        for i, (t, a) in enumerate(zip(truths, answers, strict=True))
    ]
    row = rows_of(samples, "low", metric="yes_no")[-1]
    assert (row["accuracy"], row["f1"]) == (0.5, 0.5)
    assert "f1" not in rows_of(samples, "low")[-1]


def test_wrong_answers_that_contain_the_truth_are_counted():
    """Of four, two score wrong and contain it, one of them another accepted answer."""
    said = [("It is tea.", 0.0), ("chai latte", 0.0), ("tea", 1.0), ("steam", 0.0)]
    samples = [
        sample("low", f"w{i}", score, truth="tea", others=("chai",), answer=answer)
        for i, (answer, score) in enumerate(said)
    ]
    assert rows_of(samples, "low")[-1]["contained"] == 2


def test_figures_of_real_episodes(tmp_path: Path):
    """Two of six samples are small print: low is right on four of six; auto requests two, so that
    visual tokens are (6 · 4 + 2 · 16) / (6 · 16) = 56/96. Seconds and FLOPs are there.
    """
    names = ("print-tea", "plain-rye", "print-rum", "plain-gin", "plain-ale", "plain-oil")
    policies = ("high", "low", "auto", "oracle")
    run = tmp_path / "run"
    asyncio.run(evaluate(work(run, write_rows(tmp_path, names), policies), engine(), Settings()))
    samples = [Sample.of(record) for record in RunFolder.open(run).episodes()]
    rows = summarise(samples, {"rows": "auto"}, parse_policies(policies))
    whole = {row["policy"]: row for row in rows if row["family"] == "all"}
    figures = ("accuracy", "request_rate", "visual_token_ratio")
    assert {name: tuple(row[key] for key in figures) for name, row in whole.items()} == {
        "high": (1.0, 0.0, 1.0),
        "low": (4 / 6, 0.0, 0.25),
        "auto": (1.0, 2 / 6, 56 / 96),
        "oracle": (1.0, 2 / 6, 56 / 96),
    }
    assert whole["high"]["flops_ratio"] == whole["high"]["paper_flops_ratio"] == 1
    assert 0 < whole["low"]["flops_ratio"] < whole["oracle"]["flops_ratio"]
    assert all(row["seconds_per_sample"] > 0 for row in rows)
    seconds = {n: whole[n]["seconds_per_sample"] for n in ("low", "high", "oracle")}
    assert seconds["low"] < seconds["oracle"] < seconds["low"] + seconds["high"]


def test_a_line_without_an_episode_is_a_sample():
    record = {"suite": "s", "policy": "low", "id": "1", "family": None, "kind": None}
    assert Sample.of({**record, "score": None, "error": "no image", "ledger": None}) == Sample(
        "s", "low", "1", None, None, None, error="no image"
    )
    with pytest.raises(KeyError):
        Sample.of(record)
