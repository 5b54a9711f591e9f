"""`demo` on the embedded model: what `make demo` shows and leaves."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from cli.outcome import Run


def test_demo_shows_both_ways_and_leaves_page_and_picture(tmp_path: Path, run: Run) -> None:
    given = run("demo", "--out", tmp_path / "out")
    assert (given.code, given.err) == (0, "")
    assert "25 % of vanilla" in given.out
    assert "125 % of vanilla" in given.out
    assert "9 samples: 9 right, 5 requested the original" in given.out
    page = (tmp_path / "out" / "demo.html").read_text()
    assert page.count("data:image/png;base64,") >= 9
    with Image.open(tmp_path / "out" / "demo.png") as picture:
        assert picture.width == 1800


def test_demo_json(tmp_path: Path, run: Run) -> None:
    episodes = json.loads(run("demo", "--out", tmp_path, "--json").out)
    assert {episode["requested"] for episode in episodes} == {True, False}
    assert {episode["model"] for episode in episodes} == {"mini"}
