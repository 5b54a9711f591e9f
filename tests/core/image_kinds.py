"""Large files of every format and mode that is read, and the memory that decoding each one takes.

As a program it prints, for each kind, the bytes that are charged and those that are used.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from visionthink.core.image_files import decoded
from visionthink.core.images import Limits, check_image, decode_image

SIDE = int(os.environ.get("SIDE", "2000"))
ImageFile.MAXBLOCK = 2**26  # else noise is too much for Pillow's encoder


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode: str) -> Image.Image:
    random = np.random.default_rng(0)
    pixels = Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8), "RGBA")
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16))
    if mode in ("I", "F"):
        kind = np.int32 if mode == "I" else np.float32
        return Image.fromarray(random.integers(0, 1000, (SIDE, SIDE)).astype(kind))
    return pixels if mode == "RGBA" else pixels.convert("RGB").convert(mode)


def png(depth: int, colour: int, channels: int, *, interlaced: bool = False) -> bytes:
    """A PNG written by hand: Pillow does not write what we want to read."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    def rows() -> Iterator[bytes]:
        passes = [(0, 1, 1)]
        if interlaced:  # first row, step of rows, step of columns; nearly as many as needed
            passes = [(0, 8, 8), (0, 8, 8), (4, 8, 4), (0, 4, 4), (2, 4, 2), (0, 2, 2), (1, 2, 1)]
        for start, step, across in passes:
            width = -(-SIDE // across)
            for _ in range(start, SIDE, step):
                yield bytes(1 + width * channels * depth // 8)

    head = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, interlaced)
    body = chunk(b"IHDR", head)
    if colour == 3:
        body += chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(256))
    data = zlib.compress(b"".join(rows()))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def rotated() -> bytes:
    tags = Image.Exif()
    tags[0x0112] = 6
    return saved(noise("RGB"), "JPEG", exif=tags.tobytes())


def frames(kind: str) -> bytes:
    first = noise("RGB")
    return saved(first, kind, save_all=True, append_images=[first.transpose(0)])  # pyright: ignore[reportArgumentType]


KINDS: dict[str, Callable[[], bytes]] = {
    **{f"JPEG {mode}": lambda mode=mode: saved(noise(mode), "JPEG") for mode in ("L", "RGB")},
    "JPEG CMYK": lambda: saved(noise("CMYK"), "JPEG"),
    "JPEG progressive": lambda: saved(noise("RGB"), "JPEG", progressive=True),
    "JPEG progressive 4:4:4": lambda: saved(
        noise("RGB"), "JPEG", progressive=True, subsampling=0, quality=95
    ),
    "JPEG progressive CMYK": lambda: saved(noise("CMYK"), "JPEG", progressive=True, quality=95),
    "JPEG turned": rotated,
    **{
        f"PNG {mode}": lambda mode=mode: saved(noise(mode), "PNG", compress_level=1)
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    },
    "PNG RGB 16": lambda: png(16, 2, 3),
    "PNG RGBA 16 interlaced": lambda: png(16, 6, 4, interlaced=True),
    "PNG palette, transparent": lambda: png(8, 3, 1),
    "PNG RGB, one transparent colour": lambda: saved(
        noise("RGB"), "PNG", transparency=(1, 2, 3), compress_level=1
    ),
    "PNG of several frames": lambda: frames("PNG"),
    **{
        f"WEBP {mode}{' lossless' * lossless}": lambda mode=mode, lossless=lossless: saved(
            noise(mode), "WEBP", lossless=lossless, quality=30, method=0
        )
        for mode in ("RGB", "RGBA")
        for lossless in (False, True)
    },
    "WEBP of several frames": lambda: frames("WEBP"),
    "GIF": lambda: saved(noise("P"), "GIF"),
    "GIF, transparent": lambda: saved(noise("P"), "GIF", transparency=3),
    "GIF, interlaced": lambda: saved(noise("P"), "GIF", interlace=True),
    **{
        f"TIFF {mode} {how}": lambda mode=mode, how=how: saved(noise(mode), "TIFF", compression=how)
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16")
        for how in ("raw", "tiff_lzw")
    },
    "TIFF one strip": lambda: saved(
        noise("RGBA"), "TIFF", compression="tiff_deflate", tiffinfo={278: SIDE}
    ),
    "TIFF one strip of floats": lambda: saved(
        noise("F"), "TIFF", compression="tiff_deflate", tiffinfo={278: SIDE}
    ),
    "TIFF LZMA": lambda: saved(noise("RGB").quantize(4).convert("RGB"), "TIFF", compression="lzma"),
    "TIFF JPEG": lambda: saved(noise("RGB"), "TIFF", compression="jpeg", tiffinfo={278: SIDE}),
    "TIFF turned": lambda: saved(noise("RGB"), "TIFF", compression="tiff_lzw", tiffinfo={274: 6}),
    **{
        f"BMP {mode}": lambda mode=mode: saved(noise(mode), "BMP")
        for mode in ("1", "L", "P", "RGB")
    },
    "BMP RGBA": lambda: saved(noise("RGBA"), "BMP"),
}


def used(data: bytes) -> tuple[int, int]:
    """Bytes that are charged for an image, and that decoding it takes at its peak."""
    file = check_image(data, Limits(max_bytes=2**30))
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else memory that was freed before would not count
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    decode_image(file, decoded)
    return file.decoding_bytes, resident("VmHWM") - before


def resident(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    used(saved(Image.new("RGB", (8, 8)), "PNG"))  # loads what all decoding needs
    for name in sys.argv[1:] or KINDS:
        charged, taken = used(KINDS[name]())
        print(f"{name}\t{charged}\t{taken}", flush=True)
