"""`judge`: a file of predictions in, the same rows with scores out."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from cli.outcome import Run
from engines.chat_server import ChatServer, Handler, hangs, says, status
from judges.judging import alone  # noqa: F401  (acts by itself)

PARAPHRASE = "the city on the Seine"

ROWS = [
    {"id": "a", "question": "How many?", "answer": "3", "prediction": "three", "family": "count"},
    {"id": 2, "question": "Where?", "answer": ["Paris", "Lutetia"], "prediction": PARAPHRASE},
    {"id": "c", "question": "Is there one?", "answer": "no", "prediction": "Yes."},
]


def write(path: Path, rows: list) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "in.jsonl", ROWS)


def test_rules_score_every_row_and_keep_what_it_holds(file: Path, tmp_path: Path, run: Run) -> None:
    given = run("judge", file, "--out", tmp_path / "out.jsonl")
    assert given.code == 0
    assert given.err == (
        "1 of 3 rows are undecided: rules:auto cannot tell; --judge cascade asks a model about "
        "them\n"
    )
    assert read(tmp_path / "out.jsonl") == [
        ROWS[0] | {"score": 1, "by": "rules"},
        ROWS[1] | {"score": None, "by": "rules"},
        ROWS[2] | {"score": 0, "by": "rules"},
    ]
    assert "rows      3: 1 right, 1 wrong, 1 undecided, 0 without a verdict" in given.out
    assert "accuracy  0.500 of the scored" in given.out
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


def test_a_cascade_reports_its_share_and_cost(file: Path, tmp_path: Path, run: Run) -> None:
    """Rows 1 and 3 are clear; row 2 is the model's, which is not asked again the second time."""
    usage = {"prompt_tokens": 300, "completion_tokens": 4}
    out = tmp_path / "out.jsonl"
    with ChatServer(says("Score: 1", usage=usage)) as server:
        options = ("--judge", "cascade", "--base-url", server.url, "--model", "m", "--json")
        given = run("judge", file, "--out", out, *options)
        again = run("judge", file, "--out", out, *options)
        text = run("judge", file, "--out", out, *options[:-1])
    assert (given.code, given.err, len(server.chats)) == (0, "", 1)
    summary = json.loads(given.out)
    assert summary.pop("seconds") >= 0
    assert summary == {
        "judge": "cascade:auto+llm:m",
        "rows": 3,
        "right": 2,
        "wrong": 1,
        "undecided": 0,
        "unscored": 0,
        "accuracy": 2 / 3,
        "rules_share": 2 / 3,
        "llm_share": 1 / 3,
        "decided": {
            "rules": {
                **{"rows": 2, "labelled": 0, "false_ones": 0, "false_zeros": 0, "error": None}
            },
            "llm": {**{"rows": 1, "labelled": 0, "false_ones": 0, "false_zeros": 0, "error": None}},
        },
        "calls": 1,
        "cached": 0,
        "retries": 0,
        "unreadable": 0,
        "failures": 0,
        "by_rules": 2,
        "by_llm": 1,
        "prompt_tokens": 300,
        "completion_tokens": 4,
    }
    assert [row["by"] for row in read(out)] == ["rules", "llm", "rules"]
    assert (json.loads(again.out)["calls"], json.loads(again.out)["cached"]) == (0, 1)
    assert "decided   2 by rules (67%), 1 by the model\n" in text.out
    assert "expected" not in text.out
    assert "0 replies (0 asked again), 1 verdicts from the cache" in text.out


def test_errors_on_labelled_rows_are_those_of_who_decided(tmp_path: Path, run: Run) -> None:
    """The rules decide two rows rightly; the model, which likes all, one of two wrongly."""
    expected = [row | {"expected": right} for row, right in zip(ROWS, (1, 0, 0), strict=True)]
    more = {"id": 4, "question": "Where?", "answer": "Rome", "prediction": "the Eternal City"}
    file = write(tmp_path / "in.jsonl", [*expected, more | {"expected": 1}])
    with ChatServer(says("Score: 1")) as server:
        options = ("--judge", "cascade", "--base-url", server.url, "--model", "m")
        given = run("judge", file, "--out", tmp_path / "out", *options)
        summary = run("judge", file, "--out", tmp_path / "out", *options, "--json")
    assert given.out.splitlines()[-2:] == [
        "expected  rules: 0 false 1 and 0 false 0 of 2, error 0.0% [0.0% to 65.8%]",
        "expected  llm: 1 false 1 and 0 false 0 of 2, error 50.0% [9.5% to 90.5%]",
    ]
    assert json.loads(summary.out)["decided"]["llm"] == {
        **{"rows": 2, "labelled": 2, "false_ones": 1, "false_zeros": 0, "error": 0.5}
    }


def test_two_judged_files_are_compared(tmp_path: Path, run: Run) -> None:
    """Of 25 rows 24 differ, of which 20 are printed; the last row is undecided by the first."""
    texts = {"question": "How many\ndogs?", "answer": "3", "prediction": "x" * 60}
    ours = [{"id": n, "score": 1 if n < 24 else None, **texts} for n in range(25)]
    theirs = [{"id": n, "expected": 0 if n else 1} for n in range(25)]
    files = write(tmp_path / "a", ours), write(tmp_path / "b", theirs)
    given = run("judge", "--agree", *files)
    assert (given.code, given.err) == (0, "")
    assert given.out.splitlines()[2:12] == [
        "rows      25 of both, 24 scored by both",
        "agreement 0.042 [0.007 to 0.202]",
        "kappa     0.000 [-0.036 to 0.168]",
        "",
        "   A \\ B       1       0    null",
        "       1       1      23       0",
        "       0       0       0       0",
        "    null       0       1       0",
        "",
        f"A 1  B 0  1: How many dogs? · 3 · {'x' * 39}…",
    ]
    assert given.out.splitlines()[-1] == "… and 4 more rows; --json has all"
    found = json.loads(run("judge", "--agree", *files, "--json").out)
    assert (found["scored"], len(found["differing"]), found["only_a"]) == (24, 24, 0)
    assert found["agreement"] == 1 / 24


def test_bad_comparisons(file: Path, tmp_path: Path, run: Run) -> None:
    other = write(tmp_path / "other", [{"id": "z", "score": 1}])
    run("judge", file, "--out", tmp_path / "out")
    for options, code, said in (
        (("--agree", file, other), 1, "row 1: score is missing (and 2 more rows)"),
        (("--agree", tmp_path / "out", other), 1, "have no id in common (such as 'a' and 'z')"),
        (("--agree", file, tmp_path / "none"), 2, "does not exist"),
        (("--agree", file), 2, "requires 2 arguments"),
        ((file, "--agree", file, other), 2, "FILE and --out do not go with it"),
        ((file,), 2, "expected FILE and --out OUT, or --agree A B"),
        (("--out", other), 2, "expected FILE and --out OUT, or --agree A B"),
    ):
        given = run("judge", *options)
        assert (given.code, given.out, given.err.count("\n")) == (code, "", 1), options
        assert said in given.err


def test_a_row_without_a_verdict_is_null_and_reported(file: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out.jsonl"
    with ChatServer(says("I like it.")) as server:
        options = ("--judge", "llm", "--base-url", server.url, "--model", "m", "--retries", 0)
        given = run("judge", file, "--out", out, *options, "--json")
    assert given.code == 0
    assert given.err.startswith("3 of 3 rows have no score: the judge m gave no verdict: its reply")
    assert given.err.count("\n") == 1
    summary = json.loads(given.out)
    assert (summary["unscored"], summary["accuracy"], summary["failures"]) == (3, None, 3)
    assert summary["undecided"] == 0
    for row in read(out):
        assert (row["score"], row["by"]) == (None, None)
        assert "“I like it.”" in row["error"]


def test_unscored_rows_are_judged_in_the_next_run(file: Path, tmp_path: Path, run: Run) -> None:
    """The output may be the next input: its old score, by and error give way."""
    out = tmp_path / "out.jsonl"
    bad = status(400)
    with ChatServer(says("Score: 1"), bad, bad, says("Score: 0")) as server:
        options = ("--judge", "llm", "--base-url", server.url, "--model", "m", "--concurrency", 1)
        run("judge", file, "--out", out, *options)
        assert [row["score"] for row in read(out)] == [1, None, None]
        given = run("judge", out, "--out", out, *options)
    assert (given.code, given.err, len(server.chats)) == (0, "", 5)
    assert read(out) == [
        row | {"score": score, "by": "llm"} for row, score in zip(ROWS, (1, 0, 0), strict=True)
    ]


def test_options_reach_the_judge(file: Path, tmp_path: Path, run: Run, monkeypatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-judge")
    with ChatServer(says("Score: 1")) as server:
        options = ("--judge", "llm", "--base-url", server.url, "--model", "m")
        more = ("--api-key-env", "JUDGE_KEY", "--max-tokens", 9, "--extra-body", '{"top_k": 1}')
        cache = ("--cache", tmp_path / "verdicts")
        assert run("judge", file, "--out", tmp_path / "out", *options, *more, *cache).code == 0
    assert {seen.headers["authorization"] for seen in server.chats} == {"Bearer sk-judge"}
    assert {(seen.body["max_tokens"], seen.body["top_k"]) for seen in server.chats} == {(9, 1)}
    assert len((tmp_path / "verdicts").read_text().split()) > 0
    assert not (tmp_path / "out.cache").exists()


def test_metric_and_tolerance(tmp_path: Path, run: Run) -> None:
    row = {"id": 1, "question": "How many?", "answer": "100", "prediction": "104"}
    file, out = write(tmp_path / "in", [row]), tmp_path / "out"
    for options, right in (
        ((), False),
        (("--tolerance", 0.05), True),
        (("--metric", "anls"), True),
    ):
        assert run("judge", file, "--out", out, *options).code == 0
        assert (read(out)[0]["score"] == 1) is right


GOOD = ROWS[0]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"id": 1, "question": "?", "answer": "a"}, "row 3: prediction is missing"),
        ({"question": "?", "answer": "a", "prediction": "a"}, "row 3: id is missing"),
        (GOOD | {"prediction": None}, "row 3: prediction must be text; got None"),
        (GOOD | {"question": 7}, "row 3: question must be text; got 7"),
        (GOOD | {"answer": 3}, "row 3: answer must be text; got 3"),
        (GOOD | {"answer": ["3", 4]}, "row 3: answer must be text; got ['3', 4]"),
        (GOOD | {"answer": " "}, "row 3: answer is empty"),
        (GOOD | {"answer": []}, "row 3: answer is empty"),
        (GOOD | {"id": None}, "row 3: id must be text or a whole number; got None"),
        ([GOOD], "row 3: expected a JSON object, got list"),
        ('{"id": 1', "row 3: this is not JSON"),
    ],
)
def test_a_bad_row_is_named_before_anything_is_written(
    bad: object, said: str, tmp_path: Path, run: Run
) -> None:
    """The third line of the file; the second is blank."""
    file = write(tmp_path / "in.jsonl", [GOOD, "", bad, bad])
    given = run("judge", file, "--out", tmp_path / "out.jsonl")
    assert (given.code, given.out, given.err.count("\n")) == (1, "", 1)
    assert said in given.err
    assert "(and 1 more rows); rows need id, question, answer, prediction" in given.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_files_without_rows(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty").write_text("\n\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, said in (("empty", "holds no rows"), ("binary", "is not UTF-8 text (byte 0)")):
        given = run("judge", tmp_path / name, "--out", tmp_path / "out")
        assert (given.code, given.err.count("\n")) == (1, 1)
        assert said in given.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--judge", "llm"), "needs base_url"),
        (("--judge", "cascade", "--base-url", "http://127.0.0.1:1/v1"), "needs model"),
        (("--judge", "rule"), "--judge: there is no judge 'rule'; did you mean rules?"),
        (("--metric", "numerc"), "--metric: there is no metric 'numerc'; did you mean numeric?"),
        (("--tolerance", "-1"), "--tolerance: Input should be greater than or equal to 0"),
        (("--concurrency", "0"), "--concurrency: Input should be greater than or equal to 1"),
        (("--extra-body", "{"), "--extra-body must be one JSON object"),
        (("--extra-body", "[]"), "--extra-body"),
    ],
)
def test_bad_options(options: tuple[str, ...], said: str, file: Path, tmp_path: Path, run: Run):
    given = run("judge", file, "--out", tmp_path / "out", *options)
    assert (given.code, given.err.count("\n")) == (2, 1)
    assert said in given.err
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(file: Path, tmp_path: Path, run: Run) -> None:
    for out in (tmp_path / "none" / "out", file / "out"):
        given = run("judge", file, "--out", out)
        assert (given.code, given.err.count("\n")) == (1, 1)
        assert "cannot be written" in given.err


def test_only_files_are_replaced(file: Path, tmp_path: Path, run: Run) -> None:
    """A pipe stands for devices, which root would replace; a link stays a link."""
    os.mkfifo(tmp_path / "pipe")
    given = run("judge", file, "--out", tmp_path / "pipe")
    assert (given.code, given.err.count("\n")) == (2, 1)
    assert "pipe is not a regular file; expected a file to write" in given.err
    (tmp_path / "link").symlink_to(tmp_path / "behind")
    assert run("judge", file, "--out", tmp_path / "link").code == 0
    assert (tmp_path / "link").is_symlink()
    assert len(read(tmp_path / "behind")) == 3


def test_an_interruption_leaves_the_old_output_and_the_cache(
    file: Path, tmp_path: Path, run: Run
) -> None:
    """Ctrl-C while the second of three rows is judged; the first is not asked again."""
    out = tmp_path / "out.jsonl"
    out.write_text("old\n")

    def interrupts(handler: Handler) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        hangs(handler)

    with ChatServer(says("Score: 0"), interrupts, says("Score: 1")) as server:
        options = ("--judge", "llm", "--base-url", server.url, "--model", "m", "--concurrency", 1)
        given = run("judge", file, "--out", out, *options)
        assert (given.code, given.err.strip()) == (130, "Error: interrupted")
        assert out.read_text() == "old\n"
        assert not list(tmp_path.glob(".*"))
        assert run("judge", file, "--out", out, *options).code == 0
        assert len(server.chats) == 4
    assert [row["score"] for row in read(out)] == [0, 1, 1]


def test_texts_survive_as_they_are(tmp_path: Path, run: Run) -> None:
    row = {"id": "é", "question": "漢?", "answer": "\ud800", "prediction": "\ud800\u2028", "x": [1]}
    file, out = write(tmp_path / "in", ["\ufeff" + json.dumps(row)]), tmp_path / "out"
    assert run("judge", file, "--out", out).code == 0
    assert [json.loads(line) for line in out.read_text().split("\n") if line] == [
        row | {"score": 1, "by": "rules"}
    ]
