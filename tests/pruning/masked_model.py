"""A reference that knows nothing of the hooks: all tokens run, dropped ones are hidden by masks.

What to drop is read from the weights of eager attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pruning_models import attention_by, logits_of, positions_of, visual_places

from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import Prompt


class Masked:
    """The model with tokens hidden, from some layer on, from all tokens but themselves."""

    def __init__(self, checkpoint: Checkpoint, prompt: Prompt) -> None:
        self._checkpoint = checkpoint
        self._prompt = prompt
        self._hidden: dict[int, list[int]] = {}  # by the first layer that does not see them

    def hide(self, places: Sequence[int], layer: int) -> None:
        self._hidden[layer] = list(places)

    @torch.inference_mode()
    def run(self, spoken: Sequence[int] = ()) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits of the last token, and every layer's attention (T, T), averaged over heads."""
        ids = torch.tensor([(*self._prompt.ids, *spoken)])
        with attention_by("eager", self._checkpoint), self._hooks(ids.shape[1]):
            output = self._checkpoint.model(
                input_ids=ids,
                position_ids=positions_of(self._checkpoint, ids, self._prompt),
                **self._checkpoint.inputs(self._prompt.pictures),
                use_cache=False,
                output_attentions=True,
            )
        return output.logits[0, -1], [weights[0].mean(dim=0) for weights in output.attentions]

    @contextmanager
    def _hooks(self, length: int) -> Iterator[None]:
        handles = []
        for number, layer in enumerate(self._checkpoint.model.model.language_model.layers):
            mask = torch.full((length, length), float("-inf")).triu(1)
            for first, places in self._hidden.items():
                if number >= first:
                    mask[:, places] = float("-inf")
            mask.fill_diagonal_(0)
            handles.append(layer.register_forward_pre_hook(_masking(mask), with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _masking(mask: torch.Tensor) -> Callable[..., Any]:
    return lambda module, args, kwargs: (args, {**kwargs, "attention_mask": mask[None, None]})


def slow_raters(checkpoint: Checkpoint, prompt: Prompt) -> list[int]:
    """The words after the image that it is like, in loops."""
    seen: list[torch.Tensor] = []
    language = checkpoint.model.model.language_model
    handle = language.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs_embeds"][0]), with_kwargs=True
    )
    try:
        logits_of(checkpoint, prompt)
    finally:
        handle.remove()
    visual = visual_places(prompt, checkpoint)
    texts = range(visual[-1] + 1, len(prompt.ids))
    likeness = dict.fromkeys(texts, 0.0)
    for place in visual:
        products = torch.tensor([float(seen[0][place] @ seen[0][text]) for text in texts])
        for text, share in zip(texts, products.softmax(dim=0).tolist(), strict=True):
            likeness[text] += share / len(visual)
    mean = sum(likeness.values()) / len(likeness)
    return [text for text, value in likeness.items() if value >= mean]
