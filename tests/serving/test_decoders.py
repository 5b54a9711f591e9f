"""Images that other processes decode: the same pixels, within memory and time."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from core.image_kinds import noise, saved
from serving import attacks
from visionthink.core.errors import ImageError
from visionthink.core.image_files import ImageFile
from visionthink.core.images import check_image, open_picture
from visionthink.serving.decoders import Decoders


@pytest.fixture(scope="module")
def decoders() -> Generator[Decoders]:
    found = Decoders()
    yield found
    found.close()


def small(kind: str, mode: str, **options: object) -> bytes:
    return saved(noise(mode).crop((0, 0, 600, 300)), kind, **options)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", "RGB"), ("JPEG", "RGB"), ("WEBP", "RGB"), ("WEBP", "RGBA"), ("GIF", "P")),
        *(("TIFF", "F"), ("TIFF", "I;16"), ("TIFF", "CMYK"), ("BMP", "RGB")),
    ],
)
def test_the_picture_is_that_of_this_process(decoders: Decoders, kind: str, mode: str):
    data = small(kind, mode)
    ours, theirs = open_picture(data), decoders.decode(check_image(data))
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs.image))
    assert ours.encoded() == theirs.encoded()


def test_many_threads_get_their_own_images(decoders: Decoders):
    files = [attacks.noise(64, 64 + n, "BMP") for n in range(40)]
    with ThreadPoolExecutor(2) as pool:
        pictures = list(pool.map(lambda data: decoders.decode(check_image(data)), files))
    for data, picture in zip(files, pictures, strict=True):
        assert picture.image.tobytes() == open_picture(data).image.tobytes()
    assert len(decoders._idle) <= 2


def test_a_damaged_image_is_refused_and_the_process_goes_on(decoders: Decoders):
    data = small("WEBP", "RGB")
    with pytest.raises(ImageError, match="it is damaged or cut short"):
        decoders.decode(check_image(data[: len(data) // 2]))
    assert decoders.decode(check_image(data)).size == (600, 300)


def needs_more(data: bytes) -> ImageFile:
    """A file whose header claims that decoding takes a fraction of what it does."""
    file = check_image(data)
    return replace(file, header=replace(file.header, working=0.0))


@pytest.mark.skipif("not __import__('pathlib').Path('/proc/self/statm').exists()")
def test_an_image_that_takes_more_memory_than_charged_is_refused(decoders: Decoders):
    """4 million pixels take 80 MB; 4 bytes for each, 1.3 times, and 32 MiB are 55 MB."""
    data = attacks.webp(2000, 2000)
    with pytest.raises(ImageError, match="decoding it needs more memory than there is"):
        decoders.decode(needs_more(data))
    assert decoders.decode(check_image(data)).size == (2000, 2000)


def test_an_image_that_takes_too_long_is_refused():
    decoders = Decoders(seconds=0.0)
    data = attacks.webp(2000, 2000)
    with pytest.raises(ImageError, match="decoding it takes too long; save it as a PNG or JPEG"):
        decoders.decode(check_image(data))
    decoders.seconds = 60.0
    assert decoders.decode(check_image(data)).size == (2000, 2000)
    decoders.close()


def test_the_process_knows_no_keys(decoders: Decoders, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    fresh = Decoders()
    fresh.decode(check_image(small("BMP", "RGB")))
    (process,) = fresh._idle
    with open(f"/proc/{process._process.pid}/environ", "rb") as file:
        assert b"sk-secret" not in file.read()
    fresh.close()
