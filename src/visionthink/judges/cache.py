"""A file of verdicts, so that nothing is asked twice.

One JSON object a line: `{"key": SHA-256 of the request, "score": 0 or 1, "model": name}`. Lines are
appended with one write each; several processes may share the file and see each other's verdicts.
Other lines (half-written, or of another program) are skipped. The file holds no text of a question,
answer or prediction, and no API key.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any, Literal

from visionthink.core.errors import UsageError
from visionthink.runs.files import line_record

_log = logging.getLogger(__name__)


class VerdictCache:
    """Verdicts by key, in memory and, with `path`, in a file.

    Raises:
        UsageError: the file cannot be opened for reading and writing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._scores: dict[str, Literal[0, 1]] = {}
        self._read_to = 0
        self._lock = threading.Lock()  # event loops in several threads may share a judge
        self._file: int | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            except OSError as error:
                raise UsageError(
                    f"cannot open the judge's cache {str(path)!r}: {error.strerror}; name another"
                ) from error
            self._catch_up()

    def get(self, key: str) -> Literal[0, 1] | None:
        with self._lock:
            if key not in self._scores:
                self._catch_up()
            return self._scores.get(key)

    def put(self, key: str, score: Literal[0, 1], model: str) -> None:
        """Keep a verdict; on a full disk in memory only."""
        with self._lock:
            self._scores.setdefault(key, score)
            if self._file is None:
                return
            line = json.dumps({"key": key, "score": score, "model": model})
            try:
                # The leading newline ends what another process may have left half-written.
                os.write(self._file, f"\n{line}\n".encode())
            except OSError as error:
                _log.warning("cannot write the judge's cache %s: %s", self._path, error.strerror)
                os.close(self._file)
                self._file = None

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _catch_up(self) -> None:
        """Read the lines appended since the last call, as far as they are whole."""
        if self._file is None or (size := os.fstat(self._file).st_size) <= self._read_to:
            return
        os.lseek(self._file, self._read_to, os.SEEK_SET)
        with os.fdopen(os.dup(self._file), "rb") as file:
            lines = file.read(size - self._read_to)
        whole = lines.rfind(b"\n") + 1
        self._read_to += whole
        for line in lines[:whole].splitlines():
            if (entry := _entry(line)) is not None:
                self._scores.setdefault(*entry)


def _entry(line: bytes) -> tuple[str, Literal[0, 1]] | None:
    """Key and score of a line; None if it holds no verdict."""
    record = line_record(line) or {}
    key, score = record.get("key"), record.get("score")
    if not isinstance(key, str) or type(score) is not int or score not in (0, 1):
        return None
    return key, 1 if score else 0


def cache_key(asked: Any) -> str:
    """SHA-256 of JSON values, in hexadecimal."""
    text = json.dumps(asked, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
