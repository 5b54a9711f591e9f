"""Sizes and visual tokens: by hand, against the real processors, and as properties."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionthink.core.errors import ImageError
from visionthink.core.families import QWEN2_5_VL, QWEN3_VL, QwenGrid
from visionthink.core.images import half_size, visual_tokens

SMALL = QwenGrid(max_pixels=28 * 28 * 64)
SIZES = [
    *[(1, 1), (1, 2), (2, 1), (7, 5), (13, 13), (14, 14), (15, 41), (27, 31), (28, 28), (29, 27)],
    *[(42, 42), (55, 57), (56, 56), (70, 98), (101, 99), (112, 112), (126, 154), (1, 200)],
    *[(200, 1), (3, 599), (1400, 7), (5600, 28), (28, 5600), (333, 217), (640, 480), (480, 640)],
    *[(641, 479), (799, 601), (1000, 30), (224, 224), (256, 256), (1023, 769), (448, 1)],
]
SIZES = [size for size in SIZES if max(size) <= 200 * min(size)]
HUGE = [
    *[(4000, 3000), (3584, 3584), (3585, 3584), (3583, 3583), (4096, 4096), (4097, 4096)],
    *[(12000, 9000), (20000, 20000), (20000, 100), (100, 20000), (50000, 251), (7019, 9933)],
]


@pytest.mark.parametrize(
    ("size", "grid", "seen", "tokens"),
    [
        # 640/28 = 22.86 → 23, 480/28 = 17.14 → 17
        ((640, 480), QWEN2_5_VL, (644, 476), 23 * 17),
        # 42/28 = 1.5 → 2 and 70/28 = 2.5 → 2: ties go to even
        ((42, 70), QWEN2_5_VL, (56, 56), 4),
        # 0 cells; grow = 56/1: one px becomes 56
        ((1, 1), QWEN2_5_VL, (56, 56), 4),
        # 1 cell of 784 px < 3136; grow = 2
        ((28, 28), QWEN2_5_VL, (56, 56), 4),
        # 0 rows; grow = sqrt(3136/200) = 3.96: 200 → 791.9 → 29 cells, 1 → 3.96 → 1 cell
        ((200, 1), QWEN2_5_VL, (812, 28), 29),
        # exactly the upper bound, 128 cells a side
        ((3584, 3584), QWEN2_5_VL, (3584, 3584), 16384),
        # 4000x3000: shrink = sqrt(12e6 / 50176) = 15.465; 258.65 → 9 cells, 193.99 → 6 cells
        ((4000, 3000), SMALL, (252, 168), 54),
        # shrink = sqrt(156800 / 50176) = 1.768: 113.1 → 113 cells, 0.57 → at least 1, 113 > 64
        ((5600, 28), SMALL, (3164, 28), 113),
        # 200x200 = 40000 < 65536; grow = 1.28: 256 = 8 cells of 32
        ((200, 200), QWEN3_VL, (256, 256), 64),
        ((640, 480), QWEN3_VL, (640, 480), 20 * 15),
    ],
)
def test_resized_size_by_hand(size, grid, seen, tokens):
    assert grid.resized(size) == seen
    assert grid.cells(size) == (seen[0] // grid.cell, seen[1] // grid.cell)
    assert visual_tokens(size, grid) == tokens


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((0, 5), "it has no pixels (0 x 5)"),
        ((201, 1), "it has 201 x 1 pixels, a longer strip than 200:1"),
    ],
)
def test_impossible_sizes_are_refused(size, message):
    with pytest.raises(ImageError) as caught:
        QWEN2_5_VL.resized(size)
    assert str(caught.value) == f"cannot fit an image to the model: {message}; crop or pad it"


@pytest.mark.parametrize("grid", [SMALL, QwenGrid(32, 65536, 32 * 32 * 100)], ids=["28px", "32px"])
def test_tokens_equal_those_of_the_real_processor(grid):
    """The grid that Qwen2VLImageProcessor lays over an image counts patches; 2 x 2 make a token."""
    pytest.importorskip("torch")
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    from PIL import Image

    processor = module.Qwen2VLImageProcessorPil(
        patch_size=grid.cell // 2,
        merge_size=2,
        size={"shortest_edge": grid.min_pixels, "longest_edge": grid.max_pixels},
    )
    assert len(SIZES) >= 25
    images = [Image.new("RGB", size) for size in SIZES]
    patches = processor(images=images, return_tensors="np")["image_grid_thw"]
    cells = [(int(columns) // 2, int(rows) // 2) for _, rows, columns in patches]
    assert cells == [grid.cells(size) for size in SIZES]


@pytest.mark.parametrize("grid", [QWEN2_5_VL, QWEN3_VL, SMALL], ids=["2.5", "3", "small"])
def test_resized_size_equals_smart_resize(grid):
    pytest.importorskip("torch")
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    sides = (1, 13, 27, 28, 29, 42, 64, 70, 99, 448, 1000, 3583, 5600, 9999)
    products = [(w, h) for w in sides for h in sides if max(w, h) <= 200 * min(w, h)]
    for width, height in SIZES + HUGE + products:
        rows_px, columns_px = module.smart_resize(
            height, width, grid.cell, grid.min_pixels, grid.max_pixels
        )
        assert grid.resized((width, height)) == (columns_px, rows_px), (width, height)


def test_qwen2_5_lower_bound_is_the_processors():
    """Upper bounds come with the checkpoints; the lower one is the class's own as well."""
    pytest.importorskip("torch")
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    processor = module.Qwen2VLImageProcessorPil()
    assert processor.size["shortest_edge"] == QWEN2_5_VL.min_pixels
    assert processor.patch_size * processor.merge_size == QWEN2_5_VL.cell


@pytest.mark.parametrize(
    ("size", "grid", "half"),
    [
        ((640, 480), QWEN2_5_VL, (320, 240)),
        ((641, 479), QWEN2_5_VL, (320, 239)),
        ((100, 50), QWEN2_5_VL, (50, 28)),  # 25 is below a cell
        # 1 px enlarges to a cell, both cost the smallest image, 4 tokens
        ((1, 1), QWEN2_5_VL, (28, 28)),
        # 10x58: 0 x 2 cells, grown to 1 x 5 = 5 tokens; its half, 28x29, would grow to 2 x 3
        ((10, 58), QWEN2_5_VL, (10, 58)),
        # 101x20200 is exactly 200:1, floored to 50x10100 it would be 202:1
        ((101, 20200), QWEN2_5_VL, (51, 10100)),
        # beyond the bound: seen as 252x168 (above), halved from there
        ((4000, 3000), SMALL, (126, 84)),
        # exactly at the bound
        ((3584, 3584), QWEN2_5_VL, (1792, 1792)),
    ],
)
def test_half_size_by_hand(size, grid, half):
    assert half_size(size, grid) == half


sides = st.integers(1, 20000)
grids = st.sampled_from(
    [QWEN2_5_VL, QWEN3_VL, SMALL, QwenGrid(min_pixels=1), QwenGrid(14, 196, 14**2 * 9)]
)


@settings(max_examples=1500, deadline=None)
@given(width=sides, height=sides, grid=grids)
def test_the_half_view_never_costs_more_than_the_original(width, height, grid):
    if max(width, height) > 200 * min(width, height):
        return
    half = half_size((width, height), grid)
    assert visual_tokens(half, grid) <= visual_tokens((width, height), grid)


@settings(max_examples=300, deadline=None)
@given(
    width=st.integers(200, 20000),
    height=st.integers(200, 20000),
    grid=st.sampled_from([QWEN2_5_VL, QWEN3_VL]),
)
def test_the_half_view_costs_about_a_quarter(width, height, grid):
    """A side of s px has s/cell ± 1/2 tokens, or down to one less when cut to the upper bound.

    So the half view has at most (c/2 + 1) * (r/2 + 1) tokens of an original with c x r, once small
    images, which are enlarged to the lower bound, are left out.
    """
    if max(width, height) > 100 * min(width, height) or width * height < 5 * grid.min_pixels:
        return
    columns, rows = grid.cells((width, height))
    half = visual_tokens(half_size((width, height), grid), grid)
    assert half <= (columns / 2 + 1) * (rows / 2 + 1)
