"""A small OpenAI-compatible server with a script of good and bad behaviours, on real sockets.

    with ChatServer(status(500), says("hello")) as server:
        OpenAIEngine(server.url)        # the first request fails, the second and all later succeed
    assert len(server.chats) == 2

A behaviour answers one chat request; the last one of the script repeats. The server keeps what it
was asked (`chats`, `lookups`) and how many chat requests it ever had open at once (`most_at_once`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler"], None]

RETRY_AT_ONCE = {"Retry-After-Ms": "1"}
"""Headers that make the official client retry without its half second of back-off."""


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; names of headers in lower case. `raw`: its body as bytes."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes = b""
    method: str = "POST"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def send(
        self, code: int, content_type: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, code: int, value: object, headers: dict[str, str] | None = None) -> None:
        self.send(code, "application/json", json.dumps(value).encode(), headers)

    def do_GET(self) -> None:
        owner = self.server.owner
        if self.path == f"{owner.prefix}/models" or owner.other is None:
            owner.lookups.append(Seen(self.path, self.lowered(), {}, method="GET"))
        if self.path == f"{owner.prefix}/models":
            owner.list_models(self)
        else:
            self._other(b"")

    def do_POST(self) -> None:
        owner = self.server.owner
        raw = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path.partition("?")[0] != f"{owner.prefix}/chat/completions":
            self._other(raw)
            return
        behaviour = owner.arrived(Seen(self.path, self.lowered(), json.loads(raw), raw))
        try:
            behaviour(self)
        finally:
            owner.left()

    def do_DELETE(self) -> None:
        self._other(b"")

    def _other(self, raw: bytes) -> None:
        owner = self.server.owner
        if owner.other is None:
            self.send_json(404, {"detail": "Not Found"})
            return
        owner.others.append(Seen(self.path, self.lowered(), {}, raw, self.command))
        owner.other(self)

    def lowered(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    owner: ChatServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are expected here."""


class ChatServer:
    """See the module docstring. `models` are names, or whole entries of the model list; `other`
    answers what is neither a chat nor that list, and `others` keeps it; without it that is a 404.
    """

    def __init__(
        self,
        *script: Behaviour,
        models: Sequence[str | dict[str, Any]] = ("qwen2.5-vl",),
        prefix: str = "/v1",
        list_models: Behaviour | None = None,
        other: Behaviour | None = None,
    ) -> None:
        self.other = other
        self.others: list[Seen] = []
        self.prefix = prefix
        self.chats: list[Seen] = []
        self.lookups: list[Seen] = []
        self.most_at_once = 0
        self.stopped = threading.Event()
        entries = [{"id": m, "object": "model"} if isinstance(m, str) else m for m in models]
        self.list_models: Behaviour = list_models or (
            lambda handler: handler.send_json(200, {"object": "list", "data": entries})
        )
        self._script = script or (says("hello"),)
        self._open = 0
        self._lock = threading.Lock()
        self._http = Server(("127.0.0.1", 0), Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        return self.root + self.prefix

    def arrived(self, seen: Seen) -> Behaviour:
        with self._lock:
            behaviour = self._script[min(len(self.chats), len(self._script) - 1)]
            self.chats.append(seen)
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        return behaviour

    def left(self) -> None:
        with self._lock:
            self._open -= 1

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


# Behaviours


def says(
    text: object,
    *,
    finish: str = "stop",
    usage: object = None,
    delay: float = 0,
    **message: Any,
) -> Behaviour:
    """A good reply; `message` are more fields of the message, as tool_calls or reasoning."""
    reply: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
    }
    if usage is not None:
        reply["usage"] = usage

    def behave(handler: Handler) -> None:
        handler.server.owner.stopped.wait(delay)
        handler.send_json(200, reply)

    return behave


def sends(
    body: bytes, code: int = 200, content_type: str = "application/json", **headers: str
) -> Behaviour:
    return lambda handler: handler.send(code, content_type, body, headers)


def status(
    code: int, message: str = "no reason", headers: dict[str, str] | None = None
) -> Behaviour:
    """An error in the form vLLM and hosted services give it; retried at once unless told."""
    value = {"error": {"message": message, "type": "Error", "code": code}}
    return lambda handler: handler.send_json(code, value, RETRY_AT_ONCE | (headers or {}))


def hangs(handler: Handler) -> None:
    """Reads the request and never replies."""
    handler.close_connection = True
    handler.server.owner.stopped.wait(30)


def closes_mid_body(handler: Handler) -> None:
    """Promises 1000 bytes, sends 10, closes."""
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')


def drips(handler: Handler, code: int = 200) -> None:
    """A body that never ends, a byte every 0.05 s: no single read ever times out."""
    handler.close_connection = True
    handler.send_response(code)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while not handler.server.owner.stopped.wait(0.05):
        handler.wfile.write(b"\n")
