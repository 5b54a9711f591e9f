"""Requests that go to an upstream as they came, and its replies back, byte for byte.

Only the connection is ours: its headers (hop by hop), the host, and the key for the upstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic_core import from_json, to_json
from starlette.types import Send
from yarl import URL

from visionthink.core.errors import ServerError
from visionthink.engines.openai import OpenAIEngine
from visionthink.engines.openai_http import MAX_BODY
from visionthink.serving.pool import Backend, Pool

Header = tuple[str, str]

CONNECT_SECONDS = 10.0
HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    )
)
NOT_FORWARDED = HOP_BY_HOP | {"host", "content-length", "expect"}
NOT_RETURNED = HOP_BY_HOP | {"date"}  # this server writes its own
BALANCED = ("chat/completions", "completions", "embeddings", "rerank", "score", "moderations")
"""Endpoints without state, which any upstream can answer; all others go to the first living one."""


class BrokenReply(Exception):
    """The upstream broke off in the middle of its reply; the client's connection must break too."""


@dataclass(frozen=True)
class Request:
    """What goes to an upstream.

    Attributes:
        path: below the upstream's base URL, with the query, encoded as it came.
        key: stands for the conversation when an upstream is chosen.
        edit: changes the body of a good reply, of which it gets every piece and then b""; None:
            the reply is passed on as it comes.
    """

    method: str
    path: str
    headers: Sequence[Header]
    body: bytes
    key: bytes = b""
    edit: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class Forwarded:
    """How it went."""

    upstream: str
    status: int


class Passthrough:
    """The way to the upstreams of a pool.

    Args:
        pool: its backends must be on servers.
        own_keys: clients have keys of this server, which no upstream may see.
        silence: seconds without a byte after which an upstream counts as hung.
    """

    def __init__(self, pool: Pool, *, own_keys: bool, silence: float) -> None:
        self._pool = pool
        self._own_keys = own_keys
        self._timeout = aiohttp.ClientTimeout(None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: Request, send: Send) -> Forwarded:
        """Ask an upstream; `send` gets its reply as it comes.

        Raises:
            ApiError: no upstream can be reached.
            ServerError: the one that was asked cannot be reached, or is silent.
            BrokenReply: it broke off after the reply had begun.
        """
        tried: list[Backend] = []
        while True:
            backend = self._pool.backend_for(request.key, but=tried, spread=_balanced(request))
            backend.running += 1
            try:
                return await self._ask(backend, request, send)
            except ServerError as error:
                self._pool.failed(backend, error)
                tried.append(backend)
                again = error.reason == "unreachable" and _repeatable(request)
                if not again or self._pool.least_busy(tried) is None:
                    raise
            finally:
                backend.running -= 1

    async def models(self) -> list[dict[str, object]]:
        """The entries of the first living upstream's list; empty where there is none."""
        backend = self._pool.least_busy(())
        if backend is None:
            return []
        listed = (await self._json(backend, Request("GET", "models", (), b""))).get("data")
        entries = listed if isinstance(listed, list) else []
        return [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]

    async def prompt_tokens(self, backend: Backend, chat: Mapping[str, Any]) -> int | None:
        """How long the prompt is, where the upstream counts without generating, as vLLM does."""
        headers = (("Content-Type", "application/json"),)
        request = Request("POST", "/tokenize", headers, to_json(chat))
        count = (await self._json(backend, request)).get("count")
        return count if isinstance(count, int) else None

    async def _json(self, backend: Backend, request: Request) -> dict[str, Any]:
        """The JSON object that an upstream answers with; an empty one where it does not."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                async with await self._open(backend, request) as response:
                    body = b""
                    while (piece := await response.content.readany()) and len(body) < MAX_BODY:
                        body += piece
            given = from_json(body, allow_inf_nan=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return {}
        return given if isinstance(given, dict) else {}

    def _open(self, backend: Backend, request: Request) -> Awaitable[aiohttp.ClientResponse]:
        engine = backend.engine
        assert isinstance(engine, OpenAIEngine)  # noqa: S101 - backends on servers are
        if self._session is None:
            # Undecoded, so that a compressed reply reaches the client as it is.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session.request(
            request.method,
            URL(_url(engine.base_url, request.path), encoded=True),
            headers=self._headers(request.headers, engine.api_key),
            data=request.body or None,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            allow_redirects=False,
        )

    def _headers(self, headers: Iterable[Header], key: str | None) -> list[Header]:
        """The client's headers; its key is replaced by ours, and kept only where neither is set."""
        drop = NOT_FORWARDED | ({"authorization"} if key or self._own_keys else set())
        kept = [(name, value) for name, value in headers if name.lower() not in drop]
        return [*kept, ("Authorization", f"Bearer {key}")] if key else kept

    async def _ask(self, backend: Backend, request: Request, send: Send) -> Forwarded:
        try:
            response = await self._open(backend, request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failed = ServerError(f"{backend.name}: {type(error).__name__}")
            late = isinstance(error, aiohttp.SocketTimeoutError)
            failed.reason = "timeout" if late else "unreachable"
            raise failed from error
        async with response:
            edit = request.edit if response.status == 200 else None
            drop = NOT_RETURNED | ({"content-length"} if edit else set())
            headers = [
                (name, value)
                for name, value in response.raw_headers
                if name.decode("latin-1").lower() not in drop
            ]
            start = {"type": "http.response.start", "status": response.status, "headers": headers}
            await send(start)
            left = -1 if edit else response.content_length or 0
            piece = b""
            while data := await _next_piece(backend, response):
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = edit(data) if edit else data
                left -= len(data)
                if left != 0 and piece:  # the last piece ends the response
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    piece = b""
            await send({"type": "http.response.body", "body": piece + (edit(b"") if edit else b"")})
            return Forwarded(backend.name, response.status)


async def _next_piece(backend: Backend, response: aiohttp.ClientResponse) -> bytes:
    """What has arrived since the last piece; empty at the end."""
    try:
        return await response.content.readany()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BrokenReply(f"{backend.name} broke off in the middle of a reply") from error


def _url(base: str, path: str) -> str:
    """What is not below the API's base is next to it."""
    return base.removesuffix("/v1") + path if path.startswith("/") else f"{base}/{path}"


def _balanced(request: Request) -> bool:
    return request.path.partition("?")[0].strip("/") in BALANCED


def _repeatable(request: Request) -> bool:
    """Whether asking twice changes nothing."""
    return request.method in ("GET", "HEAD") or _balanced(request)
