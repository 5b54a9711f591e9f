"""Rounds of replies: batches, order, and equality with the engine that asks."""

from __future__ import annotations

import asyncio

from training.replaying import Replay
from visionthink.core.episode import run_episode
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Sampling
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini.world import make_example
from visionthink.training.rollout import LockstepEngine, roll_out

EXAMPLES = [make_example(family, 5, "test") for family in ("colour", "receipt", "shape", "hatch")]
SAMPLING = Sampling(temperature=1.0, max_tokens=64)

DIRECT = [direct_reply("seen", "red")]
REQUEST = [request_reply("too small"), direct_reply("seen", "7")]
BROKEN = ["not a word of sense", direct_reply("sorry", "1")]


def test_rounds_hold_what_waits(mini: Checkpoint):
    """Four first replies in twos, then the two second replies of those that requested."""
    replay = Replay(mini, [DIRECT, REQUEST, DIRECT, REQUEST])
    episodes = roll_out(
        EXAMPLES,
        LockstepEngine(mini, replay, 2),
        look="auto",
        profile=None,
        max_turns=2,
        sampling=SAMPLING,
    )
    assert replay.rounds == [2, 2, 2]
    assert [episode.requested for episode in episodes] == [False, True, False, True]
    assert [episode.answer for episode in episodes] == ["red", "7", "red", "7"]
    assert [episode.example for episode in episodes] == EXAMPLES


def test_same_episode_as_everywhere(mini: Checkpoint):
    """Equal replies give equal messages, answers, outcomes and ledgers of tokens as in asking."""
    scripts = [DIRECT, REQUEST, BROKEN, REQUEST]
    trained = roll_out(
        EXAMPLES,
        LockstepEngine(mini, Replay(mini, scripts), 4),
        look="auto",
        profile=None,
        max_turns=2,
        sampling=SAMPLING,
    )
    for example, script, episode in zip(EXAMPLES, scripts, trained, strict=True):
        engine = ScriptedEngine(script, grid=mini.grid)
        asked = asyncio.run(run_episode(example, engine, profile="mini", sampling=SAMPLING))
        assert [(m.role, m.text) for m in asked.messages] == [
            (m.role, m.text) for m in episode.messages
        ]
        assert [[p.size for p in m.images] for m in asked.messages] == [
            [p.size for p in m.images] for m in episode.messages
        ]
        assert (asked.answer, asked.requested, asked.stop_reason, asked.format_valid) == (
            episode.answer,
            episode.requested,
            episode.stop_reason,
            episode.format_valid,
        )
        assert asked.ledger.processed == episode.ledger.processed


def test_nothing_to_roll_out(mini: Checkpoint):
    """A process without episodes takes part in no round of its own making."""
    replay = Replay(mini, [])
    engine = LockstepEngine(mini, replay, 1)
    assert roll_out([], engine, look="auto", profile=None, max_turns=2, sampling=SAMPLING) == []
    assert replay.rounds == []


class Busy(Replay):
    """Another process has two rounds to go when this one has none."""

    left = 2

    def any_process(self, waiting: bool) -> bool:
        if waiting:
            return True
        self.left -= 1
        return self.left >= 0


def test_a_process_that_is_done_takes_part_in_the_rounds_of_others(mini: Checkpoint):
    replay = Busy(mini, [DIRECT])
    roll_out(
        EXAMPLES[:1],
        LockstepEngine(mini, replay, 1),
        look="auto",
        profile=None,
        max_turns=2,
        sampling=SAMPLING,
    )
    assert replay.rounds == [1, 0, 0]
