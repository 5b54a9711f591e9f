"""Rows of the embedded world."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from visionthink.core.errors import UsageError
from visionthink.data.mini_rows import spread, spread_families
from visionthink.data.source import DataOptions, load_rows
from visionthink.mini.world import FAMILIES, draw


def test_a_row_is_the_drawing_of_its_family_and_seed() -> None:
    """Seed 2 starts at 2,000,000,000; families take turns, so row 3 is the second `tag`."""
    rows = load_rows(DataOptions(path="mini", families=["colour", "tag"], size=4, seed=2))
    row, drawing = rows[3], draw("tag", 2_000_000_003, "train")
    assert row.id == "tag-train-2000000003"
    assert (row.question, row.answer) == (drawing.question, drawing.answer)
    assert row.metadata == {"family": "tag", "kind": "strong"}
    assert np.array_equal(np.asarray(row.open().images[0].image), drawing.pixels)
    assert row.images[0].path is None


def test_families_alternate_by_default() -> None:
    """7 weak, 5 strong and 1 lucky family: every 13 rows have each of them once."""
    rows = load_rows(DataOptions(size=26))
    families = [row.metadata["family"] for row in rows]
    assert sorted(families[:13]) == sorted(families[13:]) == sorted(FAMILIES)


def test_the_same_seed_gives_the_same_rows_and_a_longer_set_starts_alike() -> None:
    short = load_rows(DataOptions(families=["hatch"], size=3, seed=1))
    long = load_rows(DataOptions(families=["hatch"], size=6, seed=1))
    assert list(short) == list(long)[:3] == list(long[:3])
    assert list(long[4:]) == list(long)[4:]
    assert len(load_rows(DataOptions(families=["hatch"], size=6, limit=2))) == 2


def test_train_and_test_share_no_drawing() -> None:
    sets = {
        (split, seed): {
            row.open().images[0].image.tobytes()
            for row in load_rows(DataOptions(families=["tag"], size=20, split=split, seed=seed))
        }
        for split in ("train", "test")
        for seed in (0, 1)
    }
    assert all(len(drawings) == 20 for drawings in sets.values())
    assert len(set().union(*sets.values())) == 80


def test_weights_are_kept_in_every_beginning() -> None:
    """Shares 3:1 of 8 are 6 and 2. Who lags most: a .75, then 2 rows a .5 b .5: a (first), ..."""
    names = spread({"a": 3, "b": 1}, 8)
    assert names == ["a", "a", "b", "a", "a", "a", "b", "a"]
    assert Counter(spread({"a": 3, "b": 1, "c": 0}, 400)) == {"a": 300, "b": 100}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"families": ["cats"]}, "there is no family 'cats' in the embedded world; there are col"),
        ({"families": []}, "families need weights of 0 or more"),
        ({"families": {"tag": -1.0}}, "families need weights of 0 or more"),
        ({"families": {"tag": float("nan")}}, "families need weights of 0 or more"),
        ({"split": "dev"}, "split of the embedded world must be train or test; got 'dev'"),
    ],
)
def test_wrong_options_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_rows(DataOptions.model_validate(changed))


def test_kinds_alternate_whatever_their_families():
    """Weak weighs 3 + 3, strong 2 + 2 + 2: half and half, so they alternate, and each kind goes
    round its own families.
    """
    weights = {"colour": 3, "shape": 3, "tag": 2, "hatch": 2, "receipt": 2}
    assert spread_families(weights, 8) == [
        *("colour", "tag", "shape", "hatch", "colour", "receipt", "shape", "tag")
    ]
