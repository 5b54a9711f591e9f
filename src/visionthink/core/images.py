"""Images: open them safely, and make the views of them that a model is shown.

`core.families` decides how pixels become visual tokens, through the `Grid` interface. Sizes are
(width, height) in pixels throughout.
"""

from __future__ import annotations

import base64
import io
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from visionthink.core.errors import ImageError
from visionthink.core.image_files import (
    SENT_COPIES,
    TURNS,
    Decode,
    ImageFile,
    Refusal,
    decoded,
    no_warnings,
    strips,
)
from visionthink.core.image_headers import ORIENTATION, HeaderError, read_header

Size = tuple[int, int]
Cells = tuple[int, int]
"""Columns and rows of the visual tokens of one image."""
Pixels = tuple[int, int, int, int]
"""left, top, right, bottom of a part of an image, in px."""

MAX_ASPECT = 200.0  # long side / short side; the Qwen-VL image processors refuse longer strips

# The only decoders that unknown bytes may reach. Pillow's "JPEG" covers phones' MPO as well.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp")
_GIVE = "give a PNG, JPEG, WebP, GIF, TIFF or BMP file"
_MIMES = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"RIFF", "image/webp"))


@dataclass(frozen=True)
class Limits:
    """How large an image may be: encoded bytes, decoded pixels, long side over short side."""

    max_bytes: int = 50 * 2**20
    max_pixels: int = 100_000_000
    max_aspect: float = MAX_ASPECT


DEFAULT_LIMITS = Limits()


class Grid(Protocol):
    """How a model turns images into visual tokens: its family's rule, with a checkpoint's bounds.

    `budget` is the most visual tokens that an image may take, for families that accept such a limit
    with each image; the others ignore it.
    """

    def cells(self, size: Size, budget: int | None = None) -> Cells:
        """Columns and rows of an image's visual tokens; (count, 1) if they form no rectangle.

        Raises:
            ImageError: the family cannot take an image of this shape.
        """
        ...

    def seen_size(self, size: Size, budget: int | None = None) -> Size:
        """The size at which the model sees an image: its own, unless that is beyond its limits."""
        ...

    def first_look(self, size: Size) -> tuple[Size, int | None]:
        """Size and budget of the first look at an image: a quarter of the tokens where that can be,
        never more than the original has. Raises as `cells`.
        """
        ...


def visual_tokens(size: Size, grid: Grid) -> int:
    """How many visual tokens a model makes of an image of this size. Raises as `Grid.cells`."""
    return math.prod(grid.cells(size))


def half_size(size: Size, grid: Grid) -> Size:
    """The size of the first look at an image. Raises as `Grid.cells`."""
    return grid.first_look(size)[0]


@dataclass(frozen=True, eq=False)
class Picture:
    """An RGB image, and the bytes that stand for it on the wire.

    Attributes:
        image: mode RGB, upright, without metadata; shape (height, width, 3) as an array.
        source: the original JPEG, PNG or WebP, only if decoding it gives exactly `image`. It keeps
            its metadata (camera, place), and they travel with it.
        name: file name for people, printable; "" if there is none.
        budget: the most visual tokens that it may take; see `Grid`.
    """

    image: Image.Image
    source: bytes | None = field(default=None, repr=False)
    name: str = ""
    budget: int | None = None
    _views: dict[Any, Picture] = field(default_factory=dict[Any, "Picture"], init=False, repr=False)
    _wire: list[tuple[bytes, str]] = field(
        default_factory=list[tuple[bytes, str]], init=False, repr=False
    )

    @property
    def size(self) -> Size:
        return self.image.size

    @property
    def memory(self) -> int:
        """Bytes that it takes with its views, as pixels and as it is sent; a PNG that is not made
        yet has at most about 3.1 bytes a pixel.
        """
        pixels = math.prod(self.size)
        encoded = len(self._wire[0][0]) if self._wire else len(self.source or b"") or 3.1 * pixels
        views = sum(view.memory for view in self._views.values())
        return int(4 * pixels + SENT_COPIES * encoded) + views

    def encoded(self) -> tuple[bytes, str]:
        """The bytes to send and their MIME type: `source` as it is, else a PNG.

        Encoded once: the same bytes go out in every turn, so that prefix caches hit.
        """
        # Before Python 3.12 a cached_property would have all images wait for one another.
        if not self._wire:
            self._wire.append(self._encode())
        return self._wire[0]

    def cells(self, grid: Grid) -> Cells:
        """Columns and rows of its visual tokens. Raises as `Grid.cells`."""
        return grid.cells(self.size, self.budget)

    def view(self, size: Size, part: Pixels | None = None, budget: int | None = None) -> Picture:
        """The image, or a part of it, resized to `size` with LANCZOS; this picture if it is that.

        Made once, so that servers can make it early, where the work blocks nobody.
        """
        if part is None and (size, budget) == (self.size, self.budget):
            return self
        key = part, size, budget
        if key not in self._views:
            resized = self.image.resize(size, Image.Resampling.LANCZOS, box=part)
            self._views[key] = Picture(resized, name=self.name, budget=budget)
        return self._views[key]

    def view_of(self, view: Picture) -> tuple[Pixels | None, Size, int | None] | None:
        """The part, size and budget that `view` was made with; None if it is this picture."""
        if view is self:
            return None
        return next(key for key, made in self._views.items() if made is view)

    def data_url(self) -> str:
        data, mime = self.encoded()
        return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"

    def _encode(self) -> tuple[bytes, str]:
        if source := self.source:
            return source, next(mime for start, mime in _MIMES if source.startswith(start))
        buffer = io.BytesIO()
        # Level 4 gives photos the size of the default 6, in a third of the time.
        self.image.save(buffer, "PNG", compress_level=4)
        return buffer.getvalue(), "image/png"


def half_view(picture: Picture, grid: Grid) -> Picture:
    """The first look at `picture`, as `Grid.first_look` says; itself if there is no smaller one.

    Raises:
        ImageError: as `Grid.cells`.
    """
    size, budget = grid.first_look(picture.size)
    return picture.view(size, budget=budget)


def open_picture(
    source: str | os.PathLike[str] | bytes | Image.Image | Picture, limits: Limits = DEFAULT_LIMITS
) -> Picture:
    """Read an image, first frame only, and make it upright RGB with transparency on white.

    Args:
        source: path, encoded bytes, PIL image (copied), or Picture (returned, if within `limits`).
        limits: checked before the file is read (bytes) and before it is decoded (pixels, sides).

    Raises:
        ImageError: the image is missing, unreadable, damaged, too large or of an unknown kind. One
            line, whatever the file is called and whatever it holds.
    """
    name, what = _names(source)
    try:
        if isinstance(source, Picture):
            _check_size(source.size, limits)
            return source
        if isinstance(source, Image.Image):
            return _copied(source, name, limits)
        data = source if isinstance(source, bytes) else _read(source, limits)
        return _picture(_checked(data, name, limits))
    except Exception as error:  # on junk, Pillow's decoders raise nearly anything
        came, advice = _explain(error, limits)
        raise ImageError(f"cannot read {what}: {came}; {advice}") from error


def check_image(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ImageFile:
    """Read no more than the header of an encoded image.

    Raises:
        ImageError: as `open_picture`.
    """
    try:
        return _checked(data, "", limits)
    except Exception as error:
        came, advice = _explain(error, limits)
        raise ImageError(f"cannot read an image given as bytes: {came}; {advice}") from error


def decode_image(file: ImageFile, decode: Decode = decoded) -> Picture:
    """Decode a file that `check_image` found good, with `decode`.

    Raises:
        ImageError: it is damaged.
    """
    try:
        return _picture(file, decode)
    except Exception as error:
        came, advice = _explain(error, DEFAULT_LIMITS)
        raise ImageError(f"cannot read an image given as bytes: {came}; {advice}") from error


def _explain(error: Exception, limits: Limits) -> tuple[str, str]:
    if isinstance(error, Refusal):
        came, advice = error.args
        return came, advice
    if isinstance(error, MemoryError):
        return "decoding it needs more memory than there is", "shrink it"
    if isinstance(error, HeaderError):
        return f"it is damaged or cut short ({error})", "get a complete copy of it"
    if isinstance(error, Image.DecompressionBombError):
        most = min(limits.max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or limits.max_pixels))
        return f"it has more than {most:,} pixels", "shrink it"
    detail = _printable(str(error) or type(error).__name__)
    return f"it is damaged or cut short ({detail})", "get a complete copy of it"


def _names(source: object) -> tuple[str, str]:
    """The file name for people ("" if none), and what to call the image in an error."""
    if isinstance(source, Picture):
        return source.name, f"image '{_printable(source.name)}'" if source.name else "an image"
    if isinstance(source, str | os.PathLike):
        path = os.fsdecode(source)  # pyright: ignore[reportUnknownArgumentType] -- of any PathLike
        return _printable(os.path.basename(path)), f"image '{_printable(path)}'"
    return "", "an image given as bytes" if isinstance(source, bytes) else "an image"


def _printable(text: str) -> str:
    """`text` on one line: control characters and the like escaped, the middle of a long one cut."""
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= 250 else f"{text[:100]}…{text[-149:]}"


def _read(path: str | os.PathLike[str], limits: Limits) -> bytes:
    """A regular file's bytes, at most one more than the limit; other kinds (pipes) would block."""
    try:
        status = os.stat(os.fspath(path))
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
            raise Refusal(f"it is {kind}", _GIVE)
        _check_bytes(status.st_size, limits)
        with open(path, "rb") as file:
            return file.read(limits.max_bytes + 1)
    except FileNotFoundError as error:
        raise Refusal("there is no such file", "check the path (URLs are not fetched)") from error
    except PermissionError as error:
        raise Refusal("permission to read it is denied", "change its permissions") from error
    except OSError as error:
        raise Refusal(error.strerror or "it cannot be opened", "check the path") from error
    except ValueError as error:  # a null character, or what the file system cannot encode
        raise Refusal("this cannot be a path", "check the path") from error
    except TypeError as error:
        advice = "give a path, bytes or a PIL image"
        raise Refusal(f"it is of type {type(path).__name__}", advice) from error


def _check_bytes(count: int, limits: Limits) -> None:
    if count > limits.max_bytes:
        came = f"it has more than {limits.max_bytes:,} bytes"
        raise Refusal(came, "shrink it or compress it more")


def _check_size(size: Size, limits: Limits) -> None:
    if problem := shape_problem(size, limits.max_aspect):
        raise Refusal(problem, "crop or pad it")
    if math.prod(size) > limits.max_pixels:
        came = f"it has {size[0]:,} x {size[1]:,} pixels, more than {limits.max_pixels:,}"
        raise Refusal(came, "shrink it")


def shape_problem(size: Size, max_aspect: float) -> str | None:
    short, long = sorted(size)
    if short < 1:
        return f"it has no pixels ({size[0]} x {size[1]})"
    if long / short > max_aspect:
        return f"it has {size[0]:,} x {size[1]:,} pixels, a longer strip than {max_aspect:g}:1"
    return None


def _checked(data: bytes, name: str, limits: Limits) -> ImageFile:
    if not data:
        raise Refusal("it is empty (0 bytes)", _GIVE)
    _check_bytes(len(data), limits)
    with no_warnings():  # of odd metadata
        header = read_header(data)
    if header is None:
        raise Refusal(f"it does not hold an image (it starts {data[:12]!r})", _GIVE)
    _check_size(header.size, limits)
    return ImageFile(data, header, name)


def _picture(file: ImageFile, decode: Decode = decoded) -> Picture:
    """Decode, and keep the file if every decoder makes the same image of it."""
    with decode(file) as found:
        image = found.whole or _joined(found.strips, found.size)
    image = _upright(image, file.header.orientation)
    return Picture(image, file.source if file.is_plain and found.plain else None, file.name)


def _copied(image: Image.Image, name: str, limits: Limits) -> Picture:
    """The picture of an open image, which stays as it is."""
    _check_size(image.size, limits)
    with no_warnings():
        image.load()
        try:
            orientation = image.getexif().get(ORIENTATION, 1)
        except Exception:  # broken metadata raise nearly anything, and the pixels are still good
            orientation = 0
    return Picture(_upright(_joined(strips(image), image.size), orientation), name=name)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _joined(strips: Iterator[Image.Image], size: Size) -> Image.Image:
    # Not filled: that would hold the interpreter while all of it is mapped.
    whole, top = Image.new("RGB", size, None), 0
    for strip in strips:
        whole.paste(strip, (0, top))
        top += strip.height
    return whole
