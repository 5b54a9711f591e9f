"""Checking rows, from any source."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any, get_args

from visionthink.core.episode import MAX_QUESTION_CHARACTERS
from visionthink.core.errors import DataError
from visionthink.core.images import Limits
from visionthink.data.data_options import DataOptions, Kind
from visionthink.data.image_marks import image_mark, without_marks
from visionthink.data.image_refs import FileImage, ImageRef, file_problem
from visionthink.data.rows import BadRow, Row, Rows

MOST_KEPT = 20_000
"""Characters of JSON up to which another column is kept in the metadata."""
SHOWN = 3


class Refusal(Exception):
    """A row cannot be used; the message, which says why, goes into a `BadRow`."""


class Filtered(Exception):
    """`where` leaves the row out."""


def gather(
    found: Iterable[tuple[int, Callable[[], Row]]], options: DataOptions, source: str, unit: str
) -> Rows:
    """Collect rows, and what is wrong with the others, up to the limit in `options`.

    Args:
        found: the number of each row, and what makes it, or raises Refusal or Filtered.
        options: which rows to keep, and whether bad ones may be skipped.
        source: what is read, for messages.
        unit: what the numbers of rows count: "line" or "row".

    Raises:
        DataError: rows are bad and may not be skipped, or there are no rows.
    """
    rows: list[Row] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    for number, make in found:
        try:
            row = make()
        except Refusal as refusal:
            bad.append(BadRow(number, str(refusal)))
        except Filtered:
            pass
        else:
            rows.append(row)
            numbers.append(number)
        if len(rows) == options.limit:
            break
    if bad and not (options.skip_bad and rows):
        shown = "; ".join(f"{unit} {each.number}: {each.reason}" for each in bad[:SHOWN])
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        advice = "correct them, or set skip_bad" if rows else "no row is left"
        raise DataError(
            f"{len(bad)} of {len(rows) + len(bad)} rows of {source} cannot be used: "
            f"{shown}{more}; {advice}"
        )
    if not rows:
        where = ", ".join(f"{name}: {value}" for name, value in options.where.items())
        why = f" with {where}" if where else "; check that it is the right one"
        raise DataError(f"{source} holds no rows{why}")
    repeated = _name(rows, numbers)
    return Rows(tuple(rows), source, bad, repeated, _notes(rows, source))


def _name(rows: list[Row], numbers: Sequence[int]) -> list[tuple[int, str]]:
    """Give an id to each row without one, and to each whose id an earlier row has, as many
    questions about one image do; returns the latter with that id. No new id is one of the data.
    """
    taken = {row.id for row in rows}
    seen: set[str] = set()
    repeated: list[tuple[int, str]] = []
    for at, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        if row.id and row.id not in seen:
            seen.add(row.id)
            continue
        if row.id:
            repeated.append((number, row.id))
        first = f"{row.id}#{number}" if row.id else str(number)
        others = (f"{first}#{times}" for times in count(2))
        free = next(name for name in chain([first], others) if name not in taken)
        taken.add(free)
        rows[at] = replace(row, id=free)
    return repeated


def _notes(rows: Sequence[Row], source: str) -> list[str]:
    marked = [row for row in rows if image_mark(row.question)]
    if not marked:
        return []
    held = "row holds" if len(marked) == 1 else "rows hold"
    return [
        f"{len(marked)} {held} {image_mark(marked[0].question)!r} in the question ({source}, first "
        f"row {marked[0].id!r:.40}), which is read as text, since images come before the question; "
        "set drop_image_marks: true to take it out"
    ]


def make_row(
    record: Mapping[str, Any],
    images: Callable[[], Sequence[ImageRef]],
    options: DataOptions,
    used: Sequence[str],
) -> Row:
    """The row of a record: checked, with its other columns as metadata; its id is empty if the
    record has none.

    Args:
        record: column → value; plain Python values.
        images: gives the handles; called after the cheaper checks.
        used: the columns that `images` reads; they are not metadata.

    Raises:
        Refusal: a column is missing, empty or of a wrong type, or an image is bad.
        Filtered: `where` leaves the row out.
    """
    for name, kept in options.where.items():
        if record.get(name) not in (kept if isinstance(kept, list) else [kept]):
            raise Filtered
    columns = options.columns
    question = _question(_column(record, columns.question), options.drop_image_marks)
    answers = accepted_answers(_column(record, columns.answer))
    taken = {columns.question, columns.answer, columns.id, *used}
    metadata = {k: v for k, v in record.items() if k not in taken and _worth_keeping(v)}
    if metadata.get("kind") not in get_args(Kind):
        metadata.pop("kind", None)
    if "kind" not in metadata and options.kind is not None:
        metadata["kind"] = options.kind
    metadata.pop("answers", None)
    first = answers[0]
    if len(answers) > 1:
        metadata["answers"] = answers
    handles = tuple(images())
    if not handles:
        raise Refusal("there is no image")
    return Row(
        _id(record.get(columns.id)), handles, question + options.prompt_suffix, first, metadata
    )


def accepted_answers(value: object) -> tuple[str, ...]:
    """The accepted answers in a cell: text, a whole number, or a list of these. Raises Refusal."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise Refusal("the answer is an empty list")
    answers: list[str] = []
    for item in values:
        if isinstance(item, float):
            raise Refusal(f"the answer is the number {item}; write it as text, as it should read")
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise Refusal(f"the answer must be text; it is {_kind_of(item)}")
        answers.append(_encodable(str(item).strip(), "answer"))
    if not all(answers):
        raise Refusal("the answer is empty")
    return tuple(answers)


def image_file(text: str, folder: Path, options: DataOptions, limits: Limits) -> FileImage:
    """The image that a data file in `folder` calls `text`.

    Raises:
        Refusal: it is no usable image file, or lies out of the folder without `allow_outside`.
    """
    if text.startswith(("http://", "https://")):
        raise Refusal(f"image {_short(text)} is a URL; URLs are not fetched, download it")
    try:
        path = folder / text
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        raise Refusal(f"image {_short(text)}: it is not a valid path") from error
    if not inside and not options.allow_outside:
        raise Refusal(
            f"image {_short(text)} lies outside the folder of the data file; move it there, or set "
            "allow_outside if you trust the file"
        )
    if problem := file_problem(path, limits):
        raise image_refusal(text, problem)
    return FileImage(str(path))


def image_refusal(name: str, problem: str) -> Refusal:
    return Refusal(f"image {_short(name)}: {problem}")


def _column(record: Mapping[str, Any], name: str) -> object:
    if name not in record:
        raise Refusal(f"there is no column {name!r}; there are {_short(', '.join(record))}")
    return record[name]


def _question(value: object, drop_image_marks: bool) -> str:
    if not isinstance(value, str):
        raise Refusal(f"the question must be text; it is {_kind_of(value)}")
    if drop_image_marks:
        value = without_marks(value)
    if not value.strip():
        raise Refusal("the question is empty")
    if len(value) > MAX_QUESTION_CHARACTERS:
        raise Refusal(f"the question has more than {MAX_QUESTION_CHARACTERS:,} characters")
    return _encodable(value, "question")


def _id(value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refusal(f"the id must be text or a whole number; it is {_kind_of(value)}")
    return _encodable(str(value), "id")


def _encodable(text: str, what: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise Refusal(f"the {what} holds half a character (a lone surrogate)")
    return text


def _worth_keeping(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MOST_KEPT
    try:
        return value is not None and len(json.dumps(value)) <= MOST_KEPT
    except (TypeError, ValueError, RecursionError):
        return False


def _kind_of(value: object) -> str:
    names = {
        type(None): "missing",
        bool: "true or false",
        dict: "an object",
        list: "a list",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), f"of type {type(value).__name__}")


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 80 else f"{shown[:38]}…{shown[-38:]}"
