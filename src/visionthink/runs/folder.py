"""The run folder: what training, evaluation and serving leave, and all that reports read.

    config.json       {"version": 1, "config": {...}}: what was asked for; its presence makes a run
    environment.json  versions, commit, machine kind, seeds; of every resumption as well
    metrics.jsonl     one object a line, each with its "step"
    episodes.jsonl    one finished episode a line
    summary.json      a list of rows: the figures that an evaluation ends with

One process writes, any number read meanwhile: lines are only appended, and whole files are replaced
in one move. A line that a crash cut short is ignored by readers and cut off on resumption.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, cast

from visionthink.runs.environment import describe_environment as describe_environment
from visionthink.core.errors import RunError

RUN_VERSION = 1
CONFIG, ENVIRONMENT, SUMMARY = "config.json", "environment.json", "summary.json"
METRICS, EPISODES = "metrics.jsonl", "episodes.jsonl"
_BLOCK = 1 << 16


@dataclass(frozen=True)
class RunFolder:
    """A run on disk; see `create` and `open`. `config` is what the run was started with."""

    path: Path
    config: Mapping[str, Any]
    writable: bool = False

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        environment: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> RunFolder:
        """Begin a run in a new or empty folder, or go on with the one that is there.

        Args:
            path: the folder; made if missing. Files whose names start with a dot do not count.
            config: what the run is to do: anything that JSON can hold, paths as text.
            environment: default: `describe_environment()`.
            resume: go on with a run of the same config if there is one. What a crash cut short at
                the end of its line files is cut off; nothing else is lost.

        Raises:
            RunError: the folder holds something else, another config, or cannot be written.
        """
        folder = Path(path)
        wanted = cast(dict[str, Any], _plain(config, "config"))
        described = describe_environment() if environment is None else environment
        found = cast(dict[str, Any], _plain(described, "environment"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / CONFIG).exists():
                run = cls(folder, _resumable(folder, wanted, resume), writable=True)
                for name in (METRICS, EPISODES):
                    _mend(folder / name)
                before = run.environment
                resumed = [*before.pop("resumed", []), found]
                _replace(folder / ENVIRONMENT, {**before, "resumed": resumed})
                return run
            if any(not name.startswith(".") for name in os.listdir(folder)):
                raise RunError(
                    f"{folder} is not empty and holds no run ({CONFIG} is missing): "
                    "name another folder, or empty this one"
                )
            _replace(folder / CONFIG, {"version": RUN_VERSION, "config": wanted})
            _replace(folder / ENVIRONMENT, found)
        except OSError as error:
            raise RunError(f"cannot write the run folder {folder}: {_why(error)}") from error
        return cls(folder, wanted, writable=True)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """A run to read. Raises RunError if the folder holds none, or a newer kind of run."""
        folder = Path(path)
        if not os.path.isdir(folder):
            raise RunError(f"no run folder at {folder}: there is no such folder")
        if not os.path.isfile(folder / CONFIG):
            raise RunError(f"no run in {folder}: {CONFIG} is missing; name a folder that has one")
        return cls(folder, _read_config(folder))

    # Writing

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """One line of metrics, with the `step` they belong to; NaN and infinities become null."""
        step = record.get("step")
        if not isinstance(step, int) or isinstance(step, bool):
            raise RunError(f"metrics need a whole number as their step; got {step!r}")
        self._append(METRICS, record)

    def append_episode(self, record: Mapping[str, Any]) -> None:
        """One line: see `records.episode_record` and `records.sample_record`."""
        self._append(EPISODES, record)

    def write_summary(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put `summary.json` in place of the one before, if there is one."""
        self._check_writable()
        try:
            _replace(self.path / SUMMARY, _plain(rows, SUMMARY))
        except OSError as error:
            raise RunError(f"cannot write {self.path / SUMMARY}: {_why(error)}") from error

    def truncate_metrics_after(self, step: int) -> None:
        """Drop metrics and episodes of steps after `step`, to go on from a checkpoint made there.

        Episodes that name no step stay. Lines that stay keep their bytes.
        """

        def is_later(record: Mapping[str, Any]) -> bool:
            at = record.get("step")
            return isinstance(at, int | float) and at > step

        self._drop(METRICS, is_later)
        self._drop(EPISODES, is_later)

    def drop_episodes(self, unwanted: Callable[[Mapping[str, Any]], bool]) -> int:
        """Take episodes out, and say how many; those that stay keep their bytes."""
        return self._drop(EPISODES, unwanted)

    # Reading

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics, in the order they were written."""
        return [record for _, record in _lines(self.path / METRICS)]

    def episodes(self) -> Iterator[dict[str, Any]]:
        """The episodes, read one by one."""
        return (record for _, record in _lines(self.path / EPISODES))

    @property
    def environment(self) -> dict[str, Any]:
        """See `describe_environment`; "resumed" has one more of each resumption."""
        found = _read(self.path / ENVIRONMENT, {})
        if not isinstance(found, dict):
            raise RunError(f"{self.path / ENVIRONMENT} is not a JSON object")
        return cast(dict[str, Any], found)

    @property
    def summary(self) -> list[dict[str, Any]]:
        """The rows of `summary.json`; none if there is none."""
        rows = _read(self.path / SUMMARY, [])
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) for row in cast(list[Any], rows)
        ):
            raise RunError(f"{self.path / SUMMARY} is not a list of JSON objects")
        return cast(list[dict[str, Any]], rows)

    def _append(self, name: str, record: Mapping[str, Any]) -> None:
        self._check_writable()
        line = json.dumps(_plain(record, name), allow_nan=False) + "\n"
        try:
            with (self.path / name).open("ab", buffering=0) as file:
                _write_all(file.write, line.encode("ascii"))
        except OSError as error:
            raise RunError(f"cannot write {self.path / name}: {_why(error)}") from error

    def _drop(self, name: str, unwanted: Callable[[Mapping[str, Any]], bool]) -> int:
        self._check_writable()
        path = self.path / name
        if not path.exists():
            return 0
        partial, dropped = _partial(path), 0
        try:
            with partial.open("wb") as kept:
                for line, record in _lines(path):
                    if unwanted(record):
                        dropped += 1
                    else:
                        kept.write(line.rstrip(b"\n") + b"\n")
            os.replace(partial, path)
        except OSError as error:
            raise RunError(f"cannot shorten {path}: {_why(error)}") from error
        finally:
            partial.unlink(missing_ok=True)
        return dropped

    def _check_writable(self) -> None:
        if not self.writable:
            raise RunError(f"{self.path} was opened to be read: use RunFolder.create to write")


# Config


def _resumable(folder: Path, wanted: Mapping[str, Any], resume: bool) -> dict[str, Any]:
    """The config of the run in `folder`, if the wanted one may go on with it."""
    if not resume:
        raise RunError(f"{folder} holds a run already: resume it (--resume), or name a new folder")
    had = _read_config(folder)
    before, now = flatten(had), flatten(wanted)
    absent = object()
    keys = [k for k in {**before, **now} if before.get(k, absent) != now.get(k, absent)]
    if keys:
        told = [
            f"{key} (was {_short(before, key)}, now {_short(now, key)})" for key in sorted(keys)[:5]
        ]
        more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
        raise RunError(
            f"cannot resume {folder}, its config differs in {', '.join(told)}{more}: "
            "set these back, or start in a new folder"
        )
    return had


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
        raise RunError(f"{path} is not a JSON object: this is no run folder")
    held = cast(dict[str, Any], held)
    version, config = held.get("version"), held.get("config")
    if isinstance(version, int) and version > RUN_VERSION:
        raise RunError(
            f"{folder} is a run folder of version {version}, and this visionthink reads up to "
            f"{RUN_VERSION}: update visionthink"
        )
    if version != RUN_VERSION or not isinstance(config, dict):
        raise RunError(f'{path} has no "version" and "config" of a run: this is no run folder')
    return cast(dict[str, Any], config)


# JSON


def _plain(value: Any, where: str) -> Any:
    """`value` in what strict JSON can hold: no NaN, no tuples, no arrays, no enums."""
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
                f"{where} holds a {type(value).__name__}, for which JSON has no form: "
                "give numbers, text, lists or mappings"
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
        raise RunError(f"cannot read {path}: {_why(error)}") from error


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The lines of a file with what they hold. A last one still being written is left out."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                record = _record(line)
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
        raise RunError(f"cannot read {path}: {_why(error)}") from error


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], found) if isinstance(found, dict) else None


# Files


def _mend(path: Path) -> None:
    """Cut off a last line that was not written to its end; end one that only lacks its newline."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start, tail = end, b""
        while start and b"\n" not in tail:
            start = max(0, start - _BLOCK)
            file.seek(start)
            tail = file.read(min(_BLOCK, end - start - len(tail))) + tail
        line = tail.rpartition(b"\n")[2]
        if line and _record(line) is None:
            file.truncate(end - len(line))
        elif line:
            file.seek(end)
            file.write(b"\n")


def _replace(path: Path, value: Any) -> None:
    """Write JSON so that a reader, or a crash, finds the old file or the new one whole."""
    partial = _partial(path)
    with partial.open("wb") as file:
        file.write((json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _write_all(write: Callable[[bytes], int | None], data: bytes) -> None:
    while data:
        data = data[write(data) or 0 :]


def _why(error: OSError) -> str:
    return error.strerror or str(error)
