"""The command itself: help, version, verbs."""

from __future__ import annotations

import visionthink
from cli.outcome import Run
from visionthink.cli.main import VERBS


def test_help_lists_every_verb_without_importing_it(run: Run) -> None:
    given = run("--help")
    assert given.code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in given.out


def test_version(run: Run) -> None:
    assert visionthink.__version__ in run("--version").out
