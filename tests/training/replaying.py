"""Generators that replay given replies, token for token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import Prompt


def reply_ids(checkpoint: Checkpoint, text: str) -> tuple[int, ...]:
    """A reply as a model would have sampled it, its stop token last."""
    ids = checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"]
    return (*ids, checkpoint.tokens.end)


def in_turns(
    checkpoint: Checkpoint, scripts: Sequence[Sequence[str]]
) -> Callable[[Sequence[Prompt]], list[tuple[int, ...]]]:
    """One script an episode: what is generated in the n-th turn is its n-th entry."""
    turns = iter(range(99))

    def generate(prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        turn = next(turns)
        said = [script[turn] for script in scripts if len(script) > turn]
        return [reply_ids(checkpoint, text) for _, text in zip(prompts, said, strict=True)]

    return generate


class Replay:
    """Gives the n-th conversation the n-th list of replies, one a turn.

    Conversations are told apart by the order of their first prompts; a later turn begins with the
    tokens of an earlier one. `rounds` has the number of prompts of every round.
    """

    def __init__(self, checkpoint: Checkpoint, replies: Sequence[Sequence[str]]) -> None:
        self._checkpoint = checkpoint
        self._left = [list(turns) for turns in replies]
        self._seen: list[tuple[int, ...]] = []
        self.rounds: list[int] = []

    def any_process(self, waiting: bool) -> bool:
        return waiting

    def generate(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        self.rounds.append(len(prompts))
        return [reply_ids(self._checkpoint, self._next(prompt)) for prompt in prompts]

    def _next(self, prompt: Prompt) -> str:
        for number, start in enumerate(self._seen):
            if len(prompt.ids) > len(start) and prompt.ids[: len(start)] == start:
                return self._left[number].pop(0)
        self._seen.append(prompt.ids)
        return self._left[len(self._seen) - 1].pop(0)
