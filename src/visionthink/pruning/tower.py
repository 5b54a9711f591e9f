"""VisionZip: choosing visual tokens by the vision tower's own attention, before the language model.

As in the authors' version for Qwen2.5-VL: attention received in the tower's last block, averaged
over heads and over the patches of a token; keys, after rotation, averaged the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from visionthink.core.images import Cells
from visionthink.core.ledger import ModelShape, Pruned
from visionthink.pruning.cost import received_flops
from visionthink.pruning.layout import Layout
from visionthink.pruning.methods import VisionZip, tower_of
from visionthink.pruning.selection import (
    best,
    check_call,
    contextual,
    received_attention,
    rotate_patches,
)

Hooked = tuple[tuple[Any, ...], dict[str, Any]] | None


class TowerPruning:
    """One reply under VisionZip.

    Args:
        method: how much stays.
        layout: where the visual tokens stand in the part of the prompt that is run.
        tower: the vision tower.
        language: the language model.
        shape: its sizes.
    """

    def __init__(
        self, method: VisionZip, layout: Layout, tower: Any, language: Any, shape: ModelShape
    ) -> None:
        self._method = method
        self._layout = layout
        self._tower = tower
        self._language = language
        self._shape = shape
        self._vision = tower_of(shape)
        self._shrunk = [
            image
            for image in layout.prunable
            if sum(method.parts(len(layout.images[image]))) < len(layout.images[image])
        ]
        self._projected = torch.empty(0)
        self._received = torch.empty(0)  # by visual token, in the order of the prompt
        self._keys = torch.empty(0)
        self._prefilled = False
        self._cached: tuple[int, ...] = ()
        self._stays = torch.ones(layout.tokens, dtype=torch.bool, device=language.device)
        self._extra = 0

    @contextmanager
    def hooked(self) -> Iterator[Callable[[], Pruned]]:
        """Installs the hooks while open; yields a function that returns what was run."""
        attention, language = self._tower.blocks[-1].attn, self._language
        with ExitStack() as hooks:
            start = language.register_forward_pre_hook(self._start, with_kwargs=True)
            hooks.callback(start.remove)
            if self._shrunk:
                project = attention.qkv.register_forward_hook(self._project)
                hooks.callback(project.remove)
                attended = attention.register_forward_hook(self._attended, with_kwargs=True)
                hooks.callback(attended.remove)
            yield self._pruned

    def _pruned(self) -> Pruned:
        layers = self._shape.layers
        latest = [self._layout.images[image] for image in self._layout.latest]
        visual = sum(int(self._stays[places.start : places.stop].sum()) for places in latest)
        return Pruned(
            run=(int(self._stays.sum()),) * layers,
            cached=self._cached,
            visual=(visual,) * layers,
            extra_flops=self._extra,
        )

    def _project(self, module: Any, args: tuple[Any, ...], output: torch.Tensor) -> None:
        self._projected = output  # (N, 3 heads d): queries, keys and values of all patches

    def _attended(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """After the attention of the last block."""
        parts = self._projected.view(len(self._projected), 3, module.num_heads, -1)
        rotary = kwargs["position_embeddings"]
        queries, keys = (rotate_patches(parts[:, part], rotary) for part in (0, 1))
        lengths = kwargs["cu_seqlens"].diff().tolist()
        received = received_attention(queries, keys, lengths, module.scaling)
        order = window_order(self._layout.cells, self._vision.window)
        back = torch.tensor(order, device=received.device).argsort()
        patches = self._vision.merge**2
        self._received = received.view(-1, patches).mean(dim=1)[back]
        self._keys = keys.float().view(len(back), patches, *keys.shape[1:]).mean(dim=(1, 2))[back]
        self._extra += received_flops(self._layout.cells, self._shape)

    def _start(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hooked:
        """Before the language model runs: the prompt first, then one token at a time."""
        if self._prefilled:
            return None
        self._prefilled = True
        embeddings, cache = kwargs["inputs_embeds"], kwargs["past_key_values"]
        check_call(embeddings, cache)
        self._cached = tuple(cache.get_seq_length(layer) for layer in range(self._shape.layers))
        embeddings = embeddings.clone()
        first = 0
        for image, places in enumerate(self._layout.images):
            mine = slice(first, first + len(places))
            first = mine.stop
            if image in self._shrunk:
                self._zip(embeddings[0, places.start : places.stop], places, mine)
        return args, {
            **kwargs,
            "inputs_embeds": embeddings[:, self._stays],
            "position_ids": kwargs["position_ids"][..., self._stays],
        }

    def _zip(self, states: torch.Tensor, places: range, mine: slice) -> None:
        """Choose from one image's tokens and merge the others, in place: `states` is (n, D)."""
        dominant, targets = self._method.parts(len(places))
        keys = self._keys[mine]
        stays = torch.zeros(len(places), dtype=torch.bool, device=states.device)
        stays[best(self._received[mine], dominant)] = True
        if targets:
            others = (~stays).nonzero().flatten()
            chosen, merged = contextual(states[others], keys[others], targets)
            states[others[chosen]] = merged
            stays[others[chosen]] = True
        self._stays[places.start : places.stop] = stays


def window_order(images: tuple[Cells, ...], window: int | None) -> list[int]:
    """The order in which a tower with attention windows of this side keeps visual tokens.

    Windows row by row, and row by row inside them; without windows as they are.
    """
    order: list[int] = []
    for columns, rows in images:
        cells, start = list(range(columns * rows)), len(order)
        if window is not None:
            cells.sort(key=lambda cell: (cell // columns // window, cell % columns // window))
        order += [cell + start for cell in cells]
    return order
