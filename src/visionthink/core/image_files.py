"""Image files: what decoding one takes, and its pixels as RGB."""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visionthink.core.image_headers import Header

_PLAIN_MODES = {"JPEG": ("RGB", "L"), "PNG": ("RGB", "L"), "WEBP": ("RGB",)}
SENT_COPIES = 5
"""How much memory an encoded image takes as it is sent: as bytes, base64 and JSON."""
_BAND = 2**16  # pixels that are converted at once
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation of the EXIF standard → what makes it upright."""
_warnings_lock = threading.Lock()
_quiet: list[AbstractContextManager[Any]] = []  # who silences warnings, once for each thread


class Refusal(Exception):
    """An image that is refused: what came and what to do, without which image it is about."""


@dataclass(frozen=True)
class ImageFile:
    """A file whose header is within the limits; its pixels are not decoded yet.

    Attributes:
        source: the whole file.
        header: what it says, and the part of it that a decoder needs.
        name: file name for people.
    """

    source: bytes = field(repr=False)
    header: Header = field(repr=False)
    name: str = ""

    @property
    def decoding_bytes(self) -> int:
        """Memory that decoding takes at its peak, with the RGB image that comes out."""
        header = self.header
        turned = 4 if header.orientation in TURNS else 0
        further = max(0 if header.is_rgb else 4, turned)
        return int(header.pixels * (header.working + further)) + len(header.data)

    @property
    def open_bytes(self) -> int:
        """Memory of the picture, of its first look and of both as they are sent: a PNG takes at
        most about 3 bytes a pixel, and a message is held as bytes, base64 and JSON.
        """
        pixels = self.header.pixels
        encoded = len(self.source) if self.is_plain else 3.1 * pixels
        return int(5 * pixels + SENT_COPIES * (0.8 * pixels + encoded))

    @property
    def is_plain(self) -> bool:
        """Whether every decoder makes the same image of it, as far as its header says."""
        header = self.header
        return (
            header.format in _PLAIN_MODES
            and header.orientation == 1
            and not header.frames
            # Decoders differ in rounding 16 bits to 8.
            and header.depth == 8
        )


@dataclass(frozen=True)
class Decoded:
    """A decoded file, or one that another process decodes.

    Attributes:
        size: as decoded.
        plain: whether its colours are stored as every decoder shows them.
        strips: RGB, from top to bottom.
        whole: all of it, where that takes no further memory.
    """

    size: tuple[int, int]
    plain: bool
    strips: Iterator[Image.Image]
    whole: Image.Image | None = None


Decode = Callable[[ImageFile], AbstractContextManager[Decoded]]


@contextmanager
def decoded(file: ImageFile) -> Generator[Decoded]:
    """Decode a file, first frame only. Errors are those of Pillow: any."""
    header = file.header
    with no_warnings():
        image = Image.open(io.BytesIO(header.data), formats=(header.format,))
        with image:
            if image.size != header.size:
                raise Refusal("its header contradicts itself", "get a complete copy of it")
            image.load()
            transparent = image.has_transparency_data
            plain = image.mode in _PLAIN_MODES.get(header.format, ()) and not transparent
            whole = _bare(image) if image.mode == "RGB" and not transparent else None
            yield Decoded(image.size, plain, strips(image, header.white), whole)


def _bare(image: Image.Image) -> Image.Image:
    """The same pixels without metadata that something later might apply again."""
    bare = image._new(image.im)  # pyright: ignore[reportPrivateUsage] -- copy() would double it
    bare.info.clear()
    return bare


def strips(image: Image.Image, white: int | None = None) -> Iterator[Image.Image]:
    """RGB strips of a loaded image; transparency becomes white, and profiles are ignored, as in the
    models' training. `white` is the greatest value of its samples, where the file says it.
    """
    deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
    span = _span(image, white) if deep else None
    for strip in _cut(image):
        yield _to_rgb(strip, span)


def _cut(image: Image.Image) -> Iterator[Image.Image]:
    rows = max(_BAND // image.width, 1)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _to_rgb(image: Image.Image, span: tuple[float, float] | None) -> Image.Image:
    try:
        if span is not None:
            return Image.fromarray(_to_8_bits(image, *span)).convert("RGB")
        if not image.has_transparency_data:
            return image.convert("RGB")
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", image.size, "white")
        rgb.paste(rgba, mask=rgba.getchannel("A"))
        return rgb
    except ValueError as error:  # premultiplied grey (La), for one
        came = f"its colour mode {image.mode} is not supported"
        raise Refusal(came, "convert it to RGB") from error


def _span(image: Image.Image, white: int | None) -> tuple[float, float]:
    """The values that become 0 and 255, of an image of mode "I;16", "I" or "F".

    The greatest value that 16-bit samples can have becomes 255. The 32-bit modes do not say what
    white is: it is taken to be the least of 1 (in "F" only), 255 and 65535 that no sample exceeds;
    if none will do or a sample is negative, the darkest becomes 0 and the brightest 255.
    """
    least, most = math.inf, -math.inf
    for strip in _cut(image):
        values = _finite(strip)
        least, most = min(least, float(values.min())), max(most, float(values.max()))
    if image.mode.startswith("I;16"):
        return 0.0, float(white if white and white >= most else 65535)
    if least >= 0 and most <= 65535:
        whites = (1, 255, 65535) if image.mode == "F" else (255, 65535)
        return 0.0, float(next(top for top in whites if top >= most))
    return least, most


def _finite(image: Image.Image) -> NDArray[np.float64]:
    """Samples, shape (height, width); NaN and infinity count as 0."""
    return np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)


def _to_8_bits(image: Image.Image, black: float, white: float) -> NDArray[np.uint8]:
    """Grey in 0..255, shape (height, width); a sample value marked transparent becomes white."""
    values = _finite(image)
    result = np.rint((values - black) * 255 / max(white - black, 1e-30)).astype(np.uint8)
    if "transparency" in image.info:
        result[values == image.info["transparency"]] = 255
    return result


@contextmanager
def no_warnings() -> Generator[None]:
    """Silence Pillow's warnings (large images, odd metadata): we decide, or raise, ourselves.

    `catch_warnings` changes the whole process: the first thread that is here enters it, the last
    one leaves it.
    """
    with _warnings_lock:
        if not _quiet:
            silence = warnings.catch_warnings()
            silence.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _quiet.append(silence)
        _quiet.append(_quiet[0])
    try:
        yield
    finally:
        with _warnings_lock:
            _quiet.pop()
            if len(_quiet) == 1:
                _quiet.pop().__exit__(None, None, None)
