"""Run folders: what is written, what a crash leaves, and what each broken folder says."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionthink.core.errors import RunError
from visionthink.runs.folder import RunFolder, describe_environment, flatten

CONFIG = {"model": "mini-base", "reward": {"rule": "paper", "theta": 0.2}, "seed": 1}
ENVIRONMENT = {"python": "3.11.2", "seeds": {"run": 1}}


def started(path: Path, config: dict[str, Any] | None = None, *, resume: bool = False) -> RunFolder:
    return RunFolder.create(path, config or CONFIG, environment=ENVIRONMENT, resume=resume)


def test_what_a_run_leaves(tmp_path: Path):
    run = started(tmp_path / "runs" / "a")
    run.append_metrics({"step": 0, "reward/total": 1.25})
    run.append_metrics({"step": 1, "reward/total": 1.5})
    run.append_episode({"step": 1, "answer": "\ud800 漢"})
    run.write_summary([{"suite": "mini", "accuracy": 0.5}])
    files = {path.name: path.read_text("ascii") for path in run.path.iterdir()}
    assert json.loads(files.pop("config.json")) == {"version": 1, "config": CONFIG}
    assert json.loads(files.pop("environment.json")) == ENVIRONMENT
    assert json.loads(files.pop("summary.json")) == [{"suite": "mini", "accuracy": 0.5}]
    assert files == {
        "metrics.jsonl": '{"step": 0, "reward/total": 1.25}\n{"step": 1, "reward/total": 1.5}\n',
        "episodes.jsonl": '{"step": 1, "answer": "\\ud800 \\u6f22"}\n',
    }
    read = RunFolder.open(run.path)
    assert read.config == CONFIG
    assert read.environment == ENVIRONMENT
    assert read.metrics() == [{"step": 0, "reward/total": 1.25}, {"step": 1, "reward/total": 1.5}]
    assert list(read.episodes()) == [{"step": 1, "answer": "\ud800 漢"}]
    assert read.summary == [{"suite": "mini", "accuracy": 0.5}]


def test_a_run_that_has_not_begun_to_write(tmp_path: Path):
    started(tmp_path)
    run = RunFolder.open(tmp_path)
    assert (run.metrics(), list(run.episodes()), run.summary) == ([], [], [])


def test_the_environment_is_described_if_none_is_given(tmp_path: Path):
    RunFolder.create(tmp_path, {})
    assert RunFolder.open(tmp_path).environment["python"] == sys.version.split()[0]


class Rule(StrEnum):
    PAPER = "paper"


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (math.nan, "null"),
        (math.inf, "null"),
        ([1.0, -math.inf], "[1.0, null]"),
        (np.float32(0.5), "0.5"),
        (np.float64(math.nan), "null"),
        (np.int64(3), "3"),
        (np.array([1, 2]), "[1, 2]"),
        (Rule.PAPER, '"paper"'),
        (Path("a") / "b", '"a/b"'),
        ((1, (True, None)), "[1, [true, null]]"),
        ({1: {"x": np.bool_(True)}}, '{"1": {"x": true}}'),
        (10**400, "1" + "0" * 400),
    ],
)
def test_values_become_strict_json(tmp_path: Path, given: Any, held: str):
    started(tmp_path).append_metrics({"step": 1, "x": given})
    assert (tmp_path / "metrics.jsonl").read_text() == f'{{"step": 1, "x": {held}}}\n'


def test_values_that_json_has_no_form_for(tmp_path: Path):
    run = started(tmp_path)
    with pytest.raises(RunError, match=r"metrics.jsonl: x holds a object, for which JSON has no"):
        run.append_metrics({"step": 1, "x": object()})
    with pytest.raises(RunError, match="config: a: b holds a set"):
        RunFolder.create(tmp_path / "other", {"a": {"b": {1}}})
    assert run.metrics() == []


@pytest.mark.parametrize("step", [None, 1.5, "1", True])
def test_metrics_need_a_step(tmp_path: Path, step: object):
    with pytest.raises(RunError, match=r"metrics need a whole number as their step; got"):
        started(tmp_path).append_metrics({"step": step} if step is not None else {})


def test_a_run_opened_to_be_read_is_not_written(tmp_path: Path):
    started(tmp_path)
    run = RunFolder.open(tmp_path)
    writings: list[Callable[[], None]] = [
        lambda: run.append_metrics({"step": 1}),
        lambda: run.append_episode({}),
        lambda: run.write_summary([]),
        lambda: run.truncate_metrics_after(1),
    ]
    for write in writings:
        with pytest.raises(RunError, match="was opened to be read"):
            write()


# Beginning and resuming


def test_a_folder_with_hidden_files_only_counts_as_empty(tmp_path: Path):
    (tmp_path / ".DS_Store").touch()
    assert started(tmp_path).config == CONFIG


def test_a_run_is_not_overwritten(tmp_path: Path):
    started(tmp_path).append_metrics({"step": 1})
    with pytest.raises(RunError, match=r"holds a run already: resume it .*, or name a new folder"):
        started(tmp_path)
    assert RunFolder.open(tmp_path).metrics() == [{"step": 1}]


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, resume: bool):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RunError, match=r"is not empty and holds no run .*name another folder"):
        started(tmp_path, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_place_of_the_folder(tmp_path: Path):
    (tmp_path / "a").touch()
    with pytest.raises(RunError, match=r"cannot write the run folder .*: File exists"):
        started(tmp_path / "a")


def test_resuming_where_there_is_nothing_begins(tmp_path: Path):
    run = started(tmp_path / "new", resume=True)
    assert run.environment == ENVIRONMENT


def test_resuming_keeps_everything_and_notes_where_it_went_on(tmp_path: Path):
    started(tmp_path).append_metrics({"step": 1})
    for place in ("b", "c"):
        run = RunFolder.create(tmp_path, CONFIG, environment={"python": place}, resume=True)
    run.append_metrics({"step": 2})
    assert run.metrics() == [{"step": 1}, {"step": 2}]
    assert run.environment == {**ENVIRONMENT, "resumed": [{"python": "b"}, {"python": "c"}]}


def test_tuples_and_paths_in_a_config_are_no_difference(tmp_path: Path):
    config = {"sizes": (1, 2), "data": Path("a/b"), "empty": {}}
    started(tmp_path, config)
    assert started(tmp_path, config, resume=True).config == {
        "sizes": [1, 2],
        "data": "a/b",
        "empty": {},
    }


def test_resuming_with_another_config_names_the_keys_and_the_ways_out(tmp_path: Path):
    """theta 0.2 to 0.3, seed gone, steps new; rule is as it was."""
    started(tmp_path)
    other = {"model": "mini-base", "reward": {"rule": "paper", "theta": 0.3}, "steps": 9}
    with pytest.raises(RunError) as caught:
        started(tmp_path, other, resume=True)
    assert str(caught.value) == (
        f"cannot resume {tmp_path}, its config differs in reward.theta (was 0.2, now 0.3), "
        "seed (was 1, now not set), steps (was not set, now 9): "
        "set these back, or start in a new folder"
    )


def test_many_differences_are_counted(tmp_path: Path):
    started(tmp_path, {f"k{i}": 0 for i in range(7)})
    with pytest.raises(RunError, match=r"k4 \(was 0, now \"z{36}\.\.\.\) and 2 more: set"):
        started(tmp_path, {f"k{i}": "z" * 50 for i in range(7)}, resume=True)


@pytest.mark.parametrize(
    ("held", "left"),
    [
        (b"", b""),
        (b'{"step": 1}\n', b'{"step": 1}\n'),
        (b'{"step": 1}\n{"step": 2', b'{"step": 1}\n'),
        (b'{"step": 1}\n{"step": 2}', b'{"step": 1}\n{"step": 2}\n'),
        (b'{"st', b""),
        (b'{"step": 1}\n' + b"\0" * 70_000, b'{"step": 1}\n'),
        (b'{"step": 1}\n{"x": "' + b"y" * 200_000, b'{"step": 1}\n'),
        (b'{"x": "' + b"y" * 200_000 + b'"}\n{', b'{"x": "' + b"y" * 200_000 + b'"}\n'),
    ],
)
def test_resuming_cuts_off_a_half_written_line(tmp_path: Path, held: bytes, left: bytes):
    """And a reader meanwhile leaves it out, as it may be about to be finished."""
    started(tmp_path)
    for name in ("metrics.jsonl", "episodes.jsonl"):
        (tmp_path / name).write_bytes(held)
    seen = RunFolder.open(tmp_path).metrics()
    run = started(tmp_path, resume=True)
    assert (tmp_path / "metrics.jsonl").read_bytes() == left
    assert (tmp_path / "episodes.jsonl").read_bytes() == left
    assert run.metrics() == list(run.episodes()) == seen


def test_going_on_from_a_checkpoint_drops_what_came_after_it(tmp_path: Path):
    """Checkpoint at step 2: lines of steps 3 and 4 go, an episode without a step stays."""
    run = started(tmp_path)
    for step in (1, 2, 3, 4):
        run.append_metrics({"step": step})
        run.append_metrics({"step": step, "eval/accuracy": 0.5})
        run.append_episode({"step": step, "id": f"e{step}"})
    run.append_episode({"id": "other"})
    run.truncate_metrics_after(2)
    run.append_metrics({"step": 3})
    assert [record["step"] for record in run.metrics()] == [1, 1, 2, 2, 3]
    assert [record["id"] for record in run.episodes()] == ["e1", "e2", "other"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("config.json", "environment.json", "episodes.jsonl", "metrics.jsonl")
    ]


def test_dropping_episodes(tmp_path: Path):
    """Of three the one without a score goes; the others keep their bytes."""
    run = started(tmp_path)
    (tmp_path / "episodes.jsonl").write_bytes(
        b'{"id": 1, "score":  1}\n{"id": 2, "score": null}\n{"id": 3, "score": 0}\n'
    )
    assert run.drop_episodes(lambda record: record["score"] is None) == 1
    left = (tmp_path / "episodes.jsonl").read_bytes()
    assert left == b'{"id": 1, "score":  1}\n{"id": 3, "score": 0}\n'


def test_truncating_a_run_without_lines(tmp_path: Path):
    run = started(tmp_path)
    run.truncate_metrics_after(0)
    assert run.metrics() == []


def test_truncating_stops_at_a_broken_line_and_changes_nothing(tmp_path: Path):
    run = started(tmp_path)
    held = b'{"step": 1}\nnonsense\n{"step": 2}\n'
    (tmp_path / "metrics.jsonl").write_bytes(held)
    with pytest.raises(RunError, match="line 2"):
        run.truncate_metrics_after(1)
    assert (tmp_path / "metrics.jsonl").read_bytes() == held


ENDLESS = """
import itertools, sys
from visionthink.runs.folder import RunFolder
run = RunFolder.create(sys.argv[1], {}, environment={})
for step in itertools.count():
    run.append_metrics({"step": step, "x": "y" * 9000})
    run.append_episode({"step": step, "x": "y" * 9000})
    if step == 20:
        print("going", flush=True)
"""


def test_a_killed_writer_leaves_a_run_that_goes_on(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
    seen = RunFolder.open(tmp_path).metrics()
    run = RunFolder.create(tmp_path, {}, environment={}, resume=True)
    assert [record["step"] for record in run.metrics()] == list(range(len(seen)))
    run.truncate_metrics_after(10)
    assert len(run.metrics()) == len(list(run.episodes())) == 11


# Broken folders


def damage(path: Path, name: str, text: str | None) -> None:
    if text is None:
        (path / name).unlink()
    else:
        (path / name).write_text(text, encoding="utf-8")


BROKEN = [
    ("config.json", None, r"no run in .*: config.json is missing; name a folder that has one"),
    ("config.json", "{", r"broken JSON in .*config.json, line 1: .*; mend or remove the file"),
    ("config.json", "[" * 100_000, "broken JSON in .*config.json"),
    ("config.json", "[]", r"config.json is not a JSON object: this is no run folder"),
    ("config.json", '{"model_type": "qwen2_5_vl"}', r'has no "version" and "config" of a run'),
    ("config.json", '{"version": 1, "config": []}', r'has no "version" and "config" of a run'),
    (
        "config.json",
        '{"version": 2, "config": {}}',
        r"of version 2, and this visionthink reads up to 1: update visionthink",
    ),
    ("environment.json", '{\n"a":\n}', r"broken JSON in .*environment.json, line 3"),
    ("environment.json", "[]", r"environment.json is not a JSON object"),
    ("summary.json", '{"a": 1}', r"summary.json is not a list of JSON objects"),
    ("summary.json", "[1]", r"summary.json is not a list of JSON objects"),
    ("metrics.jsonl", '{"step": 1}\nx\n{}\n', r"broken JSON in .*metrics.jsonl, line 2: no JSON o"),
    ("metrics.jsonl", "[1]\n", r"broken JSON in .*metrics.jsonl, line 1"),
    ("metrics.jsonl", '{"step": 1\n', r"broken JSON in .*metrics.jsonl, line 1"),
    ("episodes.jsonl", '{}\n{"a": NaN,}\n', r"broken JSON in .*episodes.jsonl, line 2"),
]


def read_all(path: Path) -> None:
    run = RunFolder.open(path)
    _ = run.environment, run.summary, run.metrics(), list(run.episodes())


@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_broken_folders_say_what_is_wrong(
    tmp_path: Path, name: str, text: str | None, message: str
):
    started(tmp_path)
    read_all(tmp_path)
    damage(tmp_path, name, text)
    with pytest.raises(RunError, match=message) as caught:
        read_all(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_folder(tmp_path: Path):
    with pytest.raises(RunError, match=r"no run folder at .*: there is no such folder"):
        RunFolder.open(tmp_path / "none")


def test_blank_lines_do_no_harm(tmp_path: Path):
    started(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n\n{"step": 2}\n\n')
    assert [record["step"] for record in RunFolder.open(tmp_path).metrics()] == [1, 2]


def test_flatten():
    nested = {"a": {"b": {"c": 1}, "d": [{"e": 2}]}, "f": {}, "g": None}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [{"e": 2}], "f": {}, "g": None}


# Environment


def test_what_is_known_of_the_environment():
    found = describe_environment(seeds={"run": 7}, gpu="H200 x 8", world_size=8)
    assert found["python"] == sys.version.split()[0]
    assert found["packages"]["visionthink"]
    assert found["machine"]["gpu"] == "H200 x 8"
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["machine"]["memory_bytes"] > 2**20
    assert (found["seeds"], found["world_size"]) == ({"run": 7}, 8)
    assert json.loads(json.dumps(found)) == found


def test_the_commit_is_ours_and_not_that_of_a_checkout_around_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Installed into some other project's checkout, the package knows no commit."""
    monkeypatch.setattr("visionthink.runs.environment._ROOT", tmp_path)
    assert describe_environment()["commit"] is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert describe_environment()["commit"] is None  # no commit yet
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert describe_environment()["commit"] == head.stdout.strip()
    (tmp_path / "a").write_text("a")
    subprocess.run([*git, "add", "a"], check=True)
    assert describe_environment()["commit"] == f"{head.stdout.strip()}-dirty"


def test_describing_loads_nothing_heavy():
    code = (
        "import sys; from visionthink.runs.folder import describe_environment;"
        "describe_environment(); print([m for m in ('torch', 'transformers', 'trl', 'openai')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
