"""The HTTP application: its paths, who may use them, and what every response carries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionthink.serving.chat import ChatEndpoint
from visionthink.serving.gateway import Gateway
from visionthink.serving.hosts import Hosts
from visionthink.serving.keys import Keys
from visionthink.serving.playground import page_routes
from visionthink.serving.refusal import Refusal

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every response that does not set its own."""


def create_app(gateway: Gateway, keys: Sequence[str] = ()) -> FastAPI:
    """The application of a gateway; with `keys`, /v1 wants one of them as a bearer token."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await gateway.pool.look()
        watching = asyncio.create_task(gateway.pool.watch())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await gateway.pool.close()
        if gateway.log is not None:
            gateway.log.close()

    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    started = int(time.time())
    chat = Route("/v1/chat/completions", ChatEndpoint(gateway), methods=["POST"])
    app.router.routes.append(chat)
    if gateway.options.playground:
        app.router.routes.extend(page_routes(embedded=gateway.embedded))

    def model(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "visionthink"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model(name) for name in gateway.models]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Any:
        if name not in gateway.models:
            return _refused(
                Refusal(404, f"there is no model {name[:100]!r}", code="model_not_found")
            )
        return model(name)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        backends = gateway.pool.backends
        alive = sum(backend.alive for backend in backends)
        status = {"status": "ready" if alive else "unreachable", "alive": alive}
        return JSONResponse({**status, "of": len(backends)}, 200 if alive else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(gateway.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.exception_handler(HTTPException)
    async def no_such_path(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path[:200]}: {error.detail}"
        refused = _refused(Refusal(error.status_code, message, code="unknown_url"))
        refused.headers.update(error.headers or {})
        return refused

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> JSONResponse:
        return _refused(Refusal(500, "the server failed", code="internal_error"))

    app.add_middleware(Keys, keys=tuple(keys))
    app.add_middleware(Hosts, host=gateway.options.host, names=gateway.options.hosts)
    app.add_middleware(_Headers)
    return app


def _refused(refusal: Refusal) -> JSONResponse:
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


class _Headers:
    """Puts `HEADERS` on responses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", ())]
                names = {name.lower() for name, _ in given}
                more = [(name, value) for name, value in HEADERS if name not in names]
                message = {**message, "headers": [*given, *more]}
            await send(message)

        await self._app(scope, receive, with_headers)
