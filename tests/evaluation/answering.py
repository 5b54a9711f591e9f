"""Small suites of drawn images, and engines that answer them by a known rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from visionthink.core.families import QwenVision
from visionthink.core.ledger import ModelShape
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Message
from visionthink.engines.scripted import ScriptedEngine
from visionthink.evaluation.policies import parse_policies
from visionthink.evaluation.runner import Work
from visionthink.evaluation.suites import Suite, load_suites
from visionthink.runs.folder import RunFolder

SIDE = 112
"""Pixels of each image: 16 visual tokens, 4 at half size."""

SHAPE = ModelShape(
    layers=1,
    hidden=8,
    heads=1,
    kv_heads=1,
    head_dim=8,
    mlp=8,
    vocabulary=10,
    vision=QwenVision(depth=1, hidden=8, mlp=8, mlp_matrices=2, patch_values=8, merge=2, out=8),
)


def write_rows(folder: Path, names: Sequence[str], **more: Any) -> Path:
    """A JSONL file with one row a name: `print-…` is small print, `plain-…` is not, what stands
    after the dash is the answer. Family and kind follow from the name.
    """
    Image.new("RGB", (SIDE, SIDE), "white").save(folder / "image.png")
    kinds = {"print": "strong", "plain": "weak"}
    rows = [
        {
            "id": name,
            "image": "image.png",
            "question": f"What does {name} say?",
            "answer": name.partition("-")[2],
            "family": name.partition("-")[0],
            "kind": kinds[name.partition("-")[0]],
            **more,
        }
        for name in names
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def say(messages: Sequence[Message]) -> str:
    """Small print is read from the original alone, and requested where that is possible."""
    name = messages[1].text.partition("What does ")[2].partition(" say?")[0]
    kind, _, answer = name.partition("-")
    width = messages[-1].images[0].size[0]
    if kind == "plain" or width == SIDE:
        return direct_reply("", answer)
    can_request = messages[0].text == PROFILES["agent"].system
    return request_reply("") if can_request else direct_reply("", "blur")


def engine(reply: Callable[[Sequence[Message]], str] = say, **more: Any) -> ScriptedEngine:
    return ScriptedEngine(reply, shape=SHAPE, **more)


def work(folder: Path, rows: Path, policies: Sequence[str], *, resume: bool = False) -> Work:
    """The work of a run folder over one suite."""
    suites: list[Suite] = load_suites([str(rows)])
    run = RunFolder.create(
        folder, {"policies": list(policies)}, environment={"python": "3"}, resume=resume
    )
    return Work.of(run, suites, parse_policies(policies))
