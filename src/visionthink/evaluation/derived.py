"""Policies that are made of the episodes of `low` and `high`, as pure functions of their records.

Where one of them requests, it costs both episodes: the visual and text tokens, FLOPs and seconds of
`low` and of `high`, as if the original had been shown second. It says what `high` says then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from visionthink.evaluation.policies import Derived

Record = Mapping[str, Any]


def derive(policy: Derived, low: Record, high: Record, seed: int) -> dict[str, Any]:
    """The record of one sample, made of the records of the same sample by `low` and `high`.

    It has an error where an episode that it needs has one; where the lot does not request, `high`
    is not needed.
    """
    if policy.share is None:
        requests = low["score"] is not None and (high["score"] or 0) > low["score"]
        needed = (low, high)
    else:
        requests = drawn(policy.share, low["suite"], low["id"], seed)
        needed = (low, high) if requests else (low,)
    error = next((f"{r['policy']}: {r['error']}" for r in needed if r["error"] is not None), None)
    if error is not None:
        return {**low, "policy": policy.name, "score": None, "by": None, "error": error}
    return {**(_both(low, high) if requests else low), "look": "auto", "policy": policy.name}


def drawn(share: float, suite: str, sample: str, seed: int) -> bool:
    """Whether the lot falls on a sample; what is drawn at one share is drawn at larger ones too."""
    digest = hashlib.sha256(f"{seed}/{suite}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _both(low: Record, high: Record) -> dict[str, Any]:
    together = {
        **high,
        "requested": True,
        "turns": [*low["turns"], *high["turns"]],
        "ledger": _ledger(low["ledger"], high["ledger"]),
        "format_valid": low["format_valid"] and high["format_valid"],
        "seconds": low["seconds"] + high["seconds"],
        "peak_memory": max((p for r in (low, high) if (p := r.get("peak_memory"))), default=None),
    }
    if "images" in low and "images" in high:
        together["images"] = [*low["images"], *high["images"]]
    return together


def _ledger(low: Record, high: Record) -> dict[str, Any]:
    first, requested = low["visual_tokens"]["first"], high["visual_tokens"]["first"]
    vanilla, processed = low["visual_tokens"]["vanilla"], first + requested

    def total(key: str) -> Any:
        return None if low[key] is None or high[key] is None else low[key] + high[key]

    added = (
        *("prompt_tokens", "cached_tokens", "completion_tokens"),
        *("prefill_flops", "paper_prefill_flops", "seconds"),
    )
    return {
        **low,
        "visual_tokens": {
            "first": first,
            "requested": requested,
            "processed": processed,
            "vanilla": vanilla,
            "ratio": round(processed / vanilla, 4),
        },
        **{key: total(key) for key in added},
    }
