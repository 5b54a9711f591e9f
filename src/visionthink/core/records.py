"""Plain records of what happened, for machines: the objects that are printed and kept as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from visionthink.core.types import Episode

EPISODE_VERSION = 1


def episode_record(episode: Episode) -> dict[str, Any]:
    """The object that `ask --json` prints.

    Images are left out; a turn's `saw` has their sizes in pixels, its `cost` its share of the
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
        "turns": [
            {
                "role": "assistant",
                "text": turn.text,
                "outcome": turn.outcome,
                "note": turn.note,
                "saw": [list(size) for size in turn.saw],
                "cost": asdict(cost),
            }
            for turn, cost in zip(episode.turns, episode.ledger.turns, strict=True)
        ],
        "ledger": episode.ledger.to_json(),
    }
