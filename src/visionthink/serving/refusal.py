"""How a request ends that gets no answer: an HTTP status, and an error in OpenAI's form."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from visionthink.core.errors import EngineError, ImageError, PromptError, ServerError, UsageError

DISCARD_BYTES = 64 * 2**20
DISCARD_SECONDS = 5.0
"""How much of the body of a request that is refused unread is taken in, so that the client gets to
read the refusal: closing on it would look like a broken connection.
"""


class Refusal(Exception):
    """The request gets this status and error instead of an answer.

    Attributes:
        param: the part of the request that is to blame, as `messages[0].content`.
        code: a word for programs.
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status) or (
            "invalid_request_error" if self.status < 500 else "server_error"
        )
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    @property
    def headers(self) -> dict[str, str]:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


_TYPES = {401: "authentication_error", 429: "rate_limit_error", 504: "timeout_error"}


def refusal_for(error: Exception) -> Refusal:
    """What a client is told of an error; nothing of this machine, its files or its network."""
    match error:
        case Refusal():
            return error
        case TimeoutError():
            return Refusal(504, "the answer took too long", code="request_timeout")
        case ImageError() | UsageError() | PromptError():
            return Refusal(400, str(error))
        case ServerError(reason="timeout"):
            return Refusal(504, "the model did not reply in time", code="upstream_timeout")
        case ServerError(reason="refused", status=429):
            message = "the model's server is at its limit; try again later"
            return Refusal(429, message, code="upstream_busy", retry_after=5)
        case ServerError(reason="refused", status=400 | 413 | 422):
            said = f": {error.said}" if error.said else ""
            return Refusal(
                400, f"the model's server refused the request{said}", code="upstream_refused"
            )
        case ServerError(reason="unreachable"):
            message = "the model's server cannot be reached; try again later"
            return Refusal(503, message, code="upstream_unreachable", retry_after=5)
        case ServerError():
            return Refusal(502, "the model's server failed", code="upstream_failed")
        case EngineError():
            return Refusal(500, str(error), code="model_failed")
        case _:
            return Refusal(500, "the server failed", code="internal_error")


async def send_refusal(
    refusal: Refusal, scope: Scope, receive: Receive, send: Send, *, unread: bool = True
) -> None:
    """Refuse; where the body is `unread`, take it in and drop it first."""
    left = DISCARD_BYTES if unread else 0
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
                left = left - len(message.get("body", b"")) if more else 0
    response = JSONResponse(refusal.body, refusal.status, refusal.headers)
    await response(scope, receive, send)
