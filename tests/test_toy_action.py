"""An action that exists only here: it runs through everything, with no change in the package.

`left` shows the left half of the image at its own resolution: 112 x 224 px of 224 x 224, 4 x 8 of
8 x 8 visual tokens; the half view has 4 x 4. It may be asked for before the original.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from PIL import Image

import visionthink
from checkpoints import save_qwen2_5_vl
from evaluation.answering import work, write_rows
from serving.gateways import image_part, request, served, user
from training.coaching import trainer_of
from training.replaying import in_turns, reply_ids
from training.schooling import rows
from visionthink.core.actions import ACTIONS, Problem, View
from visionthink.core.images import Grid, Picture
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import direct_reply, render_thought, render_tool_call, request_reply
from visionthink.core.types import Episode, Look, Sampling
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.engines.scripted import ScriptedEngine
from visionthink.evaluation.lmms.asking import Ask, Asker, figures
from visionthink.evaluation.lmms.model_args import ModelArgs
from visionthink.evaluation.policies import parse_policies
from visionthink.evaluation.runner import Settings, evaluate
from visionthink.evaluation.summary import Sample, summarise
from visionthink.reports.gallery import episode_of
from visionthink.reports.transcript import transcript
from visionthink.runs.records import episode_record, sample_record
from visionthink.training.packing import Packed, pack_episode
from visionthink.training.rollout_types import RolloutSettings
from visionthink.training.sft_data import Lesson, replay


@dataclass(frozen=True)
class Left:
    """The left half of every image."""

    name: ClassVar[str] = "left"
    function: ClassVar[str] = "look_left"

    @classmethod
    def read(cls, arguments: object) -> Self | Problem:
        return cls() if arguments == {} else Problem("look_left takes no arguments")

    def arguments(self) -> Mapping[str, Any]:
        return {}

    def views(
        self, originals: Sequence[Picture], looks: Sequence[Look], grid: Grid
    ) -> tuple[View, ...] | Problem:
        if any(look.action == self.name for look in looks):
            return Problem("the left half is already shown")
        return tuple(
            View(image, _left(picture), (0, 0, 500, 1000))
            for image, picture in enumerate(originals)
        )


def _left(picture: Picture) -> Picture:
    width, height = picture.size
    return picture.view((width // 2, height), (0, 0, width // 2, height))


LEFT = request_reply("On the left.", Left())
WHOLE = request_reply("Not there.")
ANSWER = direct_reply("There.", "42")
IMAGE = Image.new("RGB", (224, 224), "white")


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row for the action, one for a profile that offers it."""
    monkeypatch.setitem(ACTIONS, "left", Left)
    profile = replace(PROFILES["mini"], name="mini-left", actions=("left", "original"), max_turns=3)
    monkeypatch.setitem(PROFILES, "mini-left", profile)


def ask(*replies: str, **options: Any) -> Episode:
    engine = ScriptedEngine(replies, profile="mini-left")
    return visionthink.ask(IMAGE, "What number?", engine=engine, **options)


def learnt(packed: Packed) -> list[int]:
    """The tokens that count in the loss."""
    return [token for token, flag in zip(packed.completion_ids, packed.mask, strict=True) if flag]


def spoken(checkpoint: Checkpoint, *replies: str) -> list[int]:
    return [token for reply in replies for token in reply_ids(checkpoint, reply)]


def facts(episode: Episode) -> list[tuple[object, ...]]:
    return [(k.turn, k.action, k.box, k.size, k.visual_tokens) for k in episode.looks]


def test_a_part_and_then_the_whole_are_asked_for():
    """16 + 32 + 64 visual tokens of 64: 1.75."""
    episode = ask(LEFT, WHOLE, ANSWER)
    assert facts(episode) == [
        (0, None, None, (112, 112), 16),
        (1, "left", (0, 0, 500, 1000), (112, 224), 32),
        (2, "original", None, (224, 224), 64),
    ]
    assert (episode.answer, episode.requested, episode.format_valid) == ("42", True, True)
    ledger = episode.ledger
    assert (ledger.first, ledger.requested, ledger.vanilla, ledger.ratio) == (16, 96, 64, 1.75)
    record = episode_record(episode)
    assert record["looks"][1] == {
        "turn": 1,
        "image": 0,
        "action": "left",
        "box": [0, 0, 500, 1000],
        "size": [112, 224],
        "visual_tokens": 32,
    }
    assert [turn["saw"] for turn in record["turns"]] == [[[112, 112]], [[112, 224]], [[224, 224]]]


def test_a_look_that_was_shown_is_refused_by_the_action():
    episode = ask(LEFT, LEFT, ANSWER)
    assert [look.action for look in episode.looks] == [None, "left"]
    assert "the left half is already shown" in episode.messages[-2].text


def test_bad_arguments_and_unknown_functions_are_answered_with_what_is_offered():
    bad = render_thought("hm") + render_tool_call("look_left", '{"x": 1}')
    unknown = render_thought("hm") + render_tool_call("zoom", "{}")
    episode = ask(bad, unknown, ANSWER)
    texts = [message.text for message in episode.messages]
    assert any("look_left takes no arguments" in text for text in texts)
    assert any(
        "there is no function 'zoom', only 'look_left' and 'resize_image'" in text for text in texts
    )
    assert not episode.format_valid


def test_a_profile_that_does_not_offer_the_action_refuses_it():
    episode = ask(LEFT, ANSWER, profile="mini")
    assert "there is no function 'look_left', only 'resize_image'" in episode.messages[-2].text


@pytest.mark.parametrize("stream", [False, True])
def test_the_gateway_replies_with_all_looks_and_counts_them(stream: bool):
    """Reply or stream, its pictures, the metrics: 16 + 32 + 64 = 112 of 64 visual tokens."""
    engine = ScriptedEngine([LEFT, WHOLE, ANSWER], profile="mini-left")
    buffer = io.BytesIO()
    IMAGE.save(buffer, "PNG")
    question = user("What number?", image_part(buffer.getvalue()))
    with served(engine) as server:
        reply = server.post(request(question, stream=stream, visionthink={"views": True}))
        assert reply.status == 200
        kinds = ("first", "requested", "processed", "vanilla")
        counts = [
            server.metric(f'visionthink_visual_tokens_total{{kind="{kind}"}}') for kind in kinds
        ]
    if stream:
        rows = [row[6:] for row in reply.body.decode().split("\n\n") if row.startswith("data: {")]
        events = [json.loads(row).get("visionthink", {}) for row in rows]
        looks = [look for event in events if "turn" in event for look in event["looks"]]
    else:
        looks = reply.json["visionthink"]["looks"]
    assert [(look["action"], look["box"], look["visual_tokens"]) for look in looks] == [
        (None, None, 16),
        ("left", [0, 0, 500, 1000], 32),
        ("original", None, 64),
    ]
    pictures = [look["picture"] for look in looks]
    assert [picture and picture[:22] for picture in pictures] == [
        *["data:image/png;base64,"] * 2,
        None,
    ]
    assert counts == [16, 96, 112, 64]


def test_an_evaluation_counts_all_looks(tmp_path: Path):
    """4 + 8 + 16 visual tokens of 16: 1.75, and one image for each look."""
    folder, policy = tmp_path / "run", "auto:mini-left"
    todo = work(folder, write_rows(tmp_path, ["plain-42"]), [policy])
    asyncio.run(evaluate(todo, ScriptedEngine([LEFT, WHOLE, ANSWER]), Settings()))
    (record,) = todo.run.episodes()
    assert [look["action"] for look in record["looks"]] == [None, "left", "original"]
    assert len(record["images"]) == 3
    rows = summarise([Sample.of(record)], {"rows": "auto"}, parse_policies([policy]))
    keys = ("accuracy", "request_rate", "visual_token_ratio", "visual_token_ratio_replaced")
    assert [rows[-1][key] for key in keys] == [1.0, 1.0, 1.75, 1.5]


def test_lmms_eval_counts_all_looks():
    """16 + 32 + 64 visual tokens of 64."""
    asker = Asker(ScriptedEngine([LEFT, WHOLE, ANSWER]), ModelArgs(profile="mini-left"))
    asks = [Ask("pope", "0", lambda: ("What number?", [IMAGE]), Sampling())]
    said = asyncio.run(asker.all(asks))
    assert [each.text for each in said] == ["42"]
    found = figures(said)
    assert (found["request_rate"], found["visual_token_ratio"]) == (1.0, 1.75)


def test_the_terminal_and_the_page_draw_every_look(tmp_path: Path):
    """The part is named as what it is of the original, with its size and its tokens."""
    episode = ask(LEFT, WHOLE, ANSWER)
    lines = [line.replace("\xa0", " ") for line in transcript(episode).splitlines()]
    looks = [line for line in lines if line.startswith(("first look", "look"))]
    assert [line.split(": ")[-1] for line in looks[1:]] == [
        "112 x 224 px, 32 visual tokens",
        "224 x 224 px, 64 visual tokens",
    ]
    assert "left, x 0-50 %, y 0-100 %" in looks[1]
    page = tmp_path / "page.html"
    visionthink.save_page([episode], page)
    text = page.read_text("utf-8").replace("\xa0", " ")
    assert text.count("<img") == 6  # each look, and once more in the conversation
    assert "x 0-50 %, y 0-100 %" in text


def test_a_gallery_draws_every_look_from_its_record(tmp_path: Path):
    """What a record keeps gives the same looks again, and their pictures."""
    episode = ask(LEFT, WHOLE, ANSWER)
    drawn, note = episode_of(json.loads(json.dumps(sample_record(episode))), tmp_path)
    assert note == ""
    assert facts(drawn) == facts(episode)
    assert [look.picture.size for look in drawn.looks] == [(112, 112), (112, 224), (224, 224)]


def test_two_training_steps_learn_from_three_turns(tmp_path: Path):
    """The masked tokens are the three replies; the last step has changed the weights."""
    checkpoint: Checkpoint = load_checkpoint(save_qwen2_5_vl(tmp_path / "tiny"), device="cpu")
    settings = RolloutSettings(profile="mini-left", patience_s=0)
    trainer = trainer_of(checkpoint, tmp_path, settings, max_steps=2, max_completion_length=200)
    scripts = [
        [LEFT, WHOLE, ANSWER],
        [LEFT, ANSWER],
        [WHOLE, direct_reply("seen", "right")],
        [direct_reply("seen", "right")],
    ] * 2
    generations = iter([in_turns(checkpoint, scripts) for _ in range(9)])
    roll_out = trainer.roll_out

    def replayed(examples: Any) -> Any:
        trainer.generate = next(generations)  # pyright: ignore[reportAttributeAccessIssue] -- replays
        return roll_out([replace(example, answer="right") for example in examples])

    trainer.roll_out = replayed
    before = checkpoint.model.lm_head.weight.detach().clone()
    trainer.train()
    assert trainer.rollouts is not None
    episodes = trainer.rollouts.episodes
    assert [len(episode.turns) for episode in episodes] == [3, 2, 2, 1] * 2
    assert [look.action for look in episodes[0].looks] == [None, "left", "original"]
    packed = pack_episode(episodes[0], checkpoint)
    assert learnt(packed) == spoken(checkpoint, LEFT, WHOLE, ANSWER)
    assert not checkpoint.model.lm_head.weight.equal(before)


def test_lessons_with_three_turns_are_replayed(tmp_path: Path):
    """The tokens that are learnt are the replies, each with its end of turn."""
    checkpoint = load_checkpoint(save_qwen2_5_vl(tmp_path / "tiny"), device="cpu")
    lesson = Lesson(rows("hatch", size=1)[0], (LEFT, WHOLE, ANSWER))
    packed = replay(lesson, PROFILES["mini-left"], checkpoint)
    assert sorted({reply for reply in packed.replies if reply is not None}) == [0, 1, 2]
    assert len(packed.pictures) == 3
    assert learnt(packed) == spoken(checkpoint, LEFT, WHOLE, ANSWER)
