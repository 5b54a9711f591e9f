"""What lmms-eval 0.7.3 leaves, written by hand: files of results and of samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FAILED = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] Connection error."
STAMP = "20261121_194829"


def write_output(
    folder: Path,
    tasks: Mapping[str, tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]],
    *,
    model: str = "visionthink",
    model_args: Any = "pretrained=mini,look=auto",
) -> Path:
    """Files of one run in `folder`; the file of results.

    Args:
        tasks: for each, its figures and its samples; see `sample`.
        model, model_args: as they were given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = {
        "results": {
            task: {f"{key},none": value for key, value in figures.items()}
            for task, (figures, _) in tasks.items()
        },
        "n-samples": {
            task: {"original": len(lines), "effective": len(lines)}
            for task, (_, lines) in tasks.items()
        },
        "config": {"model": model, "model_args": model_args, "limit": None, "gen_kwargs": ""},
        "date": STAMP,
    }
    path = folder / f"{STAMP}_results.json"
    path.write_text(json.dumps(held))
    for task, (_, lines) in tasks.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{STAMP}_samples_{task}.jsonl").write_text(text)
    return path


def sample(at: int, said: Any, target: str = "yes", **scores: Any) -> dict[str, Any]:
    return {
        "doc_id": at,
        "target": target,
        "filtered_resps": said,
        "token_counts": [None],
        "doc_hash": "same for all",
        "input": "Is there a dog?",
        **scores,
    }


def pope_sample(at: int, said: str, target: str = "yes") -> dict[str, Any]:
    score = {"score": float(said == target), "prediction": said, "ground_truth": target}
    return sample(at, said, target, pope_accuracy=score, pope_f1_score=score)
