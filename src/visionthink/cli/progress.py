"""How far a long verb has come, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(doing: str, done: str, total: int) -> Iterator[Callable[[], None]]:
    """Call what it yields after each of `total` rows: a bar on a terminal, else a line now and
    then. `doing` labels the bar ("judging"), `done` begins the lines ("judged").
    """
    if sys.stderr.isatty():
        with click.progressbar(length=total, label=doing, file=sys.stderr) as bar:
            yield lambda: bar.update(1)
        return
    count, said = 0, time.monotonic()

    def step() -> None:
        nonlocal count, said
        count += 1
        if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            click.echo(f"{done} {count} of {total}", err=True)

    yield step
