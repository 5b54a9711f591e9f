"""Tables with images in them: Parquet files, data sets saved to disk or on the hub, and the layout
of the authors' released data.

`datasets` finds, downloads and converts them. After that, a data set is a list of Arrow files, and
an image is a cell of one of them, read through a memory map.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from visionthink.core.errors import DataError, MissingExtraError
from visionthink.core.images import Limits, Picture, open_picture
from visionthink.data.data_options import Columns, DataOptions
from visionthink.data.image_refs import ImageRef, changed, header_problem
from visionthink.data.rows import Row, Rows
from visionthink.data.validate import Refusal, gather, image_file, image_refusal, make_row

IMAGE_COLUMNS = ("image", "images")
RELEASED = Columns(image="images", question="problem", answer="original_answer", id="id")
IMAGE_MARK = "<image>"
BATCH = 1000

_SPLIT_NAME = re.compile(r"(train|val|validation|dev|test)\b")


@dataclass(frozen=True, slots=True)
class CellImage:
    """Encoded bytes in an Arrow file: image `item` of a cell."""

    file: str
    row: int
    column: str
    item: int

    @property
    def path(self) -> None:
        return None

    def open(self, limits: Limits) -> Picture:
        try:
            cell = _items(open_table(self.file).column(self.column)[self.row])[self.item]
            data = _buffer(cell).to_pybytes()
        except (OSError, LookupError, AttributeError, ValueError) as error:
            raise changed(self.file, error) from error
        return open_picture(data, limits)


@lru_cache(maxsize=256)
def open_table(file: str) -> Any:
    """The `pyarrow.Table` in an Arrow stream file, memory-mapped: only pages that are read load."""
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(file)).read_all()


def read_parquet(path: Path, options: DataOptions, limits: Limits) -> Rows:
    """A Parquet file, or a folder of them; `datasets` keeps an Arrow copy in its cache.

    Files of a folder are its splits if the names of all start with a split's, as in
    `train-00000-of-00002.parquet`; otherwise they are one split.
    """
    datasets = _datasets("reading Parquet")
    folder = path if path.is_dir() else path.parent
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"there are no .parquet files in {str(path)!r}; check the path")
    named = [_SPLIT_NAME.match(file.name) for file in files] if path.is_dir() else [None]
    splits: dict[str, list[str]] = {}
    for file, name in zip(files, named, strict=True):
        splits.setdefault(name[1] if name and all(named) else "train", []).append(str(file))
    found = _loaded(lambda: datasets.load_dataset("parquet", data_files=splits), path)
    return _read(_split(found, options, str(path)), folder, options, limits, str(path))


def read_saved(path: Path, options: DataOptions, limits: Limits) -> Rows:
    """What `save_to_disk` wrote: one data set, or one for each split."""
    datasets = _datasets("reading a saved data set")
    found = _split(_loaded(lambda: datasets.load_from_disk(str(path)), path), options, str(path))
    return _read(found, path, options, limits, str(path))


def read_hub(options: DataOptions, limits: Limits) -> Rows:
    """A data set of the Hugging Face hub, kept in the cache of `datasets`."""
    datasets = _datasets("reading from the hub")
    name = options.path or ""
    try:
        with _quiet():
            found = datasets.load_dataset(name, split=options.split)
    except Exception as error:  # its layers raise errors of many kinds
        raise DataError(
            f"cannot get the data set {name!r} from the Hugging Face hub: {_first_line(error)}; "
            "check its name and the network, or download it and give its folder"
        ) from error
    found = found if options.split else _split(found, options, name)
    cache = next(iter(_files(found)), "")
    return _read(found, Path(cache).parent, options, limits, name)


def _read(found: Any, folder: Path, options: DataOptions, limits: Limits, source: str) -> Rows:
    """Rows of a `datasets.Dataset`; paths in it are relative to `folder`."""
    names: list[str] = found.column_names
    is_released = options.columns == Columns() and {RELEASED.question, RELEASED.answer} <= {*names}
    if is_released or options.format == "released":
        options = options.model_copy(update={"columns": RELEASED})
    columns = options.columns
    image = columns.image or next((n for n in IMAGE_COLUMNS if n in names), IMAGE_COLUMNS[0])
    if missing := [n for n in (image, columns.question, columns.answer) if n not in names]:
        raise DataError(
            f"{source!r} has no column {' or '.join(missing)}; it has {', '.join(names)}; "
            "say which is which under columns"
        )
    files = _files(found)
    if sum(open_table(file).num_rows for file in files) != len(found):
        raise DataError(
            f"{source!r} is a selection of rows; save it with save_to_disk and load the copy"
        )

    def rows() -> Iterator[tuple[int, Callable[[], Row]]]:
        number = 0
        for file in files:
            table = open_table(file)
            plain = [field.name for field in table.schema if _is_plain(field.type)]
            for start in range(0, table.num_rows, BATCH):
                records = table.select(plain).slice(start, BATCH).to_pylist()
                for row, record in enumerate(records, start):
                    cells = partial(_images, table, file, row, image, folder, options, limits)
                    yield number, partial(_row, record, cells, options, image)
                    number += 1

    return gather(rows(), options, repr(source), "row")


def _row(
    record: dict[str, Any],
    images: Callable[[], Sequence[ImageRef]],
    options: DataOptions,
    image: str,
) -> Row:
    if options.columns != RELEASED:
        return make_row(record, images, options, (image,))
    problem = record.get(RELEASED.question)
    if isinstance(problem, str):
        record = {**record, RELEASED.question: problem.replace(IMAGE_MARK, "").strip()}
    row = make_row(record, images, options, (image,))
    marks = problem.count(IMAGE_MARK) if isinstance(problem, str) else 0
    if marks not in (0, len(row.images)):
        raise Refusal(f"the problem marks {marks} images, but the row has {len(row.images)}")
    return row


def _images(
    table: Any,
    file: str,
    row: int,
    column: str,
    folder: Path,
    options: DataOptions,
    limits: Limits,
) -> list[ImageRef]:
    """Handles of the images in one cell, their headers checked."""
    import pyarrow as pa

    found: list[ImageRef] = []
    for index, item in enumerate(_items(table.column(column)[row])):
        buffer = _buffer(item)
        if buffer is not None:
            if problem := header_problem(pa.BufferReader(buffer), buffer.size, limits):
                raise image_refusal(f"{column}[{index}]", problem)
            found.append(CellImage(file, row, column, index))
            continue
        path = item.as_py()
        path = path.get("path") if isinstance(path, dict) else path
        if not isinstance(path, str) or not path:
            raise Refusal(f"image {index} is missing")
        found.append(image_file(path, folder, options, limits))
    return found


def _items(cell: Any) -> Sequence[Any]:
    """The scalars in a list cell, any other cell itself, nothing of an empty cell."""
    if not cell.is_valid:
        return []
    import pyarrow as pa

    return cell.values if isinstance(cell, pa.ListScalar | pa.LargeListScalar) else [cell]


def _buffer(item: Any) -> Any:
    """The encoded bytes in a scalar, not copied; None if it holds no bytes."""
    import pyarrow as pa

    if isinstance(item, pa.StructScalar):
        item = item.get("bytes")
    if item is None or not isinstance(item, pa.BinaryScalar | pa.LargeBinaryScalar):
        return None
    # A StringScalar is a BinaryScalar too, but holds a path.
    is_text = isinstance(item, pa.StringScalar | pa.LargeStringScalar)
    return item.as_buffer() if item.is_valid and not is_text else None


def _is_plain(kind: Any) -> bool:
    """Whether a column of this type holds no binary values, so that its values stay small."""
    import pyarrow as pa

    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return False
    return all(_is_plain(kind.field(i).type) for i in range(kind.num_fields))


def _split(found: Any, options: DataOptions, source: str) -> Any:
    """The split that `options` name; by default the only one, or train."""
    if not isinstance(found, dict):
        if options.split is not None:
            raise DataError(f"{source!r} has no splits; leave split: {options.split} out")
        return found
    names = list(found)
    name = options.split or (names[0] if len(names) == 1 else "train")
    if name not in found:
        raise DataError(f"{source!r} has no split {name!r}; it has {', '.join(names)}")
    return found[name]


def _files(found: Any) -> list[str]:
    return [entry["filename"] for entry in found.cache_files]


def _datasets(what: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(what, "data") from error
    return datasets


def _loaded(load: Callable[[], Any], path: Path) -> Any:
    try:
        with _quiet():
            return load()
    except Exception as error:  # damaged files raise errors of many kinds
        raise DataError(f"cannot read the data set {str(path)!r}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """The innermost error's message: the outer ones only say that something failed."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return next(iter(str(error).splitlines()), "") or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' logs of retries and failures: the error that follows reports them.

    Their progress bars appear on a terminal only.
    """
    from datasets.utils import are_progress_bars_disabled as are_off
    from datasets.utils import disable_progress_bars, enable_progress_bars

    hide = not (sys.stderr.isatty() or are_off())
    if hide:
        disable_progress_bars()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
