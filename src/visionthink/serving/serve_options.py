"""Options of a server: the model or its upstreams, access, and limits."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from visionthink.core.protocol import profile_for
from visionthink.core.types import LookMode
from visionthink.settings import GridName

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

PIXEL_BYTES = 33
"""Memory that a pixel takes at most: of an image that must be sent as a PNG of noise."""


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServeLimits(_Options):
    """Limits of one request, and of all requests together.

    Attributes:
        body: bytes of a request.
        images, image_bytes, pixels: images of a request; encoded bytes of one; pixels of all.
        memory: bytes that all requests together take; a request waits until what it needs is free.
        characters: text of a request.
        tokens: upper bound of what an episode may generate, whatever the client asks for.
        default_tokens: where the client names no number; default: as many as an upstream allows,
            2,048 of a model in this process.
        reasoning_tokens: added to a client's `max_tokens`, which is meant for the answer.
        running: requests that are processed at once.
        waiting: requests that may wait; further ones get 429.
        request_seconds: from the start of processing to the last byte; then 504.
        upload_seconds: for the body of a request; then 408.
        send_seconds: in which a client must read what it is sent, each MiB of it; then its
            connection is cut.
        connections: of clients at once; a further one takes the place of the longest idle one.
        header_bytes, header_seconds: of a request's headers; then 431 and 408.
    """

    body: Count = 32 * 2**20
    images: Count = 32
    image_bytes: Count = 20 * 2**20
    pixels: Count = 64_000_000
    memory: Count = 4 * 2**30
    characters: Count = 200_000
    tokens: Count = 8192
    default_tokens: Count | None = None
    reasoning_tokens: Annotated[int, Field(ge=0)] = 1024
    running: Count = 64
    waiting: Annotated[int, Field(ge=0)] = 256
    request_seconds: Seconds = 300.0
    upload_seconds: Seconds = 60.0
    send_seconds: Seconds = 30.0
    connections: Annotated[int, Field(ge=8)] = 1000
    header_bytes: Annotated[int, Field(ge=1024)] = 64 * 2**10
    header_seconds: Seconds = 15.0

    @model_validator(mode="after")
    def _check_memory(self) -> ServeLimits:
        """Of the memory, 9/16 are for large images, and 3/16 for large bodies."""
        least = max(PIXEL_BYTES * self.pixels * 16 // 9, 4 * self.body * 16 // 3)
        if self.memory < least:
            raise ValueError(
                f"memory must be at least {least:,} bytes for pixels={self.pixels:,} and "
                f"body={self.body:,}; got {self.memory:,}"
            )
        return self


class UpstreamOptions(_Options):
    """OpenAI-compatible servers that all serve the same model.

    Attributes:
        urls: their base URLs, usually ending in /v1; empty: the model runs in this process.
        model: the name they serve it under; default: the only model there.
        key_env: environment variable with the API key for them.
        timeout: seconds that an upstream may be silent, or take for a reply that is not streamed.
        retries: further tries after a reply that failed before any of it was passed on.
        check_seconds: interval of the health checks.
    """

    urls: tuple[str, ...] = ()
    model: str | None = None
    key_env: str = "OPENAI_API_KEY"
    timeout: Seconds = 120.0
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    check_seconds: Seconds = 5.0


class RemoteImageOptions(_Options):
    """Images by URL are fetched only from `hosts` (`images.example.com`, `*.example.com`, either
    with `:port`), and only from public addresses.
    """

    hosts: tuple[str, ...] = ()
    seconds: Seconds = 10.0
    redirects: Annotated[int, Field(ge=0, le=10)] = 3

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not re.fullmatch(r"(\*\.)?[A-Za-z0-9._-]+(:\d+)?", host):
                raise ValueError(f"expected a host such as images.example.com, got {host!r}")
        return hosts


class KeyOptions(_Options):
    """A client's key, and what it may use.

    Attributes:
        env: environment variable that holds it.
        requests_per_minute, visual_tokens_per_minute: then 429; default: as much as it likes.
    """

    env: str
    requests_per_minute: Count | None = None
    visual_tokens_per_minute: Count | None = None


class ServeOptions(_Options):
    """All options of `visionthink serve`.

    Attributes:
        host, port: the address to listen on.
        name: the model's name in this API; default: its own name.
        look, temperature: of requests that name none; without a temperature the upstream's own
            default holds, and a model in this process is greedy.
        profile: prompts; default: what the checkpoint names, else agent.
        grid: how the model cuts images; default: by the checkpoint, or the upstream's name.
        model, device, dtype, max_pixels: of a model in this process; as for `ask`.
        passthrough: send what is not a question about an image to an upstream as it came: chats
            without an image, and all other endpoints below /v1/; else refuse it.
        fail_open: send a question about an image that this server refuses to an upstream too.
        api_key_env: environment variable with the keys of clients, comma-separated; default: no
            key is required.
        keys: further keys by name, with limits of their own.
        playground: serve a page at / to try the model in a browser.
        drain_seconds: for requests in progress after SIGTERM.
        hosts: host names accepted by a server on loopback, beside localhost and addresses.
        cors: origins of web pages that may use the API, like https://app.example.com; "*": all.
        log: file that gets a JSON line for each request, without its images, texts and answers.
        log_content: put question, turns and answer into the log too.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    name: str | None = None
    look: LookMode = "auto"
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    profile: str | None = None
    grid: GridName | None = None
    model: str | None = None
    device: str | None = None
    dtype: str | None = None
    max_pixels: Count | None = None
    upstream: UpstreamOptions = UpstreamOptions()
    passthrough: bool = True
    fail_open: bool = False
    api_key_env: str | None = None
    keys: dict[str, KeyOptions] = {}
    remote_images: RemoteImageOptions = RemoteImageOptions()
    limits: ServeLimits = ServeLimits()
    hosts: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    playground: bool = True
    drain_seconds: Seconds = 30.0
    log: str | None = None
    log_content: bool = False

    @property
    def requires_key(self) -> bool:
        return self.api_key_env is not None or bool(self.keys)

    @model_validator(mode="after")
    def _check_combination(self) -> ServeOptions:
        if self.profile is not None:
            profile_for(self.look, self.profile)
        local = ("model", "device", "dtype", "max_pixels")
        if self.upstream.urls and any(getattr(self, name) is not None for name in local):
            raise ValueError(f"{', '.join(local)} are for a model in this process, not upstreams")
        if self.name is not None and not self.name.strip():
            raise ValueError("name must not be blank")
        return self
