"""Policies made of `low` and `high`, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from visionthink.evaluation.derived import AtRandom, Derived, derive, is_better


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


ORACLE = Derived("oracle", is_better, compares=True)


@pytest.mark.parametrize(
    ("low", "high", "requests"),
    [(0.0, 1.0, True), (1.0, 1.0, False), (0.0, 0.0, False), (1.0, 0.0, False), (0.6, 0.9, True)],
)
def test_the_oracle_requests_only_where_that_helps(low: float, high: float, requests: bool):
    made = derive(ORACLE, record("low", low, 4), record("high", high, 16), 0)
    assert (made["requested"], made["score"]) == (requests, high if requests else low)
    assert (made["policy"], made["look"], made["error"]) == ("oracle", "auto", None)
    assert made["answer"] == ("high" if requests else "low")


def test_a_request_costs_both_episodes():
    """4 tokens and then 16: 20 of 16; prompts 9 + 21, replies 3 + 3, FLOPs 40 + 160."""
    low = record("low", 0.0, 4, images=["small"], format_valid=False)
    made = derive(ORACLE, low, record("high", 1.0, 16, images=["large"]), 0)
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
    assert derive(ORACLE, low, record("high", 1.0, 16), 0) == {
        **low,
        "policy": "oracle",
        "look": "auto",
    }


def test_an_error_of_a_needed_episode_is_the_error():
    low, high = record("low", 1.0, 4), record("high", None, 16)
    made = derive(ORACLE, low, high, 0)
    assert (made["score"], made["by"], made["error"]) == (None, None, "high: no image")
    assert derive(Derived("random:0", AtRandom(0.0)), low, high, 0)["score"] == 1.0
    assert derive(Derived("random:1", AtRandom(1.0)), low, high, 0)["error"] == "high: no image"
    failed = derive(
        Derived("random:0", AtRandom(0.0)), record("low", None, 4), record("high", 1.0, 16), 0
    )
    assert failed["error"] == "low: no image"


def drawn(share: float, suite: str, sample: str, seed: int) -> bool:
    return AtRandom(share)({"suite": suite, "id": sample}, {}, seed)


def test_random_requests_are_a_share_of_the_samples():
    """About a share of 1,000 is chosen (three standard errors: 43), by suite, id and seed alone.

    What is chosen at one share is chosen at larger ones.
    """
    ids = [str(number) for number in range(1000)]
    few, many = ({i for i in ids if drawn(share, "mini", i, seed=0)} for share in (0.3, 0.6))
    assert abs(len(few) - 300) < 43
    assert abs(len(many) - 600) < 46
    assert few < many
    assert few == {i for i in ids if drawn(0.3, "mini", i, seed=0)}
    assert few != {i for i in ids if drawn(0.3, "mini", i, seed=1)}
    assert not any(drawn(0.0, "mini", i, seed=0) for i in ids)
    assert all(drawn(1.0, "mini", i, seed=0) for i in ids)
