"""A few rows of six benchmarks in their official columns, drawn by the embedded world.

The truth of some rows is wrong on purpose, so that no score is all or nothing whatever the model
says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from visionthink.mini.figures import SHAPES
from visionthink.mini.world import Drawing, draw

Row = dict[str, Any]


def save(task: str, folder: Path) -> Path:
    """The rows of a task as the Parquet file that the hub would give."""
    import datasets  # slow to import, and every run of pytest collects this folder

    path = folder / f"{task}.parquet"
    data = datasets.Dataset.from_list(ROWS[task]())
    data.cast_column("image", datasets.Image()).to_parquet(path)
    return path


def pope() -> list[Row]:
    """Six questions; the last truth is turned round."""
    drawings = [*_drawings("presence", 6)]
    turned = {"yes": "no", "no": "yes"}
    answers = [drawing.answer for drawing in drawings]
    answers[-1] = turned[answers[-1]]
    return [
        {
            "id": str(at),
            "question_id": str(at + 1),
            "question": drawing.question,
            "answer": answer,
            "image_source": f"COCO_val2014_{at:012d}",
            "image": _image(drawing),
            "category": "adversarial",
        }
        for at, (drawing, answer) in enumerate(zip(drawings, answers, strict=True))
    ]


def chartqa() -> list[Row]:
    """Numbers of bars (5 % is forgiven) and of things; one answer in words."""
    drawings = [*_drawings("chart_label", 2), *_drawings("count", 3), *_drawings("colour", 1)]
    return [
        {
            "type": ("human_test", "augmented_test")[at % 2],
            "question": drawing.question,
            "answer": drawing.answer,
            "image": _image(drawing),
        }
        for at, drawing in enumerate(drawings)
    ]


def mme() -> list[Row]:
    """Two pairs: of each image, whether its shape is there and whether another one is."""
    rows: list[Row] = []
    for at, drawing in enumerate(_drawings("shape", 2)):
        other = next(shape for shape in SHAPES if shape != drawing.answer)
        for shape, truth in ((drawing.answer, "Yes"), (other, "No" if at else "Yes")):
            rows.append(
                {
                    "question_id": f"{at}.png",
                    "image": _image(drawing),
                    "question": f"Is there a {shape}? Please answer yes or no.",
                    "answer": truth,
                    "category": ("existence", "commonsense_reasoning")[at],
                }
            )
    return rows


def ocrbench() -> list[Row]:
    """Signs, and small print that the model must ask for; the last truth is wrong."""
    kinds = {
        "large_print": ("IIIT5K", "Regular Text Recognition"),
        "tag": ("SVT", "Scene Text-centric VQA"),
        "receipt": ("SROIE", "Key Information Extraction"),
    }
    rows = [
        {
            "dataset": dataset,
            "question": drawing.question,
            "question_type": kind,
            "answer": [drawing.answer],
            "image": _image(drawing),
        }
        for family, (dataset, kind) in kinds.items()
        for drawing in _drawings(family, 2)
    ]
    rows[-1]["answer"] = ["n/a"]
    return rows


def docvqa_val() -> list[Row]:
    """Signs and prices, with a second accepted answer for one."""
    rows = [
        {
            "questionId": str(1000 + at),
            "question": drawing.question,
            "question_types": ["form"],
            "image": _image(drawing),
            "docId": at,
            "ucsf_document_id": "xxxx0000",
            "ucsf_document_page_no": "1",
            "answers": [drawing.answer],
            "data_split": "val",
        }
        for at, drawing in enumerate([*_drawings("large_print", 4), *_drawings("receipt", 2)])
    ]
    rows[0]["answers"] = ["something else", *rows[0]["answers"]]
    rows[1]["answers"] = [rows[1]["answers"][0] + "Q"]  # near: a similarity below 1
    return rows


def realworldqa() -> list[Row]:
    """Numbers, words and yes or no, asked as there; one truth is wrong."""
    how = "\nPlease answer directly with a single word or number."
    drawings = [*_drawings("count", 2), *_drawings("colour", 2), *_drawings("presence", 2)]
    answers = [drawing.answer.capitalize() for drawing in drawings]
    answers[0] = "7"
    return [
        {
            "image": _image(drawing),
            "question": drawing.question + how,
            "answer": answer,
            "image_path": f"{at}.webp",
        }
        for at, (drawing, answer) in enumerate(zip(drawings, answers, strict=True))
    ]


ROWS: dict[str, Callable[[], list[Row]]] = {
    "pope": pope,
    "chartqa": chartqa,
    "mme": mme,
    "ocrbench": ocrbench,
    "docvqa_val": docvqa_val,
    "realworldqa": realworldqa,
}


def _drawings(family: str, count: int) -> Iterator[Drawing]:
    return (draw(family, seed, "test") for seed in range(2000, 2000 + count))


def _image(drawing: Drawing) -> Image.Image:
    return Image.fromarray(drawing.pixels)
