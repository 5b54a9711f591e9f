"""From the fields of a chat request to how its replies are drawn."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from visionthink.core.profiles import Profile, Tagged
from visionthink.core.types import Sampling
from visionthink.serving.chat_request import SAMPLED, ChatRequest, LocalSampling
from visionthink.serving.client_tools import TOOL_FIELDS, client_functions
from visionthink.serving.serve_options import ServeOptions
from visionthink.serving.structured import CONSTRAINTS

LEFT_OUT = ("temperature", "top_p", "seed", "max_tokens")
"""What a turn has only where the client names it, or the server's options do."""

LOCAL_TOKENS = 2048
"""The most tokens of an episode of a model in this process, where nothing else is named."""


def upstream_sampling(request: ChatRequest, options: ServeOptions, profile: Profile) -> Sampling:
    """What the client leaves out stays out, so that the upstream's own defaults hold."""
    forwarded = {
        n: v for n, v in request.forwarded.items() if n not in (*CONSTRAINTS, *TOOL_FIELDS)
    }
    if client_functions(request.forwarded):
        forwarded["tool_choice"] = request.forwarded.get("tool_choice", "auto")
    elif "tools" in request.forwarded:
        forwarded.pop("parallel_tool_calls", None)  # servers take it only beside tools
    extra: dict[str, Any] = {**dict.fromkeys(LEFT_OUT), **forwarded}
    if extra["temperature"] is None:
        extra["temperature"] = options.temperature
    tokens = _tokens(request, options, profile)
    if tokens is None:
        return Sampling(extra=extra)
    del extra["max_tokens"]
    if request.max_completion_tokens is not None:
        extra["max_completion_tokens"] = tokens
    return Sampling(max_tokens=tokens, max_episode_tokens=tokens, extra=extra)


def local_sampling(request: ChatRequest, options: ServeOptions, profile: Profile) -> Sampling:
    """For a model in this process: greedy where neither the request nor the options say more."""
    given = {name: value for name, value in request.forwarded.items() if name in SAMPLED}
    drawn = LocalSampling.model_validate(given)
    limits = options.limits
    tokens = _tokens(request, options, profile) or min(LOCAL_TOKENS, limits.tokens)
    named = options.temperature if drawn.temperature is None else drawn.temperature
    return Sampling(
        temperature=named or 0.0,
        top_p=drawn.top_p,
        max_tokens=tokens,
        max_episode_tokens=tokens,
        seed=secrets.randbits(31) if drawn.seed is None else drawn.seed % 2**62,
    )


def of_choice(sampling: Sampling, number: int) -> Sampling:
    """How choice `number` of several is drawn: with another seed where the client named one."""
    extra = dict(sampling.extra)
    if isinstance(seed := extra.get("seed"), int):
        extra["seed"] = seed + number
    return replace(sampling, seed=sampling.seed + number, extra=extra)


def _tokens(request: ChatRequest, options: ServeOptions, profile: Profile) -> int | None:
    """The most tokens of an episode; None: neither the client nor the options name a number.

    `max_completion_tokens` bounds all that is generated, as in OpenAI's API. `max_tokens` is what
    clients of models that do not think send, for the answer: thoughts get a share on top.
    """
    limits = options.limits
    tokens = request.max_completion_tokens
    if tokens is None and request.max_tokens is not None:
        thinks = isinstance(profile, Tagged) and profile.thinks
        tokens = request.max_tokens + (limits.reasoning_tokens if thinks else 0)
    if tokens is None:
        tokens = limits.default_tokens
    return None if tokens is None else min(tokens, limits.tokens)
