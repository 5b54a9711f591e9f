"""Progress without a terminal: a line at intervals, with the time left."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from visionthink.cli import progress as module


def test_a_line_every_ten_seconds_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A row a second, a line every ten: after 10 of 200 rows 190 s are left, in minutes 3; at a
    slower pace hours. Rows 1 to 9 say nothing.
    """
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    with module.progress("judging", "judged", 200) as done:
        for pace in [1.0] * 20 + [2000.0, 10.0]:
            clock.now += pace
            done()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "judged 10 of 200, 3 min left",
        "judged 20 of 200, 3 min left",
        "judged 21 of 200, 4.8 h left",
        "judged 22 of 200, 4.6 h left",
    ]


def test_less_than_two_minutes_are_shown_in_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    with module.progress("judging", "judged", 4) as done:
        clock.now = 12.0
        done()
    assert capsys.readouterr().err == "judged 1 of 4, 36 s left\n"
