"""How far two judges agree, worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from visionthink.core.errors import DataError
from visionthink.judges.agreement import Agreement, Decided, agreement, decided_by


def write(path: Path, rows: Sequence[Any]) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def compare(folder: Path, first: Sequence[Any], second: Sequence[Any]) -> Agreement:
    return agreement(write(folder / "a", first), write(folder / "b", second))


def of_scores(folder: Path, pairs: Sequence[tuple[Any, Any]]) -> Agreement:
    return compare(
        folder,
        [{"id": number, "score": a} for number, (a, _) in enumerate(pairs)],
        [{"id": number, "score": b} for number, (_, b) in enumerate(pairs)],
    )


def test_fifty_rows_by_hand(tmp_path: Path):
    """35 of 50 equal: 0.7. The first gives 25 of 50, the second 30: 0.5 · 0.6 + 0.5 · 0.4 = 0.5 by
    chance, so kappa = 0.2 / 0.5. Wilson: (0.7 + z²/100 ± z sqrt(0.21/50 + z²/10000)) / (1 + z²/50)
    = 0.5625 and 0.8090; on kappa's scale 0.1250 and 0.6179.
    """
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    found = of_scores(tmp_path, pairs)
    assert (found.rows, found.scored, found.share) == (50, 50, 0.7)
    assert found.kappa == pytest.approx(0.4)
    assert found.share_interval == pytest.approx((0.5625, 0.8090), abs=1e-4)
    assert found.kappa_interval == pytest.approx((0.1250, 0.6179), abs=1e-4)
    assert [row["id"] for row in found.differing] == list(range(20, 35))


def test_undecided_rows_are_in_the_table_only(tmp_path: Path):
    """Two scored alike; one undecided by the first, one by the second, one by both."""
    found = of_scores(tmp_path, [(1, 1), (0, 0), (None, 1), (0, None), (None, None)])
    assert (found.rows, found.scored, found.share, found.kappa) == (5, 2, 1.0, 1.0)
    assert found.to_json()["table"] == {
        "1": {"1": 1, "0": 0, "null": 0},
        "0": {"1": 0, "0": 1, "null": 1},
        "null": {"1": 1, "0": 0, "null": 1},
    }
    assert [(row["id"], row["a"], row["b"]) for row in found.differing] == [
        (2, None, 1),
        (3, 0, None),
    ]
    # No width 0, although both rows agree: (1 + z²/4 - z²/4) / (1 + z²/2) = 1 / 2.9207.
    assert found.share_interval == pytest.approx((0.3424, 1.0), abs=1e-4)


def test_kappa_needs_two_values(tmp_path: Path):
    """If both say always 1, chance explains all of it; without a common score there is nothing."""
    always = of_scores(tmp_path, [(1, 1)] * 4)
    assert (always.share, always.by_chance, always.kappa, always.kappa_interval) == (
        *(1.0, 1.0, None, None),
    )
    never = of_scores(tmp_path, [(None, 1), (0, None)])
    assert (never.scored, never.share, never.share_interval, never.kappa) == (0, None, None, None)


def test_expected_counts_where_there_is_no_score(tmp_path: Path):
    """The labelled set as one side; a judged labelled row has both, and its score counts."""
    row = {"question": "How many?", "answer": "3", "prediction": "4", "expected": 0}
    judged = [row | {"id": "x", "score": 1, "by": "llm"}, {"id": 7, "score": 0.0}]
    found = compare(
        tmp_path, judged, [row | {"id": "x"}, {"id": 7, "expected": 0}, row | {"id": 8}]
    )
    assert found.only == (0, 1)
    assert found.differing == [
        {"id": "x", "a": 1, "b": 0, "question": "How many?", "answer": "3", "prediction": "4"}
    ]


def test_names_of_text_and_numbers_differ(tmp_path: Path):
    with pytest.raises(DataError, match=r"have no id in common \(such as 1 and '1'\)"):
        compare(tmp_path, [{"id": 1, "score": 1}], [{"id": "1", "score": 1}])


GOOD = {"id": "a", "score": 1}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"score": 1}, "row 2: id is missing"),
        ({"id": None, "score": 1}, "row 2: id must be text or a whole number; got None"),
        ({"id": ["b"], "score": 1}, "row 2: id must be text or a whole number; got ['b']"),
        ({"id": True, "score": 1}, "row 2: id must be text or a whole number; got True"),
        (GOOD, "row 2: id 'a' occurs twice"),
        ({"id": "b"}, "row 2: score is missing"),
        ({"id": "b", "score": 2}, "row 2: score must be 0, 1 or null; got 2"),
        ({"id": "b", "score": 0.5}, "row 2: score must be 0, 1 or null; got 0.5"),
        ({"id": "b", "score": "1"}, "row 2: score must be 0, 1 or null; got '1'"),
        ({"id": "b", "score": True}, "row 2: score must be 0, 1 or null; got True"),
        ({"id": "b", "expected": []}, "row 2: score must be 0, 1 or null; got []"),
        ("[]", "row 2: expected a JSON object, got list"),
        ("{", "row 2: this is not JSON"),
    ],
)
def test_a_bad_row_is_named(bad: Any, said: str, tmp_path: Path):
    for first, second in (([GOOD, bad], [GOOD]), ([GOOD], [GOOD, bad, bad])):
        with pytest.raises(DataError) as caught:
            compare(tmp_path, first, second)
        assert said in str(caught.value)
        assert str(caught.value).endswith("; rows need id and score, or id and expected")
        assert "\n" not in str(caught.value)


def test_files_without_rows(tmp_path: Path):
    with pytest.raises(DataError, match="holds no rows"):
        compare(tmp_path, [GOOD], [])
    with pytest.raises(DataError, match="cannot be read"):
        agreement(tmp_path / "a", tmp_path / "none")


def test_who_decided_and_how_well():
    """By rules 3 rows, 2 of them labelled, one a false 1; by the model a false 0; one by nobody."""
    judged = [
        {"score": 1, "by": "rules", "expected": 0},
        {"score": 1, "by": "rules", "expected": 1},
        {"score": 0, "by": "rules"},
        {"score": 0, "by": "llm", "expected": 1},
        {"score": None, "by": "rules", "expected": 1},
        {"score": None, "by": None, "error": "down", "expected": 1},
    ]
    found = decided_by(judged)
    assert found == {"rules": Decided(3, 2, 1, 0), "llm": Decided(1, 1, 0, 1)}
    assert (found["rules"].error, found["llm"].error) == (0.5, 1.0)
    assert Decided(3, 0, 0, 0).error is None
