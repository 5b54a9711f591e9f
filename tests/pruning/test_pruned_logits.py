"""FastV and SparseVLM against the model with dropped keys masked, in float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from masked_model import Masked, slow_raters
from pruning_models import (
    LAYERS,
    SPOKEN,
    assert_close,
    attention_by,
    deep_checkpoint,
    logits_of,
    longer,
    picture,
    prompt_about,
    visual_places,
)

import visionthink.pruning.layers
from checkpoints import save_qwen2_5_vl, save_qwen3_vl
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.pruning import FastV, Method, SparseVLM


@pytest.fixture(scope="module", params=[save_qwen2_5_vl, save_qwen3_vl], ids=["2.5", "3"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Checkpoint:
    folder: Path = tmp_path_factory.mktemp("deep")
    return deep_checkpoint(request.param, folder)


@pytest.mark.parametrize("method", [FastV(1.0), SparseVLM(1.0)], ids=str)
@pytest.mark.usefixtures("kernel")
def test_a_share_of_one_is_bit_identical(checkpoint: Checkpoint, method: Method):
    prompt = prompt_about(checkpoint, picture(1))
    plain, _ = logits_of(checkpoint, prompt, spoken=SPOKEN)
    pruned, told = logits_of(checkpoint, prompt, method, SPOKEN)
    assert pruned.equal(plain)
    assert told is not None
    assert told.run == (len(prompt.ids),) * LAYERS


def lowest(scores: Sequence[float], places: Sequence[int], count: int) -> list[int]:
    """The `count` places of the lowest scores."""
    return sorted(places, key=lambda place: scores[place])[:count]


def hide_by_fastv(masked: Masked, visual: list[int], layer: int, keep: int) -> None:
    attention = masked.run()[1][layer - 1][-1].tolist()
    masked.hide(lowest(attention, visual, len(visual) - keep), layer)


@pytest.mark.parametrize("method", [FastV(0.5), FastV(0.25, layer=3)], ids=str)
@pytest.mark.usefixtures("kernel")
def test_fastv_equals_masking_the_keys(checkpoint: Checkpoint, method: FastV):
    """48 visual tokens (2.5) or 35: half of them, or a quarter, by the last token's attention."""
    prompt = prompt_about(checkpoint, picture(2))
    visual = visual_places(prompt, checkpoint)
    masked = Masked(checkpoint, prompt)
    hide_by_fastv(masked, visual, method.layer, round(len(visual) * method.retained))

    pruned, told = logits_of(checkpoint, prompt, method, SPOKEN)
    wanted = [masked.run(SPOKEN[:step])[0] for step in range(len(SPOKEN) + 1)]
    assert_close(pruned, torch.stack(wanted))
    plain, _ = logits_of(checkpoint, prompt, spoken=SPOKEN)
    assert (pruned - plain).abs().max() > 0.1  # else the mask would not matter
    assert told is not None
    assert told.visual[method.layer - 1 : method.layer + 1] == (
        len(visual),
        round(len(visual) * method.retained),
    )


@pytest.mark.usefixtures("kernel")
def test_sparsevlm_without_recycling_equals_masking_the_keys(checkpoint: Checkpoint):
    """Of six layers: before layers 1, 2 and 4 (from 0), by the raters' attention one layer up."""
    method = SparseVLM(0.5, recycling=False)
    prompt = prompt_about(checkpoint, picture(3))
    left = visual_places(prompt, checkpoint)
    raters = slow_raters(checkpoint, prompt)
    assert 0 < len(raters) < len(prompt.ids) - left[-1] - 1
    masked = Masked(checkpoint, prompt)
    counts = method.schedule([len(left)], LAYERS)
    for layer in (1, 2, 4):
        attention = masked.run()[1][layer - 1][raters].mean(dim=0).tolist()
        dropped = lowest(attention, left, len(left) - counts[layer])
        masked.hide(dropped, layer)
        left = [place for place in left if place not in dropped]

    pruned, told = logits_of(checkpoint, prompt, method, SPOKEN)
    wanted = [masked.run(SPOKEN[:step])[0] for step in range(len(SPOKEN) + 1)]
    assert_close(pruned, torch.stack(wanted))
    assert told is not None
    assert told.visual == counts
    assert len({*counts}) == 4


def test_fastv_with_two_images_ranks_them_together(checkpoint: Checkpoint):
    prompt = prompt_about(checkpoint, picture(4), picture(5, (96, 96)))
    visual = visual_places(prompt, checkpoint)
    masked = Masked(checkpoint, prompt)
    hide_by_fastv(masked, visual, 2, round(len(visual) * 0.5))
    pruned, told = logits_of(checkpoint, prompt, FastV(0.5), SPOKEN[:2])
    wanted = [masked.run(SPOKEN[:step])[0] for step in range(3)]
    assert_close(pruned, torch.stack(wanted))
    assert told is not None
    assert told.visual[-1] == round(len(visual) * 0.5)


# One prefill


@pytest.mark.parametrize(
    "method", [FastV(0.5), SparseVLM(0.5), SparseVLM(0.5, recycling=False)], ids=str
)
@pytest.mark.usefixtures("kernel")
def test_cached_decoding_equals_one_prefill(
    checkpoint: Checkpoint, method: Method, monkeypatch: pytest.MonkeyPatch
):
    """Of the prompt with the reply so far, pruned by the same scores: those of its first prefill,
    since the words that decide are others now."""
    prompt = prompt_about(checkpoint, picture(6))
    scores: list[torch.Tensor] = []
    attention = visionthink.pruning.layers.layer_attention

    def recording(*args: Any) -> torch.Tensor:
        scores.append(attention(*args))
        return scores[-1]

    monkeypatch.setattr(visionthink.pruning.layers, "layer_attention", recording)
    decoded, _ = logits_of(checkpoint, prompt, method, SPOKEN)
    for step in range(1, len(SPOKEN) + 1):
        known = iter(scores)
        monkeypatch.setattr(
            visionthink.pruning.layers,
            "layer_attention",
            lambda *args, known=known, step=step: torch.nn.functional.pad(next(known), (0, step)),
        )
        whole, _ = logits_of(checkpoint, longer(prompt, SPOKEN[:step]), method)
        assert_close(decoded[step], whole[0])


@pytest.mark.parametrize("method", [FastV(0.5), SparseVLM(0.5)], ids=str)
def test_sdpa_and_eager_agree(checkpoint: Checkpoint, method: Method):
    prompt = prompt_about(checkpoint, picture(9))
    sdpa, told = logits_of(checkpoint, prompt, method, SPOKEN)
    with attention_by("eager", checkpoint):
        eager, told_too = logits_of(checkpoint, prompt, method, SPOKEN)
    assert_close(sdpa, eager)
    assert told == told_too
