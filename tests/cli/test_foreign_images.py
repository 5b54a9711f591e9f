"""Images that we did not draw go through `ask` at every look: photographs, scans, odd modes."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from cli.outcome import Run
from visionthink.core.families import QwenGrid
from visionthink.core.images import half_size, visual_tokens

# As other packages ship them: (package, file, mode, size).
FILES = (
    ("skimage", "data/astronaut.png", "RGB", (512, 512)),
    ("skimage", "data/chelsea.png", "RGB", (451, 300)),
    ("skimage", "data/coins.png", "L", (384, 303)),
    ("skimage", "data/horse.png", "RGBA", (400, 328)),
    ("skimage", "data/logo.png", "RGBA", (500, 500)),
    ("skimage", "data/multipage.tif", "L", (10, 15)),
    ("skimage", "data/no_time_for_that_tiny.gif", "P", (14, 25)),
    ("skimage", "data/page.png", "L", (384, 191)),
    ("skimage", "data/rocket.jpg", "RGB", (640, 427)),
    ("skimage", "data/chessboard_GRAY.png", "L", (200, 200)),
    ("sklearn", "datasets/images/china.jpg", "RGB", (640, 427)),
)
MINI_GRID = QwenGrid(cell=28, min_pixels=28 * 28, max_pixels=224 * 224)


@pytest.mark.parametrize("look", ["auto", "low", "high"])
@pytest.mark.parametrize(("package", "file", "mode", "size"), FILES)
def test_a_foreign_image(
    package: str, file: str, mode: str, size: tuple[int, int], look: str, run: Run
) -> None:
    """The first look costs what the rule of halves says; a request adds the original's tokens."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / file
    with Image.open(path) as image:
        assert (image.mode, image.size) == (mode, size)
    given = run("ask", path, "What colour is the circle?", "--look", look, "--json")
    assert given.code == 0
    episode = json.loads(given.out)
    tokens = episode["ledger"]["visual_tokens"]
    vanilla = visual_tokens(size, MINI_GRID)
    half = visual_tokens(half_size(size, MINI_GRID), MINI_GRID)
    assert tokens["vanilla"] == vanilla
    assert tokens["first"] == (vanilla if look == "high" else half)
    assert tokens["requested"] == (vanilla if episode["requested"] else 0)
    assert episode["stop_reason"] in ("answered", "malformed", "out_of_turns", "length")
