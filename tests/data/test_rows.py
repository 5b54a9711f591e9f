"""What rows weigh, and that loading opens nothing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFile

from visionthink.data.source import DataOptions, load_rows

MANY = 10_000


@pytest.fixture
def large_set(tmp_path: Path) -> str:
    """10,000 questions about one image of 1.5 MB decoded."""
    Image.new("RGB", (800, 640), "red").save(tmp_path / "image.png")
    line = {"image": "image.png", "question": "Which colour is it?", "answer": "red"}
    with (tmp_path / "rows.jsonl").open("w") as file:
        for number in range(MANY):
            file.write(json.dumps({**line, "id": f"row-{number}", "family": "colour"}) + "\n")
    return str(tmp_path / "rows.jsonl")


def test_ten_thousand_rows_are_paths_only(
    large_set: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No image is decoded while loading, and a row weighs at most 300 bytes beside its path."""
    decoded: list[Any] = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: (decoded.append(1), load(self)))
    rows = load_rows(DataOptions(path=large_set))
    assert (len(rows), decoded) == (MANY, [])
    assert len(pickle.dumps(rows)) < MANY * (300 + len(str(tmp_path)))
    assert pickle.loads(pickle.dumps(rows))[-1] == rows[-1]  # noqa: S301
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert rows[-1].open().images[0].size == (800, 640)


def test_drawn_rows_take_almost_no_memory() -> None:
    rows = load_rows(DataOptions(size=MANY))
    assert len(pickle.dumps(rows)) < 10 * MANY
    assert pickle.loads(pickle.dumps(rows))[-1] == rows[-1]  # noqa: S301


def test_a_slice_is_rows_of_the_same_source(large_set: str) -> None:
    rows = load_rows(DataOptions(path=large_set, limit=5))
    assert [row.id for row in rows[1:4:2]] == ["row-1", "row-3"]
    assert rows[1:].source == rows.source
    assert repr(rows) == f"<5 rows of {large_set!r}, 0 bad>"
