"""What an attacker sends: bodies and images that cost a server much more than their sender.

Sizes are parameters: tests use small ones, `bench/gateway.py` those of the attacks as first seen.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

MIB = 2**20


# Bodies


def empty_objects(size: int) -> bytes:
    """A message of parts that are no parts."""
    return b'{"model":"m","messages":[{"role":"user","content":[' + _many(b"{}", size) + b"]}]}"


def empty_texts(size: int) -> bytes:
    """A message of valid parts without a word."""
    parts = _many(b'{"type":"text","text":""}', size)
    return b'{"model":"m","messages":[{"role":"user","content":[' + parts + b"]}]}"


def many_messages(size: int) -> bytes:
    messages = _many(b'{"role":"user","content":"?"}', size)
    return b'{"model":"m","messages":[' + messages + b"]}"


def wide(size: int, value: bytes = b"0", field: bytes = b"metadata") -> bytes:
    """A field that holds a long list."""
    return b'{"model":"m","messages":[],"' + field + b'":[' + _many(value, size) + b"]}"


def many_fields(size: int) -> bytes:
    return b"{" + b",".join(b'"f%d":0' % number for number in range(size // 10)) + b"}"


def deep(size: int) -> bytes:
    return b'{"metadata":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}"


def long_number(size: int) -> bytes:
    return b'{"model":"m","seed":' + b"1" * size + b"}"


def emoji(size: int) -> bytes:
    """One character that makes each of the others take four bytes."""
    text = b"a" * size + "\U0001f600".encode()
    return b'{"model":"m","messages":[{"role":"user","content":"' + text + b'"}]}'


def _many(item: bytes, size: int) -> bytes:
    return b",".join([item] * (size // (len(item) + 1)))


BODIES: dict[str, Callable[[int], bytes]] = {
    "parts that are empty objects": empty_objects,
    "parts that are empty texts": empty_texts,
    "many messages": many_messages,
    "a wide field": wide,
    "a wide field of objects": lambda size: wide(size, b'{"a":[]}', b"tools"),
    "a wide field of texts": lambda size: wide(size, b'""', b"stop"),
    "many fields": many_fields,
    "deep lists": deep,
    "a long number": long_number,
    "an emoji in a long text": emoji,
}


# Images: long headers


def jpeg(width: int = 40, height: int = 40, **options: Any) -> bytes:
    return encoded(Image.new("RGB", (width, height), "red"), "JPEG", **options)


def jpeg_fill(size: int) -> bytes:
    """Fill bytes between two markers, as many as the standard allows: any number."""
    file = jpeg()
    return file[:2] + b"\xff" * size + file[2:]


def jpeg_comments(size: int) -> bytes:
    file = jpeg()
    return file[:2] + b"\xff\xfe\x00\x02" * (size // 4) + file[2:]


def jpeg_metadata(size: int) -> bytes:
    """EXIF in many segments, which readers join."""
    file, segment = jpeg(), b"Exif\0\0" + bytes(65_000)
    piece = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    return file[:2] + piece * (size // len(piece)) + file[2:]


def jpeg_tables(size: int) -> bytes:
    """Quantisation tables again and again."""
    file, piece = jpeg(), b"\xff\xdb\x00\x43\x00" + bytes([1] * 64)
    return file[:2] + piece * (size // len(piece)) + file[2:]


def png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png_with(*pieces: bytes) -> bytes:
    """A small PNG with chunks between its header and its pixels."""
    file = encoded(Image.new("RGB", (40, 40), "red"), "PNG")
    return file[:33] + b"".join(pieces) + file[33:]


def png_chunks(size: int) -> bytes:
    return png_with(png_chunk(b"teXt") * (size // 12))


def png_empty_data(size: int) -> bytes:
    return png_with(png_chunk(b"IDAT") * (size // 12))


def png_text_bomb(size: int) -> bytes:
    """A compressed text of zeros, a thousand times as long as its chunk."""
    return png_with(png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(size), 9)))


def png_profile_bomb(size: int) -> bytes:
    return png_with(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(size), 9)))


def webp_chunks(size: int) -> bytes:
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4) + bytes([39, 0, 0, 39, 0, 0])
    body += b"junk\0\0\0\0" * (size // 8)
    body += encoded(Image.new("RGB", (40, 40), "red"), "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_comments(size: int) -> bytes:
    file = encoded(Image.new("P", (40, 40)), "GIF")
    at = file.index(b"\x2c", 13 + 3 * 2 ** ((file[10] & 7) + 1))
    return file[:at] + b"\x21\xfe\x01a\x00" * (size // 5) + file[at:]


def tiff_tags(size: int) -> bytes:
    """One tag that holds most of the file, as a long list of numbers."""
    count = size // 2
    numbers = struct.pack("<HHII", 50_000, 3, count, 8 + 2 + 12 * 9 + 4)
    return _tiff(40, 40, 8, 1, bytes(1600), more=numbers, tail=bytes(2 * count))


LONG_HEADERS: dict[str, Callable[[int], bytes]] = {
    "a JPEG of fill bytes": jpeg_fill,
    "a JPEG of empty comments": jpeg_comments,
    "a JPEG of metadata": jpeg_metadata,
    "a JPEG of tables": jpeg_tables,
    "a PNG of empty chunks": png_chunks,
    "a PNG of empty data": png_empty_data,
    "a PNG with a text that expands": lambda size: png_text_bomb(20 * size),
    "a PNG with a profile that expands": lambda size: png_profile_bomb(20 * size),
    "a WebP of empty chunks": webp_chunks,
    "a GIF of comments": gif_comments,
    "a TIFF with a long tag": tiff_tags,
}


# Images: many pixels in few bytes


def _tiff(
    width: int,
    height: int,
    bits: int,
    compression: int,
    data: bytes,
    *,
    kind: int = 1,
    more: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """A grey TIFF of one strip, written by hand."""
    count = 8 + bool(more)
    at = 8 + 2 + 12 * count + 4 + len(tail)
    tags = (
        *((256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, compression), (262, 3, 1)),
        *((273, 4, at), (279, 4, len(data)), (339, 3, kind)),
    )
    entries = b"".join(struct.pack("<HHII", tag, code, 1, value) for tag, code, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, count)
    return head + entries + more + bytes(4) + tail + data


def tiff_float(width: int, height: int) -> bytes:
    """Deflated zeros of 32 bits."""
    packer, row = zlib.compressobj(9), bytes(4 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return _tiff(width, height, 32, 8, data, kind=3)


def tiff_lzma(width: int, height: int) -> bytes:
    import lzma

    return _tiff(width, height, 8, 34925, lzma.compress(bytes(width * height)))


def webp_claim(width: int, height: int) -> bytes:
    """A lossless WebP of 34 bytes that says how large it is, and little more."""
    size = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", size) + bytes(8)
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def webp(width: int, height: int) -> bytes:
    return encoded(Image.new("RGBA", (width, height), (1, 2, 3, 4)), "WEBP", lossless=True)


def png_16(width: int, height: int) -> bytes:
    """16 bits, grey and transparency, interlaced."""
    packer = zlib.compressobj(9)
    rows = sum(-(-height // step) for step in (8, 8, 8, 4, 4, 2, 2))
    data = b"".join(packer.compress(bytes(1 + 4 * width)) for _ in range(rows)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND")
    )


def jpeg_progressive(width: int, height: int) -> bytes:
    return jpeg(width, height, progressive=True, quality=5)


def jpeg_scans(width: int, height: int, scans: int = 1000) -> bytes:
    """Each of the last scans passes all blocks for a few bytes."""
    file = jpeg_progressive(width, height)
    start = file.rindex(b"\xff\xda")
    return file[:start] + file[start:-2] * scans + file[-2:]


def png_palette(width: int, height: int) -> bytes:
    image = Image.new("P", (width, height))
    image.putpalette([1, 2, 3] * 256)
    return encoded(image, "PNG", transparency=0, optimize=False)


def gif(width: int, height: int) -> bytes:
    return encoded(Image.new("P", (width, height)), "GIF")


def bmp(width: int, height: int) -> bytes:
    """Run-length encoded: rows of one colour."""
    row = b"".join(bytes([min(255, width - x), 1]) for x in range(0, width, 255)) + b"\0\0"
    data = row * height + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 1, 1, 256, 256)
    return (
        b"BM"
        + struct.pack("<IHHI", 54 + 1024 + len(data), 0, 0, 54 + 1024)
        + head
        + bytes(1024)
        + data
    )


MANY_PIXELS: dict[str, Callable[[int, int], bytes]] = {
    "a TIFF of floats": tiff_float,
    "a TIFF of LZMA": tiff_lzma,
    "a WebP that only claims its size": webp_claim,
    "a lossless WebP": webp,
    "an interlaced PNG of 16 bits": png_16,
    "a PNG with a transparent palette": png_palette,
    "a progressive JPEG": jpeg_progressive,
    "a JPEG of many scans": jpeg_scans,
    "a GIF": gif,
    "a run-length encoded BMP": bmp,
}


def noise(width: int, height: int, kind: str = "PNG", **options: Any) -> bytes:
    """An image that no encoding makes small."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind, **options)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# Requests


def asking(*files: bytes, **fields: Any) -> bytes:
    """A question about images."""
    url = "data:image/png;base64,"
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What colour?"}]
    for file in files:
        part = {"url": url + base64.b64encode(file).decode()}
        parts.append({"type": "image_url", "image_url": part})
    messages = [{"role": "user", "content": parts}]
    return json.dumps({"model": "m", "messages": messages} | fields).encode()


def head(length: int, *more: str) -> bytes:
    lines = (
        *("POST /v1/chat/completions HTTP/1.1", "Host: localhost"),
        *("Content-Type: application/json", f"Content-Length: {length}", *more),
    )
    return "\r\n".join([*lines, "", ""]).encode()


def connect(port: int, seconds: float = 30.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=seconds)


def send(port: int, body: bytes) -> socket.socket:
    """A request on a connection of its own; the reply is not read."""
    client = connect(port)
    client.sendall(head(len(body)) + body)
    return client


def status(client: socket.socket) -> int:
    """Of the reply; 0: the connection was closed without one."""
    with client:
        line = client.makefile("rb").readline()
    return int(line.split()[1]) if line else 0
