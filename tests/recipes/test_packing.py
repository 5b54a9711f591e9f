"""Packed training computes what the stock model computes for each conversation alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from recipes.mini.model import build_model, save_checkpoint
from recipes.mini.packing import IGNORED, Packer, PackRow, packed_logits, packed_mask
from recipes.mini.replies import answer_after_request, answer_at_once, request_original
from recipes.mini.tokenizer import IMAGE, build_tokenizer
from visionthink.core.profiles import PROFILES
from visionthink.mini.ink import half_view
from visionthink.mini.paper import make_receipt
from visionthink.mini.world import generator

TOKENIZER = build_tokenizer()


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """A saved random model, loaded as any user of transformers would."""
    from transformers import (
        AutoImageProcessor,
        AutoTokenizer,
        Qwen2_5_VLForConditionalGeneration,
    )

    folder = tmp_path_factory.mktemp("random")
    save_checkpoint(build_model(TOKENIZER, 3), TOKENIZER, folder)
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == TOKENIZER.get_vocab()
    processor = AutoImageProcessor.from_pretrained(folder)
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval(), processor


def rows(form: str) -> list[PackRow]:
    made = [make_receipt(generator("packing", i), (168, 112), "train") for i in range(2)]
    if form == "direct":
        return [PackRow(sheet.pixels, sheet.asks["receipt"][:3]) for sheet in made]
    return [PackRow(half_view(s.pixels), s.asks["receipt"][:3], s.pixels) for s in made]


def user_turn(template: str, question: str = "") -> dict:
    """A user message in the form of transformers, from a profile's text."""
    before, _, after = template.partition("{image}")
    parts = [
        {"type": "text", "text": before},
        {"type": "image"},
        {"type": "text", "text": after.replace("{question}", question)},
    ]
    return {"role": "user", "content": [part for part in parts if part.get("text") != ""]}


def talk(form: str, question: str, answer: str) -> list[dict]:
    profile = PROFILES["mini"]
    opening = [
        {"role": "system", "content": profile.system},
        user_turn(profile.user, question),
    ]
    if form == "direct":
        return [*opening, {"role": "assistant", "content": answer_at_once(answer)}]
    return [
        *opening,
        {"role": "assistant", "content": request_original()},
        user_turn(profile.tool_response or ""),
        {"role": "assistant", "content": answer_after_request(answer)},
    ]


@pytest.mark.parametrize("form", ["direct", "request"])
def test_packed_branch_equals_stock_conversation(form, stock):
    model, processor = stock
    packer = Packer(TOKENIZER)
    pack = packer.pack(rows(form), form, "mini")
    with torch.no_grad():
        packed, _ = packed_logits(model, pack, packer.image)
    packed = packed.reshape(*pack.branches.shape, -1)
    trunk = len(pack.trunk)
    for i, row in enumerate(rows(form)):
        images = [row.first] if form == "direct" else [row.first, row.original]
        vision = processor(images=[Image.fromarray(x) for x in images], return_tensors="pt")
        counts = (vision["image_grid_thw"].prod(-1) // 4).tolist()
        for k, (question, answer) in enumerate(row.asks):
            text = TOKENIZER.apply_chat_template(talk(form, question, answer), tokenize=False)
            pieces = text.split(IMAGE)
            filled = "".join(p + IMAGE * n for p, n in zip(pieces, [*counts, 0], strict=True))
            ids = torch.tensor([TOKENIZER.encode(filled, add_special_tokens=False)])
            with torch.no_grad():
                logits = model(
                    input_ids=ids, mm_token_type_ids=(ids == packer.image).int(), **vision
                ).logits[0]
            places = (pack.labels[i, k] != IGNORED).nonzero()[:, 0]
            assert torch.equal(ids[0, trunk + places + 1], pack.labels[i, k, places])
            torch.testing.assert_close(
                packed[i, k, places], logits[trunk + places], rtol=1e-4, atol=1e-4
            )


def test_only_replies_are_learnt():
    pack = Packer(TOKENIZER).pack(rows("request"), "request", "mini")
    _, answer = rows("request")[0].asks[0]
    learnt = pack.labels[0, 0][pack.labels[0, 0] != IGNORED]
    assert TOKENIZER.decode(learnt) == (
        f"{request_original()}<|im_end|>{answer_after_request(answer)}<|im_end|>"
    )


def test_packed_mask():
    seen = (packed_mask(2, 2, 2)[0, 0] == 0).int()
    assert seen.tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 1],
    ]


def test_patches_equal_the_image_processors(stock):
    from recipes.mini.forward import patches_of

    _, processor = stock
    pixels = rows("direct")[0].first
    theirs = processor(images=[Image.fromarray(pixels)], return_tensors="pt")["pixel_values"]
    twice = theirs.reshape(len(theirs), 3, 2, 14, 14)
    assert torch.equal(twice[:, :, 0], twice[:, :, 1])
    ours = patches_of(pixels[None])[0].reshape(-1, 3, 14, 14)
    np.testing.assert_allclose(ours, twice[:, :, 0], atol=1e-5)
