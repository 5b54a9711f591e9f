"""Who may use the API: those with one of the keys, where there are keys."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from visionthink.core.errors import UsageError
from visionthink.serving.refusal import Refusal, send_refusal

GUARDED = "/v1/"
"""Paths that want a key. Health and metrics do not: they tell no content."""


def keys_in(variable: str | None) -> tuple[str, ...]:
    """The keys in an environment variable, commas between them; none without a variable.

    Raises:
        UsageError: the variable is not set or holds no usable key: a server that was told to want
            a key must not start without one.
    """
    if variable is None:
        return ()
    keys = tuple(key.strip() for key in os.environ.get(variable, "").split(",") if key.strip())
    if not keys:
        raise UsageError(f"the environment variable {variable} holds no API key; set it")
    if not all("!" <= char <= "~" for key in keys for char in key):
        raise UsageError(f"a key in {variable} has characters that no key has; paste it again")
    return keys


class Keys:
    """Lets requests with a right key through; compares in constant time, with all keys always."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = scope["type"] == "http" and scope["path"].startswith(GUARDED)
        if guarded and self._digests and not self._right(scope):
            refusal = Refusal(401, "a valid API key is wanted", code="invalid_api_key")
            await send_refusal(refusal, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _right(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        equal = [hmac.compare_digest(digest, each) for each in self._digests]
        return scheme.lower() == b"bearer" and any(equal)
