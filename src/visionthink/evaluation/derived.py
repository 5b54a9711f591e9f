"""Policies derived from the episodes of `low` and `high`, as pure functions of their records.

Where one of them requests, it costs both episodes: the visual and text tokens, FLOPs and seconds of
`low` and of `high`, as if the original had been shown after the small image. Its answer is that of
`high` then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]


Pairs = Mapping[str, tuple[Record, Record]]
"""The records of all samples of a suite by `low` and `high`, by the sample's id."""


@dataclass(frozen=True)
class Derived:
    """A policy that asks nothing: it is made of the episodes of `low` and `high`.

    Attributes:
        requests: the ids of the samples for which it requests the original, from all samples of the
            suite and the seed.
        compares: whether `requests` reads the scores, so that both are needed.
    """

    name: str
    requests: Callable[[Pairs, int], set[str]]
    compares: bool = False


def where_better(pairs: Pairs, seed: int) -> set[str]:
    """Where `high` scores more than `low`."""
    return {
        sample
        for sample, (low, high) in pairs.items()
        if low["score"] is not None and (high["score"] or 0) > low["score"]
    }


@dataclass(frozen=True)
class AtRandom:
    """Requests for round(share · n) of n samples: the first of them in an order that seed, suite
    and id give.

    What is chosen at one share is chosen at larger shares too, and what is chosen of some samples
    does not depend on the order in which they are read or were answered.
    """

    share: float

    def __call__(self, pairs: Pairs, seed: int) -> set[str]:
        def place(sample: str) -> bytes:
            suite = pairs[sample][0]["suite"]
            return hashlib.sha256(f"{seed}/{suite}/{sample}".encode()).digest()

        return set(sorted(pairs, key=place)[: round(self.share * len(pairs))])


def derive(policy: Derived, low: Record, high: Record, requests: bool) -> dict[str, Any]:
    """The record of one sample, made of the records of the same sample by `low` and `high`.

    It has an error where a record that it needs has one.
    """
    needed = (low, high) if requests or policy.compares else (low,)
    error = next((f"{r['policy']}: {r['error']}" for r in needed if r["error"] is not None), None)
    if error is not None:
        return {**low, "policy": policy.name, "score": None, "by": None, "error": error}
    return {**(_both(low, high) if requests else low), "look": "auto", "policy": policy.name}


def _both(low: Record, high: Record) -> dict[str, Any]:
    later = [
        {**look, "turn": look["turn"] + len(low["turns"]), "action": "original"}
        for look in high.get("looks", ())  # lines of version 1 have none
    ]
    together = {
        **high,
        "requested": True,
        "looks": [*low.get("looks", ()), *later],
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
    first, requested = (of["visual_tokens"]["processed"] for of in (low, high))
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
