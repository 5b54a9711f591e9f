"""`eval` as a user runs it: on the embedded model, against a server, killed and gone on with."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cli.outcome import Run
from cli.red_rows import RED, ROWS, SLOWLY_RED, started, wait_until
from engines.chat_server import ChatServer, says, status
from visionthink.core.protocol import direct_reply

POLICIES = ("high", "low", "oracle")


def read(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]


def keys(run: Path) -> Counter[tuple[str, str]]:
    return Counter((line["policy"], line["id"]) for line in read(run))


def options(server: ChatServer, out: Path, *policies: str) -> list[str]:
    return [
        *("--base-url", server.url, "--retries", "0", "--concurrency", "2", "--out", str(out)),
        *(part for policy in policies for part in ("--policy", policy)),
    ]


def test_the_embedded_model(tmp_path: Path, run: Run) -> None:
    """10 drawings, 3 of them strong: low is wrong on those, auto requests them and is right. Of 10
    small images of a quarter and 3 originals the tokens would be 0.25 + 0.3 if all were equal.
    """
    out = tmp_path / "run"
    policies = [part for p in ("high", "low", "auto", "oracle") for part in ("--policy", p)]
    given = run("eval", "mini", "--limit", 10, *policies, "--device", "cpu", "--out", out, "--json")
    assert given.code == 0, given.err
    rows = json.loads(given.out)
    assert rows == json.loads((out / "summary.json").read_text())
    whole = {row["policy"]: row for row in rows if row["family"] == "all"}
    assert {name: (row["n"], row["errors"]) for name, row in whole.items()} == dict.fromkeys(
        ("high", "low", "auto", "oracle"), (10, 0)
    )
    assert {name: row["accuracy"] for name, row in whole.items()} == {
        **{"high": 1.0, "low": 0.7, "auto": 1.0, "oracle": 1.0}
    }
    assert {name: row["request_rate"] for name, row in whole.items()} == {
        **{"high": 0.0, "low": 0.0, "auto": 0.3, "oracle": 0.3}
    }
    assert whole["high"]["visual_token_ratio"] == whole["high"]["flops_ratio"] == 1
    assert whole["low"]["visual_token_ratio"] == 0.25
    assert 0.5 < whole["auto"]["visual_token_ratio"] < 0.6
    assert whole["low"]["vs_high"]["difference"] == pytest.approx(-0.3)
    assert whole["low"]["vs_high"]["low"] < -0.3
    families = {row["family"]: row for row in rows if row["policy"] == "auto"}
    assert families["receipt"]["kind"] == "strong"
    assert families["receipt"]["visual_token_ratio"] == 1.25
    config = json.loads((out / "config.json").read_text())["config"]
    assert (config["model"], config["profile"]) == ("mini", "mini")
    assert config["policies"] == ["high", "low", "auto", "oracle"]
    pictures = {(e["policy"], len(e["images"])) for e in read(out) if e["family"] == "receipt"}
    assert pictures == {("high", 1), ("low", 1), ("auto", 2), ("oracle", 2)}


def test_pruned_policies_on_the_embedded_model(tmp_path: Path, run: Run) -> None:
    """VisionZip keeps half of what the tower made, so that the ratio is about a half."""
    out = tmp_path / "run"
    given = run(
        *("eval", "mini:colour", "--limit", 3, "--out", out, "--device", "cpu", "--json"),
        *("--policy", "high", "--policy", "visionzip:0.5", "--policy", "auto+visionzip:0.5"),
    )
    assert given.code == 0, given.err
    whole = {row["policy"]: row for row in json.loads(given.out) if row["family"] == "all"}
    assert 0.4 < whole["visionzip:0.5"]["visual_token_ratio"] < 0.6
    assert whole["visionzip:0.5"]["flops_ratio"] < 1
    assert whole["auto+visionzip:0.5"]["visual_token_ratio"] < 0.25


def test_the_table(data: Path, tmp_path: Path, run: Run) -> None:
    """8 of 12 answers are red: 0.667, 0.391 to 0.862. An image of 112 px is 16 visual tokens, 4 at
    half size.
    """
    with ChatServer(RED) as server:
        given = run("eval", data, *options(server, tmp_path / "run", *POLICIES))
    assert given.code == 0, given.err
    lines = [line.split() for line in given.out.splitlines()]
    assert lines[0] == ["rows"]
    assert lines[1][:7] == ["policy", "n", "accuracy", "[95", "%]", "vs", "high"]
    assert lines[2][:5] == ["high", "12", "0.667", "[0.391,", "0.862]"]
    assert lines[3][:5] == ["low", "12", "0.667", "[0.391,", "0.862]"]
    assert "25.0 %" in given.out
    assert len(lines) == 5
    assert given.err == f"run          {tmp_path / 'run'}\n"


def test_an_estimate_needs_no_folder(data: Path, tmp_path: Path, run: Run) -> None:
    with ChatServer(RED) as server:
        arguments = ("--base-url", server.url, "--retries", 0, "--estimate")
        given = run("eval", data, *arguments)
        assert (given.code, given.err) == (0, "")
        assert given.out.startswith("rows: 12 questions, answered from the small image (low) and ")
        assert "No advice yet: 8 of 12 answers from the original score right, so their" in given.out
        assert "expected 'blue'  got 'red'" in given.out
        given = run("eval", data, *arguments, "--out", tmp_path / "run", "--json")
    (row,) = json.loads(given.out)
    assert (row["both"], row["neither"], row["break_even"]) == (8, 4, 0.75)
    assert {row["policy"] for row in json.loads((tmp_path / "run/summary.json").read_text())} == {
        *("high", "low")
    }


def test_wrong_answers_that_contain_the_truth_are_named(
    data: Path, tmp_path: Path, run: Run
) -> None:
    """Nothing scores right, because the model says two colours: no advice."""
    with ChatServer(says(direct_reply("", "red or blue"))) as server:
        given = run("eval", data, "--base-url", server.url, "--metric", "exact", "--estimate")
        assert "No advice: only 0 of 12 answers from the original score right" in given.out
        assert "expected 'red'   got 'red or blue'" in given.out
        arguments = (*options(server, tmp_path / "run", *POLICIES), "--metric", "exact")
        given = run("eval", data, *arguments)
    assert given.out.splitlines()[-1].startswith(
        "scored wrong, but contain the expected answer: 12 of 12 with high, 12 of 12 with low, "
    )


def test_any_accepted_answer_may_be_contained(data: Path, tmp_path: Path, run: Run) -> None:
    """Also in the episodes of a policy that is made of others."""
    data.write_text(data.read_text().replace('"answer": "red"', '"answer": ["crimson", "red"]'))
    with ChatServer(says(direct_reply("", "red or green"))) as server:
        arguments = (*options(server, tmp_path / "run", *POLICIES), "--metric", "exact", "--json")
        given = run("eval", data, *arguments)
    assert [row["contained"] for row in json.loads(given.out)] == [8, 8, 8]
    assert read(tmp_path / "run")[0]["answers_expected"] == ["crimson", "red"]


def test_marks_of_images_in_questions_are_named(data: Path, tmp_path: Path, run: Run) -> None:
    text = data.read_text().replace("Which colour?", "<image> Which colour?")
    data.write_text(text)
    with ChatServer(RED) as server:
        given = run("eval", data, *options(server, tmp_path / "run", "low"))
        assert given.err.startswith("rows: 12 rows hold '<image>' in the question (")
        dropping = ("--set", "drop_image_marks=true")
        given = run("eval", data, *options(server, tmp_path / "other", "low"), *dropping)
        assert "<image>" not in given.err
    assert {record["question"] for record in read(tmp_path / "other")} == {"Which colour?"}


def test_a_run_is_not_overwritten_and_resumes_with_the_same_config_only(
    data: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "run"
    with ChatServer(RED) as server:
        assert run("eval", data, *options(server, out, "low")).code == 0
        before = (out / "episodes.jsonl").read_bytes()
        given = run("eval", data, *options(server, out, "low"))
        assert given.code == 1
        assert "holds a run already: resume it (--resume), or name a new folder" in given.err
        given = run("eval", data, *options(server, out, "low", "high"), "--resume", "--seed", 3)
        assert given.code == 1
        assert 'policies (was ["low"], now ["low", "high"]), seed (was 0, now 3)' in given.err
        given = run("eval", data, *options(server, out, "low"), "--resume", "--json")
        assert given.code == 0
        assert json.loads(given.out)[0]["n"] == ROWS
        assert len(server.chats) == ROWS
    assert (out / "episodes.jsonl").read_bytes() == before


def test_a_run_that_is_killed_three_times_is_resumed(data: Path, tmp_path: Path, run: Run) -> None:
    """A reply takes 20 ms. Three processes are killed at random moments; whatever they left, each
    sample stands there once in the end, and no finished one was asked again: besides the 24
    replies that were kept only those are lost that were open (2) when a process died.
    """
    out, lot = tmp_path / "run", random.Random()
    with ChatServer(SLOWLY_RED) as server:
        arguments = ["eval", str(data), *options(server, out, *POLICIES)]
        finished = b""
        for kill in range(3):
            resume = ["--resume"] if kill else []
            wanted = finished.count(b"\n") + lot.randint(1, 6)
            with started(*arguments, *resume) as process:
                wait_until(lambda wanted=wanted: count_lines(out) >= wanted, process)
                time.sleep(lot.uniform(0, 0.02))
                process.kill()
                process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL
            left = (out / "episodes.jsonl").read_bytes()
            assert left.startswith(finished)
            finished = left[: left.rfind(b"\n") + 1]
            (out / "episodes.jsonl").write_bytes(finished + b'{"suite": "ro')  # died while writing
        given = run(*arguments, "--resume", "--json")
        assert given.code == 0, given.err
        asked = len(server.chats)
    assert (out / "episodes.jsonl").read_bytes().startswith(finished)
    assert keys(out) == {(policy, f"r{i}"): 1 for policy in POLICIES for i in range(ROWS)}
    assert 2 * ROWS <= asked <= 2 * ROWS + 3 * 2
    rows = json.loads((out / "summary.json").read_text())
    assert {row["policy"]: (row["n"], row["accuracy"]) for row in rows} == dict.fromkeys(
        POLICIES, (ROWS, 8 / 12)
    )
    environment = json.loads((out / "environment.json").read_text())
    assert len(environment["resumed"]) == 3


def test_an_interruption_says_how_to_resume(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with (
        ChatServer(SLOWLY_RED) as server,
        started("eval", str(data), *options(server, out, "low")) as process,
    ):
        wait_until(lambda: count_lines(out) >= 2, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line for line in err.splitlines() if line] == [
        f"{count_lines(out)} episodes are in {out}; add --resume to continue",
        "Error: interrupted",
    ]


def count_lines(run: Path) -> int:
    path = run / "episodes.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_an_outage_stops_the_run_which_can_be_resumed(data: Path, tmp_path: Path, run: Run) -> None:
    """5 replies, then the server is down: 5 failures in a row end the run, none of them is kept."""
    out = tmp_path / "run"
    with ChatServer(*[RED] * 5, status(500, "overloaded")) as server:
        given = run("eval", data, *options(server, out, "low"), "--concurrency", 1)
        assert given.code == 1
        assert given.err.startswith("Error: 5 episodes in a row failed (suite rows, policy low), ")
        assert "overloaded" in given.err
        assert given.err.count("\n") == 1
        assert (len(read(out)), len(server.chats)) == (5, 10)
    with ChatServer(RED) as server:
        given = run("eval", data, *options(server, out, "low"), "--concurrency", 1, "--resume")
        assert given.code == 0, given.err
        assert len(server.chats) == ROWS - 5


def test_with_max_failures_0_an_outage_leaves_errors(data: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "run"
    with ChatServer(*[RED] * 5, *[status(500, "overloaded")] * 9, RED) as server:
        arguments = ("eval", data, *options(server, out, "low"), "--concurrency", 1)
        assert run(*arguments).code == 1
        given = run(*arguments, "--resume", "--max-failures", 0)
    assert given.code == 0
    assert Counter(line["error"] is None for line in read(out)) == {True: 8, False: 4}


def test_unusable_rows_are_reported(data: Path, tmp_path: Path, run: Run) -> None:
    with data.open("a") as file:
        file.write('{"image": "none.png", "question": "Which?", "answer": "red"}\n')
    with ChatServer(RED) as server:
        given = run("eval", data, *options(server, tmp_path / "run", "low"))
        assert given.code == 1
        assert "1 of 13 rows of" in given.err
        assert "correct them, or set skip_bad" in given.err
        arguments = options(server, tmp_path / "run", "low")
        given = run("eval", data, *arguments, "--set", "skip_bad=true")
    assert given.code == 0
    assert given.err.startswith("rows: 1 unusable rows are left out, the first: row 13: ")


def test_errors_of_samples_are_counted_and_reported(data: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "run"
    with ChatServer(RED, status(500, "overloaded"), RED) as server:
        given = run("eval", data, *options(server, out, "low"), "--concurrency", 1)
    assert given.code == 0
    assert given.err.startswith("1 of 12 episodes have no score, the first: ")
    row = json.loads((out / "summary.json").read_text())[0]
    assert (row["n"], row["errors"]) == (11, 1)
    assert given.out.splitlines()[1].split()[-1] == "errors"
    assert given.out.splitlines()[2].split()[-1] == "1"


def test_failed_samples_are_asked_again(data: Path, tmp_path: Path, run: Run) -> None:
    """The second of 12 fails at low, and so does what the oracle makes of it. Asked again both have
    a score; what had one stays as it was.
    """
    out = tmp_path / "run"
    with ChatServer(*[RED] * 13, status(500, "overloaded"), RED) as server:
        arguments = ("eval", data, *options(server, out, "high", "low", "oracle"))
        assert run(*arguments, "--concurrency", 1).code == 0
        before = read(out)
        failed = [(e["policy"], e["id"]) for e in before if e["score"] is None]
        assert failed == [("low", "r1"), ("oracle", "r1")]
        given = run(*arguments, "--concurrency", 1, "--resume", "--retry-failed")
        assert given.code == 0
        assert given.err.startswith("asking 2 failed episodes again")
        assert len(server.chats) == 25
    after = read(out)
    assert after[:-2] == [e for e in before if e["score"] is not None]
    assert [(e["policy"], e["id"], e["score"]) for e in after[-2:]] == [
        *(("low", "r1", 1), ("oracle", "r1", 1))
    ]


def test_if_every_episode_fails_so_does_the_command(data: Path, tmp_path: Path, run: Run) -> None:
    with ChatServer(status(500, "overloaded")) as server:
        out = options(server, tmp_path / "run", "low")
        given = run("eval", data, *out, "--limit", 3)
    assert given.code == 1
    assert "Error: 3 of 3 episodes have no score, the first: " in given.err


def test_a_judge_may_decide(data: Path, tmp_path: Path, run: Run) -> None:
    """What crimson is, the rules leave to the model, which says that it is right."""
    out = tmp_path / "run"
    crimson = says(direct_reply("I see.", "crimson"))
    with ChatServer(crimson) as server, ChatServer(says("Score: 1")) as judge:
        given = run(
            *("eval", data, *options(server, out, "low")),
            *("--judge", "cascade", "--judge-url", judge.url, "--judge-model", "judge"),
        )
    assert given.code == 0, given.err
    assert Counter((e["by"], e["score"]) for e in read(out)) == {("llm", 1): 12}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mini"], 2, "--out RUN is missing: the folder for the files of the run"),
        (["mini", "--estimate", "--resume"], 2, "--out RUN is missing"),
        (["mini", "--estimate", "--policy", "low"], 2, "--estimate chooses its own policies"),
        (["mini", "--out", "OUT", "--retry-failed"], 2, "--retry-failed goes with --resume"),
        ([], 2, "Missing argument 'SUITE...'"),
        (["minni", "--out", "OUT"], 2, "there is no suite 'minni'"),
        (["mini", "--out", "OUT", "--policy", "hihg"], 2, "there is no policy 'hihg'"),
        (
            ["mini", "--out", "OUT", "--metric", "exactt"],
            2,
            "no metric 'exactt'; did you mean exac",
        ),
        (["mini", "--out", "OUT", "--limit", "0"], 2, "'--limit': 0 is not in the range x>=1"),
        (
            ["mini", "--out", "OUT", "--concurrency", "0"],
            2,
            "'--concurrency': 0 is not in the range",
        ),
        (["mini", "--out", "OUT", "--alone", "-1"], 2, "'--alone': -1 is not in the range x>=0"),
        (["mini", "--out", "OUT", "--max-turns", "0"], 2, "'--max-turns': 0 is not in the range"),
        (["mini", "--out", "OUT", "--gallery", "-1"], 2, "'--gallery': -1 is not in the range"),
        (["mini", "--out", "OUT", "--judge", "llm"], 2, "the judge 'llm' needs base_url"),
        (["mini", "--out", "OUT", "--set", "limit"], 2, "--set: expected key=value"),
        (["DATA", "--out", "OUT", "--set", "columns.answer=label"], 1, "no column 'label'"),
        (["DATA", "--out", "OUT", "--policy", "auto:general"], 2, "cannot request another look"),
        (["DATA", "--out", "DATA"], 2, "is a file"),
        (["DATA", "--out", "FULL"], 1, "is not empty and holds no run"),
        (["DATA", "--out", "OUT", "--policy", "fastv:0.5"], 2, "needs the hf engine"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str], code: int, message: str, data: Path, tmp_path: Path, run: Run
) -> None:
    script = tmp_path / "replies.txt"
    script.write_text(direct_reply("", "red"))
    places = {"DATA": str(data), "OUT": str(tmp_path / "run"), "FULL": str(tmp_path)}
    given = run(
        "eval",
        *(places.get(argument, argument) for argument in arguments),
        *("--engine", "scripted", "--model", script),
    )
    assert (given.code, given.out) == (code, "")
    assert message in given.err
    assert given.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
