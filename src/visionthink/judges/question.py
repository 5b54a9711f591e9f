"""What a judge model is asked: the prompts of the paper with the texts filled in as data."""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from visionthink.core.protocol import TAGS, plain_text

AGAIN = "\n\nReply with this one line and nothing else, n being 0 or 1:\nScore: n"
"""Added to the question after a reply that was not a verdict: at temperature 0 the same words would
get the same reply."""


def judge_messages(
    question: str, answers: tuple[str, ...], prediction: str, *, again: bool = False
) -> list[dict[str, str]]:
    """The system and the user message.

    Several accepted answers are put as one ground truth, separated by " or ". The prediction
    becomes one line, so that it cannot open a section of its own in the prompt.
    """
    texts = {
        "question": as_data(question),
        "ground_truth": " or ".join(as_data(answer) for answer in answers),
        "prediction": " ".join(as_data(prediction).split()),
    }
    # One pass: a prediction that spells a placeholder is not filled in again.
    user = re.sub(
        r"\{(question|ground_truth|prediction)\}",
        lambda place: texts[place[1]],
        _prompt("judge_user"),
    )
    return [
        {"role": "system", "content": _prompt("judge_system")},
        {"role": "user", "content": user + (AGAIN if again else "")},
    ]


def as_data(text: str) -> str:
    """`text` so that nothing in it can act: on the tokenizer, on us, or through the judge's mouth.

    Control tokens and protocol tags are broken up, and "Score: 1" becomes "Score = 1", which the
    judge may quote without stating it. The same is done to question, ground truth and prediction,
    so that equal texts stay equal. Lone surrogates, which no request can carry, become "?".
    """
    text = plain_text(text.encode("utf-8", "replace").decode("utf-8"))
    for tag in TAGS:
        text = text.replace(tag, f"< {tag[1:]}")
    return re.sub(r"\b(score[*_ \t\"'`”’]{0,12})[:：]", r"\1 =", text, flags=re.IGNORECASE)


@cache
def _prompt(name: str) -> str:
    return (files("visionthink.core") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
