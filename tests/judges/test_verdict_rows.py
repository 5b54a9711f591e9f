"""The labelled set of verdicts: its size, its balance; its generated part can be made again."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

from scripts import verdict_rows

SKEWED = {
    "injection",
    "empty_talk",
    "hedge",
    "delimiter",
    "several",
    "mark",
    "paraphrase",
    "markup",
}
"""Kinds that are mostly of one verdict by their nature."""


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in verdict_rows.FILE.read_text(encoding="utf-8").splitlines()]


def test_set_is_large_and_of_many_kinds():
    labelled = rows()
    kinds = Counter(row["kind"] for row in labelled)
    assert len(labelled) >= 1800
    assert len(kinds) >= 36
    assert min(kinds.values()) >= 20


def test_right_and_wrong_are_in_balance():
    labelled = rows()
    counts = Counter((row["kind"], row["expected"]) for row in labelled)
    for kind in {row["kind"] for row in labelled} - SKEWED:
        assert 0.37 <= counts[kind, 1] / (counts[kind, 0] + counts[kind, 1]) <= 0.63, kind
    assert 0.47 <= sum(row["expected"] for row in labelled) / len(labelled) <= 0.53


def test_about_a_third_is_generated():
    made = Counter(row["made"] for row in rows())
    assert set(made) == {"written", "generated"}
    assert 0.3 <= made["generated"] / made.total() <= 0.4


def test_few_rows_need_a_person():
    kinds = Counter(row["kind"] for row in rows())
    assert kinds["paraphrase"] / kinds.total() <= 0.06


def test_rows_are_well_formed_and_unique():
    labelled = rows()
    fields = {"id", "kind", "question", "answer", "prediction", "expected", "made"}
    assert all(set(row) == fields and row["expected"] in (0, 1) for row in labelled)
    assert all(row["question"].strip() and row["answer"].strip() for row in labelled)
    assert max(Counter(row["id"] for row in labelled).values()) == 1
    texts = Counter((row["question"], row["answer"], row["prediction"]) for row in labelled)
    assert max(texts.values()) == 1


def test_file_is_what_the_script_makes():
    assert verdict_rows.FILE.read_text(encoding="utf-8") == verdict_rows.content()


def test_no_sample_calls_a_prediction_right_and_wrong():
    for family in verdict_rows.FAMILIES:
        random = Random(family.__name__)
        for _ in range(200):
            sample = family(random)
            assert not set(sample.right) & {*sample.wrong}, sample
            assert sample.answer not in sample.wrong, sample


def test_spelt_numbers():
    words = [verdict_rows.spelt(number) for number in (0, 13, 40, 99, 100, 105, 342, 1000, 21_019)]
    assert words == [
        "zero",
        "thirteen",
        "forty",
        "ninety-nine",
        "one hundred",
        "one hundred and five",
        "three hundred and forty-two",
        "one thousand",
        "twenty-one thousand and nineteen",
    ]
