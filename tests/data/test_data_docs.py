"""The examples of docs/data.md are what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

from visionthink.data.source import DataOptions, load_rows

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_examples_are_options(text: str) -> None:
    assert DataOptions.model_validate(yaml.safe_load(text)).path


def test_the_jsonl_example_loads(tmp_path: Path) -> None:
    (text,) = blocks("json")
    (tmp_path / "images").mkdir()
    for name in ("0001", "a", "b"):
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "rows.jsonl").write_text(text)
    one, two = load_rows(DataOptions(path=str(tmp_path / "rows.jsonl")))
    assert (one.id, one.answers) == ("1", ("4.73",))
    assert (two.id, two.answers, len(two.images)) == ("q7", ("the first", "first"), 2)
    assert [json.loads(line)["question"] for line in text.splitlines()] == [
        *(one.question, two.question)
    ]


def test_the_csv_example_loads(tmp_path: Path) -> None:
    (text,) = blocks("csv")
    Image.new("RGB", (40, 30)).save(tmp_path / "0001.png")
    (tmp_path / "metadata.csv").write_text(text)
    (row,) = load_rows(DataOptions(path=str(tmp_path)))
    assert (row.id, row.question, row.answer) == ("2", "What is the total?", "4.73")


def test_there_are_examples_to_test() -> None:
    assert [len(blocks(language)) for language in ("yaml", "json", "csv")] == [4, 1, 1]
