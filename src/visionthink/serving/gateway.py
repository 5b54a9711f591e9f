"""From a request's bytes to the episode that answers it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visionthink.api import EMBEDDED
from visionthink.core import protocol
from visionthink.core.episode import DEFAULT_PROFILE, Watch, check_question, run_episode
from visionthink.core.errors import UsageError
from visionthink.core.images import Picture, half_view
from visionthink.core.profiles import Profile
from visionthink.core.types import Episode, Example, LookMode, Sampling
from visionthink.serving.admission import Admission
from visionthink.serving.conversation import (
    Place,
    cache_key,
    images_in,
    is_remote,
    open_images,
    to_example,
)
from visionthink.serving.log import RequestLog
from visionthink.serving.metrics import Metrics
from visionthink.serving.options import Limits, ServeOptions
from visionthink.serving.pool import Pool
from visionthink.serving.refusal import Refusal
from visionthink.serving.remote import Fetcher
from visionthink.serving.reply import Head
from visionthink.serving.request import ChatRequest, read_request
from visionthink.serving.room import Room

SUFFIXES = ("low", "high", "trace")
"""What may follow the model's name after a colon."""


@dataclass(frozen=True)
class ParsedRequest:
    """A request that can be answered, without the text that its images came as.

    Attributes:
        head: what its answer begins with.
        example: what is asked.
        look, sampling: how.
        key: stands for its image when an upstream is chosen.
        pixels: of its images, decoded.
        stop: what ends the answer.
        trace: tell all turns.
        views: send the first looks back.
        stream, usage: send the answer in pieces; and its usage as the last of them.
    """

    head: Head
    example: Example
    look: LookMode
    sampling: Sampling
    key: bytes
    pixels: int
    stop: tuple[str, ...]
    trace: bool
    views: bool
    stream: bool
    usage: bool


class Gateway:
    """One model behind the API.

    Args:
        pool: what replies.
        name: what the model is called here.
        options: what it is told; which model it is, is not looked at.
        fetcher: gets images by URL; default: by the options.

    Raises:
        UsageError: the options do not fit the model, or the log cannot be written.
    """

    def __init__(
        self, pool: Pool, name: str, options: ServeOptions, *, fetcher: Fetcher | None = None
    ) -> None:
        self.pool = pool
        self.name = name
        self.options = options
        self.fetcher = fetcher or Fetcher(options.remote_images)
        self.admission = Admission(options.limits.running, options.limits.waiting)
        self.room = Room(options.limits.all_pixels)
        self.metrics = Metrics(pool, self.admission)
        tools = self.profile(options.look).tools
        if tools and not all(getattr(b.engine, "takes_tools", False) for b in pool.backends):
            raise UsageError(
                "profile 'native' uses the tool format of a server; name one by --upstream"
            )
        self.log = RequestLog(Path(options.log), options.log_content) if options.log else None

    @property
    def models(self) -> list[str]:
        return [self.name, *(f"{self.name}:{suffix}" for suffix in SUFFIXES)]

    @property
    def embedded(self) -> bool:
        """Whether the model is a shipped one, in this process."""
        backend = self.pool.backends[0]
        return backend.check is None and backend.engine.model in EMBEDDED

    async def understand(self, body: bytes) -> ParsedRequest:
        """What is asked in `body`, its images opened.

        Raises:
            Refusal: 4xx.
        """
        read = await asyncio.to_thread(self._read, body)
        if isinstance(read, ParsedRequest):
            return read  # from one thread: to wake another costs more than to read the JSON
        request, places = read
        began = time.perf_counter()
        fetched = await self._fetch(places)
        self.metrics.prepared("fetch", time.perf_counter() - began)
        return await asyncio.to_thread(self._open, request, places, fetched)

    def _read(self, body: bytes) -> ParsedRequest | tuple[ChatRequest, list[Place]]:
        """What is asked, if `body` holds its images; else these are still to be fetched. Blocks."""
        request = read_request(body)
        self._check_model(request.model)  # nothing is fetched for one that is not here
        places = images_in(request.messages, self.options.limits)
        if any(is_remote(place.url) for place in places):
            return request, places
        return self._open(request, places, {})

    def _open(
        self, request: ChatRequest, places: Sequence[Place], fetched: dict[str, bytes]
    ) -> ParsedRequest:
        """What is asked; its images decoded, and halved as the model will see them. Blocks."""
        began = time.perf_counter()
        look, trace = self._wishes(request)
        pictures = open_images(places, fetched, self.options.limits)
        example = to_example(request.messages, pictures)
        if not example.images:
            look = "high"  # there is nothing to look at twice
        check_question(example, look, self.options.profile, None)
        if example.images:
            self.metrics.prepared("open", time.perf_counter() - began)
        if look != "high" and self.pool.ready:
            self._make_views(example.images)
        return ParsedRequest(
            head=Head.new(request.model),
            example=example,
            look=look,
            sampling=sampling_of(request, self.options),
            # Which of them was asked about this image before only matters among several.
            key=cache_key(example) if len(self.pool.backends) > 1 else b"",
            pixels=sum(width * height for width, height in (p.size for p in pictures.values())),
            stop=tuple(request.stop),
            trace=trace,
            views=request.visionthink.views,
            stream=request.stream,
            usage=request.stream_options.include_usage,
        )

    def _make_views(self, pictures: Sequence[Picture]) -> None:
        """Halve, and encode for upstreams: run_episode and the engine find it done."""
        backend = self.pool.backends[0]
        began = time.perf_counter()
        views = [half_view(picture, backend.engine.grid) for picture in pictures]
        halved = time.perf_counter()
        self.metrics.prepared("halve", halved - began)
        if backend.check is not None:
            for view in views:
                view.encoded()
            self.metrics.prepared("encode", time.perf_counter() - halved)

    async def _fetch(self, places: Sequence[Place]) -> dict[str, bytes]:
        """URL → bytes of the images that are not in the request itself."""
        fetched: dict[str, bytes] = {}
        left = self.options.limits.body
        for place in places:
            if is_remote(place.url) and place.url not in fetched:
                most = min(left, self.options.limits.image_bytes)
                fetched[place.url] = await self.fetcher.fetch(place.url, most, place.param)
                left -= len(fetched[place.url])
        return fetched

    async def answer(self, asked: ParsedRequest, watch: Watch | None = None) -> Episode:
        """Run the episode on a leased engine.

        Raises:
            Refusal, EngineError, UsageError, ImageError: see `refusal_for`.
        """
        with self.pool.lease(asked.key) as engine:
            return await run_episode(
                asked.example,
                engine,
                look=asked.look,
                profile=self.options.profile,
                sampling=asked.sampling,
                watch=watch,
            )

    async def views(self, asked: ParsedRequest) -> list[str]:
        """The first looks as the model gets them, as data URLs; none where it gets originals."""
        grid = self.pool.backends[0].engine.grid
        pictures = () if asked.look == "high" else asked.example.images
        return await asyncio.to_thread(lambda: [half_view(p, grid).data_url() for p in pictures])

    def profile(self, look: LookMode) -> Profile:
        """The profile that episodes of a look are held with."""
        known = self.options.profile or self.pool.backends[0].engine.profile or DEFAULT_PROFILE
        return protocol.profile_for(look, known)

    def _check_model(self, model: str) -> None:
        if model not in self.models:
            raise Refusal(
                404,
                f"there is no model {model[:100]!r}; there are {', '.join(self.models)}",
                param="model",
                code="model_not_found",
            )

    def _wishes(self, request: ChatRequest) -> tuple[LookMode, bool]:
        suffix = request.model.removeprefix(self.name).removeprefix(":")
        named: LookMode | None = suffix if suffix in ("low", "high") else None
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
