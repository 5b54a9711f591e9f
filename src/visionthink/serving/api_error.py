"""Requests that fail: an HTTP status, and an error in OpenAI's form."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from visionthink.core.errors import EngineError, ImageError, PromptError, ServerError, UsageError

DISCARD_BYTES = 64 * 2**20
DISCARD_SECONDS = 5.0
"""How much of an unread body is read and dropped before an error is sent. A server that closes the
connection without reading looks broken to the client, which then never sees the error.
"""


class ApiError(Exception):
    """The request gets this status and error instead of an answer.

    Attributes:
        param: the part of the request that is at fault, such as `messages[0].content`.
        code: a stable identifier for programs.
        retry_after: seconds to wait before another try.
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
    def response(self) -> JSONResponse:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        headers |= {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        return JSONResponse(self.body, self.status, headers)


_TYPES = {401: "authentication_error", 429: "rate_limit_error", 504: "timeout_error"}


def api_error(error: BaseException) -> ApiError:
    """What a client may know of an error: nothing of this machine, its files or its network."""
    match error:
        case ApiError():
            return error
        case asyncio.CancelledError():
            message = "the server is shutting down; try again later"
            return ApiError(503, message, code="shutting_down", retry_after=5)
        case TimeoutError():
            return ApiError(504, "the answer took too long", code="request_timeout")
        case ImageError() | UsageError() | PromptError():
            return ApiError(400, str(error))
        case ServerError(reason="timeout"):
            return ApiError(504, "the model did not reply in time", code="upstream_timeout")
        case ServerError(reason="refused", status=429):
            message = "the model's server is at its limit; try again later"
            return ApiError(429, message, code="upstream_busy", retry_after=5)
        case ServerError(reason="refused", status=400 | 413 | 422):
            said = f": {error.said}" if error.said else ""
            return ApiError(
                400, f"the model's server refused the request{said}", code="upstream_refused"
            )
        case ServerError(reason="unreachable"):
            message = "the model's server cannot be reached; try again later"
            return ApiError(503, message, code="upstream_unreachable", retry_after=5)
        case ServerError():
            return ApiError(502, "the model's server failed", code="upstream_failed")
        case EngineError():
            return ApiError(500, str(error), code="model_failed")
        case _:
            return ApiError(500, "the server failed", code="internal_error")


async def send_error(
    error: ApiError, scope: Scope, receive: Receive, send: Send, *, unread: bool = True
) -> None:
    """Send an error; where the body is `unread`, read and drop it first."""
    left = DISCARD_BYTES if unread else 0
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
                left = left - len(message.get("body", b"")) if more else 0
    await error.response(scope, receive, send)
