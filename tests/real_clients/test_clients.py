"""Unmodified clients ask, stream, get JSON and get a tool call through the gateway.

Each program in `programs/` does the four with its own client, and prints what it got.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from real_clients.conftest import Setting

pytestmark = pytest.mark.clients

CLIENTS = (
    "openai_python.py",
    "openai_node.mjs",
    "litellm_client.py",
    "langchain_client.py",
    "instructor_client.py",
    "llm_client.py",
)
EXPECTED = {
    "ask": "It is red.",
    "stream": "It is red.",
    "json": {"colour": "red"},
    "tool": {"colour": "red"},
}


def sizes(body: dict[str, Any]) -> list[tuple[int, int]]:
    """Sizes of the images in a request."""
    contents = [each["content"] for each in body["messages"] if isinstance(each["content"], list)]
    urls = [part["image_url"]["url"] for parts in contents for part in parts if "image_url" in part]
    found: list[tuple[int, int]] = []
    for url in urls:
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
            found.append(image.size)
    return found


@pytest.mark.parametrize("program", CLIENTS)
def test_a_client_asks_streams_and_gets_json_and_a_tool_call(setting: Setting, program: str):
    """Its pictures are seen at half width and height, where a request could be made."""
    before = len(setting.upstream.chats)
    assert setting.run(program) == EXPECTED
    asked = [seen.body for seen in setting.upstream.chats[before:]]
    assert len(asked) >= 4
    small = [body for body in asked if sizes(body) == [(256, 256)]]
    untouched = [body for body in asked if sizes(body) == [(512, 512)]]
    assert len(small) >= 3
    assert len(small) + len(untouched) == len(asked)
