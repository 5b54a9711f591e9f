"""From a request's bytes to the episode that answers it."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass

from visionthink.core import protocol
from visionthink.core.episode import DEFAULT_PROFILE, Watch, check_question, run_episode
from visionthink.core.images import half_view
from visionthink.core.protocol import Profile
from visionthink.core.types import Episode, Example, Look, Sampling
from visionthink.serving.admission import Admission
from visionthink.serving.conversation import (
    image_key,
    images_in,
    is_remote,
    open_images,
    to_example,
)
from visionthink.serving.metrics import Metrics
from visionthink.serving.options import Limits, ServeOptions
from visionthink.serving.pool import Pool
from visionthink.serving.refusal import Refusal
from visionthink.serving.reply import Head
from visionthink.serving.request import ChatRequest, read_request

SUFFIXES = ("low", "high", "trace")
"""What may follow the model's name after a colon."""


@dataclass(frozen=True)
class Asked:
    """A request that can be answered. `key` names its image for the choice of an upstream."""

    request: ChatRequest
    head: Head
    example: Example
    look: Look
    trace: bool
    sampling: Sampling
    key: bytes


class Gateway:
    """One model behind the API: what is asked of it, by whom, and how much at once."""

    def __init__(self, pool: Pool, name: str, options: ServeOptions) -> None:
        self.pool = pool
        self.name = name
        self.options = options
        self.admission = Admission(options.limits.running, options.limits.waiting)
        self.metrics = Metrics(pool, self.admission)

    @property
    def models(self) -> list[str]:
        return [self.name, *(f"{self.name}:{suffix}" for suffix in SUFFIXES)]

    async def understand(self, body: bytes) -> Asked:
        """What is asked in `body`, its images opened and halved.

        Raises:
            Refusal: 4xx.
        """
        request = await asyncio.to_thread(read_request, body)
        look, trace = self._wishes(request)
        places = images_in(request.messages, self.options.limits)
        if not places:
            message = "there is no image in the messages; this server answers about images"
            raise Refusal(400, message, param="messages", code="no_image")
        for place in places:
            if is_remote(place.url):
                raise Refusal(
                    400,
                    "images are not fetched from URLs here; send a data URL",
                    param=place.param,
                    code="remote_images_off",
                )
        began = time.perf_counter()
        pictures = await asyncio.to_thread(open_images, places, {}, self.options.limits)
        example = to_example(request.messages, pictures)
        check_question(example, look, self.options.profile, 2)
        key = await asyncio.to_thread(image_key, example)
        self.metrics.opened_images(time.perf_counter() - began)
        return Asked(
            request,
            Head.new(request.model),
            example,
            look,
            trace,
            sampling_of(request, self.options),
            key,
        )

    async def answer(self, asked: Asked, watch: Watch | None = None) -> Episode:
        """Run the episode on a leased engine.

        Raises:
            Refusal, EngineError, UsageError, ImageError: see `refusal_for`.
        """
        with self.pool.lease(asked.key) as engine:
            if asked.look != "high":
                # Off the event loop; run_episode finds the views made.
                await asyncio.to_thread(
                    lambda: [half_view(picture, engine.grid) for picture in asked.example.images]
                )
            return await run_episode(
                asked.example,
                engine,
                look=asked.look,
                profile=self.options.profile,
                sampling=asked.sampling,
                watch=watch,
            )

    def profile(self, look: Look) -> Profile:
        """The profile that episodes of a look are held with."""
        known = self.options.profile or self.pool.backends[0].engine.profile or DEFAULT_PROFILE
        return protocol.profile_for(look, known)

    def _wishes(self, request: ChatRequest) -> tuple[Look, bool]:
        if request.model not in self.models:
            raise Refusal(
                404,
                f"there is no model {request.model[:100]!r}; there are {', '.join(self.models)}",
                param="model",
                code="model_not_found",
            )
        suffix = request.model.removeprefix(self.name).removeprefix(":")
        named: Look | None = suffix if suffix in ("low", "high") else None
        look = request.visionthink.look or named or self.options.look
        trace = request.visionthink.trace
        return look, suffix == "trace" if trace is None else trace


def sampling_of(request: ChatRequest, options: ServeOptions) -> Sampling:
    """How the replies are drawn.

    `max_completion_tokens` bounds all that is generated, as OpenAI has it. `max_tokens` is what
    clients of models that do not think send, for the answer: thoughts get a share on top.
    """
    limits, temperature = options.limits, request.temperature
    temperature = options.temperature if temperature is None else temperature
    seed = secrets.randbits(31) if request.seed is None else request.seed % 2**62
    tokens = _tokens(request, limits)
    return Sampling(
        temperature=temperature,
        top_p=request.top_p,
        max_tokens=tokens,
        max_episode_tokens=tokens,
        seed=seed,
    )


def _tokens(request: ChatRequest, limits: Limits) -> int:
    tokens = limits.default_tokens
    if request.max_completion_tokens is not None:
        tokens = request.max_completion_tokens
    elif request.max_tokens is not None:
        tokens = request.max_tokens + limits.reasoning_tokens
    return min(tokens, limits.tokens)
