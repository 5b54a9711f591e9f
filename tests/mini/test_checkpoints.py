"""The shipped checkpoints: small, loadable by plain transformers, and right about the samples."""

import asyncio
import json

import pytest

from recipes.mini.tokenizer import build_tokenizer
from visionthink.core.episode import run_episode
from visionthink.engines.hf import HFEngine
from visionthink.mini import CHECKPOINTS, DEFAULT_CHECKPOINT
from visionthink.mini.world import load_samples

NAMES = ("mini", "mini-base", "mini-sft")
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
    engine = HFEngine(CHECKPOINTS / DEFAULT_CHECKPOINT, max_batch=1)
    examples = load_samples()
    assert len(examples) >= 6
    for example in examples:
        episode = asyncio.run(run_episode(example, engine))
        assert (episode.answer, episode.profile) == (example.answer, "mini")
        assert episode.requested == (example.metadata["kind"] == "strong"), example.id
        assert episode.format_valid
