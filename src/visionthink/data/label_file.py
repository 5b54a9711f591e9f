"""The file that labelling writes: one JSON line for each finished row, itself a JSONL data set.

Next to `labels.jsonl` are `labels.config.json` (the options, because a resumed run must have the
same) and, if rows had images that are not files, the folder `labels-images`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visionthink.core.errors import ImageError, RunError, UsageError
from visionthink.core.images import DEFAULT_LIMITS
from visionthink.data.image_refs import ImageRef
from visionthink.data.labelling import LABELS, Labelled
from visionthink.data.rows import Row
from visionthink.runs.files import Lock, append_line, mend_lines, replacing, run_errors
from visionthink.runs.folder import flatten

VERSION = 1
NEEDS_HIGH = {"low": False, "high": True}


def check_place(path: Path, *, resume: bool, retry_failed: bool) -> None:
    """Raise UsageError if `LabelFile` would; cheap, so it can come before loading a model."""
    if path.exists() and not resume:
        raise UsageError(
            f"{str(path)!r} exists; add --resume to continue it, or choose another --out"
        )
    if retry_failed and not resume:
        raise UsageError("--retry-failed goes with --resume only")


class LabelFile:
    """Appends finished rows to `path`; a context manager. One process at a time may do so.

    Args:
        path: the JSONL file.
        config: what the labels depend on; plain JSON.
        resume: continue an existing file; a half-written last line is dropped.
        retry_failed: drop the rows that failed, so that they are run again.

    Raises:
        UsageError: see `check_place`.
        RunError: the file has another config, another process is writing to it, or it cannot be
            read or written.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        *,
        resume: bool = False,
        retry_failed: bool = False,
    ) -> None:
        self.path = path
        self._images = path.with_name(f"{path.stem}-images")
        self._config = path.with_name(f"{path.stem}.config.json")
        config = {"version": VERSION, **config}
        with run_errors(f"cannot write {str(path)!r}"):
            check_place(path, resume=resume, retry_failed=retry_failed)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(path.with_name(f".{path.name}.lock"), str(path))
            try:
                check_place(path, resume=resume, retry_failed=retry_failed)
                if path.exists():
                    self._check_config(config)
                    records = _read(path, retry_failed)
                else:
                    _replace(self._config, json.dumps(config, indent=1) + "\n")
                    append_line(path, b"")
                    records = []
            except BaseException:
                self._lock.release()
                raise
        self._records = {record["id"]: record for record in records}

    def __enter__(self) -> LabelFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def unfinished(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that are not in the file yet.

        Raises:
            RunError: a finished row is not among `rows`, or differs there.
        """
        left: list[Row] = []
        unknown = set(self._records)
        for row in rows:
            record = self._records.get(row.id)
            if record is None:
                left.append(row)
                continue
            unknown.discard(row.id)
            if (record["question"], record["answer"]) != (row.question, _answer(row)):
                raise RunError(
                    f"row {row.id!r} of {str(self.path)!r} differs from that of the data; the "
                    "data has changed: choose another --out"
                )
        if unknown:
            raise RunError(
                f"row {min(unknown)!r} of {str(self.path)!r} is not in the data; the data has "
                "changed: choose another --out"
            )
        return left

    def add(self, row: Row, labelled: Labelled) -> None:
        """Append a finished row as one line, and save those of its images that are not files.

        Raises:
            RunError: the disk is full, or the file cannot be written.
        """
        with run_errors(f"cannot write {str(self.path)!r}"):
            record = self._record(row, labelled)
            append_line(self.path, json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._records[row.id] = record

    def counts(self) -> dict[str, int]:
        """How many rows of each label the file holds."""
        found = Counter(record["label"] for record in self._records.values())
        return {label: found[label] for label in LABELS}

    def cannot_tell(self) -> int:
        """How many answers the judge could not tell, of all rows; they count as wrong."""
        return sum(record.get("cannot_tell", 0) for record in self._records.values())

    def contained(self) -> int:
        """How many answers to all rows are wrong but contain the ground truth."""
        return sum(record.get("contained", 0) for record in self._records.values())

    def first_failure(self) -> str | None:
        failed = (r["reason"] for r in self._records.values() if r["label"] == "failed")
        return next(failed, None)

    def _record(self, row: Row, labelled: Labelled) -> dict[str, Any]:
        return {
            "id": row.id,
            "images": self._image_paths(row),
            "question": row.question,
            "answer": _answer(row),
            **{key: row.metadata[key] for key in ("family", "kind") if key in row.metadata},
            "counts": {"low": labelled.low, "high": labelled.high},
            "contained": labelled.contained,
            "needs_high": NEEDS_HIGH.get(labelled.label),
            "label": labelled.label,
            "reason": labelled.reason,
            "cannot_tell": labelled.cannot_tell,
        }

    def _image_paths(self, row: Row) -> list[str]:
        """Paths as `load_rows` reads them: relative inside the file's folder, else absolute. Empty
        for a failed row of which an image cannot be read.
        """
        try:
            return [self._image_path(row, i, image) for i, image in enumerate(row.images)]
        except ImageError:
            return []

    def _image_path(self, row: Row, index: int, image: ImageRef) -> str:
        folder = self.path.parent.resolve()
        if image.path is None:
            data, mime = image.open(DEFAULT_LIMITS).encoded()
            name = re.sub(r"[^\w.-]+", "_", row.id, flags=re.ASCII)[:60]
            mark = hashlib.sha256(row.id.encode()).hexdigest()[:8]
            path = self._images / f"{name}-{mark}-{index}.{mime.removeprefix('image/')}"
            self._images.mkdir(exist_ok=True)
            with replacing(path) as file:
                file.write(data)
            return f"{self._images.name}/{path.name}"
        path = Path(image.path).resolve()
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    def _check_config(self, config: Mapping[str, Any]) -> None:
        try:
            before = json.loads(self._config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"cannot resume {str(self.path)!r}: {self._config.name} beside it cannot be read; "
                "choose another --out"
            ) from error
        old, new = flatten(before if isinstance(before, dict) else {}), flatten(config)
        differing = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        if differing:
            shown = ", ".join(f"{key} ({old.get(key)!s:.40} before)" for key in differing)
            raise RunError(
                f"cannot resume {str(self.path)!r}: it was made with other options: {shown}; "
                "give the same options, or choose another --out"
            )


def _answer(row: Row) -> str | list[str]:
    return list(row.answers) if len(row.answers) > 1 else row.answer


def _read(path: Path, retry_failed: bool) -> list[dict[str, Any]]:
    """The finished rows; removes what a crash left half-written and, if asked to, failed rows."""
    mend_lines(path)
    records: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = json.loads(line)
            _ = record["id"], record["label"], record["question"], record["answer"]
        except (ValueError, LookupError, TypeError) as error:
            raise RunError(
                f"line {number} of {str(path)!r} is not a finished row: {error}"
            ) from error
        records.append(record)
    if retry_failed:
        records = [record for record in records if record["label"] != "failed"]
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        _replace(path, "".join(lines))
    return records


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())
