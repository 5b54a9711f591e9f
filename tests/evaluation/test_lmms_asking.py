"""Requests of lmms-eval as episodes: what is asked and kept, and what a failure leaves.

Images are 112 x 112 px: 16 visual tokens of 28 px, and 4 at half size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from visionthink.core.errors import EngineError, ServerError
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Message, Sampling
from visionthink.engines.scripted import ScriptedEngine
from visionthink.evaluation.lmms.asking import Ask, Asker, Kept, figures, question_of
from visionthink.evaluation.lmms.model_args import ModelArgs
from visionthink.runs.folder import RunFolder

Loads = tuple[str, Sequence[Any]]
RED = Image.new("RGB", (112, 112), "red")
BLUE = Image.new("RGB", (112, 112), "blue")


def ask(sample: str, question: str = "What is it?", *images: Any, task: str = "pope") -> Ask:
    return Ask(task, sample, lambda: (question, images), Sampling(max_tokens=50))


def answers(
    engine: ScriptedEngine,
    asks: Sequence[Ask],
    run: RunFolder | None = None,
    **options: Any,
) -> list[Kept]:
    asker = Asker(engine, ModelArgs(profile="mini", **options), run)
    return asyncio.run(asker.all(asks))


def folder(path: Path) -> RunFolder:
    return RunFolder.create(path, {}, environment={}, resume=True)


def says(answer: str) -> Callable[[Sequence[Message]], str]:
    return lambda _: direct_reply("seen", answer)


# Questions


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def image(name: str) -> dict[str, str]:
    return {"type": "image", "url": name}


@pytest.mark.parametrize(
    ("content", "question", "images"),
    [
        ([image("a"), text("Why?")], "Why?", ["a"]),
        ([text("Why?")], "Why?", []),
        ([image("a"), image("b"), text("Why?")], "Why?", ["a", "b"]),
        ([text("Why?"), image("a")], "Why?", ["a"]),
        (
            [text("In "), image("a"), text(" and "), image("b"), text(" why?")],
            "In <image 1> and <image 2> why?",
            ["a", "b"],
        ),
        ([image("a"), text("One."), text("Two?")], "One.\nTwo?", ["a"]),
        ("Why?", "Why?", []),
    ],
)
def test_questions_of_messages(content: Any, question: str, images: list[str]):
    assert question_of([{"role": "user", "content": content}]) == (question, images)


def test_messages_before_the_question_are_part_of_it():
    system = {"role": "system", "content": [text("Be brief.")]}
    user = {"role": "user", "content": [image("a"), text("Why?")]}
    assert question_of([system, user]) == ("Be brief.<image 1>Why?", ["a"])


# Answers


def test_answers_are_bare_and_in_order():
    engine = ScriptedEngine(lambda m: direct_reply("<br>", f"\\boxed{{{m[-1].text[-2]}}} "))
    said = answers(engine, [ask(name, f"Is it {name}?", RED) for name in "abcdef"], batch_size=3)
    assert [each.text for each in said] == list("abcdef")


def test_the_original_is_shown_on_request():
    """4 + 16 visual tokens, and 4 where the first look is enough, of twice 16: 24 / 32."""
    replies = iter([request_reply("small"), direct_reply("large", "5"), direct_reply("clear", "6")])
    said = answers(ScriptedEngine(replies), [ask("0", "?", RED), ask("1", "?", RED)])
    assert [each.text for each in said] == ["5", "6"]
    assert figures(said) == {
        "failed": 0,
        "cut_off": 0,
        "unanswered": 0,
        "request_rate": 0.5,
        "visual_token_ratio": 0.75,
    }


def test_policies_of_evaluation():
    engine = ScriptedEngine(says("5"))
    (said,) = answers(engine, [ask("0", "?", RED)], look="high")
    assert said.record["policy"] == "high:mini"
    assert said.record["ledger"]["visual_tokens"]["first"] == 16


def test_without_an_image_one_reply_is_asked_for():
    """`seen` in its think element and 7 in its answer element: no ledger, since nothing is seen."""
    engine = ScriptedEngine([direct_reply("seen", "7")])
    (said,) = answers(engine, [ask("0", "What is 3 + 4?")])
    assert said.text == "7"
    assert said.record["ledger"] is None
    assert said.tokens("completion_tokens") > 0
    assert len(engine.calls) == 1
    assert "request_rate" not in figures([said])


def test_replies_without_an_answer_are_counted():
    """An empty reply holds none; one of 50 words has no token left for it."""
    replies = iter(["", "<think>" + "so " * 60])
    said = answers(ScriptedEngine(replies), [ask("0", "?", RED), ask("1", "?", RED)])
    assert [each.text for each in said] == ["", ""]
    assert [figures(said)[key] for key in ("failed", "cut_off", "unanswered")] == [0, 1, 2]


# Failures


def breaks(of: str) -> Callable[[Sequence[Message]], str]:
    """Fails where a question holds `of`."""

    def reply(messages: Sequence[Message]) -> str:
        if of in messages[-1].text:
            raise ServerError("the server said no")
        return direct_reply("seen", "yes")

    return reply


def test_a_failure_is_not_an_answer(tmp_path: Path):
    run = folder(tmp_path)
    said = answers(ScriptedEngine(breaks("b?")), [ask(n, f"{n}?", RED) for n in "abc"], run)
    assert [each.text for each in said] == ["yes", "[LMMS_EVAL_REQUEST_FAILED]", "yes"]
    assert figures(said)["failed"] == 1
    assert {e["id"]: e["error"] for e in run.episodes()} == {
        "a": None,
        "b": "the server said no",
        "c": None,
    }


def test_errors_of_a_task_are_named_by_their_kind():
    def load() -> Loads:
        raise KeyError("image")

    broken = Ask("pope", "1", load, Sampling())
    said = answers(ScriptedEngine(says("5")), [ask("0", "?", RED), broken])
    assert said[1].record["error"] == "KeyError: 'image'"


def test_videos_are_refused():
    said = answers(ScriptedEngine(says("5")), [ask("0", "?", RED), ask("1", "?", "film.mp4")])
    assert said[1].record["error"] == (
        "expected images, got a str, which may be a video or a sound; leave this task out"
    )


def test_failures_in_a_row_end_the_run(tmp_path: Path):
    """The third one in a row; the success between does not count for the two before it."""
    run = folder(tmp_path)
    asks = [ask(str(at), name, RED) for at, name in enumerate(["b?", "b?", "a?", "b?", "b?", "b?"])]
    with pytest.raises(
        EngineError, match=r"^3 requests in a row .* no; the answers so far are kept"
    ):
        answers(ScriptedEngine(breaks("b?")), asks, run, max_failures=3)
    assert [e["id"] for e in run.episodes() if e["error"] is None] == ["2"]


def test_a_run_in_which_everything_fails_is_an_error():
    asks = [ask("0", "b?", RED), ask("1", "b?", RED)]
    with pytest.raises(EngineError, match="all 2 requests failed, the last with: the server said"):
        answers(ScriptedEngine(breaks("b?")), asks, max_failures=0)


# The run folder


def test_kept_answers_are_not_asked_again(tmp_path: Path):
    asks = [ask(name, f"{name}?", RED) for name in "ab"]
    answers(ScriptedEngine(breaks("b?")), asks, folder(tmp_path))
    engine = ScriptedEngine(says("no"))
    said = answers(engine, asks, folder(tmp_path))
    assert [each.text for each in said] == ["yes", "no"]
    assert said[0].tokens("prompt_tokens") > 0
    assert len(engine.calls) == 1
    assert [e["error"] for e in folder(tmp_path).episodes()] == [None, "the server said no", None]


@pytest.mark.parametrize(
    "other",
    [
        ask("0", "Other?", RED),
        ask("0", "What is it?", BLUE),
        ask("0", "What is it?", RED, RED),
        ask("1", "What is it?", RED),
        ask("0", "What is it?", RED, task="mme"),
        Ask("pope", "0", lambda: ("What is it?", [RED]), Sampling(max_tokens=51)),
    ],
    ids=["question", "pixels", "number", "sample", "task", "sampling"],
)
def test_other_requests_are_asked(tmp_path: Path, other: Ask):
    answers(ScriptedEngine(says("5")), [ask("0", "What is it?", RED)], folder(tmp_path))
    engine = ScriptedEngine(says("6"))
    assert answers(engine, [other], folder(tmp_path))[0].text == "6"


def test_images_of_the_first_samples_are_kept(tmp_path: Path):
    """Two of each task, over all tries together."""
    run = folder(tmp_path)
    for names in ("ab", "abcd"):
        asks = [ask(n, f"{n}?", RED, task=t) for t in ("pope", "mme") for n in names]
        answers(ScriptedEngine(says("5")), asks, folder(tmp_path), gallery=2)
    kept = [(e["suite"], e["id"]) for e in run.episodes() if "images" in e]
    assert kept == [("pope", "a"), ("pope", "b"), ("mme", "a"), ("mme", "b")]
