"""Reading data sets: one function for every layout.

Parquet, saved and hub data sets need the extra "data"; JSONL, image folders and the embedded world
need no extra.
"""

from __future__ import annotations

from pathlib import Path

from visionthink.core.errors import DataError, UsageError
from visionthink.core.images import DEFAULT_LIMITS, Limits
from visionthink.data.data_options import Columns, DataOptions, Format, Kind
from visionthink.data.rows import BadRow, Row, Rows
from visionthink.data.text_files import METADATA, read_folder, read_jsonl

__all__ = ["BadRow", "Columns", "DataOptions", "Format", "Kind", "Row", "Rows", "load_rows"]

MINI = "mini"
SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves
ONLY_MINI = ("families", "size", "seed")
NOT_MINI = ("columns", "kind", "where", "prompt_suffix", "drop_image_marks")


def load_rows(options: DataOptions, limits: Limits = DEFAULT_LIMITS) -> Rows:
    """Read the data set that `options` describe. Of each image only the header is read.

    Args:
        options: where the data set is, and how it is laid out.
        limits: what an image may be.

    Raises:
        UsageError: options contradict each other.
        DataError: there is no such data set, it has another layout, it has bad rows and `skip_bad`
            is not set, or no row is left.
        MissingExtraError: its format needs the extra "data".
    """
    layout = options.format or guess_format(options.path)
    _refuse(options, layout)
    match layout:
        case "mini":
            from visionthink.data.mini_rows import draw_rows

            return draw_rows(options)
        case "jsonl":
            return read_jsonl(_local(options), options, limits)
        case "folder":
            return read_folder(_local(options), options, limits)
        case "hub":
            from visionthink.data.tables import read_hub

            return read_hub(options, limits)
        case "parquet" | "disk" | "released":
            from visionthink.data.tables import read_parquet, read_saved

            read = read_parquet if layout == "parquet" else read_saved
            return read(_local(options), options, limits)


def guess_format(path: str | None) -> Format:
    """The layout of the data set at `path`. Raises DataError: there is none, or it is unknown."""
    if path is None or path == MINI:
        return "mini"
    place = Path(path)
    if place.is_dir():
        if any((place / name).is_file() for name in SAVED):
            return "disk"
        if any(place.glob("*.parquet")):
            return "parquet"
        if any(place.glob("metadata.*")) or any(place.glob("*/metadata.*")):
            return "folder"
        raise DataError(
            f"unknown layout of folder {path!r}: it holds neither {' nor '.join(SAVED)}, Parquet "
            f"files, nor {' or '.join(METADATA)}; set format"
        )
    if not place.exists():
        raise DataError(
            f"there is no data set {path!r}; check the path, or set format: hub for one of the hub"
        )
    match place.suffix.lower():
        case ".jsonl" | ".ndjson" | ".json":
            return "jsonl"
        case ".parquet":
            return "parquet"
        case _:
            raise DataError(
                f"unknown format of {path!r}; give a .jsonl or .parquet file, or set format"
            )


def _local(options: DataOptions) -> Path:
    path = Path(options.path or "")
    if options.path is None or not path.exists():
        raise DataError(f"there is no data set {options.path!r}; check the path")
    return path


def _refuse(options: DataOptions, layout: Format) -> None:
    """Raise UsageError for an option that would have no effect."""
    idle = NOT_MINI if layout == "mini" else ONLY_MINI
    wrong = [name for name in idle if name in options.model_fields_set]
    if layout == "jsonl" and options.split is not None:
        wrong.append("split")
    if layout == "released" and "columns" in options.model_fields_set:
        wrong.append("columns")
    if layout == "mini" and options.path not in (None, MINI):
        wrong.append("path")
    if wrong:
        raise UsageError(
            f"{', '.join(wrong)} {'does' if len(wrong) == 1 else 'do'} not go with data of format "
            f"{layout!r}; leave {'it' if len(wrong) == 1 else 'them'} out (if a preset says so: "
            "--set 'data={path: PATH}' replaces all its options of data)"
        )
