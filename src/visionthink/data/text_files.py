"""Text files that name images: JSONL, and folders with a metadata file beside the images."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from visionthink.core.errors import DataError, ImageError
from visionthink.core.images import Limits
from visionthink.data.data_options import DataOptions
from visionthink.data.image_refs import (
    DATA_URL,
    FileImage,
    ImageRef,
    LineImage,
    bytes_problem,
    data_url_bytes,
    file_problem,
)
from visionthink.data.rows import Row, Rows
from visionthink.data.validate import Gatherer, Refusal, image_path, image_refusal, make_row

METADATA = ("metadata.jsonl", "metadata.csv")
IN_A_FILE = ("image", "images")
IN_A_FOLDER = ("file_name", "file_names")


def read_jsonl(
    path: Path, options: DataOptions, limits: Limits, names: tuple[str, ...] = IN_A_FILE
) -> Rows:
    """One JSON object a line. An image is a path relative to the file or a base64 data URL.

    Rows are numbered by the lines of the file, from 1; blank lines are skipped.
    """
    gather = Gatherer(options, repr(str(path)), "line")
    try:
        with path.open("rb") as file:
            offset = 0
            for number, line in enumerate(file, 1):
                start, offset = offset, offset + len(line)
                if line.strip():
                    make = partial(_line, line, path, start, number, options, limits, names)
                    gather.add(number, make)
                if gather.full:
                    break
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}") from error
    return gather.rows()


def read_folder(path: Path, options: DataOptions, limits: Limits) -> Rows:
    """Images with a `metadata.jsonl` or `metadata.csv`, whose `file_name` names the image of a row.

    The layout of `datasets`' image folders; a split is a subfolder. Rows of a CSV file are numbered
    by the line on which they start.
    """
    folder = path / options.split if options.split is not None else path
    found = [folder / name for name in METADATA if (folder / name).is_file()]
    if not found:
        splits = sorted(
            {place.parent.name for name in METADATA for place in path.glob(f"*/{name}")}
        )
        advice = f"give split: {' or '.join(splits)}" if splits else "write such a file"
        raise DataError(f"there is no {' or '.join(METADATA)} in {str(folder)!r}; {advice}")
    if found[0].suffix == ".jsonl":
        return read_jsonl(found[0], options, limits, IN_A_FOLDER)
    gather = Gatherer(options, repr(str(found[0])), "line")
    for number, record in _csv_records(found[0]):
        gather.add(number, partial(_row, record, found[0], 0, number, options, limits, IN_A_FOLDER))
        if gather.full:
            break
    return gather.rows()


def _csv_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _ = reader.fieldnames
            number = reader.line_num + 1
            for record in reader:
                yield number, {k: v for k, v in record.items() if k is not None and v is not None}
                number = reader.line_num + 1
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}"
        ) from error


def _line(
    line: bytes,
    path: Path,
    offset: int,
    number: int,
    options: DataOptions,
    limits: Limits,
    names: tuple[str, ...],
) -> Row:
    try:
        record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip())
    except json.JSONDecodeError as error:
        raise Refusal(f"this is not JSON ({error.msg}, character {error.pos + 1})") from error
    except UnicodeDecodeError as error:
        raise Refusal("this is not UTF-8") from error
    except (ValueError, RecursionError) as error:  # numbers too long, lists too deep
        raise Refusal(f"this JSON cannot be read ({error})") from error
    if not isinstance(record, dict):
        raise Refusal('expected a JSON object, as {"image": …, "question": …, "answer": …}')
    return _row(record, path, offset, number, options, limits, names)


def _row(
    record: Mapping[str, Any],
    path: Path,
    offset: int,
    number: int,
    options: DataOptions,
    limits: Limits,
    names: tuple[str, ...],
) -> Row:
    """The row of a record that starts at byte `offset` of `path`."""
    column = options.columns.image or next((n for n in names if n in record), names[0])

    def images() -> list[ImageRef]:
        if column not in record:
            raise Refusal(f"there is no column {column!r} for the image")
        value = record[column]
        items = value if isinstance(value, list) else [value]
        return [_image(item, index) for index, item in enumerate(items)]

    def _image(item: object, index: int) -> ImageRef:
        if not isinstance(item, str) or not item:
            raise Refusal("an image must be a path or a base64 data URL")
        if item.startswith(DATA_URL):
            try:
                problem = bytes_problem(data_url_bytes(item), limits)
            except ImageError as error:
                raise Refusal(str(error)) from error
            if problem:
                raise image_refusal(f"{item[:30]}…", problem)
            return LineImage(str(path), offset, column, index)
        file = image_path(item, path.parent, outside=options.allow_outside)
        if problem := file_problem(file, limits):
            raise image_refusal(item, problem)
        return FileImage(str(file))

    return make_row(record, images, number, options, (column,))
