"""Marks of images that data sets leave in questions, such as `<image>`.

A prompt has one place for the images, before the question, and a mark inside the question is read
as text. Model families have marks of their own: `<image>`, `<image_1>`, `<image 1>` (MMMU),
`<|image_pad|>` and `<|vision_start|>` (Qwen), `<start_of_image>` (Gemma), `[IMG]` (Pixtral).
"""

from __future__ import annotations

import re

_MARK = re.compile(
    r"""</?\|?(?:start_of_|end_of_|fake_token_around_)?(?:image|img|vision|video)
        (?:[ _-]?(?:\d+|pad|start|end|here|placeholder|context|token|soft_token))?\|?/?>
      | \[/?IMG(?:_\w+)?\]""",
    re.IGNORECASE | re.VERBOSE,
)


def image_mark(text: str) -> str | None:
    """The first mark in a text."""
    found = _MARK.search(text)
    return found[0] if found else None


def without_marks(text: str) -> str:
    """The text without its marks and the spaces before it."""
    return _MARK.sub("", text).strip()
