"""A chat request: its fields, its images, and the example that its messages make.

Fields are given a meaning or forwarded; images are counted, then opened within limits.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import from_json

from visionthink.core.errors import ImageError
from visionthink.core.image_files import ImageFile
from visionthink.core.images import MAX_ASPECT, Limits, Picture, check_image
from visionthink.core.types import (
    Delivered,
    Example,
    LookMode,
    Message,
    Part,
    conversation_example,
)
from visionthink.serving.api_error import ApiError
from visionthink.serving.delivered import (
    DeliveredLooks,
    Hash,
    add_message,
    called,
    conversation_hash,
)
from visionthink.serving.json_bounds import json_problem
from visionthink.serving.known_fields import IGNORED_HERE, KNOWN, MEANT
from visionthink.serving.serve_options import ServeLimits
from visionthink.serving.untouched import OTHER_APIS

NEUTRAL: dict[str, tuple[Any, ...]] = {
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
"""OpenAI's fields that a model in this process takes only where they ask for the default."""

SAMPLED = ("temperature", "top_p", "seed")
"""Fields that a model in this process has too."""

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
    """The URL of an image, and which look at it the client asks for."""

    url: str
    detail: str | None = None

    @property
    def look(self) -> LookMode | None:
        """None: the client leaves it to the server."""
        looks: dict[str | None, LookMode] = {"low": "low", "high": "high", "original": "high"}
        return looks.get(self.detail)


class ImagePart(_Wire):
    """An image in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class TextPart(_Wire):
    """A piece of text in a message."""

    type: Literal["text"]
    text: str


class RefusalPart(_Wire):
    """What a model said instead of an answer, in an assistant message."""

    type: Literal["refusal"]
    refusal: str


ContentPart = Annotated[TextPart | RefusalPart | ImagePart, Field(discriminator="type")]

Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[ContentPart], Field(fail_fast=True), Tag("parts")],
    Discriminator(lambda content: "parts" if isinstance(content, list) else "text"),
]


class ChatMessage(_Wire):
    """One message; its other fields are kept as they came."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None

    @property
    def parts(self) -> Sequence[TextPart | RefusalPart | ImagePart]:
        content = self.content
        if isinstance(content, str):
            return [TextPart(type="text", text=content)]
        return content or ()

    @property
    def more(self) -> dict[str, Any]:
        """Its further fields, without empty ones and the thoughts of earlier replies."""
        given = {name: value for name, value in (self.model_extra or {}).items() if value}
        return {name: value for name, value in given.items() if name not in THOUGHTS}


THOUGHTS = ("reasoning", "reasoning_content", "visionthink")


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
    """The fields that are given a meaning here; those in `forwarded` go into each turn as they are.

    Attributes:
        n: how many episodes answer the request.
    """

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000, fail_fast=True)]
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    n: Annotated[int, Field(ge=1, le=128)] = 1
    stop: Annotated[list[Stop], Field(max_length=16)] = []
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    visionthink: Wishes = Wishes()
    forwarded: dict[str, Any] = {}

    @property
    def unknown(self) -> list[str]:
        """Names of forwarded fields that no server is known to have, for the log."""
        return [name[:60] for name in self.forwarded if name not in KNOWN][:20]


class LocalSampling(_Strict):
    """How a model in this process draws its replies."""

    temperature: Temperature | None = None
    top_p: TopP = 1.0
    seed: Seed | None = None


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


def read_request(given: Mapping[str, Any], *, local: bool) -> ChatRequest:
    """The chat request in a JSON object, for a model in this process or for an upstream.

    Raises:
        ApiError: 400; it is no chat request, or asks for something unsupported.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    if local:
        _check_support(fields)
    if isinstance(fields.get("stop"), str):
        fields["stop"] = [fields["stop"]]
    ours = {name: value for name, value in fields.items() if name in MEANT}
    ours["forwarded"] = {name: value for name, value in fields.items() if name not in MEANT}
    try:
        if local:
            LocalSampling.model_validate({n: v for n, v in fields.items() if n in SAMPLED})
        return ChatRequest.model_validate(ours)
    except ValidationError as error:
        raise _validation_error(error) from None


def _check_support(fields: Mapping[str, Any]) -> None:
    """Refuse fields that a model in this process does not have, all of them by name."""
    known = {*MEANT, *SAMPLED, *IGNORED_HERE, *NEUTRAL}
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
            f"not supported here: {', '.join(unsupported)}; leave the field out",
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
    kind = first["input"].get("type") if isinstance(first["input"], dict) else None
    if isinstance(kind, str) and kind in OTHER_APIS:
        said = (
            f"parts of type {kind[:30]!r} are those of other APIs; "
            "use {'type': 'text', 'text': …} and {'type': 'image_url', 'image_url': {'url': …}}"
        )
        return ApiError(400, f"{param}: {said}", param=param)
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


Pictures = Mapping[tuple[str, LookMode | None], Picture]
"""Images by their URL and the look that the client asks for."""


@dataclass(frozen=True)
class ImageSource:
    """An image in a request: its place, and its URL."""

    param: str
    url: str
    look: LookMode | None = None

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
            if not isinstance(part, ImagePart):
                characters += len(_text(part))
            else:
                param = f"messages[{number}].content[{index}].image_url"
                sources.append(ImageSource(param, part.image_url.url, part.image_url.look))
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


def _text(part: TextPart | RefusalPart) -> str:
    return part.text if isinstance(part, TextPart) else part.refusal


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
        return from_base64(text)
    except ValueError:
        raise source.error("the data URL does not hold valid base64") from None


def from_base64(text: str) -> bytes:
    """The bytes, also of base64 in lines, without padding, URL-safe, or escaped for a URL.

    Raises:
        ValueError: it is not base64.
    """
    data = text.encode("ascii")
    with suppress(binascii.Error):
        return _strictly(data)
    for escaped, plain in ESCAPED.items():
        data = data.replace(escaped, plain)
    data = data.translate(STANDARD, WHITE).rstrip(b"=")
    return _strictly(data + b"=" * (-len(data) % 4))


def _strictly(data: bytes) -> bytes:
    """In steps, between which other threads run."""
    if 0 <= data.find(b"=") < len(data) - 2:
        raise binascii.Error("padding in the middle")
    steps = range(0, len(data), BASE64_STEP)
    return b"".join(
        binascii.a2b_base64(data[at : at + BASE64_STEP], strict_mode=True) for at in steps
    )


BASE64_STEP = 2**20
STANDARD = bytes.maketrans(b"-_", b"+/")
WHITE = b" \t\r\n\v\f"
ESCAPED = {
    b"%" + code: bytes.fromhex(code.decode())
    for code in (*(b"2B", b"2b", b"2F", b"2f", b"3D", b"3d"), *(b"0A", b"0a", b"0D", b"0d", b"20"))
}
"""What stands for characters of base64, and for the ends of its lines, in a URL."""


def by_detail(sources: Sequence[ImageSource], opened: Mapping[str, Picture]) -> Pictures:
    """The images, with one of its own for each look that is asked for at the same image."""
    pictures: dict[tuple[str, LookMode | None], Picture] = {}
    used: set[str] = set()
    for source in sources:
        if (key := (source.url, source.look)) not in pictures:
            picture = opened[source.url]
            pictures[key] = replace(picture) if source.url in used else picture
            used.add(source.url)
    return pictures


def to_example(
    messages: Sequence[ChatMessage],
    pictures: Pictures,
    *,
    local: bool = False,
    key: Hash | None = None,
    earlier: DeliveredLooks | None = None,
) -> Example:
    """The example that asks the last message; neighbours with the same role become one message.

    A model in this process takes no tools, and knows no names. `key` becomes that of the
    conversation; what `earlier` requests of it were shown stands in its place.

    Raises:
        ApiError: 400; a message is empty that must not be, or nothing is asked.
    """
    key = key or conversation_hash()
    turns: list[Message] = []
    delivered: list[Delivered] = []
    for number, message in enumerate(messages):
        if message.content is None and message.role in ("system", "developer", "user"):
            param = f"messages[{number}].content"
            raise ApiError(400, f"{param}: field required", param=param)
        turn = _turn(message, pictures)
        if local:
            turn = _without_tools(turn, number)
        _add_to(key, message, turn)
        if turn.role == "assistant" and earlier is not None:
            images = [picture for each in turns if not each.verbatim for picture in each.images]
            said, looks = earlier.find(key.digest(), images)
            delivered += looks
            if said:
                turns += said
                continue
        before = turns[-1] if turns else None
        plain = turn.role != "tool" and not turn.extra and before and not before.extra
        if plain and before and before.role == turn.role and not before.verbatim:
            turns[-1] = Message(turn.role, _joined(before.parts, turn.parts))
        else:
            turns.append(turn)
    last = f"messages[{len(messages) - 1}]"
    if turns[-1].role not in ("user", "tool"):
        message = "the last message must be the user's question, or what a tool returned"
        raise ApiError(400, message, param=f"{last}.role")
    if not any(turn.text.strip() for turn in turns):
        message = "no message has text; ask something about the image"
        raise ApiError(400, message, param=f"{last}.content")
    asked = [turn.text for turn in turns if turn.role == "user" and not turn.verbatim]
    example = conversation_example(turns, delivered)
    return replace(example, question=asked[-1] if asked else "")


def _add_to(key: Hash, message: ChatMessage, turn: Message) -> None:
    """Make the key that of the conversation up to this message.

    System messages are left out, as many clients put the time into them. An image is what its URL
    says, and its size.
    """
    if turn.role == "system" and not turn.images:
        return
    if turn.role == "assistant" and not turn.images:
        calls = turn.extra.get("tool_calls")
        add_message(key, "assistant", turn.text, *called(calls if isinstance(calls, list) else []))
        return
    for part, shown in zip(message.parts, turn.parts, strict=False):
        if isinstance(part, ImagePart) and isinstance(shown, Picture):
            add_message(
                key, turn.role, part.image_url.url, repr(shown.size), part.image_url.detail or ""
            )
        elif isinstance(shown, str):
            add_message(key, turn.role, shown)


def _turn(message: ChatMessage, pictures: Pictures) -> Message:
    """A message as an episode has it; what only a server understands is in its extra fields."""
    parts = tuple(
        pictures[part.image_url.url, part.image_url.look]
        if isinstance(part, ImagePart)
        else _text(part)
        for part in message.parts
    )
    match message.role:
        case "system" | "developer":
            return Message("system", parts)
        case "user":
            return Message("user", parts, extra=message.more)
        case "tool" | "function":
            named = {"role": "function"} if message.role == "function" else {}
            return Message("tool", parts, extra={**named, **message.more})
        case "assistant":
            more = {name: message.more[name] for name in CALLS if name in message.more}
            if more and message.content is None:
                more["content"] = None
            if not (parts or more) and isinstance(said := message.more.get("refusal"), str):
                parts = (said,)
            return Message("assistant", parts, extra=more)


CALLS = ("tool_calls", "function_call")


def _without_tools(turn: Message, number: int) -> Message:
    if turn.role == "tool" or (turn.role == "assistant" and turn.extra):
        message = "a model in this process takes no tools; leave this message out"
        raise ApiError(400, message, param=f"messages[{number}]", code="unsupported_parameter")
    return replace(turn, extra={})


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
