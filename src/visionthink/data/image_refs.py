"""Image handles: where an image is, and how to read it when it is needed."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from PIL import Image, UnidentifiedImageError

from visionthink.core.errors import ImageError
from visionthink.core.images import FORMATS, Limits, Picture, open_picture

DATA_URL = "data:"


class ImageRef(Protocol):
    """A cheap, picklable handle of one image; it never holds pixels or encoded bytes."""

    @property
    def path(self) -> str | None:
        """The image file; None where the image is not a file of its own."""
        ...

    def open(self, limits: Limits) -> Picture:
        """Read and decode it. Raises ImageError."""
        ...


def changed(file: str, error: Exception) -> ImageError:
    """The error for a file that no longer holds the image found in it at load."""
    return ImageError(
        f"cannot read an image from {file!r}: it has changed since the data was loaded ({error}); "
        "load the data again"
    )


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image file."""

    path: str

    def open(self, limits: Limits) -> Picture:
        return open_picture(self.path, limits)


@dataclass(frozen=True, slots=True)
class LineImage:
    """A base64 data URL in a JSONL file: image `item` of `column` in the line at byte `offset`."""

    file: str
    offset: int
    column: str
    item: int

    @property
    def path(self) -> None:
        return None

    def open(self, limits: Limits) -> Picture:
        try:
            with open(self.file, "rb") as file:
                file.seek(self.offset)
                value: Any = json.loads(file.readline())[self.column]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise changed(self.file, error) from error
        url = value[self.item] if isinstance(value, list) else value
        return open_picture(data_url_bytes(url), limits)


def data_url_bytes(url: str) -> bytes:
    """The bytes in a base64 data URL. Raises ImageError."""
    head, comma, body = url.partition(",")
    if not (comma and head.endswith(";base64")):
        raise ImageError(
            f"an image's data URL must start as data:image/png;base64, does; got {url[:30]!r}"
        )
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"an image's data URL is not valid base64: {error}") from error


def file_problem(path: Path, limits: Limits) -> str | None:
    """What is wrong with an image file, judged by its header; None if nothing is."""
    try:
        if not path.is_file():
            return "there is no such file" if not path.exists() else "it is not a file"
        with path.open("rb") as file:
            return header_problem(file, path.stat().st_size, limits)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "it is not a valid path"


def bytes_problem(data: bytes, limits: Limits) -> str | None:
    """As `file_problem`, of encoded bytes."""
    return header_problem(io.BytesIO(data), len(data), limits)


def header_problem(file: BinaryIO, size: int, limits: Limits) -> str | None:
    """As `file_problem`, of an open binary file of `size` bytes. No pixels are decoded."""
    if size == 0:
        return "it is empty (0 bytes)"
    if size > limits.max_bytes:
        return f"it has more than {limits.max_bytes:,} bytes"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
    except UnidentifiedImageError:
        return "it does not hold an image"
    except Image.DecompressionBombError:
        return f"it has more than {limits.max_pixels:,} pixels"
    except Exception as error:  # on junk, Pillow's readers raise nearly anything
        return f"its header is damaged ({type(error).__name__})"
    short, long = sorted((width, height))
    if short < 1 or width * height > limits.max_pixels:
        return f"it has {width:,} x {height:,} pixels; 1 to {limits.max_pixels:,} are allowed"
    if math.ceil(long / limits.max_aspect) > short:
        return f"it has {width:,} x {height:,} pixels, longer than {limits.max_aspect:g}:1"
    return None
