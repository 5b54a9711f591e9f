"""The command itself: help, version, verbs."""

from __future__ import annotations

import click
from conftest import Run

import visionthink
from visionthink.cli.main import VERBS, cli


def test_help_lists_every_verb_without_importing_it(run: Run) -> None:
    given = run("--help")
    assert given.code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in given.out


def test_every_verb_says_in_its_help_what_the_list_says() -> None:
    context = click.Context(cli)
    for verb, line in VERBS.items():
        command = cli.get_command(context, verb)
        assert command is not None
        assert command.help is not None
        said = " ".join(command.help.split())
        assert said.split(".")[0] == line.split(".")[0] or verb == "ask"


def test_version(run: Run) -> None:
    assert visionthink.__version__ in run("--version").out
