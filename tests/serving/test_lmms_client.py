"""A real process of unmodified lmms-eval, whose own `--model openai` asks the server.

It gets only the URL and the model's name: tasks limit the answer to some ten tokens,
which would leave a model that thinks first without an answer, were they counted on its thoughts.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from real_lmms import lmms_process, official_rows
from serving.gateways import image_part, request, served, user
from visionthink.engines.hf import HFEngine
from visionthink.mini import CHECKPOINTS

pytestmark = [
    pytest.mark.lmms,
    pytest.mark.skipif(
        not lmms_process.is_installed(), reason="lmms-eval is not installed: make test-lmms-eval"
    ),
]

DEFINE = """
import sys
from pathlib import Path
from visionthink.evaluation.lmms.preset import local_task

for item in sys.argv[2:]:
    task, file = item.split("=")
    print(local_task(task, [Path(file)], Path(sys.argv[1])))
"""
"""Makes a local copy of an official task; runs where lmms-eval is."""

SUFFIXES = {
    "pope": "\nAnswer the question using a single word or phrase.",
    "chartqa": "\nAnswer the question with a single word.",
}


def png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def test_unmodified_lmms_eval(tmp_path: Path):
    """Each sample has the bare answer that the server gives to the same image and question."""
    files = {task: official_rows.save(task, tmp_path) for task in SUFFIXES}
    folder = tmp_path / "tasks"
    folder.mkdir()
    made = lmms_process.python(
        *("-c", DEFINE, folder, *(f"{task}={file}" for task, file in files.items())),
        scratch=tmp_path,
    )
    assert made.returncode == 0, made.stdout
    names = dict(zip(files, made.stdout.split(), strict=True))
    engine = HFEngine(CHECKPOINTS / "mini", name="mini", device="cpu")
    with served(engine, name="mini") as server:
        done = lmms_process.python(
            *("-m", "lmms_eval", "--model", "openai", "--model_args"),
            f"model=mini,base_url={server.url},api_key=EMPTY,num_concurrent=4",
            *("--tasks", ",".join(names.values()), "--include_path", folder),
            *("--output_path", tmp_path / "out", "--log_samples"),
            scratch=tmp_path,
        )
        left = lmms_process.Done(done.returncode, done.stdout, tmp_path / "out")
        asked = 0
        for task, suffix in SUFFIXES.items():
            rows = official_rows.ROWS[task]()
            samples = {sample["doc_id"]: sample for sample in left.samples(names[task])}
            assert len(samples) == len(rows)
            for at, row in enumerate(rows):
                question = user(image_part(png(row["image"])), row["question"] + suffix)
                reply = server.post(request(question, model="mini")).json
                answer = reply["choices"][0]["message"]["content"]
                assert samples[at]["filtered_resps"] in (answer, [answer])
                assert answer
                asked += 2
        assert server.metric('visionthink_requests_total{outcome="answered"}') == asked
    scores = left.results()["results"]
    assert scores[names["pope"]]["pope_accuracy,none"] > 0
