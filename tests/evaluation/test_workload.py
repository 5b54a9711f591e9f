"""What a workload will cost: by hand, and against a table worked out apart from this code."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from visionthink.core.errors import DataError, UsageError, VisionThinkError
from visionthink.core.families import QwenGrid, QwenVision
from visionthink.core.ledger import ModelShape, paper_prefill_flops, text_flops
from visionthink.core.profiles import PROFILES
from visionthink.evaluation.model_lookup import PlannedModel, find_model
from visionthink.evaluation.workload import (
    Cost,
    Workload,
    image_sizes,
    mean_cost,
    plan,
    prompt_tokens,
)

VISION = QwenVision(depth=3, hidden=4, mlp=6, mlp_matrices=2, patch_values=10, merge=2, out=3)
SHAPE = ModelShape(
    layers=2, hidden=3, heads=4, kv_heads=2, head_dim=5, mlp=7, vocabulary=11, vision=VISION
)
TINY = PlannedModel("tiny", SHAPE, QwenGrid(), 1000)
QUARTER = {(112, 112): 1}
"""4 x 4 = 16 visual tokens, 2 x 2 = 4 at half size."""


def eyes(*images: tuple[int, int]) -> int:
    return VISION.flops(images)


def test_vanilla_and_down_sampling():
    found = plan(TINY, Workload(QUARTER, text=3, reply=5, instructions=2, response=1))
    for cost, side in ((found.high, 4), (found.low, 2)):
        tokens = 3 + side * side
        assert cost == Cost(
            visual=side * side,
            flops=text_flops(tokens, 0, SHAPE) + eyes((side, side)),
            paper_flops=paper_prefill_flops(tokens, SHAPE),
            context=tokens + 5,
            generated=5,
        )


def test_a_cached_prefix_is_prefilled_once():
    """First 2 kept + 3 + 4 = 9, its reply ends at 14; then 1 + 16 new are 31, with a reply 36."""
    found = plan(TINY, Workload(QUARTER, text=3, reply=5, instructions=2, response=1))
    first = text_flops(7, 2, SHAPE) + eyes((2, 2))
    paper = paper_prefill_flops(9, SHAPE) - paper_prefill_flops(2, SHAPE)
    assert found.direct == Cost(4, first, paper, 14, 5)
    second = text_flops(17, 14, SHAPE) + eyes((4, 4))
    paper += paper_prefill_flops(31, SHAPE) - paper_prefill_flops(14, SHAPE)
    assert found.requested == Cost(20, first + second, paper, 36, 10)
    assert found.longest == 36


def test_without_a_prefix_cache_everything_is_prefilled_again():
    given = Workload(QUARTER, text=3, reply=5, instructions=2, response=1, cached=False)
    found = plan(TINY, given)
    first = text_flops(9, 0, SHAPE) + eyes((2, 2))
    assert found.direct.flops == first
    assert found.requested.flops == first + text_flops(31, 0, SHAPE) + eyes((2, 2), (4, 4))
    assert found.requested.visual == 20


def test_a_request_rate_mixes_direct_and_requested():
    """4 tokens without, 20 with a request, 16 vanilla: 8 at 1/4; even at 12/16 = 3/4."""
    found = plan(TINY, Workload(QUARTER))
    assert found.at(0.25).visual == 8
    assert found.ratio(found.at(0.25), "visual") == 0.5
    assert (found.at(0), found.at(1)) == (found.direct, found.requested)
    assert found.break_even("visual") == 0.75
    for measure in ("flops", "paper_flops"):
        even = found.at(found.break_even(measure))
        assert found.ratio(even, measure) == pytest.approx(1)


def test_an_image_without_a_smaller_view_never_pays_off():
    found = plan(TINY, Workload({(28, 28): 1}, instructions=20))
    assert found.low == found.high
    assert found.break_even("visual") == found.break_even("flops") == 0


def test_sizes_count_as_often_as_they_occur():
    """16 tokens three times and 64 once: (48 + 64) / 4 = 28."""
    found = plan(TINY, Workload({(112, 112): 3, (224, 224): 1}))
    assert found.high.visual == 28
    assert found.longest == plan(TINY, Workload({(224, 224): 1})).longest
    assert mean_cost([(1, Cost(1, 2, 3, 4, 5)), (3, Cost(5, 2, 3, 4, 5))]) == Cost(4, 2, 3, 4, 5)


@pytest.mark.parametrize("by_profile", [False, True])
def test_the_known_figures_of_qwen2_5_vl_7b(by_profile: bool):
    """1000 image tokens and 70 of text: an estimate of others' making (vision tower included, the
    second turn prefills what is new), as shares of vanilla. 1120 x 700 is 40 x 25 cells.
    """
    instructions, response = prompt_tokens(PROFILES["agent"]) if by_profile else (0, 70)
    given = Workload({(1120, 700): 1}, text=70, instructions=instructions, response=response)
    found = plan(find_model("Qwen2.5-VL-7B"), given)
    assert found.high.visual == 1000
    assert found.ratio(found.low, "flops") == pytest.approx(0.28, abs=0.03)
    for rate, share in ((0.07, 0.35), (0.31, 0.59), (0.62, 0.90), (0.79, 1.07)):
        assert found.ratio(found.at(rate), "flops") == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    ("method", "share"), [("fastv:0.5", 0.68), ("fastv:0.7", 0.81), ("visionzip:0.5", 0.66)]
)
def test_the_known_figures_of_pruning(method: str, share: float):
    """Of the same estimate: the vision tower is not pruned, and 28 % of the work."""
    found = plan(find_model("Qwen2.5-VL-7B"), Workload({(1120, 700): 1}))
    assert found.ratio(found.pruned[method], "flops") == pytest.approx(share, abs=0.03)


def test_pruned_tokens_are_averages_over_layers():
    """FastV keeps half after 2 of 28 layers: (2 x 1000 + 26 x 500) / 28; 70 + 100 are text."""
    found = plan(find_model("Qwen2.5-VL-7B"), Workload({(1120, 700): 1}))
    cost = found.pruned["fastv:0.5"]
    assert cost.visual == pytest.approx(15000 / 28)
    assert cost.context == pytest.approx(15000 / 28 + 170)
    assert cost.generated == 100


def test_a_model_of_two_layers_cannot_be_pruned_after_the_second():
    found = plan(TINY, Workload(QUARTER))
    assert set(found.pruned) == {"sparsevlm:0.5", "sparsevlm:0.7", "visionzip:0.5", "visionzip:0.7"}
    assert found.unfit == {
        name: f"{name} prunes after 2 layers; the model has 2 altogether"
        for name in ("fastv:0.5", "fastv:0.7")
    }


def test_prompt_tokens_of_a_profile():
    """About 4 characters a token: 1019 + 660 less two placeholders of 7 and 10; 338 less 7."""
    assert prompt_tokens(PROFILES["agent"]) == ((1019 + 660 - 17) // 4, (338 - 7) // 4)


def test_bytes_of_keys_and_values():
    """2 x 28 layers x 4 heads x 128 x 2 bytes."""
    assert find_model("Qwen2.5-VL-7B").kv_bytes(2) == 57344


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"requests": 1.5}, "the request rate must be from 0 to 1; got 1.5"),
        ({"requests": -0.1}, "got -0.1"),
        ({"requests": float("nan")}, "got nan"),
        ({"text": -1}, "text tokens must be at least 0; got -1"),
        ({"reply": -1}, "reply tokens must be at least 0; got -1"),
        ({"images": {}}, "at least one image"),
        ({"images": {(1, 1): 0}}, "counts of at least 1"),
    ],
)
def test_impossible_workloads_are_refused(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        Workload(**{"images": QUARTER, **given})


def test_a_strip_is_refused():
    with pytest.raises(VisionThinkError, match="a longer strip than 200:1"):
        plan(TINY, Workload({(10_000, 28): 1}))


def test_only_headers_are_read(tmp_path: Path):
    """A PNG whose pixels are cut off still has a size; what is not an image is reported."""
    (tmp_path / "below").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    Image.new("RGB", (30, 20)).save(tmp_path / "below" / "b.JPG")
    whole = tmp_path / "c.png"
    Image.new("RGB", (40, 10)).save(whole)
    whole.write_bytes(whole.read_bytes()[:45])
    (tmp_path / "d.webp").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    sizes, left_out = image_sizes(tmp_path)
    assert sizes == {(30, 20): 2, (40, 10): 1}
    assert left_out == [f"{tmp_path / 'd.webp'}: it is empty (0 bytes)"]


def test_a_folder_without_images(tmp_path: Path):
    with pytest.raises(DataError, match="holds no usable image"):
        image_sizes(tmp_path)
    (tmp_path / "a.png").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"a\.png: it does not hold an image"):
        image_sizes(tmp_path)
