"""Which suites there are, and what is refused with which message."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from visionthink.core.errors import DataError, UsageError, VisionThinkError
from visionthink.evaluation.suites import load_suites, with_judging
from visionthink.mini.world import FAMILIES


def kinds(spec: str, limit: int | None = None) -> Counter[str]:
    suite = load_suites([spec], limit=limit)[0]
    return Counter(row.metadata["kind"] for row in suite.rows)


def families(spec: str) -> Counter[str]:
    return Counter(row.metadata["family"] for row in load_suites([spec])[0].rows)


def test_mini_is_weak_and_strong_in_their_shares():
    """1,000 rows: 7 weak families of 100, 5 strong ones of 60. The lucky family is left apart."""
    assert kinds("mini") == {"weak": 700, "strong": 300}
    found = families("mini")
    assert set(found.values()) == {100, 60}
    assert len(found) == 12
    assert "weave" not in found


def test_any_beginning_of_mini_is_mixed():
    assert kinds("mini", limit=20) == {"weak": 14, "strong": 6}


def test_mini_draws_test_images_by_seed():
    """Seed 0 begins at 1,000,000,000: trainings look at test drawings from 0 on."""
    first, second = (load_suites(["mini"], limit=1, seed=seed)[0].rows[0] for seed in (0, 1))
    assert first.id == "colour-test-1000000000"
    assert second.id == "colour-test-2000000000"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("mini:receipt:7", {"receipt": 7}),
        ("mini:receipt,tag:7", {"receipt": 7, "tag": 7}),
        ("mini:lucky:3", {"weave": 3}),
        ("mini:strong:2", dict.fromkeys([n for n, (k, _) in FAMILIES.items() if k == "strong"], 2)),
    ],
)
def test_families_of_mini_can_be_chosen(spec: str, found: dict[str, int]):
    assert families(spec) == found


def test_mini_has_at_least_a_number_of_each_family():
    """At least 9 of each: a strong family is 6 % of the mix, so 150 rows, 15 of a weak family."""
    found = families("mini:9")
    assert (min(found.values()), found["colour"]) == (9, 15)
    assert load_suites(["mini:9"])[0].name == "mini"
    assert load_suites(["mini:tag:9"])[0].name == "mini:tag"


def write(folder: Path, *rows: dict[str, Any], name: str = "rows.jsonl") -> Path:
    Image.new("RGB", (56, 56)).save(folder / "image.png")
    full = [{"image": "image.png", "question": "What?", "answer": "tea", **row} for row in rows]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in full))
    return folder / name


def test_a_data_set_as_it_is(tmp_path: Path):
    suite = load_suites([str(write(tmp_path, {"id": "a"}, {"answer": ["tea", "chai"]}))])[0]
    assert (suite.name, suite.scorer.metric) == ("rows", "auto")
    assert [row.id for row in suite.rows] == ["a", "2"]


def test_a_folder_is_called_by_its_name(tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    write(folder, {"file_name": "image.png"}, name="metadata.jsonl")
    assert load_suites([f"{folder}/"])[0].name == "photos"


def test_a_yaml_file(tmp_path: Path):
    rows = write(tmp_path, {"id": "a", "label": "4.5"}, {"id": "b", "label": "7"})
    path = tmp_path / "charts.yaml"
    path.write_text(
        f"path: {rows}\ncolumns: {{answer: label}}\nmetric: relaxed\nkind: strong\n"
        "prompt_suffix: ' One word.'\n"
    )
    suite = load_suites([str(path)], limit=1)[0]
    assert (suite.name, suite.scorer.metric, len(suite.rows)) == ("charts", "relaxed", 1)
    row = suite.rows[0]
    assert (row.question, row.answer, row.kind) == ("What? One word.", "4.5", "strong")
    said = with_judging(None, "exact", None, None)
    suite = load_suites([str(path)], sets=["name=others", "columns.answer=id"], judging=said)[0]
    assert (suite.name, suite.scorer.metric) == ("others", "exact")
    assert [row.answer for row in suite.rows] == ["a", "b"]


def test_a_judge_in_a_yaml_file(tmp_path: Path):
    path = tmp_path / "open.yaml"
    rows = write(tmp_path, {})
    path.write_text(f"path: {rows}\njudge: {{kind: cascade, base_url: 'http://x/v1', model: m}}\n")
    assert load_suites([str(path)])[0].scorer.metric == "judge"
    path.write_text(f"path: {rows}\nmetric: anls\njudge: {{kind: rules}}\n")
    with pytest.raises(UsageError, match="metric anls does not ask the judge"):
        load_suites([str(path)])


def test_options_of_judging_from_the_command_line():
    assert with_judging(None, None, None, None) == {}
    assert with_judging("rules", None, None, None) == {"metric": "auto", "judge": None}
    assert with_judging("rules", "anls", None, None) == {"metric": "anls", "judge": None}
    judge = {"kind": "cascade", "base_url": "u", "model": "m", "metric": "numeric"}
    assert with_judging("cascade", "numeric", "u", "m") == {"metric": "judge", "judge": judge}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, "exactt", None, None), "there is no metric 'exactt'; did you mean exact?"),
        (("llm", "relaxed", "u", "m"), "--metric relaxed does not go with --judge llm"),
        (("cascade", "relaxed", "u", "m"), "--metric relaxed does not go with --judge cascade"),
        (
            (None, None, "u", None),
            "--judge-url, --judge-model and --judge-engine go with --judge llm or cascade",
        ),
        ((None, "judge", None, None), "--metric judge needs --judge llm or cascade"),
    ],
)
def test_judging_that_is_refused(given: Any, message: str):
    with pytest.raises(UsageError) as caught:
        with_judging(*given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "minni",
            "there is no suite 'minni': neither mini nor mini:FAMILY, a YAML file, nor a data",
        ),
        ("none.yaml", "there is no suite 'none.yaml': no such file"),
        ("mini:recipt", "there is no family 'recipt' in the embedded world; did you mean receipt?"),
        ("mini:receipt,", "there is no family '' in the embedded world"),
        ("mini:", "there is no family '' in the embedded world"),
        ("mini:0", "expected mini, mini:FAMILY,…, mini:500 or mini:FAMILY,…:500; got 'mini:0'"),
        ("mini:tag:tag:5", "got 'mini:tag:tag:5'"),
    ],
)
def test_unknown_suites_are_refused(spec: str, message: str):
    with pytest.raises(UsageError) as caught:
        load_suites([spec])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no rows; check that it is the right one"),
        ([{"answer": float("nan")}], "line 1: the answer is the number nan; write it as text"),
        ([{"answer": None}], "line 1: the answer must be text; it is missing"),
        ([{"answer": " "}], "line 1: the answer is empty"),
        ([{"image": "none.png"}], "line 1: image 'none.png': "),
        ([{"image": "rows.jsonl"}], "line 1: image 'rows.jsonl': "),
        ([{"id": "a"}, {"id": "b"}, {"id": "a"}], "row 3 has the id 'a' of an earlier row"),
        ([{"family": "all"}], "a family is called 'all', the name of all together; rename it"),
    ],
)
def test_unusable_data_are_refused(tmp_path: Path, lines: list[dict[str, Any]], message: str):
    with pytest.raises(DataError) as caught:
        load_suites([str(write(tmp_path, *lines))])
    assert message in str(caught.value)


def test_rows_with_repeated_ids_can_be_numbered(tmp_path: Path):
    path = write(tmp_path, {"id": "a"}, {"id": "a"})
    suite = load_suites([str(path)], sets=["columns.id=none"])[0]
    assert [row.id for row in suite.rows] == ["1", "2"]


def test_an_id_with_a_number_sign_is_not_a_repetition(tmp_path: Path):
    lines = [{"id": name} for name in ("chart", "chart#1", "chart#2")]
    suite = load_suites([str(write(tmp_path, *lines))])[0]
    assert [row.id for row in suite.rows] == ["chart", "chart#1", "chart#2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metric: exactt", "there is no metric 'exactt'; did you mean exact?"),
        ("metrik: exact", "metrik: is not an option; did you mean metric?"),
        ("columns: {answer: label}", "there is no column 'label'; there are 'image, question, "),
        ("columns: {image: picture}", "there is no column 'picture' for the image"),
        ("format: csv", "format: input should be "),
        (
            "judge: {kind: oracle}",
            "judge.kind: there is no judge 'oracle'; expected one of cascade, llm, rules",
        ),
        ("judge: {kind: llm}", "base"),
        ("families: [tag]", "families does not go with data of format 'jsonl'"),
        ("metric: yes_no", "metric yes_no needs the answers yes and no; row '1' has 'tea'"),
        ("metric: [exact", "not valid YAML"),
    ],
)
def test_yaml_files_that_cannot_be_used(tmp_path: Path, text: str, message: str):
    path = tmp_path / "suite.yaml"
    path.write_text(f"path: {write(tmp_path, {})}\n{text}\n")
    with pytest.raises(VisionThinkError) as caught:
        load_suites([str(path)])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_suites_of_one_name_are_refused(tmp_path: Path):
    with pytest.raises(
        UsageError, match="two suites are called 'mini:tag'; rename one in a YAML file"
    ):
        load_suites(["mini:tag", "mini:tag:5"])
