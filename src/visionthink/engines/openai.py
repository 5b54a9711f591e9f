"""An engine on any OpenAI-compatible server: vLLM, SGLang, llama.cpp, hosted services.

The official client sends, retries and backs off: connection errors, time-outs, 408, 409, 429 and
5xx, with Retry-After if the server sends it. Added here: bounds on the size and time of a reply, no
redirects (they turn POST into GET), and errors that say what to do. No error contains the API key
or image data, even if the server echoes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.errors import EngineError, MissingExtraError, ServerError, UsageError
from visionthink.core.families import QWEN2_5_VL, family_named
from visionthink.core.images import Grid
from visionthink.core.types import Completion, Message, Part, Sampling
from visionthink.engines.openai_http import (
    MAX_BODY,
    MORE_HEADERS,
    NO_KEY,
    UNREADABLE,
    bounded_http_client,
    checked_key,
    checked_url,
)
from visionthink.engines.openai_replies import (
    Server,
    broke,
    names,
    printable,
    read_models,
    read_reply,
)
from visionthink.engines.openai_stream import Pieces, received

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")

LOOKUP_TIMEOUT = 10.0
"""Seconds to wait for the list of models."""
NO_MODEL_LIST = (401, 403, 404, 405, 501)
"""Statuses of servers that do not list their models (to us)."""

_CLOSED = "the openai engine was used after close(); make a new one"


@dataclass(frozen=True)
class _Connection:
    """What belongs to one event loop."""

    client: AsyncOpenAI
    slots: asyncio.Semaphore


class OpenAIEngine(Engine):
    """Replies from the server at `base_url`, which usually ends in /v1.

    The server is asked only when needed. Without `model` the server must serve
    exactly one; without `grid`, the family that the model's name gives away decides, then the
    `root` field of the server's model list (vLLM's path of the weights); else Qwen2.5-VL is
    assumed.
    `about` blocks while it asks the server for what is missing.

    Args:
        base_url: http or https.
        model: the name it is served under.
        api_key: default: that in the environment variable `api_key_env`, else "none".
        grid: how the model cuts images.
        profile: the prompt profile the model was trained with.
        timeout: seconds without a byte after which a try fails and is repeated; also the seconds
            that the body of a reply may take.
        max_retries: tries after the first; backs off 0.5 s, 1 s, 2 s, … at most 8 s.
        max_concurrency: requests open at once, per event loop.
        extra_body: further fields of each request. They override ours; None removes a field:
            `{"max_tokens": None, "max_completion_tokens": 512}`.

    Raises:
        UsageError: the URL, the key or a number is not usable.
        MissingExtraError: the `openai` package is not installed.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        grid: Grid | None = None,
        profile: str | None = None,
        timeout: float = 120.0,
        max_retries: int = 3,
        max_concurrency: int = 16,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            import aiohttp  # noqa: F401  (fails here rather than at the first request)
            import openai  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("the openai engine", "openai") from error
        if not (timeout > 0 and max_retries >= 0 and max_concurrency >= 1):
            raise UsageError(
                "timeout must be above 0, max_retries at least 0 and max_concurrency at least 1; "
                f"got {timeout}, {max_retries}, {max_concurrency}"
            )
        key, key_from = checked_key(api_key, api_key_env)
        self._server = Server(checked_url(base_url), key, key_from, api_key_env)
        self._has_key = key != NO_KEY
        self._model = printable(model) if model else None
        self._grid = grid
        self._profile = profile
        self._timeout = timeout
        self._max_retries = max_retries
        self._max_concurrency = max_concurrency
        self._extra_body = dict(extra_body or {})
        self._connections: dict[
            asyncio.AbstractEventLoop, tuple[_Connection, AsyncGenerator[_Connection]]
        ] = {}
        self._closed = False

    @property
    def about(self) -> EngineInfo:
        """The model; servers do not give its sizes. Raises as `generate`."""
        model = self._model or self._wait(self._find_model())
        grid = self._grid or self._wait(self._find_grid())
        return EngineInfo(model, grid, profile=self._profile, takes_tools=True)

    @property
    def base_url(self) -> str:
        return self._server.url

    @property
    def api_key(self) -> str | None:
        """The key for the server; None if it needs none."""
        return self._server.key if self._has_key else None

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Reply to `messages`; `seconds` includes the wait for a slot and all tries.

        Raises:
            UsageError: no model was named, and the server has none or several.
            ServerError: no reply came, or what came is not one.
            EngineError: the engine was closed.
        """

        async def whole(client: AsyncOpenAI, body: bytes) -> bytes:
            return (await _post(client, body)).content

        return await self._complete(messages, sampling, {}, whole)

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, heard: Callable[[str], None]
    ) -> Completion:
        """As `generate`; `heard` gets the reply so far with each piece that arrives.

        A reply that breaks off is an error and is not retried, not even before the first piece.
        """

        async def pieces(client: AsyncOpenAI, body: bytes) -> bytes:
            response = await _post(client, body, stream=True)
            async with contextlib.aclosing(received(response)) as parts:
                if "text/event-stream" not in response.headers.get("content-type", ""):
                    return b"".join([data async for data in parts])  # it does not stream
                reply = Pieces(self._server)
                async for data in parts:
                    reply.feed(data)
                    heard(reply.text)
                return reply.whole()

        wishes = {"stream": True, "stream_options": {"include_usage": True}}
        return await self._complete(messages, sampling, wishes, pieces)

    async def _complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        wishes: dict[str, Any],
        ask: Callable[[AsyncOpenAI, bytes], Awaitable[bytes]],
    ) -> Completion:
        begin = time.perf_counter()
        connection = await self._connection()
        model = self._model or await self._find_model()
        fields = {
            "model": model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
            **wishes,
            **_tools(messages),
        }
        async with connection.slots:
            # In a thread: encoding a large image takes long enough to stall other requests.
            fields |= self._extra_body | dict(sampling.extra)
            if "max_completion_tokens" in sampling.extra:
                fields["max_completion_tokens"] = fields.pop("max_tokens")
            body = await asyncio.to_thread(_body, messages, fields)
            reply = await self._send(lambda: ask(connection.client, body), model)
        return read_reply(self._server, reply, time.perf_counter() - begin)

    async def look_up(self) -> None:
        """Check that the server is there and has the model; `about` does not block afterwards.

        A server that does not list its models is there if a model was named.

        Raises:
            ServerError: it is not there, or has no such model.
            UsageError: no model was named, and the server has none or several.
        """
        try:
            served = await self._models(max_retries=0)
        except ServerError as error:
            if error.status not in NO_MODEL_LIST or self._model is None:
                raise
            served = {self._model: ""}
        name = self._model or await self._find_model()
        if name not in served:
            raise ServerError(f"{self._server} has no model {name!r}; it has {names([*served])}")
        self._grid = self._grid or _grid_named(name, served[name])

    async def close(self) -> None:
        """Cancel running requests and close all connections."""
        self._closed = True
        _, mine = self._connections.pop(asyncio.get_running_loop(), (None, None))
        self._connections.clear()  # other running loops close theirs when collected
        if mine is not None:
            await mine.aclose()

    async def _connection(self) -> _Connection:
        """The running loop's connection: sockets and semaphores cannot move between loops."""
        if self._closed:
            raise EngineError(_CLOSED)
        loop = asyncio.get_running_loop()
        for ended in [other for other in list(self._connections) if other.is_closed()]:
            del self._connections[ended]
        if loop not in self._connections:
            opened = self._open()
            self._connections[loop] = await anext(opened), opened
        return self._connections[loop][0]

    async def _open(self) -> AsyncGenerator[_Connection]:
        """A connection, closed at the latest by asyncio.run(), which closes async generators."""
        import openai

        client = openai.AsyncOpenAI(
            base_url=self._server.url,
            api_key=self._server.key,
            timeout=self._timeout,
            max_retries=self._max_retries,
            http_client=bounded_http_client(),
        )
        try:
            yield _Connection(client, asyncio.Semaphore(self._max_concurrency))
        finally:
            await client.close()

    async def _send(
        self, request: Callable[[], Awaitable[bytes]], model: str | None = None
    ) -> bytes:
        """The body of the reply to `request`, if the server accepts it."""
        import openai

        try:
            return await request()
        except openai.APIStatusError as error:
            served = None
            if error.status_code == 404 and model is not None:
                with contextlib.suppress(ServerError):
                    served = list(await self._models(max_retries=0))
            # from None: the client's own error quotes the server, which may quote us.
            raise self._server.refused(error, model, served) from None
        except openai.APIConnectionError as error:
            late = isinstance(error, openai.APITimeoutError) and not broke(error)
            raise (self._server.timed_out if late else self._server.unreachable)(error) from error
        except openai.APIResponseValidationError as error:
            long = f"more than {MAX_BODY // 2**20} MiB"
            came = UNREADABLE if error.message == UNREADABLE else long
            raise self._server.no_reply(came) from None
        except RuntimeError as error:  # what a closed client raises
            if self._closed:
                raise EngineError(_CLOSED) from error
            raise

    async def _models(self, max_retries: int | None = None) -> dict[str, str]:
        """Name → root of the models the server lists."""
        client = (await self._connection()).client.with_options(
            timeout=min(LOOKUP_TIMEOUT, self._timeout),
            max_retries=self._max_retries if max_retries is None else max_retries,
        )

        async def listed() -> bytes:
            return (await client.models.with_raw_response.list()).content

        return read_models(self._server, await self._send(listed))

    async def _find_model(self) -> str:
        """Requests that start together may each ask: a lock would queue them on a dead server."""
        served = await self._models()
        if len(served) != 1:
            raise UsageError(
                f"{self._server} serves {len(served)} models; name the one to use: "
                f"{names([*served]) or '(none)'}"
            )
        (self._model,) = served
        self._grid = self._grid or _grid_named(self._model, served[self._model])
        return self._model

    async def _find_grid(self) -> Grid:
        name = self._model or await self._find_model()
        root = ""
        if self._grid is None and family_named(name) is None:
            try:
                root = (await self._models()).get(name, "")
            except ServerError as error:
                if error.status not in NO_MODEL_LIST:
                    raise
        self._grid = self._grid or _grid_named(name, root)
        return self._grid

    def _wait(self, find: Coroutine[Any, Any, T]) -> T:
        """Run `find` on a loop of its own in another thread, as this one may be running a loop."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, find).result()


async def _post(client: AsyncOpenAI, body: bytes, *, stream: bool = False) -> Any:
    """The HTTP response to a chat request, once its status is good.

    The client's own method transforms all messages before it serialises them, which takes longer
    than everything else that it does.
    """
    import httpx2

    more = dict(MORE_HEADERS.get())
    if client.api_key != NO_KEY:
        more.pop(
            "Authorization", None
        )  # the key of whoever asked is for servers without one of ours
    return await client.post(
        "/chat/completions",
        content=body,
        cast_to=httpx2.Response,
        options={"headers": {"Content-Type": "application/json", **more}},
        stream=stream,
    )


def _body(messages: Sequence[Message], fields: Mapping[str, Any]) -> bytes:
    """The request as JSON; a field of None is left out."""
    from pydantic_core import to_json  # comes with openai; several times as fast on images

    request = {"messages": _payload(messages), **fields}
    return to_json({name: value for name, value in request.items() if value is not None})


def _tools(messages: Sequence[Message]) -> dict[str, Any]:
    """The functions that the first message offers. After a call they stay, so that the prompt's
    prefix is unchanged, but none may be called again.
    """
    if not messages or not messages[0].tools:
        return {}
    called = any(message.role == "tool" and message.call_id for message in messages)
    return {"tools": json.loads(messages[0].tools), "tool_choice": "none" if called else "auto"}


def _payload(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as the API takes them: text alone as a string, with images as a list of parts.

    An image is sent as the same bytes in each turn: servers look up their caches by them. Images of
    a tool go into a message of the user's after it: many servers take none in a tool message.
    """
    payload: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "tool" and not message.extra:
            text = printable(message.text)
            payload.append({"role": "tool", "tool_call_id": message.call_id, "content": text})
            if message.images:
                images = [_payload_part(picture) for picture in message.images]
                payload.append({"role": "user", "content": images})
            continue
        parts = [_payload_part(part) for part in message.parts]
        content = parts if message.images else printable(message.text)
        payload.append({"role": message.role, "content": content, **message.extra})
        if message.calls:
            payload[-1]["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in message.calls
            ]
    return payload


def _payload_part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": printable(part)}
    return {"type": "image_url", "image_url": {"url": part.data_url()}}


def _grid_named(model: str, root: str) -> Grid:
    """The grid of the family that a model's name gives away, else the path of its weights."""
    family = family_named(model) or family_named(root)
    return family.grid if family else QWEN2_5_VL
