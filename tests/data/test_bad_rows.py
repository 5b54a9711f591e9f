"""Rows that cannot be used: what is said of them, and what a stranger's file may not reach."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from visionthink.core.errors import DataError, ImageError
from visionthink.core.images import Limits
from visionthink.data.source import DataOptions, load_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`data/good.png` and, beside the folder of the data, `secret.png`."""
    (tmp_path / "data").mkdir()
    for path in (tmp_path / "data" / "good.png", tmp_path / "secret.png"):
        Image.new("RGB", (40, 30), "red").save(path)
    return tmp_path / "data"


def write(folder: Path, *rows: Any) -> str:
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    (folder / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return str(folder / "rows.jsonl")


def row(**changed: Any) -> dict[str, Any]:
    """A good row with some columns changed; None leaves a column out."""
    good = {"image": "good.png", "question": "Which colour?", "answer": "red"}
    return {k: v for k, v in {**good, **changed}.items() if v is not None}


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": (
        "{",
        "this is not JSON (Expecting property name enclosed in double quotes, character 2)",
    ),
    "deep JSON": ("[" * 100_000, "this JSON cannot be read (maximum recursion depth"),
    "a list": ("[1]", "expected a JSON object, as {"),
    "no question": (row(question=None), "there is no column 'question'; there are 'image, answer'"),
    "question not text": (row(question=5), "the question must be text; it is a number"),
    "blank question": (row(question=" \n"), "the question is empty"),
    "long question": (row(question="x" * 20_001), "the question has more than 20,000 characters"),
    "half a character": (row(question="a\ud800"), "the question holds half a character"),
    "no answer": (row(answer=None), "there is no column 'answer'; there are 'image, question'"),
    "empty answer": (row(answer=" "), "the answer is empty"),
    "no answers": (row(answer=[]), "the answer is an empty list"),
    "an empty answer": (row(answer=["a", ""]), "the answer is empty"),
    "answer with a point": (row(answer=4.5), "the answer is the number 4.5; write it as text"),
    "answer true": (row(answer=True), "the answer must be text; it is true or false"),
    "answer an object": (row(answer={"a": 1}), "the answer must be text; it is an object"),
    "id an object": (row(id={}), "the id must be text or a whole number; it is an object"),
    "no image column": (row(image=None), "there is no column 'image' for the image"),
    "no image": (row(image=[]), "there is no image"),
    "image a number": (row(image=3), "an image must be a path or a base64 data URL"),
    "empty path": (row(image=""), "an image must be a path or a base64 data URL"),
    "missing file": (row(image="none.png"), "image 'none.png': there is no such file"),
    "a folder": (row(image="."), "image '.': it is not a file"),
    "empty file": (row(image="empty.png"), "image 'empty.png': it is empty (0 bytes)"),
    "a text file": (row(image="page.png"), "image 'page.png': it does not hold an image"),
    "a strip": (row(image="strip.png"), "image 'strip.png': it has 1 x 300 pixels, longer than"),
    "URL": (
        row(image="https://a.b/c.png"),
        "image 'https://a.b/c.png' is a URL; URLs are not fetched",
    ),
    "null character": (row(image="a\0.png"), "image 'a\\x00.png': it is not a valid path"),
    "no base64": (
        row(image="data:image/png;base64,***"),
        "an image's data URL is not valid base64",
    ),
    "not a base64 URL": (
        row(image="data:,hello"),
        "an image's data URL must start as data:image/png",
    ),
    "URL of text": (
        row(image="data:image/png;base64,aGVsbG8="),
        "image 'data:image/png;base64,aGVsbG8=…': it does not hold an image",
    ),
    "absolute": (row(image="/etc/hostname"), "image '/etc/hostname' lies outside the folder"),
    "parent": (row(image="../secret.png"), "image '../secret.png' lies outside the folder"),
    "by a detour": (row(image="x/../../secret.png"), "image 'x/../../secret.png' lies outside"),
    "by a link": (row(image="link.png"), "image 'link.png' lies outside the folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_with_its_line(name: str, folder: Path) -> None:
    """Line 1 is good, line 2 blank, line 3 the bad one."""
    (folder / "empty.png").touch()
    (folder / "page.png").write_text("<html>404</html>")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    Image.new("RGB", (1, 300)).save(folder / "strip.png")
    line, reason = BAD[name]
    path = write(folder, row(), "", line)
    with pytest.raises(DataError) as caught:
        load_rows(DataOptions(path=path))
    assert str(caught.value).startswith(f"1 of 2 rows of {path!r} cannot be used: line 3: {reason}")
    assert str(caught.value).endswith("; correct them, or set skip_bad")
    skipped = load_rows(DataOptions(path=path, skip_bad=True))
    assert [r.id for r in skipped] == ["1"]
    assert [bad.number for bad in skipped.bad] == [3]
    assert skipped.bad[0].reason.startswith(reason)


def test_many_bad_rows_are_counted(folder: Path) -> None:
    path = write(folder, row(), *[row(answer="")] * 5)
    with pytest.raises(DataError) as caught:
        load_rows(DataOptions(path=path))
    assert str(caught.value) == (
        f"5 of 6 rows of {path!r} cannot be used: line 2: the answer is empty; line 3: the answer "
        "is empty; line 4: the answer is empty; and 2 more; correct them, or set skip_bad"
    )


def test_no_row_left_is_an_error_even_with_skip_bad(folder: Path) -> None:
    path = write(folder, row(answer=""))
    with pytest.raises(DataError, match=r"1 of 1 rows .* the answer is empty; no row is left"):
        load_rows(DataOptions(path=path, skip_bad=True))
    with pytest.raises(DataError, match="holds no rows; check that it is the right one"):
        load_rows(DataOptions(path=write(folder)))


def test_outside_paths_are_allowed_on_request(folder: Path) -> None:
    path = write(folder, row(image="../secret.png"), row(image=str(folder.parent / "secret.png")))
    rows = load_rows(DataOptions(path=path, allow_outside=True))
    assert [r.open().images[0].size for r in rows] == [(40, 30), (40, 30)]


def test_a_link_to_the_folder_itself_counts_as_inside(folder: Path) -> None:
    write(folder, row())
    (folder.parent / "link").symlink_to(folder)
    rows = load_rows(DataOptions(path=str(folder.parent / "link" / "rows.jsonl")))
    assert rows[0].open().images[0].size == (40, 30)


def test_a_broken_image_body_is_found_when_the_row_is_opened(folder: Path) -> None:
    """Noise, so that the pixels take kilobytes; the header of the half that is left is whole."""
    noise = Image.frombytes("RGB", (64, 64), random.Random(0).randbytes(64 * 64 * 3))
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    data = buffer.getvalue()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (only,) = load_rows(DataOptions(path=write(folder, row(image="cut.png", id="r"))))
    with pytest.raises(ImageError, match=r"row 'r': cannot read image .*cut.png'.*cut short"):
        only.open()


def test_limits_are_checked_by_the_header(folder: Path) -> None:
    path = write(folder, row())
    with pytest.raises(DataError, match="it has 40 x 30 pixels; 1 to 1,199 are allowed"):
        load_rows(DataOptions(path=path), Limits(max_pixels=1199))
    with pytest.raises(DataError, match="it has more than 20 bytes"):
        load_rows(DataOptions(path=path), Limits(max_bytes=20))
    assert len(load_rows(DataOptions(path=path), Limits(max_pixels=1200))) == 1
