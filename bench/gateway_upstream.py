"""An upstream that answers at once, so that only the server's own time counts; prints its port."""

from __future__ import annotations

import asyncio
import json
import re

from visionthink.core.protocol import direct_reply

MODEL = "instant"
USAGE = {
    "prompt_tokens": 1,
    "completion_tokens": 1,
    "prompt_tokens_details": {"cached_tokens": 0},
}
MESSAGE = {"role": "assistant", "content": direct_reply("Clear.", "red")}
REPLY = {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}], "usage": USAGE}
MODELS = {"data": [{"id": MODEL}]}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            body = json.dumps(MODELS if head.startswith(b"GET") else REPLY).encode()
            kind = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            writer.write(b"HTTP/1.1 200 OK\r\n" + kind + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
