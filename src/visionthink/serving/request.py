"""The body of a chat request: which fields count, which are ignored, which are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)
from pydantic_core import from_json

from visionthink.core.types import LookMode
from visionthink.serving.refusal import Refusal

IGNORED = frozenset(
    (
        *("metadata", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort"),
        *("safety_identifier", "service_tier", "store", "user", "verbosity", "parallel_tool_calls"),
    )
)
"""Fields of OpenAI's that steer its own service or only advise the model."""

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
"""Fields of OpenAI's that are refused unless they ask for what happens anyway."""

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Stop = Annotated[str, Field(min_length=1, max_length=500)]


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Strict(_Wire):
    model_config = ConfigDict(extra="forbid")


class ImageUrl(_Wire):
    """Where an image is; `detail` is ignored, the look decides."""

    url: str


class ImagePart(_Wire):
    """An image in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class TextPart(_Wire):
    """A piece of text in a message."""

    type: Literal["text"]
    text: str


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]

Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[Part], Tag("parts")],
    Discriminator(lambda content: "parts" if isinstance(content, list) else "text"),
]


class ChatMessage(_Wire):
    """One message; fields that OpenAI sends back to clients (`refusal`, …) are ignored."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class StreamOptions(_Wire):
    """What a stream brings beside the answer."""

    include_usage: bool = False


class Wishes(_Strict):
    """The field `visionthink`, which wins over what the model's name says.

    `views` wants the first looks back as the model gets them, and in a stream each turn announced.
    """

    look: LookMode | None = None
    trace: bool | None = None
    views: bool = False


class ChatRequest(_Strict):
    """The fields that count."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: Share = 1.0
    seed: Seed | None = None
    stop: Annotated[list[Stop], Field(max_length=4)] = []
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    visionthink: Wishes = Wishes()


def read_request(body: bytes) -> ChatRequest:
    """The request in `body`.

    Raises:
        Refusal: 400; it is not JSON, not a request, or asks for something that is not done here.
    """
    try:
        given = from_json(body)
    except ValueError as error:
        raise Refusal(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(given, dict):
        raise Refusal(400, f"the body must be a JSON object; got {_kind(given)}")
    fields = {name: value for name, value in given.items() if value is not None}
    _check_support(fields)
    if isinstance(fields.get("stop"), str):
        fields["stop"] = [fields["stop"]]
    for name in (*IGNORED, *NEUTRAL):
        fields.pop(name, None)
    try:
        return ChatRequest.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from None


def _check_support(fields: Mapping[str, Any]) -> None:
    """Refuse unknown fields, and known ones that ask for what is not done, all of them by name."""
    known = {*ChatRequest.model_fields, *IGNORED, *NEUTRAL}
    if unknown := [name for name in fields if name not in known]:
        shown = ", ".join(repr(name[:60]) for name in unknown[:10])
        param = unknown[0][:60]
        raise Refusal(400, f"unknown fields: {shown}", param=param, code="unknown_parameter")
    unsupported = [
        name
        for name, neutral in NEUTRAL.items()
        if name in fields and not any(_same(fields[name], value) for value in neutral)
    ]
    if unsupported:
        raise Refusal(
            400,
            f"not supported here: {', '.join(unsupported)}; leave the field out"
            + (" (one answer a request)" if "n" in unsupported else ""),
            param=unsupported[0],
            code="unsupported_parameter",
        )


def _same(given: Any, neutral: Any) -> bool:
    return given == neutral and isinstance(given, bool) == isinstance(neutral, bool)


def _refusal(error: ValidationError) -> Refusal:
    """The first thing that is wrong, under the name that OpenAI gives it."""
    first = error.errors(include_url=False)[0]
    # messages, 0, content, (tag of the union), 1, (tag of the union), image_url, url
    path = [part for place, part in enumerate(first["loc"]) if place not in (3, 5)]
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    if first["type"] == "missing" and first["loc"] in (("model",), ("messages",)):
        return Refusal(400, f"the field {param!r} is missing", param=param)
    said = first["msg"][:1].lower() + first["msg"][1:]
    given = first["input"]
    got = f"; got {given!r}" if isinstance(given, int | float) else f"; got {_kind(given)}"
    if first["type"] in ("missing", "extra_forbidden"):
        got = ""
    return Refusal(400, f"{param}: {said}{got}"[:500], param=param)


def _kind(value: Any) -> str:
    """What kind of JSON a value is; never the value, which may be an image or a question."""
    return {list: "an array", dict: "an object", str: "a string", type(None): "null"}.get(
        type(value), "a number or boolean"
    )
