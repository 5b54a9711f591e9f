"""What lmms-eval writes: a file of results, and one of samples for each task. Its exit code is 0
even if it fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionthink.core.errors import RunError
from visionthink.evaluation.lmms.manifest import MODEL

RESULTS, SAMPLES = "_results.json", "_samples_"
FAILURE = "[LMMS_EVAL_"
"""How the text starts that lmms-eval's models give instead of an answer that they did not get."""


@dataclass(frozen=True)
class Results:
    """One run of lmms-eval.

    Attributes:
        path: the file of results.
        held: what it holds.
    """

    path: Path
    held: Mapping[str, Any]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that were run, without groups, which have no samples of their own."""
        return tuple(self.held["n-samples"])

    @property
    def model(self) -> str:
        """The --model that was given."""
        return str(self.held["config"]["model"])

    @property
    def is_ours(self) -> bool:
        return self.model == MODEL

    def model_arg(self, name: str) -> str | None:
        """One of the --model_args."""
        given = self.held["config"].get("model_args") or ""
        if isinstance(given, Mapping):
            return None if given.get(name) is None else str(given[name])
        found = re.search(rf"(?:^|,)\s*{name}=([^,]*)", given)
        return found[1].strip() if found else None

    def values(self, task: str) -> Mapping[str, Any]:
        return self.held["results"].get(task, {})

    def samples(self, task: str) -> list[dict[str, Any]]:
        """The lines about a task's samples, in order.

        Raises:
            RunError: they were not kept, are broken, or some are missing.
        """
        stem = self.path.name.removesuffix(RESULTS)
        path = self.path.with_name(f"{stem}{SAMPLES}{task}.jsonl")
        if not path.is_file():
            raise RunError(
                f"no samples of task {task} at {path}: without them failures look like answers; "
                "run lmms-eval again with --log_samples"
            )
        lines = list(_lines(path))
        expected = self.held["n-samples"][task]["effective"]
        if len(lines) != expected:
            raise RunError(f"{path} has {len(lines)} samples, and {self.path.name} says {expected}")
        return sorted(lines, key=lambda line: line["doc_id"])


def find_results(place: Path) -> Results:
    """The results in a file, or in the only such file of a folder.

    Raises:
        RunError: there is no such file, there are several, or it cannot be read.
    """
    if place.is_file():
        return _read(place)
    if not place.is_dir():
        raise RunError(
            f"no results of lmms-eval at {place}: there is no such file or folder; if lmms-eval "
            "should have written it, it failed (its exit code is 0 even then)"
        )
    found = sorted(place.rglob(f"*{RESULTS}"))
    if not found:
        raise RunError(
            f"no results of lmms-eval in {place} (*{RESULTS}): it had no --output_path, or failed "
            "(its exit code is 0 even then); see its log"
        )
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(place)) for path in found[:3])
        raise RunError(f"{place} holds {len(found)} results ({names}, …): give one of these files")
    return _read(found[0])


def texts(line: Mapping[str, Any]) -> list[str]:
    """The model's replies to a sample: one for each repetition."""
    return list(_flat(line.get("resps", line["filtered_resps"])))


def is_failed(line: Mapping[str, Any]) -> bool:
    return any(text.startswith(FAILURE) for text in texts(line))


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _flat(inner)


def _read(path: Path) -> Results:
    try:
        held = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    keys = ("results", "n-samples", "config")
    if not isinstance(held, dict) or not all(isinstance(held.get(key), dict) for key in keys):
        raise RunError(f"{path} is not a results file of lmms-eval: it needs {', '.join(keys)}")
    return Results(path, held)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                line = json.loads(text)
                if not isinstance(line, dict) or not {"doc_id", "filtered_resps"} <= line.keys():
                    raise RunError(f"{path}, line {number}: not a sample of lmms-eval")
                yield line
    except (OSError, ValueError) as error:
        raise RunError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
