"""Headers of image files: what a file holds, what decoding it costs, and the part that is needed.

A decoder gets only what makes up the pixels: comments, profiles, text and the like never reach it,
however many or large they are. Each file is scanned once, in a bounded number of steps. Formats:

    JPEG  ITU T.81, Annex B        PNG  W3C PNG 3, section 5      WebP  RFC 9649, section 2
    GIF   GIF89a, section 17       TIFF TIFF 6.0, section 2       BMP   BITMAPINFOHEADER and older
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from PIL import Image

MAX_PIECES: Final = 20_000
"""Segments, chunks or blocks of a file; an encoder that flushes every KB makes as many."""
MAX_SCANS: Final = 100
"""Of a JPEG: each passes all its pixels, however short it is. Encoders make about ten."""
MAX_SCANNED: Final = 10**9
"""Pixels of all scans of a JPEG with unusually many."""
MAX_TAG_BYTES: Final = 2**20
"""Of one TIFF tag; 100,000 strips need 800 KB for their places."""
MAX_RUNS_BYTES: Final = 2 * 2**20
"""Of a run-length encoded BMP, which Pillow decodes slowly."""
MAX_EXIF_BYTES: Final = 2**16
ORIENTATION: Final = 0x0112  # the EXIF and TIFF tag


class HeaderError(ValueError):
    """A file whose header is damaged or longer than any encoder makes it."""


@dataclass(frozen=True)
class Header:
    """What the beginning of a file says, all of it unverified until the file is decoded.

    Attributes:
        format: Pillow's name of the format.
        size: width and height, as stored.
        data: the file without all that is not needed.
        working: bytes a pixel that decoding takes, the decoded image included.
        mode_bytes: bytes a pixel of the decoded image, in the decoder's mode.
        orientation: of the EXIF standard; 0 where it is damaged.
        frames: whether there are more than one.
        depth: bits of a sample.
        white: the greatest value of a sample, where the file says it.
        is_rgb: whether it is decoded as RGB, so that it needs no conversion.
    """

    format: str
    size: tuple[int, int]
    data: bytes
    working: float
    mode_bytes: int
    orientation: int = 1
    frames: bool = False
    depth: int = 8
    white: int | None = None
    is_rgb: bool = False

    @property
    def pixels(self) -> int:
        return math.prod(self.size)


def read_header(data: bytes) -> Header | None:
    """The header of an image file; None: of no format that we know.

    Raises:
        HeaderError: see there.
    """
    read = next((read for start, read in _READERS.items() if data.startswith(start)), None)
    if read is None or (read is _webp and data[8:12] != b"WEBP"):
        return None
    try:
        return read(data)
    except (struct.error, IndexError):
        raise HeaderError("it ends within its header") from None


def _bounded(count: int) -> int:
    """The next piece's number."""
    if count >= MAX_PIECES:
        raise HeaderError(f"its header has more than {MAX_PIECES:,} pieces")
    return count + 1


# JPEG

_FILL = re.compile(rb"\xff+")
_NO_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
_NEEDED = frozenset((0xC4, 0xCC, 0xDB, 0xDD))  # tables and the restart interval
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg(data: bytes) -> Header:
    at, count, kept = 2, 0, [data[:2]]
    size, components, sequential = (0, 0), b"", False
    orientation, more = 1, False
    while True:
        count = _bounded(count)
        match = _FILL.search(data, at)
        if match is None:
            raise HeaderError("it ends within its header")
        at = match.end()
        marker = data[at]
        at += 1
        if marker in _NO_LENGTH:
            continue
        if marker == 0xD9:
            raise HeaderError("it ends within its header")
        (length,) = struct.unpack_from(">H", data, at)
        body = data[at + 2 : at + length]
        if length < 2 or len(body) < length - 2:
            raise HeaderError("it ends within its header")
        piece = bytes((0xFF, marker)) + data[at : at + length]
        if marker in _FRAMES:
            height, width, number = struct.unpack_from(">HHB", body, 1)
            size, components = (width, height), body[6 : 6 + 3 * number]
            sequential = marker in (0xC0, 0xC1, 0xC9)
            kept.append(piece)
        elif (
            marker in _NEEDED
            or (marker == 0xE0 and body[:4] == b"JFIF")
            or (marker == 0xEE and body[:5] == b"Adobe")
        ):
            kept.append(piece)
        elif marker == 0xE1 and body[:6] == b"Exif\0\0" and orientation == 1:
            orientation = _orientation(body[6:])
        elif marker == 0xE2 and body[:4] == b"MPF\0":
            more = True
        elif marker == 0xDA:
            break
        at += length
    # Nothing but an end of the image looks like one in the pixels' code.
    end = data.find(b"\xff\xd9", at)
    end = len(data) if end < 0 else end + 2
    scans = data.count(b"\xff\xda", at, end) + 1
    if scans > MAX_SCANS or (scans > 10 and scans * math.prod(size) > MAX_SCANNED):
        raise HeaderError(f"it has {scans:,} scans")
    number = len(components) // 3
    working = float(_JPEG_BYTES.get(number, 4))
    if not sequential or scans > 1:
        working += 2 * _sampled(components)  # the coefficients of the whole image
    kept.append(b"\xff\xda" + data[at:end])
    joined = b"".join(kept)
    return Header(
        *("JPEG", size, joined, working, _JPEG_BYTES.get(number, 4)),
        *(orientation, more, 8, None, number == 3),
    )


_JPEG_BYTES = {1: 1}


def _sampled(components: bytes) -> float:
    """Samples a pixel, of all components together."""
    factors = [(part >> 4) * (part & 15) for part in components[1::3]]
    return sum(factors) / max(*factors, 1) if factors else 4.0


def _orientation(exif: bytes) -> int:
    """Of an EXIF block; 0 if it is damaged: the pixels are still good."""
    try:
        tags = Image.Exif()
        tags.load(exif[:MAX_EXIF_BYTES])
        found = tags.get(ORIENTATION, 1)
    except Exception:  # broken metadata raise nearly anything
        return 0
    return found if isinstance(found, int) else 0


# PNG

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def _png(data: bytes) -> Header:
    width, height, depth, colour, _, _, _ = struct.unpack_from(">IIBBBBB", data, 16)
    if data[12:16] != b"IHDR" or colour not in _PNG_CHANNELS:
        raise HeaderError("its header is not valid")
    kept: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    frames = False
    for kind, start, end in _png_chunks(data):
        if kind == b"acTL":
            frames = True
        if kind not in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf"):
            continue
        body = data[start:end]
        (crc,) = struct.unpack_from(">I", data, end)
        if crc != zlib.crc32(body, zlib.crc32(kind)):
            if kind[0] & 0x20:  # ancillary: the image is good without it
                continue
            raise HeaderError("a checksum is wrong")
        if kind == b"IDAT":
            pixels.append(body)
        elif len(body) <= MAX_EXIF_BYTES:
            kept.setdefault(kind, body)
    orientation = _orientation(b"Exif\0\0" + kept.pop(b"eXIf")) if b"eXIf" in kept else 1
    mode_bytes = (2 if depth == 16 else 1) if colour in (0, 3) else 4
    chunks = [*((kind, body) for kind, body in kept.items()), (b"IDAT", b"".join(pixels))]
    if not pixels:
        raise HeaderError("it holds no pixels")
    joined = data[:8] + b"".join(_png_chunk(*each) for each in (*chunks, (b"IEND", b"")))
    return Header(
        *("PNG", (width, height), joined, float(mode_bytes), mode_bytes),
        *(orientation, frames, depth, None, colour == 2 and b"tRNS" not in kept),
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk; of the last, what there is."""
    at, count = 8, 0
    while at + 8 <= len(data):
        count = _bounded(count)
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if kind == b"IEND":
            return
        if end + 4 > len(data):
            if kind == b"IDAT":
                raise HeaderError("it ends within its pixels")
            return
        yield kind, at + 8, end
        at = end + 4


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(body, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", crc)))


# WebP


def _webp(data: bytes) -> Header:
    """Both canvases of libwebp, its pixels, Pillow's copy and the image: 4 bytes a pixel each."""
    at, count = 12, 0
    size: tuple[int, int] | None = None
    orientation, frames = 1, False
    while at + 8 <= len(data):
        count = _bounded(count)
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + min(length, 64)]
        if kind == b"VP8X":
            frames = bool(body[0] & 2)
            wide, high = (int.from_bytes(body[place : place + 3], "little") for place in (4, 7))
            size = size or (wide + 1, high + 1)
        elif kind == b"VP8 ":
            wide, high = struct.unpack_from("<HH", body, 6)
            size = size or (wide & 0x3FFF, high & 0x3FFF)
        elif kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", body, 1)
            size = size or ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        elif kind == b"EXIF":
            start = at + 8
            orientation = _orientation(data[start : start + min(length, MAX_EXIF_BYTES)])
        at += 8 + length + length % 2
    if size is None:
        raise HeaderError("it holds no image")
    return Header("WEBP", size, data, 20.0, 4, orientation, frames)


# GIF


MAX_GIF_BLOCKS = 100_000
"""Blocks of a frame, each of at most 255 bytes, that are skipped to see whether another follows."""


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, count = 13 + _colours(flags), 0
    kept = [data[:at]]
    control = b""
    while True:
        count = _bounded(count)
        kind = data[at]
        if kind == 0x2C:
            break
        if kind != 0x21:
            raise HeaderError("it holds no image")
        start, at = at, at + 2
        while step := data[at]:
            count = _bounded(count)
            at += 1 + step
        at += 1
        if data[start + 1] == 0xF9:  # the frame's transparent colour
            control = data[start:at]
    left, top, wide, high = struct.unpack_from("<HHHH", data, at + 1)
    kept += [control, data[at:]]
    size = (max(width, left + wide), max(height, top + high))
    frames = _another_frame(data, at + 10 + _colours(data[at + 9]) + 1)
    return Header("GIF", size, b"".join(kept), 3.0, 1, frames=frames)


def _another_frame(data: bytes, at: int) -> bool:
    """Whether a GIF goes on after the blocks of a frame that begin at `at`."""
    for _ in range(MAX_GIF_BLOCKS):
        step = data[at] if at < len(data) else 0
        if step == 0:
            return data.startswith((b"\x2c", b"\x21\xf9"), at + 1)
        at += 1 + step
    return False


def _colours(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


# TIFF

_TIFF_SIZES = {
    13: 4,
    16: 8,
    17: 8,
    18: 8,
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
}
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TIFF_NEEDED = frozenset(
    (
        *(254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 281, 284, 292, 293),
        *(317, 320, 322, 323, 324, 325, 332, 338, 339, 347, 512, 513, 514, 529, 530, 531, 532),
    )
)


def _tiff(data: bytes) -> Header:
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    big = version == 43
    number, width_of_entry, inline = ("Q", 20, 8) if big else ("I", 12, 4)
    (at,) = struct.unpack_from(order + number, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    if count > 1000:
        raise HeaderError("its header has more than 1,000 tags")
    first = at + (8 if big else 2)
    kept: list[bytes] = []
    values: dict[int, tuple[int, ...]] = {}
    for place in range(first, first + width_of_entry * count, width_of_entry):
        entry = data[place : place + width_of_entry]
        tag, kind, amount = struct.unpack_from(order + "HH" + number, entry)
        if tag not in _TIFF_NEEDED:
            continue
        size = _TIFF_SIZES.get(kind, 1) * amount
        if size > MAX_TAG_BYTES:
            raise HeaderError(f"its tag {tag} has {size:,} bytes")
        kept.append(entry)
        if kind in _TIFF_NUMBERS and amount <= 8:
            source, start = (entry, width_of_entry - inline) if size <= inline else (data, None)
            if start is None:
                (start,) = struct.unpack_from(order + number, entry, width_of_entry - inline)
            values[tag] = struct.unpack_from(f"{order}{amount}{_TIFF_NUMBERS[kind]}", source, start)
    (following,) = struct.unpack_from(order + number, data, first + width_of_entry * count)
    directory = struct.pack(order + ("Q" if big else "H"), len(kept)) + b"".join(kept)
    directory += bytes(inline)  # no further image
    joined = data[:at] + directory + data[at + len(directory) :]
    return _tiff_header(joined, values, following != 0)


def _tiff_header(data: bytes, values: Mapping[int, tuple[int, ...]], frames: bool) -> Header:
    def one(tag: int, default: int) -> int:
        return values.get(tag, (default,))[0]

    samples = max(one(277, 1), len(values.get(258, ())))
    bits = max(values.get(258, (1,)), default=1)
    if samples * bits > 64:
        raise HeaderError(f"it has {samples} samples of {bits} bits")
    one_byte = samples == 1 and bits <= 8
    two_bytes = samples == 1 and bits <= 16 and one(339, 1) == 1
    mode_bytes = 1 if one_byte else 2 if two_bytes else 4
    orientation = one(274, 1)
    # A strip may be the whole image, and Pillow turns what is not upright itself.
    working = samples * bits / 8 + mode_bytes * (1 if orientation == 1 else 2)
    if one(262, 0) == 6 or one(259, 1) in (6, 7):
        working += 8  # libtiff's own RGBA, and JPEG's coefficients
    white = one(281, 0) if 8 < bits <= 16 else 0
    if 8 < bits < 16:
        white = white or 2**bits - 1
    width, height = one(256, 0), one(257, 0)
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return Header(
        *("TIFF", (width, height), data, working, mode_bytes),
        # Pillow has turned it already.
        *(1 if orientation in range(1, 9) else 0, frames, bits, white or None),
    )


# BMP


def _bmp(data: bytes) -> Header:
    (length,) = struct.unpack_from("<I", data, 14)
    if length == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (1, 2) and len(data) > MAX_RUNS_BYTES:
        raise HeaderError("it is run-length encoded and large")
    mode_bytes = 4 if bits > 8 else 1
    return Header("BMP", (abs(width), abs(height)), data, 2.0 * mode_bytes, mode_bytes)


_READERS = {
    b"\xff\xd8\xff": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"RIFF": _webp,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"II+\0": _tiff,
    b"MM\0+": _tiff,
    b"BM": _bmp,
}
