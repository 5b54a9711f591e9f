"""The shipped checkpoints: small, loadable by plain transformers, and right about the samples."""

import json

import pytest
from PIL import Image

from visionthink.mini import CHECKPOINTS, SAMPLES
from visionthink.mini.tokenizer import build_tokenizer

NAMES = ("mini-base", "mini-sft")
FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "visionthink.json",
}


@pytest.mark.parametrize("name", NAMES)
def test_files_are_all_there_and_small(name):
    found = {path.name: path.stat().st_size for path in (CHECKPOINTS / name).iterdir()}
    assert set(found) == FILES
    assert max(found.values()) <= 16 * 2**20


@pytest.mark.parametrize("name", NAMES)
def test_tokenizer_is_the_recipes(name):
    from transformers import AutoTokenizer

    shipped, ours = AutoTokenizer.from_pretrained(CHECKPOINTS / name), build_tokenizer()
    assert shipped.get_vocab() == ours.get_vocab()
    assert shipped.chat_template == ours.chat_template
    text = "What colour is the circle?\n<|im_end|>"
    assert shipped.encode(text) == ours.encode(text)


@pytest.mark.parametrize("name", NAMES)
def test_config_agrees_with_the_tokenizer(name):
    config = json.loads((CHECKPOINTS / name / "config.json").read_text())
    vocabulary = build_tokenizer().get_vocab()
    assert config["image_token_id"] == vocabulary["<|image_pad|>"]
    assert config["video_token_id"] == vocabulary["<|video_pad|>"]
    assert config["vision_start_token_id"] == vocabulary["<|vision_start|>"]
    assert config["text_config"]["vocab_size"] == len(vocabulary)
    generation = json.loads((CHECKPOINTS / name / "generation_config.json").read_text())
    assert generation["eos_token_id"] == vocabulary["<|im_end|>"]
    assert generation["pad_token_id"] == vocabulary["<|endoftext|>"]


def test_default_answers_the_samples_and_requests_only_for_strong_ones():
    import numpy as np

    from visionthink.mini.bars import Subject, run_batch
    from visionthink.mini.world import Drawing

    subject = Subject(CHECKPOINTS / "mini-sft")
    rows = json.loads((SAMPLES / "samples.json").read_text())
    assert len(rows) >= 6
    for row in rows:
        pixels = np.asarray(Image.open(SAMPLES / row["file"]))
        drawing = Drawing(row["family"], row["kind"], pixels, row["question"], row["answer"])
        (outcome,) = run_batch(subject, [drawing], "auto")
        assert outcome.correct, row
        assert outcome.requested == (row["kind"] == "strong"), row
        assert outcome.valid, row
