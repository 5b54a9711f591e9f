"""Methods: their names, and how many visual tokens they leave on which layer."""

from __future__ import annotations

import pytest

from visionthink.core.errors import UsageError
from visionthink.pruning import FastV, Method, SparseVLM, VisionZip, parse_method
from visionthink.pruning.methods import clusters, recycled


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("fastv:0.5", FastV(0.5)),
        ("fastv:0.5@average", FastV(0.5, "average")),
        ("fastv:0.5@k=3", FastV(0.5, layer=3)),
        ("fastv:0.25@average,k=3", FastV(0.25, "average", 3)),
        ("sparsevlm:0.7", SparseVLM(0.7)),
        ("sparsevlm:0.7@average,no-recycling", SparseVLM(0.7, "average", recycling=False)),
        ("visionzip:1", VisionZip(1.0)),
        ("visionzip:0.5@average", VisionZip(0.5, "average")),
    ],
)
def test_a_method_is_written_and_read(text: str, method: Method):
    assert parse_method(text) == method
    assert str(method) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fastv", "is written as fastv:0.5"),
        ("fastv:half", "is written as fastv:0.5"),
        ("", "is written as fastv:0.5"),
        ("fastv:0", "over 0 and at most 1; got 0.0"),
        ("fastv:1.1", "over 0 and at most 1; got 1.1"),
        ("visionzip:-0.5", "over 0 and at most 1; got -0.5"),
        ("sparsevlm:nan", "over 0 and at most 1; got nan"),
        ("fastv:0.5@k=0", "k is at least 1; got 0"),
        ("fastv:0.5@k=two", "fastv has no option 'k=two'"),
        ("fastv:0.5@no-recycling", "fastv has no option 'no-recycling'"),
        ("sparsevlm:0.5@k=2", "sparsevlm has no option 'k=2'"),
        ("visionzip:0.5@,", "visionzip has no option ','"),
        ("tome:0.5", "must be fastv, sparsevlm or visionzip; got 'tome'"),
    ],
)
def test_a_method_that_cannot_be(text: str, complaint: str):
    with pytest.raises(UsageError, match=complaint):
        parse_method(text)


def test_fastv_keeps_a_share_after_layer_k():
    """Half of 1000 after two layers, of 28 and of 4."""
    assert FastV(0.5).schedule([1000], 28) == (1000,) * 2 + (500,) * 26
    assert FastV(0.5, layer=3).schedule([1000], 4) == (1000, 1000, 1000, 500)


def test_fastv_keeps_a_share_on_average():
    """2 x 1000 + 26 n = 28 x 500 makes n = 461.5: what is dropped is R = 0.538."""
    visual = FastV(0.5, "average").schedule([1000], 28)
    assert visual == (1000,) * 2 + (462,) * 26
    assert sum(visual) / 28 == pytest.approx(500, abs=0.5)


def test_sparsevlm_prunes_after_layers_2_6_and_15_of_32():
    """Each stage keeps the cube root of 0.125."""
    visual = SparseVLM(0.125).schedule([800], 32)
    assert visual == (800,) * 3 + (400,) * 4 + (200,) * 9 + (100,) * 16


@pytest.mark.parametrize(
    ("layers", "stages"), [(2, (1,)), (4, (1, 2, 3)), (8, (1, 3, 5)), (28, (3, 6, 14))]
)
def test_sparsevlm_scales_its_stages_with_the_depth(layers: int, stages: tuple[int, ...]):
    """2/32 of 28 is 1.75, so after layer 2; of two layers the last one's output goes nowhere."""
    assert SparseVLM.stages(layers) == stages


@pytest.mark.parametrize("retained", [0.3, 0.5, 0.7, 1.0])
def test_sparsevlm_keeps_a_share_on_average(retained: float):
    visual = SparseVLM(retained, "average").schedule([1000], 28)
    assert sum(visual) / 28 == pytest.approx(1000 * retained, abs=1)
    shares = [visual[14] / visual[6], visual[6] / visual[3], visual[3] / 1000]
    assert shares == pytest.approx([shares[0]] * 3, abs=0.005)


def test_merged_tokens_are_part_of_the_budget():
    """1000 to 500: with 484 kept, 516 are dropped, int(154.8) + 1 = 155 of them merged into
    int(15.5) + 1 = 16: 500. With 485 kept: 515 dropped, 155 merged into 16 too: 501, one too many.
    """
    method = SparseVLM(0.5)
    assert (recycled(516), clusters(155)) == (155, 16)
    assert method.merged(1000, 500, 1) == 16
    assert SparseVLM(0.5, recycling=False).merged(1000, 500, 1) == 0


def test_no_token_is_merged_where_none_is_left_to_keep():
    assert SparseVLM(0.5).merged(2, 1, 1) == 0
    assert SparseVLM(0.5).merged(3, 2, 1) == 1


def test_merged_and_kept_tokens_fill_every_budget():
    method = SparseVLM(0.5)
    for tokens in range(2, 200):
        for budget in range(2, tokens):
            merged = method.merged(tokens, budget, 1)
            assert merged == clusters(recycled(tokens - budget + merged)) or merged == budget - 1


@pytest.mark.parametrize(
    ("retained", "parts"),
    [(0.7, (650, 50)), (0.5, (450, 50)), (0.3, (250, 50)), (0.12, (100, 20)), (1.0, (950, 50))],
)
def test_visionzip_has_dominant_and_contextual_tokens(retained: float, parts: tuple[int, int]):
    assert VisionZip(retained).parts(1000) == parts


def test_visionzip_prunes_each_image_before_the_first_layer():
    """16 tokens: 8, 0.8 of them contextual. 5 tokens: round(2.5) = 2."""
    assert VisionZip(0.5).parts(16) == (7, 1)
    assert VisionZip(0.5).schedule([16, 5], 3) == (10, 10, 10)


@pytest.mark.parametrize("method", [FastV(0.01), SparseVLM(0.01), VisionZip(0.01)])
def test_an_image_of_few_tokens_keeps_one(method: Method):
    assert method.schedule([1], 8)[-1] == 1
    assert method.schedule([4, 2, 1], 8)[-1] == 3


@pytest.mark.parametrize("method", [FastV(1.0), SparseVLM(1.0), VisionZip(1.0)])
def test_a_share_of_one_prunes_nothing(method: Method):
    assert method.schedule([37, 5], 8) == (42,) * 8


@pytest.mark.parametrize(
    ("method", "layers", "complaint"),
    [
        (FastV(0.5), 2, "fastv:0.5 prunes after 2 layers; the model has 2"),
        (FastV(0.5, "average"), 4, "2 of the model's 4 layers run .* over 0.50"),
        (SparseVLM(0.1, "average"), 28, "3 of the model's 28 layers run .* over 0.11"),
        (SparseVLM(0.5), 1, "two layers or more; this one has 1"),
    ],
)
def test_a_model_with_too_few_layers(method: Method, layers: int, complaint: str):
    with pytest.raises(UsageError, match=complaint):
        method.schedule([100], layers)
