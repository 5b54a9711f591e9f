"""What stands in front of every path: API keys, a check of the Host header, security headers."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionthink.core.errors import UsageError
from visionthink.serving.api_error import ApiError, send_error

GUARDED = "/v1/"
"""Paths that need a key. Health and metrics reveal no content and need none."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Added to every response that does not set them itself."""


def keys_in(variable: str | None) -> tuple[str, ...]:
    """The comma-separated keys in an environment variable; without a variable, no keys.

    Raises:
        UsageError: the variable is not set or holds no usable key. A server that is configured to
            require keys must not start without one.
    """
    if variable is None:
        return ()
    keys = tuple(key.strip() for key in os.environ.get(variable, "").split(",") if key.strip())
    if not keys:
        raise UsageError(f"the environment variable {variable} holds no API key; set it")
    if not all("!" <= char <= "~" for key in keys for char in key):
        raise UsageError(f"a key in {variable} has characters that no key has; paste it again")
    return keys


KEY = "visionthink.key"
"""Where the scope of a request has the key that it came with."""


class FindsKeys(Protocol):
    """Keys of clients; see `serving.keys`."""

    @property
    def keys(self) -> Sequence[object]: ...
    def find(self, authorization: bytes) -> object | None: ...


class Guards:
    """Checks each request before the application sees it, and adds `HEADERS` to each response.

    Keys: with any, paths below `GUARDED` need one of them as a bearer token; the scope then has it.

    Host header: a server on loopback answers only to an address, localhost, or one of `names`. It
    stops DNS rebinding: a web page can make its own name resolve to 127.0.0.1 and then talk to
    whatever listens there as if it were its own server, but its requests still carry its name.
    """

    def __init__(self, app: ASGIApp, *, keys: FindsKeys, host: str, names: Sequence[str]) -> None:
        self._app = app
        self._keys = keys
        self._any_name = not is_loopback(host)
        self._names = {"localhost", host.lower(), *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", ())]
                names = {name.lower() for name, _ in given}
                more = [(name, value) for name, value in HEADERS if name not in names]
                message = {**message, "headers": [*given, *more]}
            await send(message)

        error = self._error(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send_guarded)
        else:
            await send_error(error, scope, receive, send_guarded)

    def _error(self, scope: Scope) -> ApiError | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        name = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if not self._any_name and name not in self._names and _address(name) is None:
            message = "unknown host name; add it to the option hosts"
            return ApiError(403, message, code="unknown_host")
        if self._keys.keys and scope["path"].startswith(GUARDED):
            key = self._keys.find(headers.get(b"authorization", b""))
            if key is None:
                return ApiError(401, "Missing or invalid API key", code="invalid_api_key")
            scope[KEY] = key
        return None


def is_loopback(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _host_name(header: str) -> str:
    """The host in a Host header, without its port, in lower case."""
    name, colon, port = header.lower().rpartition(":")
    name = name if colon and port.isdigit() else header.lower()
    return name.strip("[]")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
