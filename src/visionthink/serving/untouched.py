"""Which chat requests are not ours to change, and what of them an upstream gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_json

OTHER_APIS = ("input_text", "input_image", "output_text")
KINDS = ("image_url", *OTHER_APIS)
OURS = "visionthink"
"""The field of a request that is for this server only."""


def parts_in(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parts of all messages that have parts, whatever else the request holds."""
    messages = given.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict):
                yield part


def has_image(given: Mapping[str, Any]) -> bool:
    """Whether a message has an image, or a part of another API, which gets an error."""
    return any(
        isinstance(part.get("image_url"), dict) or str(part.get("type", "")).startswith(KINDS)
        for part in parts_in(given)
    )


def untouched(body: bytes, given: Mapping[str, Any], model: str | None) -> bytes:
    """The client's request for an upstream that calls the model `model`; None: as the client does.

    It is the client's bytes, unless the name differs there or the request has a field for us: then
    it is the same JSON with that name and without that field.
    """
    renamed = model is not None and given.get("model") != model
    if not renamed and OURS not in given:
        return body
    kept = {name: value for name, value in given.items() if name != OURS}
    return to_json(kept | ({"model": model} if renamed else {}))


def conversation_key(given: Mapping[str, Any]) -> bytes:
    """Stands for a conversation without images when an upstream is chosen: its first message."""
    messages = given.get("messages")
    first = messages[:1] if isinstance(messages, list) else []
    return hashlib.blake2b(to_json(first), digest_size=16).digest()
