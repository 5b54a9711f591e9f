"""Official data of six benchmarks, and one run of lmms-eval over all of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lmms_process
import official_rows
import pytest
from lmms_process import Ran, Tasks

HERE = Path(__file__).parent

DEFINE = """
import sys
from pathlib import Path
from visionthink.evaluation.lmms.preset import local_task

for item in sys.argv[2:]:
    task, file = item.split("=")
    print(local_task(task, [Path(file)], Path(sys.argv[1])))
"""


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    if not lmms_process.is_installed():
        pytest.skip("lmms-eval is not installed: run `make test-lmms-eval`")


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    scratch = tmp_path_factory.mktemp("official")
    folder = scratch / "tasks"
    folder.mkdir()
    files = {task: official_rows.save(task, scratch) for task in official_rows.ROWS}
    made = lmms_process.python(
        *("-c", DEFINE, folder, *(f"{task}={file}" for task, file in files.items())),
        scratch=scratch,
    )
    assert made.returncode == 0, made.stdout
    names = dict(zip(files, made.stdout.split(), strict=True))
    for name in ("mixed.yaml", "mixed_task.py"):
        shutil.copy(HERE / name, folder)
    rows = [
        {"images": count, "question": "Which colour does the picture have?", "answer": "red"}
        for count in (0, 1, 2)
    ]
    (folder / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Tasks(folder, files, names)


@pytest.fixture(scope="session")
def ran(tasks: Tasks, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All tasks with the embedded model: chat messages, look auto."""
    folder = tmp_path_factory.mktemp("ran")
    done = lmms_process.lmms_eval(
        tasks=[*tasks.names.values(), "mixed"],
        include=tasks.folder,
        folder=folder / "results",
        model_args=f"run={folder / 'episodes'}",
    )
    assert list((folder / "results").rglob("*_results.json")), done.output
    return Ran(done, folder / "episodes")
