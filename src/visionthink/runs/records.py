"""Plain records of what happened, for machines: the objects that are printed and kept as JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from PIL import Image

from visionthink.core.images import Picture
from visionthink.core.types import Episode, Example, Look

EPISODE_VERSION = 2
LONGEST_SIDE = 448
"""Pixels; images of sample episodes are kept shrunk to this, looks of one image by one factor."""


def episode_record(episode: Episode) -> dict[str, Any]:
    """The object that `ask --json` prints.

    Pictures are left out. A turn's `saw` has the sizes of its looks, its `cost` its share of the
    ledger.
    """
    return {
        "version": EPISODE_VERSION,
        "answer": episode.answer,
        "requested": episode.requested,
        "stop_reason": episode.stop_reason.value,
        "format_valid": episode.format_valid,
        "look": episode.look,
        "profile": episode.profile,
        "model": episode.model,
        "looks": [look_record(look) for look in episode.looks],
        "turns": [
            {
                "role": "assistant",
                "text": turn.text,
                "outcome": turn.outcome,
                "note": turn.note,
                "saw": [list(look.size) for look in episode.looks_of(number)],
                "cost": asdict(cost),
            }
            for number, (turn, cost) in enumerate(
                zip(episode.turns, episode.ledger.turns, strict=True)
            )
        ],
        "ledger": episode.ledger.to_json(),
    }


def look_record(look: Look) -> dict[str, Any]:
    """A look without its picture."""
    return {
        "turn": look.turn,
        "image": look.image,
        "action": look.action,
        "box": None if look.box is None else list(look.box),
        "size": list(look.size),
        "visual_tokens": look.visual_tokens,
    }


def sample_record(
    episode: Episode,
    *,
    step: int | None = None,
    reward: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """A line of a run folder's `episodes.jsonl`: `episode_record`, and what it was about.

    Args:
        episode: `family` and `kind` are taken from its example's metadata.
        step: the training step that it belongs to.
        reward: its parts: accuracy, format, control, total, advantage.

    `images` are PNG data URLs of the `looks`, in their order.
    """
    return {
        **episode_record(episode),
        "step": step,
        **_asked(episode.example),
        "reward": dict(reward) if reward is not None else None,
        "images": _seen(episode),
    }


EPISODE_FIELDS = (
    *("answer", "requested", "stop_reason", "format_valid", "look", "profile", "model"),
    *("looks", "turns", "ledger"),
)


def scored_record(
    example: Example,
    episode: Episode | None,
    *,
    suite: str,
    policy: str,
    score: float | None,
    by: str | None,
    decided: bool = True,
    error: str | None,
    seconds: float,
    alone: bool = False,
    peak_memory: int | None = None,
    images: bool = False,
) -> dict[str, Any]:
    """A line of an evaluation's `episodes.jsonl`: one sample of a suite under one policy.

    Args:
        example: what was asked; its images are not looked at.
        episode: what came of it; None if there is none, and its fields are null then.
        suite, policy: what the sample belongs to; with the example's id they name the line.
        score: 0 to 1; None where there is an error.
        by: what gave the score.
        decided: false where the score is 0 because the judge could not tell.
        error: why the sample does not count.
        seconds: wall clock of the episode, with the wait for a place in the batch.
        alone: whether no other episode ran meanwhile.
        peak_memory: the most bytes that the policy had taken by then, see `PeakMemory`.
        images: keep those that the model saw, as in `sample_record`.
    """
    said = dict.fromkeys(EPISODE_FIELDS) if episode is None else episode_record(episode)
    return {
        "version": EPISODE_VERSION,
        **said,
        "suite": suite,
        "policy": policy,
        **_asked(example),
        "score": score,
        "by": by,
        "decided": decided,
        "error": error,
        "seconds": round(seconds, 6),
        "alone": alone,
        "peak_memory": peak_memory,
        **({"images": _seen(episode)} if images and episode is not None else {}),
    }


def _asked(example: Example) -> dict[str, Any]:
    """`answers_expected` is there only if several are accepted."""
    answers = example.metadata.get("answers", ())
    return {
        "id": example.id,
        "family": example.metadata.get("family"),
        "kind": example.metadata.get("kind"),
        "question": example.question,
        "answer_expected": example.answer,
        **({"answers_expected": list(answers)} if len(answers) > 1 else {}),
    }


def _seen(episode: Episode) -> list[str]:
    """Data URLs of all looks, all shrunk by the factor that the largest original needs."""
    longest = max((max(picture.size) for picture in episode.example.images), default=1)
    factor = min(1.0, LONGEST_SIDE / longest)
    return [_data_url(look.picture, factor) for look in episode.looks]


def _data_url(picture: Picture, factor: float) -> str:
    image = picture.image
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
