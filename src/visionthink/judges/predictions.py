"""Judging a file of predictions: read all rows, judge them, write all or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from visionthink.core.concurrency import run_bounded
from visionthink.core.errors import DataError, JudgeError, UsageError
from visionthink.judges.judge import Judge
from visionthink.runs.files import replacing, run_errors

FIELDS = ("id", "question", "answer", "prediction")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file; blank lines are skipped.

    Raises:
        DataError: it cannot be read, holds no row, or a row has no value of the right type in one
            of `FIELDS`.
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, row, problem in read_objects(path):
        rows.append(row)
        if problem := problem or _problem(row):
            problems.append(f"row {number}: {problem}")
    if problems:
        raise bad_rows(path, problems, ", ".join(FIELDS))
    return rows


def read_objects(path: Path) -> list[tuple[int, dict[str, Any], str]]:
    """Number, object and problem ("" if it is one) of each line that is not blank.

    Raises:
        DataError: the file cannot be read, or holds no row.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})") from error
    found = [(number, *_object(line)) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError(f"{path} holds no rows; expected one JSON object a line")
    return found


def bad_rows(path: Path, problems: Sequence[str], needed: str) -> DataError:
    """The error of a file, naming the first of its problems."""
    more = f" (and {len(problems) - 1} more rows)" if len(problems) > 1 else ""
    return DataError(f"{path}: {problems[0]}{more}; rows need {needed}")


def id_problem(row: dict[str, Any]) -> str:
    if "id" not in row:
        return "id is missing"
    if type(row["id"]) not in (str, int):
        return f"id must be text or a whole number; got {row['id']!r:.40}"
    return ""


def _object(line: str) -> tuple[dict[str, Any], str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}, "this is not JSON"
    if not isinstance(value, dict):
        return {}, f"expected a JSON object, got {type(value).__name__}"
    return cast(dict[str, Any], value), ""


def _problem(row: dict[str, Any]) -> str:
    """What is wrong with a row; "" if nothing."""
    if missing := [name for name in FIELDS if name not in row]:
        return f"{missing[0]} is missing"
    if problem := id_problem(row):
        return problem
    answers = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
    for name in FIELDS[1:]:
        texts = answers if name == "answer" else [row[name]]
        if not all(isinstance(text, str) for text in texts):
            return f"{name} must be text; got {row[name]!r:.40}"
    if not any(answer.strip() for answer in answers):
        return "answer is empty"
    return ""


async def judge_rows(
    judge: Judge, rows: Sequence[dict[str, Any]], *, workers: int, done: Callable[[], None]
) -> list[dict[str, Any]]:
    """Judge all rows, `workers` at a time; `done` is called after each.

    Returns:
        The rows in the order given, each with `score` and `by`. Where the judge cannot tell the
        score is null; where it failed both are null, and `error` says why.
    """
    judged: dict[int, dict[str, Any]] = {}

    async def work(item: tuple[int, dict[str, Any]]) -> None:
        at, row = item
        rest = {key: row[key] for key in row if key not in ("score", "by", "error")}
        try:
            verdict = await judge.score(row["question"], row["answer"], row["prediction"])
            judged[at] = rest | {"score": verdict.score, "by": verdict.by}
        except JudgeError as error:
            judged[at] = rest | {"score": None, "by": None, "error": str(error)}
        done()

    try:
        await run_bounded(min(workers, len(rows)), enumerate(rows), work)
    finally:
        await judge.close()
    return [judged[at] for at in range(len(rows))]


@contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """The file for the judged rows, which replaces `path` whole when the block ends without error.

    Opened before the work starts, so that no verdict is lost to a path that cannot be written. If
    `path` is a link, the file behind it is replaced.

    Raises:
        UsageError: the path is not that of a regular file.
        RunError: the file cannot be written.
    """
    if path.exists() and not path.is_file():  # root could replace a device such as /dev/full
        what = "a folder" if path.is_dir() else "not a regular file"
        raise UsageError(f"{path} is {what}; expected a file to write")
    with run_errors(f"{path} cannot be written"), replacing(path.resolve()) as file:
        yield file


def json_line(record: dict[str, Any]) -> bytes:
    """One line of JSON; lone surrogates, which UTF-8 cannot hold, stay escaped."""
    line = json.dumps(record, ensure_ascii=False)
    if any("\ud800" <= char <= "\udfff" for char in line):
        line = json.dumps(record)
    return f"{line}\n".encode()
