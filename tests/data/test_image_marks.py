"""Marks of images in questions, as data sets and model families write them."""

from __future__ import annotations

import pytest

from visionthink.data.image_marks import image_mark, without_marks


@pytest.mark.parametrize(
    "mark",
    [
        *("<image>", "<IMAGE>", "<image_1>", "<image 1>", "<image-2>", "<image1>", "<img>"),
        *("</img>", "<image_placeholder>", "<ImageHere>", "<IMG_CONTEXT>", "<image_soft_token>"),
        *("<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|image_1|>", "<|image|>"),
        *("<|video_pad|>", "<video>", "<start_of_image>", "<end_of_image>", "[IMG]", "[IMG_END]"),
    ],
)
def test_a_mark_is_found_and_taken_out(mark: str):
    assert image_mark(f"Look: {mark} what?") == mark
    assert without_marks(f"{mark}\nWhat is it?") == "What is it?"


@pytest.mark.parametrize(
    "text", ["What is in the image?", "a <b> c", "image 1 > image 2", "<imagine>", "[image]", "<>"]
)
def test_other_texts_hold_none(text: str):
    assert image_mark(text) is None
    assert without_marks(text) == text
