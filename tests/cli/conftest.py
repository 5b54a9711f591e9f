"""Run the command line as a user does, in this process."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cli.outcome import Outcome, Run
from cli.red_rows import write_rows
from visionthink.cli.main import main

# A shell that starts tests in the background has them and their children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Outcome(caught.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """See `write_rows`."""
    return write_rows(tmp_path)
