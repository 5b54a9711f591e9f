"""VisionZip against a reference made from the weights of eager attention, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
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
)
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen2_vl import modeling_qwen2_vl
from transformers.vision_utils import get_vision_window_index

import visionthink.pruning.selection
import visionthink.pruning.tower
from checkpoints import save_qwen2_5_vl, save_qwen2_vl
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.pruning import VisionZip
from visionthink.pruning.tower import window_order

MODELLING = {"qwen2_vl": modeling_qwen2_vl, "qwen2_5_vl": modeling_qwen2_5_vl}


@pytest.fixture(scope="module", params=[save_qwen2_vl, save_qwen2_5_vl], ids=["2", "2.5"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Checkpoint:
    folder: Path = tmp_path_factory.mktemp("deep")
    return deep_checkpoint(request.param, folder)


@pytest.mark.parametrize("cells", [(1, 1), (4, 4), (5, 3), (2, 7), (9, 10)])
@pytest.mark.parametrize("window", [1, 2, 4, 64])
def test_the_order_of_windows_is_that_of_the_model(cells: tuple[int, int], window: int):
    """Of two images: one of these cells, and one of 3 x 2."""
    columns, rows = cells
    grids = torch.tensor([[1, 2 * rows, 2 * columns], [1, 4, 6]])
    order, _ = get_vision_window_index(grids, 2, window * 28, 14)
    assert window_order((cells, (3, 2)), window) == order.tolist()


def test_without_windows_nothing_moves():
    assert window_order(((5, 3), (1, 2)), None) == [*range(17)]


Weights = list[tuple[torch.Tensor, torch.Tensor]]


def eager_weights(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, run: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the tower's last block on one image: its attention (heads, N, N), its rotated keys
    (heads, N, d), and the visual tokens that come out, in the order of the prompt."""
    model = checkpoint.model
    modelling = MODELLING[model.config.model_type]
    plain, seen = modelling.eager_attention_forward, Weights()

    def keeping(module: Any, query: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
        output, weights = plain(module, query, key, *args, **kwargs)
        if module is model.model.visual.blocks[-1].attn:
            seen.append((weights[0], key[0]))
        return output, weights

    outputs: list[torch.Tensor] = []
    handle = model.model.visual.register_forward_hook(
        lambda module, args, output: outputs.append(output.pooler_output)
    )
    with attention_by("eager", checkpoint), monkeypatch.context() as patched:
        patched.setattr(modelling, "eager_attention_forward", keeping)
        run()
    handle.remove()
    ((weights, keys),) = seen
    return weights, keys, outputs[0]


@pytest.mark.parametrize("at_once", [2**26, 5000, 1])
@pytest.mark.usefixtures("kernel")
def test_received_attention_equals_the_naive_softmax(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, at_once: int
):
    """8 x 6 tokens are 192 patches; computed at once, some rows at a time, and row by row."""
    prompt = prompt_about(checkpoint, picture(1))
    weights, _, _ = eager_weights(checkpoint, monkeypatch, lambda: logits_of(checkpoint, prompt))
    received: list[torch.Tensor] = []
    compute = visionthink.pruning.tower.received_attention

    def recording(*args: Any) -> torch.Tensor:
        received.append(compute(*args))
        return received[-1]

    monkeypatch.setattr(visionthink.pruning.selection, "MOST_WEIGHTS", at_once)
    monkeypatch.setattr(visionthink.pruning.tower, "received_attention", recording)
    logits_of(checkpoint, prompt, VisionZip(0.5))
    naive = [float(weights[:, :, patch].mean(dim=0).sum()) for patch in range(192)]
    torch.testing.assert_close(received[0], torch.tensor(naive), rtol=1e-4, atol=1e-5)
    assert received[0].std() > 0.01  # not the same for all


@pytest.mark.usefixtures("kernel")
def test_what_the_language_model_gets_equals_a_reference_in_loops(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    """12 x 8 tokens in windows of 2 x 2 (2.5): 48 stay, 43 dominant and 5 contextual. The 5 stand
    for 53 others: every tenth of these, (53 // 5), with the mean of what is nearest added."""
    prompt = prompt_about(checkpoint, picture(2, (336, 224)))
    weights, keys, tokens = eager_weights(
        checkpoint, monkeypatch, lambda: logits_of(checkpoint, prompt)
    )
    order = list(range(96))
    if checkpoint.model.config.model_type == "qwen2_5_vl":
        grid = checkpoint.inputs(prompt.pictures)["image_grid_thw"]
        order = get_vision_window_index(grid, 2, 56, 14)[0].tolist()
    received, metric = [0.0] * 96, [torch.empty(0)] * 96
    for at, token in enumerate(order):
        patches = range(4 * at, 4 * at + 4)
        received[token] = sum(float(weights[:, :, p].mean(dim=0).sum()) for p in patches) / 4
        metric[token] = torch.stack([keys[:, p].mean(dim=0) for p in patches]).mean(dim=0)

    dominant = sorted(sorted(range(96), key=lambda token: -received[token])[:43])
    others = [token for token in range(96) if token not in dominant]
    targets = others[::10][:5]
    members: dict[int, list[torch.Tensor]] = {target: [] for target in targets}
    for token in others:
        if token not in targets:
            likeness = [
                float(torch.cosine_similarity(metric[token], metric[t], 0)) for t in targets
            ]
            members[targets[likeness.index(max(likeness))]].append(tokens[token])
    stays = sorted(dominant + targets)
    wanted = [
        tokens[token] + (sum(members[token]) / len(members[token]) if members.get(token) else 0)
        for token in stays
    ]

    got: list[torch.Tensor] = []
    first = checkpoint.model.model.language_model.layers[0]
    norm = first.input_layernorm.register_forward_pre_hook(
        lambda module, args: got.append(args[0][0])
    )
    rotary = first.self_attn.register_forward_pre_hook(
        lambda module, args, kwargs: got.append(kwargs["position_embeddings"][0][0]),
        with_kwargs=True,
    )
    logits_of(checkpoint, prompt)
    logits_of(checkpoint, prompt, VisionZip(0.5))
    norm.remove()
    rotary.remove()
    _, every_cosine, pruned, cosines = got
    start = prompt.ids.index(checkpoint.tokens.image)
    torch.testing.assert_close(pruned[start : start + 48], torch.stack(wanted), rtol=0, atol=1e-4)
    places = [*range(start), *(start + t for t in stays), *range(start + 96, len(prompt.ids))]
    assert cosines.equal(every_cosine[places])


@pytest.mark.usefixtures("kernel")
def test_cached_decoding_equals_one_prefill_of_two_images(checkpoint: Checkpoint):
    prompt = prompt_about(checkpoint, picture(7), picture(8, (112, 84)))
    decoded, told = logits_of(checkpoint, prompt, VisionZip(0.5), SPOKEN)
    for step in range(len(SPOKEN) + 1):
        whole, _ = logits_of(checkpoint, longer(prompt, SPOKEN[:step]), VisionZip(0.5))
        assert_close(decoded[step], whole[0])
    assert told is not None
    assert told.visual == (24 + 6,) * LAYERS  # of 48 and 12
    plain, _ = logits_of(checkpoint, prompt, spoken=SPOKEN)
    assert (decoded - plain).abs().max() > 0.1


@pytest.mark.usefixtures("kernel")
def test_a_share_of_one_changes_no_bit(checkpoint: Checkpoint):
    prompt = prompt_about(checkpoint, picture(1))
    plain, _ = logits_of(checkpoint, prompt, spoken=SPOKEN)
    pruned, _ = logits_of(checkpoint, prompt, VisionZip(1.0), SPOKEN)
    assert pruned.equal(plain)


def test_both_kernels_agree(checkpoint: Checkpoint):
    prompt = prompt_about(checkpoint, picture(9))
    sdpa, told = logits_of(checkpoint, prompt, VisionZip(0.5), SPOKEN)
    with attention_by("eager", checkpoint):
        eager, told_too = logits_of(checkpoint, prompt, VisionZip(0.5), SPOKEN)
    assert_close(sdpa, eager)
    assert told == told_too
