"""The command itself: help, version, verbs."""

from __future__ import annotations

import subprocess
import sys

import visionthink
from cli.outcome import Run

VERBS = (*("ask", "eval", "train", "label", "judge", "plan", "report", "serve", "demo", "doctor"),)


def test_help_lists_every_verb_without_importing_it() -> None:
    """In a process of its own, where no other test has imported a verb."""
    code = (
        "import sys; from visionthink.cli.main import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.startswith('visionthink.cli.')], "
        "[name for name in ('numpy', 'PIL', 'torch', 'pydantic', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *help_text, imported = done.stdout.splitlines()
    verbs = help_text[help_text.index("Verbs:") + 1 :]
    assert [line.split()[0] for line in verbs if line[2:3].strip()] == list(VERBS)
    assert imported == "['visionthink.cli.main'] []"


def test_version(run: Run) -> None:
    assert run("--version").out == f"visionthink, version {visionthink.__version__}\n"
