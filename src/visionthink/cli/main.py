"""The `visionthink` command: its verbs, and how errors are reported.

Exit codes: 0 done, 1 failed (one line on stderr), 2 bad usage (one line), 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from visionthink.core.errors import VisionThinkError

VERBS = {
    "ask": "Ask a question about an image, with as few visual tokens as it needs.",
    "eval": "Compare policies on questions: accuracy, tokens, FLOPs, time; or estimate a saving.",
    "train": "Train a model: sft from labelled rows, grpo from rewards.",
    "label": "Find out by rollouts which rows of a data set need the original image.",
    "judge": "Score predictions in a file, by rules or by a model.",
    "plan": "Predict what a workload costs in tokens and FLOPs, and when a small first look pays.",
    "report": "Make tables, plots and pages from runs of training and evaluation.",
    "serve": "Serve a model over OpenAI's API, with as few visual tokens as each question needs.",
    "demo": "Ask about the shipped sample images, and leave a page with the episodes.",
    "doctor": "Show what is installed, what is missing, and how to install it.",
}


class Group(click.Group):
    """Names the command that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            from visionthink.settings import did_you_mean

            ctx.fail(f"there is no command {args[0]!r}{did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)


class _LazyGroup(Group):
    """Imports a verb's module only when that verb runs, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f"visionthink.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="visionthink")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Vision language models that look at a small image first, and request the original only when
    they need it.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; every failure is one line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(given, prog_name="visionthink", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        place = error.ctx.command_path if error.ctx else "visionthink"
        _fail(f"{_line(error.format_message())} (see {place} --help)", error.exit_code)
    except click.ClickException as error:
        _fail(_line(error.format_message()), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted", 130)
    except Exception as error:
        if "--debug" in given:
            raise
        if isinstance(error, VisionThinkError):
            _fail(_line(str(error)), error.exit_code)
        _fail(f"unexpected {type(error).__name__}: {_line(str(error))} (see --debug)", 1)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _line(message: str) -> str:
    """The message on one line."""
    return " ".join(message.split())


def _fail(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)
