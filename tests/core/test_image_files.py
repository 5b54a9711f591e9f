"""Files that cost far more than their sender: long headers, and many pixels in few bytes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import image_kinds
from serving import attacks
from visionthink.core.errors import ImageError
from visionthink.core.image_headers import MAX_PIECES, MAX_SCANS
from visionthink.core.images import Limits, check_image, decode_image, open_picture

SIZE = 40_000
SEVERAL = ("JPEG progressive", "PNG I;16", "TIFF F raw")


# Long headers


@pytest.mark.parametrize("name", attacks.LONG_HEADERS)
def test_what_is_long_in_a_header_never_reaches_a_decoder(name: str):
    """libwebp and libtiff look at what they know only, and tables are needed."""
    file = check_image(attacks.LONG_HEADERS[name](SIZE))
    assert len(file.header.data) < 3000 or name in (
        *("a JPEG of tables", "a TIFF with a long tag", "a WebP of empty chunks"),
    )
    assert decode_image(file).size == (40, 40)


@pytest.mark.parametrize(
    "name",
    [
        *("a JPEG of empty comments", "a PNG of empty chunks", "a PNG of empty data"),
        *("a WebP of empty chunks", "a GIF of comments", "a JPEG of tables"),
    ],
)
def test_a_header_of_too_many_pieces_is_refused(name: str):
    with pytest.raises(ImageError, match="its header has more than 20,000 pieces"):
        check_image(attacks.LONG_HEADERS[name](70 * MAX_PIECES))


def test_a_photographs_metadata_does_not_change_its_pixels():
    """A JPEG with EXIF, a colour profile, XMP and comments, as cameras and editors write them."""
    pixels = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8))
    plain, rich = io.BytesIO(), io.BytesIO()
    pixels.save(plain, "JPEG")
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    pixels.save(
        rich, "JPEG", exif=exif, icc_profile=bytes(200_000), comment=b"!" * 60_000, xmp=b"<x/>"
    )
    assert (
        open_picture(rich.getvalue()).image.tobytes()
        == open_picture(plain.getvalue()).image.tobytes()
    )
    assert open_picture(rich.getvalue()).source == rich.getvalue()  # and it travels as it is


def test_a_png_with_a_bad_ancillary_chunk_is_read():
    """Its checksum is wrong; that of the pixels must be right."""
    good = attacks.png_chunk(b"teXt", b"words")
    data = attacks.png_with(good[:-1] + b"\0")
    assert open_picture(data).size == (40, 40)
    end = data.index(b"IEND") - 4
    wrong = bytes([data[end - 1] ^ 1])
    with pytest.raises(ImageError, match="a checksum is wrong"):
        open_picture(data[: end - 1] + wrong + data[end:])


def test_a_jpeg_of_too_many_scans_is_refused():
    assert open_picture(attacks.jpeg_progressive(64, 64)).size == (64, 64)
    with pytest.raises(ImageError, match=f"it has {MAX_SCANS + 10} scans"):
        open_picture(attacks.jpeg_scans(64, 64, MAX_SCANS + 1))


def test_a_tiff_of_12_bits_is_scaled_by_its_depth():
    """Two samples of 12 bits, packed into three bytes: 0 and 4095."""
    data = attacks._tiff(2, 1, 12, 1, b"\x00\x0f\xff")
    assert np.asarray(open_picture(data).image).tolist() == [[[0] * 3, [255] * 3]]


# No lock


def test_opening_an_image_waits_for_no_other():
    """One thread stands in the middle of decoding while another opens an image."""
    file = check_image(attacks.jpeg())
    inside, leave = threading.Event(), threading.Event()

    from visionthink.core import image_files

    def slow(image: object) -> object:
        with image_files.decoded(file) as found:
            inside.set()
            assert leave.wait(60)
            return found

    thread = threading.Thread(target=slow, args=(file,))
    thread.start()
    assert inside.wait(60)
    assert open_picture(attacks.png_with()).size == (40, 40)
    leave.set()
    thread.join()


def test_warnings_are_as_before_once_all_threads_are_done():
    """Many threads silence Pillow's warnings and undo it in any order."""
    before = list(warnings.filters)
    threads = [
        threading.Thread(target=open_picture, args=(attacks.jpeg(100, 100),)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


# Memory


def ratios(*kinds: str, side: int) -> dict[str, float]:
    """Memory that decoding takes over what is charged for it, in a process of its own."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20), "SIDE": str(side)}
    command = [sys.executable, str(Path(image_kinds.__file__)), *kinds]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: int(used) / int(charged) for name, charged, used in rows}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_decoding_takes_at_most_1_3_times_the_memory_that_is_charged():
    found = ratios(*SEVERAL, side=1000)
    assert set(found) == set(SEVERAL)
    assert {name: ratio for name, ratio in found.items() if ratio > 1.3} == {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_decoding_takes_at_most_1_3_times_the_memory_that_is_charged_for_every_kind():
    found = ratios(side=1600)
    assert set(found) == set(image_kinds.KINDS)
    assert {name: ratio for name, ratio in found.items() if ratio > 1.3} == {}


@pytest.mark.parametrize("name", sorted({*attacks.MANY_PIXELS} - {"a JPEG of many scans"}))
def test_what_an_image_costs_is_known_from_its_header(name: str):
    """At least the 4 bytes a pixel of the result, and what its kind takes beyond."""
    data = attacks.MANY_PIXELS[name](400, 300)
    file = check_image(data)
    assert file.header.size == (400, 300)
    assert file.decoding_bytes >= 4 * 400 * 300
    with pytest.raises(ImageError, match="more than 119,999"):
        check_image(data, Limits(max_pixels=119_999))
