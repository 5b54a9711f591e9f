"""`label` as a user runs it: on the embedded model, against a server, killed and gone on with."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cli.outcome import Outcome, Run
from cli.red_rows import RED, ROWS, SLOWLY_RED, started, wait_until
from engines.chat_server import ChatServer, says, status
from visionthink.core.protocol import direct_reply
from visionthink.data.source import DataOptions, load_rows


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def failures(given: Outcome) -> list[str]:
    """Lines on standard error but the one about answers that rules cannot tell."""
    return [line for line in given.err.splitlines() if "the judge cannot tell count" not in line]


def options(server: ChatServer, out: Path) -> list[str]:
    return [
        *("--base-url", server.url, "--retries", "0", "--n", "2", "--concurrency", "2"),
        *("--out", str(out)),
    ]


def test_the_embedded_model(tmp_path: Path, run: Run) -> None:
    """mini-base, in 3 rollouts a look: weak families are read at low, strong ones at high only."""
    out = tmp_path / "labels.jsonl"
    given = run(
        *("label", "mini", "--set", "families=[colour,receipt,position,hatch]", "--set", "size=4"),
        *("--n", 3, "--model", "mini-base", "--device", "cpu", "--out", out, "--json"),
    )
    assert given.code == 0, given.err
    summary = json.loads(given.out)
    assert summary.pop("cannot_tell") == sum(record["cannot_tell"] for record in read(out))
    assert summary == {
        "out": str(out),
        "rows": 4,
        **{"low": 2, "high": 2, "undecided": 0, "failed": 0},
        "resumed": 0,
        "skipped": 0,
        **{"answers": 4 * 2 * 3, "contained": 0},
    }
    found = {record["family"]: record for record in read(out)}
    assert {family: record["label"] for family, record in found.items()} == {
        **{"colour": "low", "receipt": "high", "position": "low", "hatch": "high"},
    }
    assert {record["kind"]: record["needs_high"] for record in found.values()} == {
        "weak": False,
        "strong": True,
    }
    again = load_rows(DataOptions(path=str(out)))
    assert {row.metadata["label"] for row in again} == {"low", "high"}
    assert all(row.open().images[0].size[0] >= 112 for row in again)


def test_summary_for_people(data: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "labels.jsonl"
    with ChatServer(RED) as server:
        given = run("label", data, *options(server, out))
    assert (given.code, failures(given)) == (0, [])
    assert given.out == (
        "12 rows: 8 low (the small image is enough), 0 high (the original is needed), "
        f"4 undecided, 0 failed\n{out}\n"
    )
    assert len(server.chats) == 12 * 2 * 2


def test_answers_that_rules_cannot_tell_are_counted(tmp_path: Path, run: Run) -> None:
    """Two rows of 2 answers at each look: one right, one in words that no rule can tell."""
    Image.new("RGB", (56, 56), "red").save(tmp_path / "image.png")
    rows = [
        {"id": truth, "image": "image.png", "question": "Which colour?", "answer": truth}
        for truth in ("red", "the colour of ripe tomatoes")
    ]
    data, out = tmp_path / "rows.jsonl", tmp_path / "labels.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ChatServer(RED) as server:
        given = run("label", data, *options(server, out), "--json")
    assert (given.code, json.loads(given.out)["cannot_tell"]) == (0, 4)
    assert given.err == (
        "4 answers that the judge cannot tell count as wrong; --judge cascade asks a model about "
        "them\n"
    )
    assert {r["answer"]: (r["cannot_tell"], r["label"]) for r in read(out)} == {
        "red": (0, "low"),
        "the colour of ripe tomatoes": (4, "undecided"),
    }


def test_wrong_answers_that_contain_the_truth_are_counted(
    data: Path, tmp_path: Path, run: Run
) -> None:
    """The model says two colours, so none of the 12 · 2 · 2 answers is right. A resumed run counts
    those of the earlier one, too.
    """
    out = tmp_path / "labels.jsonl"
    with ChatServer(says(direct_reply("", "red or blue"))) as server:
        assert run("label", data, *options(server, out), "--metric", "exact").code == 0
        more = ("--metric", "exact", "--resume")
        given = run("label", data, *options(server, out), *more)
        assert given.out.splitlines()[1].startswith(
            "scored wrong, but contain the expected answer: 48 of 48 answers; compare some, and"
        )
        given = run("label", data, *options(server, out), *more, "--json")
        assert json.loads(given.out)["contained"] == 48
    assert {record["contained"] for record in read(out)} == {4}


def test_a_yaml_file_may_describe_the_data(data: Path, tmp_path: Path, run: Run) -> None:
    config, out = tmp_path / "data.yaml", tmp_path / "labels.jsonl"
    config.write_text(f"path: {data}\nlimit: 5\nprompt_suffix: ' One word.'\n")
    with ChatServer(RED) as server:
        assert run("label", config, "--limit", 3, *options(server, out)).code == 0
    assert [record["question"] for record in read(out)] == ["Which colour? One word."] * 3


def test_an_outage_fails_rows_with_a_reason_and_they_can_be_run_again(
    data: Path, tmp_path: Path, run: Run
) -> None:
    """One episode at a time, 4 a row: 8 replies are two rows, then the server is down."""
    out = tmp_path / "labels.jsonl"
    with ChatServer(*[RED] * 8, status(500, "overloaded")) as server:
        given = run("label", data, *options(server, out), "--concurrency", 1)
        assert given.code == 0
        assert failures(given)[0].startswith(
            "10 of 12 rows failed, the first: look low, rollout 0: "
        )
        labels = [record["label"] for record in read(out)]
        assert Counter(labels) == {"low": 2, "failed": 10}
        assert all("overloaded" in r["reason"] for r in read(out) if r["label"] == "failed")
        given = run("label", data, *options(server, out), "--resume")
        assert (given.code, "12 resumed" in given.out) == (0, True)
    with ChatServer(RED) as server:
        given = run("label", data, *options(server, out), "--resume", "--retry-failed")
    assert (given.code, failures(given)) == (0, [])
    assert Counter(r["label"] for r in read(out)) == {"low": 8, "undecided": 4}
    assert len(server.chats) == 10 * 4


def test_if_every_row_fails_so_does_the_command(data: Path, tmp_path: Path, run: Run) -> None:
    with ChatServer(status(500, "overloaded")) as server:
        given = run("label", data, *options(server, tmp_path / "labels.jsonl"))
    assert given.code == 1
    assert given.err.startswith("Error: 12 of 12 rows failed, the first: look ")
    assert given.err.endswith("run them again with --resume --retry-failed\n")


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
def test_an_interrupted_run_is_resumed(data: Path, tmp_path: Path, run: Run, stop: Any) -> None:
    """A reply takes 20 ms. The command is stopped once 3 rows are finished; what it left, whatever
    that is, and what is done afterwards make every row exactly once.
    """
    out = tmp_path / "labels.jsonl"
    with ChatServer(SLOWLY_RED) as server:
        with started("label", str(data), *options(server, out)) as process:
            wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 3, process)
            process.send_signal(stop)
            _, err = process.communicate(timeout=60)
        left = out.read_bytes()
        finished = left[: left.rfind(b"\n") + 1]
        count = finished.count(b"\n")
        assert 3 <= count < ROWS
        if stop == signal.SIGINT:
            assert process.returncode == 130
            said = [line for line in err.splitlines() if line]
            assert said == [
                f"{count} of 12 rows are in {out}; add --resume to continue",
                "Error: interrupted",
            ]
        else:
            assert process.returncode == -signal.SIGKILL
            out.write_bytes(finished + b'{"id": "r')  # as if it had died while it wrote
        asked = len(server.chats)
        given = run("label", data, *options(server, out), "--resume")
        assert given.code == 0, given.err
        assert f"{count} resumed" in given.out
        assert len(server.chats) - asked == (ROWS - count) * 4
    assert out.read_bytes().startswith(finished)
    assert sorted(record["id"] for record in read(out)) == sorted(f"r{i}" for i in range(ROWS))
    assert Counter(record["label"] for record in read(out)) == {"low": 8, "undecided": 4}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "n must be 1 to 1000 rollouts at each look; got 0"),
        (["--gap", "9"], "and at most n = 8; got 9"),
        (["--concurrency", "0"], "'--concurrency': 0 is not in the range x>=1"),
        (["--temperature", "-1"], "temperature must be 0 or more"),
        (["--set", "colums.image=a"], "colums: is not an option; did you mean columns"),
        (["--judge", "llm"], "the judge 'llm' needs base_url"),
        (["--retry-failed"], "--retry-failed goes with --resume only"),
        (["--split", "train"], "split does not go with data of format 'jsonl'"),
    ],
)
def test_bad_usage_comes_before_the_model(
    data: Path, tmp_path: Path, run: Run, arguments: list[str], message: str
) -> None:
    given = run("label", data, "--out", tmp_path / "labels.jsonl", "--model", "none", *arguments)
    assert given.code == 2
    assert message in given.err
    assert not (tmp_path / "labels.jsonl").exists()


def test_bad_rows_are_refused_or_skipped(data: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "labels.jsonl"
    data.write_text(data.read_text() + '{"image": "image.png", "question": "?", "answer": ""}\n')
    with ChatServer(RED) as server:
        given = run("label", data, *options(server, out))
        assert (given.code, given.out) == (1, "")
        assert "1 of 13 rows of" in given.err
        assert "line 13: the answer is empty" in given.err
        given = run("label", data, *options(server, out), "--skip-bad")
    assert (given.code, ", 1 skipped\n" in given.out) == (0, True)
