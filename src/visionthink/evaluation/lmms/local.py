"""Official tasks on local copies of their data: for machines without a network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import yaml

from visionthink.core.errors import UsageError
from visionthink.evaluation.lmms.preset import LOCAL, presets
from visionthink.settings import did_you_mean


def local_task(task: str, files: Sequence[Path], out: Path) -> str:
    """Write a definition of the task for lmms-eval's --include_path; its name there is returned.

    All but the data is the official task's. The name is a new one because lmms-eval prefers its own
    tasks to included ones of the same name.

    Args:
        task: one of the presets.
        files: Parquet files in the official layout.
        out: folder for the definition.

    Raises:
        UsageError: there is no such preset or file, or lmms-eval is not installed.
    """
    if task not in presets():
        raise UsageError(f"there is no preset for task {task!r}{did_you_mean(task, presets())}")
    spec = find_spec("lmms_eval")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("lmms-eval is not installed here: run this in the environment that has it")
    for file in files:
        if not file.is_file():
            raise UsageError(f"no Parquet file at {file}")
    preset = presets()[task]
    name = task + LOCAL
    definition = {
        "include": str(Path(spec.submodule_search_locations[0]) / "tasks" / preset.file),
        "task": name,
        "dataset_path": "parquet",
        "dataset_name": None,  # the official data set's configuration
        "dataset_kwargs": {"data_files": {preset.split: [str(file.resolve()) for file in files]}},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.yaml").write_text(yaml.safe_dump(definition, sort_keys=False), "utf-8")
    return name
