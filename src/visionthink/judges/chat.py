"""One try at asking a chat server: what is sent, what may come back, and whether to try again.

Failures are a `Failed` that the judge's retries act on. Its message is one short line without the
API key, whatever the server echoes.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from visionthink.core.errors import JudgeError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAX_BODY = 4 * 2**20
"""Bytes of a reply, decompressed."""
LONGEST_WAIT = 30.0
"""Seconds that a server may ask for with Retry-After; more is taken as this."""
PASSING = (408, 409, 425, 429)
"""Statuses below 500 that may be another one next time."""


@dataclass(frozen=True)
class Said:
    """A reply. `text` is None where there was none, or it was cut off by the length limit."""

    text: str | None
    note: str
    prompt_tokens: int
    completion_tokens: int


class Failed(Exception):
    """A try that brought no reply. Never leaves this room: callers get a JudgeError.

    Attributes:
        passing: whether another try may do better.
        wait: seconds the server asked to wait.
    """

    def __init__(self, message: str, *, passing: bool, wait: float | None = None) -> None:
        super().__init__(message)
        self.passing = passing
        self.wait = wait


@dataclass(frozen=True)
class Line:
    """What belongs to one event loop: sockets and semaphores cannot change loops."""

    client: AsyncOpenAI
    slots: asyncio.Semaphore
    pending: dict[str, asyncio.Task[Any]] = field(default_factory=dict[str, "asyncio.Task[Any]"])


class ChatServer:
    """The server at `base_url`, reached with the official client, without its retries.

    Raises:
        UsageError: the URL or the key is not usable.
        MissingExtraError: the `openai` package is not installed.
    """

    def __init__(
        self, base_url: str, *, api_key_env: str, timeout: float, concurrency: int
    ) -> None:
        try:
            import openai  # noqa: F401  (fails here rather than at the first question)
        except ImportError as error:
            raise MissingExtraError("the llm judge", "openai") from error
        self.url = _checked_url(base_url)
        self._key_env = api_key_env
        self._key = os.environ.get(api_key_env, "").strip() or "none"
        if not all("!" <= char <= "~" for char in self._key):
            raise UsageError(f"the key in {api_key_env} has characters that no key has")
        self._timeout = timeout
        self._concurrency = concurrency
        self._lines: dict[asyncio.AbstractEventLoop, tuple[Line, AsyncGenerator[Line]]] = {}
        self._closed = False

    async def line(self) -> Line:
        """The connection of the running loop, opened when first asked for."""
        if self._closed:
            raise JudgeError("the judge was asked after close(); open a new one")
        loop = asyncio.get_running_loop()
        for ended in [other for other in list(self._lines) if other.is_closed()]:
            del self._lines[ended]
        if loop not in self._lines:
            opened = self._open()
            self._lines[loop] = await anext(opened), opened
        return self._lines[loop][0]

    async def _open(self) -> AsyncGenerator[Line]:
        """A connection, closed at the latest by asyncio.run(), which ends generators on its way."""
        import openai

        client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=self._key,
            timeout=self._timeout,
            max_retries=0,
            # A redirect would turn POST into GET.
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        try:
            yield Line(client, asyncio.Semaphore(self._concurrency))
        finally:
            await client.close()

    async def close(self) -> None:
        self._closed = True
        _, mine = self._lines.pop(asyncio.get_running_loop(), (None, None))
        self._lines.clear()  # those of other running loops close there when collected
        if mine is not None:
            await mine.aclose()

    async def ask(self, client: AsyncOpenAI, body: dict[str, Any]) -> Said:
        """One request. `body` holds at least model and messages.

        Raises:
            Failed: no reply came.
        """
        import openai

        known = {name: body[name] for name in ("model", "messages")}
        others = {name: value for name, value in body.items() if name not in known}
        try:
            async with (
                asyncio.timeout(self._timeout),
                client.chat.completions.with_streaming_response.create(
                    **known, extra_body=others
                ) as response,
            ):
                content = bytearray()
                async for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_BODY:
                        raise Failed(f"sent more than {MAX_BODY // 2**20} MiB", passing=False)
        # from None: the client's own errors hold the request, and with it the key.
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except (openai.APITimeoutError, TimeoutError):
            raise Failed(f"did not reply within {self._timeout:g} s", passing=True) from None
        except openai.APIConnectionError as error:
            raise Failed(f"could not be reached: {_cause(error)}", passing=True) from None
        except openai.OpenAIError as error:
            raise Failed(f"sent no reply ({type(error).__name__})", passing=True) from None
        except Exception as error:
            # The HTTP library's own, when the connection breaks while the body is read.
            if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore"):
                raise
            raise Failed("broke the connection", passing=True) from None
        return self._read(bytes(content))

    def _refused(self, error: Any) -> Failed:
        status = error.status_code
        if status in (401, 403):
            # Nothing of what it says: it may repeat the key, or most of it.
            what = f"refused the API key ({status}); set the variable {self._key_env}"
            return Failed(what, passing=False)
        passing = status in PASSING or status >= 500
        said = self.excerpt(error.response.text) if error.response.is_closed else ""
        what = f"answered {status}" + (f": “{said}”" if said else "")
        return Failed(what, passing=passing, wait=_asked_wait(error.response.headers))

    def _read(self, content: bytes) -> Said:
        """The first choice of a chat completion; anything else may be better next time."""
        try:
            reply = json.loads(content)
            choice = reply["choices"][0]
            message = choice["message"]
            text = message.get("content")
            cut = choice.get("finish_reason") == "length"
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            said = self.excerpt(content[:2000].decode("utf-8", "replace"))
            raise Failed(f"sent no chat completion but “{said}”", passing=True) from None
        if isinstance(text, list):
            parts = [part.get("text") for part in text if isinstance(part, dict)]
            text = "".join(part for part in parts if isinstance(part, str))
        usage = reply.get("usage")
        tokens = [_count(usage, name) for name in ("prompt_tokens", "completion_tokens")]
        if not isinstance(text, str):
            return Said(None, "a message without text", *tokens)
        if cut:
            return Said(None, "a reply cut off by max_tokens", *tokens)
        return Said(text, f"“{self.excerpt(text)}”", *tokens)

    def excerpt(self, text: str, room: int = 120) -> str:
        """The start of `text` in one harmless line."""
        if len(self._key) > 4:
            text = text.replace(self._key, "(key)")
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return text if len(text) <= room else text[: room - 1] + "…"


def _checked_url(url: str) -> str:
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")  # these raise where they are bad
        good = parts.scheme in ("http", "https") and parts.hostname and url.isprintable()
        good = good and " " not in url and not (parts.query or parts.fragment)
    except ValueError:
        good, parts = False, None
    if parts is not None and parts.username is not None:
        raise UsageError("the judge's base URL must hold no user; keys go into the environment")
    if not good:
        raise UsageError("the judge's base URL is not valid; it looks like http://host:8000/v1")
    return url


def _asked_wait(headers: Any) -> float | None:
    """Seconds of Retry-After-Ms or Retry-After; None without, or where it is a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if seconds >= 0:
            return min(seconds, LONGEST_WAIT)
    return None


def _cause(error: BaseException) -> str:
    """What the operating system or TLS said, which is innermost."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split())[:100] or type(error).__name__


def _count(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return max(value, 0) if isinstance(value, int) else 0
