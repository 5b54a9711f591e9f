"""All endpoints below /v1/ that are not ours: an upstream answers them.

A JSON body that names our model gets the name that the upstreams know; everything else is passed on
as it came, byte for byte.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from pydantic_core import from_json
from starlette.types import Receive, Scope, Send

from visionthink.serving.api_error import ApiError
from visionthink.serving.exchange import Exchange, Outcome
from visionthink.serving.gateway import Gateway

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PREFIX = "/v1/"


class OtherEndpoints:
    """An ASGI application; it holds `receive` itself, so that it notices when a client leaves."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):  # else uvicorn prints a traceback
            await _Other(self._gateway, scope, receive, send).run()


class _Other(Exchange):
    """A request for another endpoint, and its response."""

    async def answer(self) -> Outcome:
        raw = self.scope.get("raw_path") or self.scope["path"].encode()
        path = raw.decode("latin-1").partition("?")[0].removeprefix(PREFIX)
        if ".." in path or "%2e" in path.lower():
            raise ApiError(404, "there is no such path", code="unknown_url")
        self.facts["endpoint"] = self.scope["path"][:100]
        self.passed = "endpoint"
        self._check_origin()
        self.check_length()
        with self.gateway.admission.presence():
            async with self.room_for_body():
                return await self._forward(path)

    async def _forward(self, path: str) -> Outcome:
        body = await self.body()
        if self.header(b"content-type").startswith(b"application/json"):
            body = await self.gateway.in_reader(self._renamed, body)
        return await self.pass_on(self.forwarded(path, body), "endpoint")

    def _renamed(self, body: bytes) -> bytes:
        with suppress(ValueError):
            given = from_json(body)
            if isinstance(given, dict):
                return self.gateway.untouched(body, given)
        return body

    def _check_origin(self) -> None:
        """Refuse a web page of another site: it may send forms and files without asking first."""
        origin = self.header(b"origin").decode("latin-1")
        host = self.header(b"host").decode("latin-1")
        allowed = self.gateway.options.cors
        if "*" in allowed or origin in allowed:
            return
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            raise ApiError(403, "web pages of other sites may not use this server", code="origin")
