"""From a request's messages to the example of an episode; images are opened here."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visionthink.core.errors import ImageError
from visionthink.core.images import MAX_ASPECT, Picture, open_picture
from visionthink.core.images import Limits as ImageLimits
from visionthink.core.types import Example, Message, Part, Role, conversation_example
from visionthink.serving.options import Limits
from visionthink.serving.refusal import Refusal
from visionthink.serving.request import ChatMessage, ImagePart, TextPart

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


@dataclass(frozen=True)
class Place:
    """An image in a request: where it stands, and its URL."""

    param: str
    url: str


def images_in(messages: Sequence[ChatMessage], limits: Limits) -> list[Place]:
    """The images of a request, in order.

    Raises:
        Refusal: 400; there are too many, or there is too much text.
    """
    places: list[Place] = []
    characters = 0
    for number, message in enumerate(messages):
        parts = [] if isinstance(message.content, str) else message.content
        characters += len(message.content) if isinstance(message.content, str) else 0
        for index, part in enumerate(parts):
            match part:
                case ImagePart():
                    param = f"messages[{number}].content[{index}].image_url"
                    places.append(Place(param, part.image_url.url))
                case TextPart():
                    characters += len(part.text)
    if len(places) > limits.images:
        raise Refusal(
            400,
            f"the request has {len(places)} images; at most {limits.images} are taken",
            param=places[limits.images].param,
            code="too_many_images",
        )
    if characters > limits.characters:
        raise Refusal(
            400,
            f"the request has {characters:,} characters of text; "
            f"at most {limits.characters:,} are taken",
            param="messages",
            code="text_too_long",
        )
    return places


def is_remote(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))


def open_images(
    places: Sequence[Place], fetched: Mapping[str, bytes], limits: Limits
) -> dict[str, Picture]:
    """URL → image, each decoded once however often it stands in the request. Blocks.

    Raises:
        Refusal: 400; an image is none, or too large, or all of them together are.
    """
    pictures: dict[str, Picture] = {}
    pixels = limits.pixels
    for place in places:
        if place.url in pictures:
            continue
        data = fetched[place.url] if place.url in fetched else _data(place)
        try:
            allowed = ImageLimits(limits.image_bytes, max(pixels, 1), MAX_ASPECT)
            picture = open_picture(data, allowed)
        except ImageError as error:
            raise Refusal(400, str(error), param=place.param, code="invalid_image") from error
        pixels -= picture.size[0] * picture.size[1]
        pictures[place.url] = picture
    return pictures


def _data(place: Place) -> bytes:
    """The bytes in a data URL; a request names no files, and this reads none."""
    head, comma, text = place.url.partition(",")
    if head[:5].lower() != "data:" or not comma:
        message = "an image must be a data URL, like data:image/png;base64,iVBORw0KGgo…"
        raise Refusal(400, message, param=place.param, code="invalid_image_url")
    kind, *flags = head[5:].lower().split(";")
    if not kind.strip().startswith("image/") or "base64" not in [flag.strip() for flag in flags]:
        message = "a data URL of an image must start with data:image/…;base64,"
        raise Refusal(400, message, param=place.param, code="invalid_image_url")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        message = "the data URL holds no valid base64"
        raise Refusal(400, message, param=place.param, code="invalid_image_url") from None


def to_example(messages: Sequence[ChatMessage], pictures: Mapping[str, Picture]) -> Example:
    """The example that asks the last message; neighbours of one role become one message.

    Raises:
        Refusal: 400; the last message is not the user's, or asks nothing.
    """
    said: list[Message] = []
    for message in messages:
        role, parts = ROLES[message.role], _parts(message, pictures)
        if said and said[-1].role == role:
            said[-1] = Message(role, _apart(said[-1].parts, parts))
        else:
            said.append(Message(role, parts))
    last = f"messages[{len(messages) - 1}]"
    if said[-1].role != "user":
        message = "the last message must be the user's question"
        raise Refusal(400, message, param=f"{last}.role")
    if not said[-1].text.strip():
        message = "the last message has no text; ask something about the image"
        raise Refusal(400, message, param=f"{last}.content")
    return conversation_example(said)


def _parts(message: ChatMessage, pictures: Mapping[str, Picture]) -> tuple[Part, ...]:
    if isinstance(message.content, str):
        return (message.content,)
    return tuple(
        part.text if isinstance(part, TextPart) else pictures[part.image_url.url]
        for part in message.content
    )


def _apart(first: tuple[Part, ...], second: tuple[Part, ...]) -> tuple[Part, ...]:
    """Both, with a blank line between texts that would touch."""
    touch = first and second and isinstance(first[-1], str) and isinstance(second[0], str)
    return (*first, *(("\n\n",) if touch else ()), *second)


def cache_key(example: Example) -> bytes:
    """What an upstream's cache knows the conversation by: its first image, or text. Blocks."""
    if example.images:
        data, _ = example.images[0].encoded()
    else:
        data = example.conversation[0].text.encode()
    return hashlib.blake2b(data, digest_size=16).digest()
