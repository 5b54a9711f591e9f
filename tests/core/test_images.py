"""Opening images: what comes out of good ones, and one line about each bad one."""

import base64
import contextlib
import io
import os
import pickle
import socket
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from visionthink.core.errors import ImageError
from visionthink.core.families import QWEN2_5_VL, QwenGrid
from visionthink.core.images import Limits, Picture, half_view, open_picture

GIVE = "give a PNG, JPEG, WebP, GIF, TIFF or BMP file"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def photo(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Every pixel of another colour, so that no rotation or crop goes unseen."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 10 % 256, y * 15 % 256, (x * y) % 256], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png(size, depth, color, raw, *chunks) -> bytes:
    """A PNG written by hand: Pillow does not write what we want to read."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
        + [chunk(*pair) for pair in chunks]
        + [chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    )


def pixels(picture: Picture) -> list:
    return np.asarray(picture.image).tolist()


def message(source, limits: Limits | None = None) -> str:
    """The error of `open_picture(source)`: it must be one line."""
    with pytest.raises(ImageError) as caught:
        open_picture(source, limits) if limits else open_picture(source)
    text = str(caught.value)
    assert text.isprintable()
    return text


# What comes out of good images.


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (encode(photo()), "image/png"),
        (encode(photo("L")), "image/png"),
        (encode(photo(), "JPEG"), "image/jpeg"),
        (encode(photo("L"), "JPEG"), "image/jpeg"),
        (encode(photo(), "WEBP", lossless=True), "image/webp"),
        (encode(photo(), "WEBP"), "image/webp"),
    ],
    ids=["png", "png-grey", "jpeg", "jpeg-grey", "webp-lossless", "webp"],
)
def test_plain_files_travel_as_they_are(data, mime):
    picture = open_picture(data)
    assert picture.source is data
    assert picture.encoded() == (data, mime)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert picture.image.tobytes() == expected.tobytes()
    assert picture.image.mode == "RGB"
    assert picture.size == (24, 16)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        encode(photo("RGBA")),
        encode(photo("P")),
        encode(photo("1")),
        encode(photo("CMYK"), "JPEG"),
        encode(photo(), "JPEG", exif=exif(6)),
        encode(photo(), "PNG", exif=exif(3)),
        encode(photo(), "GIF"),
        encode(photo(), "BMP"),
        encode(photo(), "TIFF"),
        encode(photo(), "PNG", save_all=True, append_images=[Image.new("RGB", (24, 16))]),
        encode(photo(), "WEBP", save_all=True, append_images=[Image.new("RGB", (24, 16))]),
        encode(photo(), "MPO", save_all=True, append_images=[Image.new("RGB", (24, 16))]),
        png((1, 1), 16, 2, b"\0" + struct.pack(">3H", 1, 2, 3)),
        png((1, 1), 8, 2, b"\0\1\2\3", (b"tRNS", struct.pack(">3H", 1, 2, 3))),
    ],
    ids=[
        *["rgba", "palette", "1-bit", "cmyk", "exif", "exif-png", "gif", "bmp", "tiff"],
        *["apng", "awebp", "mpo", "rgb16", "trns"],
    ],
)
def test_anything_else_travels_as_the_png_of_what_we_saw(data):
    picture = open_picture(data)
    sent, mime = picture.encoded()
    assert picture.source is None
    assert mime == "image/png"
    assert open_picture(sent).image.tobytes() == picture.image.tobytes()
    assert picture.encoded()[0] is sent  # encoded once


@pytest.mark.parametrize("format", ["PNG", "GIF", "TIFF", "WEBP", "MPO"])
def test_only_the_first_frame_is_read(format):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, BLUE)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    red, green, blue = pixels(open_picture(data))[4][4]
    assert (red > 250, green < 5, blue < 5) == (True, True, True)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (5, [[1, 4], [2, 5], [3, 6]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (7, [[6, 3], [5, 2], [4, 1]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
        (9, [[1, 2, 3], [4, 5, 6]]),  # no such orientation
    ],
)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once(orientation, upright, format):
    """Stored rows are 1 2 3 and 4 5 6; 6 means "turn a quarter clockwise to see it upright"."""
    grey = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)).convert("RGB")
    options = {"lossless": True} if format == "WEBP" else {}
    picture = open_picture(encode(grey, format, exif=exif(orientation), **options))
    assert np.asarray(picture.image)[..., 0].tolist() == upright
    again = open_picture(picture.image)
    assert again.image.tobytes() == picture.image.tobytes()
    assert open_picture(picture.encoded()[0]).size == picture.size


def test_an_image_with_broken_metadata_is_read():
    broken = b"Exif\0\0" + b"II*\0" + b"\xff" * 40
    picture = open_picture(encode(photo(), "JPEG", exif=broken))
    assert picture.size == (24, 16)


def test_transparency_goes_on_white():
    """Half transparent black (alpha 128) over white: 255 * (1 - 128/255) = 127."""
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(255, 0, 0, 255), (0, 0, 0, 128), (0, 0, 255, 0)])
    assert pixels(open_picture(rgba)) == [[[255, 0, 0], [127, 127, 127], [255, 255, 255]]]
    assert pixels(open_picture(encode(rgba))) == pixels(open_picture(rgba))
    grey = Image.new("LA", (2, 1))
    grey.putdata([(9, 255), (9, 0)])
    assert pixels(open_picture(grey)) == [[[9, 9, 9], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # palette: entry 0 half transparent, entry 1 opaque
        (
            png(
                (2, 1), 8, 3, b"\0\0\1", (b"PLTE", bytes((0, 0, 0, *GREEN))), (b"tRNS", b"\x80\xff")
            ),
            [[127, 127, 127], [0, 255, 0]],
        ),
        # RGB, where the colour (1, 2, 3) is transparent
        (
            png((2, 1), 8, 2, b"\0\1\2\3\4\5\6", (b"tRNS", struct.pack(">3H", 1, 2, 3))),
            [[255, 255, 255], [4, 5, 6]],
        ),
        # grey, where 7 is transparent
        (png((2, 1), 8, 0, b"\0\7\x09", (b"tRNS", b"\0\7")), [[255] * 3, [9] * 3]),
        # 16-bit grey, where 257 is transparent
        (
            png((2, 1), 16, 0, b"\0\1\1\2\2", (b"tRNS", struct.pack(">H", 257))),
            [[255] * 3, [2] * 3],
        ),
    ],
    ids=["palette", "rgb", "grey", "grey16"],
)
def test_transparent_colours_go_on_white(data, expected):
    assert pixels(open_picture(data)) == [expected]


def test_transparent_gif_goes_on_white():
    paletted = Image.new("P", (2, 1))
    paletted.putpalette([*RED, *BLUE])
    paletted.putdata([0, 1])
    data = encode(paletted, "GIF", transparency=1)
    assert pixels(open_picture(data)) == [[list(RED), list(WHITE)]]


def test_sixteen_bit_grey_is_scaled_not_clipped():
    """v / 257, to the nearest: 200 / 257 = 0.78 → 1, 32896 → 128, 65535 → 255."""
    samples = np.array([[0, 200, 32896, 65535]], np.uint16)
    expected = [[[0] * 3, [1] * 3, [128] * 3, [255] * 3]]
    image = Image.fromarray(samples)
    assert image.mode == "I;16"
    for source in (image, encode(image, "PNG"), encode(image, "TIFF")):
        assert pixels(open_picture(source)) == expected
    big_endian = Image.frombytes("I;16B", (4, 1), samples.astype(">u2").tobytes())
    assert pixels(open_picture(big_endian)) == expected


@pytest.mark.parametrize(
    ("samples", "dtype", "expected"),
    [
        ([0, 100, 255], np.int32, [0, 100, 255]),  # 8-bit samples
        ([0, 257, 65535], np.int32, [0, 1, 255]),  # 16-bit samples
        ([-100, 0, 100], np.int32, [0, 128, 255]),  # stretched: 127.5 → 128
        ([0, 35000, 70000], np.int32, [0, 128, 255]),
        ([-5, -5, -5], np.int32, [0, 0, 0]),
        ([0, 0, 0], np.int32, [0, 0, 0]),
        ([0.0, 0.2, 1.0], np.float32, [0, 51, 255]),
        ([0.0, 51.0, 255.0], np.float32, [0, 51, 255]),
        ([0.0, 257.0, 65535.0], np.float32, [0, 1, 255]),
        ([-1.0, 0.0, 1.0], np.float32, [0, 128, 255]),
        ([np.nan, 1.0, np.inf], np.float32, [0, 255, 0]),
        ([-3e38, 0.0, 3e38], np.float32, [0, 128, 255]),
    ],
)
def test_thirty_two_bit_grey(samples, dtype, expected):
    image = Image.fromarray(np.array([samples], dtype))
    grey = np.asarray(open_picture(image).image)[0, :, 1]
    assert grey.tolist() == expected


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_other_modes_become_rgb(mode):
    image = photo().convert(mode)
    assert open_picture(image).image.tobytes() == image.convert("RGB").tobytes()


def test_colour_modes_we_cannot_convert_are_refused():
    premultiplied = Image.new("La", (4, 4))
    expected = "its colour mode La is not supported; convert it to RGB"
    assert message(premultiplied) == f"cannot read an image: {expected}"


def test_a_pil_image_is_copied_and_loses_its_metadata():
    image = photo()
    image.info.update(icc_profile=b"x", exif=exif(1), dpi=(72, 72))
    picture = open_picture(image)
    assert picture.image.info == {}
    assert (picture.source, picture.name) == (None, "")
    image = photo()
    picture = open_picture(image)
    image.putpixel((0, 0), (9, 9, 9))
    assert picture.image.getpixel((0, 0)) == (0, 0, 0)


def test_a_picture_is_named_after_its_file(tmp_path):
    path = tmp_path / "b'eau\n.png"
    path.write_bytes(encode(photo()))
    assert open_picture(path).name == open_picture(str(path)).name == "b'eau\\n.png"


def test_a_picture_comes_back_as_it_is():
    picture = open_picture(photo())
    assert open_picture(picture) is picture
    too_small = Limits(max_pixels=100)
    expected = "it has 24 x 16 pixels, more than 100; shrink it"
    assert message(picture, too_small) == f"cannot read an image: {expected}"


def test_data_url_holds_the_source():
    data = encode(photo(), "JPEG")
    head, body = open_picture(data).data_url().split(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(body) == data


def test_a_picture_survives_pickling():
    picture = open_picture(photo())
    sent = picture.encoded()
    again = pickle.loads(pickle.dumps(picture))  # noqa: S301 -- our own bytes
    assert again.encoded() == sent
    assert again.image.tobytes() == picture.image.tobytes()


# The half view.


def test_half_view_is_lanczos_at_half_size():
    picture = open_picture(photo(size=(101, 80)))
    half = half_view(picture, QWEN2_5_VL)
    assert half.size == (50, 40)
    expected = picture.image.resize((50, 40), Image.Resampling.LANCZOS)
    assert half.image.tobytes() == expected.tobytes()
    assert half.source is None


def test_half_view_keeps_the_name_and_what_cannot_be_halved(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(photo(size=(100, 80))))
    assert half_view(open_picture(path), QWEN2_5_VL).name == "a.png"
    tiny = open_picture(photo(size=(10, 58)))
    assert half_view(tiny, QWEN2_5_VL) is tiny


def test_half_view_of_an_oversized_image_is_half_of_what_the_model_sees():
    """1000x1000 is seen as 224x224 by a grid of at most 64 cells."""
    picture = open_picture(Image.new("RGB", (1000, 1000)))
    assert half_view(picture, QwenGrid(max_pixels=28 * 28 * 64)).size == (112, 112)


# One line about each bad image.


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", f"it is empty (0 bytes); {GIVE}"),
        (b"hello, world", f"it does not hold an image (it starts b'hello, world'); {GIVE}"),
        (b"%PDF-1.7\n%abcdef", f"it does not hold an image (it starts b'%PDF-1.7\\n%ab'); {GIVE}"),
        (b"<svg height=9/>", f"it does not hold an image (it starts b'<svg height='); {GIVE}"),
        # Pillow reads PPM, but it is not on our list
        (
            encode(photo(), "PPM"),
            f"it does not hold an image (it starts b'P6\\n24 16\\n255'); {GIVE}",
        ),
    ],
    ids=["empty", "text", "pdf", "svg", "ppm"],
)
def test_files_of_other_kinds(tmp_path, content, expected):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    assert message(path) == f"cannot read image '{path}': {expected}"
    assert message(content) == f"cannot read an image given as bytes: {expected}"


def test_missing_file_directory_and_strange_paths(tmp_path):
    def expected(path, rest):
        return f"cannot read image '{path}': {rest}"

    missing = tmp_path / "x.png"
    advice = "there is no such file; check the path (URLs are not fetched)"
    assert message(missing) == expected(missing, advice)
    assert message("https://e.org/x.png") == expected("https://e.org/x.png", advice)
    assert message(tmp_path) == expected(tmp_path, f"it is a directory; {GIVE}")
    assert message("a\0b") == expected("a\\x00b", "this cannot be a path; check the path")
    assert message("") == expected("", advice)
    long = message("x" * 5000 + "\n")
    assert long == expected(
        "x" * 100 + "…" + "x" * 147 + "\\n", "File name too long; check the path"
    )
    nested = tmp_path / "file"
    nested.touch()
    assert "Not a directory" in message(nested / "x.png")


def test_control_characters_in_a_name_stay_on_one_line():
    assert message("no\r\n\x1b[31m\u2028\udcff.png").startswith(
        "cannot read image 'no\\r\\n\\x1b[31m\\u2028\\udcff.png': "
    )


@pytest.mark.parametrize("source", [None, 3, ["x.png"], bytearray(b"x")])
def test_other_types_are_refused(source):
    kind = type(source).__name__
    expected = f"it is of type {kind}; give a path, bytes or a PIL image"
    assert message(source) == f"cannot read an image: {expected}"


def test_pipes_sockets_and_devices_are_refused_without_blocking(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # socket paths must be short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        for path in ("pipe", "sock", "/dev/zero"):
            expected = f"it is a pipe, socket or device; {GIVE}"
            assert message(path) == f"cannot read image '{path}': {expected}"


def test_no_permission(tmp_path, monkeypatch):
    def deny(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "x.png"
    path.write_bytes(encode(photo()))
    monkeypatch.setattr("builtins.open", deny)  # tests may run as root, whom nothing is denied
    expected = "permission to read it is denied; change its permissions"
    assert message(path) == f"cannot read image '{path}': {expected}"


def test_too_many_bytes_are_not_read(tmp_path):
    path = tmp_path / "x.png"
    with path.open("wb") as file:
        file.truncate(2**40)  # a terabyte of nothing
    expected = "it has more than 52,428,800 bytes; shrink it or compress it more"
    assert message(path) == f"cannot read image '{path}': {expected}"
    data = encode(photo())
    assert open_picture(data, Limits(max_bytes=len(data))).size == (24, 16)
    assert "more than" in message(data, Limits(max_bytes=len(data) - 1))


def test_a_file_beyond_the_limit_is_not_even_opened(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    path.write_bytes(bytes(101))
    monkeypatch.setattr("builtins.open", None)
    assert "more than 100 bytes" in message(path, Limits(max_bytes=100))


def test_a_file_that_grows_after_its_size_was_asked_is_not_read_to_the_end(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    path.touch()
    grown = io.BytesIO(bytes(1000))
    monkeypatch.setattr(grown, "close", lambda: None)
    monkeypatch.setattr("builtins.open", lambda *args: grown)
    assert "more than 100 bytes" in message(path, Limits(max_bytes=100))
    assert grown.tell() == 101


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((50_000, 50_000), "it has 50,000 x 50,000 pixels, more than 100,000,000; shrink it"),
        ((10_001, 10_000), "it has 10,001 x 10,000 pixels, more than 100,000,000; shrink it"),
        ((2010, 10), "it has 2,010 x 10 pixels, a longer strip than 200:1; crop or pad it"),
    ],
)
def test_decompression_bombs_are_refused_by_their_header(size, expected):
    """A header and no pixels: had we decoded, the error would say "cut short"."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bomb = png(size, 8, 2, b"")
        assert message(bomb) == f"cannot read an image given as bytes: {expected}"


def test_large_but_allowed_images_do_not_warn():
    """95 million pixels are over Pillow's warning, under our limit."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert "cut short" in message(png((10_000, 9_500), 8, 2, b""))
    assert seen == []


def test_damaged_tags_do_not_warn():
    """A TIFF with 10^9 values in one tag: Pillow warns when opening it and again when decoding."""
    data = bytearray(FILES["tiff"])
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    for entry in range(count):
        at = start + 2 + 12 * entry
        if struct.unpack_from("<H", data, at)[0] == 278:  # rows per strip
            struct.pack_into("<I", data, at + 4, 10**9)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with contextlib.suppress(ImageError):
            open_picture(bytes(data))
    assert seen == []


def test_no_pixels():
    empty = Image.new("RGB", (0, 5))
    assert message(empty) == "cannot read an image: it has no pixels (0 x 5); crop or pad it"
    assert "cannot read" in message(png((0, 5), 8, 2, b""))


FILES = {
    "png": encode(photo()),
    "png-palette": encode(photo("P")),
    "jpeg": encode(photo(), "JPEG"),
    "jpeg-progressive": encode(photo(size=(64, 64)), "JPEG", progressive=True),
    "mpo": encode(photo(), "MPO", save_all=True, append_images=[photo()]),
    "webp": encode(photo(), "WEBP"),
    "gif": encode(photo(), "GIF"),
    "tiff": encode(photo(), "TIFF"),
    "tiff-lzw": encode(photo(), "TIFF", compression="tiff_lzw"),
    "bmp": encode(photo(), "BMP"),
    "png-16": encode(Image.fromarray(np.arange(300, dtype=np.uint16).reshape(15, 20) * 200)),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_short_is_an_error_never_a_grey_half(kind):
    """At every length: an error, or (where only the trailer is gone) exactly the whole image."""
    data = FILES[kind]
    whole = open_picture(data).image.tobytes()
    refused = 0
    for length in range(0, len(data), max(1, len(data) // 150)):
        try:
            assert open_picture(data[:length]).image.tobytes() == whole, length
        except ImageError:
            refused += 1
    assert refused > 20


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=300), start=st.sampled_from([b"", *(f[:16] for f in FILES.values())])
)
def test_random_bytes_give_a_picture_or_an_image_error(data, start):
    check_any(start + data)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_files_give_a_picture_or_an_image_error(data):
    content = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    edits = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=12)
    for position, value in data.draw(edits):
        content[position] = value
    check_any(bytes(content[: data.draw(st.integers(0, len(content)))]))


def check_any(content: bytes) -> None:
    try:
        picture = open_picture(content, Limits(max_pixels=1_000_000))
    except ImageError:
        message(content, Limits(max_pixels=1_000_000))  # asserts that it is one line
    else:
        assert picture.image.mode == "RGB"
        assert picture.encoded()[1] in ("image/png", "image/jpeg", "image/webp")


def test_threads_keep_images_and_warning_filters_apart():
    before = list(warnings.filters)
    data = [FILES["png"], FILES["jpeg"], b"junk", FILES["mpo"]]
    results = []

    def work(content: bytes) -> None:
        for _ in range(20):
            try:
                results.append(open_picture(content).size)
            except ImageError:
                results.append(None)

    threads = [threading.Thread(target=work, args=(content,)) for content in data * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results.count((24, 16)), results.count(None)) == (120, 40)
    assert list(warnings.filters) == before
