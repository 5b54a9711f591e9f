"""From a request's bytes to the episode that answers it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from visionthink.core import protocol
from visionthink.core.episode import DEFAULT_PROFILE, Shown, Watch, check_question, run_episode
from visionthink.core.errors import UsageError
from visionthink.core.form import Form
from visionthink.core.image_files import ImageFile
from visionthink.core.images import Picture, half_view
from visionthink.core.profiles import Profile
from visionthink.core.types import Episode, Example, LookMode, Sampling
from visionthink.mini import EMBEDDED
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import (
    ChatRequest,
    ImageSource,
    by_detail,
    cache_key,
    check_images,
    images_in,
    is_remote,
    open_images,
    read_object,
    read_request,
    to_example,
)
from visionthink.serving.chat_response import answer_of, miscounted, response_head
from visionthink.serving.client_tools import client_functions, why_not
from visionthink.serving.decoders import Decoders
from visionthink.serving.delivered import (
    DeliveredLooks,
    Hash,
    add_message,
    called,
    conversation_hash,
)
from visionthink.serving.keys import Keys
from visionthink.serving.limits import Admission, Memory
from visionthink.serving.passthrough import Passthrough
from visionthink.serving.pool import Pool
from visionthink.serving.remote_images import Fetcher
from visionthink.serving.sampling import local_sampling, of_choice, upstream_sampling
from visionthink.serving.serve_options import ServeOptions
from visionthink.serving.structured import form_of
from visionthink.serving.telemetry import Metrics, RequestLog, console
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
        look, details, profile: how to answer it; see `run_episode`.
        choices: how the replies of each choice are drawn.
        functions: of the client's, offered to the model.
        form: that the answer must have.
        conversation: the start of the key of what is delivered; see `DeliveredLooks`.
        key: stands for its image when an upstream is chosen.
        memory: bytes of its images, as they are held and sent.
        stop: sequences that end the answer.
        trace: send all turns.
        views: send the pictures of the looks.
        stream, usage: send the answer in chunks; and its usage as the last of them.
        notes: what of the request is not seen.
        upstreams: names of those that were asked, for the log.
    """

    head: dict[str, Any]
    example: Example
    look: LookMode
    details: tuple[LookMode, ...]
    profile: Profile
    choices: tuple[Sampling, ...]
    functions: tuple[Mapping[str, Any], ...]
    form: Form | None
    conversation: Hash
    key: bytes
    memory: int
    stop: tuple[str, ...]
    trace: bool
    views: bool
    stream: bool
    usage: bool
    notes: tuple[str, ...] = ()
    upstreams: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Untouched:
    """A chat request that goes to an upstream as it came, and why; the usage gets the note."""

    reason: str
    body: bytes
    key: bytes
    note: str = ""
    stream: bool = False


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
        self.keys = Keys()
        self.delivered = DeliveredLooks()
        self.passthrough: Passthrough | None = None
        if options.passthrough and pool.local is None:
            self.passthrough = Passthrough(
                pool,
                own_keys=options.requires_key,
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
            note = self._why_unsupported(given)
            if note is not None:
                return self.anyway(body, note)
            request = read_request(given, local=self.pool.local is not None)
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

    def _why_unsupported(self, given: Mapping[str, Any]) -> str | None:
        """Why an upstream must answer a question about an image alone; None: it need not.

        Raises:
            ApiError: 400; it must, and may not.
        """
        if self.pool.local is not None:
            return None
        why = why_not(given, self.profile(self.options.look))
        if why is not None and self.passthrough is None:
            raise ApiError(400, why, param="tools", code="unsupported_parameter")
        return why

    def anyway(self, body: bytes, note: str) -> Untouched:
        """A question about an image that this server cannot handle, for an upstream. Blocks."""
        given = read_object(body, self.options.limits)
        return Untouched(
            "unsupported",
            self.untouched(body, given),
            conversation_key(given),
            note,
            given.get("stream") is True,
        )

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

    async def parse(
        self, request: ChatRequest, files: Mapping[str, ImageFile], tenant: str = ""
    ) -> ParsedRequest:
        """The request with its images decoded, and halved as the model will see them.

        What was delivered in a conversation of the same `tenant` stands in its place again.

        Raises:
            ApiError: 4xx.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._decoders.threads, self._open, request, files, tenant
        )

    def _open(
        self, request: ChatRequest, files: Mapping[str, ImageFile], tenant: str
    ) -> ParsedRequest:
        began = time.perf_counter()
        sources = images_in(request.messages, self.options.limits)
        opened = open_images(sources, files, self._decoders.decode)
        local = self.pool.local
        look, details = self._looks(request, [source.look for source in sources])
        name = self.options.profile
        if not sources or request.model == f"{self.name}:vanilla":
            look, details, name = "high", (), "plain"  # as it was asked, without words of ours
        profile = self.profile(look, name)
        conversation = conversation_hash(tenant, self.name, profile.name, look)
        example = to_example(
            request.messages,
            by_detail(sources, opened),
            local=local is not None,
            key=conversation,
            earlier=self.delivered if look == "auto" else None,
        )
        check_question(example, look, name, None)
        if example.images:
            self.metrics.images_prepared("open", time.perf_counter() - began)
        if look != "high" and self.pool.ready:
            self._make_views([p for p, d in _shown(example, look, details) if d != "high"])
        trace = request.visionthink.trace
        sampling_of = upstream_sampling if local is None else local_sampling
        sampling = sampling_of(request, self.options, profile)
        return ParsedRequest(
            head=response_head(request.model),
            example=example,
            look=look,
            details=details,
            profile=profile,
            functions=client_functions(request.forwarded),
            form=form_of(request.forwarded),
            conversation=conversation,
            choices=tuple(of_choice(sampling, number) for number in range(request.n)),
            # Which upstream saw this image before only matters where there are several.
            key=cache_key(example) if len(self.pool.backends) > 1 else b"",
            memory=sum(picture.memory for picture in opened.values()),
            stop=tuple(request.stop),
            trace=request.model.endswith(":trace") if trace is None else trace,
            views=request.visionthink.views,
            stream=request.stream,
            usage=request.stream_options.include_usage,
            notes=tuple(
                f"image {number} has several frames; only the first is seen"
                for number, source in enumerate(sources)
                if files[source.url].header.frames
            ),
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
        self,
        request: ParsedRequest,
        choice: int = 0,
        watch: Watch | None = None,
        shown: Shown | None = None,
    ) -> Episode:
        """Run the episode of a choice on a leased engine; `watch` and `shown` follow it.

        Raises:
            ApiError, EngineError, UsageError, ImageError: see `api_error`.
        """
        with self.pool.lease(request.key) as engine:
            request.upstreams.append(engine.name)
            episode = await run_episode(
                request.example,
                engine,
                look=request.look,
                details=request.details,
                profile=request.profile.name,
                sampling=request.choices[choice],
                functions=request.functions,
                form=request.form,
                streamed=request.stream and request.form is None,
                watch=watch,
                shown=shown,
            )
        self.metrics.episode_finished(episode)
        if differ := miscounted(episode):
            console.warning(
                "the upstream counts %d image tokens, this server %d: does the grid fit the model?",
                *differ,
            )
        key = request.conversation.copy()
        answer, _ = answer_of(episode, request.stop)
        add_message(key, "assistant", answer, *called(episode.calls))
        self.delivered.keep(key.digest(), episode)
        return episode

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

    def _looks(
        self, request: ChatRequest, asked: Sequence[LookMode | None]
    ) -> tuple[LookMode, tuple[LookMode, ...]]:
        """The look of a request, and those of its images where they differ.

        The field `visionthink` decides, else the model's name, else the `detail` of each image,
        else the option.
        """
        suffix = request.model.removeprefix(self.name).removeprefix(":")
        named: LookMode | None = suffix if suffix in ("low", "high") else None
        if look := request.visionthink.look or named:
            return look, ()
        details: tuple[LookMode, ...] = tuple(look or self.options.look for look in asked)
        if len(set(details)) <= 1:
            return (details[0] if details else self.options.look), ()
        return "auto" if "auto" in details else "low", details


def _shown(
    example: Example, look: LookMode, details: Sequence[LookMode]
) -> Iterator[tuple[Picture, LookMode]]:
    return zip(example.images, details or (look,) * len(example.images), strict=True)


def memory_of(files: Collection[ImageFile]) -> int:
    """Bytes that the images of a request take, decoded one after the other."""
    beyond = max((file.decoding_bytes - file.open_bytes for file in files), default=0)
    return sum(file.open_bytes for file in files) + max(beyond, 0)
