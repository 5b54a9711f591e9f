"""The file of labels: what a line holds, going on, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from visionthink.core.errors import DataError, RunError, UsageError
from visionthink.data.label_file import LabelFile
from visionthink.data.labelling import Labelled
from visionthink.data.rows import Rows
from visionthink.data.source import DataOptions, load_rows

LOW = Labelled("low", 8, 8, "8/8 right at low, 8/8 at high: at least 8 at both")
FAILED = Labelled("failed", None, None, "look low, rollout 0: the server is down")
CONFIG = {"n": 8, "data": {"path": "rows.jsonl", "limit": 3}}


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Three rows, a, b and c, of one image."""
    Image.new("RGB", (56, 56), "red").save(tmp_path / "image.png")
    line = {"image": "image.png", "question": "Which?", "answer": "red", "family": "colour"}
    lines = [json.dumps({**line, "id": name}) + "\n" for name in "abc"]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    return load_rows(DataOptions(path=str(tmp_path / "rows.jsonl")))


def ids(rows: Any) -> list[str]:
    return [row.id for row in rows]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_holds_the_row_and_its_label(tmp_path: Path, rows: Rows) -> None:
    with LabelFile(tmp_path / "labels.jsonl", CONFIG) as file:
        file.add(rows[0], LOW)
        file.add(rows[1], FAILED)
        assert file.counts() == {"low": 1, "high": 0, "undecided": 0, "failed": 1}
    one, two = read(tmp_path / "labels.jsonl")
    assert one == {
        "id": "a",
        "images": ["image.png"],
        "question": "Which?",
        "answer": "red",
        "family": "colour",
        "counts": {"low": 8, "high": 8},
        "contained": 0,
        "needs_high": False,
        "label": "low",
        "reason": LOW.reason,
        "cannot_tell": 0,
    }
    assert (two["needs_high"], two["label"], two["counts"]) == (
        *(None, "failed", {"low": None, "high": None}),
    )


def test_the_file_is_a_data_set(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "labels.jsonl"
    with LabelFile(path, CONFIG) as file:
        file.add(rows[2], LOW)
        file.add(rows[0], FAILED)
    (row,) = load_rows(DataOptions(path=str(path), where={"label": ["low", "high"]}))
    assert (row.id, row.question, row.answer) == ("c", "Which?", "red")
    assert row.metadata["label"] == "low"
    assert row.metadata["needs_high"] is False
    assert row.open().images[0].size == (56, 56)


def test_images_outside_of_the_folder_are_absolute(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "out" / "labels.jsonl"
    with LabelFile(path, CONFIG) as file:
        file.add(rows[0], LOW)
    assert read(path)[0]["images"] == [str(tmp_path / "image.png")]
    with pytest.raises(DataError, match="allow_outside"):
        load_rows(DataOptions(path=str(path)))
    assert len(load_rows(DataOptions(path=str(path), allow_outside=True))) == 1


def test_images_that_are_not_files_are_saved(tmp_path: Path) -> None:
    """The same pixels come back, and ids that are no file names do no harm."""
    path = tmp_path / "labels.jsonl"
    (row,) = load_rows(DataOptions(families=["tag"], size=1))
    odd = type(row)("../a b", row.images, row.question, row.answer, row.metadata)
    with LabelFile(path, CONFIG) as file:
        file.add(row, LOW)
        file.add(odd, LOW)
    found = load_rows(DataOptions(path=str(path)))
    assert ids(found) == ["tag-train-0", "../a b"]
    assert {Path(r.images[0].path or "").parent.name for r in found} == {"labels-images"}
    pixels = row.open().images[0].image.tobytes()
    assert [r.open().images[0].image.tobytes() for r in found] == [pixels, pixels]


def test_resuming_drops_a_half_written_line(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "labels.jsonl"
    with LabelFile(path, CONFIG) as file:
        assert ids(file.unfinished(rows)) == ["a", "b", "c"]
        file.add(rows[1], LOW)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    with LabelFile(path, CONFIG, resume=True) as file:
        assert path.read_bytes() == whole
        assert ids(file.unfinished(rows)) == ["a", "c"]
        file.add(rows[0], LOW)
    assert [record["id"] for record in read(path)] == ["b", "a"]


def test_a_file_with_half_a_line_only_starts_again(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "labels.jsonl"
    LabelFile(path, CONFIG).__exit__(None, None, None)
    path.write_bytes(b'{"id": "a"')
    with LabelFile(path, CONFIG, resume=True) as file:
        assert ids(file.unfinished(rows)) == ["a", "b", "c"]
    assert path.read_bytes() == b""


def test_failed_rows_count_as_finished_without_retry_failed(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "labels.jsonl"
    with LabelFile(path, CONFIG) as file:
        file.add(rows[0], FAILED)
        file.add(rows[1], LOW)
    with LabelFile(path, CONFIG, resume=True) as file:
        assert ids(file.unfinished(rows)) == ["c"]
        assert file.first_failure() == FAILED.reason
    with LabelFile(path, CONFIG, resume=True, retry_failed=True) as file:
        assert ids(file.unfinished(rows)) == ["a", "c"]
        assert file.first_failure() is None
    assert [record["id"] for record in read(path)] == ["b"]


def test_another_config_is_refused_by_its_keys(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "labels.jsonl"
    LabelFile(path, CONFIG).__exit__(None, None, None)
    other = {"n": 4, "data": {"path": "rows.jsonl"}, "seed": 1}
    with pytest.raises(RunError) as caught:
        LabelFile(path, other, resume=True)
    assert str(caught.value) == (
        f"cannot resume {str(path)!r}: it was made with other options: data.limit (3 before), "
        "n (8 before), seed (None before); give the same options, or choose another --out"
    )
    (tmp_path / "labels.config.json").unlink()
    with pytest.raises(RunError, match=r"labels.config.json beside it cannot be read"):
        LabelFile(path, CONFIG, resume=True)


def test_changed_data_are_refused(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "labels.jsonl"
    with LabelFile(path, CONFIG) as file:
        file.add(rows[1], LOW)
    with LabelFile(path, CONFIG, resume=True) as file:
        with pytest.raises(RunError, match=r"row 'b' of .* is not in the data"):
            file.unfinished([rows[0]])
        changed = type(rows[1])("b", rows[1].images, "Which?", "blue")
        with pytest.raises(RunError, match=r"row 'b' of .* differs from that of the data"):
            file.unfinished([changed])


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text("mine\n")
    with pytest.raises(UsageError, match="exists; add --resume to continue it"):
        LabelFile(path, CONFIG)
    with pytest.raises(UsageError, match="--retry-failed goes with --resume only"):
        LabelFile(tmp_path / "new.jsonl", CONFIG, retry_failed=True)
    (tmp_path / "labels.config.json").write_text(json.dumps({"version": 1, **CONFIG}))
    with pytest.raises(RunError, match=r"line 1 of .* is not a finished row"):
        LabelFile(path, CONFIG, resume=True)
    assert path.read_text() == "mine\n"


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """A process that labels into the file is named; nothing is written."""
    path = tmp_path / "labels.jsonl"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from visionthink.data.label_file import LabelFile\n"
        "with LabelFile(Path(sys.argv[1]), {}): print('holds', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"holds\n"
        with pytest.raises(RunError, match=rf"is in use: process {other.pid} is writing to it"):
            LabelFile(path, {}, resume=True)
        other.kill()
    with LabelFile(path, {}, resume=True):
        pass
    assert [each.name for each in sorted(tmp_path.iterdir())] == [
        *("labels.config.json", "labels.jsonl")
    ]


def test_an_append_cut_short_by_a_full_disk_leaves_whole_lines(
    tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.jsonl"
    with LabelFile(path, CONFIG) as file:
        file.add(rows[0], LOW)
        whole, room, write = path.read_bytes(), [9, 0], os.write

        def short(descriptor: int, data: memoryview) -> int:
            if not (count := room.pop(0)):
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data[:count])

        with monkeypatch.context() as full:
            full.setattr(os, "write", short)
            with pytest.raises(RunError, match="No space left on device"):
                file.add(rows[1], LOW)
        assert path.read_bytes() == whole
        file.add(rows[2], LOW)
    assert [record["id"] for record in read(path)] == ["a", "c"]


def test_resuming_cuts_off_what_a_power_cut_left(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "labels.jsonl"
    with LabelFile(path, CONFIG) as file:
        file.add(rows[0], LOW)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 90 + b"\n\xff\n")
    with LabelFile(path, CONFIG, resume=True) as file:
        assert ids(file.unfinished(rows)) == ["b", "c"]
    assert path.read_bytes() == whole
