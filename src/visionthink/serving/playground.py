"""The page at `/`, where the model can be tried in a browser.

Its files are read when the server starts; a request chooses among them and reaches no other. The
page holds no secret, so it wants no key: it asks for one where the API under it does.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from visionthink.mini import SAMPLES

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
    "img-src 'self' data:",  # what the user chose, and the first look
    *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    *("require-trusted-types-for 'script'", "trusted-types 'none'"),  # text never becomes HTML
)
HEADERS = {
    "Content-Security-Policy": "; ".join(POLICY),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


def page_routes(*, embedded: bool) -> list[Route]:
    """The page, what it loads, and the shipped samples; `embedded`: the model knows only those."""
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


def _route(at: str, body: bytes, kind: str) -> Route:
    return Route(at, _answer(body, kind), methods=["GET"])


def _answer(body: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return Response(body, headers=HEADERS, media_type=kind)

    return answer
