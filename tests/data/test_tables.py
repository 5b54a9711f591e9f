"""Parquet, saved data sets, the hub, and the layout of the authors' released data."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset, DatasetDict, Features, List, Value, config
from PIL import Image

from visionthink.core.errors import DataError, ImageError
from visionthink.data.source import Columns, DataOptions, load_rows
from visionthink.data.tables import open_table

RED, BLUE, GREEN = (200, 20, 20), (20, 20, 200), (20, 200, 20)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


def cell(colour: tuple[int, int, int]) -> dict[str, Any]:
    return {"bytes": png(colour), "path": None}


def colours(rows: Any) -> list[list[Any]]:
    return [[p.image.getpixel((0, 0)) for p in row.open().images] for row in rows]


def simple(*images: Any, answers: list[str | None] | None = None) -> Dataset:
    return Dataset.from_dict(
        {
            "image": list(images),
            "question": ["Which colour?"] * len(images),
            "answer": answers or [f"a{i}" for i in range(len(images))],
            "family": ["colour"] * len(images),
        },
        features=Features(
            image=datasets.Image(),
            question=Value("string"),
            answer=Value("string"),
            family=Value("string"),
        ),
    )


# Parquet


def test_parquet_with_embedded_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `datasets` writes it: a struct of bytes and path. Rows are numbered from 0. Its progress
    bar belongs on a terminal.
    """
    simple(cell(RED), cell(BLUE)).to_parquet(tmp_path / "rows.parquet")
    capsys.readouterr()
    rows = load_rows(DataOptions(path=str(tmp_path / "rows.parquet")))
    assert capsys.readouterr().err == ""
    assert [(r.id, r.answer, r.metadata) for r in rows] == [
        ("0", "a0", {"family": "colour"}),
        ("1", "a1", {"family": "colour"}),
    ]
    assert colours(rows) == [[RED], [BLUE]]
    assert colours(pickle.loads(pickle.dumps(rows))) == [[RED], [BLUE]]  # noqa: S301


def test_parquet_with_paths(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(png(RED))
    records = {"image": ["red.png"], "question": ["Which?"], "answer": [["red", "crimson"]]}
    Dataset.from_dict(records).to_parquet(tmp_path / "rows.parquet")
    (row,) = load_rows(DataOptions(path=str(tmp_path / "rows.parquet")))
    assert row.images[0].path == str(tmp_path / "red.png")
    assert row.answers == ("red", "crimson")
    assert colours([row]) == [[RED]]


def test_a_folder_of_parquet_files_has_splits(tmp_path: Path) -> None:
    for split, colour in {"train": RED, "test": BLUE}.items():
        simple(cell(colour)).to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    path = str(tmp_path)
    assert colours(load_rows(DataOptions(path=path))) == [[RED]]
    assert colours(load_rows(DataOptions(path=path, split="test"))) == [[BLUE]]
    with pytest.raises(DataError, match="has no split 'dev'; it has test, train"):
        load_rows(DataOptions(path=path, split="dev"))


# Saved to disk


def test_saved_data_set_in_several_files(tmp_path: Path) -> None:
    """5 rows in 2 files of 3 and 2: a handle finds its row in its own file."""
    five = simple(cell(RED), cell(BLUE), cell(GREEN), cell(RED), cell(BLUE))
    five.save_to_disk(tmp_path / "saved", num_shards=2)
    rows = load_rows(DataOptions(path=str(tmp_path / "saved")))
    assert [r.id for r in rows] == ["0", "1", "2", "3", "4"]
    assert colours(rows) == [[RED], [BLUE], [GREEN], [RED], [BLUE]]
    assert colours(load_rows(DataOptions(path=str(tmp_path / "saved"), limit=4))[3:]) == [[RED]]
    with pytest.raises(DataError, match="has no splits; leave split: train out"):
        load_rows(DataOptions(path=str(tmp_path / "saved"), split="train"))


def test_saved_data_set_with_splits(tmp_path: Path) -> None:
    both = DatasetDict({"train": simple(cell(RED)), "val": simple(cell(BLUE))})
    both.save_to_disk(tmp_path / "saved")
    assert colours(load_rows(DataOptions(path=str(tmp_path / "saved"), split="val"))) == [[BLUE]]
    assert colours(load_rows(DataOptions(path=str(tmp_path / "saved")))) == [[RED]]


def test_a_missing_column_is_reported_once(tmp_path: Path) -> None:
    simple(cell(RED)).rename_column("answer", "label").save_to_disk(tmp_path / "saved")
    path = str(tmp_path / "saved")
    with pytest.raises(
        DataError, match="has no column answer; it has image, question, label, family; say which"
    ):
        load_rows(DataOptions(path=path))
    assert load_rows(DataOptions(path=path, columns=Columns(answer="label")))[0].answer == "a0"


def test_bad_cells_are_reported_by_row(tmp_path: Path) -> None:
    """Row 1 has no image, row 2 something else in its place, row 3 no answer; row 4 breaks off
    inside its pixels, which shows when it is opened.
    """
    cut = {"bytes": png(RED)[:60], "path": None}
    text = {"bytes": b"<html>not found</html>", "path": "a.png"}
    saved = simple(
        cell(RED), None, text, cell(BLUE), cut, answers=["red", "red", "red", None, "red"]
    )
    saved.save_to_disk(tmp_path / "saved")
    path = str(tmp_path / "saved")
    with pytest.raises(DataError) as caught:
        load_rows(DataOptions(path=path))
    assert str(caught.value) == (
        f"3 of 5 rows of {path!r} cannot be used: row 1: there is no image; "
        "row 2: image 'image[0]': it does not hold an image; "
        "row 3: the answer must be text; it is missing; correct them, or set skip_bad"
    )
    rows = load_rows(DataOptions(path=path, skip_bad=True))
    assert [r.id for r in rows] == ["0", "4"]
    assert [bad.number for bad in rows.bad] == [1, 2, 3]
    with pytest.raises(ImageError, match="row '4': cannot read an image given as bytes: it is dam"):
        rows[1].open()


def test_a_damaged_data_set_is_one_line(tmp_path: Path) -> None:
    simple(cell(RED)).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "data-00000-of-00001.arrow").write_bytes(b"nothing")
    (tmp_path / "rows.parquet").write_bytes(b"nothing")
    for name, reason in {"saved": "metadata bytes", "rows.parquet": "Parquet"}.items():
        with pytest.raises(DataError, match=f"cannot read the data set .*{reason}") as caught:
            load_rows(DataOptions(path=str(tmp_path / name)))
        assert "\n" not in str(caught.value)


def test_rows_that_changed_on_disk_are_noticed(tmp_path: Path) -> None:
    simple(cell(RED), cell(BLUE)).save_to_disk(tmp_path / "saved")
    row = load_rows(DataOptions(path=str(tmp_path / "saved")))[1]
    (tmp_path / "saved" / "data-00000-of-00001.arrow").unlink()
    open_table.cache_clear()
    with pytest.raises(ImageError, match=r"row '1': .*it has changed since the data was loaded"):
        row.open()


# The released layout


RELEASED = Features(
    problem=Value("string"),
    images=List(datasets.Image()),
    original_answer=Value("string"),
    solution=Value("string"),
    data_source=Value("string"),
    doc_id=Value("string"),
    info={"tgt_width": Value("int64"), "tgt_height": Value("int64"), "use_tool": Value("bool")},
)


def released(problem: str, answer: str, *images: Any) -> dict[str, Any]:
    return {
        "problem": problem,
        "images": list(images),
        "original_answer": answer,
        "solution": rf"\boxed{{{answer}}}",
        "data_source": "chartqa",
        "doc_id": "d7",
        "info": {"tgt_width": 20, "tgt_height": 15, "use_tool": True},
    }


def save_released(folder: Path, *rows: dict[str, Any]) -> str:
    train = Dataset.from_list(list(rows), features=RELEASED)
    DatasetDict({"train": train}).save_to_disk(folder)
    return str(folder)


@pytest.mark.parametrize("format", ["released", None])
def test_the_released_layout(tmp_path: Path, format: Any) -> None:
    path = save_released(
        tmp_path / "smart",
        released("<image>\nHow much?", "4.73", cell(RED)),
        released("<image><image>Which is red?", "first", cell(RED), cell(BLUE)),
    )
    one, two = rows = load_rows(DataOptions(path=path, format=format))
    assert (one.id, one.question, one.answer) == ("0", "How much?", "4.73")
    assert one.metadata == {
        "solution": r"\boxed{4.73}",
        "data_source": "chartqa",
        "doc_id": "d7",
        "info": {"tgt_width": 20, "tgt_height": 15, "use_tool": True},
    }
    assert two.question == "Which is red?"
    assert colours(rows) == [[RED], [RED, BLUE]]


def test_marks_and_images_must_agree(tmp_path: Path) -> None:
    path = save_released(tmp_path / "smart", released("<image><image>Which?", "red", cell(RED)))
    with pytest.raises(DataError, match="row 0: the problem marks 2 images, but the row has 1; no"):
        load_rows(DataOptions(path=path))


# The hub


def test_no_network_is_one_line(tmp_path: Path) -> None:
    """With the hub switched off as without a network; nothing else is printed."""
    code = (
        "from visionthink.core.errors import DataError\n"
        "from visionthink.data.source import DataOptions, load_rows\n"
        "try: load_rows(DataOptions(path='nobody/nothing', format='hub'))\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("cannot get the data set 'nobody/nothing' from the Hugging Face hub: ")
    assert line.endswith("; check its name and the network, or download it and give its folder")
    assert done.stderr == ""
