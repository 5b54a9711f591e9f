"""Run folders: what is written, what a crash leaves, who may write, and errors of broken ones."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


def test_the_files_of_a_run(tmp_path: Path):
    run = started(tmp_path / "runs" / "a")
    run.append_metrics({"step": 0, "reward/total": 1.25})
    run.append_metrics({"step": 1, "reward/total": 1.5})
    run.append_episode({"step": 1, "answer": "\ud800 漢"})
    run.write_summary([{"suite": "mini", "accuracy": 0.5}])
    run.close()
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


def test_a_run_without_records_reads_as_empty(tmp_path: Path):
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


def test_values_that_json_cannot_hold_are_refused(tmp_path: Path):
    run = started(tmp_path)
    with pytest.raises(RunError, match=r"metrics.jsonl: x: expected numbers, .*; got a object"):
        run.append_metrics({"step": 1, "x": object()})
    with pytest.raises(RunError, match=r"config: a: b: expected .*; got a set"):
        RunFolder.create(tmp_path / "other", {"a": {"b": {1}}})
    assert run.metrics() == []


@pytest.mark.parametrize("step", [None, 1.5, "1", True])
def test_metrics_need_a_step(tmp_path: Path, step: object):
    with pytest.raises(RunError, match=r"metrics: expected a whole number as step, got"):
        started(tmp_path).append_metrics({"step": step} if step is not None else {})


def test_a_run_opened_for_reading_cannot_be_written(tmp_path: Path):
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


def test_resuming_an_empty_folder_starts_a_run(tmp_path: Path):
    run = started(tmp_path / "new", resume=True)
    assert run.environment == ENVIRONMENT


def test_resuming_keeps_everything_and_notes_the_environment(tmp_path: Path):
    started(tmp_path).append_metrics({"step": 1})
    for place in ("b", "c"):
        run = RunFolder.create(tmp_path, CONFIG, environment={"python": place}, resume=True)
    run.append_metrics({"step": 2})
    assert run.metrics() == [{"step": 1}, {"step": 2}]
    assert run.environment == {**ENVIRONMENT, "resumed": [{"python": "b"}, {"python": "c"}]}


def test_tuples_and_paths_in_a_config_compare_as_json(tmp_path: Path):
    config = {"sizes": (1, 2), "data": Path("a/b"), "empty": {}}
    started(tmp_path, config)
    assert started(tmp_path, config, resume=True).config == {
        "sizes": [1, 2],
        "data": "a/b",
        "empty": {},
    }


def test_resuming_with_another_config_names_the_differing_keys(tmp_path: Path):
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
        (b'{"step": 1}\n\xff\xfe{', b'{"step": 1}\n'),
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


def test_truncating_drops_metrics_and_episodes_of_later_steps(tmp_path: Path):
    """Checkpoint at step 2: lines of steps 3 and 4 go, an episode without a step stays."""
    run = started(tmp_path)
    for step in (1, 2, 3, 4):
        run.append_metrics({"step": step})
        run.append_metrics({"step": step, "eval/accuracy": 0.5})
        run.append_episode({"step": step, "id": f"e{step}"})
    run.append_episode({"id": "other"})
    run.truncate_metrics_after(2)
    run.append_metrics({"step": 3})
    run.close()
    assert [record["step"] for record in run.metrics()] == [1, 1, 2, 2, 3]
    assert [record["id"] for record in run.episodes()] == ["e1", "e2", "other"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("config.json", "environment.json", "episodes.jsonl", "metrics.jsonl")
    ]


def test_dropped_episodes_are_counted_and_the_others_keep_their_bytes(tmp_path: Path):
    """Of three the one without a score goes; the others keep their bytes."""
    run = started(tmp_path)
    (tmp_path / "episodes.jsonl").write_bytes(
        b'{"id": 1, "score":  1}\n{"id": 2, "score": null}\n{"id": 3, "score": 0}\n'
    )
    assert run.drop_episodes(lambda record: record["score"] is None) == 1
    left = (tmp_path / "episodes.jsonl").read_bytes()
    assert left == b'{"id": 1, "score":  1}\n{"id": 3, "score": 0}\n'


def test_truncating_a_run_without_records_does_nothing(tmp_path: Path):
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


def test_a_run_whose_writer_was_killed_can_be_resumed(tmp_path: Path):
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


@pytest.mark.parametrize(
    "tail",
    [
        b"\0" * 5000 + b"\n",
        b"\0\n\0\0\n\0",
        b"\xff\xfe\x80\n",
        b'{"step": 2, "x": "\xff"}\n',
        '{"step": 2}'.encode("utf-16-le") + b"\n",
    ],
)
def test_resuming_cuts_off_nul_bytes_and_bytes_that_are_not_utf_8(tmp_path: Path, tail: bytes):
    """As a power cut leaves them, also where they happen to hold line ends."""
    started(tmp_path)
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + tail)
    run = started(tmp_path, resume=True)
    run.append_metrics({"step": 2})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 1}\n{"step": 2}\n'


def test_resuming_leaves_text_that_is_not_json_for_its_author(tmp_path: Path):
    started(tmp_path)
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\nnonsense\n')
    run = started(tmp_path, resume=True)
    with pytest.raises(RunError, match="line 2"):
        run.metrics()


def test_an_append_cut_short_by_a_full_disk_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The disk takes 4 bytes of the second record; the third comes when there is room again."""
    run = started(tmp_path)
    run.append_metrics({"step": 1})
    room, write = [4, 0], os.write

    def short(file: int, data: memoryview) -> int:
        if not (count := room.pop(0)):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:count])

    with monkeypatch.context() as full:
        full.setattr(os, "write", short)
        with pytest.raises(RunError, match="No space left on device"):
            run.append_metrics({"step": 2})
    run.append_metrics({"step": 3})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 1}\n{"step": 3}\n'


# Settings that may change


def test_settings_that_may_change_are_kept_and_noted(tmp_path: Path):
    """theta is named by itself, watch.* by its group; seed may not change."""
    config: dict[str, Any] = {"theta": 0.2, "seed": 1, "watch": {"steps": 5}}
    started(tmp_path, config)
    changed = {"theta": 0.3, "seed": 1, "watch": {"steps": 6, "margin": 0.1}}
    allowed = ("theta", "watch")
    run = RunFolder.create(
        tmp_path, changed, environment={"python": "b"}, resume=True, may_change=allowed
    )
    assert RunFolder.open(tmp_path).config == changed
    assert run.environment["resumed"] == [
        {
            "python": "b",
            "changed": {
                "theta": {"was": 0.2, "now": 0.3},
                "watch.margin": {"was": None, "now": 0.1},
                "watch.steps": {"was": 5, "now": 6},
            },
        }
    ]
    with pytest.raises(RunError, match=r"its config differs in seed \(was 1, now 2\): set"):
        RunFolder.create(
            tmp_path, {**changed, "seed": 2, "theta": 0}, resume=True, may_change=allowed
        )


def test_resuming_without_changes_leaves_the_config_alone(tmp_path: Path):
    started(tmp_path)
    before = (tmp_path / "config.json").stat()
    started(tmp_path, resume=True)
    after = (tmp_path / "config.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("held", ["5", "null", '"x"', '{"a": 1}', '[5, {"python": "b"}]'])
def test_resumptions_of_another_shape_do_no_harm(tmp_path: Path, held: str):
    """Someone wrote `"resumed": 5`: objects in a list are kept, anything else is left out."""
    started(tmp_path)
    (tmp_path / "environment.json").write_text(f'{{"python": "a", "resumed": {held}}}')
    kept = [{"python": "b"}] if "b" in held else []
    assert RunFolder.open(tmp_path).environment == {"python": "a", "resumed": kept}
    run = started(tmp_path, resume=True)
    assert run.environment == {"python": "a", "resumed": [*kept, ENVIRONMENT]}


# One writer at a time


HOLDS = """
import os, sys, time
from visionthink.runs.folder import RunFolder
run = RunFolder.create(sys.argv[1], {}, environment={}, resume=True)
run.append_metrics({"step": 1})
if "fork" not in sys.argv or os.fork() == 0:
    print("holds", flush=True)
time.sleep(60)
"""


@contextmanager
def writer(path: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to a run; killed at the end, with its children."""
    command = [sys.executable, "-c", HOLDS, str(path), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holds\n"
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_writer_is_refused_and_changes_nothing(tmp_path: Path, resume: bool):
    """Readers are not; the one who writes is named."""
    with writer(tmp_path) as process:
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(RunError) as caught:
            RunFolder.create(tmp_path, {}, environment={}, resume=resume)
        assert str(caught.value) == (
            f"{tmp_path} is in use: process {process.pid} is writing to it; "
            "wait until it ends, or stop it"
        )
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        assert RunFolder.open(tmp_path).metrics() == [{"step": 1}]


@pytest.mark.parametrize("more", [(), ("fork",)])
def test_a_killed_writer_does_not_block(tmp_path: Path, more: tuple[str, ...]):
    """Nor does a child of it that lives on."""
    with writer(tmp_path, *more) as process:
        process.kill()
        process.wait()
        assert (tmp_path / ".lock").read_text() == f"{process.pid}\n"
        run = RunFolder.create(tmp_path, {}, environment={}, resume=True)
        run.append_metrics({"step": 2})
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_file_of_a_process_that_is_gone_does_not_block(tmp_path: Path):
    (tmp_path / ".lock").write_text("1\n")
    with started(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    assert not (tmp_path / ".lock").exists()


def test_a_later_writer_of_the_same_process_takes_over(tmp_path: Path):
    """So that a notebook whose run failed can resume it."""
    first = started(tmp_path)
    second = started(tmp_path, resume=True)
    second.append_metrics({"step": 1})
    with pytest.raises(RunError, match="was closed, or resumed elsewhere in this process"):
        first.append_metrics({"step": 2})
    del first
    assert (tmp_path / ".lock").exists()
    second.close()
    with pytest.raises(RunError, match="was closed"):
        second.append_metrics({"step": 2})
    assert second.metrics() == [{"step": 1}]


def test_a_refused_run_leaves_no_lock(tmp_path: Path):
    started(tmp_path)
    with pytest.raises(RunError, match="holds a run already"):
        started(tmp_path)
    assert not (tmp_path / ".lock").exists()


# Links


@pytest.mark.parametrize("name", ["config.json", "environment.json", "summary.json"])
def test_a_link_in_place_of_a_file_is_replaced(tmp_path: Path, name: str):
    target = tmp_path / "precious"
    target.write_text("{}")
    run = started(tmp_path / "run")
    run.write_summary([])
    (run.path / name).unlink()
    (run.path / name).symlink_to(target)
    if name == "config.json":
        with pytest.raises(RunError, match="this is not a run folder"):
            started(tmp_path / "run", resume=True)
    else:
        started(tmp_path / "run", resume=True).write_summary([{"n": 1}])
        assert not (run.path / name).is_symlink()
    assert target.read_text() == "{}"


@pytest.mark.parametrize("name", ["metrics.jsonl", ".lock"])
def test_a_link_in_place_of_a_file_that_is_appended_to_is_refused(tmp_path: Path, name: str):
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(target)
    if name == ".lock":
        with pytest.raises(RunError, match=r"cannot write the run folder .*symbolic link"):
            started(tmp_path / "run")
    else:
        (tmp_path / "run" / name).unlink()
        run = started(tmp_path / "run")
        (tmp_path / "run" / name).symlink_to(target)
        with pytest.raises(RunError, match=r"cannot write .*symbolic link"):
            run.append_metrics({"step": 1})
    assert target.read_text() == "mine"


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
    ("config.json", "[]", r"config.json is not a JSON object: this is not a run folder"),
    ("config.json", '{"model_type": "qwen2_5_vl"}', r'has no "version" and "config" of a run'),
    ("config.json", '{"version": 1, "config": []}', r'has no "version" and "config" of a run'),
    (
        "config.json",
        '{"version": 2, "config": {}}',
        r"of version 2, and this visionthink reads up to version 1: update visionthink",
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


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path):
    with pytest.raises(RunError, match=r"no run folder at .*: there is no such folder"):
        RunFolder.open(tmp_path / "none")


def test_blank_lines_are_skipped(tmp_path: Path):
    started(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n\n{"step": 2}\n\n')
    assert [record["step"] for record in RunFolder.open(tmp_path).metrics()] == [1, 2]


def test_flatten_joins_keys_with_dots():
    nested = {"a": {"b": {"c": 1}, "d": [{"e": 2}]}, "f": {}, "g": None}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [{"e": 2}], "f": {}, "g": None}


# Environment


def test_the_environment_has_versions_machine_and_seeds():
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


def test_describing_the_environment_imports_none_of_the_packages_it_names():
    code = (
        "import sys; from visionthink.runs.folder import describe_environment;"
        "describe_environment(); print([m for m in ('torch', 'transformers', 'trl', 'openai')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
