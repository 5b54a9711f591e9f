"""The bars: how well a checkpoint sees and requests, measured family by family.

A fast evaluator for training time: batches of one image size through the stock forward pass of
transformers. It speaks the same protocol as the engines do.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from visionthink.core.protocol import (
    PROFILES,
    Answer,
    Request,
    final_answer,
    format_valid,
    parse_reply,
    profile_for,
)
from visionthink.core.types import Look
from visionthink.mini.ink import half_view
from visionthink.mini.tokenizer import END_OF_TURN, IMAGE
from visionthink.mini.world import FAMILIES, Drawing, draw

BATCH = 64
MAX_TOKENS = 32
FIRST_SEED = 1_000_000
"""Bars are measured on test seeds from here on; samples and tests use smaller ones."""


@dataclass(frozen=True)
class Outcome:
    """What became of one drawing."""

    family: str
    correct: bool
    requested: bool
    valid: bool


@dataclass(frozen=True)
class Bar:
    """One line of the table: shares of `n` samples of a family under one look."""

    family: str
    kind: str
    look: Look
    n: int
    accuracy: float
    request_rate: float
    format_valid: float


class Subject:
    """A checkpoint under test, loaded as any user of transformers would."""

    def __init__(self, folder: Path, temperature: float = 0.0, seed: int = 0) -> None:
        from transformers import (
            AutoImageProcessor,
            AutoTokenizer,
            Qwen2_5_VLForConditionalGeneration,
        )

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = AutoImageProcessor.from_pretrained(folder)
        self.model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
        self.image = self.tokenizer.convert_tokens_to_ids(IMAGE)
        self.temperature = temperature
        torch.manual_seed(seed)

    def reply(self, prompts: Sequence[str], images: Sequence[Sequence[np.ndarray]]) -> list[str]:
        """Replies to prompts with one `<|image_pad|>` for each image; all of the same sizes."""
        flat = [Image.fromarray(pixels) for group in images for pixels in group]
        vision = self.processor(images=flat, return_tensors="pt")
        counts = (vision["image_grid_thw"].prod(-1) // 4).tolist()
        texts = []
        for prompt in prompts:
            pieces = prompt.split(IMAGE)
            filled = [piece + IMAGE * counts.pop(0) for piece in pieces[:-1]]
            texts.append("".join([*filled, pieces[-1]]))
        text = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        kinds = (text["input_ids"] == self.image).int()
        sampling: dict[str, Any] = {"do_sample": False}
        if self.temperature:
            sampling = {"do_sample": True, "temperature": self.temperature, "top_k": 0}
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=text["input_ids"],
                attention_mask=text["attention_mask"],
                mm_token_type_ids=kinds,
                pixel_values=vision["pixel_values"],
                image_grid_thw=vision["image_grid_thw"],
                max_new_tokens=MAX_TOKENS,
                **sampling,
            )
        spoken = out[:, text["input_ids"].shape[1] :]
        decoded = self.tokenizer.batch_decode(spoken, skip_special_tokens=False)
        return [reply.split(END_OF_TURN)[0] for reply in decoded]

    def render(self, messages: list[dict[str, Any]]) -> str:
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )


def user_turn(template: str, question: str = "") -> dict[str, Any]:
    """A user message in the form of transformers, from a profile's text."""
    before, image, after = template.partition("{image}")
    parts = [before, image, after.replace("{question}", question)]
    return {
        "role": "user",
        "content": [
            {"type": "image"} if part == "{image}" else {"type": "text", "text": part}
            for part in parts
            if part
        ],
    }


def run_batch(subject: Subject, drawings: Sequence[Drawing], look: Look) -> list[Outcome]:
    """The outcomes of drawings of one size, in their order."""
    profile = profile_for(look, "mini")
    firsts = [d.pixels if look == "high" else half_view(d.pixels) for d in drawings]
    talks = [
        [{"role": "system", "content": profile.system}, user_turn(profile.user, d.question)]
        for d in drawings
    ]
    replies = subject.reply([subject.render(talk) for talk in talks], [[f] for f in firsts])
    said = [[reply] for reply in replies]
    parsed = [parse_reply(reply, profile) for reply in replies]
    asking = [i for i, reply in enumerate(parsed) if isinstance(reply, Request)]
    if asking:
        for i in asking:
            talks[i] += [
                {"role": "assistant", "content": replies[i]},
                user_turn(PROFILES["mini"].tool_response or ""),
            ]
        seconds = subject.reply(
            [subject.render(talks[i]) for i in asking],
            [[firsts[i], drawings[i].pixels] for i in asking],
        )
        for i, reply in zip(asking, seconds, strict=True):
            said[i].append(reply)
            parsed[i] = parse_reply(reply, profile)
    return [
        Outcome(
            drawing.family,
            isinstance(reply, Answer) and final_answer(reply) == drawing.answer,
            index in asking,
            format_valid(turns, profile),
        )
        for index, (drawing, reply, turns) in enumerate(zip(drawings, parsed, said, strict=True))
    ]


def measure(subject: Subject, look: Look, samples: int, families: Sequence[str]) -> list[Bar]:
    """One bar a family."""
    groups: dict[tuple[int, ...], list[Drawing]] = defaultdict(list)
    for family in families:
        for seed in range(FIRST_SEED, FIRST_SEED + samples):
            drawing = draw(family, seed, "test")
            groups[drawing.pixels.shape].append(drawing)
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for group in groups.values():
        for start in range(0, len(group), BATCH):
            for outcome in run_batch(subject, group[start : start + BATCH], look):
                outcomes[outcome.family].append(outcome)
    return [
        Bar(
            family,
            FAMILIES[family][0],
            look,
            len(found),
            float(np.mean([outcome.correct for outcome in found])),
            float(np.mean([outcome.requested for outcome in found])),
            float(np.mean([outcome.valid for outcome in found])),
        )
        for family, found in outcomes.items()
    ]


def print_bars(bars: Sequence[Bar]) -> None:
    for bar in bars:
        print(
            f"{bar.family:12} {bar.kind:6} {bar.look:4} n={bar.n} accuracy {bar.accuracy:.3f}"
            f" requests {bar.request_rate:.3f} valid {bar.format_valid:.3f}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m visionthink.mini.bars FOLDER`: measure a checkpoint and print its table."""
    import argparse

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--look", action="append", choices=("auto", "low", "high"))
    parser.add_argument("--family", action="append", choices=tuple(FAMILIES))
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--json", type=Path, help="write the table here too")
    options = parser.parse_args(arguments)
    subject = Subject(options.folder, options.temperature)
    bars: list[Bar] = []
    for look in options.look or ("high", "low", "auto"):
        found = measure(subject, look, options.samples, options.family or tuple(FAMILIES))
        print_bars(found)
        bars += found
    if options.json:
        options.json.write_text(json.dumps([asdict(bar) for bar in bars], indent=1) + "\n")


if __name__ == "__main__":
    main()
