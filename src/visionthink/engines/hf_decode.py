"""Prefill and decode: token ids out of prompts, one batch at a time.

We use our own loop because `generate` does not offer these three together: a later turn
that continues from the KV cache although it adds an image, a random generator per row, so that a
reply does not depend on the rest of the batch, and a count of what was computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from visionthink.core.ledger import Pruned
from visionthink.core.types import Sampling
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import Prompt


@dataclass(frozen=True)
class Prefix:
    """A computed conversation that a longer one may continue from.

    `cache` holds keys and values of exactly `ids`; continuing changes it in place.
    """

    ids: tuple[int, ...]
    pictures: tuple[Any, ...]
    cache: DynamicCache

    def fits(self, prompt: Prompt) -> bool:
        """Whether the prompt is longer and begins with these tokens and these very images."""
        return (
            len(prompt.ids) > len(self.ids)
            and prompt.ids[: len(self.ids)] == self.ids
            and len(self.pictures) <= len(prompt.pictures)
            and all(a is b for a, b in zip(self.pictures, prompt.pictures, strict=False))
        )


@dataclass(frozen=True)
class Decoded:
    """The sampled ids of one row, its stop token last if there is one, and the cached tokens.

    `pruned` is set by an engine under an intervention.
    """

    ids: tuple[int, ...]
    stopped: bool
    cached_tokens: int
    pruned: Pruned | None = None


@torch.inference_mode()
def decode(
    prompts: Sequence[Prompt],
    samplings: Sequence[Sampling],
    checkpoint: Checkpoint,
    prefix: Prefix | None = None,
    abandoned: Callable[[int], bool] = lambda _: False,
    followers: Mapping[int, Callable[[int], None]] | None = None,
) -> tuple[list[Decoded], Prefix | None]:
    """Reply to every prompt.

    Args:
        prompts: B conversations, padded on the left to a batch.
        samplings: B settings, one a row.
        checkpoint: the model.
        prefix: with B = 1, a computed beginning of the prompt; it must fit.
        abandoned: whether a row is no longer needed; checked after each token.
        followers: row → function called with each token of its reply, except stop tokens.

    Returns:
        B replies and, with B = 1, the prefix that a next turn can continue from.
    """
    model, device = checkpoint.model, checkpoint.device
    past = len(prefix.ids) if prefix else 0
    cache = prefix.cache if prefix else DynamicCache(config=model.config.get_text_config())
    width = max(len(prompt.ids) for prompt in prompts)
    pads = [width - len(prompt.ids) for prompt in prompts]
    rows = [
        [checkpoint.pad_id] * pad + list(prompt.ids)
        for pad, prompt in zip(pads, prompts, strict=True)
    ]
    ids = torch.tensor(rows, device=device)  # (B, T)
    padded = any(pads)
    mask = None
    if padded:
        columns = torch.arange(width, device=device)
        mask = (columns >= torch.tensor(pads, device=device)[:, None]).long()  # (B, T)

    cells = checkpoint.cells([picture for prompt in prompts for picture in prompt.pictures])
    image = checkpoint.tokens.image
    positions, deltas = checkpoint.runner.positions(model, ids, mask, cells, image)
    skipped = len(prefix.pictures) if prefix else 0
    images = checkpoint.inputs([p for prompt in prompts for p in prompt.pictures[skipped:]])
    logits = _forward(model, ids[:, past:], mask, positions[..., past:], cache, **images)

    choose = _Sampler(samplings, checkpoint)
    sampled: list[list[int]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    going = [True] * len(prompts)
    step = 0
    while True:
        tokens = choose(logits)  # (B,)
        for row, token in enumerate(tokens.tolist()):
            if going[row]:
                sampled[row].append(token)
                stopped[row] = token in checkpoint.stop_ids
                going[row] = not stopped[row] and len(sampled[row]) < samplings[row].max_tokens
                going[row] = going[row] and not abandoned(row)
                if followers and row in followers and not stopped[row]:
                    followers[row](token)
        if not any(going):
            break
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        position = (width - torch.tensor(pads, device=device) + step)[:, None] + deltas  # (B, 1)
        position = position.expand(*positions.shape[:-1], 1)
        logits = _forward(model, tokens[:, None], mask, position, cache)
        step += 1

    replies = [
        Decoded(tuple(reply), end, past) for reply, end in zip(sampled, stopped, strict=True)
    ]
    if len(prompts) > 1:
        return replies, None
    # The last sampled token was never run, so the cache ends just before it.
    return replies, Prefix(prompts[0].ids + replies[0].ids[:-1], prompts[0].pictures, cache)


def _forward(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    positions: torch.Tensor,
    cache: DynamicCache,
    **images: Any,
) -> torch.Tensor:
    """Run `ids` after what the cache holds; float32 logits (B, V) of the last position."""
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **images,
    )
    return output.logits[:, -1].float()


class _Sampler:
    """Picks the next token of every row by its own settings and its own random generator."""

    def __init__(self, samplings: Sequence[Sampling], checkpoint: Checkpoint) -> None:
        device = checkpoint.device
        self._samplings = samplings
        self._banned = torch.tensor(checkpoint.tokens.banned, device=device, dtype=torch.long)
        self._generators = [
            torch.Generator(device=device).manual_seed(s.seed % 2**63) for s in samplings
        ]

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        logits = logits.index_fill(1, self._banned, float("-inf"))
        tokens = logits.argmax(dim=-1)
        for row, sampling in enumerate(self._samplings):
            if sampling.temperature > 0:
                tokens[row] = _draw(logits[row], sampling, self._generators[row])
        return tokens


def _draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> torch.Tensor:
    """A token of the nucleus: the likeliest tokens whose probabilities reach `top_p`."""
    # Relative to the largest, so that a temperature near 0 gives -inf and never inf - inf.
    probabilities = torch.softmax((logits - logits.max()) / sampling.temperature, dim=-1)
    if sampling.top_p >= 1:
        return torch.multinomial(probabilities, 1, generator=generator)[0]
    ordered, order = probabilities.sort(descending=True)
    outside = ordered.cumsum(-1) - ordered >= sampling.top_p
    return order[torch.multinomial(ordered.masked_fill(outside, 0), 1, generator=generator)[0]]
