"""Processes of the environment that `scripts/lmms_env.sh` builds, without a network."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-lmms"
PYTHON = ENVIRONMENT / "bin" / "python"
TIMEOUT = 900
"""Seconds; a process takes fifteen on an idle machine."""

SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "NO_COLOR": "1",
}


@dataclass(frozen=True)
class Done:
    """A process that ended. `folder` holds what lmms-eval left."""

    code: int
    output: str
    folder: Path

    def results(self) -> dict[str, Any]:
        (path,) = self.folder.rglob("*_results.json")
        return json.loads(path.read_text())

    def samples(self, task: str) -> list[dict[str, Any]]:
        (path,) = self.folder.rglob(f"*_samples_{task}.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]


@dataclass(frozen=True)
class Tasks:
    """Definitions of tasks on local data.

    Attributes:
        folder: of the definitions, for --include_path.
        files: the data, by task.
        names: what lmms-eval calls each task.
    """

    folder: Path
    files: dict[str, Path]
    names: dict[str, str]


@dataclass(frozen=True)
class Ran:
    """A finished run of lmms-eval, and where our model kept its episodes."""

    done: Done
    run: Path


def is_installed() -> bool:
    return (ENVIRONMENT / "stamp").is_file()


def python(*arguments: object, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in that environment; what it caches stays in `scratch`."""
    return subprocess.run(
        [str(PYTHON), *map(str, arguments)],
        cwd=scratch,
        env={**os.environ, **SETTINGS, "HF_HOME": str(scratch / "hf")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )


def lmms_eval(
    *arguments: object, tasks: list[str], include: Path, folder: Path, model_args: str
) -> Done:
    """`python -m lmms_eval --model visionthink` as anybody starts it."""
    done = python(
        *("-m", "lmms_eval", "--model", "visionthink", "--model_args", model_args),
        *("--tasks", ",".join(tasks), "--include_path", include),
        *("--output_path", folder, "--log_samples", *arguments),
        scratch=include.parent,
    )
    return Done(done.returncode, done.stdout, folder)
