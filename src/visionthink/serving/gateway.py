"""From a request's bytes to the episode that answers it."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from visionthink.core import protocol
from visionthink.core.episode import DEFAULT_PROFILE, Shown, Watch, check_question, run_episode
from visionthink.core.errors import UsageError
from visionthink.core.image_files import ImageFile
from visionthink.core.images import Picture, half_view
from visionthink.core.profiles import Profile
from visionthink.core.types import Episode, Example, LookMode, Sampling
from visionthink.mini import EMBEDDED
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import (
    ChatRequest,
    ImageSource,
    cache_key,
    check_images,
    images_in,
    is_remote,
    open_images,
    read_object,
    read_request,
    to_example,
)
from visionthink.serving.chat_response import response_head
from visionthink.serving.decoders import Decoders
from visionthink.serving.limits import Admission, Memory
from visionthink.serving.passthrough import Passthrough
from visionthink.serving.pool import Pool
from visionthink.serving.remote_images import Fetcher
from visionthink.serving.serve_options import ServeOptions
from visionthink.serving.telemetry import Metrics, RequestLog
from visionthink.serving.untouched import conversation_key, has_image, untouched

SUFFIXES = ("low", "high", "trace", "vanilla")
"""What may follow the model's name after a colon."""
SMALL_BODY = 2**20
SMALL_IMAGES = 64 * 2**20
"""Bytes of memory; requests that need no more do not wait for larger ones."""

A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True)
class ParsedRequest:
    """A request that can be answered, without the text that its images came as.

    Attributes:
        head: the beginning of its response.
        example: images and question.
        look, profile, sampling: how to answer it.
        key: stands for its image when an upstream is chosen.
        memory: bytes of its images, as they are held and sent.
        stop: sequences that end the answer.
        trace: send all turns.
        views: send the pictures of the looks.
        stream, usage: send the answer in chunks; and its usage as the last of them.
    """

    head: dict[str, Any]
    example: Example
    look: LookMode
    profile: str | None
    sampling: Sampling
    key: bytes
    memory: int
    stop: tuple[str, ...]
    trace: bool
    views: bool
    stream: bool
    usage: bool


@dataclass(frozen=True)
class Untouched:
    """A chat request that goes to an upstream as it came, and why."""

    reason: str
    body: bytes
    key: bytes


class Gateway:
    """One model behind the API.

    Args:
        pool: the engines that reply.
        name: the model's name in the API.
        options: all but those that say which model it is.
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
        memory = options.limits.memory
        self.body_memory = Memory(memory // 4, SMALL_BODY)
        self.image_memory = Memory(memory - memory // 4, SMALL_IMAGES)
        # Few at once: what reads JSON and base64 lets no other thread run meanwhile.
        self._readers = ThreadPoolExecutor(2, "read")
        self._decoders = Decoders(os.cpu_count() or 2)
        self.metrics = Metrics(pool, self.admission)
        tools = self.profile(options.look).tools
        if tools and pool.local is not None and not pool.local.takes_tools:
            raise UsageError(
                "profile 'native' uses the tool format of a server; name one by --upstream"
            )
        self.passthrough: Passthrough | None = None
        if options.passthrough and pool.local is None:
            self.passthrough = Passthrough(
                pool,
                own_keys=options.api_key_env is not None,
                silence=options.upstream.timeout,
            )
        self.log = RequestLog(Path(options.log), options.log_content) if options.log else None

    @property
    def models(self) -> list[str]:
        return [self.name, *(f"{self.name}:{suffix}" for suffix in SUFFIXES)]

    @property
    def embedded(self) -> bool:
        """Whether the model is a shipped one, in this process."""
        return self.pool.local is not None and self.pool.local.model in EMBEDDED

    async def read(self, body: bytes) -> ChatRequest | Untouched:
        """What `body` asks for.

        Raises:
            ApiError: 4xx.
        """
        return await self.in_reader(self._read, body)

    async def in_reader(self, work: Callable[[A], T], of: A) -> T:
        """`work` in one of the few threads that read requests."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, of)

    @property
    def crowded(self) -> bool:
        """Whether requests wait for a place or for memory."""
        waiting = self.body_memory.waiting or self.image_memory.waiting
        return waiting or self.admission.crowded

    async def close(self) -> None:
        """Free what the gateway holds."""
        if self.passthrough is not None:
            await self.passthrough.close()
        await self.pool.close()
        self._readers.shutdown(wait=False)
        await asyncio.to_thread(self._decoders.close)
        if self.log is not None:
            self.log.close()

    def _read(self, body: bytes) -> ChatRequest | Untouched:
        given = read_object(body, self.options.limits)
        reason = self._reason_to_pass(given)
        if reason is None:
            request = read_request(given)
            self._check_model(request.model)
            return request
        if not self.options.passthrough:
            raise ApiError(
                400,
                "this server answers questions about images only; add an image to the question",
                param="messages",
                code="passthrough_off",
            )
        return Untouched(reason, self.untouched(body, given), conversation_key(given))

    def _reason_to_pass(self, given: Mapping[str, Any]) -> str | None:
        """Why a request goes to an upstream untouched; None: this server answers it."""
        if self.passthrough is None and self.options.passthrough:
            return None  # the model in this process answers whatever is asked
        model = given.get("model")
        if model == f"{self.name}:vanilla":
            return "vanilla"
        if not has_image(given):
            return "text"
        known = model is None or not isinstance(model, str) or model in self.models
        return None if known or self.passthrough is None else "model"

    def untouched(self, body: bytes, given: Mapping[str, Any]) -> bytes:
        """The request with the model's name at the upstreams, where it is one of ours. Blocks."""
        ours = given.get("model") in self.models
        return untouched(body, given, self.pool.about.model if ours else None)

    async def image_files(self, request: ChatRequest) -> dict[str, ImageFile]:
        """URL → file of all images, of which no more than the headers were read.

        Raises:
            ApiError: 4xx.
        """
        sources = images_in(request.messages, self.options.limits)
        began = time.perf_counter()
        fetched = await self._fetch(sources)
        if fetched:
            self.metrics.images_prepared("fetch", time.perf_counter() - began)
        limits = self.options.limits
        return await self.in_reader(lambda urls: check_images(urls, fetched, limits), sources)

    async def parse(self, request: ChatRequest, files: Mapping[str, ImageFile]) -> ParsedRequest:
        """The request with its images decoded, and halved as the model will see them.

        Raises:
            ApiError: 4xx.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders.threads, self._open, request, files)

    def _open(self, request: ChatRequest, files: Mapping[str, ImageFile]) -> ParsedRequest:
        began = time.perf_counter()
        look, trace = self._wishes(request)
        sources = images_in(request.messages, self.options.limits)
        pictures = open_images(sources, files, self._decoders.decode)
        example = to_example(request.messages, pictures)
        profile = self.options.profile
        if not example.images or request.model == f"{self.name}:vanilla":
            look, profile = "high", "plain"  # as it was asked, without words of ours
        check_question(example, look, profile, None)
        if example.images:
            self.metrics.images_prepared("open", time.perf_counter() - began)
        if look != "high" and self.pool.ready:
            self._make_views(example.images)
        return ParsedRequest(
            head=response_head(request.model),
            example=example,
            look=look,
            profile=profile,
            sampling=sampling_of(request, self.options),
            # Which upstream saw this image before only matters where there are several.
            key=cache_key(example) if len(self.pool.backends) > 1 else b"",
            memory=sum(picture.memory for picture in pictures.values()),
            stop=tuple(request.stop),
            trace=trace,
            views=request.visionthink.views,
            stream=request.stream,
            usage=request.stream_options.include_usage,
        )

    def _make_views(self, pictures: Sequence[Picture]) -> None:
        """Halve, and encode for upstreams, so that run_episode and the engine find it done."""
        began = time.perf_counter()
        grid = self.pool.about.grid
        views = [half_view(picture, grid) for picture in pictures]
        halved = time.perf_counter()
        self.metrics.images_prepared("halve", halved - began)
        if self.pool.local is None:
            for view in views:
                view.encoded()
            self.metrics.images_prepared("encode", time.perf_counter() - halved)

    async def _fetch(self, sources: Sequence[ImageSource]) -> dict[str, bytes]:
        """URL → bytes of the images that are not in the request itself."""
        fetched: dict[str, bytes] = {}
        left = self.options.limits.body
        for source in sources:
            if is_remote(source.url) and source.url not in fetched:
                limit = min(left, self.options.limits.image_bytes)
                fetched[source.url] = await self.fetcher.fetch(source.url, limit, source.param)
                left -= len(fetched[source.url])
        return fetched

    async def answer(
        self, request: ParsedRequest, watch: Watch | None = None, shown: Shown | None = None
    ) -> Episode:
        """Run the episode on a leased engine; `watch` and `shown` follow it.

        Raises:
            ApiError, EngineError, UsageError, ImageError: see `api_error`.
        """
        with self.pool.lease(request.key) as engine:
            return await run_episode(
                request.example,
                engine,
                look=request.look,
                profile=request.profile,
                sampling=request.sampling,
                watch=watch,
                shown=shown,
            )

    def profile(self, look: LookMode, name: str | None = None) -> Profile:
        """The profile of episodes with this look, of those asked with profile `name`."""
        local = self.pool.local
        known = name or self.options.profile or (local and local.profile) or DEFAULT_PROFILE
        return protocol.profile_for(look, known)

    def _check_model(self, model: str) -> None:
        if model not in self.models:
            raise ApiError(
                404,
                f"there is no model {model[:100]!r}; there are {', '.join(self.models)}",
                param="model",
                code="model_not_found",
            )

    def _wishes(self, request: ChatRequest) -> tuple[LookMode, bool]:
        """Look and trace: by the field `visionthink`, else by the model's name, else by option."""
        suffix = request.model.removeprefix(self.name).removeprefix(":")
        named: LookMode | None = suffix if suffix in ("low", "high") else None
        look = request.visionthink.look or named or self.options.look
        trace = request.visionthink.trace
        return look, suffix == "trace" if trace is None else trace


def memory_of(files: Collection[ImageFile]) -> int:
    """Bytes that the images of a request take, decoded one after the other."""
    beyond = max((file.decoding_bytes - file.open_bytes for file in files), default=0)
    return sum(file.open_bytes for file in files) + max(beyond, 0)


def sampling_of(request: ChatRequest, options: ServeOptions) -> Sampling:
    """How replies are sampled.

    `max_completion_tokens` bounds all that is generated, as in OpenAI's API. `max_tokens` is what
    clients of models that do not think send, for the answer: thoughts get a share on top.
    """
    limits = options.limits
    tokens = limits.default_tokens
    if request.max_completion_tokens is not None:
        tokens = request.max_completion_tokens
    elif request.max_tokens is not None:
        tokens = request.max_tokens + limits.reasoning_tokens
    tokens = min(tokens, limits.tokens)
    return Sampling(
        temperature=options.temperature if request.temperature is None else request.temperature,
        top_p=request.top_p,
        max_tokens=tokens,
        max_episode_tokens=tokens,
        seed=secrets.randbits(31) if request.seed is None else request.seed % 2**62,
    )
