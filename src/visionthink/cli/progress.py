"""Progress of a long verb, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(doing: str, done: str, total: int) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each of `total` rows.

    Shows a bar on a terminal, else a line every ten seconds, with the estimated time left. `doing`
    labels the bar ("judging"), `done` begins the lines ("judged").
    """
    if sys.stderr.isatty():
        with click.progressbar(length=total, label=doing, file=sys.stderr) as bar:
            yield lambda: bar.update(1)
        return
    began = said = time.monotonic()
    count = 0

    def step() -> None:
        nonlocal count, said
        count += 1
        now = time.monotonic()
        if now - said >= SECONDS_BETWEEN_LINES:
            said = now
            left = (now - began) / count * (total - count)
            click.echo(f"{done} {count} of {total}, {_duration(left)} left", err=True)

    yield step


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
