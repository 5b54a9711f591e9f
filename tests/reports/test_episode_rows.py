"""Rows counted from the episodes of a run that was not finished."""

from __future__ import annotations

from typing import Any

import pytest
from acting import answered, play, requested, scene
from evaluation_runs import line

from visionthink.core.protocol import direct_reply
from visionthink.reports.episode_rows import rows_of_episodes


def test_means_and_ratios_are_those_of_the_scored():
    """A first look (48 of 192 tokens) and a request (48 + 192 of 192): 288 / 384 = 0.75; the
    failed sample counts for nothing. Scores 1 and 0: mean 0.5, and sqrt(0.5 / 1 / 2) = 0.5.
    """
    records = [
        line(answered(), "auto", id="1"),
        line(requested(), "auto", id="2", score=0.0),
        line(requested(), "auto", id="3", score=None, by=None, error="no verdict"),
        line(None, "auto", id="4", score=None, by=None, error="no image"),
    ]
    (row,), counted = rows_of_episodes(records)
    assert counted == 4
    assert (row["suite"], row["policy"], row["family"]) == ("mini", "auto", "all")
    assert (row["n"], row["errors"]) == (2, 2)
    assert (row["accuracy"], row["stderr"]) == (0.5, 0.5)
    assert row["request_rate"] == 0.5
    assert row["visual_token_ratio"] == 0.75
    assert "seconds_per_sample" not in row


def test_figures_that_a_sample_lacks_are_left_out():
    """`requested` knows the model's sizes, `answered` does not: there is no ratio of FLOPs."""
    (both,), _ = rows_of_episodes(
        [line(answered(), "auto", id="1"), line(requested(), "auto", id="2")]
    )
    (known,), _ = rows_of_episodes([line(requested(), "auto", id="2")])
    assert "flops_ratio" not in both
    ledger = requested().ledger
    assert ledger.prefill_flops is not None
    assert ledger.vanilla_prefill_flops is not None
    assert known["flops_ratio"] == ledger.prefill_flops / ledger.vanilla_prefill_flops
    assert known["stderr"] is None


def test_families_have_rows_of_their_own():
    metadata = [{"family": "tag", "kind": "strong"}, {"family": "colour", "kind": "weak"}]
    records = [
        line(answered(), "low", id=str(at), metadata=of, score=float(at))
        for at, of in enumerate(metadata)
    ]
    rows, _ = rows_of_episodes(records)
    told = [(row["family"], row["kind"], row["n"], row["accuracy"]) for row in rows]
    assert told == [("all", None, 2, 0.5), ("tag", "strong", 1, 0.0), ("colour", "weak", 1, 1.0)]


def test_of_a_sample_that_is_there_twice_the_last_counts():
    records = [line(answered(), "low", score=score) for score in (0.0, 1.0)]
    (row,), counted = rows_of_episodes(records)
    assert (counted, row["n"], row["accuracy"]) == (1, 1, 1.0)


@pytest.mark.parametrize(
    "record", [{}, {"suite": 1, "policy": "low"}, {"suite": "mini", "policy": None, "score": 1.0}]
)
def test_records_of_other_things_do_not_count(record: dict[str, Any]):
    assert rows_of_episodes([record]) == ([], 0)


def test_broken_ledgers_cost_figures_only():
    record = {**line(play([scene()], "?", [direct_reply("", "a")]), "low"), "ledger": "spoilt"}
    (row,), _ = rows_of_episodes([record])
    assert (row["n"], row["accuracy"]) == (1, 1.0)
    assert "visual_token_ratio" not in row
