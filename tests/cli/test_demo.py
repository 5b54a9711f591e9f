"""`demo` on the embedded model: what `make demo` shows and leaves."""

from __future__ import annotations

import json
from pathlib import Path

from cli.outcome import Run


def test_demo_shows_an_answer_with_and_without_a_request_and_writes_a_page(
    tmp_path: Path, run: Run
) -> None:
    given = run("demo", "--out", tmp_path / "out")
    assert (given.code, given.err) == (0, "")
    assert "25 % of vanilla" in given.out
    assert "125 % of vanilla" in given.out
    assert "9 samples: 9 right, 5 requested the original" in given.out
    page = (tmp_path / "out" / "demo.html").read_text()
    assert page.count("data:image/png;base64,") >= 9
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["demo.html"]


def test_demo_json(tmp_path: Path, run: Run) -> None:
    episodes = json.loads(run("demo", "--out", tmp_path, "--json").out)
    assert {episode["requested"] for episode in episodes} == {True, False}
    assert {episode["model"] for episode in episodes} == {"mini"}
