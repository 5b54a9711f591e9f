"""The real application in a real uvicorn, in a thread of this process, on a free port.

with served(ScriptedEngine(["42"])) as server:
    server.client().chat.completions.create(...)
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from openai import OpenAI
from PIL import Image

from visionthink.core.engine import Engine
from visionthink.engines.openai import OpenAIEngine
from visionthink.serving.app import create_app
from visionthink.serving.gateway import Gateway
from visionthink.serving.keys import Keys
from visionthink.serving.pool import Backend, Pool
from visionthink.serving.remote_images import Fetcher
from visionthink.serving.serve_options import ServeOptions
from visionthink.serving.server import listen, server_config

KEY = "sk-0123456789abcdef"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, which must have OpenAI's form."""
        assert self.headers["content-type"] == "application/json"
        (error,) = self.json.values()
        assert set(error) == {"message", "type", "param", "code"}
        assert isinstance(error["message"], str)
        assert isinstance(error["type"], str)
        return error


@dataclass(frozen=True)
class Served:
    """A running server."""

    gateway: Gateway
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self, key: str = "none") -> OpenAI:
        """The unmodified client, without its retries."""
        return OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=120)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())
        finally:
            connection.close()

    def post(self, body: object, **headers: str) -> Reply:
        """A chat request; `body` is JSON, or the bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} | headers
        return self.call("POST", "/v1/chat/completions", data, given)

    def metric(self, line: str) -> float:
        """The value of a line of /metrics, 0 where it is not there."""
        text = self.call("GET", "/metrics").body.decode()
        found = [row for row in text.splitlines() if row.startswith(f"{line} ")]
        return float(found[0].split()[-1]) if found else 0.0


@contextmanager
def served(
    *engines: Engine | Backend,
    name: str = "m",
    keys: Keys | Sequence[str] = (),
    fetcher: Fetcher | None = None,
    retries: int = 0,
    check_seconds: float = 0.1,
    **options: Any,
) -> Generator[Served]:
    """A server of these engines; an OpenAIEngine among them is looked up as upstreams are."""
    backends = [engine if isinstance(engine, Backend) else backend(engine) for engine in engines]
    pool = Pool(backends, retries=retries, check_seconds=check_seconds)
    gateway = Gateway(pool, name, ServeOptions.model_validate(options), fetcher=fetcher)
    listener = listen("127.0.0.1", 0)
    config = server_config(create_app(gateway, keys), gateway.options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Served(gateway, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive()


def backend(engine: Engine) -> Backend:
    check = engine.look_up if isinstance(engine, OpenAIEngine) else None
    return Backend(engine.about.model, engine, check)


def upstream(url: str, **options: Any) -> Backend:
    """A backend on a server, as `visionthink serve --upstream` makes it."""
    engine = OpenAIEngine(url, "qwen2.5-vl", **{"max_retries": 0, "timeout": 10.0} | options)
    return Backend(url, engine, engine.look_up)


# Requests


def png(width: int = 168, height: int = 168, colour: object = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")  # pyright: ignore[reportArgumentType] -- any colour
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def image_part(data: bytes | str) -> dict[str, Any]:
    """A part of a message with an image: its bytes, or a URL."""
    url = data if isinstance(data, str) else data_url(data)
    return {"type": "image_url", "image_url": {"url": url}}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


RED = image_part(png())


def user(*parts: dict[str, Any] | str) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [text_part(part) if isinstance(part, str) else part for part in parts],
    }


QUESTION = user("What colour?", RED)


def request(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [*messages] or [QUESTION], **fields}
