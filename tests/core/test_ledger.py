"""The ledger: FLOPs by hand and against PyTorch's own counter, and the sums of an episode."""

from __future__ import annotations

from typing import Any

import pytest

from visionthink.core.families import QwenVision
from visionthink.core.ledger import (
    Cells,
    Ledger,
    ModelShape,
    TurnCost,
    episode_ledger,
    paper_prefill_flops,
    text_flops,
    turn_cost,
)

VISION = QwenVision(
    depth=3, hidden=4, mlp=6, mlp_matrices=2, patch_values=10, merge=2, out=3, mergers=2
)
SHAPE = ModelShape(
    layers=2, hidden=3, heads=4, kv_heads=2, head_dim=5, mlp=7, vocabulary=11, vision=VISION
)


# By hand


def test_the_formula_of_the_paper():
    """2 layers, d = 3, m = 7, n = 4: 2 (4*4*9 + 2*16*3 + 2*4*3*7) = 2 (144 + 96 + 168) = 816."""
    assert paper_prefill_flops(4, SHAPE) == 816
    assert paper_prefill_flops(0, SHAPE) == 0


def test_text_flops():
    """4 heads of 5 are 20 query values, 2 of 5 are 10 key and 10 value values.

    2 new tokens after 3: a layer projects 2*2*3*(20 + 10 + 10 + 20) = 720, attends
    2 products * 2 * 2 new * 5 seen * 20 = 800, feeds forward 3 matrices * 2*2*3*7 = 252;
    2 layers are 3544, and the logits of one token 2*3*11 = 66.
    """
    assert text_flops(2, 3, SHAPE) == 3544 + 66
    assert text_flops(0, 3, SHAPE) == 66


def test_vision_flops():
    """2 x 1 cells of 2 x 2 patches are 8 patches of 10 values.

    Patch embedding 2*8*10*4 = 640. A block: 4 square products 4*2*8*16 = 1024, the feed-forward
    network 2*2*8*4*6 = 768, attention 2*2*8*8*4 = 1024; three are 8448. A merger of 2 tokens of 16
    values: 2*2*16*(16 + 3) = 1216; two are 2432.
    """
    assert VISION.flops([(2, 1)]) == 640 + 8448 + 2432
    assert VISION.flops([(2, 1), (2, 1)]) == 2 * 11520
    assert VISION.flops([]) == 0


def test_vision_flops_with_windows():
    """5 x 3 cells in windows of 2 x 2: widths 2, 2, 1 and heights 2, 1 make windows of 4, 4, 2, 2,
    2 and 1 cells. One patch of one value a cell: 8*15 = 120 for the square products, attention
    4 (16 + 16 + 4 + 4 + 4 + 1) = 180, where a full block would take 4*15*15 = 900."""
    bare: dict[str, Any] = {"hidden": 1, "mlp": 0, "mlp_matrices": 0, "patch_values": 0}
    bare |= {"merge": 1, "out": 0, "mergers": 0, "window": 2}
    assert QwenVision(depth=1, **bare).flops([(5, 3)]) == 120 + 180
    assert QwenVision(depth=3, full_blocks=1, **bare).flops([(5, 3)]) == 360 + 360 + 900


def cost(images: list[Cells], earlier: list[Cells], prompt: int, cached: int) -> TurnCost:
    return turn_cost(
        images=images,
        earlier_images=earlier,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=5,
        seconds=0.5,
        shape=SHAPE,
    )


def test_a_turn_without_cache_encodes_all_images_again():
    turn = cost([(2, 2)], [(1, 1)], 20, 0)
    assert turn.visual_tokens == 4
    assert turn.prefill_flops == text_flops(20, 0, SHAPE) + VISION.flops([(1, 1), (2, 2)])
    assert turn.paper_prefill_flops == paper_prefill_flops(20, SHAPE)


def test_a_turn_with_cache_counts_only_new_tokens():
    """The paper's formula telescopes: a first turn of 12 tokens and a second of 20 with 12 of them
    cached cost what one turn of 20 costs."""
    first, second = cost([(1, 1)], [], 12, 0), cost([(2, 2)], [(1, 1)], 20, 12)
    assert second.visual_tokens == 4
    assert second.prefill_flops == text_flops(8, 12, SHAPE) + VISION.flops([(2, 2)])
    assert first.paper_prefill_flops is not None
    assert second.paper_prefill_flops is not None
    both = first.paper_prefill_flops + second.paper_prefill_flops
    assert both == paper_prefill_flops(20, SHAPE)


def test_a_turn_of_a_model_of_unknown_sizes():
    turn = turn_cost(
        images=[(3, 3)],
        earlier_images=[],
        prompt_tokens=20,
        cached_tokens=0,
        completion_tokens=5,
        seconds=0.5,
        shape=None,
    )
    assert turn == TurnCost(9, 20, 0, 5, 0.5, None, None)


def test_an_episode_with_a_request():
    """First 3 x 3 = 9, requested 6 x 6 = 36, processed 45, vanilla 36: 45/36 = 1.25. The vanilla
    prompt is the first one with 36 visual tokens instead of 9: 30 - 9 + 36 = 57."""
    turns = [cost([(3, 3)], [], 30, 0), cost([(6, 6)], [(3, 3)], 80, 35)]
    ledger = episode_ledger(first=[(3, 3)], vanilla=[(6, 6)], turns=turns, shape=SHAPE)
    assert (ledger.first, ledger.requested, ledger.processed, ledger.vanilla) == (9, 36, 45, 36)
    assert ledger.ratio == 1.25
    assert (ledger.prompt_tokens, ledger.cached_tokens, ledger.completion_tokens) == (110, 35, 10)
    assert ledger.seconds == 1.0
    exact = text_flops(30, 0, SHAPE) + text_flops(45, 35, SHAPE)
    exact += VISION.flops([(3, 3), (6, 6)])
    assert ledger.prefill_flops == exact
    vanilla = text_flops(57, 0, SHAPE) + VISION.flops([(6, 6)])
    assert ledger.vanilla_prefill_flops == vanilla
    assert ledger.paper_prefill_flops == paper_prefill_flops(30, SHAPE) + (
        paper_prefill_flops(80, SHAPE) - paper_prefill_flops(35, SHAPE)
    )
    assert ledger.vanilla_paper_prefill_flops == paper_prefill_flops(57, SHAPE)
    assert ledger.to_json() == {
        "visual_tokens": {
            "first": 9,
            "requested": 36,
            "processed": 45,
            "vanilla": 36,
            "ratio": 1.25,
        },
        "prompt_tokens": 110,
        "cached_tokens": 35,
        "completion_tokens": 10,
        "prefill_flops": exact,
        "vanilla_prefill_flops": vanilla,
        "paper_prefill_flops": ledger.paper_prefill_flops,
        "vanilla_paper_prefill_flops": ledger.vanilla_paper_prefill_flops,
        "seconds": 1.0,
    }


def test_a_vanilla_episode_costs_what_vanilla_costs():
    """Look high: the only turn is the vanilla one, by both counts."""
    ledger = episode_ledger(
        first=[(6, 6)],
        vanilla=[(6, 6)],
        turns=[cost([(6, 6)], [], 57, 0)],
        shape=SHAPE,
    )
    assert ledger.ratio == 1.0
    assert ledger.prefill_flops == ledger.vanilla_prefill_flops
    assert ledger.paper_prefill_flops == ledger.vanilla_paper_prefill_flops


def test_an_episode_with_one_turn_of_unknown_cost():
    known, unknown = cost([(3, 3)], [], 30, 0), TurnCost(0, 40, 0, 5, 0.25)
    ledger = Ledger(vanilla=36, turns=(known, unknown))
    assert ledger.prefill_flops is None
    assert ledger.paper_prefill_flops is None
    assert ledger.vanilla_prefill_flops is None
    assert ledger.ratio == 0.25
    assert ledger.seconds == 0.75


def test_break_even_is_at_three_requests_in_four():
    """A request rate p costs 0.25 + p of vanilla: 3 requests in 4 make 0.25 + 0.75 = 1."""
    first, second = TurnCost(9, 20, 0, 5, 0.1), TurnCost(36, 60, 0, 5, 0.1)
    ledgers = [Ledger(36, (first, *later)) for later in [(second,)] * 3 + [()]]
    assert sum(ledger.ratio for ledger in ledgers) / 4 == 1.0


# Against PyTorch's own counter

TEXT = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TOWER = {"depth": 3, "num_heads": 4, "out_hidden_size": 48}
IMAGE, BEGIN, END = 60, 62, 63
TOKENS = {
    "image_token_id": IMAGE,
    "video_token_id": 61,
    "vision_start_token_id": BEGIN,
    "vision_end_token_id": END,
    "tie_word_embeddings": False,
    "attn_implementation": "eager",
}


def rope(sections: list[int], **more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": sections, **more}


def qwen2_vl(transformers: Any) -> Any:
    config = transformers.Qwen2VLConfig(
        text_config={**TEXT, "rope_parameters": rope([2, 1, 1])},
        vision_config={**TOWER, "embed_dim": 32, "hidden_size": 48, "mlp_ratio": 2},
        **TOKENS,
    )
    return transformers.Qwen2VLForConditionalGeneration(config)


def qwen2_5_vl(transformers: Any) -> Any:
    """Windows of 2 x 2 cells in the first and the last block, the whole image in the middle one."""
    vision = {"hidden_size": 32, "intermediate_size": 20, "fullatt_block_indexes": [1]}
    config = transformers.Qwen2_5_VLConfig(
        text_config={**TEXT, "rope_parameters": rope([2, 1, 1])},
        vision_config={**TOWER, **vision, "window_size": 56},
        **TOKENS,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


QWEN3_TEXT = {**TEXT, "head_dim": 16, "rope_parameters": rope([4, 2, 2], mrope_interleaved=True)}
QWEN3_TOWER = {
    **TOWER,
    "hidden_size": 32,
    "intermediate_size": 20,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0, 1],
}


def qwen3_vl(transformers: Any) -> Any:
    """Two deepstack levels; heads of 16, so that six of them are more than the hidden size."""
    config = transformers.Qwen3VLConfig(text_config=QWEN3_TEXT, vision_config=QWEN3_TOWER, **TOKENS)
    return transformers.Qwen3VLForConditionalGeneration(config)


def qwen3_vl_moe(transformers: Any) -> Any:
    """Two experts of eight, 24 wide; run one by one, as the counter does not know grouped ones."""
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
    config = transformers.Qwen3VLMoeConfig(
        text_config={**QWEN3_TEXT, **experts},
        vision_config=QWEN3_TOWER,
        experts_implementation="eager",
        **TOKENS,
    )
    return transformers.Qwen3VLMoeForConditionalGeneration(config)


# Cells of the first chunk's images: partial windows on both sides, one cell, several images.
LAYOUTS: list[list[Cells]] = [[(5, 3)], [(1, 1)], [(4, 2), (3, 5), (2, 2)]]


@pytest.mark.parametrize(
    ("make", "routers"),
    [(qwen2_vl, 0), (qwen2_5_vl, 0), (qwen3_vl, 0), (qwen3_vl_moe, 2 * 48 * 8 * 3)],
)
def test_flops_are_those_that_torch_counts(make: Any, routers: int):
    """Prefill of a first chunk with images, then of a second one on its key-value cache.

    `routers` are the FLOPs a token that we leave out on purpose: 2 * hidden * experts * layers.
    """
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    from visionthink.core.families import family_of

    torch.manual_seed(0)
    model = make(transformers).eval()
    shape = family_of(model.config.to_dict(), "x").shape(model.config.to_dict())

    def flops(call: Any, **inputs: Any) -> tuple[int, Any]:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = call(**inputs)
        return counter.get_total_flops(), output

    for cells in LAYOUTS:
        grid = torch.tensor([[1, 2 * rows, 2 * columns] for columns, rows in cells])
        pixels = torch.randn(int(grid.prod(1).sum()), shape.vision.token_values // 4)
        counted, _ = flops(model.model.visual, hidden_states=pixels, grid_thw=grid)
        assert counted == shape.vision.flops(cells)

        tokens = [3, 4]
        for columns, rows in cells:
            tokens += [BEGIN, *[IMAGE] * (columns * rows), END]
        ids = torch.tensor([[*tokens, 5, 6, 7]])
        counted, first = flops(
            model,
            input_ids=ids,
            mm_token_type_ids=(ids == IMAGE).long(),
            pixel_values=pixels,
            image_grid_thw=grid,
            logits_to_keep=1,
            use_cache=True,
        )
        n = ids.shape[1]
        ours = text_flops(n, 0, shape) + shape.vision.flops(cells)
        assert counted == ours + routers * n

        counted, _ = flops(
            model,
            input_ids=torch.tensor([[8, 9, 10, 11, 12]]),
            past_key_values=first.past_key_values,
            logits_to_keep=1,
            use_cache=True,
        )
        assert counted == text_flops(5, n, shape) + routers * 5
