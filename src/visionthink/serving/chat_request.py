"""A chat request: its fields, its images, and the example that its messages make.

Fields are used, ignored, or refused by name; images are counted, then opened within limits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import from_json

from visionthink.core.errors import ImageError
from visionthink.core.image_files import ImageFile
from visionthink.core.images import MAX_ASPECT, Limits, Picture, check_image
from visionthink.core.types import Example, LookMode, Message, Part, Role, conversation_example
from visionthink.serving.api_error import ApiError
from visionthink.serving.json_bounds import json_problem
from visionthink.serving.serve_options import ServeLimits

IGNORED = frozenset(
    (
        *("metadata", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort"),
        *("safety_identifier", "service_tier", "store", "user", "verbosity", "parallel_tool_calls"),
    )
)
"""OpenAI's fields that control its own service, or are hints to the model."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
}
"""OpenAI's fields that are refused unless they ask for the default behaviour."""

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
TopP = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
TokenCount = Annotated[int, Field(ge=1, le=10_000_000)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Stop = Annotated[str, Field(min_length=1, max_length=500)]


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Strict(_Wire):
    model_config = ConfigDict(extra="forbid")


class ImageUrl(_Wire):
    """The URL of an image; `detail` is ignored, the look decides."""

    url: str


class ImagePart(_Wire):
    """An image in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class TextPart(_Wire):
    """A piece of text in a message."""

    type: Literal["text"]
    text: str


ContentPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]

Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[ContentPart], Field(fail_fast=True), Tag("parts")],
    Discriminator(lambda content: "parts" if isinstance(content, list) else "text"),
]


class ChatMessage(_Wire):
    """One message; fields of OpenAI's replies (`refusal`, …) are ignored."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content

    @property
    def parts(self) -> Sequence[TextPart | ImagePart]:
        content = self.content
        return [TextPart(type="text", text=content)] if isinstance(content, str) else content


class StreamOptions(_Wire):
    """What a stream contains beside the answer."""

    include_usage: bool = False


class Wishes(_Strict):
    """The field `visionthink`, which overrides what the model's name says.

    `views` asks for the pictures of the looks, and in a stream for an event at each turn.
    """

    look: LookMode | None = None
    trace: bool | None = None
    views: bool = False


class ChatRequest(_Strict):
    """The fields that are used."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000, fail_fast=True)]
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: TopP = 1.0
    seed: Seed | None = None
    stop: Annotated[list[Stop], Field(max_length=4)] = []
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    visionthink: Wishes = Wishes()


def read_object(body: bytes, limits: ServeLimits) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        ApiError: 400; it is not one.
    """
    if problem := json_problem(body, limits.characters):
        raise ApiError(400, f"the request is too large: {problem}", code="request_too_large")
    try:
        given = from_json(body)
    except ValueError as error:
        raise ApiError(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(given, dict):
        raise ApiError(400, f"the body must be a JSON object; got {_kind(given)}")
    return given


def read_request(given: Mapping[str, Any]) -> ChatRequest:
    """The chat request in a JSON object.

    Raises:
        ApiError: 400; it is no chat request, or asks for something unsupported.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    _check_support(fields)
    if isinstance(fields.get("stop"), str):
        fields["stop"] = [fields["stop"]]
    for name in (*IGNORED, *NEUTRAL):
        fields.pop(name, None)
    try:
        return ChatRequest.model_validate(fields)
    except ValidationError as error:
        raise _validation_error(error) from None


def _check_support(fields: Mapping[str, Any]) -> None:
    """Refuse unknown fields, and fields that ask for something unsupported, all of them by name."""
    known = {*ChatRequest.model_fields, *IGNORED, *NEUTRAL}
    if unknown := [name for name in fields if name not in known]:
        shown = ", ".join(repr(name[:60]) for name in unknown[:10])
        param = unknown[0][:60]
        raise ApiError(400, f"unknown fields: {shown}", param=param, code="unknown_parameter")
    unsupported = [
        name
        for name, neutral in NEUTRAL.items()
        if name in fields and not any(_same(fields[name], value) for value in neutral)
    ]
    if unsupported:
        raise ApiError(
            400,
            f"not supported here: {', '.join(unsupported)}; leave the field out"
            + (" (one answer a request)" if "n" in unsupported else ""),
            param=unsupported[0],
            code="unsupported_parameter",
        )


def _same(given: Any, neutral: Any) -> bool:
    return given == neutral and isinstance(given, bool) == isinstance(neutral, bool)


def _validation_error(error: ValidationError) -> ApiError:
    """The first thing that is wrong, under the name that OpenAI uses for it."""
    first = error.errors(include_url=False)[0]
    # messages, 0, content, (tag of the union), 1, (tag of the union), image_url, url
    path = [part for place, part in enumerate(first["loc"]) if place not in (3, 5)]
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    if first["type"] == "missing" and first["loc"] in (("model",), ("messages",)):
        return ApiError(400, f"the field {param!r} is missing", param=param)
    said = first["msg"][:1].lower() + first["msg"][1:]
    given = first["input"]
    got = f"; got {given!r}" if isinstance(given, int | float) else f"; got {_kind(given)}"
    if first["type"] in ("missing", "extra_forbidden"):
        got = ""
    return ApiError(400, f"{param}: {said}{got}"[:500], param=param)


def _kind(value: Any) -> str:
    """The JSON type of a value; never the value, which may be an image or a question."""
    return {list: "an array", dict: "an object", str: "a string", type(None): "null"}.get(
        type(value), "a number or boolean"
    )


@dataclass(frozen=True)
class ImageSource:
    """An image in a request: its place, and its URL."""

    param: str
    url: str

    def error(self, message: str, code: str = "invalid_image_url") -> ApiError:
        return ApiError(400, message, param=self.param, code=code)


def images_in(messages: Sequence[ChatMessage], limits: ServeLimits) -> list[ImageSource]:
    """The images of a request, in order.

    Raises:
        ApiError: 400; there are too many, or there is too much text.
    """
    sources: list[ImageSource] = []
    characters = 0
    for number, message in enumerate(messages):
        for index, part in enumerate(message.parts):
            if isinstance(part, TextPart):
                characters += len(part.text)
            else:
                param = f"messages[{number}].content[{index}].image_url"
                sources.append(ImageSource(param, part.image_url.url))
    if len(sources) > limits.images:
        raise ApiError(
            400,
            f"the request has {len(sources)} images; at most {limits.images} are allowed",
            param=sources[limits.images].param,
            code="too_many_images",
        )
    if characters > limits.characters:
        raise ApiError(
            400,
            f"the request has {characters:,} characters of text; "
            f"at most {limits.characters:,} are allowed",
            param="messages",
            code="text_too_long",
        )
    return sources


def is_remote(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))


def check_images(
    sources: Sequence[ImageSource], fetched: Mapping[str, bytes], limits: ServeLimits
) -> dict[str, ImageFile]:
    """URL → image, of which only the header is read, however often the request repeats it. Blocks.

    Raises:
        ApiError: 400; an image is not one or too large, or all of them together are.
    """
    files: dict[str, ImageFile] = {}
    pixels = limits.pixels
    for source in sources:
        if source.url in files:
            continue
        data = fetched[source.url] if source.url in fetched else _data(source)
        try:
            allowed = Limits(limits.image_bytes, max(pixels, 1), MAX_ASPECT)
            file = check_image(data, allowed)
        except ImageError as error:
            raise source.error(str(error), "invalid_image") from error
        pixels -= file.header.pixels
        files[source.url] = file
    return files


def open_images(
    sources: Sequence[ImageSource],
    files: Mapping[str, ImageFile],
    decode: Callable[[ImageFile], Picture],
) -> dict[str, Picture]:
    """URL → image, each decoded once. Blocks.

    Raises:
        ApiError: 400; an image is damaged.
    """
    pictures: dict[str, Picture] = {}
    for source in sources:
        if source.url not in pictures:
            try:
                pictures[source.url] = decode(files[source.url])
            except ImageError as error:
                raise source.error(str(error), "invalid_image") from error
    return pictures


def _data(source: ImageSource) -> bytes:
    """The bytes in a data URL; no other URL is opened, so a request cannot name a file."""
    head, comma, text = source.url.partition(",")
    if head[:5].lower() != "data:" or not comma:
        message = "an image must be a data URL, like data:image/png;base64,iVBORw0KGgo…"
        raise source.error(message)
    kind, *flags = head[5:].lower().split(";")
    if not kind.strip().startswith("image/") or "base64" not in [flag.strip() for flag in flags]:
        raise source.error("a data URL of an image must start with data:image/…;base64,")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise source.error("the data URL does not hold valid base64") from None


def to_example(messages: Sequence[ChatMessage], pictures: Mapping[str, Picture]) -> Example:
    """The example that asks the last message; neighbours with the same role become one message.

    Raises:
        ApiError: 400; the last message is not the user's, or has no text.
    """
    turns: list[Message] = []
    for message in messages:
        role: Role = "system" if message.role == "developer" else message.role
        parts = tuple(
            part.text if isinstance(part, TextPart) else pictures[part.image_url.url]
            for part in message.parts
        )
        if turns and turns[-1].role == role:
            turns[-1] = Message(role, _joined(turns[-1].parts, parts))
        else:
            turns.append(Message(role, parts))
    last = f"messages[{len(messages) - 1}]"
    if turns[-1].role != "user":
        message = "the last message must be the user's question"
        raise ApiError(400, message, param=f"{last}.role")
    if not turns[-1].text.strip():
        message = "the last message has no text; ask something about the image"
        raise ApiError(400, message, param=f"{last}.content")
    return conversation_example(turns)


def _joined(first: tuple[Part, ...], second: tuple[Part, ...]) -> tuple[Part, ...]:
    """Both, with a blank line between texts that would touch."""
    touch = first and second and isinstance(first[-1], str) and isinstance(second[0], str)
    return (*first, *(("\n\n",) if touch else ()), *second)


def cache_key(example: Example) -> bytes:
    """Stands for the conversation in the choice of an upstream: its first image or text. Blocks."""
    if example.images:
        data, _ = example.images[0].encoded()
    else:
        data = example.conversation[0].text.encode()
    return hashlib.blake2b(data, digest_size=16).digest()
