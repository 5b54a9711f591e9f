"""Runs in lmms-eval's environment: what its own functions score pairs of truth and prediction.

Reads JSON lines with task, kind, answers, prediction and options from standard input, and writes an
object: a score each, and the F1 of POPE's pairs of one word, and of these with those of neither.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import random
import sys
from typing import Any

from lmms_eval.api.metrics import anls
from lmms_eval.tasks._task_utils.mcq_extract import extract_mcq_answer
from lmms_eval.tasks._task_utils.mmmu_mcq_utils import parse_mmmu_multi_choice_response
from lmms_eval.tasks.chartqa.utils import relaxed_correctness
from lmms_eval.tasks.chartqapro.utils import _relaxed_correctness_chartqapro
from lmms_eval.tasks.mme.utils import mme_process_results
from lmms_eval.tasks.ocrbench.utils import ocrbench_process_results
from lmms_eval.tasks.pope.utils import pope_aggregate_f1_score, pope_process_results
from lmms_eval.tasks.textvqa.utils import textvqa_process_results
from lmms_eval.tasks.vqav2.utils import vqav2_process_results


def pope(answers: list[str], said: str) -> dict[str, Any]:
    doc = {"answer": answers[0], "question_id": 0}
    return pope_process_results(doc, [said])["pope_f1_score"]


def mme(answers: list[str], said: str) -> float:
    doc = {"answer": answers[0], "category": "existence", "question_id": 0}
    return mme_process_results(doc, [said])["mme_perception_score"]["score"]


def chartqapro(answers: list[str], said: str) -> float:
    """With the flags that the data set has: a year is one that is written as one."""
    items = [item.strip().strip("'") for item in answers[0].strip("[]").split(",")]
    flags = [
        "YES" if len(i) == 4 and i.isdigit() and i[:2] in ("19", "20") else "NO" for i in items
    ]
    return _relaxed_correctness_chartqapro(answers[0], said, year_flags=flags)


def ocrbench(answers: list[str], said: str, dataset: str) -> float:
    doc = {"answer": answers, "dataset": dataset, "question_type": "Doc-oriented VQA"}
    return ocrbench_process_results(doc, [said])["ocrbench_accuracy"]["score"]


def score(pair: dict[str, Any]) -> float:
    answers, said, options = pair["answers"], pair["prediction"], pair["options"]
    match pair["task"]:
        case "chartqa":
            return float(any(relaxed_correctness(said, answer) for answer in answers))
        case "chartqapro":
            return chartqapro(answers, said)
        case "docvqa":
            return anls(answers, [said])["anls"]
        case "pope":
            return pope(answers, said)["score"]
        case "mme":
            return mme(answers, said)
        case "realworldqa":
            return float(extract_mcq_answer(said, list(options)) == answers[0])
        case "mmmu":
            return float(
                parse_mmmu_multi_choice_response(said, list(options), options) == answers[0]
            )
        case "textvqa":
            doc = {"answers": list(answers), "question_id": 0}
            return textvqa_process_results(doc, [said])["exact_match"]
        case "vqav2":
            given = [{"answer": text, "answer_id": at} for at, text in enumerate(answers)]
            return vqav2_process_results({"answers": given, "question_id": 0}, [said])[
                "exact_match"
            ]
        case "ocrbench":
            return ocrbench(answers, said, "TextVQA")
        case "ocrbench_formula":
            return ocrbench(answers, said, "HME100k")
    raise ValueError(pair["task"])


def main() -> None:
    random.seed(0)  # mmmu guesses where it finds no letter
    pairs = [json.loads(line) for line in sys.stdin]
    f1: list[float] = []
    for kinds in (("one word",), ("one word", "neither")):
        chosen = [p for p in pairs if p["task"] == "pope" and p["kind"] in kinds]
        f1.append(pope_aggregate_f1_score([pope(p["answers"], p["prediction"]) for p in chosen]))
    print(json.dumps({"scores": [score(pair) for pair in pairs], "f1": f1}))


main()
