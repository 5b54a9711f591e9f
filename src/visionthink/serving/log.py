"""What a server writes down of its requests: figures always, what was said only when asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionthink.core.errors import UsageError
from visionthink.core.types import Episode
from visionthink.serving.reply import usage

console = logging.getLogger("visionthink.serving")


class RequestLog:
    """A JSON line for each request, appended to a file."""

    def __init__(self, path: Path, content: bool) -> None:
        self._content = content
        try:
            self._file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UsageError(f"cannot write the log {str(path)!r}: {error.strerror}") from error

    def write(self, told: Mapping[str, Any], episode: Episode | None) -> None:
        """Add a line: `told`, what the episode cost and, if asked for, what was said in it."""
        line = dict(told)
        if episode is not None:
            line |= {"stop_reason": episode.stop_reason.value, "usage": usage(episode)}
        if episode is not None and self._content:
            line |= {
                "question": episode.example.question,
                "answer": episode.answer,
                "turns": [turn.text for turn in episode.turns],
            }
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:  # a full disk must not cost the answer
            console.error("the log cannot be written: %s", error.strerror)

    def close(self) -> None:
        self._file.close()


def figures(episode: Episode) -> str:
    """An episode in a few words, without what was said."""
    ledger = episode.ledger
    asked = ", original requested" if episode.requested else ""
    return f"{episode.look}{asked}, {ledger.processed} of {ledger.vanilla} visual tokens"


def places(error: BaseException) -> str:
    """Where an unexpected error came from. Its message is left out: it may quote the request."""
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{Path(code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(frames[-6:])}"
