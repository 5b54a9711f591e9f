"""The run folder: what training, evaluation and serving leave, and all that reports read.

    config.json       {"version": 1, "config": {...}}: the settings; its presence makes a run
    environment.json  versions, commit, machine, seeds; "resumed" has those of each resumption
    metrics.jsonl     one object a line, each with its "step"
    episodes.jsonl    one finished episode a line
    summary.json      a list of rows: the final figures of an evaluation

One process writes (it holds the lock file `.lock`), any number may read meanwhile: lines are only
appended, and whole files are replaced in one move. Readers skip a line that a crash cut short, and
resuming cuts it off.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, cast

from visionthink.core.errors import RunError
from visionthink.runs.environment import describe_environment as describe_environment
from visionthink.runs.files import (
    Lock,
    append_line,
    line_record,
    mend_lines,
    remove_parts,
    replacing,
    run_errors,
)

RUN_VERSION = 1
CONFIG, ENVIRONMENT, SUMMARY = "config.json", "environment.json", "summary.json"
METRICS_FILE, EPISODES_FILE = "metrics.jsonl", "episodes.jsonl"
LOCK = ".lock"


@dataclass(frozen=True)
class RunFolder:
    """A run on disk; see `create` and `open`. `config` is what the run was started with.

    One that was created holds the folder's lock until `close`, the end of a `with` block, or the
    end of the process.
    """

    path: Path
    config: Mapping[str, Any]
    _lock: Lock | None = field(default=None, repr=False, compare=False)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        environment: Mapping[str, Any] | None = None,
        resume: bool = False,
        may_change: Collection[str] = (),
        read: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    ) -> RunFolder:
        """Begin a run in a new or empty folder, or resume the one that is there.

        Args:
            path: the folder; made if missing. Files whose names start with a dot do not count.
            config: the settings of the run: anything that JSON can hold, paths as text.
            environment: default: `describe_environment()`.
            resume: continue a run of the same config if there is one. What a crash left at the end
                of its line files is cut off; nothing else is lost.
            may_change: keys such as `trainer.max_steps`, or groups such as `watchdog`, that may
                differ in a resumed run. The new values replace the old ones in the config, and the
                resumption notes the change.
            read: the config that is there, in the terms of `config`: older versions may have
                written it.

        Raises:
            RunError: the folder holds something else or another config, another process is writing
                to it, or it cannot be written.
        """
        folder = Path(path)
        settings = cast(dict[str, Any], _plain(config, "config"))
        described = describe_environment() if environment is None else environment
        found = cast(dict[str, Any], _plain(described, "environment"))
        with run_errors(f"cannot write the run folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            _check_empty(folder)  # before anything is put into it
            lock = Lock(folder / LOCK, str(folder))
            try:
                _check_empty(folder)
                run = cls(folder, settings, lock)
                if (folder / CONFIG).exists():
                    run._resume(found, resume, may_change, read)
                else:
                    run._write_config()
                    _replace(folder / ENVIRONMENT, found)
                return run
            except BaseException:
                lock.release()
                raise

    def _resume(
        self,
        environment: dict[str, Any],
        resume: bool,
        may_change: Collection[str],
        read: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        """Check that this run may continue the one that is there, and mend what a crash left."""
        if not resume:
            raise RunError(
                f"{self.path} holds a run already: resume it (--resume), or name a new folder"
            )
        before = read(_read_config(self.path))
        changes = _changes(self.path, before, self.config, may_change)
        remove_parts(self.path)
        for name in (METRICS_FILE, EPISODES_FILE):
            mend_lines(self.path / name)
        first = self.environment
        if changes:
            environment["changed"] = changes
        resumed = [*first.pop("resumed", []), environment]
        _replace(self.path / ENVIRONMENT, {**first, "resumed": resumed})
        if changes:
            self._write_config()

    def _write_config(self) -> None:
        _replace(self.path / CONFIG, {"version": RUN_VERSION, "config": self.config})

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write; this object can still be read."""
        if self._lock is not None:
            self._lock.release()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """A run to read. Raises RunError if the folder holds none, or one of a newer version."""
        folder = Path(path)
        if not os.path.isdir(folder):
            raise RunError(f"no run folder at {folder}: there is no such folder")
        if not os.path.isfile(folder / CONFIG):
            raise RunError(f"no run in {folder}: {CONFIG} is missing; name a folder that has one")
        return cls(folder, _read_config(folder))

    # Writing

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Append a line of metrics with the `step` that they belong to; NaN becomes null."""
        step = record.get("step")
        if not isinstance(step, int) or isinstance(step, bool):
            raise RunError(f"metrics: expected a whole number as step, got {step!r}")
        self._append(METRICS_FILE, record)

    def append_episode(self, record: Mapping[str, Any]) -> None:
        """Append a line: see `records.episode_record` and `records.sample_record`."""
        self._append(EPISODES_FILE, record)

    def write_summary(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `summary.json`, in place of an older one."""
        self._check_writable()
        with run_errors(f"cannot write {self.path / SUMMARY}"):
            _replace(self.path / SUMMARY, _plain(rows, SUMMARY))

    def truncate_metrics_after(self, step: int) -> None:
        """Drop metrics and episodes of steps after `step`, to resume from a checkpoint made there.

        Episodes without a step stay. Lines that stay keep their bytes.
        """

        def is_later(record: Mapping[str, Any]) -> bool:
            at = record.get("step")
            return isinstance(at, int | float) and at > step

        self._drop(METRICS_FILE, is_later)
        self._drop(EPISODES_FILE, is_later)

    def drop_episodes(self, unwanted: Callable[[Mapping[str, Any]], bool]) -> int:
        """Drop episodes, and return how many; those that stay keep their bytes."""
        return self._drop(EPISODES_FILE, unwanted)

    # Reading

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics, in the order they were written."""
        return [record for _, record in _lines(self.path / METRICS_FILE)]

    def episodes(self) -> Iterator[dict[str, Any]]:
        """All episodes in the order they were written, read one by one."""
        return (record for _, record in _lines(self.path / EPISODES_FILE))

    @property
    def environment(self) -> dict[str, Any]:
        """See `describe_environment`; "resumed", if it is there, is a list of one each."""
        found = _read(self.path / ENVIRONMENT, {})
        if not isinstance(found, dict):
            raise RunError(f"{self.path / ENVIRONMENT} is not a JSON object")
        environment = cast(dict[str, Any], found)
        if "resumed" in environment:  # whatever stands there: reports must not fail over it
            resumed = environment["resumed"]
            listed = cast(list[Any], resumed) if isinstance(resumed, list) else []
            environment["resumed"] = [each for each in listed if isinstance(each, dict)]
        return environment

    @property
    def summary(self) -> list[dict[str, Any]]:
        """The rows of `summary.json`; empty without one."""
        rows = _read(self.path / SUMMARY, [])
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) for row in cast(list[Any], rows)
        ):
            raise RunError(f"{self.path / SUMMARY} is not a list of JSON objects")
        return cast(list[dict[str, Any]], rows)

    def _append(self, name: str, record: Mapping[str, Any]) -> None:
        self._check_writable()
        line = json.dumps(_plain(record, name), allow_nan=False) + "\n"
        with run_errors(f"cannot write {self.path / name}"):
            append_line(self.path / name, line.encode("ascii"))

    def _drop(self, name: str, unwanted: Callable[[Mapping[str, Any]], bool]) -> int:
        self._check_writable()
        path, dropped = self.path / name, 0
        if not path.exists():
            return 0
        with run_errors(f"cannot shorten {path}"), replacing(path) as kept:
            for line, record in _lines(path):
                if unwanted(record):
                    dropped += 1
                else:
                    kept.write(line.rstrip(b"\n") + b"\n")
        return dropped

    def _check_writable(self) -> None:
        if self._lock is None:
            raise RunError(f"{self.path} was opened to be read: use RunFolder.create to write")
        if not self._lock.held:
            raise RunError(f"{self.path} was closed, or resumed elsewhere in this process")


def _check_empty(folder: Path) -> None:
    """Raise RunError if the folder holds something that is not a run."""
    if (folder / CONFIG).exists():
        return
    if any(not name.startswith(".") for name in os.listdir(folder)):
        raise RunError(
            f"{folder} is not empty and holds no run ({CONFIG} is missing): "
            "name another folder, or empty this one"
        )


# Config


def _changes(
    folder: Path,
    held: Mapping[str, Any],
    config: Mapping[str, Any],
    may_change: Collection[str],
) -> dict[str, dict[str, Any]]:
    """What `config` changes in the run in `folder`. Raises RunError for all but `may_change`."""
    before, now = flatten(held), flatten(config)
    absent = object()
    keys = [k for k in {**before, **now} if before.get(k, absent) != now.get(k, absent)]
    refused = sorted(key for key in keys if not _is_among(key, may_change))
    if refused:
        shown = [
            f"{key} (was {_short(before, key)}, now {_short(now, key)})" for key in refused[:5]
        ]
        more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise RunError(
            f"cannot resume {folder}, its config differs in {', '.join(shown)}{more}: "
            "set these back, or start in a new folder"
        )
    return {key: {"was": before.get(key), "now": now.get(key)} for key in sorted(keys)}


def _is_among(key: str, groups: Collection[str]) -> bool:
    return any(key == group or key.startswith(f"{group}.") for group in groups)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys such as `reward.rule`; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(cast(Mapping[str, Any], value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _short(flat: Mapping[str, Any], key: str) -> str:
    if key not in flat:
        return "not set"
    text = json.dumps(flat[key])
    return text if len(text) <= 40 else f"{text[:37]}..."


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    held = _read(path, None)
    if not isinstance(held, dict):
        raise RunError(f"{path} is not a JSON object: this is not a run folder")
    held = cast(dict[str, Any], held)
    version, config = held.get("version"), held.get("config")
    if isinstance(version, int) and version > RUN_VERSION:
        raise RunError(
            f"{folder} is a run folder of version {version}, and this visionthink reads up to "
            f"version {RUN_VERSION}: update visionthink"
        )
    if version != RUN_VERSION or not isinstance(config, dict):
        raise RunError(f'{path} has no "version" and "config" of a run: this is not a run folder')
    return cast(dict[str, Any], config)


# JSON


def _plain(value: Any, where: str) -> Any:
    """`value` in terms of strict JSON: without NaN, tuples, arrays and enums."""
    match value:
        case Enum():
            return _plain(value.value, where)
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case PurePath():
            return str(value)
        case Mapping():
            items = cast(Mapping[Any, Any], value).items()
            return {str(key): _plain(item, f"{where}: {key}") for key, item in items}
        case list() | tuple():
            return [_plain(item, where) for item in cast(Sequence[Any], value)]
        case _:
            tolist: Any = getattr(value, "tolist", None)  # numbers and arrays of numpy and torch
            if callable(tolist):
                return _plain(tolist(), where)
            raise RunError(
                f"{where}: expected numbers, text, lists or mappings, as JSON can hold; got a "
                f"{type(value).__name__}"
            )


def _read(path: Path, default: Any) -> Any:
    """The JSON in a file; `default` if there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return default
    except json.JSONDecodeError as error:
        problem = f"broken JSON in {path}, line {error.lineno}: {error.msg}"
        raise RunError(f"{problem}; mend or remove the file") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or nested without end
        raise RunError(f"broken JSON in {path}: {error}; mend or remove the file") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The lines of a file with their records; an unfinished last line is left out."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                record = line_record(line)
                if record is not None:
                    yield line, record
                elif line.endswith(b"\n") and line.strip():
                    raise RunError(
                        f"broken JSON in {path}, line {number}: no JSON object; "
                        "mend or remove that line"
                    )
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error


def _replace(path: Path, value: Any) -> None:
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii"))
