"""Tokens and masks of episodes, against the prompts that the engine builds."""

from __future__ import annotations

import asyncio

import pytest

from training.replaying import Replay, reply_ids
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Episode, Sampling, StopReason
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import build_prompt
from visionthink.mini.world import make_example
from visionthink.training.packing import pack_episode
from visionthink.training.rollout import LockstepEngine, roll_out

EXAMPLE = make_example("receipt", 3, "test")


def episode_of(checkpoint: Checkpoint, *replies: str, max_tokens: int = 64) -> Episode:
    engine = LockstepEngine(checkpoint, Replay(checkpoint, [list(replies)]), 1)
    (episode,) = roll_out(
        [EXAMPLE],
        engine,
        look="auto",
        profile=None,
        max_turns=2,
        sampling=Sampling(temperature=1.0, max_tokens=max_tokens),
    )
    return episode


def test_direct_answer(mini: Checkpoint):
    """Prompt, then the reply and its stop token: all of the completion was generated."""
    reply = direct_reply("seen", "4")
    packed = pack_episode(episode_of(mini, reply), mini)
    prompt = build_prompt(episode_of(mini, reply).messages[:2], mini)
    assert packed.prompt_ids == prompt.ids
    assert packed.completion_ids == reply_ids(mini, reply)
    assert packed.mask == (1,) * len(packed.completion_ids)
    assert len(packed.pictures) == 1


def test_requested_answer(mini: Checkpoint):
    """1 on both replies with their stop tokens, 0 on the delivered image and what frames it."""
    request, answer = request_reply("too small"), direct_reply("seen", "2.36")
    episode = episode_of(mini, request, answer)
    packed = pack_episode(episode, mini)
    first, second = reply_ids(mini, request), reply_ids(mini, answer)
    between = len(packed.completion_ids) - len(first) - len(second)
    assert packed.mask == (1,) * len(first) + (0,) * between + (1,) * len(second)
    assert packed.completion_ids[: len(first)] == first
    assert packed.completion_ids[-len(second) :] == second
    whole = build_prompt(episode.messages[:4], mini).ids + second
    assert packed.prompt_ids + packed.completion_ids == whole
    width, height = EXAMPLE.images[0].size
    original = (width // 28) * (height // 28)
    assert packed.completion_ids.count(mini.tokens.image) == original
    assert packed.prompt_ids.count(mini.tokens.image) == original // 4
    assert [picture.size for picture in packed.pictures] == [
        (width // 2, height // 2),
        (width, height),
    ]


def test_a_reply_that_was_cut_off_gets_its_end_from_the_template(mini: Checkpoint):
    """A request cut before its closing tag still requests; its end of turn was not generated."""
    request = request_reply("too small")
    cut = len(reply_ids(mini, request)) - 2  # without the closing tag and the stop token
    episode = episode_of(mini, request, direct_reply("seen", "2"), max_tokens=cut)
    packed = pack_episode(episode, mini)
    assert episode.requested
    assert packed.mask[:cut] == (1,) * cut
    assert packed.completion_ids[cut] in mini.stop_ids
    assert packed.mask[cut] == 0


def test_cut_off_at_the_end(mini: Checkpoint):
    """Three tokens of thought and no more: neither answered nor requested, and no stop token."""
    episode = episode_of(mini, direct_reply("seen", "4"), max_tokens=3)
    packed = pack_episode(episode, mini)
    assert episode.stop_reason is StopReason.LENGTH
    assert packed.completion_ids == reply_ids(mini, direct_reply("seen", "4"))[:3]
    assert packed.mask == (1, 1, 1)


def test_episodes_without_token_ids_are_refused(mini: Checkpoint):
    from visionthink.core.episode import run_episode
    from visionthink.engines.scripted import ScriptedEngine

    episode = asyncio.run(
        run_episode(EXAMPLE, ScriptedEngine([direct_reply("seen", "4")]), profile="mini")
    )
    with pytest.raises(ValueError, match="without token ids"):
        pack_episode(episode, mini)
