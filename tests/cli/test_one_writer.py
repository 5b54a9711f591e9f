"""Two commands on one run folder or one file of labels: the second is refused, the first ends."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from cli.outcome import Run
from cli.red_rows import ROWS, SLOWLY_RED, started, wait_until
from engines.chat_server import ChatServer


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize(
    ("verb", "out", "written", "options"),
    [
        ("eval", "run", "run/episodes.jsonl", ("--policy", "low")),
        ("label", "labels.jsonl", "labels.jsonl", ("--n", "2")),
    ],
)
def test_a_second_command_on_the_same_output_is_refused(
    data: Path,
    tmp_path: Path,
    run: Run,
    verb: str,
    out: str,
    written: str,
    options: tuple[str, ...],
) -> None:
    """The first is held after one line, so that it cannot be finished before the second comes."""
    with ChatServer(SLOWLY_RED) as server:
        arguments = [verb, str(data), "--base-url", server.url, "--out", str(tmp_path / out)]
        arguments += ["--retries", "0", "--concurrency", "1", *options]
        with started(*arguments) as first:
            wait_until(lambda: lines(tmp_path / written) >= 1, first)
            first.send_signal(signal.SIGSTOP)
            second = run(*arguments, "--resume")
            first.send_signal(signal.SIGCONT)
            assert second.code == 1
            assert second.err == (
                f"Error: {tmp_path / out} is in use: process {first.pid} is writing to it; "
                "wait until it ends, or stop it\n"
            )
            first.communicate(timeout=60)
            assert first.returncode == 0
        assert run(*arguments, "--resume").code == 0
    records = (tmp_path / written).read_text().splitlines()
    assert len(records) == ROWS
    assert set(Counter(records).values()) == {1}
    assert [path.name for path in tmp_path.rglob(".*")] == []
