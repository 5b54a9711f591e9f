"""Cost of pruned prompts: by hand, against unpruned ones, and on Qwen2.5-VL-7B."""

from __future__ import annotations

from dataclasses import replace

import pytest

from visionthink.core.errors import UsageError
from visionthink.core.families import FAMILIES, QwenVision
from visionthink.core.ledger import (
    ModelShape,
    Pruned,
    TurnCost,
    episode_ledger,
    paper_prefill_flops,
    pruned_paper_flops,
    pruned_text_flops,
    text_flops,
    turn_cost,
)
from visionthink.pruning import FastV, Method, SparseVLM, VisionZip
from visionthink.pruning.cost import (
    peaks_flops,
    predict,
    raters_flops,
    received_flops,
    rows_flops,
)

VISION = QwenVision(
    depth=3, hidden=4, mlp=6, mlp_matrices=2, patch_values=10, merge=2, out=3, mergers=2
)
TINY = ModelShape(
    layers=2,
    hidden=3,
    heads=4,
    kv_heads=2,
    head_dim=5,
    mlp=7,
    vocabulary=11,
    vision=VISION,
)

QWEN_7B = FAMILIES["qwen2_5_vl"].shape(
    FAMILIES["qwen2_5_vl"].published["Qwen/Qwen2.5-VL-7B-Instruct"]
)


# In the ledger


def test_layers_of_different_lengths():
    """A layer projects 2*n*3*(20 + 10 + 10 + 20) = 360 n, attends 4*n*seen*20 and feeds forward
    3*2*n*3*7 = 126 n. Four tokens: 1944 + 1280. Two: 972 + 320. Logits 2*3*11, extra 5."""
    pruned = Pruned(run=(4, 2), cached=(0, 0), visual=(3, 1), extra_flops=5)
    assert pruned_text_flops(pruned, TINY) == 1944 + 1280 + 972 + 320 + 66 + 5


def test_the_formula_of_the_paper_summed_over_layers():
    """4n*9 + 2nn*3 + 2n*3*7: 144 + 96 + 168 for four tokens, 72 + 24 + 84 for two. Two more tokens
    after two cached ones make up the difference, in both layers."""
    assert pruned_paper_flops(Pruned((4, 2), (0, 0), (3, 1)), TINY) == 408 + 180
    assert pruned_paper_flops(Pruned((2, 2), (2, 2), (1, 1)), TINY) == 2 * (408 - 180)


def test_pruning_nothing_costs_what_not_pruning_costs():
    pruned = Pruned(run=(20, 20), cached=(12, 12), visual=(9, 9))
    assert pruned_text_flops(pruned, TINY) == text_flops(20, 12, TINY)
    both = paper_prefill_flops(32, TINY) - paper_prefill_flops(12, TINY)
    assert pruned_paper_flops(pruned, TINY) == both


def pruned_turn(visual: tuple[int, int], text: int) -> TurnCost:
    """A reply to 3 x 3 = 9 visual tokens, of which the layers run these."""
    first, second = visual
    return turn_cost(
        images=[(3, 3)],
        earlier_images=[],
        prompt_tokens=text + 9,
        cached_tokens=0,
        completion_tokens=5,
        seconds=0.5,
        shape=TINY,
        pruned=Pruned((text + first, text + second), (0, 0), visual),
    )


def test_a_pruned_turn_counts_the_average_of_its_layers():
    """9 visual tokens, then 4: 6.5 on average, rounded to the even 6. The tower sees all 9."""
    turn = pruned_turn((9, 4), 21)
    assert (turn.visual_tokens, turn.kept_visual_tokens) == (6, 4)
    assert turn.prompt_tokens == 30
    text = pruned_text_flops(Pruned((30, 25), (0, 0), (9, 4)), TINY)
    assert turn.prefill_flops == text + TINY.vision.flops([(3, 3)])
    assert turn.paper_prefill_flops == pruned_paper_flops(Pruned((30, 25), (0, 0), (9, 4)), TINY)


def test_an_episode_with_a_pruned_first_look():
    """6 of the first look's 9, then the original's 36 whole: 42 of 36 that vanilla takes. What is
    left in the end is 4 + 36. Vanilla's prompt is unpruned: 30 - 9 + 36 = 57."""
    second = turn_cost(
        images=[(6, 6)],
        earlier_images=[(3, 3)],
        prompt_tokens=80,
        cached_tokens=35,
        completion_tokens=5,
        seconds=0.5,
        shape=TINY,
        pruned=Pruned((45, 45), (35, 30), (36, 36)),
    )
    ledger = episode_ledger(
        first=[(3, 3)],
        vanilla=[(6, 6)],
        turns=[pruned_turn((9, 4), 21), second],
        shape=TINY,
    )
    assert (ledger.first, ledger.requested, ledger.processed) == (6, 36, 42)
    assert (ledger.kept, ledger.vanilla) == (40, 36)
    assert ledger.vanilla_paper_prefill_flops == paper_prefill_flops(57, TINY)


# What the methods take by themselves


def test_what_methods_take_by_themselves():
    """2 rows: queries 2*2*3*20 = 240, products with 7 keys 2*2*7*20 = 560. Raters: 2*5*4*3 = 120.
    9 dropped, int(2.7) + 1 = 3 merged: 2*3*3*3 = 54. 2 x 1 tokens are 8 patches: 2*8*8*4 = 512."""
    assert rows_flops(2, 7, TINY) == 800
    assert raters_flops(5, 4, TINY) == 120
    assert peaks_flops(9, TINY) == 54
    assert received_flops([(2, 1), (2, 1)], TINY) == 1024


def test_a_prediction():
    """9 visual and 3 other tokens; FastV after the first of two layers keeps round(4.5) = 4."""
    assert predict(FastV(0.5, layer=1), [(3, 3)], 3, TINY) == Pruned(
        run=(12, 7), cached=(0, 0), visual=(9, 4), extra_flops=rows_flops(1, 12, TINY)
    )


def test_deepstack_needs_all_visual_tokens_in_its_layers():
    """Three levels, added after layers 0, 1 and 2 as in Qwen3-VL; 36 layers are its 4B and 8B."""
    deepstack = replace(TINY, layers=36, vision=replace(VISION, mergers=4))
    with pytest.raises(UsageError, match=r"prunes after 2 layers, .* its first 3 .*: k=3"):
        predict(FastV(0.5), [(3, 3)], 3, deepstack)
    with pytest.raises(UsageError, match="visionzip prunes before the language model"):
        predict(VisionZip(0.5), [(3, 3)], 3, deepstack)
    for method in (FastV(0.5, layer=3), SparseVLM(0.5), VisionZip(1.0)):
        assert predict(method, [(3, 3)], 3, deepstack).visual[2] == 9


# On Qwen2.5-VL-7B, one image of 40 x 25 = 1000 visual tokens and 70 of text


def ratio(run: int, cells: tuple[int, int] = (40, 25)) -> float:
    vanilla = text_flops(1070, 0, QWEN_7B) + QWEN_7B.vision.flops([(40, 25)])
    return (run + QWEN_7B.vision.flops([cells])) / vanilla


@pytest.mark.parametrize(
    ("method", "percent"),
    [(FastV(0.5), 68), (FastV(0.7), 81), (VisionZip(0.5), 66), (SparseVLM(0.5, "average"), 66)],
)
def test_flops_against_vanilla(method: Method, percent: int):
    """The tower's share stays: keeping half of the tokens is far from halving the cost."""
    pruned = predict(method, [(40, 25)], 70, QWEN_7B)
    found = 100 * ratio(pruned_text_flops(pruned, QWEN_7B))
    assert found == pytest.approx(percent, abs=3)


def test_down_sampling_saves_in_the_tower_too():
    """20 x 12.5 cells would be a quarter; 20 x 13 is the next."""
    found = 100 * ratio(text_flops(70 + 260, 0, QWEN_7B), (20, 13))
    assert found == pytest.approx(28, abs=3)


def test_the_vision_tower_is_over_a_quarter_of_vanilla():
    assert 100 * ratio(0) == pytest.approx(28, abs=3)
