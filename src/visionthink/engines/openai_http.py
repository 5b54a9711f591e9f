"""Checks of the base URL and the API key, and an HTTP client with bounds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from visionthink.core.errors import UsageError

MAX_BODY = 16 * 2**20
"""Bytes of a reply, decompressed: a thousand times a long reply."""
UNREADABLE = "a reply that cannot be decompressed"
MAX_ERROR_BODY = 64 * 2**10
"""Bytes that are read of an error's body; an error message quotes 160 characters."""
MORE_HEADERS: ContextVar[Mapping[str, str]] = ContextVar("MORE_HEADERS", default={})  # noqa: B039
"""Headers of all chat requests that the current task makes, beside ours: who asked, for traces."""
NO_KEY = "none"
"""What is sent in place of a key: the official client needs one."""


def checked_url(url: str) -> str:
    url = url.strip().rstrip("/")
    problem = ""
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")  # these raise where they are bad
    except ValueError as error:
        raise UsageError(f"the base URL is not valid: {error}; like http://host:8000/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        problem = "must start with http:// or https:// and a host"
    elif parts.username is not None or parts.query or parts.fragment:
        problem = "must hold no user, query or fragment; keys go into api_key"
    elif not url.isprintable() or " " in url:
        problem = "must hold no spaces or control characters"
    if problem:
        raise UsageError(f"the base URL {problem}, like http://host:8000/v1")
    return url


def checked_key(given: str | None, variable: str) -> tuple[str, str]:
    """The key, and a sentence on where it is from: given, or from the environment."""
    origin = "the key was given"
    if given is None:
        given, origin = os.environ.get(variable, ""), f"the key is that of {variable}"
    key = given.strip()
    if not all("!" <= char <= "~" for char in key):
        raise UsageError(f"{origin}, but it has characters that no key has; paste it again")
    return (key, origin) if key else (NO_KEY, "no key was given")


def bounded_http_client() -> Any:
    """The official client's HTTP client with replies bounded in size and time, and no redirects.

    It goes through aiohttp, which takes half the processor time of the default.
    """
    import httpx2
    import openai

    class Bounded(openai.DefaultAioHttpClient):
        async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
            """Send, and read the whole reply, unless a good one is to be streamed.

            Of an error's body the start is enough, however long it is or takes.
            """
            response = await super().send(request, stream=True, **options)
            good = response.status_code < 300
            if stream and good:
                return response
            timeout = request.extensions["timeout"]["read"]
            body = bytearray()
            try:
                async with asyncio.timeout(timeout):
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if not good and len(body) >= MAX_ERROR_BODY:
                            break
                        if len(body) > MAX_BODY:
                            raise openai.APIResponseValidationError(response, None)
            except httpx2.DecodingError:
                raise openai.APIResponseValidationError(
                    response, None, message=UNREADABLE
                ) from None
            except TimeoutError:
                if good:
                    raise openai.APITimeoutError(request) from None
            finally:
                await response.aclose()
            headers = [
                (name, value)
                for name, value in response.headers.items()
                if name not in ("content-encoding", "content-length", "transfer-encoding")
            ]
            return type(response)(
                response.status_code, headers=headers, content=bytes(body), request=request
            )

    return Bounded(follow_redirects=False)
