"""Packing: several questions about one image share the image's tokens in one sequence.

A packed row is a trunk (system turn and first image) and K branches (a question with its replies).
A branch attends to the trunk and to itself only, and its positions continue the trunk's, so each
branch is computed as if it were alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from recipes.mini.forward import patches_of, see
from recipes.mini.replies import answer_after_request, answer_at_once, request_original
from recipes.mini.tokenizer import IMAGE
from visionthink.core.profiles import PROFILES
from visionthink.mini.sheet import TOKEN, Ask

IGNORED = -100
ROUND = 4
"""Branch lengths are rounded up to a multiple of this, for few different kernel shapes."""


@dataclass(frozen=True)
class PackRow:
    """Questions about one image: its first look and, after a request, the original (H, W, 3)."""

    first: np.ndarray
    asks: Sequence[Ask]
    original: np.ndarray | None = None


@dataclass(frozen=True)
class Pack:
    """A batch of B rows of K branches, all images of one size (trunk length T, branch length L).

    Attributes:
        first: patches (B, N, P) of the first images, `first_grid` their (rows, columns) of tokens.
        original: patches (B, M, P) of the originals, or None.
        trunk: token ids (T,), the same for all rows.
        branches: token ids (B, K, L), padded on the right.
        labels: (B, K, L), the next token at each position; `IGNORED` outside replies.
        positions: (3, B, T + K * L).
    """

    first: torch.Tensor
    first_grid: tuple[int, int]
    original: torch.Tensor | None
    original_grid: tuple[int, int]
    trunk: torch.Tensor
    branches: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor


def grid_of(pixels: np.ndarray) -> tuple[int, int]:
    return pixels.shape[0] // TOKEN, pixels.shape[1] // TOKEN


def positions_of(ids: Sequence[int], image: int, grid: tuple[int, int], start: int) -> np.ndarray:
    """Rotary positions (3, len(ids)): text advances by one, an image spreads over its grid."""
    columns, at, index = [], start, 0
    while index < len(ids):
        if ids[index] != image:
            columns.append((at, at, at))
            at, index = at + 1, index + 1
            continue
        rows, width = grid
        columns.extend((at, at + y, at + x) for y in range(rows) for x in range(width))
        at, index = at + max(grid), index + rows * width
    return np.array(columns, dtype=np.int64).reshape(-1, 3).T


class Packer:
    """Turns rows into packs; each piece of text is encoded once."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.image = tokenizer.convert_tokens_to_ids(IMAGE)
        self.padding = tokenizer.pad_token_id
        self._known: dict[str, list[int]] = {}

    def _ids(self, text: str) -> list[int]:
        if text not in self._known:
            if len(self._known) > 50_000:
                self._known.clear()
            self._known[text] = self.tokenizer.encode(text, add_special_tokens=False)
        return self._known[text]

    def _fill(self, text: str, tokens: int) -> list[int]:
        """Ids of `text`, in which `{image}` becomes an image of `tokens` tokens."""
        before, image, after = text.partition("{image}")
        if not image:
            return self._ids(text)
        pads = [self.image] * tokens
        return [
            *self._ids(before + "<|vision_start|>"),
            *pads,
            *self._ids("<|vision_end|>" + after),
        ]

    def pack(self, rows: Sequence[PackRow], form: str, profile_name: str) -> Pack:
        """Pack rows as conversations of one `form`, "direct" or "request"."""
        profile = PROFILES[profile_name]
        before, _, after = profile.user.partition("{question}")
        first_grid = grid_of(rows[0].first)
        opening = f"<|im_start|>system\n{profile.system}<|im_end|>\n<|im_start|>user\n{before}"
        trunk = self._fill(opening, first_grid[0] * first_grid[1])
        trunk_positions = positions_of(trunk, self.image, first_grid, 0)
        start = int(trunk_positions.max()) + 1

        originals = [row.original for row in rows if row.original is not None]
        original_grid, response = (0, 0), ""
        if form == "request":
            original_grid = grid_of(originals[0])
            response = f"<|im_start|>user\n{profile.tool_response}<|im_end|>\n"

        packed: list[tuple[list[int], list[int], np.ndarray]] = []
        for row in rows:
            for question, answer in row.asks:
                pieces = [
                    (self._ids(f"{question}{after}<|im_end|>\n<|im_start|>assistant\n"), False)
                ]
                if form == "request":
                    pieces.append((self._ids(f"{request_original()}<|im_end|>"), True))
                    tokens = original_grid[0] * original_grid[1]
                    pieces.append(([*self._ids("\n"), *self._fill(response, tokens)], False))
                    pieces.append((self._ids("<|im_start|>assistant\n"), False))
                    reply = answer_after_request(answer)
                else:
                    reply = answer_at_once(answer)
                pieces.append((self._ids(f"{reply}<|im_end|>"), True))
                ids = [token for piece, _ in pieces for token in piece]
                spoken = [ours for piece, ours in pieces for _ in piece]
                labels = [
                    token if ours else IGNORED
                    for token, ours in zip(ids[1:], spoken[1:], strict=True)
                ] + [IGNORED]
                packed.append((ids, labels, positions_of(ids, self.image, original_grid, start)))

        branches, length = len(rows[0].asks), max(len(ids) for ids, _, _ in packed)
        length = -(-length // ROUND) * ROUND
        ids_out = np.full((len(packed), length), self.padding, dtype=np.int64)
        labels_out = np.full((len(packed), length), IGNORED, dtype=np.int64)
        positions_out = np.zeros((3, len(packed), length), dtype=np.int64)
        for index, (ids, labels, positions) in enumerate(packed):
            ids_out[index, : len(ids)] = ids
            labels_out[index, : len(ids)] = labels
            positions_out[:, index, : len(ids)] = positions
        batch = len(rows)
        trunk_out = np.broadcast_to(trunk_positions[:, None], (3, batch, len(trunk)))
        all_positions = np.concatenate([trunk_out, positions_out.reshape(3, batch, -1)], axis=2)
        return Pack(
            first=patches_of(np.stack([row.first for row in rows])),
            first_grid=first_grid,
            original=patches_of(np.stack(originals)) if form == "request" else None,
            original_grid=original_grid,
            trunk=torch.tensor(trunk),
            branches=torch.from_numpy(ids_out.reshape(batch, branches, length)),
            labels=torch.from_numpy(labels_out.reshape(batch, branches, length)),
            positions=torch.from_numpy(all_positions),
        )


def packed_mask(trunk: int, branches: int, length: int) -> torch.Tensor:
    """Additive attention mask (1, 1, S, S): the trunk and the past of the token's own branch."""
    branch = torch.arange(branches).repeat_interleave(length)
    owner = torch.cat([torch.full((trunk,), -1), branch])
    allowed = (owner[:, None] == owner[None, :]) | (owner[None, :] == -1)
    allowed &= torch.ones_like(allowed).tril()
    return torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[
        None, None
    ]


def packed_logits(model: Any, pack: Pack, image: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B * K * L, vocabulary) and labels (B * K * L,) of all branches."""
    core = model.model
    embed = core.language_model.embed_tokens
    batch, branches, length = pack.branches.shape
    trunk = len(pack.trunk)
    ids = torch.cat([pack.trunk.expand(batch, -1), pack.branches.reshape(batch, -1)], dim=1)
    inputs = embed(ids)
    place = (ids == image)[..., None]
    tokens = see(core.visual, pack.first, pack.first_grid)
    if pack.original is not None:
        later = see(core.visual, pack.original, pack.original_grid)
        tokens = torch.cat([tokens, later.repeat(1, branches, 1)], dim=1)
    inputs = inputs.masked_scatter(place, tokens)
    hidden = core.language_model(
        inputs_embeds=inputs,
        position_ids=pack.positions,
        attention_mask={"full_attention": packed_mask(trunk, branches, length)},
        use_cache=False,
    ).last_hidden_state[:, trunk:]
    return model.lm_head(hidden).flatten(0, 1), pack.labels.flatten()


def packed_loss(model: Any, pack: Pack, image: int) -> torch.Tensor:
    """Cross entropy of the replies, summed over tokens and divided by the number of replies.

    A mean over tokens would let the fixed words of a reply outweigh the answer.
    """
    logits, labels = packed_logits(model, pack, image)
    replies = pack.branches.shape[0] * pack.branches.shape[1]
    return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / replies
