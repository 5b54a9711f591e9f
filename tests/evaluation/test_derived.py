"""Policies made of `low` and `high`, worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from visionthink.evaluation.derived import AtRandom, Derived, derive, where_better


def record(policy: str, score: float | None, tokens: int, **more: Any) -> dict[str, Any]:
    """An episode that sees `tokens` of 16; 10 FLOPs and 1 s a token."""
    return {
        "answer": policy,
        "requested": False,
        "stop_reason": "answered",
        "format_valid": True,
        "look": policy,
        "looks": [{"turn": 0, "image": 0, "action": None, "visual_tokens": tokens}],
        "turns": [{"text": policy}],
        "ledger": {
            "visual_tokens": {
                "first": tokens,
                "requested": 0,
                "processed": tokens,
                "vanilla": 16,
                "ratio": tokens / 16,
            },
            "prompt_tokens": 5 + tokens,
            "cached_tokens": 0,
            "completion_tokens": 3,
            "prefill_flops": 10 * tokens,
            "vanilla_prefill_flops": 160,
            "paper_prefill_flops": None,
            "vanilla_paper_prefill_flops": None,
            "seconds": float(tokens),
        },
        "suite": "mini",
        "policy": policy,
        "id": "a",
        "score": score,
        "by": None if score is None else "rules",
        "error": None if score is not None else "no image",
        "seconds": float(tokens),
        **more,
    }


ORACLE = Derived("oracle", where_better, compares=True)


def made_by(policy: Derived, low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    return derive(policy, low, high, "a" in policy.requests({"a": (low, high)}, 0))


@pytest.mark.parametrize(
    ("low", "high", "requests"),
    [(0.0, 1.0, True), (1.0, 1.0, False), (0.0, 0.0, False), (1.0, 0.0, False), (0.6, 0.9, True)],
)
def test_the_oracle_requests_only_where_that_helps(low: float, high: float, requests: bool):
    made = made_by(ORACLE, record("low", low, 4), record("high", high, 16))
    assert (made["requested"], made["score"]) == (requests, high if requests else low)
    assert (made["policy"], made["look"], made["error"]) == ("oracle", "auto", None)
    assert made["answer"] == ("high" if requests else "low")


def test_a_request_costs_both_episodes():
    """4 tokens and then 16: 20 of 16; prompts 9 + 21, replies 3 + 3, FLOPs 40 + 160."""
    low = record("low", 0.0, 4, images=["small"], format_valid=False)
    made = made_by(ORACLE, low, record("high", 1.0, 16, images=["large"]))
    assert made["turns"] == [{"text": "low"}, {"text": "high"}]
    assert made["looks"] == [
        {"turn": 0, "image": 0, "action": None, "visual_tokens": 4},
        {"turn": 1, "image": 0, "action": "original", "visual_tokens": 16},
    ]
    assert made["images"] == ["small", "large"]
    assert made["seconds"] == 20.0
    assert made["format_valid"] is False
    assert made["ledger"] == {
        "visual_tokens": {
            **{"first": 4, "requested": 16, "processed": 20, "vanilla": 16, "ratio": 1.25}
        },
        "prompt_tokens": 30,
        "cached_tokens": 0,
        "completion_tokens": 6,
        "prefill_flops": 200,
        "vanilla_prefill_flops": 160,
        "paper_prefill_flops": None,
        "vanilla_paper_prefill_flops": None,
        "seconds": 20.0,
    }


def test_without_a_request_it_is_the_low_episode():
    low = record("low", 1.0, 4)
    assert made_by(ORACLE, low, record("high", 1.0, 16)) == {
        **low,
        "policy": "oracle",
        "look": "auto",
    }


def test_an_error_of_a_needed_episode_is_the_error():
    low, high = record("low", 1.0, 4), record("high", None, 16)
    made = made_by(ORACLE, low, high)
    assert (made["score"], made["by"], made["error"]) == (None, None, "high: no image")
    never, always = (Derived(f"random:{share}", AtRandom(share)) for share in (0.0, 1.0))
    assert made_by(never, low, high)["score"] == 1.0
    assert made_by(always, low, high)["error"] == "high: no image"
    failed = made_by(never, record("low", None, 4), record("high", 1.0, 16))
    assert failed["error"] == "low: no image"


def drawn(share: float, ids: Iterable[str], suite: str = "mini", seed: int = 0) -> set[str]:
    low = {"suite": suite}
    return AtRandom(share)({sample: (low, {}) for sample in ids}, seed)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.3, 0.5, 0.999, 1.0])
def test_random_requests_are_exactly_a_share_of_the_samples(n: int, share: float):
    assert len(drawn(share, map(str, range(n)))) == round(share * n)


def test_random_requests_depend_on_suite_id_and_seed_alone():
    """Not on the order of the samples; and what is chosen at one share is chosen at larger ones."""
    ids = [str(number) for number in range(100)]
    few = drawn(0.3, ids)
    assert few == drawn(0.3, reversed(ids))
    assert few < drawn(0.6, ids)
    assert few != drawn(0.3, ids, seed=1)
    assert few != drawn(0.3, ids, suite="charts")
