"""From a finished episode to the token ids and the loss mask that training needs."""

from __future__ import annotations

from dataclasses import dataclass

from visionthink.core.images import Picture
from visionthink.core.types import Episode
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import build_prompt


@dataclass(frozen=True)
class Packed:
    """One episode as tokens.

    Attributes:
        prompt_ids: everything before the first reply.
        completion_ids: T ids, replies and what stands between them, image placeholders included.
        replies: T numbers, of the reply that a token was generated in, from 0; None elsewhere.
        pictures: the images in order of appearance.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    replies: tuple[int | None, ...]
    pictures: tuple[Picture, ...]

    @property
    def mask(self) -> tuple[int, ...]:
        """T flags I(o_t), 1 on tokens that the model generated and 0 elsewhere (Eq. 3)."""
        return tuple(int(reply is not None) for reply in self.replies)


def pack_episode(episode: Episode, checkpoint: Checkpoint) -> Packed:
    """The tokens of an episode exactly as the model saw and sampled them.

    A reply that was cut off gets its end-of-turn token from the chat template when another turn
    follows; the model did not generate that token, so its mask is 0.
    """
    said = [i for i, message in enumerate(episode.messages) if message.role == "assistant"]
    prompts = [build_prompt(episode.messages[:index], checkpoint) for index in said]
    ids = prompts[-1].ids + _sampled(episode, said[-1])
    replies: list[int | None] = [None] * len(ids)
    for number, (index, prompt) in enumerate(zip(said, prompts, strict=True)):
        for place, token in enumerate(_sampled(episode, index), start=len(prompt.ids)):
            if ids[place] == token:
                replies[place] = number
    start, last = len(prompts[0].ids), prompts[-1]
    return Packed(ids[:start], ids[start:], tuple(replies[start:]), last.pictures)


def _sampled(episode: Episode, index: int) -> tuple[int, ...]:
    """Token ids of one reply, its stop token last if one came."""
    ids = episode.messages[index].token_ids
    if ids is None:
        raise ValueError("an episode without token ids cannot be trained on")
    return ids
