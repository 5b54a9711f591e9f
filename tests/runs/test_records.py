"""Sample episodes of a run folder: what they keep beside `ask --json`'s object."""

from __future__ import annotations

import asyncio
import base64
import io
import json

from PIL import Image

from visionthink.core.episode import run_episode
from visionthink.core.images import Picture
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Episode, Example
from visionthink.engines.scripted import ScriptedEngine
from visionthink.runs.records import episode_record, sample_record


def played(size: tuple[int, int], replies: list[str]) -> Episode:
    metadata = {"family": "receipt", "kind": "strong"}
    picture = Picture(Image.new("RGB", size, "teal"))
    example = Example((picture,), "How much?", "4.20", "r1", metadata)
    engine = ScriptedEngine(replies, model="scripted")
    return asyncio.run(run_episode(example, engine, profile="mini"))


def sizes(urls: list[str]) -> list[tuple[int, int]]:
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for url in urls]


def test_a_sample_of_a_requested_original():
    episode = played((448, 336), [request_reply("too small"), direct_reply("", "4.20")])
    reward = {"accuracy": 1.0, "format": 0.5, "control": 0.0, "total": 1.5, "advantage": None}
    record = sample_record(episode, step=7, reward=reward)
    assert json.loads(json.dumps(record)) == record
    assert sizes(record.pop("images")) == [(224, 168), (448, 336)]
    assert [turn["saw"] for turn in record["turns"]] == [[[224, 168]], [[448, 336]]]
    assert record == {
        **episode_record(episode),
        "step": 7,
        "id": "r1",
        "family": "receipt",
        "kind": "strong",
        "question": "How much?",
        "answer_expected": "4.20",
        "reward": reward,
    }


def test_large_images_are_kept_small_and_in_proportion():
    """1792 x 896 by 448/1792 = 1/4, and its half view of 896 x 448 by the same."""
    episode = played((1792, 896), [request_reply(""), direct_reply("", "4.20")])
    assert sizes(sample_record(episode)["images"]) == [(224, 112), (448, 224)]


def test_a_sample_without_a_request_keeps_the_first_look_only():
    record = sample_record(played((56, 56), [direct_reply("", "1")]))
    assert sizes(record["images"]) == [(28, 28)]
    assert (record["step"], record["reward"]) == (None, None)
