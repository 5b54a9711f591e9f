"""`visionthink report --paper` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cli.outcome import Run


def test_published_tables_need_no_run(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    given = run("report", "--paper")
    assert (given.code, given.err) == (0, "")
    assert given.out.startswith("Published, not measured: ")
    assert "printed cells do not add up" in given.out


def test_published_tables_as_one_object(run: Run):
    told = json.loads(run("report", "--paper", "--json").out)
    assert told["label"] == "published, not measured"
    assert {"where", "method", "printed", "recomputed", "why"} <= set(told["flags"][0])


@pytest.mark.parametrize("others", [("run",), ("--out", "out"), ("--by", "seed")])
def test_published_tables_stand_alone(run: Run, tmp_path: Path, others: tuple[str, ...]):
    given = run("report", "--paper", *others)
    assert given.code == 2
    assert "--paper stands alone" in given.err
    assert given.err.count("\n") == 1
