"""One small data set in every layout, and what comes of it."""

from __future__ import annotations

import base64
import csv
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from visionthink.core.errors import DataError, ImageError, UsageError
from visionthink.data.source import Columns, DataOptions, load_rows

RED, BLUE = (200, 20, 20), (20, 20, 200)


def png(colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def row(image: object, answer: object = "red", **more: Any) -> dict[str, Any]:
    return {"image": image, "question": "Which colour?", "answer": answer, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, `images/red.png` and `images/blue.png`."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "red.png").write_bytes(png(RED))
    (tmp_path / "images" / "blue.png").write_bytes(png(BLUE))
    return tmp_path


def write_jsonl(path: Path, *rows: object) -> str:
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def colours(example: Any) -> list[Any]:
    return [picture.image.getpixel((0, 0)) for picture in example.images]


# JSONL


def test_jsonl_paths_are_relative_to_the_file(folder: Path) -> None:
    path = write_jsonl(
        folder / "rows.jsonl",
        row("images/red.png", id="a", kind="weak", family="colour", source="web"),
        "",
        row(["images/red.png", "images/blue.png"], ["blue", "navy"]),
    )
    one, two = rows = load_rows(DataOptions(path=path))
    assert (one.id, one.question, one.answer, one.answers) == (
        "a",
        "Which colour?",
        "red",
        ("red",),
    )
    assert one.metadata == {"kind": "weak", "family": "colour", "source": "web"}
    assert [image.path for image in one.images] == [str(folder / "images" / "red.png")]
    assert colours(one.open()) == [RED]
    # without an id a row is called by its line; the blank one counts
    assert (two.id, two.answer, two.answers) == ("3", "blue", ("blue", "navy"))
    assert colours(two.open()) == [RED, BLUE]
    assert rows.bad == []
    assert rows.source == repr(path)


def test_an_opened_row_is_an_example(folder: Path) -> None:
    path = write_jsonl(folder / "rows.jsonl", row("images/red.png", 7, id=3, kind="strong"))
    options = DataOptions(path=path, prompt_suffix="\nOne word.")
    example = load_rows(options)[0].open()
    assert (example.id, example.answer) == ("3", "7")
    assert example.question == "Which colour?\nOne word."
    assert example.metadata == {"kind": "strong"}


def test_data_urls_stay_in_the_file(folder: Path) -> None:
    """The handle names the line by its offset: 3 lines, the second image of the third."""
    urls = [f"data:image/png;base64,{base64.b64encode(png(c)).decode()}" for c in (RED, BLUE)]
    path = write_jsonl(folder / "rows.jsonl", row(urls[0]), row("images/blue.png"), row(urls))
    rows = load_rows(DataOptions(path=path))
    assert [colours(r.open()) for r in rows] == [[RED], [BLUE], [RED, BLUE]]
    assert rows[2].images[1].path is None
    Path(path).write_text("{}\n")
    with pytest.raises(
        ImageError,
        match=r"row '1': .*it has changed since the data was loaded.*load the data again",
    ):
        rows[0].open()


def test_columns_may_have_other_names(folder: Path) -> None:
    record = {"picture": "images/red.png", "query": "Which?", "label": "red", "key": "k"}
    path = write_jsonl(folder / "rows.jsonl", record)
    columns = Columns(image="picture", question="query", answer="label", id="key")
    only = load_rows(DataOptions(path=path, columns=columns))[0]
    assert (only.id, only.question, only.answer) == ("k", "Which?", "red")
    assert only.metadata == {}


def test_metadata_keeps_what_is_small(folder: Path) -> None:
    counts = {"low": 8, "high": 8}
    more = {"counts": counts, "page": 4, "text": "x" * 20_001, "nothing": None, "kind": "multiple"}
    path = write_jsonl(folder / "rows.jsonl", row("images/red.png", **more))
    assert load_rows(DataOptions(path=path))[0].metadata == {"counts": counts, "page": 4}


def test_the_kind_in_the_options_is_for_rows_without_one(folder: Path) -> None:
    path = write_jsonl(
        folder / "rows.jsonl", row("images/red.png"), row("images/red.png", kind="lucky")
    )
    assert [r.kind for r in load_rows(DataOptions(path=path, kind="weak"))] == ["weak", "lucky"]


def test_a_repeated_id_gets_its_line_number_appended(folder: Path) -> None:
    same = row("images/red.png", id="a")
    path = write_jsonl(folder / "rows.jsonl", same, same, same)
    assert [r.id for r in load_rows(DataOptions(path=path))] == ["a", "a#2", "a#3"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["report", "report#3", "report"], ["report", "report#3", "report#3#2"]),
        (["report", "report", "report#2"], ["report", "report#2#2", "report#2"]),
        (["a", "a", "a#2", "a#2#2"], ["a", "a#2#3", "a#2", "a#2#2"]),
        (["a#1", "a#1"], ["a#1", "a#1#2"]),
        ([None, "1"], ["1#2", "1"]),
        (["2", None, None], ["2", "2#2", "3"]),
    ],
)
def test_a_new_id_is_never_one_of_the_data(
    folder: Path, given: list[str | None], expected: list[str]
) -> None:
    """Whether that comes earlier or later; an id of the data stays with its first row."""
    lines = [row("images/red.png", **({} if name is None else {"id": name})) for name in given]
    rows = load_rows(DataOptions(path=write_jsonl(folder / "rows.jsonl", *lines)))
    assert [r.id for r in rows] == expected


def test_rows_whose_id_is_that_of_an_earlier_one_are_named(folder: Path) -> None:
    lines = [row("images/red.png", id=name) for name in ("a", "a#3", "a")]
    rows = load_rows(DataOptions(path=write_jsonl(folder / "rows.jsonl", *lines)))
    assert rows.repeated == rows[1:].repeated == [(3, "a")]


def test_marks_of_images_in_questions_are_noted(folder: Path) -> None:
    lines = [row("images/red.png"), row("images/red.png", id="b", question="<image>\nWhich?")]
    path = write_jsonl(folder / "rows.jsonl", *lines)
    rows = load_rows(DataOptions(path=path))
    assert rows[1].question == "<image>\nWhich?"
    assert rows.notes == [
        f"1 row holds '<image>' in the question ({path!r}, first row 'b'), which is read as text, "
        "since images come before the question; set drop_image_marks: true to take it out"
    ]
    rows = load_rows(DataOptions(path=path, drop_image_marks=True))
    assert (rows[1].question, rows.notes) == ("Which?", [])


def test_a_question_of_marks_only_is_empty(folder: Path) -> None:
    path = write_jsonl(folder / "rows.jsonl", row("images/red.png", question="<image>"))
    with pytest.raises(DataError, match="the question is empty"):
        load_rows(DataOptions(path=path, drop_image_marks=True))


def test_limit_and_where(folder: Path) -> None:
    labels = ["low", "failed", "high", "undecided", "low"]
    lines = [row("images/red.png", id=str(i), label=label) for i, label in enumerate(labels)]
    lines[1]["image"] = []  # a bad row, but not one of those asked for
    path = write_jsonl(folder / "rows.jsonl", *lines)
    chosen = DataOptions(path=path, where={"label": ["low", "high"]})
    assert [r.id for r in load_rows(chosen)] == ["0", "2", "4"]
    assert [r.id for r in load_rows(chosen.model_copy(update={"limit": 2}))] == ["0", "2"]
    with pytest.raises(DataError, match="holds no rows with label: nothing"):
        load_rows(DataOptions(path=path, where={"label": "nothing"}))


# The other layouts


def check_two(rows: Any) -> None:
    assert [(r.question, r.answer, r.metadata) for r in rows] == [
        ("Which colour?", "red", {"family": "colour"}),
        ("Which colour?", "blue", {"family": "colour"}),
    ]
    assert [colours(r.open()) for r in rows] == [[RED], [BLUE]]
    assert [colours(r.open()) for r in pickle.loads(pickle.dumps(rows))] == [[RED], [BLUE]]  # noqa: S301


TWO = [("red.png", "red"), ("blue.png", "blue")]


def test_folder_with_jsonl(folder: Path) -> None:
    lines = [
        {"file_name": name, "question": "Which colour?", "answer": a, "family": "colour"}
        for name, a in TWO
    ]
    write_jsonl(folder / "images" / "metadata.jsonl", *lines)
    check_two(load_rows(DataOptions(path=str(folder / "images"))))


def test_folder_with_csv_and_splits(folder: Path) -> None:
    """The question of the first row takes two lines, so the second row starts on line 4."""
    (folder / "images").rename(folder / "train")
    with (folder / "train" / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "question", "answer", "family"])
        for name, answer in TWO:
            writer.writerow([name, "Which colour?", answer, "colour"])
    check_two(load_rows(DataOptions(path=str(folder), split="train")))
    with pytest.raises(
        DataError, match=r"no metadata.jsonl or metadata.csv in .*; give split: train"
    ):
        load_rows(DataOptions(path=str(folder)))
    (folder / "train" / "metadata.csv").write_text(
        'file_name,question,answer\nred.png,"Which\ncolour?",red\nblue.png,Which?,\n'
    )
    with pytest.raises(DataError, match=r"1 of 2 rows .*: line 4: the answer is empty"):
        load_rows(DataOptions(path=str(folder), split="train"))


def test_formats_are_guessed(folder: Path) -> None:
    for name, message in {
        "nothing.jsonl": "there is no data set .*set format: hub",
        "images/red.png": "unknown format of",
        "images": "unknown layout of folder ",
    }.items():
        with pytest.raises(DataError, match=message):
            load_rows(DataOptions(path=str(folder / name)))
    assert load_rows(DataOptions(size=3)).source == "the embedded world (train)"


def test_options_without_effect_are_refused(folder: Path) -> None:
    path = write_jsonl(folder / "rows.jsonl", row("images/red.png"))
    with pytest.raises(UsageError, match="families, size do not go with data of format 'jsonl'"):
        load_rows(DataOptions(path=path, size=3, families=["tag"]))
    with pytest.raises(UsageError, match=r"leave it out .*--set 'data=\{path: PATH\}' replaces"):
        load_rows(DataOptions(path=path, size=3))
    with pytest.raises(UsageError, match="kind does not go with data of format 'mini'"):
        load_rows(DataOptions(path="mini", kind="weak"))
    with pytest.raises(UsageError, match="split does not go with data of format 'jsonl'"):
        load_rows(DataOptions(path=path, split="train"))


def test_text_layouts_need_no_extra(folder: Path) -> None:
    """JSONL and the embedded world load in an interpreter that cannot import these packages."""
    path = write_jsonl(folder / "rows.jsonl", row("images/red.png"))
    code = (
        "import sys\n"
        "for name in ('datasets', 'pyarrow', 'torch'): sys.modules[name] = None\n"
        "from visionthink.data.source import DataOptions, load_rows\n"
        "from visionthink.core.errors import MissingExtraError\n"
        f"print(len(load_rows(DataOptions(path={path!r}))), len(load_rows(DataOptions(size=2))))\n"
        "try: load_rows(DataOptions(path='a/b', format='hub'))\n"
        "except MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [
        "1 2",
        "reading from the hub needs packages that are not installed: run pip install "
        "'.[data]' in a clone of the repository",
    ], done.stderr
