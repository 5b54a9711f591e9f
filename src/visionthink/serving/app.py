"""The HTTP application: its routes, and the page at `/` to try the model in a browser.

The files of the page are read when the server starts; a request chooses among them and reaches no
other file. The page holds no secret and needs no key: it asks for one if the API requires it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from visionthink.mini import SAMPLES
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_endpoint import ChatEndpoint
from visionthink.serving.gateway import Gateway
from visionthink.serving.guards import Guards
from visionthink.serving.keys import Keys
from visionthink.serving.other_endpoints import METHODS, OtherEndpoints
from visionthink.serving.request_ids import REQUEST_ID
from visionthink.serving.starting import check_functions

PAGE = Path(__file__).parent / "page"

TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}

POLICY = (
    *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
    "img-src 'self' data:",  # the user's image, and what the model was shown
    *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    *("require-trusted-types-for 'script'", "trusted-types 'none'"),  # text never becomes HTML
)
PAGE_HEADERS = {
    "Content-Security-Policy": "; ".join(POLICY),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


def create_app(gateway: Gateway, keys: Keys | Sequence[str] = ()) -> FastAPI:
    """The application of a gateway; with `keys`, /v1 requires one of them as a bearer token."""
    known = keys if isinstance(keys, Keys) else Keys.unnamed(keys)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await gateway.pool.check()
        watching = asyncio.create_task(gateway.pool.watch())
        if passes:
            profile = gateway.profile(gateway.options.look)
            await check_functions(gateway.pool, passes, profile)
        with suppress(asyncio.CancelledError):  # a second Ctrl-C
            yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await gateway.close()

    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    started = int(time.time())
    chat = Route("/v1/chat/completions", ChatEndpoint(gateway), methods=["POST"])
    app.router.routes.append(chat)
    passes = gateway.passthrough
    if gateway.options.playground:
        app.router.routes.extend(page_routes(embedded=gateway.embedded))

    def model(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "visionthink"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        theirs = await passes.models() if passes else []
        others = [each for each in theirs if each["id"] not in gateway.models]
        return {"object": "list", "data": [*map(model, gateway.models), *others]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Any:
        theirs = await passes.models() if passes and name not in gateway.models else []
        for each in theirs:
            if each["id"] == name:
                return each
        if name not in gateway.models:
            message = f"there is no model {name[:100]!r}"
            return ApiError(404, message, code="model_not_found").response
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

    if passes:
        app.router.routes.append(Route("/v1/{path:path}", OtherEndpoints(gateway), methods=METHODS))

    @app.exception_handler(HTTPException)
    async def no_such_route(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path[:200]}: {error.detail}"
        response = ApiError(error.status_code, message, code="unknown_url").response
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> JSONResponse:
        return ApiError(500, "the server failed", code="internal_error").response

    options = gateway.options
    app.add_middleware(Guards, keys=known, host=options.host, names=options.hosts)
    if options.cors:  # outermost: a browser asks for permission without a key
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.cors,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID],
        )
    return app


def page_routes(*, embedded: bool) -> list[Route]:
    """The page, its files, and the shipped samples; `embedded`: the model knows only those."""
    files = {f"/page/{path.name}": path for path in PAGE.iterdir() if path.suffix in TYPES}
    files["/"] = files.pop("/page/index.html")
    rows = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    files |= {f"/page/samples/{row['file']}": SAMPLES / row["file"] for row in rows}
    samples = [
        {"image": f"page/samples/{row['file']}", "question": row["question"]} for row in rows
    ]
    start = json.dumps({"embedded": embedded, "samples": samples}).encode()
    return [
        *(_route(at, path.read_bytes(), TYPES[path.suffix]) for at, path in files.items()),
        _route("/page/start.json", start, "application/json"),
    ]


def _route(path: str, body: bytes, kind: str) -> Route:
    async def send(_: Request) -> Response:
        return Response(body, headers=PAGE_HEADERS, media_type=kind)

    return Route(path, send, methods=["GET"])
