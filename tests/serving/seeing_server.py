"""An upstream that looks: its answer is the colour and size of the image that it got.

`python seeing_server.py` prints its port. The colour is that of the top left corner, which halving
does not change. Where that is an odd number the original is requested first; the second turn's
images must be of one colour. Every fiftieth colour is turned away with 503 when it comes first.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
from typing import Any

import uvicorn
from PIL import Image

from visionthink.core.protocol import direct_reply, request_reply

MODEL = "seeing"
FAILS_EVERY = 50
THINKS = 0.02
"""Seconds that it takes over each reply."""

_failed: set[str] = set()


def seen(url: str) -> tuple[str, tuple[int, int]]:
    """Colour and size of the image in a data URL."""
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return "#" + bytes(image.convert("RGB").getpixel((2, 2))).hex(), image.size  # pyright: ignore[reportArgumentType] -- three channels


def reply_to(body: dict[str, Any]) -> str | None:
    """None: it fails."""
    parts = [m["content"] for m in body["messages"] if isinstance(m["content"], list)]
    urls = [p["image_url"]["url"] for message in parts for p in message if "image_url" in p]
    looks = [seen(url) for url in urls]
    colour, (width, height) = looks[-1]
    number = int(colour[1:], 16)
    if number % FAILS_EVERY == 0 and colour not in _failed:
        _failed.add(colour)
        return None
    if len({colour for colour, _ in looks}) > 1:
        return direct_reply("", "crossed")
    if len(looks) == 1 and number % 2:
        return request_reply("small")
    return direct_reply("", f"{colour} {width}x{height}")


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "GET":
        await respond(send, 200, {"data": [{"id": MODEL}]})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await asyncio.sleep(THINKS)
    text = reply_to(json.loads(body))
    if text is None:
        await respond(send, 503, {"error": {"message": "busy"}})
        return
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    await respond(send, 200, {"choices": choices, "usage": usage})


async def respond(send: Any, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])
