"""What OpenAI-compatible servers send back: replies, model lists and failures, read into our types.

A server may send anything. What is not a reply becomes a ServerError of one line: the server, a
short excerpt of what it sent, what to do. Excerpts contain no control characters, markup, API key
or image data.
"""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from visionthink.core.errors import Reason, ServerError
from visionthink.core.protocol import render_thought, render_tool_call
from visionthink.core.types import Call, Completion, Usage

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError

MAX_LINE = 300
"""Characters of an error message."""
MAX_EXCERPT = 160
"""Characters of it that are the server's."""
MAX_NAME = 256
"""Characters of a model's name."""
MAX_TOKENS = 10**9
"""More cannot be a count of tokens."""


@dataclass(frozen=True)
class Server:
    """A server as errors name it. `key_from` says where `key` is from; `key_env` may hold it."""

    url: str
    key: str = field(repr=False)
    key_from: str
    key_env: str = "OPENAI_API_KEY"

    def __str__(self) -> str:
        return _cut(self.url, 80)

    def excerpt(self, text: str, room: int) -> str:
        """The start of `text` in one harmless line of at most `room` characters."""
        if len(self.key) > 4:
            text = text.replace(self.key, "(key)")
        text = re.sub(r"data:[^\s,]{0,80},[A-Za-z0-9+/=_-]*|[A-Za-z0-9+/=_-]{80,}", "(data)", text)
        return _cut(text, room)

    def refused(
        self, error: APIStatusError, model: str | None, served: Sequence[str] | None
    ) -> ServerError:
        """The error for a status other than 2xx; `served` are the models, asked after a 404."""
        status = error.status_code
        what = f"{self} refused the request ({status}{_tries(error)})"
        hint = "change the request or the server's limits"
        if 300 <= status < 400:
            target = error.response.headers.get("location", "")
            target = self.excerpt(target.removesuffix("/chat/completions"), 80)
            what, hint = f"{self} redirects to {target} ({status})", "use that as the base URL"
        elif status in (401, 403):
            what = f"{self} refused the API key ({status})"
            hint = f"{self.key_from}; set {self.key_env} or pass another"
        elif status == 404 and served is None:
            what, hint = f"{self} has nothing under this path (404)", "correct the base URL"
            if not self.url.endswith("/v1"):
                hint += ": it usually ends in /v1"
        elif status == 404 and served is not None and model not in served:
            what = f"{self} has no model {_cut(repr(model), 60)} (404)"
            hint = f"it has {names(served, 90) or 'none'}"
        elif status == 429:
            what = f"{self} is at its limit ({status}{_tries(error)})"
            hint = "wait, or send fewer requests at once"
        elif status >= 500:
            what, hint = f"{self} failed ({status}{_tries(error)})", "see the server's log"
        # A refusal of a key may repeat most of it.
        said = "" if status in (401, 403) else _message(error.response.content)
        return self._error("refused", what, said, hint, status)

    def timed_out(self, error: APIConnectionError) -> ServerError:
        seconds = error.request.extensions["timeout"]["read"]
        what = f"{self} did not reply within {seconds:g} s{_tries(error, ' (', ')')}"
        return self._error("timeout", what, "", "is it overloaded? Allow a longer timeout")

    def unreachable(self, error: APIConnectionError) -> ServerError:
        """The error for a connection that could not be made, or broke."""
        causes = list(_causes(error))
        what, said, hint = f"{self} broke the connection", causes[-1], "see the server's log"
        for cause in causes:
            if isinstance(cause, socket.gaierror):
                what, hint = f"{self}: there is no such host", "correct the base URL"
            elif isinstance(cause, ConnectionRefusedError):
                what, cause = f"{self}: the connection was refused", ""
                hint = "start the server or correct the base URL"
            elif isinstance(cause, ssl.SSLError):
                what, hint = f"{self}: TLS failed", "is it http, or its certificate not trusted?"
            else:
                continue
            said = cause
            break
        plain = re.sub(r"\[Errno -?\d+\] ", "", str(said))
        return self._error("unreachable", what + _tries(error, " (", ")"), plain, hint)

    def no_reply(self, came: str, said: bytes = b"") -> ServerError:
        """The error for a success that does not hold what it should."""
        hint = "is this the base URL of an OpenAI-compatible API?"
        if not self.url.endswith("/v1"):
            hint += " It usually ends in /v1"
        return self._error("no_reply", f"{self} sent {came}", _message(said), hint)

    def cut_off(self) -> ServerError:
        """The error for a stream that ended before the reply did."""
        what = f"{self} broke off in the middle of a reply"
        return self._error("unreachable", what, "", "see the server's log")

    def failed_midway(self, body: bytes) -> ServerError:
        """The error for a stream that reports one."""
        what = f"{self} failed in the middle of a reply"
        return self._error("refused", what, _message(body), "see the server's log", 500)

    def _error(
        self, reason: Reason, what: str, said: str, hint: str, status: int | None = None
    ) -> ServerError:
        room = MAX_LINE - len(what) - len(hint) - 6
        quoted = self.excerpt(said, min(max(room, 0), MAX_EXCERPT))
        error = ServerError(f"{what}: “{quoted}”; {hint}" if quoted else f"{what}; {hint}")
        error.reason, error.status, error.said = reason, status, quoted
        return error


# Reading replies


def read_json(server: Server, body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, whatever its content type says."""
    try:
        value = json.loads(body, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        if body.lstrip()[:1] == b"<":
            raise server.no_reply("a web page instead of JSON", body) from None
        raise server.no_reply("something that is not JSON", body or b"(empty)") from None
    if not isinstance(value, dict):
        raise server.no_reply("JSON that is not an object", body)
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("JSON has no infinite numbers")
    return value


def read_models(server: Server, body: bytes) -> dict[str, str]:
    """Name → root of the models in a list of them; the root is empty where none is given."""
    data = read_json(server, body).get("data")
    if not isinstance(data, list):
        raise server.no_reply("no list of models", body)
    entries = [entry for entry in data if isinstance(entry, dict) and entry.get("id")]
    found = {str(entry["id"]): _cut(str(entry.get("root") or ""), MAX_NAME) for entry in entries}
    for name in found:
        if len(name) > MAX_NAME or not name.isprintable():
            odd = name.encode("utf-8", "replace")
            raise server.no_reply("a model whose name is too long or not printable", odd)
    return found


def read_reply(server: Server, body: bytes, seconds: float) -> Completion:
    """The first choice of a chat completion, with what parsers of the server took out of it."""
    reply = read_json(server, body)
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise server.no_reply("a reply without a choice", body)
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise server.no_reply("a choice without a message", body)
    calls = tuple(_tool_calls(server, message, body))
    rendered = [render_tool_call(call.name, call.arguments) for call in calls]
    pieces = [_thought(message), _content(message), *rendered]
    known = [piece for piece in pieces if piece is not None]
    if not known:
        raise server.no_reply("a message with neither text nor a tool call", body)
    finish = "length" if choice.get("finish_reason") == "length" else "stop"
    usage = _usage(server, reply.get("usage"), seconds)
    logprobs = choice.get("logprobs")
    return Completion(
        printable("".join(known)),
        finish,
        usage,
        calls=calls,
        logprobs=_clean(logprobs) if isinstance(logprobs, dict) else None,
    )


def _thought(message: dict[str, Any]) -> str | None:
    """The thought that a reasoning parser took out; newer vLLM sends it under both names."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    return render_thought(thought) if isinstance(thought, str) and thought else None


def _content(message: dict[str, Any]) -> str | None:
    """The text: a string, or the text parts of a list; without one, the refusal."""
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    for text in (content, message.get("refusal")):
        if isinstance(text, str):
            return text
    return None


def _tool_calls(server: Server, message: dict[str, Any], body: bytes) -> Iterator[Call]:
    """The calls that a tool parser took out."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise server.no_reply("a tool call without a function", body)
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments or {})
        known = call.get("id")
        yield Call(
            printable(known) if isinstance(known, str) else "call",
            printable(function["name"]),
            printable(arguments or "{}"),
        )


def _usage(server: Server, usage: object, seconds: float) -> Usage:
    """Counts of tokens; what is missing or no count is 0."""

    def count(of: object, name: str) -> int:
        value = of.get(name) if isinstance(of, dict) else None
        if isinstance(value, int) and value > MAX_TOKENS:
            raise server.no_reply("a usage of more than a billion tokens")
        return max(value, 0) if isinstance(value, int) else 0

    prompt = count(usage, "prompt_tokens")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    cached = min(count(details, "cached_tokens"), prompt)
    counted = details
    if isinstance(details, dict) and isinstance(by_kind := details.get("multimodal_tokens"), dict):
        counted = {"image_tokens": by_kind.get("image"), **details}  # vLLM
    known = isinstance(counted, dict) and isinstance(counted.get("image_tokens"), int)
    images = count(counted, "image_tokens") if known else None
    return Usage(prompt, count(usage, "completion_tokens"), cached, seconds, image_tokens=images)


# Text


def printable(text: str) -> str:
    """`text` without lone surrogates, which JSON can hold and files and requests cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _clean(value: Any) -> Any:
    """JSON of which every text is `printable`."""
    if isinstance(value, dict):
        return {printable(str(name)): _clean(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return printable(value) if isinstance(value, str) else value


def names(served: Sequence[str], room: int = MAX_EXCERPT) -> str:
    """Model names in one line of at most `room` characters."""
    return _cut(", ".join(served), room)


def _message(body: bytes) -> str:
    """What a body says to a person: the message of an error, the title of a page, or its text."""
    text = body[:20_000].decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        title = re.search(r"<title[^>]{0,99}>([^<]{1,200})", text, re.IGNORECASE)
        return title[1] if title else re.sub(r"<[^<>]{0,999}>", " ", text)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return text
    for name in (
        "error",
        "detail",
        "message",
        "msg",
    ):  # {"error": {"message": …}}, FastAPI's detail
        while isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, dict):
            value = value.get(name) or value
    return value if isinstance(value, str) else text


def _tries(error: APIConnectionError | APIStatusError, before: str = ", ", after: str = "") -> str:
    """How often the client asked, where it was more than once: it numbers its retries."""
    retries = error.request.headers.get("x-stainless-retry-count", "0")
    return "" if retries == "0" else f"{before}{int(retries) + 1} tries{after}"


def broke(error: BaseException) -> bool:
    """Whether a connection failed: the client's transport takes that for a time-out."""
    import aiohttp

    return any(
        isinstance(cause, aiohttp.ClientConnectionError) and not isinstance(cause, TimeoutError)
        for cause in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it, outermost first."""
    yield error
    for inner in getattr(error, "exceptions", ()):
        yield from _causes(inner)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause)


def _cut(text: str, room: int) -> str:
    """`text` in one line of visible characters, at most `room` of them."""
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= room else text[: max(room - 1, 0)] + "…"
