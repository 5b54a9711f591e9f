"""Write docs/cli.md from the commands' help texts, or check that it is up to date (--check)."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from visionthink.cli.main import VERBS, cli

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
HEAD = """# Command line

Generated from the help texts by `make format`; `make check` fails when it is out of date.

Exit codes: 0 done, 1 failed (one line on standard error), 2 bad usage (one line), 130 interrupted.
`visionthink --debug VERB …` shows the traceback of an error.
"""


def reference() -> str:
    """The whole page: `visionthink --help` and every verb's."""
    parts = [HEAD, _section("visionthink", cli, None)]
    context = click.Context(cli, info_name="visionthink", **cli.context_settings)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        parts.append(_section(f"visionthink {verb}", command, context))
        if isinstance(command, click.Group):
            inner = click.Context(command, info_name=verb, parent=context)
            for name, each in command.commands.items():
                parts.append(_section(f"visionthink {verb} {name}", each, inner))
    return "\n".join(parts)


def _section(title: str, command: click.Command, parent: click.Context | None) -> str:
    name = title.split()[-1]
    settings = {**command.context_settings, "terminal_width": 90}
    with click.Context(command, info_name=name, parent=parent, **settings) as context:
        return f"## {title}\n\n```\n{command.get_help(context)}\n```\n"


def main() -> None:
    text = reference()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.name} is out of date: run `make format`")


if __name__ == "__main__":
    main()
