"""Text files that name images: JSONL, and folders with a metadata file beside the images."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from visionthink.core.errors import DataError, ImageError
from visionthink.core.images import Limits
from visionthink.data.data_options import DataOptions
from visionthink.data.image_refs import (
    DATA_URL,
    ImageRef,
    LineImage,
    bytes_problem,
    data_url_bytes,
)
from visionthink.data.rows import Row, Rows
from visionthink.data.validate import Refusal, gather, image_file, image_refusal, make_row

METADATA = ("metadata.jsonl", "metadata.csv")
IN_A_FILE = ("image", "images")
IN_A_FOLDER = ("file_name", "file_names")


def read_jsonl(
    path: Path, options: DataOptions, limits: Limits, names: tuple[str, ...] = IN_A_FILE
) -> Rows:
    """One JSON object a line. An image is a path relative to the file or a base64 data URL.

    Rows are numbered by the lines of the file, from 1; blank lines are skipped.
    """
    found = _Reader(path, options, limits, names).json_rows()
    return gather(found, options, repr(str(path)), "line")


def read_folder(path: Path, options: DataOptions, limits: Limits) -> Rows:
    """Images with a `metadata.jsonl` or `metadata.csv`, whose `file_name` names the image of a row.

    The layout of `datasets`' image folders; a split is a subfolder. Rows of a CSV file are numbered
    by the line on which they start.
    """
    folder = path / options.split if options.split is not None else path
    found = next((folder / name for name in METADATA if (folder / name).is_file()), None)
    if found is None:
        splits = sorted({at.parent.name for name in METADATA for at in path.glob(f"*/{name}")})
        advice = f"give split: {' or '.join(splits)}" if splits else "write such a file"
        raise DataError(f"there is no {' or '.join(METADATA)} in {str(folder)!r}; {advice}")
    if found.suffix == ".jsonl":
        return read_jsonl(found, options, limits, IN_A_FOLDER)
    rows = _Reader(found, options, limits, IN_A_FOLDER).csv_rows()
    return gather(rows, options, repr(str(found)), "line")


@dataclass(frozen=True)
class _Reader:
    """Makes rows of the records of one file; `names` are the usual columns of images."""

    path: Path
    options: DataOptions
    limits: Limits
    names: tuple[str, ...]

    def json_rows(self) -> Iterator[tuple[int, Callable[[], Row]]]:
        """The number of each line with a record, and what makes its row."""
        try:
            with self.path.open("rb") as file:
                offset = 0
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, partial(self._line, line, offset, number)
                    offset += len(line)
        except OSError as error:
            raise DataError(f"cannot read {str(self.path)!r}: {error.strerror}") from error

    def csv_rows(self) -> Iterator[tuple[int, Callable[[], Row]]]:
        """The number of the line on which a record starts, and what makes its row."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                _ = reader.fieldnames
                number = reader.line_num + 1
                for cells in reader:
                    record = {k: v for k, v in cells.items() if k is not None and v is not None}
                    yield number, partial(self._row, record, 0)
                    number = reader.line_num + 1
        except (OSError, csv.Error, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise DataError(f"cannot read {str(self.path)!r}: {why}") from error

    def _line(self, line: bytes, offset: int, number: int) -> Row:
        """The row of a line of JSON that starts at byte `offset`."""
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
        return self._row(record, offset)

    def _row(self, record: Mapping[str, Any], offset: int) -> Row:
        """The row of a record that starts at byte `offset`."""
        usual = next((name for name in self.names if name in record), self.names[0])
        column = self.options.columns.image or usual

        def images() -> list[ImageRef]:
            if column not in record:
                raise Refusal(f"there is no column {column!r} for the image")
            value = record[column]
            items = value if isinstance(value, list) else [value]
            return [
                self._image(item, LineImage(str(self.path), offset, column, index))
                for index, item in enumerate(items)
            ]

        return make_row(record, images, self.options, (column,))

    def _image(self, item: object, place: LineImage) -> ImageRef:
        if not isinstance(item, str) or not item:
            raise Refusal("an image must be a path or a base64 data URL")
        if not item.startswith(DATA_URL):
            return image_file(item, self.path.parent, self.options, self.limits)
        try:
            problem = bytes_problem(data_url_bytes(item), self.limits)
        except ImageError as error:
            raise Refusal(str(error)) from error
        if problem:
            raise image_refusal(f"{item[:30]}…", problem)
        return place
