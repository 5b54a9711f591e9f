"""FastV and SparseVLM: dropping tokens between the layers of the language model.

The attention of one layer decides what the next one still gets. From there on the tokens are gone:
from the hidden states, from the KV caches of the later layers, from positions and masks. What stays
keeps its position; nothing is renumbered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from visionthink.core.ledger import ModelShape, Pruned
from visionthink.pruning.cost import peaks_flops, raters_flops, rows_flops
from visionthink.pruning.layout import Layout
from visionthink.pruning.methods import FastV, SparseVLM, recycled
from visionthink.pruning.selection import best, check_call, density_peaks, layer_attention

Hooked = tuple[tuple[Any, ...], dict[str, Any]] | None


class LayerPruning:
    """One reply under FastV or SparseVLM.

    Args:
        method: which of the two.
        layout: where the visual tokens of the prompt stand; nothing of it may be cached.
        language: the language model.
        shape: its sizes.
    """

    def __init__(
        self, method: FastV | SparseVLM, layout: Layout, language: Any, shape: ModelShape
    ) -> None:
        self._method = method
        self._layout = layout
        self._language = language
        self._shape = shape
        self._schedule = method.schedule(layout.prunable_sizes, shape.layers)
        self._stages = [
            layer
            for layer in range(1, shape.layers)
            if self._schedule[layer] < self._schedule[layer - 1]
        ]
        self._owner = torch.tensor(layout.owner, device=language.device)
        # Places, in the prompt, of the tokens that the running layer has; and of those that each
        # layer had when the prompt went through it.
        self._present = torch.arange(layout.tokens, device=language.device)
        self._left: dict[int, torch.Tensor] = {}
        self._rows = self._present[-1:]  # places of the tokens whose attention decides
        self._scores = torch.empty(0)
        self._prefill = False
        self._extra = 0

    @contextmanager
    def hooked(self) -> Iterator[Callable[[], Pruned]]:
        """Installs the hooks while open; yields a function that returns what was run."""
        layers = self._language.layers
        with ExitStack() as hooks:
            start = self._language.register_forward_pre_hook(self._start, with_kwargs=True)
            hooks.callback(start.remove)
            for stage in self._stages:
                attention = layers[stage - 1].self_attn
                attended = attention.register_forward_hook(self._attended, with_kwargs=True)
                hooks.callback(attended.remove)
            for number in range(min(self._stages, default=len(layers)), len(layers)):
                enter = layers[number].register_forward_pre_hook(
                    self._enter(number), with_kwargs=True
                )
                hooks.callback(enter.remove)
            yield self._pruned

    def _pruned(self) -> Pruned:
        latest = torch.zeros(self._layout.tokens, dtype=torch.bool, device=self._owner.device)
        for image in self._layout.latest:
            places = self._layout.images[image]
            latest[places.start : places.stop] = True
        everything = torch.arange(self._layout.tokens, device=self._owner.device)
        left = [self._left.get(number, everything) for number in range(self._shape.layers)]
        return Pruned(
            run=tuple(len(places) for places in left),
            cached=(0,) * self._shape.layers,
            visual=tuple(int(latest[places].sum()) for places in left),
            extra_flops=self._extra,
        )

    def _start(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the language model runs: the prompt first, then one token at a time."""
        embeddings, cache = kwargs["inputs_embeds"], kwargs["past_key_values"]
        check_call(embeddings, cache)
        self._prefill = cache.get_seq_length() == 0
        if self._prefill and isinstance(self._method, SparseVLM) and self._stages:
            self._rows = self._raters(embeddings[0])

    def _raters(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Places of the words after the images that the images are like: at least the mean word.

        Likeness is the softmax over the words of their products with a visual token, averaged over
        the visual tokens.
        """
        visual = embeddings[self._owner >= 0].float()
        start = max(image.stop for image in self._layout.images)
        texts = torch.arange(start, len(embeddings), device=embeddings.device)
        likeness = (visual @ embeddings[texts].float().T).softmax(dim=-1).mean(dim=0)
        self._extra += raters_flops(len(visual), len(texts), self._shape)
        return texts[likeness >= likeness.mean()]

    def _attended(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """After the attention of the last layer before a stage."""
        if not self._prefill:
            return
        rows = torch.searchsorted(self._present, self._rows)
        keys = kwargs["past_key_values"].layers[module.layer_idx].keys
        hidden, rotary = kwargs["hidden_states"], kwargs["position_embeddings"]
        self._scores = layer_attention(module, hidden, rotary, keys, rows).mean(dim=0)
        self._extra += rows_flops(len(rows), keys.shape[2], self._shape)

    def _enter(self, number: int) -> Callable[..., Hooked]:
        """The hook before a layer that has fewer tokens than the first."""

        def enter(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hooked:
            if not self._prefill:  # one token, which sees all that is left
                return args, {**kwargs, "attention_mask": None}
            hidden, *rest = args
            if number in self._stages:
                hidden = self._dropped(hidden, self._schedule[number])
            present = self._left[number] = self._present
            rotary = tuple(part[:, present] for part in kwargs["position_embeddings"])
            mask = kwargs["attention_mask"]  # additive, (1, 1, T, T), where the kernel takes one
            mask = None if mask is None else mask[:, :, present][..., present]
            changed = {"position_embeddings": rotary, "attention_mask": mask}
            return (hidden, *rest), {**kwargs, **changed}

        return enter

    def _dropped(self, hidden: torch.Tensor, budget: int) -> torch.Tensor:
        """The hidden states (1, T, D) with `budget` visual tokens left."""
        owner = self._owner[self._present]
        places = (owner >= 0).nonzero().flatten()
        scores, owner = self._scores[places], owner[places]
        merged = 0
        if isinstance(self._method, SparseVLM):
            images = len(self._layout.prunable)
            merged = self._method.merged(len(places), budget, images)
        stays = torch.zeros(len(places), dtype=torch.bool, device=places.device)
        stays[_best_of_images(scores, owner, budget - merged)] = True
        if merged:
            left = (~stays).nonzero().flatten()
            pool = left[best(scores[left], recycled(len(left)))]
            centres, means = density_peaks(hidden[0, places[pool]], merged)
            self._extra += peaks_flops(len(left), self._shape)
            stays[pool[centres]] = True
            hidden = hidden.clone()
            hidden[0, places[pool[centres]]] = means
        keep = torch.ones(len(self._present), dtype=torch.bool, device=places.device)
        keep[places] = stays
        self._present = self._present[keep]
        return hidden[:, keep]


def _best_of_images(scores: torch.Tensor, owner: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the best scores, with the best one of every image among them."""
    lifted = scores.clone()
    for image in owner.unique():
        mine = (owner == image).nonzero().flatten()
        lifted[mine[scores[mine].argmax()]] = float("inf")
    return best(lifted, count)
