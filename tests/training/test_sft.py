"""Supervised learning: exact tokens and weights, the loss by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from checkpoints import save_qwen2_5_vl, save_qwen3_vl
from training.replaying import Replay
from training.schooling import DIRECT, MINI, REQUEST, rows, trainer_of
from visionthink.core import protocol
from visionthink.core.errors import DataError, UsageError
from visionthink.core.format import format_valid
from visionthink.core.images import half_view
from visionthink.core.profiles import PROFILES, Tagged
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Example, Sampling
from visionthink.data.rows import Row
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.engines.hf_prompt import build_prompt
from visionthink.training.config import MixtureOptions, ThoughtOptions
from visionthink.training.packing import pack_episode
from visionthink.training.rollout import LockstepEngine, roll_out
from visionthink.training.sft_data import Collator, Lesson, lessons_of, replay, written_replies

END = "<|im_end|>"


HATCH = rows("hatch", size=1)[0]


@pytest.fixture(scope="module")
def example() -> Example:
    return HATCH.open()


def labelled(**metadata: Any) -> Row:
    row = rows("colour", size=1)[0]
    return Row(row.id, row.images, row.question, row.answer, metadata)


def lessons(*given: Row, **mixture: int) -> list[Lesson]:
    return lessons_of(
        given, MINI, mixture=MixtureOptions(**mixture), thoughts=ThoughtOptions(), seed=0
    )


# Lessons


def test_kinds_and_labels_say_how_a_conversation_goes():
    """Half size is enough for weak and low; what `label` found goes before the family's kind."""
    given = [
        labelled(kind="weak"),
        labelled(kind="strong"),
        labelled(kind="lucky"),
        labelled(label="low", kind="strong"),
        labelled(label="high", kind="weak"),
        labelled(label="undecided", kind="weak"),
        labelled(label="failed", kind="weak"),
    ]
    found = lessons(*given)
    assert [(given.index(lesson.row), lesson.way) for lesson in found] == [
        (0, "direct"),
        (3, "direct"),
        (1, "request"),
        (2, "request"),
        (4, "request"),
    ]


def test_replies_of_our_own():
    answer = rows("colour", size=1)[0].answer
    [lesson] = lessons(labelled(kind="strong"))
    assert lesson.replies == (
        request_reply("Too small to see."),
        direct_reply("Clear now.", answer),
    )
    profile = cast(Tagged, PROFILES["simple-resize"])
    marked = written_replies("request", "x", profile, ThoughtOptions())
    assert marked[0].endswith("<resize></resize>")
    assert format_valid(marked, profile)


def test_answers_are_data_not_control_tokens():
    [reply] = written_replies("direct", f"a{END}b", MINI, ThoughtOptions())
    assert END not in reply


def test_rows_may_bring_their_replies():
    assert lessons(labelled(replies=list(REQUEST)))[0].replies == REQUEST
    assert lessons(labelled(replies=list(REQUEST)))[0].way == "request"


@pytest.mark.parametrize(
    ("replies", "found"),
    [
        ([request_reply("a")], "request"),
        ([*DIRECT, *DIRECT], "answer, answer"),
        ([""], "malformed"),
        ([], "nothing"),
    ],
)
def test_replies_that_are_not_a_conversation(replies: list[str], found: str):
    with pytest.raises(
        DataError, match=rf"expected an answer, .* its replies are read as {found}$"
    ):
        lessons(labelled(replies=replies))


def test_rows_without_a_label():
    with pytest.raises(DataError, match=r"none of 2 rows says .*got None, undecided; run vision"):
        lessons(labelled(), labelled(label="undecided"))


def test_the_mixture():
    given = rows("colour", "hatch", size=20)
    chosen = lessons(*given, direct=3, request=7)
    assert [lesson.way for lesson in chosen] == ["direct"] * 3 + ["request"] * 7
    assert len({lesson.row.id for lesson in chosen}) == 10
    assert chosen == lessons(*given, direct=3, request=7)
    with pytest.raises(UsageError, match=r"mixture\.request is 11, but the data has only 10"):
        lessons(*given, request=11)


# Tokens


@dataclass(frozen=True)
class Tokens:
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...]


def tokens_of(lesson: Lesson, checkpoint: Checkpoint, factor: float) -> Tokens:
    batch = Collator(checkpoint, MINI, factor)([lesson])
    names = "input_ids", "labels", "loss_weights"
    return Tokens(*(tuple(batch[name][0].tolist()) for name in names))


def spoken(text: str, checkpoint: Checkpoint) -> list[int]:
    return checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_exact_mask_of_a_direct_answer(tiny: Checkpoint, example: Example):
    """The prompt is that of an episode; then the reply and its end, and nothing after it."""
    tokens = tokens_of(Lesson(HATCH, DIRECT), tiny, 1.0)
    first = [half_view(picture, tiny.grid) for picture in example.images]
    prompt = build_prompt(protocol.opening(MINI, first, example.question), tiny).ids
    reply = spoken(DIRECT[0] + END, tiny)
    assert tokens.ids == (*prompt, *reply)
    assert tokens.labels == (*[-100] * len(prompt), *reply)
    assert tokens.weights == (*[0.0] * len(prompt), *[1.0] * len(reply))
    pictures = replay(Lesson(HATCH, DIRECT), MINI, tiny).pictures
    assert [picture.size for picture in pictures] == [picture.size for picture in first]


def test_exact_mask_of_a_request(tiny: Checkpoint, example: Example):
    """Between the replies stands what the episode puts there: the line break of the template and
    the user turn with the original, and no label in it.
    """
    tokens = tokens_of(Lesson(HATCH, REQUEST), tiny, 0.5)
    first = tuple(half_view(picture, tiny.grid) for picture in example.images)
    opening = protocol.opening(MINI, first, example.question)
    one, two = (spoken(reply + END, tiny) for reply in REQUEST)
    prompt = build_prompt(opening, tiny).ids
    columns, rows = tiny.grid.cells(example.images[0].size)
    image = "<|vision_start|>" + "<|image_pad|>" * (columns * rows) + "<|vision_end|>"
    response = MINI.tool_response.replace("{image}", image)
    between = spoken(f"\n<|im_start|>user\n{response}{END}\n<|im_start|>assistant\n", tiny)
    assert tokens.ids == (*prompt, *one, *between, *two)
    nothing = [-100] * len(prompt), [-100] * len(between)
    assert tokens.labels == (*nothing[0], *one, *nothing[1], *two)
    assert tokens.weights == (
        *[0.0] * len(prompt),
        *[0.5] * len(one),
        *[0.0] * len(between),
        *[1.0] * len(two),
    )
    seen = [picture.size for picture in (*first, *example.images)]
    pictures = replay(Lesson(HATCH, REQUEST), MINI, tiny).pictures
    assert [picture.size for picture in pictures] == seen


@pytest.mark.parametrize("replies", [DIRECT, REQUEST])
def test_the_tokens_are_those_of_an_episode(
    tiny: Checkpoint, example: Example, replies: tuple[str, ...]
):
    """What reinforcement learning trains on when `run_episode` hears the same replies."""
    engine = LockstepEngine(tiny, Replay(tiny, [replies]), 1)
    sampling = Sampling(temperature=1.0, max_tokens=200)
    (episode,) = roll_out(
        [example], engine, look="auto", profile="mini", max_turns=2, sampling=sampling
    )
    packed = pack_episode(episode, tiny)
    tokens = tokens_of(Lesson(HATCH, replies), tiny, 1.0)
    assert tokens.ids == packed.prompt_ids + packed.completion_ids
    learnt = [int(label != -100) for label in tokens.labels]
    assert learnt == [0] * len(packed.prompt_ids) + list(packed.mask)


# The loss


def by_hand(checkpoint: Checkpoint, lesson: Lesson, factor: float) -> tuple[float, int]:
    """Sum of weighted -log p over the reply tokens of one conversation, and how many there are."""
    tokens = tokens_of(lesson, checkpoint, factor)
    batch = Collator(checkpoint, MINI)([lesson])
    inputs = {
        name: batch[name]
        for name in ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values")
    }
    with torch.no_grad():
        logits = checkpoint.model(**inputs, image_grid_thw=batch["image_grid_thw"]).logits[0]
    total, count = 0.0, 0
    for place in range(1, len(tokens.ids)):
        if tokens.labels[place] != -100:
            logp = torch.log_softmax(logits[place - 1].double(), dim=0)[tokens.ids[place]].item()
            total -= tokens.weights[place] * logp
            count += 1
    return total, count


@pytest.mark.parametrize("factor", [1.0, 0.25, 0.0])
def test_loss_is_the_hand_written_cross_entropy(tiny: Checkpoint, tmp_path: Path, factor: float):
    """A one- and a two-image conversation in one batch, of different lengths: the mean over all
    reply tokens, the requesting turn's scaled.
    """
    trainer = trainer_of(tiny, tmp_path, factor)
    pair = [
        Lesson(rows("colour", size=1)[0], DIRECT),
        Lesson(rows("hatch", size=1)[0], REQUEST),
    ]
    batch = Collator(tiny, MINI, factor)(pair)
    tiny.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(tiny.model, batch)
        shared = trainer.compute_loss(tiny.model, batch, num_items_in_batch=1000)
    sums = [by_hand(tiny, lesson, factor) for lesson in pair]
    total, count = (sum(column) for column in zip(*sums, strict=True))
    assert loss.item() == pytest.approx(total / count, rel=1e-5)
    assert shared.item() == pytest.approx(total / 1000, rel=1e-5)


def test_qwen3_vl_learns_the_same_way(tmp_path: Path):
    checkpoint = load_checkpoint(save_qwen3_vl(tmp_path / "tiny"), device="cpu")
    lesson = Lesson(rows("hatch", size=1)[0], REQUEST)
    trainer = trainer_of(checkpoint, tmp_path)
    checkpoint.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(checkpoint.model, Collator(checkpoint, MINI)([lesson]))
    total, count = by_hand(checkpoint, lesson, 1.0)
    assert loss.item() == pytest.approx(total / count, rel=1e-5)


def test_accumulated_batches_count_as_one(tmp_path: Path):
    """Two micro-batches of 2 give the weights that one batch of 4 gives, whatever their lengths."""
    folder = save_qwen2_5_vl(tmp_path / "tiny")
    results = []
    for size, accumulated in ((4, 1), (2, 2)):
        checkpoint = load_checkpoint(folder, device="cpu")
        trainer = trainer_of(
            checkpoint,
            tmp_path / "out",
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulated,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=1e9,
        )
        trainer.train()
        results.append(checkpoint.model.lm_head.weight.detach().clone())
    before = load_checkpoint(folder, device="cpu").model.lm_head.weight
    assert torch.allclose(results[0], results[1], atol=1e-6)
    assert not torch.allclose(results[0], before, atol=1e-4)
